//! What is wrong beyond single jobs, for `GET /v1/status`: where nothing new begins, and what does not answer.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{JobSettings, Settings};
use crate::daemon::ask::{Handle, View};
use crate::daemon::fleet::Fleet;
use crate::daemon::observe::{self, Blocked};
use crate::daemon::service::HOLDS_MAX;
use crate::daemon::slot::{Ground, stands_on};
use crate::facts::{ConfigFacts, NotifierFacts, RemoteFacts, VaultFacts};
use crate::protocol::Trouble;
use crate::rotation::fault::{Fault, FaultCode};
use crate::rotation::time::{Span, Timestamp};
use crate::token::{Expiry, JobName};

/// How many jobs a trouble names.
const NAMED_MAX: usize = 5;
/// A login that ends within this time is told of, as one to a Vault is.
const LOGIN_ENDING: Span = Span::from_days(14);

/// What jobs have in common: holds, and faults that tell of a remote or Vault already.
#[derive(Debug, Default)]
pub(super) struct Common {
    held: BTreeMap<Ground, Vec<JobName>>,
    told: BTreeSet<Ground>,
}

impl Common {
    pub(super) fn count(&mut self, view: &View) {
        let Some(settings) = view.job.as_deref() else { return };
        let tells = |of: &str| view.standing.iter().any(|one| one.fault.code.as_str().starts_with(of));
        let (of_remote, of_vault) = (tells("proxmox_"), tells("vault_"));
        let is_held = view.ledger.hold.is_some();
        if !(is_held || of_remote || of_vault) {
            return;
        }
        for ground in stands_on(&view.ledger.key, Some(settings)) {
            let is_told = match &ground {
                Ground::Remote(_) => of_remote,
                Ground::Vault(_) => of_vault,
            };
            if is_held {
                self.held.entry(ground.clone()).or_default().push(name(settings));
            }
            if is_told {
                self.told.insert(ground);
            }
        }
    }

    /// Where nothing new begins by itself.
    pub(super) fn holds(&self) -> Vec<Trouble> {
        let many = self.held.iter().filter(|(_, jobs)| jobs.len() >= HOLDS_MAX);
        many.map(|(ground, jobs)| too_many(ground, jobs)).collect()
    }

    /// What does not answer or cannot be used, unless a job tells of it.
    pub(super) fn beside(&self, handle: &Handle, settings: &Settings, fleet: &Fleet, now: Timestamp) -> Vec<Trouble> {
        let remotes = observe::remotes(handle, settings, fleet, &Blocked::new());
        let vaults = observe::vaults(settings, fleet, &Blocked::new());
        let mut all: Vec<_> = config(handle.watch.config()).map(|fault| about(fault, None)).into_iter().collect();
        all.extend(remotes.iter().flat_map(|remote| self.remote(remote, now)));
        all.extend(vaults.iter().filter_map(|vault| self.vault(vault)));
        all.extend(observe::notifiers(handle).into_iter().filter_map(deaf));
        all
    }

    fn remote(&self, facts: &RemoteFacts, now: Timestamp) -> Vec<Trouble> {
        let ground = Ground::Remote(facts.remote.clone());
        let away = away(facts).filter(|_| !self.told.contains(&ground));
        away.into_iter().chain(ending(facts, now)).map(|fault| about(fault, Some(&ground))).collect()
    }

    fn vault(&self, facts: &VaultFacts) -> Option<Trouble> {
        let ground = Ground::Vault(facts.vault.clone());
        let what = format!("the Vault {} does not answer", facts.vault);
        let because = "the last request to it got no answer";
        let next = "`rotate doctor` tells why; what it holds stays right, and nothing is delivered to it meanwhile";
        let fault = Fault::passing(FaultCode::VaultUnreachable, what, because, next);
        (facts.up == Some(false) && !self.told.contains(&ground)).then(|| about(fault, Some(&ground)))
    }
}

fn name(settings: &JobSettings) -> JobName {
    settings.job.name.clone()
}

fn about(fault: Fault, ground: Option<&Ground>) -> Trouble {
    let (remote, vault) = match ground {
        Some(Ground::Remote(remote)) => (Some(remote.clone()), None),
        Some(Ground::Vault(vault)) => (None, Some(vault.clone())),
        None => (None, None),
    };
    Trouble { fault, remote, vault }
}

fn too_many(ground: &Ground, jobs: &[JobName]) -> Trouble {
    let place = match ground {
        Ground::Remote(remote) => format!("remote {remote}"),
        Ground::Vault(vault) => format!("Vault {vault}"),
    };
    let named: Vec<_> = jobs.iter().take(NAMED_MAX).map(JobName::as_str).collect();
    let more = jobs.len().saturating_sub(NAMED_MAX);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let fault = Fault::lasting(
        FaultCode::TooManyHolds,
        format!("nothing new begins on {place}"),
        format!("{} jobs are on hold there: {}{more}", jobs.len(), named.join(", ")),
        format!("find what they have in common and mend it, then `rotate retry {}`, and so on", named[0]),
    );
    about(fault, Some(ground))
}

fn config(facts: ConfigFacts) -> Option<Fault> {
    let what = "the config on disk is not the one in force";
    let because = format!("the last reload was refused; the config of {} stays in force", facts.loaded_at);
    let next = "`rotate reload` tries again and says what is wrong; a restart may fail as it is now";
    (!facts.loaded).then(|| Fault::lasting(FaultCode::ConfigWrong, what, because, next))
}

fn away(facts: &RemoteFacts) -> Option<Fault> {
    let what = format!("the remote {} does not answer", facts.remote);
    let because = "the last request to it got no answer";
    let next = "`rotate doctor` tells why; tokens go on working, and nothing is rotated there meanwhile";
    (facts.up == Some(false)).then(|| Fault::passing(FaultCode::ProxmoxUnreachable, what, because, next))
}

/// The rotator's own login, unless a job rotates it.
fn ending(facts: &RemoteFacts, now: Timestamp) -> Option<Fault> {
    let Some(Expiry::At(end)) = facts.login_expiry.filter(|_| facts.login_job.is_none()) else { return None };
    let end = Timestamp::from_seconds(end);
    if end.since(now) > LOGIN_ENDING {
        return None;
    }
    let what = format!("the daemon's own login to {} must be replaced", facts.remote);
    let because = if end <= now { format!("it expired at {end}") } else { format!("it expires at {end}") };
    let next = "give its token a later expiry on the remote, or make a new token and put it where `auth` points to, or give \
                it a job of its own";
    Some(Fault::lasting(FaultCode::LoginEnding, what, because, next))
}

fn deaf(facts: NotifierFacts) -> Option<Trouble> {
    facts.trouble.filter(|_| facts.up == Some(false)).map(|fault| about(fault, None))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Common, config, deaf};
    use crate::config::{Settings, parse};
    use crate::daemon::ask::View;
    use crate::daemon::slot::Place;
    use crate::facts::{ConfigFacts, NotifierFacts, RemoteFacts, VaultFacts};
    use crate::protocol::Trouble;
    use crate::rotation::fault::{Fault, FaultCode};
    use crate::rotation::ledger::{Ledger, LedgerKey};
    use crate::rotation::standing::Standing;
    use crate::rotation::time::{Span, Timestamp};
    use crate::token::Expiry;

    const NOW: Timestamp = Timestamp::from_seconds(1_795_600_000);

    fn settings() -> Settings {
        let job = |name: &str| {
            format!(
                "[job.{name}]\nremote = \"lab\"\ntoken = \"ci@pve!{name}\"\nmax_age = \"90d\"\n\
                 [[job.{name}.destination]]\ntype = \"vault\"\nvault = \"main\"\npath = \"secret/{name}\"\n"
            )
        };
        let text = format!(
            "[daemon]\ninstance = \"ops1\"\n[remote.lab]\nproduct = \"pve\"\nurls = [\"https://10.0.0.1:8006\"]\n\
             auth = {{ api_token = \"credential:lab\" }}\n[vault.main]\naddress = \"https://10.0.0.2:8200\"\n\
             auth = {{ token = \"credential:main\" }}\n{}{}{}",
            job("build"),
            job("two"),
            job("three"),
        );
        parse(vec![("rotated.toml".into(), text)], "host").unwrap_or_else(|wrong| panic!("{wrong}"))
    }

    fn view(name: &str, hold: Option<Fault>, standing: Option<Fault>) -> View {
        let job = settings().jobs.values().find(|job| job.job.name.as_str() == name).map(Arc::clone);
        let job = job.expect("there");
        let mut ledger = Ledger::new(LedgerKey { remote: job.job.remote.clone(), token: job.job.token.clone() });
        ledger.hold = hold.map(Box::new);
        let standing = standing.map(|fault| Standing::now(fault, NOW)).into_iter().collect();
        View { job: Some(job), ledger, place: Place::Rests, standing, blocked: false }
    }

    fn fault(code: FaultCode) -> Fault {
        Fault::lasting(code, "x", "y", "z")
    }

    fn remote(up: bool, login_expiry: Option<Expiry>) -> RemoteFacts {
        RemoteFacts {
            remote: "lab".parse().expect("a name"),
            up: Some(up),
            clock_skew: None,
            login_expiry,
            login_job: None,
            listed_at: None,
            partial: false,
            blocked: false,
        }
    }

    fn codes(troubles: impl IntoIterator<Item = Trouble>) -> Vec<FaultCode> {
        troubles.into_iter().map(|trouble| trouble.fault.code).collect()
    }

    #[test]
    fn three_holds_on_one_remote_are_a_trouble_and_two_are_not() {
        let mut common = Common::default();
        for (n, name) in ["build", "two", "three"].into_iter().enumerate() {
            assert!(common.holds().is_empty(), "after {n}");
            common.count(&view(name, None, None));
            common.count(&view(name, Some(fault(FaultCode::StaleInUse)), None));
        }
        let troubles = common.holds();
        let told = serde_json::to_value(&troubles[0]).expect("JSON");
        assert_eq!((&told["remote"], &told["vault"]), (&"lab".into(), &serde_json::Value::Null));
        assert_eq!(told["what"], "nothing new begins on remote lab");
        assert_eq!(told["because"], "3 jobs are on hold there: build, two, three");
        assert!(troubles[0].fault.next.contains("`rotate retry build`"), "{told}");
        assert_eq!(troubles[1].vault.as_ref().map(ToString::to_string).as_deref(), Some("main"));
    }

    #[test]
    fn what_does_not_answer_is_told_unless_a_job_tells_it() {
        let vault =
            VaultFacts { vault: "main".parse().expect("a name"), up: Some(false), login_expiry: None, blocked: false };
        let mut common = Common::default();
        assert_eq!(codes(common.remote(&remote(true, None), NOW)), []);
        assert_eq!(codes(common.remote(&remote(false, None), NOW)), [FaultCode::ProxmoxUnreachable]);
        assert_eq!(codes(common.vault(&vault)), [FaultCode::VaultUnreachable]);
        common.count(&view("two", None, Some(fault(FaultCode::ProxmoxTls))));
        assert_eq!(codes(common.remote(&remote(false, None), NOW)), []);
        assert_eq!(codes(common.vault(&vault)), [FaultCode::VaultUnreachable]);
        common.count(&view("two", None, Some(fault(FaultCode::VaultSealed))));
        assert_eq!(codes(common.vault(&vault)), []);
    }

    #[test]
    fn an_own_login_is_told_of_before_it_ends() {
        let ends = |days: u64| {
            let end = (NOW + Span::from_days(days)).seconds();
            codes(Common::default().remote(&remote(true, Some(Expiry::At(end))), NOW))
        };
        assert_eq!((ends(15), ends(13)), (vec![], vec![FaultCode::LoginEnding]));
        let mut rotated = remote(true, Some(Expiry::At(0)));
        rotated.login_job = Some("own".parse().expect("a name"));
        assert_eq!(codes(Common::default().remote(&rotated, NOW)), []);
    }

    #[test]
    fn a_wrong_config_and_a_deaf_notifier_are_told() {
        assert!(config(ConfigFacts { loaded: true, loaded_at: NOW }).is_none());
        let told = config(ConfigFacts { loaded: false, loaded_at: NOW }).expect("told");
        assert!(told.because.contains(&NOW.to_string()), "{told:?}");
        let facts = |up| NotifierFacts {
            notifier: "chat".parse().expect("a name"),
            up: Some(up),
            last_success: None,
            trouble: Some(fault(FaultCode::NotifierUnauthorized)),
            waiting: 0,
            sent: 0,
            failed: 1,
            dropped: 0,
        };
        assert_eq!(codes(deaf(facts(false))), [FaultCode::NotifierUnauthorized]);
        assert_eq!(codes(deaf(facts(true))), []);
    }
}

//! What stands against a job, for status, events and the end of a run.

use crate::config::{JobSettings, Settings};
use crate::proxmox::options::Login;
use crate::reference::Reference;
use crate::rotation::ledger::{Ledger, LedgerKey};
use crate::rotation::standing::Standing;
use crate::rotation::time::Timestamp;

/// What the ledger knows and what went wrong in the last turn (`of_turn`), but nothing of a Vault that the job has no
/// more. What only a look can mend is tried again at `next_look`. A hold stays whatever its cause.
pub(super) fn of(
    ledger: &Ledger,
    (settings, job): (&Settings, Option<&JobSettings>),
    now: Timestamp,
    (of_turn, next_look): (&[Standing], Option<Timestamp>),
) -> Vec<Standing> {
    let mut all = ledger.standing_with(job.map(|found| &found.job), now, of_turn, next_look);
    if job.is_some_and(|job| !needs_vault(settings, job, &ledger.key)) {
        all.retain(|one| !one.fault.code.is_of_vault() || ledger.hold.as_deref() == Some(&one.fault));
    }
    all
}

fn needs_vault(settings: &Settings, job: &JobSettings, key: &LedgerKey) -> bool {
    let logs_in = settings.remotes.get(&key.remote).is_some_and(|remote| match &remote.login {
        Login::ApiToken(reference) => matches!(reference, Reference::Vault(_)),
    });
    logs_in || job.destinations.values().any(|options| options.target.vault().is_some())
}

//! `rotate now`: asks for rotations, and with `--wait` follows them until each has reached its grace or failed.
//!
//! The feed of events is opened before the rotations are asked for, so nothing is missed in between. Where it breaks or
//! has a gap, the status is asked again and again instead. To leave is always safe: the daemon goes on by itself.

mod progress;
mod quiet;
mod screen;
mod watch;

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook_tokio::Signals;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::client::Client;
use super::commands::NowArgs;
use super::failure::ClientError;
use super::feed::Feed;
use super::request::Request;
use crate::protocol::{Accepted, FeedLine, JobStatus, RotateRequest, Status};
use crate::token::JobName;
use screen::Screen;
pub use screen::Shown;
use watch::{Before, Watch};

/// How often the status is asked where the feed does not tell.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How often a status in a row may find no daemon: it may just be restarted.
const ABSENCES_MAX: usize = 30;
/// How often the progress on a terminal moves.
const TICK_INTERVAL: Duration = Duration::from_millis(120);

/// How a wait ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waited {
    /// Every job has reached its grace, or was rehearsed.
    Well,
    /// These have not.
    Failed(Vec<JobName>),
    /// Somebody wanted the terminal back.
    Left,
}

/// Asks for the rotations: the daemon's answer.
///
/// # Errors
/// As for [`Client::ask`].
pub async fn ask(client: &Client, args: &NowArgs) -> Result<super::client::Answer, ClientError> {
    let request =
        RotateRequest { jobs: args.jobs.clone(), all: args.all, reason: args.reason.clone(), rehearse: args.rehearse };
    client.ask(&Request::Rotate(request)).await
}

/// Asks for the rotations and follows them.
///
/// # Errors
/// As for [`Client::ask`]; what was asked for may still happen.
pub async fn wait(client: &Client, args: &NowArgs, shown: Shown) -> Result<Waited, ClientError> {
    let before = before(client, args).await?;
    let one = <&[JobName; 1]>::try_from(args.jobs.as_slice()).ok().map(|[job]| job);
    let feed = client.events(one).await?;
    let accepted: Accepted = ask(client, args).await?.read()?;
    let mut signals = Signals::new([SIGINT, SIGTERM])
        .map_err(|error| ClientError::Odd { asked: "be told of Ctrl-C".to_owned(), because: error.to_string() })?;
    let mut wait = Wait {
        client,
        watch: Watch::new(&accepted.jobs, &before),
        screen: Screen::new(shown, &accepted.jobs),
        rehearse: args.rehearse,
    };
    let left = tokio::select! {
        result = wait.follow(feed) => result.map(|()| false),
        _ = signals.next() => Ok(true),
    };
    let failed = wait.watch.failed();
    let left = left.inspect_err(|_| wait.screen.clear())?;
    let waited = match (left, failed.is_empty()) {
        (true, _) => Waited::Left,
        (false, true) => Waited::Well,
        (false, false) => Waited::Failed(failed),
    };
    wait.screen.end(&wait.watch, &waited);
    Ok(waited)
}

/// How the jobs were before: a rotation that ended then is not the one that was asked for.
async fn before(client: &Client, args: &NowArgs) -> Result<BTreeMap<JobName, Before>, ClientError> {
    let mut found = BTreeMap::new();
    for status in statuses(client, &args.jobs).await? {
        found.extend(status.jobs.iter().filter_map(|job| Some((job.job.clone()?, Before::of(job)))));
    }
    Ok(found)
}

/// The status of one job by itself, else of all together.
async fn statuses(client: &Client, jobs: &[JobName]) -> Result<Vec<Status>, ClientError> {
    let job = match jobs {
        [one] => Some(one.clone()),
        _ => None,
    };
    Ok(vec![client.ask(&Request::Status(job)).await?.read()?])
}

struct Wait<'a> {
    client: &'a Client,
    watch: Watch,
    screen: Screen,
    rehearse: bool,
}

impl Wait<'_> {
    async fn follow(&mut self, mut feed: Feed) -> Result<(), ClientError> {
        let mut ticks = ticks(TICK_INTERVAL);
        while !self.watch.is_over() {
            let next = tokio::select! {
                next = feed.next() => next,
                _ = ticks.tick() => {
                    self.screen.tick();
                    continue;
                }
            };
            let gap = match next {
                Ok(Some(told)) => {
                    if let FeedLine::Missed { count } = told.line {
                        self.screen.fed(&told, &self.watch);
                        Some(format!("{count} lines were missed"))
                    } else {
                        if self.watch.concerns(&told.line) {
                            self.watch.see(&told.line);
                            self.screen.fed(&told, &self.watch);
                        }
                        None
                    }
                }
                Ok(None) => Some("the daemon has closed the feed of events".to_owned()),
                Err(error) => Some(error.because()),
            };
            if let Some(gap) = gap {
                self.screen.warn(&format!("{gap}; the status is asked instead"));
                drop(feed);
                return self.poll().await;
            }
        }
        Ok(())
    }

    async fn poll(&mut self) -> Result<(), ClientError> {
        let (mut polls, mut ticks) = (ticks(POLL_INTERVAL), ticks(TICK_INTERVAL));
        let mut absences = 0;
        while !self.watch.is_over() {
            tokio::select! {
                _ = polls.tick() => {}
                _ = ticks.tick() => {
                    self.screen.tick();
                    continue;
                }
            }
            match statuses(self.client, &self.watch.open()).await {
                Ok(found) => {
                    absences = 0;
                    found.iter().flat_map(|status| &status.jobs).for_each(|job| self.polled(job));
                }
                Err(ClientError::NotThere { .. }) if absences < ABSENCES_MAX => absences += 1,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn polled(&mut self, status: &JobStatus) {
        if let Some(job) = &status.job
            && let Some(words) = self.watch.ask(job, status, self.rehearse)
        {
            self.screen.polled(job, &status.phase, &words, &self.watch);
        }
    }
}

fn ticks(length: Duration) -> Interval {
    let mut ticks = interval(length);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks
}

//! `GET /v1/events`: what happens, as it happens, one JSON object a line. A reader that lies behind by more than
//! [`FEED_MAX`](crate::daemon::board::FEED_MAX) lines is told how many it missed.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{StatusCode, Uri};
use futures_util::stream;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

use super::Desk;
use super::Stage;
use super::answer::{Answer, body};
use super::readings::{key_of, query};
use crate::daemon::board::Told;
use crate::protocol::words::{self, phase};
use crate::protocol::{FeedLine, JobQuery, Standing, Subject, Tone, Words};
use crate::rotation::ledger::Ledger;
use crate::rotation::standing;
use crate::token::JobName;

/// The answer begins at once, and everything that happens after that is in it.
pub(super) async fn events(desk: &Desk, uri: &Uri) -> Answer {
    let JobQuery { job } = query(uri)?;
    if let Some(job) = &job {
        key_of(desk, job).await?;
    }
    let reader = Reader { feed: desk.handle.board.follow(), stage: desk.stage.clone(), job };
    let lines = stream::unfold(reader, |mut reader| async move {
        let line = reader.next().await?;
        Some((Ok::<_, std::io::Error>(line), reader))
    });
    Ok(body(StatusCode::OK, "application/jsonl", Body::from_stream(lines)))
}

struct Reader {
    feed: Receiver<Arc<Told>>,
    stage: watch::Receiver<Stage>,
    /// Whose events; none means all.
    job: Option<JobName>,
}

impl Reader {
    /// The next line; none at the daemon's end.
    async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let line = tokio::select! {
                biased;
                told = self.feed.recv() => match told {
                    Ok(told) if self.job.is_some() && job_of(&told) != self.job.as_ref() => continue,
                    Ok(told) => line(&told),
                    Err(RecvError::Lagged(count)) => FeedLine::Missed { count },
                    Err(RecvError::Closed) => return None,
                },
                _ = self.stage.wait_for(|stage| *stage == Stage::Ended) => return None,
            };
            match serde_json::to_vec(&line) {
                Ok(mut bytes) => {
                    bytes.push(b'\n');
                    return Some(bytes);
                }
                Err(error) => tracing::error!(%error, "an event could not be written for a reader"),
            }
        }
    }
}

fn job_of(told: &Told) -> Option<&JobName> {
    match told {
        Told::Event { job, .. } => job.as_ref(),
        Told::Turned { job, .. } => job.as_ref().map(|settings| &settings.job.name),
    }
}

fn line(told: &Told) -> FeedLine {
    let subject = |ledger: &Ledger| Subject {
        job: job_of(told).cloned(),
        remote: ledger.key.remote.clone(),
        token: ledger.key.token.clone(),
    };
    match told {
        Told::Event { ledger, event, .. } => FeedLine::Event {
            subject: subject(ledger),
            time: event.at().to_string(),
            lines: words::of_event(ledger, event),
            event: Box::new(event.clone()),
            phase: phase(ledger).to_owned(),
        },
        Told::Turned { job, ledger, standing, refused, time, again } => {
            let refused = refused.iter().map(|fault| standing::Standing::now(fault.clone(), time.ended));
            let all: Vec<_> = refused.chain(standing.iter().cloned()).collect();
            FeedLine::Turn {
                again: *again,
                subject: subject(ledger),
                time: time.ended.to_string(),
                phase: phase(ledger).to_owned(),
                faults: all.iter().map(Standing::from).collect(),
                lines: match job {
                    Some(settings) => {
                        let retry = format!("rotate retry {}", settings.job.name);
                        words::of_end((&settings.job, ledger), &all, *time, &retry)
                    }
                    None => all.iter().map(|one| failed(one.fault.to_string())).collect(),
                },
            }
        }
    }
}

fn failed(text: String) -> Words {
    Words { tone: Tone::Bad, word: "failed".to_owned(), text }
}

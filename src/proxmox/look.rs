//! Reads that many callers share: one runs at a time, and those who ask meanwhile wait for the next one.
//!
//! A caller gets only a read that began after it asked, so it never sees less than was true when it asked.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::classify::Cause;
use super::session::stopped;
use crate::rotation::fault::FaultCode;

/// Most callers that wait for one read; further ones wait for room.
pub(super) const LOOKERS_MAX: usize = 1024;

type Seen<T> = Result<Arc<T>, Cause>;

/// The callers' end of a shared read.
pub(super) struct Look<T> {
    line: mpsc::Sender<oneshot::Sender<Seen<T>>>,
}

impl<T: Send + Sync + 'static> Look<T> {
    /// `read` runs on a task in `owner`, which ends when this is dropped.
    pub(super) fn new<F, R>(owner: &mut JoinSet<()>, read: R) -> Self
    where
        R: Fn() -> F + Send + 'static,
        F: Future<Output = Result<T, Cause>> + Send + 'static,
    {
        let (line, waiting) = mpsc::channel(LOOKERS_MAX);
        owner.spawn(serve(waiting, read));
        Self { line }
    }

    /// What a read that begins from now on sees.
    pub(super) async fn look(&self) -> Seen<T> {
        let (answer, seen) = oneshot::channel();
        self.line.send(answer).await.map_err(|_| stopped())?;
        seen.await.map_err(|_| stopped())?
    }
}

async fn serve<T, F, R>(mut waiting: mpsc::Receiver<oneshot::Sender<Seen<T>>>, read: R)
where
    R: Fn() -> F,
    F: Future<Output = Result<T, Cause>>,
{
    let mut batch = Vec::new();
    while waiting.recv_many(&mut batch, LOOKERS_MAX).await > 0 {
        batch.retain(|caller| !caller.is_closed());
        if batch.is_empty() {
            continue;
        }
        let seen = AssertUnwindSafe(read()).catch_unwind().await.unwrap_or_else(|_| Err(panicked())).map(Arc::new);
        for caller in batch.drain(..) {
            // A caller that has gone away needs no answer.
            let _ = caller.send(seen.clone());
        }
    }
}

fn panicked() -> Cause {
    let next = "please report it with the log around it";
    Cause::lasting(FaultCode::Internal, "reading it panicked", next)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::{join_all, poll_immediate};
    use tokio::sync::Semaphore;
    use tokio::task::JoinSet;

    use super::Look;

    #[tokio::test]
    async fn a_read_that_panics_is_told_and_the_next_one_is_made() {
        let begun = Arc::new(AtomicUsize::new(0));
        let mut owner = JoinSet::new();
        let look = Look::new(&mut owner, move || {
            let number = begun.fetch_add(1, Ordering::SeqCst);
            async move {
                assert!(number > 0, "the first one");
                Ok(number)
            }
        });
        let cause = look.look().await.expect_err("it panicked");
        assert_eq!(cause.because, "reading it panicked");
        assert_eq!(look.look().await.ok().as_deref(), Some(&1));
    }

    #[tokio::test(start_paused = true)]
    async fn callers_share_only_reads_that_began_after_they_asked() {
        let (begun, leave) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let mut owner = JoinSet::new();
        let (count, gate) = (Arc::clone(&begun), Arc::clone(&leave));
        let look = Look::new(&mut owner, move || {
            let (number, gate) = (count.fetch_add(1, Ordering::SeqCst) + 1, Arc::clone(&gate));
            async move {
                gate.acquire().await.expect("open").forget();
                Ok(number)
            }
        });
        let first = look.look();
        tokio::pin!(first);
        assert!(poll_immediate(&mut first).await.is_none());
        while begun.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let mut late: Vec<_> = (0..50).map(|_| Box::pin(look.look())).collect();
        for caller in &mut late {
            assert!(poll_immediate(caller).await.is_none());
        }
        leave.add_permits(2);
        assert_eq!(*first.await.expect("read"), 1);
        let seen: Vec<_> = join_all(late).await.into_iter().map(|seen| *seen.expect("read")).collect();
        assert_eq!(seen, vec![2; 50]);
        assert_eq!(begun.load(Ordering::SeqCst), 2);
    }
}

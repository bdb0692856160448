//! A connection that gives up on a reader who takes nothing.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// A reader that takes nothing for so long is dropped.
pub(super) const STALL_MAX: Duration = Duration::from_secs(30);

/// See the module's own words.
pub(super) struct Patient<T> {
    inner: T,
    /// When patience ends; none while the other side reads.
    ends: Option<Pin<Box<Sleep>>>,
}

impl<T: AsyncWrite + Unpin> Patient<T> {
    pub(super) fn new(inner: T) -> Self {
        Self { inner, ends: None }
    }

    fn judge<V>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<V>>) -> Poll<io::Result<V>> {
        if outcome.is_ready() {
            self.ends = None;
            return outcome;
        }
        let ends = self.ends.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + STALL_MAX)));
        ends.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Patient<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.judge(cx, outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write_vectored(cx, bytes);
        self.judge(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Patient<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, bytes)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::{Instant, timeout};

    use super::{Patient, STALL_MAX};

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_is_given_up() {
        let (ours, _theirs) = duplex(8);
        let began = Instant::now();
        let error = Patient::new(ours).write_all(&[0; 64]).await.expect_err("nobody reads");
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= STALL_MAX && began.elapsed() < STALL_MAX * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_not() {
        let (ours, mut theirs) = duplex(8);
        let writing = tokio::spawn(async move { Patient::new(ours).write_all(&[7; 64]).await });
        let mut read = Vec::new();
        while read.len() < 64 {
            // Almost too late, again and again.
            let nothing = timeout(STALL_MAX * 9 / 10, std::future::pending::<()>()).await;
            assert!(nothing.is_err());
            let mut part = [0; 8];
            let count = theirs.read(&mut part).await.expect("it goes on");
            read.extend_from_slice(&part[..count]);
        }
        writing.await.expect("no panic").expect("all was taken");
    }
}

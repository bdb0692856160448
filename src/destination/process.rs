//! Child processes: an absolute program with a list of arguments, a clean environment, a deadline and bounded output.
//!
//! Each child leads its own process group. The whole group is killed when the leader has ended, when the deadline has
//! passed and when the caller goes away, always while the leader's number still stands for it (it is reaped later).
//! A descendant that leaves the group on purpose (`setsid`) is out of reach; the service's own cgroup ends it.
//!
//! A program's input is complete before the program starts. Through a pipe it would read a part and then an end, as if
//! that were all, when we are killed while writing, and might deliver half a secret.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::OwnedFd;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, test_kill_process_group};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use zeroize::Zeroizing;

/// How long a command may take to write or read.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);
/// How long an `after` action may take; services need their time to reload.
pub const AFTER_TIMEOUT: Duration = Duration::from_secs(120);
/// Most of stdout, and of stderr, that is kept, in bytes; the rest is read and dropped.
pub const OUTPUT_BYTES_MAX: usize = 64 * 1024;
/// How long a killed process group is waited for.
const DEATH_WAIT_MAX: Duration = Duration::from_secs(5);
/// How often a killed process group is looked at.
const DEATH_POLL: Duration = Duration::from_millis(5);
/// How long output is still read after the group is dead.
const DRAIN_WAIT_MAX: Duration = Duration::from_secs(1);

/// How a program ended that could be started.
pub(super) struct Ended {
    pub(super) how: How,
    /// What it printed, at most [`OUTPUT_BYTES_MAX`] of each.
    pub(super) stdout: Zeroizing<Vec<u8>>,
    pub(super) stderr: Zeroizing<Vec<u8>>,
}

pub(super) enum How {
    /// By itself or by a signal of somebody else's.
    Exited(ExitStatus),
    /// We killed it after the deadline.
    Deadline(Duration),
}

/// Runs `argv` with `input` on its stdin. An error means that it never started.
pub(super) async fn run(argv: &[String], input: &[u8], deadline: Duration) -> io::Result<Ended> {
    let mut group = Group::spawn(argv, input)?;
    let mut stdout = Zeroizing::new(Vec::with_capacity(OUTPUT_BYTES_MAX));
    let mut stderr = Zeroizing::new(Vec::with_capacity(OUTPUT_BYTES_MAX));
    let pipes = (group.child.stdout.take(), group.child.stderr.take());
    let talk = async {
        tokio::join!(drain(pipes.0, &mut stdout), drain(pipes.1, &mut stderr));
    };
    let how = {
        let mut talk = std::pin::pin!(talk);
        let mut is_talking = true;
        let end = Instant::now() + deadline;
        let ended = timeout_at(end, async {
            let exited = group.exited();
            let mut exited = std::pin::pin!(exited);
            loop {
                tokio::select! {
                    result = &mut exited => return result,
                    () = &mut talk, if is_talking => is_talking = false,
                }
            }
        });
        let ended = ended.await;
        let status = group.end().await?;
        if is_talking {
            let _ = timeout(DRAIN_WAIT_MAX, talk).await;
        }
        match ended {
            Ok(Ok(())) => How::Exited(status),
            Ok(Err(error)) => return Err(error),
            Err(_) => How::Deadline(deadline),
        }
    };
    Ok(Ended { how, stdout, stderr })
}

/// Keeps the first [`OUTPUT_BYTES_MAX`] bytes and drops the rest, so that the program never waits for us.
async fn drain(pipe: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut pipe) = pipe else { return };
    let mut buffer = Zeroizing::new(vec![0; 8 * 1024]);
    while let Ok(count) = pipe.read(&mut buffer).await {
        if count == 0 {
            return;
        }
        let room = OUTPUT_BYTES_MAX.saturating_sub(kept.len());
        kept.extend_from_slice(buffer.get(..count.min(room)).unwrap_or_default());
    }
}

/// A file in memory, without a name, that holds `input`.
fn in_memory(input: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create("input", MemfdFlags::CLOEXEC)?);
    file.write_all(input)?;
    file.rewind()?;
    Ok(file)
}

/// A child and the process group it leads; dropping it kills both.
struct Group {
    child: Child,
    pid: Pid,
    /// Becomes readable when the leader has ended, without reaping it.
    leader: AsyncFd<OwnedFd>,
    is_over: bool,
}

impl Group {
    fn spawn(argv: &[String], input: &[u8]) -> io::Result<Self> {
        let (program, arguments) = argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut child = Command::new(program)
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LANG", "C.UTF-8")
            .current_dir("/")
            .stdin(in_memory(input)?)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let pid = pid.ok_or(io::ErrorKind::NotFound)?;
        match watch(pid) {
            Ok(leader) => Ok(Self { child, pid, leader, is_over: false }),
            Err(error) => {
                let _ = kill_process_group(pid, Signal::KILL);
                let _ = child.start_kill();
                Err(error)
            }
        }
    }

    async fn exited(&self) -> io::Result<()> {
        self.leader.readable().await.map(|_| ())
    }

    /// Kills what is left of the group and waits until all of it is gone.
    async fn end(&mut self) -> io::Result<ExitStatus> {
        let _ = kill_process_group(self.pid, Signal::KILL);
        let status = self.child.wait().await;
        self.is_over = true;
        let end = Instant::now() + DEATH_WAIT_MAX;
        while test_kill_process_group(self.pid).is_ok() && Instant::now() < end {
            sleep(DEATH_POLL).await;
        }
        status
    }
}

#[expect(deprecated, reason = "its successor is unsafe; an OwnedFd that nobody replaces keeps what that one asks for")]
fn watch(pid: Pid) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(pidfd_open(pid, PidfdFlags::empty())?)
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.is_over {
            let _ = kill_process_group(self.pid, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{BufRead, BufReader, Read};
    use std::path::PathBuf;
    use std::process::Command;
    use std::time::Duration;

    use super::super::tests::block_on;
    use super::{COMMAND_TIMEOUT, Group, How, OUTPUT_BYTES_MAX, run};

    /// Long enough for a script to start; it never ends by itself.
    const SHORT: Duration = Duration::from_millis(300);

    fn shell(script: &str) -> Vec<String> {
        ["/bin/bash", "-c", script].map(str::to_owned).to_vec()
    }

    /// A pipe that processes hold open while they live.
    fn fifo() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        (folder, path)
    }

    #[test]
    fn a_program_has_all_of_its_input_whatever_becomes_of_us() {
        let (_folder, path) = fifo();
        let input = vec![b'x'; 1 << 20];
        block_on(async {
            // From here on nothing of ours runs that could feed it.
            let _group = Group::spawn(&shell(&format!("cat > {}", path.display())), &input).unwrap();
            let pipe = BufReader::new(File::open(&path).unwrap());
            assert_eq!(until_all_are_dead(pipe).len(), input.len());
        });
    }

    /// Ends only when every process that has the pipe open is dead.
    fn until_all_are_dead(mut pipe: BufReader<File>) -> String {
        let (done, result) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut rest = String::new();
            pipe.read_to_string(&mut rest).unwrap();
            done.send(rest).unwrap();
        });
        result.recv_timeout(Duration::from_secs(20)).expect("somebody lives on")
    }

    /// Two processes that hold the pipe open and mind no signal that can be minded.
    fn stubborn(fifo: &std::path::Path) -> String {
        let ignore = "trap '' TERM HUP INT PIPE";
        format!(
            "exec 9>{0}; {ignore}; (while :; do sleep 100; done) & echo up >&9; while :; do sleep 100; done",
            fifo.display()
        )
    }

    #[test]
    fn the_deadline_kills_the_whole_group() {
        let (_folder, path) = fifo();
        let argv = shell(&stubborn(&path));
        let pipe = std::thread::spawn(move || BufReader::new(File::open(path).unwrap()));
        let ended = block_on(run(&argv, b"", SHORT)).unwrap();
        assert!(matches!(ended.how, How::Deadline(limit) if limit == SHORT));
        assert_eq!(until_all_are_dead(pipe.join().unwrap()), "up\n");
    }

    #[test]
    fn who_goes_away_kills_the_whole_group() {
        let (_folder, path) = fifo();
        let argv = shell(&stubborn(&path));
        let pipe = block_on(async {
            let up = tokio::task::spawn_blocking(move || {
                let mut pipe = BufReader::new(File::open(path).unwrap());
                let mut line = String::new();
                pipe.read_line(&mut line).unwrap();
                assert_eq!(line, "up\n");
                pipe
            });
            tokio::select! {
                _ = run(&argv, b"", COMMAND_TIMEOUT) => panic!("it never ends"),
                pipe = up => pipe.unwrap(),
            }
        });
        until_all_are_dead(pipe);
    }

    #[test]
    fn what_a_leader_leaves_behind_is_killed() {
        let (_folder, path) = fifo();
        let argv = shell(&format!("exec 9>{}; (while :; do sleep 100; done) & exit 4", path.display()));
        let pipe = std::thread::spawn(move || BufReader::new(File::open(path).unwrap()));
        let ended = block_on(run(&argv, b"", COMMAND_TIMEOUT)).unwrap();
        assert!(matches!(ended.how, How::Exited(status) if status.code() == Some(4)));
        until_all_are_dead(pipe.join().unwrap());
    }

    #[test]
    fn output_is_bounded_and_never_makes_the_program_wait() {
        let spam = shell("head -c 3000000 /dev/zero >&2; head -c 3000000 /dev/zero; echo done > /dev/null");
        let ended = block_on(run(&spam, &vec![b'x'; 1_000_000], COMMAND_TIMEOUT)).unwrap();
        assert!(matches!(ended.how, How::Exited(status) if status.success()));
        assert_eq!((ended.stdout.len(), ended.stderr.len()), (OUTPUT_BYTES_MAX, OUTPUT_BYTES_MAX));
    }

    #[test]
    fn all_of_the_input_arrives() {
        let ended = block_on(run(&shell("wc -c"), &vec![b'x'; 1_000_000], COMMAND_TIMEOUT)).unwrap();
        assert_eq!(ended.stdout.as_slice(), b"1000000\n");
    }
}

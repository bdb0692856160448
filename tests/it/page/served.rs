//! A page on a port of its own, as the daemon would send it.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

/// Serves until it is dropped.
pub(super) struct Served {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    pub(super) fn new(html: &str, policy: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("known");
        let answer = format!(
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/html; charset=utf-8\r\n\
             content-security-policy: {policy}\r\ncontent-length: {}\r\n\r\n{html}",
            html.len()
        );
        let stop: Arc<AtomicBool> = Arc::default();
        let (told, answer) = (Arc::clone(&stop), Arc::<str>::from(answer));
        let thread = thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if told.load(Ordering::SeqCst) {
                    return;
                }
                // A browser opens connections ahead of their use.
                let answer = Arc::clone(&answer);
                thread::spawn(move || reply(stream, &answer));
            }
        });
        Self { address, stop, thread: Some(thread) }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn reply(mut stream: TcpStream, page: &str) {
    let mut lines = BufReader::new(stream.try_clone().expect("cloned")).lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    let _ = lines.find(String::is_empty);
    let nowhere = "HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let answer = if first.starts_with("GET / ") { page } else { nowhere };
    let _ = stream.write_all(answer.as_bytes());
}

//! Its metrics socket: HTTP over a UNIX stream (reference/sfptpd.md section 6.3).

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use super::VERSION;
use super::samples::{Kept, Sample};

/// How many it serves at a time; the next waits.
const AT_ONCE: usize = 2;

/// What those who ask are answered from.
#[derive(Clone, Debug)]
pub(super) struct Answers {
    pub(super) kept: Rc<RefCell<Kept>>,
    pub(super) prefix: String,
    /// It hangs: nobody is answered any more.
    pub(super) hanging: Rc<Cell<bool>>,
}

impl Answers {
    /// Serves whoever asks.
    pub(super) async fn serve(self, listener: UnixListener) {
        let room = Arc::new(Semaphore::new(AT_ONCE));
        while let Ok(place) = Arc::clone(&room).acquire_owned().await {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let answers = self.clone();
            tokio::task::spawn_local(async move {
                // One that breaks off has nothing to be told.
                let _ = answers.answer(stream).await;
                drop(place);
            });
        }
    }

    /// Answers what one connection asks, until it ends.
    async fn answer(&self, stream: UnixStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let mut request = String::new();
            if stream.read_line(&mut request).await? == 0 {
                return Ok(());
            }
            let mut close = false;
            loop {
                let mut header = String::new();
                if stream.read_line(&mut header).await? == 0 {
                    return Ok(());
                }
                let header = header.trim().to_ascii_lowercase();
                close |= header == "connection: close";
                if header.is_empty() {
                    break;
                }
            }
            if self.hanging.get() {
                pending::<()>().await;
            }
            stream.write_all(self.reply(&request).as_bytes()).await?;
            if close {
                return Ok(());
            }
        }
    }

    fn reply(&self, request: &str) -> String {
        let mut words = request.split_whitespace();
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut kept = self.kept.borrow_mut();
        // Who does not say `/peek/` takes what is there from everybody else.
        let (path, peek) = match path.strip_prefix("/peek") {
            Some(path) => (path, true),
            None => (path, false),
        };
        // Of metrics one line stays, for those who only want how it is now.
        let (kind, body, left) = match path {
            "/metrics" => {
                ("application/openmetrics-text; version=1.0.0", kept.metrics(&self.prefix), 1)
            }
            "/rt-stats.jsonl" => ("application/x-ndjson", kept.render(Sample::json), 0),
            "/rt-stats.json-seq" => {
                let framed = |sample: &Sample| format!("\x1e{}", sample.json());
                ("application/json-seq", kept.render(framed), 0)
            }
            "/rt-stats.txt" => ("text/plain", kept.render(Sample::text), 0),
            _ => return "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
        };
        let (length, lost) = (body.len(), kept.lost);
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {length}\r\n\
             Server: sfptpd/{VERSION}\r\nX-Sfptpd-Lost-Samples: {lost}\r\n\r\n"
        );
        if method != "GET" {
            return head;
        }
        if !peek {
            kept.taken_but(left);
        }
        head + &body
    }
}

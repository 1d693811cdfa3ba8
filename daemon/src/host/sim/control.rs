//! The control socket: lines in, answers out, so that a person or a test drives a running daemon.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream as StdStream;
use std::path::Path;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tracing::warn;

use super::Sim;
use super::action::{Action, ActionError};

/// The longest line: several times the longest action there is.
const LONGEST_LINE: u64 = 1024;

/// How many may drive one machine at once; more wait to be let in.
const MOST_CLIENTS: usize = 16;

impl Sim {
    /// Listens on a socket where each line is an [`Action`], answered `ok`, or `error: ` and what
    /// did not happen, why, and what to do, in one line. The socket is there when this returns; the
    /// future serves it until dropped. A socket that nobody serves any more is replaced.
    ///
    /// # Errors
    /// The socket cannot be made, or somebody serves it.
    pub fn serve_control(&self, path: &Path) -> io::Result<impl Future<Output = ()> + use<>> {
        let listener = match UnixListener::bind(path) {
            Err(error) if error.kind() == ErrorKind::AddrInUse && is_abandoned(path) => {
                std::fs::remove_file(path)?;
                UnixListener::bind(path)?
            }
            result => result?,
        };
        Ok(serve(self.clone(), listener))
    }

    /// The answer to one line.
    fn answer_line(&self, line: &[u8]) -> String {
        let text = String::from_utf8_lossy(line);
        let done = text.trim().parse::<Action>().and_then(|action| self.act(&action));
        match done {
            Ok(()) => "ok\n".to_owned(),
            Err(error) => refusal(&error),
        }
    }
}

fn refusal(error: &ActionError) -> String {
    format!("error: {}\n", error.to_string().replace('\n', " "))
}

/// A socket without a server. Connecting to a plain file is refused in the same words.
fn is_abandoned(path: &Path) -> bool {
    let is_socket = path.symlink_metadata().is_ok_and(|found| found.file_type().is_socket());
    is_socket
        && matches!(StdStream::connect(path), Err(error) if error.kind() == ErrorKind::ConnectionRefused)
}

async fn serve(sim: Sim, listener: UnixListener) {
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if clients.len() < MOST_CLIENTS => match accepted {
                Ok((stream, _)) => {
                    clients.spawn(talk(sim.clone(), stream));
                }
                Err(error) => warn!(%error, "simulator control: no more clients are accepted"),
            },
            Some(ended) = clients.join_next() => match ended {
                Ok(Ok(())) => {}
                Ok(Err(error)) => warn!(%error, "simulator control: client lost"),
                Err(error) => warn!(%error, "simulator control: client ended badly"),
            },
        }
    }
}

async fn talk(sim: Sim, stream: UnixStream) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = (&mut read).take(LONGEST_LINE).read_until(b'\n', &mut line).await?;
        if length == 0 {
            return Ok(());
        }
        if u64::try_from(length).unwrap_or(u64::MAX) >= LONGEST_LINE && line.last() != Some(&b'\n')
        {
            let error = ActionError::new(
                "the line is not done",
                format!("it is longer than {LONGEST_LINE} bytes"),
                "write one action a line",
            );
            return write.write_all(refusal(&error).as_bytes()).await;
        }
        write.write_all(sim.answer_line(&line).as_bytes()).await?;
    }
}

//! `keys`: a key of one's own for kernel modules, and modules signed by it. It needs no onloadd: keys
//! are made and used on the desk of who builds a release, and a private key does not belong on a
//! node. Whatever touches a private key is done by the system's openssl.

mod certificate;
mod compression;
mod der;
mod directory;
mod draft;
mod generate;
mod openssl;
mod sign;
mod signature;
mod words;

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use onload_dbus::error::Kind;
use tokio::signal::unix::{SignalKind, signal};

use crate::ended::{Complaint, Ended};
use crate::render::Output;
use crate::render::paint::plain;

pub use words::KeysVerb;

/// Ctrl-C reaches openssl as well, which gives the terminal its echo back before it ends; only one
/// that does not end is ended.
const ENDS_WITHIN: Duration = Duration::from_secs(2);

/// Does what was asked and gives the exit code.
pub async fn run(output: Output, verb: KeysVerb) -> Result<u8, Ended> {
    let stopped = Cell::new(false);
    let work = async {
        match verb {
            KeysVerb::Generate(wanted) => generate::run(output, &wanted).await,
            KeysVerb::Sign(wanted) => sign::run(output, &wanted, &stopped).await,
        }
    };
    // What is half done is removed when the work is dropped, which a signal's default would not do.
    let mut work = pin!(work);
    tokio::select! {
        done = &mut work => done,
        heard = stop() => {
            heard?;
            stopped.set(true);
            // What fails now fails because openssl was asked to stop as well.
            match tokio::time::timeout(ENDS_WITHIN, work).await {
                Ok(Ok(code)) => Ok(code),
                Ok(Err(_)) | Err(_) => Err(cancelled().into()),
            }
        }
    }
}

/// Resolves when somebody wants this to end.
async fn stop() -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}

fn cancelled() -> Complaint {
    let (why, fix) = ("it was asked to stop", "run it again: what was done already stays done");
    Complaint::of(Kind::Cancelled, "not everything was done", why, fix)
}

/// What an error of the file system means to whoever asked.
fn file_fault(what: &str, doing: &str, path: &Path, error: &io::Error) -> Complaint {
    let (kind, fix) = match error.kind() {
        ErrorKind::NotFound => (Kind::NotFound, "see that the path is right"),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            (Kind::NotAuthorized, "ask as a user who may, or use a copy where you may write")
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => (Kind::Internal, "make room"),
        _ => (Kind::Internal, "see whether the file system is sound"),
    };
    Complaint::of(kind, what, format!("{} {doing}: {error}", shown(path)), fix)
}

/// A path as people read it.
fn shown(path: &Path) -> String {
    plain(&path.to_string_lossy())
}

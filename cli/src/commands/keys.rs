//! `keys`: a key of one's own for kernel modules, and modules signed by it. That needs no onloadd: keys
//! are made and used on the desk of who builds a release, and a private key does not belong on a
//! node. Whatever touches a private key is done by the system's openssl. Only what is about the keys
//! that a node trusts goes through onloadd.

pub mod certificate;
mod compression;
pub mod directory;
mod draft;
mod generate;
mod import;
mod layer;
mod list;
mod openssl;
pub mod password;
mod revoke_request;
mod sealed;
pub mod secure_boot;
mod show;
mod sign;
mod status;
pub mod terminal;
mod words;

use std::cell::Cell;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::thread;
use std::time::Duration;

use onload_dbus::error::{Kind, exit};
use rustix::fs::{Mode, OFlags, open};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use tokio::sync::oneshot;

use crate::args;
use crate::bus::Bus;
use crate::ended::{Complaint, Ended};
use crate::follow::Until;
use crate::live;
use crate::render::Output;
use crate::render::paint::plain;
use crate::stopped::{self, ended};

pub use import::typed;
pub use list::read as read_list;
pub use status::read as read_status;
pub use words::KeysVerb;
use words::{DeskVerb, NodeVerb};

/// What a URI says a PIN by (RFC 7512 section 2.4).
const PIN: &str = "pin-value=";
/// Ctrl-C reaches openssl as well, which gives the terminal its echo back before it ends; only one
/// that does not end is ended.
const ENDS_WITHIN: Duration = Duration::from_secs(2);

/// Does what was asked and gives the exit code.
pub async fn run(bus: &args::Bus, output: Output, verb: KeysVerb) -> Result<u8, Ended> {
    leave_no_image();
    match verb {
        KeysVerb::Desk(verb) => desk(output, verb).await,
        KeysVerb::Node(verb) => node(bus, output, verb).await,
    }
}

/// Has no image of this memory kept, nor read by other programs of the same user: passwords and
/// passphrases are in it. The limit holds for openssl as well.
pub fn leave_no_image() {
    // Each of them alone does the most of it, and neither is a reason not to go on.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
}

async fn node(choice: &args::Bus, output: Output, verb: NodeVerb) -> Result<u8, Ended> {
    let until = |no_follow| if no_follow { Until::Taken } else { Until::Ended };
    match verb {
        NodeVerb::Import(wanted) => {
            let until = until(wanted.no_follow);
            return import::run(choice, output, until, &wanted).await;
        }
        NodeVerb::RevokeRequest { all, no_follow } => {
            let bus = Bus::connect(choice).await?;
            revoke_request::order(&bus, output, until(no_follow), all).await?;
        }
        NodeVerb::List(how) => {
            drop(live::show(&Bus::connect(choice).await?, output, how.watch, list::read).await?);
        }
        NodeVerb::Status(how) => {
            let bus = Bus::connect(choice).await?;
            let status = live::show(&bus, output, how.watch, status::read).await?;
            // Who watched has seen how it stands; who asked once is told by the code as well.
            let open = !how.watch && !status.to_do.is_empty();
            return Ok(if open { exit::BLOCKED } else { exit::AS_WANTED });
        }
    }
    Ok(exit::AS_WANTED)
}

async fn desk(output: Output, verb: DeskVerb) -> Result<u8, Ended> {
    let stopped = Cell::new(false);
    let work = async {
        match verb {
            DeskVerb::Generate(wanted) => generate::run(output, &wanted).await,
            DeskVerb::Show(wanted) => show::run(output, &wanted).await,
            DeskVerb::Sign(wanted) => sign::run(output, &wanted, &stopped).await,
        }
    };
    let stop = stopped::stopped()?;
    // What is half done is removed when the work is dropped, which a signal's default would not do.
    let mut work = pin!(work);
    tokio::select! {
        done = &mut work => done,
        () = stop => {
            stopped.set(true);
            // What fails now fails because openssl was asked to stop as well.
            match tokio::time::timeout(ENDS_WITHIN, work).await {
                Ok(Ok(code)) => Ok(code),
                Ok(Err(_)) | Err(_) => Err(cancelled().into()),
            }
        }
    }
}

/// Resolves, as what follows an order ends, when somebody wants this to end; an interrupt is meant for
/// the order. From the call on it is heard.
fn left() -> io::Result<impl Future<Output = Ended>> {
    let ended = ended()?;
    Ok(async move {
        ended.await;
        let (what, why) = ("the end of the order was not seen", "it was asked to stop");
        let fix = "`onloadctl jobs` and `onloadctl keys status` show how it stands";
        Complaint::of(Kind::Cancelled, what, why, fix).into()
    })
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

/// Has a thread of its own do what may wait for ever, so that signals are heard meanwhile. It is not
/// waited for when the program ends.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (tell, told) = oneshot::channel();
    // Nobody listens any more when the program was asked to stop.
    thread::Builder::new().spawn(move || drop(tell.send(work())))?;
    told.await.unwrap_or_else(|_| Err(ErrorKind::Interrupted.into()))
}

/// The absolute path of a file that openssl reads by itself, and more than once. Absolute, so that no
/// name is taken for an option or for a URI.
///
/// # Errors
/// It cannot be read, or not twice: a pipe would be waited for, and be empty then.
fn readable(path: &Path, what: &str) -> Result<PathBuf, Complaint> {
    let refuse = |error: io::Error| file_fault(what, "cannot be read", path, &error);
    let absolute = std::path::absolute(path).map_err(refuse)?;
    // A pipe is opened at once so, with nobody at its other end.
    let how = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = open(&absolute, how, Mode::empty()).map_err(|error| refuse(error.into()))?;
    if File::from(opened).metadata().map_err(refuse)?.is_file() {
        return Ok(absolute);
    }
    let why = format!("{} is no file, and it is read more than once", shown(path));
    let fix = "write it into a file that only you can read, in memory for instance (/dev/shm)";
    Err(Complaint::of(Kind::InvalidArgument, what, why, fix))
}

/// A path as people read it. A URI that was given in the place of one keeps its PIN to itself.
fn shown(path: &Path) -> String {
    let text = path.to_string_lossy();
    let pin = text.to_ascii_lowercase().find(PIN).map(|at| at + PIN.len());
    match pin.and_then(|at| text.get(..at)) {
        Some(start) => plain(&format!("{start}…")),
        None => plain(&text),
    }
}

/// Where files failed for the same reason its code; for several reasons the one that says only that.
fn code(codes: &[u8]) -> u8 {
    match codes {
        [] => exit::AS_WANTED,
        [first, rest @ ..] if rest.iter().all(|code| code == first) => *first,
        _ => exit::FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reason_gives_its_code() {
        assert_eq!(code(&[]), exit::AS_WANTED);
        assert_eq!(code(&[exit::BLOCKED, exit::BLOCKED]), exit::BLOCKED);
        assert_eq!(code(&[exit::BLOCKED, exit::USAGE]), exit::FAILED);
    }
}

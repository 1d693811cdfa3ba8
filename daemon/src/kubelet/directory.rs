//! A directory of the kubelet's, watched: whether it is there, each coming of a kubelet, and the
//! loss of sockets. Where it is not there yet, the nearest directory above it is watched.

use std::convert::Infallible;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use inotify::{EventMask, EventOwned, Inotify, WatchMask};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio_stream::StreamExt;

use super::socket;

/// The name of the kubelet's own socket (reference/kubelet-api.md section 1).
pub(super) const KUBELET_SOCKET: &str = "kubelet.sock";

/// Between two looks where inotify cannot be had: as slow as the slowest back-off.
const BLIND_PAUSE: Duration = Duration::from_secs(10);
/// Room for a burst of events; each takes 16 bytes and its name.
const EVENTS: usize = 4096;

/// Events after which the watch tells nothing more, or has not told all: look from the beginning.
/// A directory made anew can have the inode of the one removed, so comparing is not enough.
const LOST: EventMask = EventMask::Q_OVERFLOW
    .union(EventMask::IGNORED)
    .union(EventMask::UNMOUNT)
    .union(EventMask::DELETE_SELF)
    .union(EventMask::MOVE_SELF);

/// What was seen. Receivers are woken for each thing they may want to look at again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sight {
    /// The directory is there.
    pub(super) present: bool,
    /// How many times a kubelet's socket has appeared.
    pub(super) kubelets: u64,
}

/// What is told beside the sight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// A kubelet's socket has appeared.
    Kubelet,
    /// A socket of another plugin has come or gone: its owner may be one who changes the same
    /// modules, or takes a resource that is ours.
    Other,
}

/// Watches for ever.
pub(super) async fn watch(
    directory: &Path,
    sight: &watch::Sender<Sight>,
    told: impl Fn(Word),
) -> Infallible {
    let mut kubelet = None;
    loop {
        if let Err(error) = look(directory, sight, &told, &mut kubelet).await {
            tracing::warn!(
                directory = %directory.display(), %error,
                "the kubelet's directory cannot be watched; looking every ten seconds instead",
            );
            tokio::time::sleep(BLIND_PAUSE).await;
        }
    }
}

/// Watches one inode until it is not the right one to watch any more.
async fn look(
    directory: &Path,
    sight: &watch::Sender<Sight>,
    told: &impl Fn(Word),
    kubelet: &mut Option<Identity>,
) -> io::Result<()> {
    let place = nearest(directory);
    let present = place == directory;
    let watching = start(place);
    // Seen after the watch began, so nothing falls in between; and also where it could not begin.
    let socket = if present { identity(&directory.join(KUBELET_SOCKET)) } else { None };
    let come = socket.is_some() && socket != *kubelet;
    *kubelet = socket;
    sight.send_modify(|sight| {
        sight.present = present;
        sight.kubelets += u64::from(come);
    });
    if come {
        told(Word::Kubelet);
    }
    let mut events = match watching {
        // Gone between two lines of this.
        Err(_) if nearest(directory) != place => return Ok(()),
        watching => watching?,
    };
    let mounts = mounts()?;
    let here = identity(place);
    let moved = || nearest(directory) != place || identity(place).map(inode) != here.map(inode);
    while !moved() {
        let event = tokio::select! {
            event = events.next() => event.ok_or(io::ErrorKind::UnexpectedEof)??,
            mounted = mounted(&mounts) => {
                mounted?;
                continue;
            }
        };
        if present && come_anew(&event) {
            *kubelet = identity(&directory.join(KUBELET_SOCKET));
            sight.send_modify(|sight| sight.kubelets += 1);
            told(Word::Kubelet);
        } else if present && own_lost(&event) {
            sight.send_modify(|_| {});
        } else if present && of_another(&event) {
            told(Word::Other);
        } else if event.mask.intersects(LOST) {
            return Ok(());
        }
    }
    Ok(())
}

fn start(place: &Path) -> io::Result<inotify::EventStream<[u8; EVENTS]>> {
    let inotify = Inotify::init()?;
    inotify.watches().add(
        place,
        WatchMask::CREATE
            | WatchMask::DELETE
            | WatchMask::MOVE
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR,
    )?;
    inotify.into_event_stream([0; EVENTS])
}

fn come_anew(event: &EventOwned) -> bool {
    event.mask.intersects(EventMask::CREATE | EventMask::MOVED_TO)
        && event.name.as_deref().is_some_and(|name| name == KUBELET_SOCKET)
}

fn own_lost(event: &EventOwned) -> bool {
    event.mask.intersects(EventMask::DELETE | EventMask::MOVED_FROM)
        && event.name.as_deref().is_some_and(socket::is_own_name)
}

fn of_another(event: &EventOwned) -> bool {
    let is_other = |name: &OsStr| {
        name != KUBELET_SOCKET
            && !socket::is_own_name(name)
            && Path::new(name).extension().is_some_and(|extension| extension == "sock")
    };
    event.name.as_deref().is_some_and(is_other)
}

/// The directory, or the nearest above it that is there.
fn nearest(directory: &Path) -> &Path {
    let there = directory.ancestors().find(|path| path.is_dir());
    there.unwrap_or_else(|| Path::new("/"))
}

/// The table of mounts, which can be waited on. A file system mounted over an empty directory
/// brings the kubelet's with it, and inotify on what it hides says nothing.
#[expect(
    deprecated,
    reason = "sound for a File, which keeps its descriptor; the successor is unsafe"
)]
fn mounts() -> io::Result<AsyncFd<File>> {
    let table = File::open("/proc/self/mountinfo")?;
    AsyncFd::with_interest(table, Interest::PRIORITY)
}

async fn mounted(mounts: &AsyncFd<File>) -> io::Result<()> {
    mounts.ready(Interest::PRIORITY).await?.clear_ready();
    Ok(())
}

/// A file, told apart from a later one of the same name: device, inode, change time. Inode numbers
/// alone are used again at once on most file systems.
type Identity = (u64, u64, i64, i64);

fn identity(path: &Path) -> Option<Identity> {
    let found = fs::metadata(path).ok()?;
    Some((found.dev(), found.ino(), found.ctime(), found.ctime_nsec()))
}

fn inode((device, inode, ..): Identity) -> (u64, u64) {
    (device, inode)
}

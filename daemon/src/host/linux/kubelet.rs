//! The kubelet's registration socket: whether it is there, and word of its coming and going.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask};
use onload_core::inventory::KubeletSocket;
use onload_core::reading::Reading;

use super::root::{Dir, Kind};

/// Name of the socket (reference/kubelet-api.md section 1).
const SOCKET: &str = "kubelet.sock";
/// Name of the Onload Operator's socket beside it (reference/kubernetes-onload.md section 1.4).
pub(super) const PLUGIN_SOCKET: &str = "sfc-deviceplugin.sock";
/// Room for several events with the longest names.
const EVENT_BYTES: usize = 4096;
/// How often the watch moves along a path that is being made or removed before it waits where it
/// is: more often than a path has components, so only a race that never ends stops it.
const MOVES: usize = 64;

/// The socket in the kubelet's directory below the root.
pub(super) fn socket(root: &Dir, directory: &str) -> Reading<KubeletSocket> {
    let path = format!("{}/{SOCKET}", directory.trim_end_matches('/'));
    root.node(&path).and_then(|node| match node.kind {
        Kind::Socket => Reading::Known(KubeletSocket { inode: node.inode }),
        Kind::File | Kind::Directory | Kind::Link | Kind::Character { .. } | Kind::Other => {
            Reading::Unreadable(format!("{path} is not a socket"))
        }
    })
}

/// Watches the kubelet's directory, or while there is none, the nearest directory above it.
#[derive(Debug)]
pub(super) struct Watch {
    inotify: Inotify,
    directory: PathBuf,
    armed: Option<Armed>,
}

#[derive(Debug)]
struct Armed {
    watch: WatchDescriptor,
    at: PathBuf,
    /// The name there that matters: the socket, or the next directory on the way to it.
    awaited: OsString,
}

impl Watch {
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        let inotify = Inotify::init()?;
        let mut watch = Self { inotify, directory: directory.to_owned(), armed: None };
        watch.arm()?;
        Ok(watch)
    }

    /// The descriptor that becomes readable.
    pub(super) fn inotify(&self) -> &Inotify {
        &self.inotify
    }

    /// Takes what came; true when it may concern the socket. Moves the watch where it belongs.
    ///
    /// # Errors
    /// The watch cannot be set any more; the socket is then seen by the next look only.
    pub(super) fn heard(&mut self) -> io::Result<bool> {
        let mut buffer = [0; EVENT_BYTES];
        let (mut heard, mut lost) = (false, false);
        loop {
            let events = match self.inotify.read_events(&mut buffer) {
                Ok(events) => events,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            for event in events {
                let here = self.armed.as_ref().filter(|armed| armed.watch == event.wd);
                let awaited = here.is_some_and(|armed| {
                    let beside =
                        armed.awaited == SOCKET && event.name == Some(PLUGIN_SOCKET.as_ref());
                    event.name == Some(armed.awaited.as_os_str()) || beside
                });
                let moved = EventMask::DELETE_SELF | EventMask::MOVE_SELF | EventMask::UNMOUNT;
                lost |= here.is_some() && event.mask.intersects(moved);
                heard |= awaited || event.mask.contains(EventMask::Q_OVERFLOW);
            }
        }
        if lost {
            self.disarm();
        }
        if heard || lost {
            self.arm()?;
        }
        Ok(heard || lost)
    }

    /// Sets the watch where the next thing will happen. Each time it was set it looks again, for
    /// what it waits for may have happened just before.
    fn arm(&mut self) -> io::Result<()> {
        for _ in 0..MOVES {
            let (at, awaited) = nearest(&self.directory);
            if self.armed.as_ref().is_some_and(|armed| armed.at == at) {
                return Ok(());
            }
            self.disarm();
            let mut mask = WatchMask::CREATE
                | WatchMask::MOVED_TO
                | WatchMask::DELETE_SELF
                | WatchMask::MOVE_SELF
                | WatchMask::ONLYDIR;
            // Further up only the coming of the next directory matters, and others are at work.
            if at == self.directory {
                mask |= WatchMask::MOVED_FROM | WatchMask::DELETE;
            }
            match self.inotify.watches().add(&at, mask) {
                Ok(watch) => self.armed = Some(Armed { watch, at, awaited }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn disarm(&mut self) {
        if let Some(former) = self.armed.take() {
            // Fails when the directory is gone, and the watch with it.
            let _ = self.inotify.watches().remove(former.watch);
        }
    }
}

/// The directory to watch, and the name in it to wait for.
fn nearest(directory: &Path) -> (PathBuf, OsString) {
    let mut awaited = OsString::from(SOCKET);
    for at in directory.ancestors() {
        if at.is_dir() {
            return (at.to_owned(), awaited);
        }
        awaited = at.file_name().map(OsString::from).unwrap_or_default();
    }
    (PathBuf::from("/"), awaited)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::net::UnixListener;

    use super::super::root::tests::root_with;
    use super::*;

    #[test]
    fn only_a_socket_is_the_socket() {
        let (place, root) = root_with(&[("k/kubelet.sock", ""), ("l/other", "")]);
        assert!(socket(&root, "/k").is_unreadable());
        assert_eq!(socket(&root, "/l/"), Reading::Absent);
        assert_eq!(socket(&root, "/nowhere"), Reading::Absent);
        let _listener = UnixListener::bind(place.path().join("l/kubelet.sock")).unwrap();
        let first = socket(&root, "l").into_known().unwrap();
        assert_ne!(first.inode, 0);
    }

    #[test]
    fn the_watch_follows_the_directory_down_and_up() {
        let place = tempfile::tempdir().unwrap();
        let kubelet = place.path().join("lib/kubelet/device-plugins");
        let mut watch = Watch::open(&kubelet).unwrap();
        assert!(!watch.heard().unwrap(), "nothing happened");
        fs::write(place.path().join("unrelated"), "").unwrap();
        assert!(!watch.heard().unwrap(), "not on the way");
        fs::create_dir_all(&kubelet).unwrap();
        assert!(watch.heard().unwrap(), "the first directory on the way was made");
        fs::write(kubelet.join("onloadd.sock"), "").unwrap();
        assert!(!watch.heard().unwrap(), "another plugin's socket");
        fs::write(kubelet.join(SOCKET), "").unwrap();
        assert!(watch.heard().unwrap());
        fs::remove_file(kubelet.join(SOCKET)).unwrap();
        assert!(watch.heard().unwrap());
        fs::remove_dir_all(place.path().join("lib")).unwrap();
        assert!(watch.heard().unwrap(), "the directory went away");
        fs::create_dir_all(&kubelet).unwrap();
        fs::write(kubelet.join(SOCKET), "").unwrap();
        assert!(watch.heard().unwrap(), "and came back");
        fs::remove_file(kubelet.join(SOCKET)).unwrap();
        assert!(watch.heard().unwrap(), "watched there again");
    }
}

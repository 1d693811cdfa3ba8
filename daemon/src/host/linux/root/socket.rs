//! Sockets below a root.

use std::os::fd::OwnedFd;

use nix::fcntl::OFlag;
use nix::sys::stat::fstat;
use onload_core::reading::Reading;

use super::{Dir, Kind, gap, kind_of};

impl Dir {
    /// A socket, to be connected to through its descriptor: links on the way have been resolved below
    /// this root. A recording leaves what is said there to the caller, see [`Dir::keep`].
    pub(in super::super) fn socket(&self, name: &str) -> Reading<OwnedFd> {
        let opened = self.open(name, OFlag::O_PATH);
        match opened.and_then(|fd| fstat(&fd).map(|stat| (fd, kind_of(&stat)))) {
            Ok((fd, Kind::Socket)) => Reading::Known(fd),
            Ok(_) => Reading::Absent,
            Err(errno) => gap(errno),
        }
    }
}

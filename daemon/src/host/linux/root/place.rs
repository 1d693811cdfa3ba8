//! Roots for those who are no part of a look: whose files are read, and where their directories really are.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::Dir;

impl Dir {
    /// Opens a root of which nothing but its files is wanted.
    pub(crate) fn open_root(path: &Path) -> io::Result<Self> {
        Ok(Self::root(path, BTreeMap::new())?)
    }

    /// Where a directory really is that this root, opened at `base`, shows under a name: a path without links,
    /// so that what is written there is not outside, in a tree that nobody changes meanwhile. None where there is
    /// none. The running machine's own is where it says.
    pub(in super::super) fn place(&self, base: &Path, name: &str) -> io::Result<Option<PathBuf>> {
        if base == Path::new("/") {
            return Ok(Some(base.join(name.trim_start_matches('/'))));
        }
        match self.open(name, OFlag::O_PATH | OFlag::O_DIRECTORY) {
            Ok(fd) => fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).map(Some),
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

//! A directory that stays the one it was when it was opened, whatever its path leads to by now. In a
//! directory of somebody else every name can become another thing between two calls: so whatever is
//! made there is used by descriptor only, and names serve to make, to move and to remove.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, linkat, mkdirat, openat, renameat};
use rustix::fs::{renameat_with, symlinkat, unlinkat};
use rustix::io::Errno;

/// An open directory.
#[derive(Debug)]
pub struct Directory(File);

impl Directory {
    /// The one a file is in, and the name that the file has there.
    ///
    /// # Errors
    /// It cannot be opened and listed.
    pub fn of(file: &Path) -> io::Result<(Self, OsString)> {
        let directory = file.parent().filter(|path| !path.as_os_str().is_empty());
        let here = OsStr::new(".");
        let opened = File::open(directory.unwrap_or(Path::new(here)))?;
        Ok((Self(opened), file.file_name().unwrap_or(here).to_owned()))
    }

    /// The open file behind it.
    pub fn file(&self) -> &File {
        &self.0
    }

    /// Opens what has this name for reading. No link is followed, and no pipe is waited for.
    ///
    /// # Errors
    /// It cannot be opened, or is a link.
    pub fn open(&self, name: &OsStr) -> io::Result<File> {
        self.opened(name, OFlags::RDONLY | OFlags::NONBLOCK)
    }

    /// Makes a file that only its owner can use.
    ///
    /// # Errors
    /// The name is taken, or nothing can be made.
    pub fn create(&self, name: &OsStr) -> io::Result<File> {
        let how = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        self.opened(name, how)
    }

    /// Makes a directory that only its owner can enter, and opens it.
    ///
    /// # Errors
    /// The name is taken, or nothing can be made.
    pub fn create_directory(&self, name: &OsStr) -> io::Result<Self> {
        mkdirat(&self.0, name, Mode::RWXU)?;
        self.enter(name)
    }

    /// What has this name now: of a link the link itself.
    ///
    /// # Errors
    /// Nothing has it.
    pub fn look(&self, name: &OsStr) -> io::Result<Metadata> {
        self.opened(name, OFlags::PATH)?.metadata()
    }

    /// Opens a directory in it. No link is followed.
    ///
    /// # Errors
    /// There is none, or it is a link or something else.
    pub fn enter(&self, name: &OsStr) -> io::Result<Self> {
        self.opened(name, OFlags::RDONLY | OFlags::DIRECTORY).map(Self)
    }

    /// Makes a link.
    ///
    /// # Errors
    /// The name is taken, or nothing can be made.
    pub fn link(&self, name: &OsStr, target: &OsStr) -> io::Result<()> {
        Ok(symlinkat(target, &self.0, name)?)
    }

    fn opened(&self, name: &OsStr, how: OFlags) -> io::Result<File> {
        let how = how | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(openat(&self.0, name, how, Mode::RUSR | Mode::WUSR)?.into())
    }

    /// Gives a file another name, in the place of what has it.
    ///
    /// # Errors
    /// The file system's.
    pub fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        Ok(renameat(&self.0, from, &self.0, to)?)
    }

    /// Brings a file here from another directory, if nothing has that name here.
    ///
    /// # Errors
    /// Something has it, or the file system's.
    pub fn bring(&self, from: &Self, name: &OsStr, to: &OsStr) -> io::Result<()> {
        match renameat_with(&from.0, name, &self.0, to, RenameFlags::NOREPLACE) {
            // Old file systems and NFS know only the other way to the same end.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                Ok(linkat(&from.0, name, &self.0, to, AtFlags::empty())?)
            }
            done => Ok(done?),
        }
    }

    /// Takes a name away, if it is there.
    pub fn remove(&self, name: &OsStr) {
        // Nobody to tell; the name says whose it is.
        unlinkat(&self.0, name, AtFlags::empty()).ok();
    }

    /// Takes an empty directory away, if it is there.
    pub fn remove_directory(&self, name: &OsStr) {
        unlinkat(&self.0, name, AtFlags::REMOVEDIR).ok();
    }

    /// Makes the names in it outlive a loss of power.
    ///
    /// # Errors
    /// The file system's.
    pub fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }
}

/// Whether both are the same file, whatever is in it.
pub fn same_file(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

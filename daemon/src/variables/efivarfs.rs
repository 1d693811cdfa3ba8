//! efivarfs, or a directory that stands in for it: one file for each variable. What it answers is in
//! `reference/secure-boot-mok.md` sections 1 and 10.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::Path;

use onload_core::secure_boot::variable::SHIM_LOCK;
use rustix::fs::{
    AtFlags, CWD, IFlags, Mode, OFlags, fchmod, fstat, fstatfs, ftruncate, ioctl_getflags,
    ioctl_setflags, openat, unlinkat,
};
use rustix::io::Errno;

use super::undo::Variables;

/// What `statfs` says of sysfs (`linux/magic.h`): the directory, and nothing mounted on it.
const SYSFS_MAGIC: i64 = 0x6265_6572;
/// Read and written by root: what others may see of a request is on the bus.
const MODE: Mode = Mode::from_raw_mode(0o600);
/// Most that is read of a variable. Firmware takes some ten KiB in one; only what it has can be put
/// back.
const FILE_BYTES: u64 = 1 << 20;

/// The directory.
#[derive(Debug)]
pub(super) struct Efivarfs {
    directory: OwnedFd,
}

impl Efivarfs {
    /// Opens it.
    ///
    /// # Errors
    /// The kernel's answer; ENOENT too where nothing is mounted on it.
    pub(super) fn open(place: &Path) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let directory = openat(CWD, place, flags, Mode::empty())?;
        if fstatfs(&directory)?.f_type == SYSFS_MAGIC {
            return Err(Errno::NOENT.into());
        }
        Ok(Self { directory })
    }

    fn open_file(&self, name: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(&self.directory, file_name(name), flags, MODE)
    }

    /// A file that is there, with its flag cleared; none where it is not there.
    fn unguarded(&self, name: &str) -> io::Result<Option<Unguarded>> {
        match self.open_file(name, OFlags::RDONLY) {
            Ok(file) => Unguarded::new(file).map(Some),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl Variables for Efivarfs {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let file = match self.open_file(name, OFlags::RDONLY) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        let mut bytes = Vec::new();
        file.take(FILE_BYTES).read_to_end(&mut bytes)?;
        // A file without a byte was made, and its variable never written.
        Ok((!bytes.is_empty()).then_some(bytes))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        // Guards it again at the end.
        let unguarded = self.unguarded(name)?;
        // Not truncated: efivarfs gives a file its size with what is written, and takes one without
        // bytes for a variable that is not there.
        let file = self.open_file(name, OFlags::WRONLY | OFlags::CREATE)?;
        let before = fstat(&file)?;
        if unguarded.is_some() && before.st_mode & 0o777 != MODE.as_raw_mode() {
            fchmod(&file, MODE)?;
        }
        // A second one would be a second value.
        let written = rustix::io::write(&file, bytes)?;
        if written != bytes.len() {
            return Err(Errno::IO.into());
        }
        // Only a stand-in keeps the end of what was longer.
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if u64::try_from(fstat(&file)?.st_size).unwrap_or_default() > size {
            ftruncate(&file, size)?;
        }
        Ok(())
    }

    fn delete(&self, name: &str) -> io::Result<()> {
        let Some(unguarded) = self.unguarded(name)? else { return Ok(()) };
        match unlinkat(&self.directory, file_name(name), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {
                unguarded.leave();
                Ok(())
            }
            Err(errno) => Err(errno.into()),
        }
    }
}

/// A file whose flag against changes is cleared, and set again when this is dropped: the kernel
/// guards most variables so, against `rm -r`.
#[derive(Debug)]
struct Unguarded {
    file: OwnedFd,
    /// As they were, if the flag was among them.
    flags: Option<IFlags>,
}

impl Unguarded {
    fn new(file: OwnedFd) -> io::Result<Self> {
        let flags = match ioctl_getflags(&file) {
            Ok(flags) => flags,
            // A file system that knows no flags.
            Err(Errno::NOTTY | Errno::OPNOTSUPP) => IFlags::empty(),
            Err(errno) => return Err(errno.into()),
        };
        if !flags.contains(IFlags::IMMUTABLE) {
            return Ok(Self { file, flags: None });
        }
        ioctl_setflags(&file, flags.difference(IFlags::IMMUTABLE))?;
        Ok(Self { file, flags: Some(flags) })
    }

    /// Sets nothing: what is gone needs no guard.
    fn leave(mut self) {
        self.flags = None;
    }
}

impl Drop for Unguarded {
    fn drop(&mut self) {
        if let Some(flags) = self.flags {
            // The variable is as it shall be; the guard is against accidents only.
            let _ = ioctl_setflags(&self.file, flags);
        }
    }
}

fn file_name(name: &str) -> String {
    format!("{name}-{SHIM_LOCK}")
}

//! The files of a release as a caller hands them over: opened by the caller, so that nothing is
//! read here that they could not open themselves.

use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::{SFlag, fstat};
use onload_dbus::error::{Failure, Kind};

/// Takes a descriptor that release files can be read from: a directory, a file or a pipe.
///
/// # Errors
/// `InvalidArgument` for anything else: a terminal or a device never ends, a socket has another
/// end that can answer, and what was opened for writing only cannot be read.
pub(super) fn readable(fd: zbus::OwnedFd) -> Result<OwnedFd, Failure> {
    let fd = OwnedFd::from(fd);
    match fault(&fd) {
        Ok(None) => Ok(fd),
        Ok(Some(why)) => Err(refuse(why)),
        Err(error) => Err(refuse(&format!("it cannot be looked at: {error}"))),
    }
}

/// Why nothing can be read from a descriptor; none when it can.
fn fault(fd: &OwnedFd) -> Result<Option<&'static str>, Errno> {
    let kind = SFlag::from_bits_truncate(fstat(fd)?.st_mode) & SFlag::S_IFMT;
    if ![SFlag::S_IFDIR, SFlag::S_IFREG, SFlag::S_IFIFO].contains(&kind) {
        return Ok(Some("it is neither a directory nor a file nor a pipe"));
    }
    let flags = OFlag::from_bits_truncate(fcntl(fd, FcntlArg::F_GETFL)?);
    let blind =
        flags.contains(OFlag::O_PATH) || flags.intersection(OFlag::O_ACCMODE) == OFlag::O_WRONLY;
    Ok(blind.then_some("it was not opened for reading"))
}

fn refuse(why: &str) -> Failure {
    Failure::new(
        Kind::InvalidArgument,
        "no release was taken in: files is not what it must be",
        why,
        "hand over a directory, an archive, or the reading end of a pipe",
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed test is what a panic is for.

    use std::fs::{File, OpenOptions};
    use std::os::unix::fs::OpenOptionsExt as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn only_what_can_be_read_to_an_end_is_taken() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        let (socket, _other) = UnixStream::pair().unwrap();
        let opened = |options: &mut OpenOptions| options.open(file.path()).unwrap().into();
        let cases: [(&str, OwnedFd, Option<&str>); 8] = [
            ("a directory", File::open("/").unwrap().into(), None),
            ("a file", opened(OpenOptions::new().read(true)), None),
            ("a file for both", opened(OpenOptions::new().read(true).write(true)), None),
            ("a pipe", reader.into(), None),
            ("its other end", writer.into(), Some("reading")),
            ("a file to write to", opened(OpenOptions::new().write(true)), Some("reading")),
            (
                "a mere place",
                opened(OpenOptions::new().read(true).custom_flags(OFlag::O_PATH.bits())),
                Some("reading"),
            ),
            ("a socket", socket.into(), Some("neither")),
        ];
        for (what, fd, why) in cases {
            match (readable(fd.into()), why) {
                (Ok(_), None) => {}
                (Err(failure), Some(why)) => {
                    assert_eq!(failure.kind, Kind::InvalidArgument, "{what}");
                    assert!(failure.parts().why.contains(why), "{what}: {failure}");
                }
                (found, _) => assert!(found.is_ok() == why.is_none(), "{what}: {found:?}"),
            }
        }
        let null = File::open("/dev/null").unwrap();
        assert!(readable(OwnedFd::from(null).into()).is_err(), "a device");
    }
}

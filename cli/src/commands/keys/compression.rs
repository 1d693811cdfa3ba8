//! Compressed modules, by the system's own programs with the words of the kernel's build
//! (`scripts/Makefile.modinst`), so that kmod and the kernel read what comes out.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Seek as _};
use std::path::Path;
use std::process::Stdio;

use onload_dbus::error::Kind;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

use super::shown;
use crate::ended::Complaint;
use crate::render::paint::plain;

/// How a module file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// `.ko.xz`
    Xz,
    /// `.ko.zst`
    Zstd,
    /// `.ko.gz`
    Gzip,
}

/// Longest of the marks below.
const HEAD: usize = 6;

impl Compression {
    const ALL: [Self; 3] = [Self::Xz, Self::Zstd, Self::Gzip];

    /// Tells it from the beginning of a file, which is at its start again then.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn of_file(mut file: &File) -> io::Result<Option<Self>> {
        let mut head = Vec::new();
        file.take(HEAD as u64).read_to_end(&mut head)?;
        file.rewind()?;
        Ok(Self::of(&head))
    }

    /// From the first bytes, as kmod does; names may lie.
    fn of(head: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|one| head.starts_with(one.mark()))
    }

    fn mark(self) -> &'static [u8] {
        match self {
            Self::Xz => b"\xfd7zXZ\0",
            Self::Zstd => b"\x28\xb5\x2f\xfd",
            Self::Gzip => b"\x1f\x8b",
        }
    }

    /// The program's name, which is the compression's as well.
    pub fn program(self) -> &'static str {
        match self {
            Self::Xz => "xz",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    fn words(self) -> &'static [&'static str] {
        match self {
            // The kernel's own decompressor knows no other check, and has a window of this size.
            Self::Xz => &["--check=crc32", "--lzma2=dict=1MiB"],
            Self::Zstd => &["-T0", "-q"],
            Self::Gzip => &["-n"],
        }
    }

    /// Decompresses a file, from where it stands, into another one.
    ///
    /// # Errors
    /// What the program says, or that it is missing.
    pub async fn unpack(self, from: &File, into: &File) -> io::Result<()> {
        let mut command = Command::new(self.program());
        command.args(["-d", "-c"]).stdin(from.try_clone()?).stdout(into.try_clone()?);
        self.done(command).await
    }

    /// What a file holds, from where it stands, as far as it is no longer than `most` bytes.
    ///
    /// # Errors
    /// What the program says, or that it is missing; or there is more.
    pub async fn content(self, from: &File, most: u64) -> io::Result<Vec<u8>> {
        let mut command = Command::new(self.program());
        command.args(["-d", "-c"]).stdin(from.try_clone()?).stdout(Stdio::piped());
        let mut child = self.begun(command)?;
        let pipe = child.stdout.take().map(|pipe| pipe.take(most.saturating_add(1)));
        // Done with, the pipe is gone, and with it a program that would write on and on.
        let read = async {
            let mut bytes = Vec::new();
            if let Some(mut pipe) = pipe {
                pipe.read_to_end(&mut bytes).await?;
            }
            Ok::<_, io::Error>(bytes)
        };
        let (bytes, ended) = tokio::join!(read, self.ended(child));
        let bytes = bytes?;
        if bytes.len() as u64 > most {
            let why = format!("it holds more than {most} bytes");
            return Err(io::Error::new(ErrorKind::FileTooLarge, why));
        }
        ended.map(|()| bytes)
    }

    /// Compresses a file into another one, and has the program read it back. It gets the open file,
    /// since somebody else may rename what is beside a module.
    ///
    /// # Errors
    /// What the program says, or that it is missing.
    pub async fn pack(self, mut from: &File, mut into: &File) -> io::Result<()> {
        from.rewind()?;
        let mut command = Command::new(self.program());
        command.args(self.words()).arg("-c");
        if self == Self::Zstd {
            // So the length gets into the head of what comes out, as in the kernel's build.
            command.arg(format!("--stream-size={}", from.metadata()?.len()));
        }
        command.stdin(from.try_clone()?).stdout(into.try_clone()?);
        self.done(command).await?;
        into.rewind()?;
        let mut command = Command::new(self.program());
        command.arg("-t").stdin(into.try_clone()?).stdout(Stdio::null());
        self.done(command).await
    }

    async fn done(self, command: Command) -> io::Result<()> {
        let child = self.begun(command)?;
        self.ended(child).await
    }

    fn begun(self, mut command: Command) -> io::Result<Child> {
        let child = command.stderr(Stdio::piped()).kill_on_drop(true).spawn();
        child.map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                let why = format!("{} is not installed", self.program());
                io::Error::new(ErrorKind::Unsupported, why)
            }
            _ => error,
        })
    }

    async fn ended(self, child: Child) -> io::Result<()> {
        let name = self.program();
        let said = child.wait_with_output().await?;
        if said.status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&said.stderr);
        let last = text.lines().rfind(|line| !line.trim().is_empty());
        let last = last.map_or_else(|| "it does not say why".to_owned(), plain);
        Err(io::Error::other(format!("{name} fails: {last}")))
    }
}

/// What a failure of a compressor means.
pub fn fault(what: &str, path: &Path, error: &io::Error) -> Complaint {
    let (kind, fix) = match error.kind() {
        ErrorKind::Unsupported => (Kind::Unsupported, "install it"),
        ErrorKind::FileTooLarge => (Kind::InvalidArgument, "see what it is: no module is so large"),
        _ => (Kind::Internal, "see whether the file is whole, and whether there is room beside it"),
    };
    Complaint::of(kind, what, format!("{}: {error}", shown(path)), fix)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed test is what a panic is for.

    use super::*;

    #[test]
    fn the_first_bytes_tell() {
        let cases: [(&[u8], _); 5] = [
            (b"\xfd7zXZ\0\0\x04", Some(Compression::Xz)),
            (b"\x28\xb5\x2f\xfd\x04", Some(Compression::Zstd)),
            (b"\x1f\x8b\x08", Some(Compression::Gzip)),
            (b"\x7fELF", None),
            (b"", None),
        ];
        for (head, expected) in cases {
            assert_eq!(Compression::of(head), expected, "{head:x?}");
            assert!(expected.is_none_or(|one| one.mark().len() <= HEAD));
        }
    }

    #[tokio::test]
    async fn no_more_is_read_than_was_allowed() {
        let path = std::env::temp_dir().join(format!("onloadctl-gzip-{}", std::process::id()));
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        // More than a pipe holds, so that gzip would wait for ever.
        let zeros = std::process::Command::new("sh")
            .args(["-c", "head -c 1000000 /dev/zero | gzip -n"])
            .stdout(file.try_clone().unwrap())
            .status();
        assert!(zeros.unwrap().success());
        for (most, expected) in [(1_000_000, Some(1_000_000)), (999_999, None), (0, None)] {
            (&file).rewind().unwrap();
            let content = Compression::Gzip.content(&file, most).await;
            let too_large = content.as_ref().is_err_and(|e| e.kind() == ErrorKind::FileTooLarge);
            assert_eq!(too_large, expected.is_none(), "{most}");
            assert_eq!(content.ok().map(|bytes| bytes.len()), expected);
        }
    }
}

//! Compressed modules, by the system's own programs with the words of the kernel's build
//! (`scripts/Makefile.modinst`), so that kmod and the kernel read what comes out.

use std::fs::File;
use std::io::{self, ErrorKind, Seek as _};
use std::process::Stdio;

use tokio::process::Command;

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
pub const HEAD: usize = 6;

impl Compression {
    const ALL: [Self; 3] = [Self::Xz, Self::Zstd, Self::Gzip];

    /// Tells it from the first bytes, as kmod does; names may lie.
    pub fn of(head: &[u8]) -> Option<Self> {
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

    async fn done(self, mut command: Command) -> io::Result<()> {
        let name = self.program();
        let child = command.stderr(Stdio::piped()).kill_on_drop(true).spawn();
        let child = child.map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                io::Error::new(ErrorKind::Unsupported, format!("{name} is not installed"))
            }
            _ => error,
        })?;
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

#[cfg(test)]
mod tests {
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
}

//! A place with a stand-in module, and an openssl that tells what it was called with.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use onload_tests::binaries::binary;
use tempfile::TempDir;

/// The last bytes of a signed module.
const MARK: &[u8] = b"~Module signature appended~\n";
/// Trailer and mark.
const TAIL: usize = 12 + MARK.len();

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ended {
    pub fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// What it printed, of a run that went well.
    pub fn good(&self) -> &str {
        assert_eq!(self.code, Some(0), "{self:?}");
        &self.out
    }

    /// What, why and what to do, of a run that ended so.
    pub fn three_lines(&self, code: i32) -> [&str; 3] {
        assert_eq!(self.code, Some(code), "{self:?}");
        let lines: Vec<_> = self.err.lines().filter(|line| !line.starts_with("warning")).collect();
        let [what, why, fix] = lines[..] else { panic!("{self:?}") };
        assert!(what.starts_with("error: "), "{self:?}");
        assert!(why.starts_with("  why: ") && fix.starts_with("  fix: "), "{self:?}");
        [what, why, fix]
    }
}

/// A directory to work in.
pub struct Bench {
    directory: TempDir,
}

impl Bench {
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// Names of what is here.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// A program that runs here, with onloadctl's colours out of the way.
    pub fn command(&self, program: impl AsRef<OsStr>, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(words).current_dir(self.directory.path()).stdin(Stdio::null());
        for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS"] {
            command.env_remove(name);
        }
        command
    }

    /// `onloadctl keys`, not yet run. There is no bus.
    pub fn keys_command(&self, words: &[&str]) -> Command {
        let words = [&["--bus", "unix:path=/nonexistent/bus", "keys"], words].concat();
        self.command(binary("onloadctl"), &words)
    }

    pub fn keys(&self, words: &[&str]) -> Ended {
        Ended::of(self.keys_command(words).output().unwrap())
    }

    /// A tool that must do well.
    pub fn tool(&self, program: &str, words: &[&str]) -> Vec<u8> {
        let output = self.command(program, words).output().unwrap();
        assert!(output.status.success(), "{program} {words:?}: {output:?}");
        output.stdout
    }

    /// The same, as text.
    pub fn text(&self, program: &str, words: &[&str]) -> String {
        String::from_utf8(self.tool(program, words)).unwrap()
    }

    /// A key `NAME.key`, `NAME.crt`, `NAME.der`.
    pub fn key(&self, name: &str, algorithm: &str) {
        self.keys(&["generate", "--out", name, "--algorithm", algorithm, "--subject", name]).good();
    }

    /// Signs with the key of a name.
    pub fn sign(&self, key: &str, more: &[&str]) -> Ended {
        let (private, certificate) = (format!("{key}.key"), format!("{key}.crt"));
        self.keys(&[&["sign", "--key", &private, "--cert", &certificate], more].concat())
    }

    /// An unsigned module, as the compiler makes one, and what is in it.
    pub fn module(&self, name: &str) -> Vec<u8> {
        let source = self.path("module.c");
        let text = "__attribute__((section(\".modinfo\"), used)) static const char said[] = \
            \"license=GPL\\0name=onload\\0vermagic=6.1.0\";\nint filling[3000] = {1, 2, 3};\n";
        fs::write(&source, text).unwrap();
        self.tool("cc", &["-c", "-o", name, "module.c"]);
        fs::remove_file(source).unwrap();
        self.read(name)
    }

    /// Puts an openssl in the way of the system's. It writes its words and variables into `calls`,
    /// then does what `script` says; `$real` is the system's.
    pub fn openssl(&self, script: &str) -> PathBuf {
        let directory = self.path("bin");
        fs::create_dir_all(&directory).unwrap();
        let real = onpath("openssl").expect("openssl is installed");
        let calls = self.path("calls");
        let text = format!(
            "#!/bin/sh\n{{ printf '%s\\n' \"$@\"; env; }} >> '{}'\nreal='{}'\n{script}\n",
            calls.display(),
            real.display()
        );
        // A process of its own writes the program: what this one has open for writing, a child of
        // another test may have as well for a moment, and then it cannot be run.
        let source = directory.join("openssl.sh");
        fs::write(&source, text).unwrap();
        self.tool("install", &["-m", "755", source.to_str().unwrap(), "bin/openssl"]);
        directory
    }
}

/// A command that finds programs in this directory first.
pub fn with_path<'a>(command: &'a mut Command, directory: &Path) -> &'a mut Command {
    let path = std::env::var("PATH").unwrap();
    command.env("PATH", format!("{}:{path}", directory.display()))
}

/// Where a program is.
pub fn onpath(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|place| place.join(program)).find(|path| path.is_file())
}

/// A signed module, taken apart: what is signed, and the signature.
pub fn parts(module: &[u8]) -> (&[u8], &[u8]) {
    let (rest, tail) = module.split_at(module.len() - TAIL);
    assert!(tail.ends_with(MARK), "it is signed");
    assert_eq!(tail[..8], [0, 0, 2, 0, 0, 0, 0, 0], "PKCS#7, and nothing else said");
    let length = u32::from_be_bytes(tail[8..12].try_into().unwrap());
    rest.split_at(rest.len() - usize::try_from(length).unwrap())
}

/// Signed by nobody.
pub fn is_unsigned(module: &[u8]) -> bool {
    !module.ends_with(MARK)
}

/// The kernel's own signer, of whichever kernel has its headers here.
pub fn sign_file() -> Option<PathBuf> {
    let places =
        [("/usr/lib", "linux-kbuild-"), ("/usr/src", "linux-headers-"), ("/usr/src/kernels", "")];
    places.iter().find_map(|(directory, start)| {
        let entries = fs::read_dir(directory).ok()?.flatten();
        let named = entries.filter(|one| one.file_name().to_string_lossy().starts_with(start));
        named.map(|one| one.path().join("scripts/sign-file")).find(|path| path.is_file())
    })
}

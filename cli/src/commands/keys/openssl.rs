//! The system's openssl, as a subprocess: it alone touches private keys, so that FIPS mode, tokens
//! and passphrases are as the system has them. Passphrases reach it from the terminal or through its
//! standard input, never as words or variables, which others can see.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use onload_dbus::error::Kind;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::{PIN, aside, file_fault, readable, shown};
use crate::ended::Complaint;
use crate::render::paint::plain;

const OPENSSL: &str = "openssl";
/// Name of OpenSSL's door to tokens, as engine and as provider.
const TOKENS: &str = "pkcs11";
/// What the URI of a key in a token begins with.
const SCHEME: &str = "pkcs11:";
/// openssl reads no more of a passphrase than this (`APP_PASS_LEN`, less one for the end).
const LONGEST_PASSPHRASE: u64 = 1023;
/// Lines of what openssl says that are passed on: the first have the cause.
const LINES: usize = 3;

/// What openssl answered.
#[derive(Debug)]
pub struct Said {
    /// Whether it did what it was asked.
    pub success: bool,
    /// What it made.
    pub out: Vec<u8>,
    err: String,
}

impl Said {
    /// What it says went wrong, on one line.
    pub fn last_words(&self) -> String {
        let lines = self.err.lines().map(str::trim).filter(|line| !line.is_empty());
        // Behind `error:CODE:` its lines are for people.
        let lines = lines.map(|line| line.split_once(":error:").map_or(line, |(_, rest)| rest));
        let said = lines.take(LINES).collect::<Vec<_>>().join("; ");
        if said.is_empty() { "openssl does not say why".into() } else { plain(&said) }
    }

    /// Whether it complained in one of these words.
    pub fn complains_of(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.err.contains(word))
    }
}

/// Runs it with something on its standard input. `what` did not happen if it cannot be run.
///
/// # Errors
/// It is not installed, or cannot be run. That it failed is in the answer.
pub async fn run(what: &str, words: &[&OsStr], input: Option<&[u8]>) -> Result<Said, Complaint> {
    let mut command = Command::new(OPENSSL);
    command.args(words).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child = command.spawn().map_err(|error| missing(what, &error))?;
    if let (Some(bytes), Some(mut pipe)) = (input, child.stdin.take()) {
        // One that ends without reading says itself why. What is written here is shorter than a pipe.
        drop(pipe.write_all(bytes).await);
    }
    let said = child.wait_with_output().await.map_err(|error| missing(what, &error))?;
    let err = String::from_utf8_lossy(&said.stderr).into_owned();
    Ok(Said { success: said.status.success(), out: said.stdout, err })
}

fn missing(what: &str, error: &std::io::Error) -> Complaint {
    let why = match error.kind() {
        ErrorKind::NotFound => {
            "keys are left to the program openssl, and it is not installed".into()
        }
        _ => format!("openssl cannot be run: {error}"),
    };
    let fix =
        "install openssl (dnf install openssl, apt install openssl), or see that it is in PATH";
    Complaint::of(Kind::Unsupported, what, why, fix)
}

/// An open file or directory of ours under a name that nobody can give another meaning. Every program
/// that is run while this lives can use it.
#[derive(Debug)]
pub struct Lent {
    /// Not closed when a program is run.
    _open: OwnedFd,
    path: OsString,
}

impl Lent {
    /// Lends one.
    ///
    /// # Errors
    /// There are too many open already.
    pub fn of(open: &File) -> io::Result<Self> {
        let open = rustix::io::dup(open)?;
        let path = format!("/proc/self/fd/{}", open.as_raw_fd()).into();
        Ok(Self { _open: open, path })
    }

    /// What openssl finds it by, at its beginning.
    pub fn path(&self) -> &OsStr {
        &self.path
    }
}

/// Where a passphrase comes from.
#[derive(Clone)]
pub enum Passphrase {
    /// openssl asks on the terminal, if it needs one.
    Asked,
    /// From a file: the line with its end.
    Given(Vec<u8>),
}

/// It is shown to nobody, in no dump either.
impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asked => "Asked",
            Self::Given(_) => "Given(…)",
        })
    }
}

impl Passphrase {
    /// Reads the first line of a file, once: it may be a pipe. With it a warning, where others may
    /// read the file as well.
    ///
    /// # Errors
    /// It cannot be read, or its first line is no passphrase.
    pub async fn read(
        file: Option<&Path>,
        what: &str,
    ) -> Result<(Self, Option<String>), Complaint> {
        let Some(path) = file else { return Ok((Self::Asked, None)) };
        let from = path.to_owned();
        let read = aside(move || first_line(&from)).await;
        let (mut line, about) =
            read.map_err(|error| file_fault(what, "cannot be read", path, &error))?;
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        if line.is_empty() || line.len() as u64 > LONGEST_PASSPHRASE || line.contains(&0) {
            let why = format!("the first line of {} is no passphrase", shown(path));
            let fix = format!("write 1 to {LONGEST_PASSPHRASE} bytes into it, and no zero byte");
            return Err(Complaint::of(Kind::InvalidArgument, what, why, fix));
        }
        line.push(b'\n');
        let open = about.is_file() && about.permissions().mode() & 0o077 != 0;
        let warning = open.then(|| format!("{} can be read by others than its owner", shown(path)));
        Ok((Self::Given(line), warning))
    }

    /// The words behind an option that names the source, and what goes into the standard input.
    pub fn through(&self, option: &'static str) -> (Vec<&OsStr>, Option<&[u8]>) {
        match self {
            Self::Asked => (Vec::new(), None),
            Self::Given(line) => (vec![OsStr::new(option), OsStr::new("stdin")], Some(line)),
        }
    }
}

/// The first line of a file with its end, as far as it can be a passphrase, and what file that is.
pub fn first_line(path: &Path) -> io::Result<(Vec<u8>, Metadata)> {
    let opened = File::open(path)?;
    let about = opened.metadata()?;
    let mut line = Vec::new();
    BufReader::new(opened.take(LONGEST_PASSPHRASE + 1)).read_until(b'\n', &mut line)?;
    Ok((line, about))
}

/// A private key, where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// In a file.
    File(PathBuf),
    /// In a token, by its PKCS#11 URI (RFC 7512).
    Token(OsString),
}

impl Key {
    /// A path or a URI.
    ///
    /// # Errors
    /// A URI with the PIN in it: whoever lists processes would read it. It is not repeated.
    pub fn parse(text: &OsStr, what: &str) -> Result<Self, Complaint> {
        let bytes = text.as_encoded_bytes();
        let scheme = bytes.get(..SCHEME.len());
        // Schemes ignore case (RFC 3986 section 3.1).
        if !scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME.as_bytes())) {
            return Ok(Self::File(text.into()));
        }
        let uri = text.to_string_lossy();
        if uri.to_ascii_lowercase().contains(PIN) {
            let why = "a PIN in the URI of the key is seen by everybody who lists processes";
            let fix = "write ?pin-source=file:PATH, or use --passphrase-file";
            return Err(Complaint::of(Kind::InvalidArgument, what, why, fix));
        }
        let rest = uri.get(SCHEME.len()..).unwrap_or_default();
        Ok(Self::Token(format!("{SCHEME}{rest}").into()))
    }

    /// The words with which openssl finds it.
    ///
    /// # Errors
    /// The file cannot be read; or openssl knows no tokens.
    pub async fn words(&self, what: &str) -> Result<Vec<OsString>, Complaint> {
        match self {
            Self::File(path) => Ok(vec!["-inkey".into(), readable(path, what)?.into()]),
            Self::Token(uri) => {
                let door = door(what).await?.iter().map(OsString::from);
                Ok(door.chain(["-inkey".into(), uri.into()]).collect())
            }
        }
    }
}

/// How this openssl reaches tokens: as its configuration says, by the provider, by the older engine.
async fn door(what: &str) -> Result<&'static [&'static str], Complaint> {
    let ask = async |words: &[&str]| {
        let words: Vec<_> = words.iter().map(OsStr::new).collect();
        run(what, &words, None).await
    };
    let configured = ask(&["list", "-providers"]).await?;
    let names = String::from_utf8_lossy(&configured.out).into_owned();
    if names.lines().any(|line| line.trim() == TOKENS) {
        return Ok(&[]);
    }
    if ask(&["list", "-providers", "-provider", TOKENS]).await?.success {
        // One that is named takes the place of the default one, which certificates need.
        return Ok(&["-provider", TOKENS, "-provider", "default"]);
    }
    if ask(&["engine", TOKENS]).await?.success {
        return Ok(&["-engine", TOKENS, "-keyform", "engine"]);
    }
    let why =
        "the key is in a PKCS#11 token, and this openssl has neither provider nor engine for them";
    let fix = "install pkcs11-provider, or openssl-pkcs11 (Debian: libengine-pkcs11-openssl)";
    Err(Complaint::of(Kind::Unsupported, what, why, fix))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed test is what a panic is for.

    use super::*;

    #[test]
    fn a_key_is_a_path_or_a_token_and_a_pin_is_refused() {
        let parse = |text: &str| Key::parse(OsStr::new(text), "nothing was signed");
        assert_eq!(parse("./pkcs11:x"), Ok(Key::File("./pkcs11:x".into())));
        assert_eq!(parse("pkcs"), Ok(Key::File("pkcs".into())));
        let uri = "pkcs11:object=K?pin-source=file:/run/pin";
        for text in [uri, "PkCS11:object=K?pin-source=file:/run/pin"] {
            assert_eq!(parse(text), Ok(Key::Token(uri.into())));
        }
        for text in ["pkcs11:object=k?pin-value=9182", "PKCS11:object=k?PIN-value=9182"] {
            let refused = parse(text).unwrap_err();
            assert!(!format!("{refused:?}").contains("9182"), "{refused:?}");
        }
    }

    #[test]
    fn a_passphrase_shows_itself_nowhere() {
        let given = Passphrase::Given(b"geheim\n".to_vec());
        assert!(!format!("{given:?}").contains("103"), "not as numbers either");
        assert!(!format!("{given:?}").contains("geheim"));
    }

    #[test]
    fn what_openssl_says_is_told_without_its_numbers() {
        let err = "\nCould not read key\n40A7C9D2A77F0000:error:1700:CMS routines:x:no match:\n";
        let said = Said { success: false, out: Vec::new(), err: err.into() };
        assert_eq!(said.last_words(), "Could not read key; 1700:CMS routines:x:no match:");
        assert!(said.complains_of(&["nothing", "no match"]));
    }
}

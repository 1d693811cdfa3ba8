//! `keys generate`: a private key and the certificate that nodes enrol. The three files come into
//! being in a directory that only their owner can enter, and appear whole or not at all.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use onload_dbus::error::{Kind, exit};
use rustix::process::geteuid;
use serde::Serialize;

use super::certificate::Certificate;
use super::directory::Directory;
use super::openssl::{self, Lent, Passphrase};
use super::words::Generate;
use super::{file_fault, shown};
use crate::ended::{Complaint, Ended};
use crate::render::paint::{Paint, plain};
use crate::render::{Output, Page};

const WHAT: &str = "no key was made";
/// Ends of the files: private key, certificate as PEM, the same as DER.
const ENDS: [&str; 3] = ["key", "crt", "der"];
/// How the name of a directory ends in which a key is being made.
const NEW: &str = ".new";
/// Name of the profile below while the files are made.
const PROFILE_NAME: &str = "profile";
/// More bytes than the files of any key have together.
const ROOM: usize = 16 * 1024;

/// The profile of a certificate for modules (`reference/secure-boot-mok.md` section 9): it signs
/// code and no other certificates. The name is given beside. `always`: a certificate that signs itself
/// would get none.
const PROFILE: &str = "\
[req]
distinguished_name = name
x509_extensions = extensions
string_mask = utf8only
[name]
[extensions]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = codeSigning
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
";

/// What was made.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Made {
    /// The private key.
    key: String,
    /// The certificate, PEM.
    certificate: String,
    /// The same, DER.
    der: String,
    algorithm: String,
    subject: String,
    serial: String,
    /// SHA-256 over the DER form, with colons.
    fingerprint: String,
    /// As `/proc/keys` shows it.
    key_id: Option<String>,
    days: u32,
    /// Whether a passphrase guards the key.
    guarded: bool,
    warnings: Vec<String>,
    /// What to do with it.
    next: String,
}

/// Makes them, and tells of them.
pub async fn run(output: Output, wanted: &Generate) -> Result<u8, Ended> {
    let paths = ENDS.map(|end| with_end(&wanted.out, end));
    if let Some(there) = paths.iter().find(|path| fs::symlink_metadata(path).is_ok()) {
        return Err(taken(there).into());
    }
    let left = Workshop::left(&paths[0]);
    if !left.is_empty() {
        return Err(unfinished(&left).into());
    }
    let (passphrase, warning) = Passphrase::read(wanted.passphrase_file.as_deref(), WHAT).await?;
    if let Some(warning) = &warning {
        output.note(&format!("warning: {warning}"))?;
    }
    let guarded = wanted.passphrase || wanted.passphrase_file.is_some();
    let workshop = Workshop::beside(&paths[0])?;
    let made = make(wanted, &workshop, guarded, &passphrase).await;
    // openssl does not notice itself that what it wrote did not reach the disk.
    let made = made.map_err(|complaint| workshop.full(&paths[0]).unwrap_or(complaint))?;
    let [key, certificate, der] = place(&workshop, &paths)?;
    let next = format!(
        "copy {der} to each node, `onloadctl keys import {der}` there, and enrol it at the console of its next boot"
    );
    output.page(&Made {
        key,
        certificate,
        der,
        algorithm: wanted.algorithm.to_string(),
        subject: wanted.subject.clone(),
        serial: made.serial(),
        fingerprint: made.fingerprint(),
        key_id: made.key_id(),
        days: wanted.days,
        guarded,
        warnings: warning.into_iter().collect(),
        next,
    })?;
    Ok(exit::AS_WANTED)
}

impl Page for Made {
    fn text(&self, _now: u64) -> String {
        let guard = if self.guarded { "guarded by a passphrase" } else { "without a passphrase" };
        let key_id = self.key_id.as_deref().unwrap_or("-");
        let row = |label: &str, value: &str, about: &str| {
            let label = Paint::Dim.on(&format!("{label:<12}"));
            format!("{label} {}{about}\n", plain(value))
        };
        [
            row(
                "private key",
                &self.key,
                &format!(" ({}, {guard}; it stays off the nodes)", self.algorithm),
            ),
            row("certificate", &self.certificate, " (PEM)"),
            row("", &self.der, " (DER, for mokutil and the kernel)"),
            row("subject", &self.subject, &format!(", {} days", self.days)),
            row("serial", &self.serial, ""),
            row("SHA-256", &self.fingerprint, ""),
            row("key id", key_id, ""),
            row("next", &self.next, ""),
        ]
        .concat()
    }
}

/// A directory of ours, which goes away with everything in it. It is where the files will be, so that
/// they can be moved at once, and nobody else gets in; but whoever owns the place may rename it.
#[derive(Debug)]
struct Workshop {
    place: Directory,
    name: OsString,
    inside: Directory,
    /// How openssl reaches the inside.
    lent: Lent,
}

impl Workshop {
    /// What its name begins with, before the number of the process.
    fn name(file: &OsStr) -> OsString {
        [OsStr::new("."), file, OsStr::new(".")].into_iter().collect()
    }

    /// Those beside a file that their process did not take away, or not yet.
    fn left(path: &Path) -> Vec<PathBuf> {
        let directory = path.parent().filter(|path| !path.as_os_str().is_empty());
        let directory = directory.unwrap_or(Path::new("."));
        // What is wrong with the directory shows when something is made there.
        let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
        let start = Self::name(path.file_name().unwrap_or_default());
        let ours = |name: &OsStr| {
            let rest = name.as_bytes().strip_prefix(start.as_bytes());
            let process = rest.and_then(|rest| rest.strip_suffix(NEW.as_bytes()));
            process.is_some_and(|text| text.iter().all(u8::is_ascii_digit))
        };
        let names = entries.flatten().map(|entry| entry.file_name());
        names.filter(|name| ours(name)).map(|name| path.with_file_name(name)).collect()
    }

    /// Makes one beside a file.
    fn beside(path: &Path) -> Result<Self, Complaint> {
        let refuse = |error: &io::Error| file_fault(WHAT, "cannot be made", path, error);
        let (place, file) = Directory::of(path).map_err(|error| refuse(&error))?;
        let mut name = Self::name(&file);
        name.push(format!("{}{NEW}", std::process::id()));
        let inside = place.create_directory(&name).map_err(|error| refuse(&error))?;
        let lent = Lent::of(inside.file()).map_err(|error| refuse(&error))?;
        let workshop = Self { place, name, inside, lent };
        let about = workshop.inside.file().metadata().map_err(|error| refuse(&error))?;
        if about.mode() & 0o077 != 0 || about.uid() != geteuid().as_raw() {
            let why = format!(
                "the file system of {} keeps no modes or owners: others could read the key",
                shown(path)
            );
            return Err(Complaint::of(Kind::Unsupported, WHAT, why, "choose another place"));
        }
        Ok(workshop)
    }

    /// Why nothing more can be made in it, if that is for lack of room.
    fn full(&self, path: &Path) -> Option<Complaint> {
        let name = OsStr::new("room");
        let tried = self.inside.create(name).and_then(|mut file| {
            file.write_all(&[0; ROOM])?;
            file.sync_all()
        });
        self.inside.remove(name);
        let error = tried.err()?;
        let full = matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
        full.then(|| file_fault(WHAT, "cannot be made", path, &error))
    }

    /// What openssl finds a file in it by.
    fn file(&self, name: &str) -> PathBuf {
        Path::new(self.lent.path()).join(name)
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        for name in ENDS.iter().chain([&PROFILE_NAME]) {
            self.inside.remove(OsStr::new(name));
        }
        self.place.remove_directory(&self.name);
    }
}

/// Has openssl make key and certificate in the workshop.
async fn make(
    wanted: &Generate,
    workshop: &Workshop,
    guarded: bool,
    passphrase: &Passphrase,
) -> Result<Certificate, Complaint> {
    let [key, pem, der] = ENDS.map(|end| workshop.file(end));
    let profile = workshop.file(PROFILE_NAME);
    let written = workshop.inside.create(OsStr::new(PROFILE_NAME));
    written.and_then(|mut file| file.write_all(PROFILE.as_bytes())).map_err(|error| {
        file_fault(WHAT, "cannot be made", &with_end(&wanted.out, ENDS[0]), &error)
    })?;

    let mut words = vec![OsStr::new("genpkey")];
    let algorithm = wanted.algorithm.genpkey();
    words.extend(algorithm.iter().map(OsStr::new));
    let (source, input) = passphrase.through("-pass");
    if guarded {
        words.push(OsStr::new("-aes-256-cbc"));
        words.extend(source);
    }
    words.extend([OsStr::new("-out"), key.as_os_str()]);
    ask(&words, input).await?;

    let digest = format!("-{}", wanted.algorithm.digest());
    let days = wanted.days.to_string();
    let subject = subject(&wanted.subject);
    let (source, input) = passphrase.through("-passin");
    let mut words: Vec<_> =
        ["req", "-x509", "-new", "-utf8", &digest, "-days", &days, "-subj", &subject]
            .map(OsStr::new)
            .to_vec();
    words.extend([OsStr::new("-config"), profile.as_os_str(), OsStr::new("-key"), key.as_os_str()]);
    words.extend(source);
    words.extend([OsStr::new("-out"), pem.as_os_str()]);
    ask(&words, input).await?;

    let words = [OsStr::new("x509"), OsStr::new("-in"), pem.as_os_str()].into_iter();
    let words = words.chain(["-outform", "DER", "-out"].map(OsStr::new)).chain([der.as_os_str()]);
    ask(&words.collect::<Vec<_>>(), None).await?;
    Certificate::read(&der, WHAT)
}

async fn ask(words: &[&OsStr], input: Option<&[u8]>) -> Result<(), Complaint> {
    let said = openssl::run(WHAT, words, input).await?;
    if said.success {
        return Ok(());
    }
    let (why, fix) = if said.complains_of(&["while reading strings", "unable to get pass"]) {
        (
            "openssl gets no passphrase: there is no terminal, or it was not typed twice alike"
                .into(),
            "name a file with --passphrase-file",
        )
    } else {
        let fix = "see whether this openssl may make such keys: in FIPS mode not all are allowed";
        (format!("openssl cannot make it: {}", said.last_words()), fix)
    };
    Err(Complaint::of(Kind::Internal, WHAT, why, fix))
}

/// A common name as `-subj` reads it.
fn subject(name: &str) -> String {
    let escaped = name.chars().flat_map(|c| {
        let special = matches!(c, '/' | '\\' | '+' | '=');
        special.then_some('\\').into_iter().chain([c])
    });
    format!("/CN={}", escaped.collect::<String>())
}

/// Gives the files their names, the key last. Nothing that is there is overwritten.
fn place(workshop: &Workshop, paths: &[PathBuf; 3]) -> Result<[String; 3], Complaint> {
    let mut placed: Vec<&OsStr> = Vec::new();
    // From the last to the first, which is the key.
    for (end, path) in ENDS.iter().zip(paths).rev() {
        let mode = if *end == ENDS[0] { 0o600 } else { 0o644 };
        let (from, to) = (OsStr::new(end), path.file_name().unwrap_or_default());
        let put = || -> io::Result<()> {
            let file = workshop.inside.open(from)?;
            file.set_permissions(Permissions::from_mode(mode))?;
            file.sync_all()?;
            workshop.place.bring(&workshop.inside, from, to)
        };
        if let Err(error) = put() {
            // Only ours: each of them was made by this very loop.
            placed.into_iter().for_each(|name| workshop.place.remove(name));
            return Err(match error.kind() {
                ErrorKind::AlreadyExists => taken(path),
                _ => file_fault(WHAT, "cannot be made", path, &error),
            });
        }
        placed.push(to);
    }
    workshop.place.sync().map_err(|error| unsynced(&paths[0], &error))?;
    Ok(paths.each_ref().map(|path| path.to_string_lossy().into_owned()))
}

/// All is in its place, and only that the place lasts is not known.
fn unsynced(path: &Path, error: &io::Error) -> Complaint {
    let what = "the key was made, but may not outlive a power loss";
    let why = format!("the directory of {} cannot be synced: {error}", shown(path));
    let fix = "see whether the file system is sound, then `sync`; do not make it again";
    Complaint::of(Kind::Internal, what, why, fix)
}

fn taken(path: &Path) -> Complaint {
    let why = format!("{} is there already, and nothing is overwritten", shown(path));
    let fix = "choose another --out, or move what is there away: \
        a run that was broken off may have left it";
    Complaint::of(Kind::Blocked, WHAT, why, fix)
}

/// A private key may lie in there, and nobody would look for it.
fn unfinished(left: &[PathBuf]) -> Complaint {
    let names = left.iter().map(|path| shown(path)).collect::<Vec<_>>().join(", ");
    let why = format!("a run that did not end left {names}, and there may be a private key in it");
    let fix = "remove it, unless that run is still under way";
    Complaint::of(Kind::Blocked, WHAT, why, fix)
}

fn with_end(prefix: &Path, end: &str) -> PathBuf {
    let mut path = prefix.as_os_str().to_owned();
    path.push(".");
    path.push(end);
    path.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_letters() {
        assert_eq!(subject("a/b+c=d\\e é"), "/CN=a\\/b\\+c\\=d\\\\e é");
        assert_eq!(with_end(Path::new("a/b.c"), "key"), Path::new("a/b.c.key"));
    }
}

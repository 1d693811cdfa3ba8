//! `keys sign`: what the kernel's `scripts/sign-file` makes, byte for byte. Every file is whole at
//! every moment; what does not hold for all of them (key, certificate, passphrase) ends the run.

mod module;

use std::cell::Cell;
use std::ffi::OsString;
use std::io;
use std::path::Path;

use serde::Serialize;

use super::certificate::Certificate;
use super::openssl::{Key, Passphrase};
use super::words::{Digest, Sign};
use super::{cancelled, code, shown};
use crate::ended::{Complaint, Ended};
use crate::render::Output;
use module::{Outcome, Stopped};

/// With what is signed.
#[derive(Debug)]
struct Signing {
    /// The words by which openssl finds the key.
    key: Vec<OsString>,
    passphrase: Passphrase,
    certificate: Certificate,
    digest: Digest,
    /// Whether signatures of others are taken off.
    replace: bool,
}

/// What was done.
#[derive(Debug, Serialize)]
struct Signed {
    digest: String,
    certificate: Whose,
    files: Vec<Row>,
    warnings: Vec<String>,
}

/// By whom.
#[derive(Debug, Serialize)]
struct Whose {
    path: String,
    subject: String,
    serial: String,
    /// SHA-256 over the DER form, with colons.
    fingerprint: String,
}

/// What became of a file.
#[derive(Debug, Serialize)]
struct Row {
    path: String,
    /// signed, replaced, unchanged or failed.
    outcome: &'static str,
    /// xz, zstd or gzip.
    compression: Option<&'static str>,
    /// Whose signatures are gone.
    former: Vec<String>,
    error: Option<Complaint>,
}

/// Signs, and tells of each file.
pub async fn run(output: Output, wanted: &Sign, stopped: &Cell<bool>) -> Result<u8, Ended> {
    const WHAT: &str = "nothing was signed";
    let key = Key::parse(&wanted.key, WHAT)?;
    let certificate = Certificate::read(&wanted.cert, WHAT)?;
    let key = key.words(WHAT).await?;
    let (passphrase, open) = Passphrase::read(wanted.passphrase_file.as_deref(), WHAT).await?;
    let warnings: Vec<_> = certificate.warnings().into_iter().chain(open).collect();
    for warning in &warnings {
        output.note(&format!("warning: {warning}"))?;
    }
    let whose = Whose {
        path: shown(&certificate.path),
        subject: certificate.subject().to_owned(),
        serial: certificate.serial(),
        fingerprint: certificate.fingerprint(),
    };
    let (digest, replace) = (wanted.digest, wanted.replace);
    let signing = Signing { key, passphrase, certificate, digest, replace };
    let (mut files, mut codes, mut end) = (Vec::new(), Vec::new(), None);
    for path in &wanted.files {
        if stopped.get() {
            end = Some(cancelled());
            break;
        }
        match module::sign(&signing, path).await {
            Ok(done) => {
                let row = Row::of(path, done);
                row.tell(output)?;
                files.push(row);
            }
            Err(Stopped::File(complaint)) => {
                codes.push(output.complain(&complaint.clone().into()));
                files.push(Row::failed(path, complaint));
            }
            Err(Stopped::All(complaint)) => {
                end = Some(complaint);
                break;
            }
        }
    }
    if output.json() {
        output.document(&Signed {
            digest: digest.to_string(),
            certificate: whose,
            files,
            warnings,
        })?;
    }
    end.map_or_else(|| Ok(code(&codes)), |complaint| Err(complaint.into()))
}

impl Row {
    fn of(path: &Path, done: module::Done) -> Self {
        let (outcome, former) = match done.outcome {
            Outcome::Unchanged => ("unchanged", Vec::new()),
            Outcome::Signed => ("signed", Vec::new()),
            Outcome::Replaced(former) => ("replaced", former),
        };
        let compression = done.compression.map(super::compression::Compression::program);
        Self { path: shown(path), outcome, compression, former, error: None }
    }

    fn failed(path: &Path, complaint: Complaint) -> Self {
        let error = Some(complaint);
        Self { path: shown(path), outcome: "failed", compression: None, former: Vec::new(), error }
    }

    fn tell(&self, output: Output) -> io::Result<()> {
        if output.json() {
            return Ok(());
        }
        let what = match self.outcome {
            "unchanged" => "left as it is: signed by this certificate".to_owned(),
            "replaced" => format!("signed; taken off: {}", self.former.join(", ")),
            other => other.to_owned(),
        };
        output.text(&format!("{}: {what}\n", self.path))
    }
}

//! Keys that a node is to ask its firmware's shim for. They are asked for, never promised: somebody has to
//! answer at the console. A certificate travels as it is, of the password only the hash.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::commands::keys::certificate::Certificate;
use crate::commands::keys::password::{self, Secret};
use crate::commands::keys::terminal::Terminal;
use crate::commands::keys::{leave_no_image, typed};
use crate::ended::{Complaint, Ended};
use crate::render::Output;
use crate::stopped::stopped;
use onload_dbus::error::Kind;

use super::drop_in::DropIn;
use super::inputs::{Configured, shown};
use super::mode::Mode;
use super::parts::Parts;
use super::words::Wanted;
use super::{WHAT, refuse};

/// Where they lie.
const DIRECTORY: &str = "/etc/onloadd/keys";
/// The hash of the password, which only root may read: onloadd refuses one that others may.
const HASH: &str = "/etc/onloadd/keys/machineconfig.hash";
/// How long that is, with its end of line: `$6$`, 16 letters of salt, `$` and 86 (crypt(5)).
const LENGTH: usize = 3 + 16 + 1 + 86 + 1;

/// Reads the certificates, and has onloadd ask for each.
///
/// # Errors
/// One is no certificate or is there twice, or the configuration has keys already.
pub fn take(
    paths: &[PathBuf],
    configured: &Configured,
    parts: &mut Parts,
    drop_in: &mut DropIn,
) -> Result<Vec<Certificate>, Complaint> {
    let said = ["secure-boot.certificates", "secure-boot.requests"];
    if let Some(key) = said.into_iter().find(|key| !paths.is_empty() && configured.says(key)) {
        let why = format!("the configuration has {key}, and a list is one file's");
        return Err(refuse(why, "take it out there, or leave out --cert"));
    }
    let mut all = Vec::new();
    let mut seen = BTreeSet::new();
    for path in paths {
        let certificate = Certificate::read(path, WHAT)?;
        if !seen.insert(certificate.fingerprint()) {
            return Err(refuse(format!("{} is there twice", shown(path)), "name it once"));
        }
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let word = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if stem.is_empty() || !stem.bytes().all(word) {
            let why = format!("{} has a name that a configuration cannot hold", shown(path));
            return Err(refuse(why, "use letters, digits and ._- in the name of the file"));
        }
        let place = format!("{DIRECTORY}/{stem}.der");
        parts.file(&place, certificate.der.clone(), Mode::COMMON)?;
        drop_in.certificates.push(place);
        all.push(certificate);
    }
    drop_in.hash = HASH.to_owned();
    Ok(all)
}

/// The parts with letters in the hash's place, as many as it will have: what cannot be rendered with them is
/// found before anybody types a password.
///
/// # Errors
/// A file was given for that place.
pub fn foreseen(parts: &Parts) -> Result<Parts, Complaint> {
    let mut all = parts.clone();
    all.file(HASH, "x".repeat(LENGTH), Mode::SECRET)?;
    Ok(all)
}

/// Has the password hashed, and gives it back where nobody knows it yet.
///
/// # Errors
/// There is nobody to ask, or openssl does not do it.
pub async fn password(
    output: Output,
    wanted: &Wanted,
    certificates: &[Certificate],
    parts: &mut Parts,
) -> Result<Option<Secret>, Ended> {
    if certificates.is_empty() {
        return Ok(None);
    }
    leave_no_image();
    let warnings = certificates.iter().flat_map(Certificate::warnings);
    warnings.into_iter().try_for_each(|one| output.note(&format!("warning: {one}")))?;
    let stop = stopped()?;
    let (hash, made) = tokio::select! {
        got = hashed(output, wanted) => got?,
        () = stop => {
            let (why, fix) = ("it was asked to stop", "run it again");
            return Err(Complaint::of(Kind::Cancelled, WHAT, why, fix).into());
        }
    };
    parts.file(HASH, format!("{}\n", hash.text().trim_end()), Mode::SECRET)?;
    Ok(made)
}

async fn hashed(output: Output, wanted: &Wanted) -> Result<(Secret, Option<Secret>), Ended> {
    if let Some(file) = &wanted.password_hash {
        let (hash, warning) = password::read_hash(file, WHAT).await?;
        warning.iter().try_for_each(|one| output.note(&format!("warning: {one}")))?;
        return Ok((hash, None));
    }
    if wanted.generate_password {
        let made = password::generate()?;
        return Ok((password::hash(&made, WHAT).await?, Some(made)));
    }
    match Terminal::open() {
        Ok(Some(terminal)) => Ok((typed(output, &terminal, WHAT).await?, None)),
        Ok(None) | Err(_) => {
            let why = "a key needs a password, and there is no terminal to ask for one on";
            let fix =
                "use --generate-password, or --password-hash with what `openssl passwd -6` prints";
            Err(refuse(why, fix).into())
        }
    }
}

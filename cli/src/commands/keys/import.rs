//! `keys import`: has shim ask for a key at the next boot. What stands against it is looked for before
//! anybody is asked for a password, and only the password's hash leaves this program.

mod disks;

use std::cell::Cell;
use std::io;

use onload_core::secure_boot::hex;
use onload_dbus::error::{Kind, exit};
use onload_dbus::path::parse;
use serde::Serialize;
use zbus::Variant;

use self::disks::Disks;
use super::certificate::Certificate;
use super::left;
use super::password::{self, LONGEST, Secret};
use super::secure_boot::{self, ENROLLED, SecureBoot};
use super::terminal::Terminal;
use super::words::Import;
use crate::args;
use crate::bus::Bus;
use crate::commands::chosen;
use crate::commands::jobs::Job;
use crate::ended::{Complaint, Ended};
use crate::follow::{self, Until};
use crate::render::Output;
use crate::render::paint::{Paint, plain};
use crate::stopped::stopped;

const WHAT: &str = "shim is not asked to enrol the key";
/// States of a key that shim is not asked for.
const SETTLED: [&str; 4] = [ENROLLED, "EnrolledNotLoaded", "EnrolmentPending", "Revoked"];

/// Kind of the job that is ordered.
const KIND: &str = "import-key";
/// State of a job whose end was not seen.
const UNSEEN: &str = "unknown";

/// What is ordered.
struct Ready {
    bus: Bus,
    /// The certificate, DER.
    certificate: Vec<u8>,
    hash: Secret,
    /// The password, where nobody knows it yet.
    made: Option<Secret>,
    despite_sealed: bool,
}

/// The job, and the password where it was made here and may be needed. The state of a job whose end
/// was not seen is `unknown`.
#[derive(Serialize)]
struct Asked<'a> {
    #[serde(flatten)]
    job: &'a Job,
    password: Option<&'a str>,
}

/// Prepares, orders, follows, and gives the exit code.
pub async fn run(
    choice: &args::Bus,
    output: Output,
    until: Until,
    wanted: &Import,
) -> Result<u8, Ended> {
    let stop = stopped()?;
    let ready = tokio::select! {
        ready = prepare(choice, output, wanted) => ready?,
        () = stop => {
            let (why, fix) = ("it was asked to stop", "run it again");
            return Err(Complaint::of(Kind::Cancelled, WHAT, why, fix).into());
        }
    };
    order(output, until, &ready).await?;
    Ok(exit::AS_WANTED)
}

async fn prepare(choice: &args::Bus, output: Output, wanted: &Import) -> Result<Ready, Ended> {
    let Some(path) = &wanted.certificate else { return Err(unnamed(choice).await.into()) };
    let certificate = Certificate::read(path, WHAT)?;
    let terminal = match Terminal::open() {
        Err(error) if wanted.hash_file.is_none() && !wanted.generate_password => {
            return Err(no_terminal(&error, WHAT).into());
        }
        // One of another user, as under `su`: what it would be asked has to be said in words.
        other => other.unwrap_or_default(),
    };
    let hash = match &wanted.hash_file {
        Some(file) => {
            let (hash, warning) = password::read_hash(file, WHAT).await?;
            warning.iter().try_for_each(|one| output.note(&format!("warning: {one}")))?;
            Some(hash)
        }
        None => None,
    };
    if hash.is_none() && terminal.is_none() && !wanted.generate_password {
        let why = "there is no terminal to ask for a password on";
        let fix = "use --generate-password, or --hash-file with what `openssl passwd -6` prints";
        return Err(Complaint::of(Kind::InvalidArgument, WHAT, why, fix).into());
    }
    let bus = Bus::connect(choice).await?;
    let seen = secure_boot::read(&bus).await?;
    if hash.is_none() {
        // Nobody types a password for an order that is refused.
        against(&seen, &certificate)?;
    }
    let disks = Disks::of(&seen, *choice == args::Bus::System);
    let asks = terminal.as_ref().filter(|_| !output.json());
    let despite_sealed = disks.settle(output, asks, wanted.despite_sealed_disks).await?;
    let (hash, made) = match (hash, &terminal) {
        (Some(hash), _) => (hash, None),
        (None, Some(terminal)) if !wanted.generate_password => {
            (typed(output, terminal, WHAT).await?, None)
        }
        (None, _) => {
            let made = password::generate()?;
            (password::hash(&made, WHAT).await?, Some(made))
        }
    };
    Ok(Ready { bus, certificate: certificate.der, hash, made, despite_sealed })
}

async fn order(output: Output, until: Until, ready: &Ready) -> Result<(), Ended> {
    // Name of the job once it may be there: empty until the answer.
    let asked = Cell::new(None);
    let words = [("DespiteSealedDisks", Variant::from(ready.despite_sealed))];
    let ask = async || {
        let node = ready.bus.secure_boot().await?;
        let hash = ready.hash.text().trim_end();
        asked.set(Some(String::new()));
        let answer = node.import_key(&ready.certificate, hash, chosen(&words)).await;
        let job = answer.map_err(|error| Complaint::from(&error)).inspect_err(|complaint| {
            // Whoever answers no longer may have done it before.
            if complaint.exit != exit::UNREACHABLE {
                asked.set(None);
            }
        })?;
        let name = parse(job.as_str()).map(|(_, name)| plain(&name));
        asked.set(Some(name.unwrap_or_default()));
        Ok(job)
    };
    let followed = tokio::select! {
        job = follow::job(&ready.bus, output, until, ask) => job,
        gone = left()? => Err(gone),
    };
    let made = ready.made.as_ref().map(Secret::text);
    let job = followed.inspect_err(|ended| {
        // The request may be made all the same, and nobody else knows what to type. Where that cannot
        // be said either, there is nobody to tell.
        if let (Some(made), Some(id)) = (made, asked.take()) {
            drop(unseen(output, id, ended, made));
        }
    })?;
    let made = made.filter(|_| until == Until::Taken || job.state == "done");
    if output.json() {
        output.document(&Asked { job: &job, password: made })?;
    }
    if until == Until::Ended {
        follow::ended(&job)?;
    }
    follow::tell(output, until, &job)?;
    if let Some(made) = made.filter(|_| !output.json()) {
        output.text(&format!(
            "password: {}\n  it is shown only now; all lower-case letters, on the same keys of US, German and French keyboards\n",
            Paint::Strong.on(made)
        ))?;
    }
    Ok(())
}

/// Says the password of an order that may have been taken and whose end is not known.
fn unseen(output: Output, id: String, ended: &Ended, made: &str) -> io::Result<()> {
    if !output.json() {
        return output.note(&format!("the password of the request, if it is made: {made}"));
    }
    let (kind, state) = (KIND.to_owned(), UNSEEN.to_owned());
    let job = Job { id, kind, state, message: ended.to_string(), ..Job::default() };
    output.document(&Asked { job: &job, password: Some(made) })
}

/// What a person types twice, hashed; `what` does not happen where that fails.
///
/// # Errors
/// The terminal is gone, the two differ, or MokManager cannot be told it.
pub async fn typed(output: Output, terminal: &Terminal, what: &str) -> Result<Secret, Complaint> {
    let lost = |error| no_terminal(&error, what);
    let (first, again) = {
        let hidden = terminal.hide().map_err(lost)?;
        let question = "Password to type at the console: ";
        let first = hidden.ask(question, LONGEST + 1).await.map_err(lost)?;
        password::check(&first).map_err(|fault| {
            let fix = "choose one of letters that every keyboard has, or use --generate-password";
            Complaint::of(Kind::InvalidArgument, what, fault.why(), fix)
        })?;
        (first, hidden.ask("The same once more: ", LONGEST + 1).await.map_err(lost)?)
    };
    if first != again {
        let (why, fix) = ("the two passwords differ", "type the same one twice");
        return Err(Complaint::of(Kind::InvalidArgument, what, why, fix));
    }
    if password::is_of_one_keyboard(&first) {
        let warning = "warning: keyboards other than a US one have some of its characters elsewhere, and MokManager reads every keyboard as a US one";
        // Whether somebody reads it changes nothing.
        drop(output.note(warning));
    }
    password::hash(&first, what).await
}

fn no_terminal(error: &io::Error, what: &str) -> Complaint {
    let why = format!("the terminal cannot be asked for a password: {error}");
    let fix = "use --generate-password, or --hash-file with what `openssl passwd -6` prints";
    Complaint::of(Kind::Internal, what, why, fix)
}

/// Refuses what onloadd would refuse for what is known of the key already.
fn against(seen: &SecureBoot, certificate: &Certificate) -> Result<(), Complaint> {
    let fingerprint = hex(&certificate.x509.fingerprint);
    let is_it = |one: &&secure_boot::Key| {
        let its = one.fingerprint.as_deref().unwrap_or_default();
        its.eq_ignore_ascii_case(&fingerprint) && SETTLED.contains(&one.state.as_str())
    };
    let Some(key) = seen.keys.iter().find(is_it) else { return Ok(()) };
    let fix = key.fix.as_deref().unwrap_or("nothing");
    Err(Complaint::of(Kind::Blocked, WHAT, &key.message, fix))
}

/// No certificate was named: those are that the configuration wants.
async fn unnamed(choice: &args::Bus) -> Complaint {
    let read = async { secure_boot::read(&Bus::connect(choice).await?).await };
    let why = "no certificate is named";
    let example = "write: onloadctl keys import CERT";
    let (why, fix) = match read.await {
        Ok(seen) => match missing(&seen).as_slice() {
            [] => {
                (format!("{why}, and none that the configuration names is missing"), example.into())
            }
            all @ [first, ..] => {
                let listed = all.join(", ");
                let why = format!(
                    "{why}; the configuration names these, which are not enrolled: {listed}"
                );
                (why, format!("write: onloadctl keys import {first}"))
            }
        },
        Err(ended) => {
            let why = format!("{why}, and those of the configuration cannot be told: {ended}");
            (why, example.into())
        }
    };
    Complaint::of(Kind::InvalidArgument, WHAT, why, fix)
}

/// Certificates of the configuration whose keys are not enrolled.
fn missing(seen: &SecureBoot) -> Vec<String> {
    let keys = seen.keys.iter().filter(|key| key.state != ENROLLED);
    keys.filter_map(|key| key.path.as_deref()).map(plain).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed test is what a panic is for.

    use std::path::Path;

    use super::super::secure_boot::Key;
    use super::*;

    fn seen(state: &str, path: Option<&str>, certificate: &Certificate) -> SecureBoot {
        let key = Key {
            state: state.into(),
            message: "it is so".into(),
            path: path.map(str::to_owned),
            fingerprint: Some(hex(&certificate.x509.fingerprint)),
            ..Key::default()
        };
        SecureBoot { keys: vec![Key::default(), key], ..SecureBoot::default() }
    }

    fn module() -> Certificate {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/secure-boot/module.pem");
        Certificate::read(Path::new(path), WHAT).unwrap()
    }

    #[test]
    fn what_would_be_refused_is_refused_before_anybody_types() {
        let certificate = module();
        assert_eq!(certificate.der, include_bytes!("../../../../tests/secure-boot/module.der"));
        for state in SETTLED {
            let complaint = against(&seen(state, None, &certificate), &certificate).unwrap_err();
            assert_eq!((complaint.exit, complaint.why.as_str()), (exit::BLOCKED, "it is so"));
            assert!(!complaint.fix.is_empty());
        }
        for state in ["NotEnrolled", "RequestLost", "Unknown"] {
            assert_eq!(against(&seen(state, None, &certificate), &certificate), Ok(()));
        }
    }

    #[test]
    fn certificates_of_the_configuration_are_those_that_are_missing() {
        let certificate = module();
        let all = |state, path| missing(&seen(state, path, &certificate));
        assert_eq!(all("RequestLost", Some("/etc/a.der")), ["/etc/a.der"]);
        assert_eq!(all(ENROLLED, Some("/etc/a.der")), Vec::<String>::new());
        assert_eq!(all("NotEnrolled", None), Vec::<String>::new());
    }
}

//! Whom this machine trusts: of a module that the kernel would refuse, of all keys, and of one.

use std::collections::BTreeSet;

use super::{Explanation, shown};
use crate::names::{ModuleName, ReleaseName};
use crate::picture::Picture;
use crate::reading::Reading;
use crate::secure_boot::enrolment::Enrolment;
use crate::secure_boot::kernel::{Enforcement, Lockdown};
use crate::secure_boot::picture::{KeyPicture, ModulePicture, SecureBootPicture, State};
use crate::secure_boot::signature::signed_data::SignerId;
use crate::secure_boot::trust::RunTime;
use crate::secure_boot::verdict::Outcome;
use crate::secure_boot::verdict::reason::Reason;

/// Its signer stands under this in an explanation.
const SIGNED_BY: &str = "signed by";
/// What all keys, and the state of Secure Boot, are asked for by.
pub(super) const ALL: [&str; 2] = ["keys", "secure-boot"];
/// The fewest digits of a fingerprint that mean a key, and no name of something else.
const FEWEST_DIGITS: usize = 8;

/// What the running kernel would say to a module of a release, if it would refuse it.
pub(super) fn refused<'a>(
    picture: &'a Picture,
    release: &ReleaseName,
    module: &ModuleName,
) -> Option<(&'a ModulePicture, &'a Reason)> {
    let of = picture.secure_boot.releases.get(release)?;
    let found = of.iter().find(|one| one.module == *module)?;
    matches!(found.verdict.outcome, Outcome::Refused { .. })
        .then(|| Some((found, found.verdict.reason()?)))
        .flatten()
}

/// The first of a release's modules that the running kernel would refuse.
pub(super) fn first_refused<'a>(
    picture: &'a Picture,
    release: &ReleaseName,
) -> Option<(&'a ModulePicture, &'a Reason)> {
    let of = picture.secure_boot.releases.get(release)?;
    of.iter().find_map(|one| refused(picture, release, &one.module))
}

impl Explanation {
    /// Whether a refusal is told with all that it rests on.
    pub(super) fn tells_signer(&self) -> bool {
        self.inputs.iter().any(|(name, _)| name == SIGNED_BY)
    }

    /// What a refusal rests on.
    pub(super) fn distrust(
        &mut self,
        picture: &Picture,
        (module, reason): (&ModulePicture, &Reason),
    ) {
        let signer = match module.signer.as_str() {
            "" => "nobody",
            signer => signer,
        };
        self.input(SIGNED_BY, signer);
        self.input("because", reason.why());
        self.input("Secure Boot", state(picture.secure_boot.state));
        self.input("rule", module.rule());
        if let Some(signer) = reason.signer() {
            self.input("the signer's key", enrolment(&picture.secure_boot, signer));
        }
        self.would_change.extend(reason.steps(module.certificate.as_deref()));
    }
}

/// How far the enrolment of a signer's key has come.
fn enrolment(seen: &SecureBootPicture, signer: &SignerId) -> String {
    let is = |key: &&KeyPicture| match (&key.certificate, signer) {
        (Some(certificate), _) => signer.means(certificate),
        // The ledger remembers no more than the name.
        (None, SignerId::Issued { issuer, .. }) => {
            key.asked.is_some() && key.name == issuer.to_string()
        }
        (None, SignerId::Key(_)) => false,
    };
    match (seen.keys.iter().find(is), seen.gaps.get("Keys").or(seen.gaps.get("Requests"))) {
        (Some(key), _) => key.said().1,
        (None, Some(why)) => format!("cannot be told: {why}"),
        (None, None) => Enrolment::NotAsked.sentence(),
    }
}

fn state(state: State) -> &'static str {
    match state {
        State::Enabled => "on",
        State::Disabled => "off",
        State::SetupMode => "off: the firmware has no platform key (setup mode)",
        State::ValidationOff => "on in the firmware, and shim was told to validate nothing",
        State::NotApplicable => "this machine has none",
        State::Unknown => "cannot be told",
    }
}

fn enforced(enforcement: &Reading<Enforcement>, lockdown: &Reading<Lockdown>) -> &'static str {
    match (enforcement, lockdown) {
        (Reading::Known(Enforcement::Refused), _)
        | (_, Reading::Known(Lockdown::Integrity | Lockdown::Confidentiality)) => {
            "this kernel refuses modules that nobody it trusts has signed"
        }
        (Reading::Known(Enforcement::Taken), _) => {
            "this kernel takes modules whoever signed them, and is tainted by those that nobody it trusts has signed"
        }
        (Reading::Absent, _) => "this kernel does not look at signatures of modules",
        (Reading::Unreadable(_), _) => {
            "what this kernel does with modules that nobody it trusts has signed cannot be told"
        }
    }
}

/// Secure Boot and every key.
pub(super) fn all(picture: &Picture, subject: &str) -> Explanation {
    let seen = &picture.secure_boot;
    let enforced = enforced(&seen.enforcement, &seen.lockdown);
    let decision = format!("Secure Boot: {}; {enforced}", state(seen.state));
    let part = |reading: &Reading<()>| match reading {
        Reading::Known(()) => "yes".to_owned(),
        Reading::Absent => "no".to_owned(),
        Reading::Unreadable(why) => format!("cannot be told: {why}"),
    };
    let variables = seen.runtime.as_ref().map(|runtime| match runtime {
        RunTime::Writable => "can be written: shim can be asked for a key",
        RunTime::ReadOnly => "cannot be written: efivarfs is mounted read-only",
        RunTime::NoRunTime => {
            "cannot be written: the kernel does not call the firmware (efi=noruntime)"
        }
    });
    let mut explanation = Explanation::new(subject, decision)
        .with("started by shim", part(&seen.shim))
        .with("variables of the firmware", shown(&variables));
    for (name, module) in seen.releases.iter().flat_map(|(name, modules)| {
        let first = modules.iter().find(|one| one.verdict.reason().is_some()).or(modules.first());
        first.map(|module| (name, module))
    }) {
        let said = match module.verdict.reason() {
            Some(reason) => format!("{}: {}", module.outcome(), reason.what()),
            None => module.outcome().to_owned(),
        };
        explanation.input(&format!("modules of {name}"), said);
        explanation.input("rule", module.rule());
    }
    for key in &seen.keys {
        let (_, said, fix) = key.said();
        let place = key.path.as_ref().map(|path| format!(" ({path})")).unwrap_or_default();
        explanation.input(&format!("key {}{place}", key.name), said);
        // What others put there, or nobody asked for here, needs nothing.
        if !fix.is_empty() && (key.path.is_some() || key.asked.is_some()) {
            explanation.would_change.push(fix);
        }
    }
    if seen.keys.is_empty() {
        explanation.input("keys", "none in the lists of shim and the firmware, and none named");
    }
    for request in &seen.requests {
        let said = match &request.fault {
            Some(fault) => format!("will not be carried out: {fault}"),
            None => "waits for somebody at the console of the next boot".to_owned(),
        };
        explanation.input(&format!("request {}", request.variable), said);
    }
    for (part, why) in &seen.gaps {
        explanation.input(&format!("{part} cannot be read"), why);
    }
    explanation
}

/// One key: by the first digits of its fingerprint, by the path that the configuration names, or by its
/// name.
pub(super) fn key(picture: &Picture, subject: &str) -> Option<Explanation> {
    let digits = subject.to_ascii_lowercase();
    let is_digits = digits.len() >= FEWEST_DIGITS;
    let is = |key: &&KeyPicture| {
        key.path.as_deref() == Some(subject)
            || key.name == subject
            || is_digits && key.fingerprint.is_some_and(|one| one.to_string().starts_with(&digits))
    };
    let key = picture.secure_boot.keys.iter().find(is)?;
    let (_, said, fix) = key.said();
    let fingerprint = key.fingerprint.map(|one| one.to_string());
    let listed = |words: &BTreeSet<&'static str>| {
        let words: Vec<_> = words.iter().copied().collect();
        if words.is_empty() { "nowhere".to_owned() } else { words.join(", ") }
    };
    let mut explanation = Explanation::new(fingerprint.as_deref().unwrap_or(subject), said)
        .with("name", &key.name)
        .with("named in the configuration", key.path.as_deref().unwrap_or("no"))
        .with("found in", listed(&key.places))
        .with(
            "revoked by",
            if key.revoked.is_empty() { "nobody".to_owned() } else { listed(&key.revoked) },
        )
        .with("Secure Boot", state(picture.secure_boot.state));
    let signs = |one: &&ModulePicture| {
        let signer = one.verdict.signer();
        signer.zip(key.certificate.as_ref()).is_some_and(|(signer, own)| signer.means(own))
    };
    for (release, modules) in &picture.secure_boot.releases {
        let names: Vec<_> = modules.iter().filter(signs).map(|one| one.module.as_str()).collect();
        if !names.is_empty() {
            explanation.input(&format!("signed of release {release}"), names.join(", "));
        }
    }
    if !fix.is_empty() {
        explanation.would_change.push(fix);
    }
    Some(explanation)
}

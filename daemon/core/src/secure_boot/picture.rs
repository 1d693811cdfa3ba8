//! Secure Boot as outsiders see it: the state of the machine, every key that has a name here, and what
//! the running kernel would say to the modules of each release.

use std::collections::{BTreeMap, BTreeSet};

use super::certificate::Certificate;
use super::enrolment::places::Places;
use super::enrolment::{self, Asked, Enrolment, Fingerprint};
use super::kernel::{Enforcement, Lockdown};
use super::keyring::SystemRing;
use super::request::ListChange;
use super::sealed::Words;
use super::sealed::volume::Volume;
use super::signature_list::{SignatureList, SignatureType};
use super::trust::{RunTime, Switch, Trust};
use super::verdict::reason::{Place, Reason, Revoked, called};
use super::verdict::{AtHand, Judge, Outcome, Verdict};
use crate::names::{BootId, ModuleName, ReleaseName};
use crate::reading::Reading;
use crate::release::Release;
use crate::time::Timestamp;

/// The state of Secure Boot, one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// The firmware enforces it, and shim validates.
    Enabled,
    /// The firmware does not enforce it.
    Disabled,
    /// There is no platform key: the firmware enforces nothing yet.
    SetupMode,
    /// The firmware enforces it, and shim was told to validate nothing.
    ValidationOff,
    /// There is no EFI.
    NotApplicable,
    /// It cannot be told.
    #[default]
    Unknown,
}

impl State {
    /// Of this machine.
    pub fn of(trust: &Trust) -> Self {
        let on = |switch: &Reading<Switch>| switch.known() == Some(&Switch::On);
        match &trust.secure_boot {
            Reading::Absent => Self::NotApplicable,
            Reading::Unreadable(_) => Self::Unknown,
            Reading::Known(_) if on(&trust.setup_mode) => Self::SetupMode,
            Reading::Known(Switch::Off) => Self::Disabled,
            Reading::Known(Switch::On) if on(&trust.shim_validates_nothing) => Self::ValidationOff,
            Reading::Known(Switch::On) => match trust.effective() {
                Reading::Known(_) => Self::Enabled,
                Reading::Absent | Reading::Unreadable(_) => Self::Unknown,
            },
        }
    }

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::SetupMode => "setup-mode",
            Self::ValidationOff => "validation-off",
            Self::NotApplicable => "not-applicable",
            Self::Unknown => "unknown",
        }
    }
}

/// A key that has a name here: one of shim's or the firmware's, one that was asked for, or one that the
/// configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPicture {
    /// What its certificate says; none where the file that is named does not read, or only the
    /// ledger remembers it.
    pub certificate: Option<Certificate>,
    /// What it is called: the subject, or what is remembered.
    pub name: String,
    /// SHA-256 over the certificate; none where it does not read.
    pub fingerprint: Option<Fingerprint>,
    /// Where the configuration names it.
    pub path: Option<String>,
    /// Words for where it is: `mok`, `db`, and rings by name.
    pub places: BTreeSet<&'static str>,
    /// Words for what revokes it: `mokx`, `dbx`, `.blacklist`.
    pub revoked: BTreeSet<&'static str>,
    /// How far its enrolment has come; or why the file that is named does not read.
    pub enrolment: Result<Enrolment, String>,
    /// When shim was asked for it from here.
    pub asked: Option<Timestamp>,
}

impl KeyPicture {
    /// Its state in one CamelCase word, in one sentence, and what to do, which is empty for nothing.
    pub fn said(&self) -> (&'static str, String, String) {
        match &self.enrolment {
            Err(why) => {
                let said = format!("it cannot be used as a certificate: {why}");
                let fix =
                    "put the certificate there (DER or PEM), or name another file, and reload";
                ("CertificateUnreadable", said, fix.to_owned())
            }
            Ok(enrolment) => {
                let fix = enrolment.fix(self.path.as_deref().unwrap_or("FILE"));
                (enrolment.reason(), enrolment.sentence(), fix.unwrap_or_default())
            }
        }
    }
}

/// What shim has been asked for, and will ask about at the next boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestPicture {
    /// The variable, such as `MokNew`.
    pub variable: &'static str,
    /// Fingerprints of the certificates that it is about.
    pub keys: Vec<Fingerprint>,
    /// What keeps it from being carried out; none: it waits for the next boot.
    pub fault: Option<String>,
}

/// What the running kernel would say to one module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModulePicture {
    /// Which.
    pub module: ModuleName,
    /// Who signed it; empty for nobody.
    pub signer: String,
    /// Where the configuration names the signer's certificate, if the kernel does not trust it.
    pub certificate: Option<String>,
    /// What the kernel would make of it.
    pub verdict: Verdict,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecureBootPicture {
    /// In a word.
    pub state: State,
    /// Known where shim is part of the boot.
    pub shim: Reading<()>,
    /// Whether the firmware's variables can be written.
    pub runtime: Reading<RunTime>,
    /// Whether the running kernel refuses modules that it does not trust.
    pub enforcement: Reading<Enforcement>,
    /// How far it is locked down.
    pub lockdown: Reading<Lockdown>,
    /// Keys, those that the configuration names first.
    pub keys: Vec<KeyPicture>,
    /// Requests that wait for the next boot.
    pub requests: Vec<RequestPicture>,
    /// How long MokManager will wait, in seconds, if it was told.
    pub prompt_secs: Option<i32>,
    /// What the running kernel would say to the modules of each release that has some for it.
    pub releases: BTreeMap<ReleaseName, Vec<ModulePicture>>,
    /// Volumes that the TPM unlocks only while nothing changes of what enrolling a key changes.
    pub sealed: Reading<BTreeMap<String, Words>>,
    /// What could not be read, and why.
    pub gaps: BTreeMap<&'static str, String>,
}

/// What is remembered, beside what the machine shows.
#[derive(Clone, Copy, Debug)]
pub struct Remembered<'a> {
    /// Keys that were asked for.
    pub asked: &'a BTreeMap<Fingerprint, Asked>,
    /// This boot.
    pub boot: &'a Reading<BootId>,
}

impl SecureBootPicture {
    /// Of this machine.
    pub fn of(
        trust: &Trust,
        remembered: Remembered<'_>,
        releases: &BTreeMap<ReleaseName, Release>,
        volumes: &Reading<BTreeMap<String, Volume>>,
    ) -> Self {
        let requests = trust.requests.known();
        Self {
            state: State::of(trust),
            shim: trust.shim.clone(),
            runtime: trust.runtime.clone(),
            enforcement: trust.sig_enforce.clone(),
            lockdown: trust.lockdown.clone(),
            keys: keys(trust, remembered),
            requests: pending(trust),
            prompt_secs: requests.and_then(|all| all.timeout_secs.as_ref()?.ok()),
            releases: verdicts(trust, releases),
            sealed: sealed(volumes),
            gaps: gaps(trust),
        }
    }
}

fn keys(trust: &Trust, remembered: Remembered<'_>) -> Vec<KeyPicture> {
    let mut keys: Vec<KeyPicture> = Vec::new();
    let mut seen = BTreeSet::new();
    let shown = |certificate: Certificate, path: Option<&String>| {
        let fingerprint = Fingerprint(certificate.fingerprint);
        let places = Places::of(&certificate, trust);
        let asked = remembered.asked.get(&fingerprint);
        let enrolment = enrolment::of(&certificate, trust, asked, remembered.boot);
        KeyPicture {
            name: certificate.subject.to_string(),
            fingerprint: Some(fingerprint),
            path: path.cloned(),
            places: places.held.into_iter().map(place).collect(),
            revoked: places.revoked.into_iter().map(revoked).collect(),
            enrolment: Ok(enrolment),
            asked: asked.map(|asked| asked.at),
            certificate: Some(certificate),
        }
    };
    for (path, reading) in &trust.named {
        match reading {
            Reading::Known(certificate) => {
                seen.insert(Fingerprint(certificate.fingerprint));
                keys.push(shown(certificate.clone(), Some(path)));
            }
            Reading::Absent => keys.push(unread(path, "there is no such file")),
            Reading::Unreadable(why) => keys.push(unread(path, why)),
        }
    }
    let asked_for = trust.requests.known().into_iter().flat_map(|requests| {
        let lists = ListChange::ALL.iter().filter_map(|change| requests.lists.get(change));
        lists.filter_map(|asked| asked.list.as_ref()?.as_ref().ok())
    });
    let lists = [&trust.mok, &trust.db].into_iter().filter_map(Reading::known).chain(asked_for);
    for certificate in lists.flat_map(|lists| certificates(lists)) {
        if seen.insert(Fingerprint(certificate.fingerprint)) {
            keys.push(shown(certificate, None));
        }
    }
    for (fingerprint, asked) in remembered.asked {
        if !seen.contains(fingerprint) {
            keys.push(KeyPicture {
                certificate: None,
                name: asked.name.clone(),
                fingerprint: Some(*fingerprint),
                path: None,
                places: BTreeSet::new(),
                revoked: BTreeSet::new(),
                enrolment: Ok(enrolment::of_asked(asked, trust, remembered.boot)),
                asked: Some(asked.at),
            });
        }
    }
    keys
}

fn unread(path: &str, why: &str) -> KeyPicture {
    KeyPicture {
        certificate: None,
        name: path.to_owned(),
        fingerprint: None,
        path: Some(path.to_owned()),
        places: BTreeSet::new(),
        revoked: BTreeSet::new(),
        enrolment: Err(why.to_owned()),
        asked: None,
    }
}

/// Certificates of lists; what does not read is passed over, as kernels do.
pub fn certificates(lists: &[SignatureList]) -> impl Iterator<Item = Certificate> {
    let lists = lists.iter().filter(|list| list.kind == SignatureType::X509);
    lists.flat_map(|list| list.entries.iter().filter_map(|entry| entry.certificate().ok()))
}

fn place(place: Place) -> &'static str {
    match place {
        Place::Ring(ring) => ring.name(),
        Place::MokList => "mok",
        Place::Db => "db",
    }
}

fn revoked(list: Revoked) -> &'static str {
    match list {
        Revoked::Blacklist => SystemRing::Blacklist.name(),
        Revoked::MokListX => "mokx",
        Revoked::Dbx => "dbx",
    }
}

fn pending(trust: &Trust) -> Vec<RequestPicture> {
    let Some(requests) = trust.requests.known() else { return Vec::new() };
    let mut pending = Vec::new();
    for (change, asked) in &requests.lists {
        let (keys, damaged) = match &asked.list {
            None => (Vec::new(), None),
            Some(Ok(lists)) => {
                let keys = certificates(lists).map(|one| Fingerprint(one.fingerprint));
                (keys.collect(), None)
            }
            Some(Err(damaged)) => (Vec::new(), Some(damaged.to_string())),
        };
        let fault = damaged.or_else(|| match &asked.auth {
            None => Some(format!("there is no password ({})", change.auth_name())),
            Some(Err(damaged)) => Some(format!("{}: {damaged}", change.auth_name())),
            Some(Ok(_)) => None,
        });
        pending.push(RequestPicture { variable: change.list_name(), keys, fault });
    }
    for (toggle, asked) in &requests.toggles {
        let fault = asked.as_ref().err().map(ToString::to_string);
        pending.push(RequestPicture { variable: toggle.name(), keys: Vec::new(), fault });
    }
    if let Some(asked) = &requests.password {
        let fault = asked.as_ref().err().map(ToString::to_string);
        pending.push(RequestPicture { variable: "MokPW", keys: Vec::new(), fault });
    }
    pending
}

fn verdicts(
    trust: &Trust,
    releases: &BTreeMap<ReleaseName, Release>,
) -> BTreeMap<ReleaseName, Vec<ModulePicture>> {
    let Some(kernel) = trust.kernel.known() else { return BTreeMap::new() };
    let at_hand = AtHand::of(trust);
    let judge = Judge::new(trust, kernel, &at_hand);
    let of = |release: &Release| -> Option<Vec<ModulePicture>> {
        let files = release.modules.known()?.get(kernel)?;
        let judged = files.iter().map(|(module, file)| {
            let signed = file.signed.data();
            let signers = signed.ok().flatten().into_iter().flat_map(|data| &data.signers);
            let signers: Vec<_> = signers.map(|signer| called(&signer.by)).collect();
            let verdict = judge.verdict(signed);
            ModulePicture {
                module: module.clone(),
                signer: signers.join("; "),
                certificate: verdict.reason().and_then(|reason| trust.named_for(reason.signer()?)),
                verdict,
            }
        });
        Some(judged.collect())
    };
    releases.iter().filter_map(|(name, release)| Some((name.clone(), of(release)?))).collect()
}

/// Those of which it shows: others have it in their headers only, which this daemon may not read.
fn sealed(volumes: &Reading<BTreeMap<String, Volume>>) -> Reading<BTreeMap<String, Words>> {
    volumes.as_ref().map(|volumes| {
        let asked = volumes.iter().filter(|(_, volume)| volume.asked.is_some());
        asked.map(|(name, volume)| (name.clone(), volume.words(name))).collect()
    })
}

fn gaps(trust: &Trust) -> BTreeMap<&'static str, String> {
    let facts = [
        ("State", trust.secure_boot.why_not().or(trust.setup_mode.why_not())),
        ("Shim", trust.shim.why_not()),
        ("Variables", trust.runtime.why_not()),
        ("Enforcement", trust.sig_enforce.why_not()),
        ("Lockdown", trust.lockdown.why_not()),
        ("Keys", trust.mok.why_not().or(trust.db.why_not())),
        ("Requests", trust.requests.why_not()),
    ];
    facts.into_iter().filter_map(|(name, why)| Some((name, why?.to_owned()))).collect()
}

impl ModulePicture {
    /// The verdict in a word: `trusted`, `refused`, `tainted` or `unknown`.
    pub fn outcome(&self) -> &'static str {
        match &self.verdict.outcome {
            Outcome::Accepted { .. } => "trusted",
            Outcome::Refused { .. } => "refused",
            Outcome::Tainted { .. } => "tainted",
            Outcome::Unknown { .. } => "unknown",
        }
    }

    /// One CamelCase word for why it is not trusted; empty where it is.
    pub fn reason(&self) -> &'static str {
        match &self.verdict.outcome {
            Outcome::Accepted { .. } => "",
            Outcome::Refused { why } | Outcome::Tainted { why } => {
                why.first().map_or("", Reason::reason)
            }
            Outcome::Unknown { .. } => "Untold",
        }
    }

    /// What it comes from, and what to do; nothing is to be done about a module that is trusted.
    pub fn said(&self) -> (String, String) {
        match &self.verdict.outcome {
            Outcome::Accepted { ring, .. } => {
                (format!("its signer's key is in {}", ring.name()), String::new())
            }
            Outcome::Refused { why } | Outcome::Tainted { why } => match why.first() {
                Some(first) => {
                    let fix = first.fix(self.certificate.as_deref());
                    (format!("{}: {}", first.what(), first.why()), fix)
                }
                None => (String::new(), String::new()),
            },
            Outcome::Unknown { why, .. } => match why.first() {
                Some(first) => (format!("{}: {}", first.what(), first.why()), first.fix()),
                None => (String::new(), String::new()),
            },
        }
    }

    /// By which rules, in words.
    pub fn rule(&self) -> String {
        self.verdict.rule()
    }
}

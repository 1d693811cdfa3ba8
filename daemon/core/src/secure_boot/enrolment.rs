//! How far the enrolment of one key has come: told from what this machine shows and from what is
//! remembered of having asked (`reference/secure-boot-mok.md` section 4). Shim deletes what it is asked
//! for before it asks back, so that a prompt nobody answered looks like one that never was.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use self::places::{Places, is_of_a_ring, requested};
use super::certificate::Certificate;
use super::request::obstacle::{AT_THE_CONSOLE, called};
use super::request::prompt::PromptTimeout;
use super::request::{ListChange, Requests};
use super::trust::Trust;
use super::verdict::reason::{Place, Revoked};
use super::{hex, unhex};
use crate::names::BootId;
use crate::reading::Reading;
use crate::time::Timestamp;

#[cfg(test)]
pub(crate) mod bench;
pub mod places;

/// What has the key asked for once more.
fn again(file: &str) -> String {
    format!("`onloadctl keys import {file}` asks again")
}

/// SHA-256 over a certificate, by which it is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint(pub [u8; 32]);

/// A text that is no fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint has 64 hexadecimal digits")]
pub struct InvalidFingerprint;

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.to_string()
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = InvalidFingerprint;

    fn try_from(text: String) -> Result<Self, InvalidFingerprint> {
        let bytes = unhex(&text).and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or(InvalidFingerprint)
    }
}

/// That shim was asked for a key; the ledger keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Asked {
    /// Which certificate.
    pub fingerprint: Fingerprint,
    /// What it is called, for people.
    pub name: String,
    /// When.
    pub at: Timestamp,
    /// In which boot: in the next one shim asks back.
    pub boot: BootId,
    /// Whether the request was seen: what is remembered before it is written may never have been.
    #[serde(default)]
    pub written: bool,
}

impl Asked {
    /// Shim was asked for this certificate.
    pub fn for_key(certificate: &Certificate, at: Timestamp, boot: BootId) -> Self {
        let (name, fingerprint) = (certificate.subject.to_string(), certificate.fingerprint);
        Self { fingerprint: Fingerprint(fingerprint), name, at, boot, written: false }
    }
}

/// How long MokManager will wait for somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// This many seconds.
    Seconds(i32),
    /// Not at all: it drops the request.
    None,
    /// For ever: the machine does not boot until then.
    ForEver,
    /// That does not read.
    Unread,
}

impl Prompt {
    fn of(requests: &Requests) -> Self {
        match requests.timeout_secs {
            None => Self::Seconds(PromptTimeout::SHIMS_OWN.secs()),
            Some(Ok(secs @ 1..)) => Self::Seconds(secs.min(PromptTimeout::LONGEST.secs())),
            Some(Ok(0)) => Self::None,
            Some(Ok(..0)) => Self::ForEver,
            Some(Err(_)) => Self::Unread,
        }
    }
}

/// How far it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enrolment {
    /// The key is where somebody trusts it; whether this kernel does so for modules, a verdict says.
    Enrolled {
        /// All places.
        places: BTreeSet<Place>,
    },
    /// Shim or firmware has it, and no ring of the kernel.
    EnrolledNotLoaded,
    /// Shim will ask at the next boot.
    Pending {
        /// For how long.
        prompt: Prompt,
    },
    /// It is asked for without a password, which shim refuses.
    Incomplete,
    /// It was asked for in an earlier boot, and still is: shim did not ask.
    Overlooked {
        /// When.
        asked: Timestamp,
    },
    /// It was asked for in an earlier boot, and is neither enrolled nor asked for.
    Lost {
        /// When.
        asked: Timestamp,
    },
    /// It was asked for in this boot, and somebody took that back.
    Withdrawn {
        /// When it was asked for.
        asked: Timestamp,
    },
    /// It was about to be asked for, and the request was never seen.
    Unwritten {
        /// When.
        asked: Timestamp,
    },
    /// Nobody asked.
    NotAsked,
    /// It is revoked, wherever else it is.
    Blocked {
        /// By what.
        lists: BTreeSet<Revoked>,
    },
    /// That cannot be told.
    Unknown {
        /// Because of what.
        why: String,
    },
}

/// Says how far the enrolment of this certificate has come. What is remembered of another one is not
/// looked at.
pub fn of(
    certificate: &Certificate,
    trust: &Trust,
    asked: Option<&Asked>,
    this_boot: &Reading<BootId>,
) -> Enrolment {
    let places = Places::of(certificate, trust);
    if !places.revoked.is_empty() {
        return Enrolment::Blocked { lists: places.revoked };
    }
    if !places.held.is_empty() {
        let unseen = places.unread.iter().any(is_of_a_ring);
        return if places.in_a_ring() || unseen {
            Enrolment::Enrolled { places: places.held }
        } else {
            Enrolment::EnrolledNotLoaded
        };
    }
    let asked = asked.filter(|asked| asked.fingerprint.0 == certificate.fingerprint);
    if let Some(requests) = trust.requests.known()
        && requested(requests, certificate)
    {
        return pending(requests, asked, this_boot);
    }
    gone(asked, trust, this_boot)
}

/// Says the same of a key whose certificate is in no list and in no request: only that it was asked
/// for is remembered.
pub fn of_asked(asked: &Asked, trust: &Trust, this_boot: &Reading<BootId>) -> Enrolment {
    gone(Some(asked), trust, this_boot)
}

fn gone(asked: Option<&Asked>, trust: &Trust, this_boot: &Reading<BootId>) -> Enrolment {
    let gap = match (trust.mok.why_not(), trust.requests.why_not()) {
        (Some(why), _) => Some(format!("shim's keys (MokListRT) cannot be read: {why}")),
        (None, Some(why)) => Some(format!("what shim is asked for cannot be read: {why}")),
        (None, None) => None,
    };
    match (gap, asked, this_boot) {
        (Some(why), ..) => Enrolment::Unknown { why },
        (None, None, _) => Enrolment::NotAsked,
        (None, Some(asked), _) if !asked.written => Enrolment::Unwritten { asked: asked.at },
        (None, Some(asked), Reading::Known(boot)) if asked.boot == *boot => {
            Enrolment::Withdrawn { asked: asked.at }
        }
        (None, Some(asked), Reading::Known(_)) => Enrolment::Lost { asked: asked.at },
        (None, Some(asked), Reading::Absent | Reading::Unreadable(_)) => {
            let (day, why) = (date(asked.at), this_boot.why_not().unwrap_or("it is not there"));
            let why = format!(
                "it was asked for on {day}, and whether this machine was booted since is not known (boot_id): {why}"
            );
            Enrolment::Unknown { why }
        }
    }
}

fn pending(requests: &Requests, asked: Option<&Asked>, this_boot: &Reading<BootId>) -> Enrolment {
    let request = requests.lists.get(&ListChange::Enrol);
    if !request.is_some_and(|request| matches!(request.auth, Some(Ok(_)))) {
        return Enrolment::Incomplete;
    }
    let earlier = |asked: &&Asked| this_boot.known().is_some_and(|boot| *boot != asked.boot);
    match asked.filter(earlier) {
        Some(asked) => Enrolment::Overlooked { asked: asked.at },
        None => Enrolment::Pending { prompt: Prompt::of(requests) },
    }
}

impl Enrolment {
    /// One word for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Enrolled { .. } => "Enrolled",
            Self::EnrolledNotLoaded => "EnrolledNotLoaded",
            Self::Pending { .. } => "EnrolmentPending",
            Self::Incomplete => "RequestIncomplete",
            Self::Overlooked { .. } => "RequestOverlooked",
            Self::Lost { .. } => "RequestLost",
            Self::Withdrawn { .. } => "RequestWithdrawn",
            Self::Unwritten { .. } => "RequestUnwritten",
            Self::NotAsked => "NotEnrolled",
            Self::Blocked { .. } => "Revoked",
            Self::Unknown { .. } => "Unknown",
        }
    }

    /// It, in one sentence.
    pub fn sentence(&self) -> String {
        match self {
            Self::Enrolled { places } => {
                let names: Vec<_> = places.iter().map(|place| place_name(*place)).collect();
                format!("enrolled: in {}", names.join(", "))
            }
            Self::EnrolledNotLoaded => "enrolled, and in no ring of this kernel".to_owned(),
            Self::Pending { prompt } => {
                let prompt = match prompt {
                    Prompt::Seconds(secs) => format!("shim asks at the next boot, for {secs} seconds"),
                    Prompt::None => {
                        "shim drops it at the next boot without asking (MokTimeout 0)".to_owned()
                    }
                    Prompt::ForEver => {
                        "the next boot stops until somebody answers at the console (MokTimeout below 0)".to_owned()
                    }
                    Prompt::Unread => {
                        "shim asks at the next boot, for how long cannot be told (MokTimeout)".to_owned()
                    }
                };
                format!("asked for, not enrolled yet: {prompt}")
            }
            Self::Incomplete => {
                "asked for without a password (MokNew without MokAuth), which shim refuses"
                    .to_owned()
            }
            Self::Overlooked { asked } => format!(
                "asked on {}, not enrolled, and still asked for after a reboot: shim did not start MokManager",
                date(*asked)
            ),
            Self::Lost { asked } => {
                format!("asked on {}, not enrolled: the prompt was missed or refused", date(*asked))
            }
            Self::Withdrawn { asked } => format!(
                "asked on {}, not enrolled: the request was taken back before a reboot",
                date(*asked)
            ),
            Self::Unwritten { asked } => format!(
                "not enrolled: it was about to be asked for on {}, and the request was never written",
                date(*asked)
            ),
            Self::NotAsked => "not enrolled, and not asked for".to_owned(),
            Self::Blocked { lists } => {
                let names: Vec<_> = lists.iter().map(|list| called(*list)).collect();
                format!("revoked: by {}", names.join(" and "))
            }
            Self::Unknown { why } => format!("cannot be told: {why}"),
        }
    }

    /// What to do; none where nothing has to be done. `file` is where the certificate lies.
    pub fn fix(&self, file: &str) -> Option<String> {
        Some(match self {
            Self::Enrolled { .. } => return None,
            Self::EnrolledNotLoaded => {
                "reboot, so that the kernel reads it; if it stays so, `onloadctl why onload` says what this kernel reads".to_owned()
            }
            Self::Pending { prompt: Prompt::Seconds(_) | Prompt::ForEver | Prompt::Unread } => {
                AT_THE_CONSOLE.to_owned()
            }
            Self::Pending { prompt: Prompt::None } => {
                format!("`onloadctl keys revoke-request`; then {}", again(file))
            }
            Self::Incomplete => format!("`onloadctl keys revoke-request`; then {}", again(file)),
            Self::Overlooked { .. } => {
                "see whether the firmware starts the distribution's shim, and whether MokManager (mmx64.efi) is beside it on the EFI partition; then reboot".to_owned()
            }
            Self::Lost { .. } | Self::Unwritten { .. } => {
                format!("{}; then {AT_THE_CONSOLE}", again(file))
            }
            Self::Withdrawn { .. } | Self::NotAsked => {
                format!("`onloadctl keys import {file}` asks for it; then {AT_THE_CONSOLE}")
            }
            Self::Blocked { .. } => {
                "`onloadctl keys generate`, sign the modules anew with that key, and enrol it".to_owned()
            }
            Self::Unknown { .. } => {
                "see whether efivarfs is mounted and the daemon's unit may read it".to_owned()
            }
        })
    }
}

fn place_name(place: Place) -> &'static str {
    match place {
        Place::Ring(ring) => ring.name(),
        Place::MokList => "shim's list (MokListRT)",
        Place::Db => "the firmware's db",
    }
}

/// A time for people, in UTC, to the minute.
fn date(at: Timestamp) -> String {
    /// Years repeat after four centuries.
    const DAYS_OF_400_YEARS: u64 = 146_097;
    let (days, minutes) = (at.0 / 86_400_000, at.0 / 60_000 % 1440);
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970 + days / DAYS_OF_400_YEARS * 400;
    let mut day = days % DAYS_OF_400_YEARS;
    while day >= 365 + u64::from(leap(year)) {
        day -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    let (hour, minute) = (minutes / 60, minutes % 60);
    format!("{year:04}-{month:02}-{:02} {hour:02}:{minute:02} UTC", day + 1)
}

#[cfg(test)]
mod tests;

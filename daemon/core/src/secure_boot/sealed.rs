//! Encrypted volumes that the TPM unlocks only while what the firmware and shim measured is as it was
//! when they were bound. Enrolling a key changes that: the next boot asks for a passphrase.

use std::collections::BTreeSet;

mod clevis;
pub mod header;
pub mod volume;

/// The registers that are another after a key was enrolled: 7 holds which key verified what was
/// booted, 14 the list of shim's keys (`reference/secure-boot-mok.md` section 10).
pub const CHANGED: [u8; 2] = [7, 14];
/// How many registers a TPM of a PC has.
const REGISTERS: u8 = 24;

/// One way in which the TPM unlocks a volume.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sealed {
    /// What people know the volume by: its name where it is open, else its UUID.
    pub volume: String,
    /// The key slot that it opens.
    pub slot: Option<u32>,
    /// Registers that must hold what they held when the volume was bound.
    pub pcrs: BTreeSet<u8>,
    /// Registers that may hold anything that somebody signed.
    pub signed_pcrs: BTreeSet<u8>,
    /// Whether a PIN is asked for as well.
    pub pin: bool,
    /// Who asks the TPM.
    pub by: Sealer,
}

/// Who has the TPM unlock a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sealer {
    /// systemd-cryptenroll.
    Systemd,
    /// systemd-cryptenroll, by the registers and values that systemd-pcrlock wrote into the TPM. Which
    /// these are the volume does not say.
    Pcrlock,
    /// clevis.
    Clevis,
    /// clevis, with enough other shares of the secret that an enrolment leaves as they are.
    ClevisShares,
}

/// What an enrolment means for a volume, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// One sentence.
    pub what: String,
    /// What to do before and after.
    pub fix: String,
}

impl Sealed {
    /// Which of the registers that must not change an enrolment changes.
    pub fn broken(&self) -> BTreeSet<u8> {
        changed(&self.pcrs)
    }

    /// What to tell whoever wants to enroll a key; none where it makes no difference. `device` is where
    /// the volume's header lies.
    pub fn words(&self, device: &str) -> Option<Words> {
        const PREPARE: &str = "have the passphrase or recovery key at hand; after the enrolment";
        let (broken, signed) = (self.broken(), changed(&self.signed_pcrs));
        let (until, what_changes, then) = if self.by == Sealer::Pcrlock {
            let then = "have systemd-pcrlock expect the new values: \
                        /usr/lib/systemd/systemd-pcrlock make-policy";
            let what_changes = numbered(&CHANGED.into());
            ("the PCRs are as systemd-pcrlock expects".to_owned(), what_changes, then.to_owned())
        } else if !broken.is_empty() {
            let (until, command) = match self.by {
                Sealer::Systemd | Sealer::Pcrlock => (as_it_was(&broken), self.enroll(device)),
                Sealer::Clevis => (as_it_was(&broken), self.regenerate(device)),
                Sealer::ClevisShares => {
                    let until = format!("{}, or by other shares of its secret", as_it_was(&broken));
                    (until, self.regenerate(device))
                }
            };
            (until, it(&broken), format!("bind it anew: {command}"))
        } else if !signed.is_empty() {
            let then = "have the new values signed by whoever signs them for this machine";
            let until = format!("somebody signed the values of {}", numbered(&signed));
            (until, it(&signed), then.to_owned())
        } else {
            return None;
        };
        Some(Words {
            what: format!(
                "volume {} is unlocked by the TPM while {until}; enrolling a key changes \
                 {what_changes}",
                self.volume
            ),
            fix: format!("{PREPARE} {then}"),
        })
    }

    fn enroll(&self, device: &str) -> String {
        let slot = self.slot.map_or_else(|| "tpm2".to_owned(), |slot| slot.to_string());
        let pcrs = joined(&self.pcrs, "+");
        let mut command =
            format!("systemd-cryptenroll --wipe-slot={slot} --tpm2-device=auto --tpm2-pcrs={pcrs}");
        if !self.signed_pcrs.is_empty() {
            command += " --tpm2-public-key-pcrs=";
            command += &joined(&self.signed_pcrs, "+");
        }
        if self.pin {
            command += " --tpm2-with-pin=yes";
        }
        format!("{command} {device}")
    }

    fn regenerate(&self, device: &str) -> String {
        let slot = self.slot.map_or_else(|| "SLOT".to_owned(), |slot| slot.to_string());
        format!("clevis luks regen -d {device} -s {slot}")
    }
}

fn changed(pcrs: &BTreeSet<u8>) -> BTreeSet<u8> {
    pcrs.iter().copied().filter(|pcr| CHANGED.contains(pcr)).collect()
}

fn joined(pcrs: &BTreeSet<u8>, between: &str) -> String {
    pcrs.iter().map(u8::to_string).collect::<Vec<_>>().join(between)
}

fn numbered(pcrs: &BTreeSet<u8>) -> String {
    format!("PCR {}", joined(pcrs, " and "))
}

fn as_it_was(pcrs: &BTreeSet<u8>) -> String {
    let holds = if pcrs.len() == 1 { "is as it was" } else { "are as they were" };
    format!("{} {holds}", numbered(pcrs))
}

fn it(pcrs: &BTreeSet<u8>) -> String {
    if pcrs.len() == 1 { "it" } else { "them" }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(by: Sealer, pcrs: &[u8], signed: &[u8]) -> Sealed {
        Sealed {
            volume: "data".to_owned(),
            slot: Some(2),
            pcrs: pcrs.iter().copied().collect(),
            signed_pcrs: signed.iter().copied().collect(),
            pin: false,
            by,
        }
    }

    #[test]
    fn words_say_what_changes_and_how_to_bind_anew() {
        use Sealer::{Clevis, ClevisShares, Pcrlock, Systemd};
        let enroll = "bind it anew: systemd-cryptenroll --wipe-slot=2 --tpm2-device=auto";
        let regenerate = "bind it anew: clevis luks regen -d /dev/sda3 -s 2";
        for (by, pcrs, signed, what, then) in [
            (
                Systemd,
                &[4, 7][..],
                &[][..],
                "while PCR 7 is as it was; enrolling a key changes it",
                format!("{enroll} --tpm2-pcrs=4+7 /dev/sda3"),
            ),
            (
                Systemd,
                &[7, 14],
                &[11],
                "while PCR 7 and 14 are as they were; enrolling a key changes them",
                format!("{enroll} --tpm2-pcrs=7+14 --tpm2-public-key-pcrs=11 /dev/sda3"),
            ),
            (
                Systemd,
                &[],
                &[7, 11],
                "while somebody signed the values of PCR 7; enrolling a key changes it",
                "have the new values signed by whoever signs them for this machine".to_owned(),
            ),
            (
                Pcrlock,
                &[],
                &[],
                "while the PCRs are as systemd-pcrlock expects; enrolling a key changes PCR 7 and 14",
                "have systemd-pcrlock expect the new values: /usr/lib/systemd/systemd-pcrlock \
                 make-policy"
                    .to_owned(),
            ),
            (
                Clevis,
                &[14],
                &[],
                "while PCR 14 is as it was; enrolling a key changes it",
                regenerate.to_owned(),
            ),
            (
                ClevisShares,
                &[7],
                &[],
                "while PCR 7 is as it was, or by other shares of its secret; enrolling a key \
                 changes it",
                regenerate.to_owned(),
            ),
        ] {
            let words = sealed(by, pcrs, signed).words("/dev/sda3").unwrap();
            assert_eq!(words.what, format!("volume data is unlocked by the TPM {what}"));
            let prepare = "have the passphrase or recovery key at hand; after the enrolment";
            assert_eq!(words.fix, format!("{prepare} {then}"));
        }
    }

    #[test]
    fn what_an_enrolment_leaves_as_it_is_needs_no_words() {
        for (by, pcrs, signed) in [
            (Sealer::Systemd, &[][..], &[][..]),
            (Sealer::Systemd, &[0, 4, 8, 9], &[11]),
            (Sealer::Clevis, &[4], &[]),
        ] {
            assert_eq!(sealed(by, pcrs, signed).words("/dev/sda3"), None, "{pcrs:?} {signed:?}");
        }
    }

    #[test]
    fn a_pin_stays_and_a_slot_that_is_not_known_is_named() {
        let pinned = Sealed { pin: true, slot: None, ..sealed(Sealer::Systemd, &[7], &[]) };
        let fix = pinned.words("/dev/sda3").unwrap().fix;
        assert!(fix.contains("--wipe-slot=tpm2 "), "{fix}");
        assert!(fix.ends_with(" --tpm2-with-pin=yes /dev/sda3"), "{fix}");
        let clevis = Sealed { slot: None, ..sealed(Sealer::Clevis, &[7], &[]) };
        assert!(clevis.words("/dev/sda3").unwrap().fix.ends_with(" -s SLOT"));
    }
}

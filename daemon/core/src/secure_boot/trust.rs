//! What this machine and its kernels trust and enforce, as far as it could be read. A gap stays a gap:
//! nothing here has a default, and [`super::verdict`] says what cannot be told because of it.

use std::collections::{BTreeMap, BTreeSet};

use super::certificate::{Certificate, KeyId};
use super::kernel::config::KernelConfig;
use super::kernel::{Enforcement, Lockdown};
use super::keyring::{Blacklisted, Described, SystemRing};
use super::request::Requests;
use super::signature::signed_data::SignerId;
use super::signature_list::SignatureList;
use crate::names::KernelRelease;
use crate::reading::Reading;

/// A variable of one byte that turns something on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// 1
    On,
    /// 0
    Off,
}

impl From<bool> for Switch {
    fn from(on: bool) -> Self {
        if on { Self::On } else { Self::Off }
    }
}

/// What the running system can do with the firmware's variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunTime {
    /// It reads and writes them.
    Writable,
    /// It writes none: efivarfs is mounted read-only, or not at all.
    ReadOnly,
    /// The kernel does not call the firmware (`efi=noruntime`, or none to call): no request can be
    /// made until it is started in another way.
    NoRunTime,
}

/// What is known of trust in modules. Absent is what the machine says it does not have, which means
/// something; what was not looked at begins with [`Trust::unread`], as the default does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// The kernel that runs. Enforcement, lockdown and rings are its own.
    pub kernel: Reading<KernelRelease>,
    /// What can be done with variables; absent where there is no EFI.
    pub runtime: Reading<RunTime>,
    /// Known where shim started this system: one of its copies for the system is there
    /// (`MokListRT`, `SbatLevelRT` …).
    pub shim: Reading<()>,
    /// `SecureBoot`; absent where there is no EFI, so that the question does not arise.
    pub secure_boot: Reading<Switch>,
    /// `SetupMode`: on means that the firmware enforces nothing.
    pub setup_mode: Reading<Switch>,
    /// `MokSBStateRT`: on means that shim validates nothing. Absent while it does, or without shim.
    pub shim_validates_nothing: Reading<Switch>,
    /// `MokIgnoreDB`: on means that the kernel does not read `db`.
    pub db_ignored: Reading<Switch>,
    /// Known where `MokListTrustedRT` is there, whatever it holds: shim's keys may go to `.machine`.
    pub mok_trusted: Reading<()>,
    /// `sig_enforce`; absent where the kernel does not look at signatures at all.
    pub sig_enforce: Reading<Enforcement>,
    /// Absent where securityfs is there and shows no lockdown: the kernel has none.
    pub lockdown: Reading<Lockdown>,
    /// How kernels were built. A kernel that is not here has not been looked at.
    pub configs: BTreeMap<KernelRelease, Reading<KernelConfig>>,
    /// Rings of the running kernel; absent is one that it does not have. A ring that is not here has
    /// not been looked at.
    pub rings: BTreeMap<SystemRing, Reading<Ring>>,
    /// `MokListRT`, all parts: what shim accepts.
    pub mok: Reading<Vec<SignatureList>>,
    /// `MokListXRT`, all parts: what shim refuses.
    pub mok_forbidden: Reading<Vec<SignatureList>>,
    /// What the firmware accepts.
    pub db: Reading<Vec<SignatureList>>,
    /// What it refuses.
    pub dbx: Reading<Vec<SignatureList>>,
    /// What shim has been asked for, and will ask about at the next boot.
    pub requests: Reading<Requests>,
    /// The certificates that the configuration names, by the path that it names. They are trusted by
    /// nobody for being here; they tell which key of a ring is meant by a signature.
    pub named: BTreeMap<String, Reading<Certificate>>,
}

impl Default for Trust {
    fn default() -> Self {
        Self::unread("it was not looked at")
    }
}

impl Trust {
    /// Nothing is known, and `why`.
    pub fn unread(why: &str) -> Self {
        fn gap<T>(why: &str) -> Reading<T> {
            Reading::Unreadable(why.to_owned())
        }
        Self {
            kernel: gap(why),
            runtime: gap(why),
            shim: gap(why),
            secure_boot: gap(why),
            setup_mode: gap(why),
            shim_validates_nothing: gap(why),
            db_ignored: gap(why),
            mok_trusted: gap(why),
            sig_enforce: gap(why),
            lockdown: gap(why),
            configs: BTreeMap::new(),
            rings: BTreeMap::new(),
            mok: gap(why),
            mok_forbidden: gap(why),
            db: gap(why),
            dbx: gap(why),
            requests: gap(why),
            named: BTreeMap::new(),
        }
    }

    /// Whether Secure Boot is in effect, as the kernel sees it: on, not in setup mode, and shim
    /// validates (`reference/secure-boot-mok.md` section 1). Absent where there is no EFI.
    pub fn effective(&self) -> Reading<Switch> {
        let off = |reading: &Reading<Switch>| reading.known() == Some(&Switch::On);
        match &self.secure_boot {
            Reading::Known(Switch::On) => {}
            other => return other.clone(),
        }
        if off(&self.setup_mode) || off(&self.shim_validates_nothing) {
            return Reading::Known(Switch::Off);
        }
        let gap = self.setup_mode.why_not().or(self.shim_validates_nothing.why_not());
        gap.map_or(Reading::Known(Switch::On), |why| Reading::Unreadable(why.to_owned()))
    }

    /// Where the configuration names the certificate of this signer.
    pub fn named_for(&self, signer: &SignerId) -> Option<String> {
        let mut named = self.named.iter();
        let found = named.find(|(_, one)| one.known().is_some_and(|one| signer.means(one)));
        found.map(|(path, _)| path.clone())
    }

    /// One ring of the running kernel.
    pub fn ring(&self, ring: SystemRing) -> Reading<&Ring> {
        match self.rings.get(&ring) {
            Some(reading) => reading.as_ref(),
            None => Reading::Unreadable("it has not been looked at".to_owned()),
        }
    }

    /// How a kernel was built; absent where its configuration is nowhere on the disk.
    pub fn config(&self, kernel: &KernelRelease) -> Reading<&KernelConfig> {
        match self.configs.get(kernel) {
            Some(reading) => reading.as_ref(),
            None => Reading::Unreadable("it has not been looked at".to_owned()),
        }
    }
}

/// What a ring holds, as the kernel describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ring {
    /// Public keys.
    pub keys: BTreeSet<RingKey>,
    /// Rings that hang on it; what they hold counts as held by it.
    pub rings: BTreeSet<SystemRing>,
    /// What may not be used, by hash.
    pub blacklisted: Vec<Blacklisted>,
    /// Members that could not be described, or are described in a way that is not known.
    pub unread: usize,
}

/// A public key, as a ring shows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RingKey {
    /// [`Certificate::listed_id`] of its certificate.
    pub id: KeyId,
    /// Organisation and common name of the certificate's subject, as far as the kernel joins them.
    pub name: String,
}

impl Ring {
    /// Out of what KEYCTL_DESCRIBE says of each member; none for one that it says nothing of.
    pub fn of<'a>(members: impl IntoIterator<Item = Option<&'a Described>>) -> Self {
        let mut ring = Self::default();
        for member in members {
            let own = |one: &SystemRing| member.is_some_and(|member| member.is(*one));
            if let Some((name, id)) = member.and_then(Described::certificate) {
                ring.keys.insert(RingKey { id, name: name.to_owned() });
            } else if let Some(hash) = member.and_then(Described::blacklisted) {
                ring.blacklisted.push(hash);
            } else if let Some(linked) = SystemRing::ALL.into_iter().find(own) {
                ring.rings.insert(linked);
            } else {
                ring.unread = ring.unread.saturating_add(1);
            }
        }
        ring
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secure_boot_is_in_effect_only_if_nothing_turns_it_off() {
        let (on, off) = (Reading::Known(Switch::On), Reading::Known(Switch::Off));
        let gap = || Reading::Unreadable("no".to_owned());
        for (why, secure_boot, setup_mode, shim_validates_nothing, expected) in [
            ("on", on.clone(), off.clone(), Reading::Absent, on.clone()),
            ("no shim, old firmware", on.clone(), Reading::Absent, Reading::Absent, on.clone()),
            ("off", off.clone(), gap(), gap(), off.clone()),
            ("no platform key", on.clone(), on.clone(), gap(), off.clone()),
            ("turned off in shim", on.clone(), off.clone(), on.clone(), off.clone()),
            ("shim said 0", on.clone(), off.clone(), off.clone(), on.clone()),
            ("shim not readable", on.clone(), off.clone(), gap(), gap()),
            ("no EFI", Reading::Absent, Reading::Absent, Reading::Absent, Reading::Absent),
            ("not readable", gap(), off.clone(), Reading::Absent, gap()),
        ] {
            let blank = Trust::unread("not looked at");
            let trust = Trust { secure_boot, setup_mode, shim_validates_nothing, ..blank };
            assert_eq!(trust.effective(), expected, "{why}");
        }
    }

    #[test]
    fn rings_are_what_the_kernel_describes() {
        let described: Vec<_> = [
            "asymmetric;0;0;39010000;A: B: 00ff",
            "keyring;0;0;1f0b0000;.machine",
            "keyring;1000;0;1f0b0000;.platform",
            "blacklist;0;0;0b0b0000;tbs:0123",
            "asymmetric;0;0;39010000;no id",
        ]
        .map(|text| Described::parse(text.as_bytes()).unwrap())
        .into();
        let ring = Ring::of(described.iter().map(Some).chain([None]));
        let key = RingKey { id: KeyId(vec![0, 0xff]), name: "A: B".to_owned() };
        assert_eq!(ring.keys, BTreeSet::from([key]));
        assert_eq!(ring.rings, BTreeSet::from([SystemRing::Machine]));
        assert_eq!(ring.blacklisted, [Blacklisted::ToBeSigned(vec![1, 0x23])]);
        assert_eq!(ring.unread, 3, "a user's ring, a key without id, one that is not described");
    }

    #[test]
    fn what_was_not_looked_at_is_a_gap() {
        let trust = Trust::unread("not looked at");
        assert!(trust.ring(SystemRing::Builtin).is_unreadable());
        assert!(trust.config(&"6.1.0".parse().unwrap()).is_unreadable());
    }
}

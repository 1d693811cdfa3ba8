//! Machines and signatures by chance: nothing panics, and a key more never makes it worse.

use super::*;
use crate::secure_boot::algorithm::{Digest, SignatureAlgorithm};
use crate::secure_boot::keyring::Blacklisted;

/// Enough to come by every outcome dozens of times, in two seconds without optimisation.
const CASES: u64 = 2_000;
const CERTIFICATES: [&[u8]; 4] = [MODULE, AUTHORITY, LEAF, OLD];
const MODULES: [&[u8]; 5] = [RSA, KEY_ID, ATTRIBUTES, EC, TWICE];
const KERNELS: [&str; 8] =
    [DEBIAN, RHEL, UPSTREAM, "6.8.0", "7.0.0", "6.12.0-mine", "6.4.0-1-default", "odd"];

/// Numbers that follow from a seed (splitmix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) >> 33).unwrap() % limit
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }

    /// Mostly known.
    fn read<T>(&mut self, value: T) -> Reading<T> {
        match self.below(8) {
            0 => Reading::Absent,
            1 => denied(),
            _ => Reading::Known(value),
        }
    }

    fn some(&mut self) -> Vec<&'static [u8]> {
        let count = self.below(3);
        (0..count).map(|_| self.of(&CERTIFICATES)).collect()
    }

    fn ring(&mut self) -> Reading<Ring> {
        let mut held = ring(&self.some()).into_known().unwrap();
        held.rings.extend((0..self.below(3)).map(|_| self.of(&SystemRing::ALL)));
        if self.below(6) == 0 {
            let hash = certificate(self.of(&CERTIFICATES)).to_be_signed.sha256.to_vec();
            held.blacklisted.push(self.of(&[Blacklisted::Binary, Blacklisted::ToBeSigned])(hash));
        }
        if self.below(3) == 0 {
            let name = self.of(&["", "Modules: first key", "Example Authority", "Other"]);
            held.keys.insert(RingKey { id: KeyId(vec![1]), name: name.to_owned() });
        }
        held.unread = self.below(8) / 7;
        self.read(held)
    }

    fn list(&mut self) -> Reading<Vec<SignatureList>> {
        let mut lists = list(&self.some()).into_known().unwrap();
        if let Some(entry) = lists.first_mut().filter(|_| self.below(8) == 0) {
            entry.entries[0].data.truncate(9);
        }
        self.read(lists)
    }

    fn trust(&mut self) -> Trust {
        let switch = [Switch::On, Switch::Off];
        let options = [
            MACHINE,
            LOCKS,
            REVOKES,
            "CONFIG_INTEGRITY_CA_MACHINE_KEYRING=y\n",
            "CONFIG_INTEGRITY_CA_MACHINE_KEYRING_MAX=y\n",
            "CONFIG_MODULE_SIG_FORCE=y\n",
            "# CONFIG_MODULE_SIG is not set\n",
            "# CONFIG_LOAD_UEFI_KEYS is not set\n",
        ];
        let mut configs = BTreeMap::new();
        for kernel in KERNELS {
            let parts: Vec<_> = options.into_iter().filter(|_| self.below(3) == 0).collect();
            let config = config(&[&[COMMON], parts.as_slice()].concat()).into_known().unwrap();
            configs.insert(release(kernel), self.read(config));
        }
        let kernel = self.of(&KERNELS);
        let lockdowns = [Lockdown::None, Lockdown::Integrity, Lockdown::Confidentiality];
        let (enforce, lockdown) =
            (self.of(&[Enforcement::Refused, Enforcement::Taken]), self.of(&lockdowns));
        let [secure_boot, setup_mode, shim, ignored] = [(); 4].map(|()| self.of(&switch));
        let pending = asked(&self.some()).into_known().unwrap();
        Trust {
            kernel: self.read(release(kernel)),
            runtime: self.read(RunTime::Writable),
            shim: self.read(()),
            secure_boot: self.read(secure_boot),
            setup_mode: self.read(setup_mode),
            shim_validates_nothing: self.read(shim),
            db_ignored: self.read(ignored),
            mok_trusted: self.read(()),
            sig_enforce: self.read(enforce),
            lockdown: self.read(lockdown),
            configs,
            rings: SystemRing::ALL.into_iter().map(|kind| (kind, self.ring())).collect(),
            mok: self.list(),
            mok_forbidden: self.list(),
            db: self.list(),
            dbx: self.list(),
            requests: self.read(pending),
            named: given(self.some().into_iter().map(certificate)),
        }
    }

    fn signature(&mut self) -> SignedData {
        let mut signature = signed(self.of(&MODULES));
        let data = &mut signature;
        data.certificates_bytes *= self.below(2);
        data.content_inside = self.below(16) == 0;
        match self.below(8) {
            0 => data.signers.clear(),
            1 => data.signers.extend(signed(self.of(&MODULES)).signers),
            2 => data.signers[0].digest = self.of(&[Digest::Md5, Digest::Sha1, Digest::Sha3_256]),
            3 => {
                let algorithms = [SignatureAlgorithm::RsaPss, SignatureAlgorithm::Rsa(None)];
                data.signers[0].algorithm = self.of(&algorithms);
            }
            _ => {}
        }
        signature
    }
}

/// With one key more in a ring that the kernel shows.
fn with_key(trust: &Trust, kind: SystemRing, der: &[u8]) -> Option<Trust> {
    let mut more = trust.clone();
    let Some(Reading::Known(held)) = more.rings.get_mut(&kind) else { return None };
    held.keys.insert(key_of(der));
    Some(more)
}

/// Every certificate for every ring but the one in which is what is not trusted.
fn pairs() -> impl Iterator<Item = (SystemRing, &'static [u8])> {
    let rings = SystemRing::ALL.into_iter().filter(|kind| *kind != SystemRing::Blacklist);
    rings.flat_map(|kind| CERTIFICATES.map(|der| (kind, der)))
}

#[test]
fn nothing_panics_and_more_trust_refuses_nothing() {
    let mut seen = [0_usize; 4];
    for seed in 0..CASES {
        let mut chance = Chance(seed);
        let (trust, kernel) = (chance.trust(), release(chance.of(&KERNELS)));
        let signature = chance.signature();
        let module = chance.of(&[Some(&signature), Some(&signature), Some(&signature), None]);
        // Mostly the kernel that runs.
        let running = trust.kernel.known().filter(|_| seed % 4 > 0).cloned();
        let kernel = running.unwrap_or(kernel);
        let said = verdict(Ok(module), &trust, &kernel);
        assert_eq!(verdict(Ok(module), &trust, &kernel), said, "{seed}: another time");
        match &said.outcome {
            Outcome::Accepted { by, .. } => {
                seen[0] += 1;
                assert!(signature.signers.iter().any(|one| one.by == *by), "{seed}");
                assert_eq!(said.answer, Some(Answer::Loads), "{seed}");
                assert!(!said.rules.is_empty(), "{seed}");
                for (kind, der) in pairs() {
                    let Some(more) = with_key(&trust, kind, der) else { continue };
                    let after = verdict(Ok(module), &more, &kernel).outcome;
                    let worse = matches!(after, Outcome::Refused { .. } | Outcome::Tainted { .. });
                    assert!(!worse, "{seed}: {kind:?} {after:?}");
                }
            }
            Outcome::Refused { why } => {
                seen[1] += 1;
                assert!(!why.is_empty() && !said.rules.is_empty(), "{seed}");
            }
            Outcome::Tainted { why } => {
                seen[2] += 1;
                assert!(!why.is_empty() && !said.rules.is_empty(), "{seed}");
            }
            Outcome::Unknown { why, against } => {
                seen[3] += 1;
                assert!(!why.is_empty() && !against.is_empty(), "{seed}");
                assert_eq!(said.answer, None, "{seed}");
            }
        }
    }
    assert!(seen.iter().all(|count| *count > 50), "every outcome came about: {seen:?}");
}

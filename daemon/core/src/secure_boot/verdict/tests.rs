//! Machines to decide on, and what is said of them in a line.

mod any;
mod gaps;
mod signing;
mod table;
mod texts;

use std::collections::BTreeMap;

use super::*;
use crate::reading::Reading;
use crate::secure_boot::certificate::{Certificate, KeyId};
use crate::secure_boot::kernel::config::KernelConfig;
use crate::secure_boot::kernel::{Enforcement, Lockdown};
use crate::secure_boot::request::{ListChange, ListRequest, Requests};
use crate::secure_boot::signature::Signature;
use crate::secure_boot::signature_list::{Entry, SignatureList, SignatureType};
use crate::secure_boot::trust::{Ring, RingKey, RunTime};
use crate::secure_boot::variable::SHIM_LOCK;

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../../../../tests/secure-boot/", $name))
    };
}

/// For modules, signed by itself, no authority.
const MODULE: &[u8] = fixture!("module.der");
/// An authority that signs certificates only.
const AUTHORITY: &[u8] = fixture!("authority.der");
/// For modules, issued by that authority.
const LEAF: &[u8] = fixture!("leaf.der");
/// Signed by `MODULE`, naming the certificate.
const RSA: &[u8] = fixture!("rsa.ko");
/// The same, naming the key.
const KEY_ID: &[u8] = fixture!("keyid.ko");
/// By the key of `MODULE`, with signed attributes and the certificate inside.
const ATTRIBUTES: &[u8] = fixture!("attributes.ko");
/// By `LEAF`, then by `MODULE`.
const TWICE: &[u8] = fixture!("twice.ko");
/// Of version 1, for nothing in particular.
const OLD: &[u8] = fixture!("old.der");
/// By `LEAF`.
const EC: &[u8] = fixture!("ec.ko");

const DEBIAN: &str = "6.1.0-56-amd64";
const RHEL: &str = "5.14.0-503.11.1.el9_5.x86_64";
const UPSTREAM: &str = "6.12.0";

const UNSIGNED: &str = "129 Loading of unsigned module is rejected";
const NO_KEY: &str = "129 Loading of module with unavailable key is rejected";
const NO_CRYPTO: &str = "129 Loading of module with unsupported crypto is rejected";
const LOCKED: &str = "1 unsigned module loading is restricted";

/// What kernels of today have built in.
const COMMON: &str = "CONFIG_MODULE_SIG=y
CONFIG_SECONDARY_TRUSTED_KEYRING=y
CONFIG_INTEGRITY_PLATFORM_KEYRING=y
CONFIG_LOAD_UEFI_KEYS=y
CONFIG_SYSTEM_BLACKLIST_KEYRING=y
";
const MACHINE: &str = "CONFIG_INTEGRITY_MACHINE_KEYRING=y\n";
const LOCKS: &str = "CONFIG_LOCK_DOWN_IN_EFI_SECURE_BOOT=y\n";
const FORCED: &str = "CONFIG_MODULE_SIG_FORCE=y\n";
const REVOKES: &str = "CONFIG_SYSTEM_REVOCATION_LIST=y\n";

fn release(text: &str) -> KernelRelease {
    text.parse().unwrap()
}

fn certificate(der: &[u8]) -> Certificate {
    Certificate::parse(der).unwrap()
}

fn signed(module: &[u8]) -> SignedData {
    Signature::parse(module).unwrap().unwrap().signed_data
}

fn denied<T>() -> Reading<T> {
    Reading::Unreadable("denied".to_owned())
}

/// Certificates as a variable holds them.
fn list(certificates: &[&[u8]]) -> Reading<Vec<SignatureList>> {
    let list = |der: &&[u8]| SignatureList {
        kind: SignatureType::X509,
        entries: vec![Entry { owner: SHIM_LOCK, data: der.to_vec(), offset: 44 }],
    };
    Reading::Known(certificates.iter().map(list).collect())
}

fn key_of(der: &[u8]) -> RingKey {
    let certificate = certificate(der);
    let name = certificate.subject.common_name().unwrap().to_owned();
    RingKey { id: KeyId(certificate.listed_id().to_vec()), name }
}

/// Certificates that the configuration names.
fn given(
    certificates: impl IntoIterator<Item = Certificate>,
) -> BTreeMap<String, Reading<Certificate>> {
    let numbered = certificates.into_iter().enumerate();
    numbered.map(|(number, one)| (format!("/{number}"), Reading::Known(one))).collect()
}

fn ring(certificates: &[&[u8]]) -> Reading<Ring> {
    let keys = certificates.iter().map(|der| key_of(der)).collect();
    Reading::Known(Ring { keys, ..Ring::default() })
}

/// `.secondary_trusted_keys` with what hangs on it.
fn secondary(linked: &[SystemRing]) -> Reading<Ring> {
    Reading::Known(Ring { rings: linked.iter().copied().collect(), ..Ring::default() })
}

fn config(parts: &[&str]) -> Reading<KernelConfig> {
    Reading::Known(KernelConfig::parse(parts.concat().as_bytes()).unwrap())
}

fn asked(certificates: &[&[u8]]) -> Reading<Requests> {
    let list = list(certificates).into_known().map(Ok);
    let lists = BTreeMap::from([(ListChange::Enrol, ListRequest { list, auth: None })]);
    Reading::Known(Requests { lists, ..Requests::default() })
}

/// A machine with Secure Boot whose kernel enforces signatures, has `.machine` and one key of its own
/// build, whose certificate is nowhere; nothing is enrolled.
fn machine(kernel: &str) -> Trust {
    let built = RingKey { id: KeyId(vec![7; 20]), name: "Build time key".to_owned() };
    let builtin = Ring { keys: [built].into(), ..Ring::default() };
    let rings = BTreeMap::from([
        (SystemRing::Builtin, Reading::Known(builtin)),
        (SystemRing::Secondary, secondary(&[SystemRing::Builtin, SystemRing::Machine])),
        (SystemRing::Machine, ring(&[])),
        (SystemRing::Platform, ring(&[])),
        (SystemRing::Blacklist, ring(&[])),
    ]);
    Trust {
        kernel: Reading::Known(release(kernel)),
        runtime: Reading::Known(RunTime::Writable),
        shim: Reading::Known(()),
        secure_boot: Reading::Known(Switch::On),
        setup_mode: Reading::Known(Switch::Off),
        mok_trusted: Reading::Known(()),
        sig_enforce: Reading::Known(Enforcement::Refused),
        lockdown: Reading::Known(Lockdown::Integrity),
        configs: BTreeMap::from([(release(kernel), config(&[COMMON, MACHINE, LOCKS]))]),
        rings,
        mok: list(&[]),
        mok_forbidden: list(&[]),
        db: list(&[]),
        dbx: list(&[]),
        requests: Reading::Known(Requests::default()),
        shim_validates_nothing: Reading::Absent,
        db_ignored: Reading::Absent,
        named: BTreeMap::new(),
    }
}

impl Trust {
    fn with(mut self, kind: SystemRing, held: Reading<Ring>) -> Self {
        self.rings.insert(kind, held);
        self
    }

    fn built(mut self, kernel: &str, parts: &[&str]) -> Self {
        self.configs.insert(release(kernel), config(parts));
        self
    }

    /// A key enrolled with shim that the kernel has in `ring`.
    fn enrolled(self, der: &[u8], kind: SystemRing) -> Self {
        Self { mok: list(&[der]), ..self }.with(kind, ring(&[der]))
    }

    fn enforces(self, enforce: Enforcement, lockdown: Lockdown) -> Self {
        let (sig_enforce, lockdown) = (Reading::Known(enforce), Reading::Known(lockdown));
        Self { sig_enforce, lockdown, ..self }
    }

    /// Neither Secure Boot nor anything else enforces signatures.
    fn open(self) -> Self {
        Self { secure_boot: Reading::Known(Switch::Off), ..self }
            .enforces(Enforcement::Taken, Lockdown::None)
    }
}

/// Outcome; rules; what the kernel says; remarks, if there are.
fn shown(verdict: &Verdict) -> String {
    let words = |reasons: &[Reason]| -> String {
        let words: Vec<_> = reasons.iter().map(Reason::reason).collect();
        words.join(", ")
    };
    let outcome = match &verdict.outcome {
        Outcome::Accepted { ring, .. } => format!("accepted {}", ring.name()),
        Outcome::Refused { why } => format!("refused {}", words(why)),
        Outcome::Tainted { why } => format!("tainted {}", words(why)),
        Outcome::Unknown { why, against } => {
            let gap = |gap: &Gap| format!("{gap:?}").split(' ').next().unwrap().to_owned();
            let gaps: Vec<_> = why.iter().map(gap).collect();
            format!("unknown {} / {}", gaps.join(", "), words(against))
        }
    };
    let rules: Vec<_> = verdict.rules.iter().map(|rule| format!("{rule:?}")).collect();
    let answer = match verdict.answer {
        None => "?".to_owned(),
        Some(Answer::Loads) => "loads".to_owned(),
        Some(Answer::Taints { .. }) => "taints".to_owned(),
        Some(Answer::Fails { errno, log }) => {
            format!("{} {}", errno.number(), log.unwrap_or_default()).trim_end().to_owned()
        }
    };
    let remarks = match verdict.remarks.as_slice() {
        [] => String::new(),
        remarks => format!("; but {}", words(remarks)),
    };
    format!("{outcome}; {}; {answer}{remarks}", rules.join(", "))
}

/// A row: what it shows, the module if it is signed, the machine, the kernel, what is said.
type Row<'a> = (&'a str, Option<SignedData>, Trust, &'a str, String);

fn check(rows: Vec<Row<'_>>) {
    let mut wrong = Vec::new();
    for (why, module, trust, kernel, expected) in rows {
        let said = shown(&verdict(Ok(module.as_ref()), &trust, &release(kernel)));
        if said != expected {
            wrong.push(format!("{why}\n  expected {expected}\n  said     {said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn by_rsa() -> Option<SignedData> {
    Some(signed(RSA))
}

/// As if the authority, whose certificate says keyCertSign alone, had signed.
fn by_authority() -> Option<SignedData> {
    let Certificate { issuer, serial, .. } = certificate(AUTHORITY);
    let mut signature = signed(RSA);
    signature.signers[0].by = SignerId::Issued { issuer, serial };
    Some(signature)
}

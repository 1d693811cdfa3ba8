//! Machines to ask shim on, for the tests of requests and of what came of them.

use std::collections::BTreeMap;

use crate::names::{BootId, KernelRelease};
use crate::reading::Reading;
use crate::secure_boot::certificate::{Certificate, KeyId};
use crate::secure_boot::kernel::config::KernelConfig;
use crate::secure_boot::kernel::{Enforcement, Lockdown};
use crate::secure_boot::keyring::SystemRing;
use crate::secure_boot::request::Requests;
use crate::secure_boot::request::write::Write;
use crate::secure_boot::signature_list::{self, SignatureList};
use crate::secure_boot::trust::{Ring, RingKey, RunTime, Switch, Trust};
use crate::secure_boot::variable::SHIM_LOCK;

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../../../../tests/secure-boot/", $name))
    };
}

/// For modules, signed by itself, no authority.
pub const MODULE: &[u8] = fixture!("module.der");
/// An authority that signs certificates only.
pub const AUTHORITY: &[u8] = fixture!("authority.der");
/// For modules, issued by that authority.
pub const LEAF: &[u8] = fixture!("leaf.der");
/// Of version 1, for nothing in particular.
pub const OLD: &[u8] = fixture!("old.der");
/// What `mokutil --import` leaves in MokAuth.
pub const AUTH: &[u8] = fixture!("auth.bin");
/// Hashes by which what is signed in `MODULE` is revoked, and others.
pub const DBX: &[u8] = fixture!("dbx.esl");

pub const RHEL: &str = "5.14.0-503.11.1.el9_5.x86_64";
pub const UPSTREAM: &str = "6.12.0";

const COMMON: &str = "CONFIG_MODULE_SIG=y
CONFIG_SECONDARY_TRUSTED_KEYRING=y
CONFIG_INTEGRITY_PLATFORM_KEYRING=y
CONFIG_INTEGRITY_MACHINE_KEYRING=y
CONFIG_LOAD_UEFI_KEYS=y
CONFIG_SYSTEM_BLACKLIST_KEYRING=y
CONFIG_LOCK_DOWN_IN_EFI_SECURE_BOOT=y
";

pub fn certificate(der: &[u8]) -> Certificate {
    Certificate::parse(der).unwrap()
}

pub fn boot(text: &str) -> BootId {
    text.parse().unwrap()
}

pub fn denied<T>() -> Reading<T> {
    Reading::Unreadable("denied".to_owned())
}

/// Certificates, each in a list of its own.
pub fn bytes(certificates: &[&[u8]]) -> Vec<u8> {
    let list = |der: &&[u8]| signature_list::write::certificate(SHIM_LOCK, der).unwrap();
    certificates.iter().flat_map(list).collect()
}

pub fn lists(data: &[u8]) -> Reading<Vec<SignatureList>> {
    Reading::Known(signature_list::parse(data).unwrap())
}

pub fn requests(variables: &[(&str, &[u8])]) -> Reading<Requests> {
    Reading::Known(Requests::parse(&variables.iter().copied().collect()))
}

pub fn ring(certificates: &[&[u8]]) -> Reading<Ring> {
    let key = |der: &&[u8]| {
        let certificate = certificate(der);
        let name = certificate.subject.common_name().unwrap().to_owned();
        RingKey { id: KeyId(certificate.listed_id().to_vec()), name }
    };
    let keys = certificates.iter().map(key).collect();
    Reading::Known(Ring { keys, ..Ring::default() })
}

/// A machine with Secure Boot, shim, and nothing enrolled or asked for.
pub fn machine(kernel: &str) -> Trust {
    let release: KernelRelease = kernel.parse().unwrap();
    let linked = [SystemRing::Builtin, SystemRing::Machine].into();
    let secondary = Ring { rings: linked, ..Ring::default() };
    let rings = BTreeMap::from([
        (SystemRing::Builtin, ring(&[])),
        (SystemRing::Secondary, Reading::Known(secondary)),
        (SystemRing::Machine, ring(&[])),
        (SystemRing::Platform, ring(&[])),
        (SystemRing::Blacklist, ring(&[])),
    ]);
    Trust {
        kernel: Reading::Known(release.clone()),
        secure_boot: Reading::Known(Switch::On),
        setup_mode: Reading::Known(Switch::Off),
        shim_validates_nothing: Reading::Absent,
        db_ignored: Reading::Absent,
        mok_trusted: Reading::Known(()),
        sig_enforce: Reading::Known(Enforcement::Refused),
        lockdown: Reading::Known(Lockdown::Integrity),
        configs: BTreeMap::from([(release, built(&[]))]),
        rings,
        mok: lists(&[]),
        mok_forbidden: lists(&[]),
        db: lists(&[]),
        dbx: lists(&[]),
        requests: requests(&[]),
        shim: Reading::Known(()),
        runtime: Reading::Known(RunTime::Writable),
        ..Trust::unread("not looked at")
    }
}

/// A kernel's configuration with more than the usual.
pub fn built(more: &[&str]) -> Reading<KernelConfig> {
    let text = more.iter().fold(COMMON.to_owned(), |text, line| text + line + "\n");
    Reading::Known(KernelConfig::parse(text.as_bytes()).unwrap())
}

/// The machine with another ring.
pub fn with(mut trust: Trust, kind: SystemRing, ring: Reading<Ring>) -> Trust {
    trust.rings.insert(kind, ring);
    trust
}

/// What shim's variables hold after writes, by name.
pub fn written(writes: &[Write]) -> Vec<(&str, Option<&[u8]>)> {
    writes.iter().map(|write| (write.name.as_str(), write.data.as_deref())).collect()
}

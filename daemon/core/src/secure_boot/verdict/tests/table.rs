//! One row per reason and per rule: a machine, a module, and what is said of both.

use super::*;
use Enforcement::{Refused, Taken};
use SystemRing::{Builtin, Machine, Platform, Secondary};

const CA: &str = "CONFIG_INTEGRITY_CA_MACHINE_KEYRING=y\n";
const CA_MAX: &str = "CONFIG_INTEGRITY_CA_MACHINE_KEYRING_MAX=y\n";

/// The machine of `reference/onload-measured.md` section 5: the distribution's authority and the added
/// key in `.machine`, the firmware's in `.platform`, `sig_enforce` set by lockdown.
#[test]
fn the_guest_with_secure_boot() {
    let guest = || {
        Trust { mok: list(&[AUTHORITY, MODULE]), ..machine(DEBIAN) }
            .with(Machine, ring(&[AUTHORITY, MODULE]))
    };
    check(vec![
        ("unsigned", None, guest(), DEBIAN, format!("refused Unsigned; SigEnforce; {UNSIGNED}")),
        (
            "signed by an unknown key",
            Some(signed(EC)),
            Trust { mok: list(&[MODULE]), ..guest() }.with(Machine, ring(&[MODULE])),
            DEBIAN,
            format!("refused UnknownSigner; SigEnforce; {NO_KEY}"),
        ),
        (
            "signed by the enrolled key",
            by_rsa(),
            guest(),
            DEBIAN,
            "accepted .machine; Machine; loads".to_owned(),
        ),
        (
            "after mokutil --import, before the reboot",
            by_rsa(),
            Trust { requests: asked(&[MODULE]), ..machine(DEBIAN) },
            DEBIAN,
            format!("refused EnrolmentPending; SigEnforce; {NO_KEY}"),
        ),
    ]);
}

/// The table of `reference/secure-boot-mok.md` section 5; where it says "any" there is a row for each.
#[test]
fn the_table_of_rhel() {
    let key = |trust: Trust| trust.enrolled(MODULE, Platform);
    let off = |enforce| {
        Trust { secure_boot: Reading::Known(Switch::Off), ..machine(RHEL) }
            .enforces(enforce, Lockdown::None)
    };
    let on = |enforce| machine(RHEL).enforces(enforce, Lockdown::Integrity);
    let trusted = "accepted .platform; Platform(RedHat); loads";
    let row = |why, module, trust, expected: String| (why, module, trust, RHEL, expected);
    let refused =
        |reason: &str, rule: &str, said: &str| format!("refused {reason}; {rule}; {said}");
    check(vec![
        row("unsigned", None, off(Taken), "tainted Unsigned; NotEnforced; taints".to_owned()),
        row("unsigned, enforced", None, off(Refused), refused("Unsigned", "SigEnforce", UNSIGNED)),
        row("unsigned, locked down", None, on(Taken), refused("Unsigned", "Lockdown", LOCKED)),
        row("unsigned, both", None, on(Refused), refused("Unsigned", "SigEnforce", UNSIGNED)),
        row(
            "no key",
            by_rsa(),
            off(Taken),
            "tainted UnknownSigner; NotEnforced; taints".to_owned(),
        ),
        row(
            "no key, enforced",
            by_rsa(),
            off(Refused),
            refused("UnknownSigner", "SigEnforce", NO_KEY),
        ),
        row(
            "no key, locked down",
            by_rsa(),
            on(Taken),
            refused("UnknownSigner", "Lockdown", LOCKED),
        ),
        row("no key, both", by_rsa(), on(Refused), refused("UnknownSigner", "SigEnforce", NO_KEY)),
        row("key", by_rsa(), key(off(Taken)), trusted.to_owned()),
        row("key, enforced", by_rsa(), key(off(Refused)), trusted.to_owned()),
        row("key, locked down", by_rsa(), key(on(Taken)), trusted.to_owned()),
        row("key, both", by_rsa(), key(on(Refused)), trusted.to_owned()),
    ]);
}

#[test]
fn which_rings_count() {
    let leaf = || Some(signed(EC));
    let on = |kernel| machine(kernel).enrolled(MODULE, Platform);
    let unused = |rule: &str| format!("refused EnrolledUnused; {rule}, SigEnforce; {NO_KEY}");
    let db = |kernel| Trust { db: list(&[MODULE]), ..machine(kernel) };
    let no_run_time = || Trust { runtime: Reading::Known(RunTime::NoRunTime), ..machine(RHEL) };
    let at_hand = || Trust { named: given([certificate(MODULE)]), ..machine(UPSTREAM) };
    let accepted = |ring: &str, rule: &str| format!("accepted {ring}; {rule}; loads");
    check(vec![
        (
            "RHEL's .platform counts",
            by_rsa(),
            on(RHEL),
            RHEL,
            accepted(".platform", "Platform(RedHat)"),
        ),
        ("upstream's does not", by_rsa(), on(UPSTREAM), UPSTREAM, unused("PlatformUnused")),
        (
            "nobody knows whose kernel it is",
            by_rsa(),
            on("6.12.0-mine"),
            "6.12.0-mine",
            "unknown PlatformPatch / EnrolledUnused; PlatformUnused, SigEnforce; ?".to_owned(),
        ),
        (
            ".machine counts through .secondary_trusted_keys",
            by_rsa(),
            machine(UPSTREAM).enrolled(MODULE, Machine),
            UPSTREAM,
            accepted(".machine", "Machine"),
        ),
        (
            "a signature that names the key",
            Some(signed(KEY_ID)),
            machine(UPSTREAM).enrolled(MODULE, Machine),
            UPSTREAM,
            accepted(".machine", "Machine"),
        ),
        (
            ".machine hangs on nothing",
            by_rsa(),
            machine(UPSTREAM).enrolled(MODULE, Machine).with(Secondary, secondary(&[Builtin])),
            UPSTREAM,
            unused("NoMachine"),
        ),
        (
            "shim's keys are not trusted",
            by_rsa(),
            Trust { mok_trusted: Reading::Absent, ..on(UPSTREAM) },
            UPSTREAM,
            unused("MokUntrusted"),
        ),
        (
            "only authorities get into .machine",
            by_rsa(),
            on(UPSTREAM).built(UPSTREAM, &[COMMON, MACHINE, CA]),
            UPSTREAM,
            unused("Authorities"),
        ),
        (
            "only pure ones do",
            by_rsa(),
            on(UPSTREAM).built(UPSTREAM, &[COMMON, MACHINE, CA, CA_MAX]),
            UPSTREAM,
            unused("PureAuthorities"),
        ),
        (
            "a leaf of an enrolled authority is not enough",
            leaf(),
            machine(UPSTREAM).enrolled(AUTHORITY, Machine).built(UPSTREAM, &[COMMON, MACHINE, CA]),
            UPSTREAM,
            format!("refused UnknownSigner; SigEnforce; {NO_KEY}"),
        ),
        (
            "until it is added",
            leaf(),
            Trust { named: given([certificate(LEAF)]), ..machine(UPSTREAM) }
                .with(Secondary, ring(&[LEAF])),
            UPSTREAM,
            accepted(".secondary_trusted_keys", "Secondary"),
        ),
        (
            "compiled in",
            by_rsa(),
            at_hand().with(Builtin, ring(&[MODULE])),
            UPSTREAM,
            accepted(".builtin_trusted_keys", "Builtin"),
        ),
        (
            "in db only, upstream",
            by_rsa(),
            db(UPSTREAM).with(Platform, ring(&[MODULE])),
            UPSTREAM,
            unused("PlatformUnused"),
        ),
        (
            "in db only, RHEL",
            by_rsa(),
            db(RHEL).with(Platform, ring(&[MODULE])),
            RHEL,
            accepted(".platform", "Platform(RedHat)"),
        ),
        (
            "in db only, which shim ignores",
            by_rsa(),
            Trust { db_ignored: Reading::Known(Switch::On), ..db(RHEL) },
            RHEL,
            unused("DbIgnored"),
        ),
        (
            "in shim's list and no ring",
            by_rsa(),
            Trust { mok: list(&[MODULE]), ..machine(RHEL) }.built(RHEL, &[COMMON, MACHINE]),
            RHEL,
            unused("NothingRead"),
        ),
        (
            "the same, a kernel without .machine that trusts .platform",
            by_rsa(),
            Trust { mok: list(&[MODULE]), ..machine(RHEL) }.built(RHEL, &[COMMON]),
            RHEL,
            unused("NothingRead"),
        ),
        (
            "the same, which does not call the firmware",
            by_rsa(),
            Trust { mok: list(&[MODULE]), ..no_run_time() }.built(RHEL, &[COMMON]),
            RHEL,
            unused("NoRunTime"),
        ),
        (
            "in db, which it has not read either",
            by_rsa(),
            Trust { db: list(&[MODULE]), ..no_run_time() },
            RHEL,
            unused("NoRunTime"),
        ),
    ]);
}

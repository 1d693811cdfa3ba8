//! What is enforced, kernels that do not run, and what cannot be told.

use super::*;
use SystemRing::{Builtin, Machine, Secondary};

#[test]
fn what_is_enforced() {
    let shim_off = Trust {
        secure_boot: Reading::Known(Switch::On),
        shim_validates_nothing: Reading::Known(Switch::On),
        ..machine(UPSTREAM).open()
    };
    let no_signatures = Trust { sig_enforce: Reading::Absent, ..machine(UPSTREAM) };
    let no_lockdown = Trust { lockdown: denied(), ..machine(UPSTREAM).open() };
    let no_enforce = |trust: Trust| Trust { sig_enforce: denied(), ..trust };
    let forced = [COMMON, "CONFIG_MODULE_SIG_FORCE=y\n"];
    let row = |why, trust, expected: &str| (why, None, trust, UPSTREAM, expected.to_owned());
    let neither = Trust { secure_boot: Reading::Absent, ..machine(UPSTREAM).open() };
    check(vec![
        row(
            "shim validates nothing",
            shim_off,
            "tainted Unsigned, ValidationOff; NotEnforced; taints",
        ),
        row(
            "the kernel does not look",
            no_signatures,
            "tainted Unsigned, ValidationOff; Unchecked; loads",
        ),
        row("no EFI", neither, "tainted Unsigned; NotEnforced; taints"),
        row("no securityfs", no_lockdown, "unknown Unread / Unsigned; ; ?"),
        row(
            "no sysfs, locked down",
            no_enforce(machine(UPSTREAM)),
            "refused Unsigned; Lockdown; ?",
        ),
        row("no sysfs", no_enforce(machine(UPSTREAM).open()), "unknown Unread / Unsigned; ; ?"),
        row(
            "no sysfs, built to enforce",
            no_enforce(machine(UPSTREAM).open()).built(UPSTREAM, &forced),
            &format!("refused Unsigned; SigEnforce; {UNSIGNED}"),
        ),
    ]);
}

/// A kernel that has been installed and not booted: only lists and its configuration are known.
#[test]
fn a_kernel_that_does_not_run() {
    const NEXT: &str = "6.13.0";
    const NEXT_RHEL: &str = "5.14.0-570.12.1.el9_6.x86_64";
    let mok = || Trust { mok: list(&[MODULE]), ..machine(UPSTREAM) };
    let next = |parts: &[&str]| mok().built(NEXT, parts);
    let usual = || next(&[COMMON, MACHINE, LOCKS]);
    let rhel = || mok().built(NEXT_RHEL, &[COMMON, LOCKS]);
    let forced = "CONFIG_MODULE_SIG_FORCE=y\n";
    let pure = "CONFIG_INTEGRITY_CA_MACHINE_KEYRING=y\nCONFIG_INTEGRITY_CA_MACHINE_KEYRING_MAX=y\n";
    let blind = Trust { mok_trusted: denied(), ..usual() };
    let unread = Trust { mok: denied(), ..usual() };
    check(vec![
        (
            "enrolled, .machine counts",
            by_rsa(),
            usual(),
            NEXT,
            "accepted .machine; Machine; loads".to_owned(),
        ),
        (
            "enrolled, RHEL",
            by_rsa(),
            rhel(),
            NEXT_RHEL,
            "accepted .platform; Platform(RedHat); loads".to_owned(),
        ),
        (
            "not an authority, where only those count: compiled in, perhaps",
            by_rsa(),
            next(&[COMMON, MACHINE, "CONFIG_INTEGRITY_CA_MACHINE_KEYRING=y\n", LOCKS]),
            NEXT,
            "unknown NotRunning, NotRunning / EnrolledUnused; Authorities, Lockdown; ?".to_owned(),
        ),
        (
            "an authority, where only those count",
            by_authority(),
            Trust { mok: list(&[AUTHORITY]), ..next(&[COMMON, MACHINE, pure]) },
            NEXT,
            "accepted .machine; Machine; loads; but NotForCode".to_owned(),
        ),
        (
            "pending",
            by_rsa(),
            Trust { mok: list(&[]), requests: asked(&[MODULE]), ..usual() },
            NEXT,
            "unknown NotRunning, NotRunning / EnrolmentPending; Lockdown; ?".to_owned(),
        ),
        (
            "trust not readable",
            by_rsa(),
            blind,
            NEXT,
            "unknown NotRunning, NotRunning, Unread / UnknownSigner; Lockdown; ?"
                .replace("UnknownSigner", "EnrolledUnused")
                .replace("; Lockdown", "; NothingRead, Lockdown"),
        ),
        (
            "shim's keys not readable",
            by_rsa(),
            unread,
            NEXT,
            "unknown NotRunning, NotRunning, Unread / UnknownSigner; Lockdown; ?".to_owned(),
        ),
        (
            "configuration not there",
            by_rsa(),
            mok(),
            NEXT,
            "unknown NotRunning, NotRunning, Unread / EnrolledUnused; NothingRead; ?".to_owned(),
        ),
        (
            "unsigned, Secure Boot locks it",
            None,
            usual(),
            NEXT,
            "refused Unsigned; Lockdown; ?".to_owned(),
        ),
        (
            "unsigned, built to enforce",
            None,
            next(&[COMMON, forced]),
            NEXT,
            format!("refused Unsigned; SigEnforce; {UNSIGNED}"),
        ),
        (
            "unsigned, nothing enforces",
            None,
            usual().open(),
            NEXT,
            "tainted Unsigned; NotEnforced; taints".to_owned(),
        ),
        (
            "unsigned, nothing says that it locks",
            None,
            next(&[COMMON]),
            NEXT,
            "unknown NotRunning / Unsigned; ; ?".to_owned(),
        ),
        (
            "unsigned, built without a look",
            None,
            next(&["CONFIG_MODULES=y\n"]),
            NEXT,
            "tainted Unsigned, ValidationOff; Unchecked; loads".to_owned(),
        ),
        (
            "revoked",
            by_rsa(),
            Trust { dbx: list(&[MODULE]), ..next(&[COMMON, MACHINE, REVOKES]) },
            NEXT,
            "refused Revoked; Machine, Always; 129".to_owned(),
        ),
    ]);
}

#[test]
fn what_cannot_be_read_is_not_guessed() {
    let named = |name: &str| {
        let key = RingKey { id: KeyId(vec![9; 20]), name: name.to_owned() };
        Reading::Known(Ring { keys: [key].into(), ..Ring::default() })
    };
    let half = Ring { unread: 1, ..Ring::default() };
    // Nobody verifies certificates here, so that another number makes another one.
    let serial = certificate(MODULE).serial.0;
    let at = MODULE.windows(serial.len()).position(|bytes| bytes == serial).unwrap();
    let mut renewed = MODULE.to_vec();
    renewed[at + serial.len() - 1] ^= 1;
    let twin = Certificate { serial: certificate(LEAF).serial, ..certificate(MODULE) };
    let builtin = "unknown CertificateMissing / UnknownSigner; SigEnforce; ?";
    let unread = "unknown Unread / UnknownSigner; SigEnforce; ?";
    let row = |why, module: &[u8], trust, expected: &str| {
        (why, Some(signed(module)), trust, UPSTREAM, expected.to_owned())
    };
    check(vec![
        row(
            "compiled in, by the name",
            RSA,
            machine(UPSTREAM).with(Builtin, named("Example: Modules: first key")),
            builtin,
        ),
        row(
            "issued by an authority that is compiled in",
            EC,
            machine(UPSTREAM).with(Builtin, named("Example Authority")),
            builtin,
        ),
        row(
            "a key in .machine that no list shows",
            RSA,
            machine(UPSTREAM).with(Machine, named("Other")),
            builtin,
        ),
        row(
            "a signature that names another key",
            KEY_ID,
            machine(UPSTREAM).with(Machine, named("Other")),
            "refused UnknownSigner; SigEnforce; 129 Loading of module with unavailable key is rejected",
        ),
        row(
            "a ring that is not readable",
            RSA,
            machine(UPSTREAM).with(Secondary, denied()),
            unread,
        ),
        row(
            "a ring that is there no more",
            RSA,
            machine(UPSTREAM).with(Builtin, Reading::Absent),
            "refused UnknownSigner; SigEnforce; 129 Loading of module with unavailable key is rejected",
        ),
        row(
            "members that are not described",
            RSA,
            machine(UPSTREAM).with(Builtin, Reading::Known(half)),
            "unknown Undescribed / UnknownSigner; SigEnforce; ?",
        ),
        row(
            "two certificates for one key",
            RSA,
            Trust { named: given([certificate(MODULE), twin.clone()]), ..machine(UPSTREAM) }
                .with(Builtin, ring(&[MODULE])),
            "unknown SameKey / UnknownSigner; SigEnforce; ?",
        ),
        row(
            "another certificate for the same key is enrolled",
            RSA,
            Trust {
                mok: list(&[&renewed]),
                named: given([certificate(MODULE)]),
                ..machine(UPSTREAM)
            }
            .with(Machine, ring(&[MODULE])),
            "refused UnknownSigner; SigEnforce; 129 Loading of module with unavailable key is rejected",
        ),
        row(
            "nobody knows which kernel runs",
            RSA,
            Trust { kernel: denied(), ..machine(UPSTREAM) },
            "unknown Unread, Unread / UnknownSigner; Lockdown; ?",
        ),
        row(
            "nothing is known",
            RSA,
            Trust::unread("denied"),
            "unknown Unread, Unread, Unread, Unread, Unread / Revoked, UnknownSigner; ; ?",
        ),
    ]);
    assert!(!signed(RSA).signers[0].by.means(&twin));
}

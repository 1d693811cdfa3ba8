//! What is written, what is in the way, and what is said beside it.

use super::super::obstacle::Obstacle;
use super::*;
use crate::secure_boot::enrolment::bench::*;
use crate::secure_boot::kernel::{Enforcement, Lockdown};
use crate::secure_boot::keyring::Blacklisted;
use crate::secure_boot::request::crypt;
use crate::secure_boot::trust::Ring;

/// 2026-12-01, when all the certificates are good.
const TODAY: Timestamp = Timestamp(1_796_083_200_000);

fn hash() -> PasswordHash {
    PasswordHash::parse(AUTH).unwrap()
}

fn ask(der: &[u8], trust: &Trust) -> Result<Prepared, Obstacle> {
    let wish = Wish { certificate: der, hash: &hash(), prompt: PromptTimeout::DEFAULT };
    enrol(&wish, trust, TODAY)
}

#[test]
fn a_request_is_three_variables_the_password_last() {
    let prepared = ask(MODULE, &machine(RHEL)).unwrap();
    let list = bytes(&[MODULE]);
    let timeout = [44, 1, 0, 0];
    assert_eq!(
        written(&prepared.writes),
        [("MokTimeout", Some(&timeout[..])), ("MokNew", Some(&list)), ("MokAuth", Some(AUTH))]
    );
    assert_eq!(prepared.warnings, []);
    assert_eq!(prepared.certificate, certificate(MODULE));
    let hash = hash();
    let shims_own = Wish { certificate: MODULE, hash: &hash, prompt: PromptTimeout::SHIMS_OWN };
    let prepared = enrol(&shims_own, &machine(RHEL), TODAY).unwrap();
    assert_eq!(written(&prepared.writes)[0], ("MokTimeout", None));
    let shown = format!("{shims_own:?} {prepared:?}");
    assert!(!shown.contains("0123456789abcdef"), "{shown}");
}

#[test]
fn what_is_pending_stays_behind_it_byte_for_byte() {
    // As no encoder of ours would write it: with hashes of another kind.
    let pending = [bytes(&[LEAF]), DBX.to_vec()].concat();
    let other =
        crypt::parse("$5$rounds=1000$abcdefghijkl$DFL32L8LAN9G2V5eZOSdE2s/rj1u/qrUo18LRiLlq3/");
    let auth = other.unwrap().to_bytes();
    let variables = [("MokNew", &pending[..]), ("MokAuth", &auth), ("MokTimeout", &[255; 4])];
    let trust = Trust { requests: requests(&variables), ..machine(RHEL) };
    let prepared = ask(MODULE, &trust).unwrap();
    let list = [bytes(&[MODULE]), pending.clone()].concat();
    assert_eq!(written(&prepared.writes)[1], ("MokNew", Some(&list[..])));
    let others = vec!["CN=Leaf".to_owned()];
    assert_eq!(
        prepared.warnings,
        [
            Warning::Joins { others, password: Password::Replaced },
            Warning::TimeReplaced { was_secs: -1 }
        ]
    );
    let variables = [("MokNew", &pending[..]), ("MokAuth", AUTH)];
    let trust = Trust { requests: requests(&variables), ..machine(RHEL) };
    let same = ask(MODULE, &trust).unwrap().warnings;
    assert!(matches!(same[..], [Warning::Joins { password: Password::Same, .. }]), "{same:?}");
}

#[test]
fn what_is_in_the_way_is_called_by_its_name() {
    let asked =
        |variables: &[(&str, &[u8])]| Trust { requests: requests(variables), ..machine(RHEL) };
    let list = bytes(&[MODULE]);
    let mok = || Trust { mok: lists(&list), ..machine(RHEL) };
    let tbs = certificate(MODULE).to_be_signed.sha384.to_vec();
    let barred = Ring { blacklisted: vec![Blacklisted::ToBeSigned(tbs)], ..Ring::default() };
    let rows = [
        ("no Secure Boot", Trust { secure_boot: Reading::Absent, ..machine(RHEL) }, "NoSecureBoot"),
        ("SecureBoot unreadable", Trust { secure_boot: denied(), ..machine(RHEL) }, "Unread"),
        ("requests unreadable", Trust { requests: denied(), ..machine(RHEL) }, "RequestsUnread"),
        ("MokListRT unreadable", Trust { mok: denied(), ..machine(RHEL) }, "Unread"),
        ("enrolled", mok(), "Enrolled"),
        ("enrolled, loaded", with(mok(), SystemRing::Machine, ring(&[MODULE])), "Enrolled"),
        ("in db", Trust { db: lists(&list), ..machine(RHEL) }, "InDb"),
        ("compiled in", with(machine(RHEL), SystemRing::Builtin, ring(&[MODULE])), "Trusted"),
        ("added", with(machine(RHEL), SystemRing::Secondary, ring(&[MODULE])), "Trusted"),
        ("in .machine", with(machine(RHEL), SystemRing::Machine, ring(&[MODULE])), "Trusted"),
        ("in .platform", with(machine(RHEL), SystemRing::Platform, ring(&[MODULE])), "Trusted"),
        ("pending", asked(&[("MokNew", &list), ("MokAuth", AUTH)]), "EnrolmentPending"),
        ("pending, half", asked(&[("MokNew", &list)]), "EnrolmentPending"),
        ("pending, damaged", asked(&[("MokNew", &list[1..])]), "PendingDamaged"),
        ("a reset pending", asked(&[("MokAuth", AUTH)]), "ResetPending"),
        ("in MokListX", Trust { mok_forbidden: lists(&list), ..machine(RHEL) }, "Revoked"),
        ("in dbx", Trust { dbx: lists(&list), ..machine(RHEL) }, "Revoked"),
        ("in dbx by hash", Trust { dbx: lists(DBX), ..machine(RHEL) }, "Revoked"),
        ("barred", with(machine(RHEL), SystemRing::Blacklist, ring(&[MODULE])), "Revoked"),
        (
            "barred by hash",
            with(machine(RHEL), SystemRing::Blacklist, Reading::Known(barred)),
            "Revoked",
        ),
        ("revoked and enrolled", Trust { dbx: lists(&list), ..mok() }, "Revoked"),
    ];
    for (why, trust, expected) in rows {
        let refused = ask(MODULE, &trust).expect_err(why);
        assert_eq!(refused.reason(), expected, "{why}");
        three_parts(&refused);
    }
    // What was put together without its bytes would be lost.
    let mut half = asked(&[("MokNew", &bytes(&[LEAF])), ("MokAuth", AUTH)]);
    half.requests = half.requests.map(|requests| Requests { new_list: None, ..requests });
    assert_eq!(ask(MODULE, &half).unwrap_err().reason(), "RequestsUnread");
    let lists = |trust: &Trust| match ask(MODULE, trust) {
        Err(Obstacle::Blocked { lists }) => lists.into_iter().collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    use crate::secure_boot::verdict::reason::Revoked;
    let own = bytes(&[MODULE]);
    let x =
        Trust { mok_forbidden: crate::secure_boot::enrolment::bench::lists(&own), ..machine(RHEL) };
    assert_eq!(lists(&x), [Revoked::MokListX]);
    let both = with(x, SystemRing::Blacklist, ring(&[MODULE]));
    assert_eq!(lists(&both), [Revoked::Blacklist, Revoked::MokListX]);
}

#[test]
fn the_way_to_shim_may_be_closed() {
    let open = || Reading::Known(());
    let rows = [
        (Reading::Absent, Reading::Known(RunTime::Writable), "NoShim"),
        (open(), Reading::Known(RunTime::ReadOnly), "ReadOnly"),
        (open(), Reading::Known(RunTime::NoRunTime), "NoRunTime"),
    ];
    for (shim, runtime, expected) in rows {
        let trust = Trust { shim, runtime, ..machine(RHEL) };
        let refused = ask(MODULE, &trust).unwrap_err();
        assert_eq!(refused.reason(), expected);
        three_parts(&refused);
    }
    let unseen = Trust { shim: denied(), runtime: denied(), ..machine(RHEL) };
    let warnings = ask(MODULE, &unseen).unwrap().warnings;
    assert_eq!(warnings, [Warning::ShimUntold { why: "denied".to_owned() }]);
}

#[test]
fn what_is_given_is_one_certificate_and_one_hash() {
    let pem = include_bytes!("../../../../../../tests/secure-boot/module.pem");
    let twice = [MODULE, MODULE].concat();
    for (der, offset) in [(&b""[..], 0), (pem, 0), (&MODULE[..100], 0), (&twice, MODULE.len())] {
        let refused = ask(der, &machine(RHEL)).unwrap_err();
        assert!(refused.why().contains("byte"), "{}", refused.why());
        three_parts(&refused);
        let Obstacle::NotACertificate(damaged) = refused else { panic!("{refused:?}") };
        assert!(damaged.offset >= offset && damaged.offset <= der.len(), "{damaged}");
    }
    let crypt = |method| {
        let mut bytes = AUTH.to_vec();
        bytes[0] = method;
        PasswordHash::parse(&bytes).unwrap()
    };
    for hash in [
        PasswordHash::Legacy([1; 32]),
        PasswordHash::Cleared,
        crypt(0),
        crypt(1),
        crypt(2),
        crypt(5),
    ] {
        let wish = Wish { certificate: MODULE, hash: &hash, prompt: PromptTimeout::DEFAULT };
        let refused = enrol(&wish, &machine(RHEL), TODAY).unwrap_err();
        assert_eq!(refused, Obstacle::NotForShim);
        three_parts(&refused);
    }
}

#[test]
fn an_enrolled_key_that_does_not_count_is_told_with_the_rule() {
    let list = bytes(&[MODULE]);
    let trust = Trust { mok: lists(&list), ..machine(UPSTREAM) };
    let trust = Trust { mok_trusted: Reading::Absent, ..trust };
    let trust = with(trust, SystemRing::Platform, ring(&[MODULE]));
    let refused = ask(MODULE, &trust).unwrap_err();
    assert!(!refused.is_done() && refused.why().contains("MokListTrustedRT"), "{}", refused.why());
    assert!(refused.fix().contains("--trust-mok"), "{}", refused.fix());
    let trust = with(trust, SystemRing::Machine, ring(&[MODULE]));
    let refused = ask(MODULE, &trust).unwrap_err();
    assert!(refused.is_done() && refused == Obstacle::Enrolled { unused: None });
}

#[test]
fn what_a_kernel_will_make_of_it_is_told_before() {
    let only_authorities = |trust: Trust| {
        let release = trust.kernel.known().unwrap().clone();
        let config = built(&["CONFIG_INTEGRITY_CA_MACHINE_KEYRING=y"]);
        Trust { configs: [(release, config)].into(), ..trust }
    };
    let open = |trust: Trust| Trust {
        secure_boot: Reading::Known(Switch::Off),
        sig_enforce: Reading::Known(Enforcement::Taken),
        lockdown: Reading::Known(Lockdown::None),
        ..trust
    };
    let db = |trust: Trust| {
        let trust = Trust { db: lists(&bytes(&[MODULE])), ..trust };
        with(trust, SystemRing::Platform, ring(&[MODULE]))
    };
    let unseen = Trust { kernel: denied(), ..machine(UPSTREAM) };
    let configs = Trust { configs: Default::default(), ..machine(UPSTREAM) };
    let rows = [
        ("a kernel of the distribution takes it", MODULE, machine(RHEL), ""),
        ("from .platform", MODULE, only_authorities(machine(RHEL)), ""),
        ("upstream from .machine", MODULE, machine(UPSTREAM), ""),
        (
            "upstream, where that takes authorities",
            MODULE,
            only_authorities(machine(UPSTREAM)),
            "takes only authorities (CA:TRUE, keyCertSign) into .machine",
        ),
        (
            "an authority",
            AUTHORITY,
            only_authorities(machine(UPSTREAM)),
            "not one for signing code",
        ),
        (
            "shim's keys are not trusted",
            MODULE,
            Trust { mok_trusted: Reading::Absent, ..machine(UPSTREAM) },
            "(MokListTrustedRT), and it does not",
        ),
        ("nobody knows how it was built", MODULE, configs, "cannot be told"),
        ("nor which kernel runs", MODULE, unseen, "which kernel runs is not known"),
        ("nothing is enforced", MODULE, open(machine(RHEL)), "nothing here refuses modules"),
        ("upstream does not use db", MODULE, db(machine(UPSTREAM)), ""),
        ("over", LEAF, machine(RHEL), ""),
        (
            "dbx unreadable",
            MODULE,
            Trust { dbx: denied(), ..machine(RHEL) },
            "refuses (dbx): denied",
        ),
    ];
    for (why, der, trust, expected) in rows {
        let warnings = ask(der, &trust).unwrap().warnings;
        let said: Vec<_> = warnings.iter().map(Warning::sentence).collect();
        let said = said.join("\n");
        assert_eq!(said.is_empty(), expected.is_empty(), "{why}: {said}");
        assert!(said.contains(expected) && said.lines().count() <= 1, "{why}: {said}");
        warnings.iter().for_each(one_line);
    }
}

#[test]
fn certificates_may_be_over_early_or_weak() {
    let at = |secs: i64| Timestamp(u64::try_from(secs).unwrap() * 1000);
    let own = certificate(MODULE);
    let (from, until) = (own.not_before, own.not_after);
    assert_eq!(of_its_own(&own, at(from.unix_secs())), []);
    assert_eq!(of_its_own(&own, at(from.unix_secs() - 1)), [Warning::NotYet(from)]);
    assert_eq!(of_its_own(&own, at(until.unix_secs())), []);
    assert_eq!(of_its_own(&own, at(until.unix_secs() + 1)), [Warning::Expired(until)]);
    assert_eq!(of_its_own(&own, Timestamp(u64::MAX)), [Warning::Expired(until)]);
    let weak = Certificate { key_bits: Some(1024), ..own };
    let warnings = of_its_own(&weak, TODAY);
    assert_eq!(warnings, [Warning::WeakKey { bits: 1024 }]);
    [Warning::NotYet(from), Warning::Expired(until)].iter().chain(&warnings).for_each(one_line);
}

fn three_parts(refused: &Obstacle) {
    for part in [refused.what(), &refused.why(), &refused.fix()] {
        assert!(!part.is_empty() && !part.contains('\n'), "{refused:?}");
    }
}

fn one_line(warning: &Warning) {
    for part in [warning.sentence()].into_iter().chain(warning.fix()) {
        assert!(!part.is_empty() && !part.contains('\n'), "{warning:?}");
    }
}

//! States of one key, and what is said of them.

use super::super::keyring::SystemRing;
use super::bench::*;
use super::*;

/// 2026-11-21 12:47:23 UTC
const ASKED_AT: Timestamp = Timestamp(1_795_265_243_999);

fn asked(in_boot: &str) -> Asked {
    let asked = Asked::for_key(&certificate(MODULE), ASKED_AT, boot(in_boot));
    Asked { written: true, ..asked }
}

#[test]
fn every_state_is_told_from_the_machine_and_what_is_remembered() {
    let list = bytes(&[MODULE]);
    let machine = || machine(RHEL);
    let mok = || Trust { mok: lists(&list), ..machine() };
    let pending = |more: &[(&str, &[u8])]| {
        let variables = [&[("MokNew", &list[..])], more].concat();
        Trust { requests: requests(&variables), ..machine() }
    };
    let whole = |timeout: &[u8]| pending(&[("MokAuth", AUTH), ("MokTimeout", timeout)]);
    let unlooked = Trust { rings: Default::default(), ..mok() };
    let (here, before) = (asked("b2"), asked("b1"));
    let other = Asked::for_key(&certificate(LEAF), ASKED_AT, boot("b1"));
    let now = || Reading::Known(boot("b2"));
    const ON: &str = "asked on 2026-11-21 12:47 UTC, not enrolled";
    let rows = [
        ("nobody asked", machine(), None, now(), "NotEnrolled", "not enrolled, and not asked for"),
        ("another key", machine(), Some(&other), now(), "NotEnrolled", "not asked for"),
        (
            "asked",
            pending(&[("MokAuth", AUTH)]),
            Some(&here),
            now(),
            "EnrolmentPending",
            "for 10 seconds",
        ),
        (
            "by somebody else",
            pending(&[("MokAuth", AUTH)]),
            None,
            now(),
            "EnrolmentPending",
            "for 10 s",
        ),
        (
            "five minutes",
            whole(&[44, 1, 0, 0]),
            Some(&here),
            now(),
            "EnrolmentPending",
            "for 300 seconds",
        ),
        (
            "too long",
            whole(&[0, 0, 0, 1]),
            Some(&here),
            now(),
            "EnrolmentPending",
            "for 32767 seconds",
        ),
        ("no time", whole(&[0; 4]), Some(&here), now(), "EnrolmentPending", "without asking"),
        (
            "for ever",
            whole(&[255; 4]),
            Some(&here),
            now(),
            "EnrolmentPending",
            "until somebody answers",
        ),
        ("unread", whole(&[0; 3]), Some(&here), now(), "EnrolmentPending", "cannot be told"),
        (
            "no password",
            pending(&[]),
            Some(&here),
            now(),
            "RequestIncomplete",
            "without a password",
        ),
        (
            "a password that does not read",
            pending(&[("MokAuth", b"?")]),
            Some(&here),
            now(),
            "RequestIncomplete",
            "MokAuth",
        ),
        (
            "still there after a boot",
            whole(&[44, 1, 0, 0]),
            Some(&before),
            now(),
            "RequestOverlooked",
            "still asked for after a reboot",
        ),
        (
            "which boot this is, is not known",
            whole(&[44, 1, 0, 0]),
            Some(&before),
            denied(),
            "EnrolmentPending",
            "for 300",
        ),
        (
            "missed or refused",
            machine(),
            Some(&before),
            now(),
            "RequestLost",
            "asked on 2026-11-21 12:47 UTC, not enrolled: the prompt was missed or refused",
        ),
        ("taken back", machine(), Some(&here), now(), "RequestWithdrawn", ON),
        ("lost or taken back", machine(), Some(&here), denied(), "Unknown", "2026-11-21"),
        ("shim has it", mok(), Some(&before), now(), "EnrolledNotLoaded", "in no ring"),
        ("rings not looked at", unlooked, None, now(), "Enrolled", "in shim's list (MokListRT)"),
        (
            "so has the kernel",
            with(mok(), SystemRing::Machine, ring(&[MODULE])),
            Some(&before),
            now(),
            "Enrolled",
            "in .machine, shim's list (MokListRT)",
        ),
        (
            "the kernel alone",
            with(machine(), SystemRing::Builtin, ring(&[MODULE])),
            None,
            now(),
            "Enrolled",
            "in .builtin_trusted_keys",
        ),
        (
            "the firmware",
            with(Trust { db: lists(&list), ..machine() }, SystemRing::Platform, ring(&[MODULE])),
            None,
            now(),
            "Enrolled",
            "in .platform, the firmware's db",
        ),
        (
            "enrolled and revoked",
            Trust { dbx: lists(DBX), ..mok() },
            None,
            now(),
            "Revoked",
            "revoked: by the firmware's dbx",
        ),
        (
            "keys not readable",
            Trust { mok: denied(), ..machine() },
            None,
            now(),
            "Unknown",
            "MokListRT",
        ),
        (
            "requests not readable",
            Trust { requests: denied(), ..machine() },
            Some(&before),
            now(),
            "Unknown",
            "asked for cannot be read: denied",
        ),
    ];
    for (why, trust, asked, this_boot, reason, sentence) in rows {
        let state = of(&certificate(MODULE), &trust, asked, &this_boot);
        let said = state.sentence();
        assert_eq!(state.reason(), reason, "{why}: {said}");
        assert!(said.contains(sentence) && !said.contains('\n'), "{why}: {said}");
        assert_eq!(state.fix("CERT").is_none(), reason == "Enrolled", "{why}");
        if reason == "RequestLost" {
            assert!(state.fix("CERT").unwrap().contains("`onloadctl keys import CERT`"), "{why}");
        }
    }
}

#[test]
fn a_key_without_an_id_is_known_by_number_and_name() {
    let machine = || machine(RHEL);
    let own = with(machine(), SystemRing::Machine, ring(&[OLD]));
    let state = of(&certificate(OLD), &own, None, &Reading::Absent);
    assert_eq!(state.reason(), "Enrolled");
    let mut other = ring(&[OLD]).into_known().unwrap();
    other.keys = other
        .keys
        .into_iter()
        .map(|mut key| {
            key.name = "Another".to_owned();
            key
        })
        .collect();
    let other = with(machine(), SystemRing::Machine, Reading::Known(other));
    assert_eq!(of(&certificate(OLD), &other, None, &Reading::Absent), Enrolment::NotAsked);
}

#[test]
fn what_is_remembered_reads_back() {
    let own = asked("0f-1");
    let text = serde_json::to_string(&own).unwrap();
    assert_eq!(serde_json::from_str::<Asked>(&text).unwrap(), own);
    assert!(text.contains(&own.fingerprint.to_string()), "{text}");
    for wrong in ["", "00", &"g".repeat(64), &"0".repeat(66)] {
        assert!(Fingerprint::try_from(wrong.to_owned()).is_err(), "{wrong}");
    }
}

#[test]
fn days_are_those_of_the_calendar() {
    // `date -u -d @…` says the same.
    for (secs, text) in [
        (0, "1970-01-01 00:00 UTC"),
        (951_868_799, "2000-02-29 23:59 UTC"),
        (951_868_800, "2000-03-01 00:00 UTC"),
        (1_798_761_599, "2026-12-31 23:59 UTC"),
        (1_798_761_600, "2027-01-01 00:00 UTC"),
        (4_107_542_400, "2100-03-01 00:00 UTC"),
        (253_402_300_799, "9999-12-31 23:59 UTC"),
    ] {
        assert_eq!(date(Timestamp(secs * 1000)), text);
    }
    assert!(date(Timestamp(u64::MAX)).ends_with(" UTC"));
}

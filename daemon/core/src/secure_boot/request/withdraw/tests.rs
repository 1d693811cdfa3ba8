//! Requests that are taken back: one's own, or all.

use super::*;
use crate::reading::Reading;
use crate::secure_boot::enrolment::bench::*;
use crate::secure_boot::trust::{RunTime, Trust};

fn back(scope: Scope<'_>, variables: &[(&str, &[u8])]) -> Result<Withdrawal, Kept> {
    // Without shim a request is as well taken back.
    let shim = Reading::Absent;
    let trust = Trust { requests: requests(variables), shim, ..machine(RHEL) };
    withdraw(scope, &trust)
}

const TIMEOUT: (&str, &[u8]) = ("MokTimeout", &[44, 1, 0, 0]);
const GONE: [(&str, Option<&[u8]>); 3] =
    [("MokAuth", None), ("MokNew", None), ("MokTimeout", None)];

#[test]
fn the_password_goes_before_the_list() {
    let own = bytes(&[MODULE]);
    let asked = [("MokNew", &own[..]), ("MokAuth", AUTH), TIMEOUT];
    let keys = [certificate(MODULE)];
    for scope in [Scope::Keys(&keys), Scope::All] {
        let done = back(scope, &asked).unwrap();
        assert_eq!(written(&done.writes), GONE);
        assert_eq!(done.taken, ["CN=Modules: first key, O=Example"]);
        assert!(done.left.is_empty());
    }
    // The time stays for whatever else shim is asked.
    for other in ["MokDel", "MokSB", "MokPW"] {
        let done = back(Scope::All, &[asked[0], TIMEOUT, (other, &[0; 40])]).unwrap();
        assert_eq!(written(&done.writes), GONE[..2], "{other}");
    }
    assert_eq!(written(&back(Scope::All, &asked[..2]).unwrap().writes), GONE[..2]);
    // A list that does not read, and a password alone, go as well.
    assert_eq!(written(&back(Scope::All, &[("MokNew", b"?"), TIMEOUT]).unwrap().writes), GONE);
    assert_eq!(written(&back(Scope::All, &asked[1..]).unwrap().writes), GONE);
}

#[test]
fn what_others_asked_for_stays() {
    let pending = [DBX, &bytes(&[MODULE, LEAF])].concat();
    let asked = [("MokNew", &pending[..]), ("MokAuth", AUTH), TIMEOUT];
    let keys = [certificate(MODULE), certificate(OLD)];
    let done = back(Scope::Keys(&keys), &asked).unwrap();
    let rest = [DBX, &bytes(&[LEAF])].concat();
    assert_eq!(written(&done.writes), [("MokNew", Some(&rest[..]))]);
    assert_eq!(done.taken, ["CN=Modules: first key, O=Example"]);
    assert_eq!(done.left, ["CN=Leaf"]);
    // Hashes alone are somebody's as well.
    let pending = [DBX, &bytes(&[MODULE])].concat();
    let done = back(Scope::Keys(&keys), &[("MokNew", &pending), ("MokAuth", AUTH)]).unwrap();
    assert_eq!(written(&done.writes), [("MokNew", Some(DBX))]);
}

#[test]
fn what_cannot_be_taken_back_is_told() {
    let both = bytes(&[MODULE, LEAF]);
    let keys = [certificate(MODULE)];
    type Row<'a> = (&'a str, &'a [(&'a str, &'a [u8])], &'a str);
    let rows: [Row<'_>; 5] = [
        ("nothing is asked for", &[TIMEOUT], "NotPending"),
        ("another key", &[("MokNew", &bytes(&[LEAF])), ("MokAuth", AUTH)], "NotPending"),
        ("a reset", &[("MokAuth", AUTH)], "NotPending"),
        ("damaged", &[("MokNew", &both[1..])], "PendingDamaged"),
        ("sealed", &[("MokNew", &both), ("MokAuth", &[7; 32])], "Sealed"),
    ];
    for (why, asked, expected) in rows {
        let kept = back(Scope::Keys(&keys), asked).unwrap_err();
        assert_eq!(kept.reason(), expected, "{why}");
        for part in [kept.what(), &kept.why(), &kept.fix()] {
            assert!(!part.is_empty() && !part.contains('\n'), "{why}");
        }
    }
    assert_eq!(back(Scope::All, &[TIMEOUT]), Err(Kept::NotPending));
    let runtime = Reading::Known(RunTime::ReadOnly);
    let kept = withdraw(Scope::All, &Trust { runtime, ..machine(RHEL) }).unwrap_err();
    assert_eq!(kept, Kept::Unreachable(Obstacle::ReadOnly));
}

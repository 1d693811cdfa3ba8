//! What people read: three parts, each a sentence of its own, for every reason, gap and rule.

use std::collections::BTreeSet;

use super::*;
use crate::secure_boot::algorithm::{Digest, SignatureAlgorithm};
use crate::secure_boot::verdict::gap::Part;
use crate::secure_boot::verdict::reason::{Place, Revoked};
use crate::secure_boot::verdict::rule::Family;

const RULES: [Rule; 17] = [
    Rule::Builtin,
    Rule::Secondary,
    Rule::Machine,
    Rule::Platform(Family::RedHat),
    Rule::PlatformUnused,
    Rule::NoMachine,
    Rule::MokUntrusted,
    Rule::Authorities,
    Rule::PureAuthorities,
    Rule::DbIgnored,
    Rule::NothingRead,
    Rule::NoRunTime,
    Rule::SigEnforce,
    Rule::Lockdown,
    Rule::NotEnforced,
    Rule::Unchecked,
    Rule::Always,
];

/// What is the matter stands in a blocker's sentence, beside a kernel, a release and its modules.
const MOST_OF_A_CLAUSE: usize = 120;

/// What `onloadctl keys` takes.
const KEYS: [&str; 7] = ["import ", "generate", "sign", "show", "list", "status", "revoke-request"];

fn signer() -> SignerId {
    signed(RSA).signers[0].by.clone()
}

fn reasons() -> Vec<Reason> {
    let platform = Place::Ring(SystemRing::Platform);
    let unused = |(place, because)| Reason::EnrolledUnused { signer: signer(), place, because };
    let places = [platform, Place::MokList, Place::Db];
    let mut all: Vec<_> = RULES.iter().map(|rule| (platform, *rule)).map(unused).collect();
    all.extend(places.map(|place| (place, Rule::NothingRead)).map(unused));
    let revoked = |list| Reason::Revoked { signer: signer(), list };
    all.extend([Revoked::Blacklist, Revoked::MokListX, Revoked::Dbx].map(revoked));
    let unknown = |authority_trusted| Reason::UnknownSigner { signer: signer(), authority_trusted };
    all.extend([false, true].map(unknown));
    all.extend([Off::Shim, Off::Kernel].map(Reason::ValidationOff));
    all.extend([
        Reason::Damaged(SignatureError::UnknownKind { offset: 2, kind: 1 }),
        Reason::NotDetached,
        Reason::DigestWeak(Digest::Md5),
        Reason::DigestUnsupported(Digest::Sm3),
        Reason::AlgorithmUnsupported(SignatureAlgorithm::Ed25519),
        Reason::AttributesSigned(SignatureAlgorithm::Rsa(None)),
        Reason::Unsigned,
        Reason::Pending { signer: signer() },
        Reason::NotForCode { signer: signer() },
    ]);
    all
}

fn gaps() -> Vec<Gap> {
    let kernel = || release(DEBIAN);
    let ring = SystemRing::Builtin;
    let parts = [
        Part::SecureBoot,
        Part::SigEnforce,
        Part::Lockdown,
        Part::Config(kernel()),
        Part::Ring(ring),
        Part::MokList,
        Part::MokListX,
        Part::Db,
        Part::Dbx,
        Part::MokTrusted,
        Part::DbIgnored,
    ];
    let unread = |part| Gap::Unread { part, why: "denied".to_owned() };
    let mut all: Vec<_> = parts.into_iter().map(unread).collect();
    all.extend([
        Gap::NotRunning { part: Part::SigEnforce, kernel: kernel() },
        Gap::CertificateMissing { signer: signer(), ring },
        Gap::SameKey { signer: signer(), ring },
        Gap::Undescribed { ring, count: 2 },
        Gap::CertificatesInside,
        Gap::PlatformPatch { kernel: kernel() },
        Gap::Algorithm { name: "sha1".to_owned(), kernel: kernel() },
        Gap::PurposeCheck { kernel: kernel() },
    ]);
    all
}

#[test]
fn every_text_is_one_line_and_says_something() {
    let mut texts: Vec<String> = RULES.iter().map(|rule| rule.sentence()).collect();
    assert_eq!(texts.iter().collect::<BTreeSet<_>>().len(), RULES.len(), "two rules say the same");
    for reason in reasons() {
        assert!(reason.reason().bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert!(reason.what().len() <= MOST_OF_A_CLAUSE, "{}", reason.what());
        texts.extend([reason.what(), reason.why()]);
        for file in [None, Some("/etc/onloadd/site.der")] {
            texts.push(reason.fix(file));
            texts.extend(reason.steps(file));
        }
    }
    for gap in gaps() {
        assert!(gap.what().starts_with("cannot be told: "), "{gap:?}");
        texts.extend([gap.what(), gap.why(), gap.fix()]);
    }
    for text in texts {
        assert!(!text.is_empty() && text == text.trim(), "{text:?}");
        assert!(!text.contains('\n') && !text.contains("  ") && !text.ends_with('.'), "{text:?}");
    }
}

#[test]
fn what_is_told_to_do_can_be_done() {
    let fixes = reasons().into_iter().flat_map(|reason| {
        [vec![reason.fix(None)], reason.steps(Some("/etc/onloadd/site.der"))].concat()
    });
    for text in fixes.chain(gaps().iter().map(Gap::fix)) {
        for outdated in ["sign-file", "mokutil --import", "ten seconds"] {
            assert!(!text.contains(outdated), "{text}");
        }
        for (at, _) in text.match_indices("onloadctl keys ") {
            let verb = &text[at + "onloadctl keys ".len()..];
            assert!(KEYS.iter().any(|known| verb.starts_with(known)), "{text}");
        }
    }
}

#[test]
fn an_unknown_signer_in_three_parts() {
    let trust = machine(RHEL);
    let said = verdict(Ok(Some(&signed(RSA))), &trust, &release(RHEL));
    let reason = said.reason().unwrap();
    assert_eq!(
        reason.what(),
        "nobody here knows the signer's key (CN=Modules: first key, O=Example)"
    );
    assert!(reason.why().starts_with("its certificate is in no ring of this kernel"));
    assert!(reason.fix(None).starts_with("`onloadctl keys import FILE`, reboot"));
    let steps = reason.steps(Some("/etc/onloadd/site.der"));
    let [ask, answer, loads, or] = steps.as_slice() else { panic!("{steps:?}") };
    assert_eq!(ask, "1. `onloadctl keys import /etc/onloadd/site.der`");
    assert_eq!(*answer, format!("2. {}", crate::secure_boot::request::obstacle::AT_THE_CONSOLE));
    assert!(loads.starts_with("3. nothing more") && or.starts_with("or "), "{steps:?}");
}

#[test]
fn an_authority_that_is_trusted_is_told() {
    let trust = Trust { named: given([certificate(LEAF)]), ..machine(UPSTREAM) };
    for (trust, expected) in [
        (machine(UPSTREAM).enrolled(AUTHORITY, SystemRing::Machine), true),
        (trust.enrolled(AUTHORITY, SystemRing::Machine), true),
        (machine(UPSTREAM).enrolled(MODULE, SystemRing::Machine), false),
    ] {
        let said = verdict(Ok(Some(&signed(EC))), &trust, &release(UPSTREAM));
        let Outcome::Refused { why } = said.outcome else { panic!("refused") };
        let signer = signed(EC).signers[0].by.clone();
        assert_eq!(why, [Reason::UnknownSigner { signer, authority_trusted: expected }]);
    }
}

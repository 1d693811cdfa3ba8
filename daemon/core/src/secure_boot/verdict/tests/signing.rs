//! Signatures that are no good, whoever made them, and signers that are revoked.

use super::*;
use crate::secure_boot::algorithm::{Digest, KeyKind, SignatureAlgorithm};
use crate::secure_boot::keyring::Blacklisted;
use SystemRing::{Blacklist, Machine, Platform};

/// The same signature, made in another way.
fn made(change: impl FnOnce(&mut SignedData)) -> Option<SignedData> {
    let mut signature = signed(RSA);
    change(&mut signature);
    Some(signature)
}

fn hashed(digest: Digest) -> Option<SignedData> {
    made(|one| one.signers[0].digest = digest)
}

#[test]
fn what_is_revoked() {
    let both = || machine(UPSTREAM).enrolled(MODULE, Machine);
    let refused = || "refused Revoked; Machine, Always; 129".to_owned();
    let tbs = certificate(MODULE).to_be_signed.sha256.to_vec();
    let blacklisted = vec![Blacklisted::ToBeSigned(tbs.clone())];
    let hash = || Reading::Known(Ring { blacklisted: blacklisted.clone(), ..Ring::default() });
    let by_hash = SignatureList {
        kind: SignatureType::X509Sha256,
        entries: vec![Entry { owner: SHIM_LOCK, data: [tbs, vec![0; 16]].concat(), offset: 44 }],
    };
    let dbx = || Reading::Known(vec![by_hash.clone()]);
    let blind = |parts: &[&str]| both().with(Blacklist, denied()).built(UPSTREAM, parts);
    check(vec![
        (
            "enrolled and blacklisted",
            by_rsa(),
            both().with(Blacklist, ring(&[MODULE])),
            UPSTREAM,
            refused(),
        ),
        (
            "even where nothing is enforced",
            by_rsa(),
            both().with(Blacklist, ring(&[MODULE])).open(),
            UPSTREAM,
            refused(),
        ),
        (
            "by the hash of the certificate, after it had got into the ring",
            by_rsa(),
            both().with(Blacklist, hash()),
            UPSTREAM,
            "accepted .machine; Machine; loads; but Revoked".to_owned(),
        ),
        (
            "by hash, which kept it out of the ring",
            by_rsa(),
            Trust { mok: list(&[MODULE]), ..machine(UPSTREAM) }.with(Blacklist, hash()),
            UPSTREAM,
            format!("refused Revoked; SigEnforce; {NO_KEY}"),
        ),
        (
            "the same, nothing enforced",
            by_rsa(),
            Trust { mok: list(&[MODULE]), ..machine(UPSTREAM) }.with(Blacklist, hash()).open(),
            UPSTREAM,
            "tainted Revoked; NotEnforced; taints".to_owned(),
        ),
        (
            "the same, and the signature brings certificates",
            made(|one| one.certificates_bytes = 900),
            Trust { mok: list(&[MODULE]), ..machine(UPSTREAM) }.with(Blacklist, hash()).open(),
            UPSTREAM,
            "unknown CertificatesInside / Revoked; NotEnforced; ?".to_owned(),
        ),
        (
            "in dbx, and the ring does not have it",
            by_rsa(),
            Trust { dbx: list(&[MODULE]), ..both() },
            UPSTREAM,
            "accepted .machine; Machine; loads; but Revoked".to_owned(),
        ),
        (
            "in dbx, the ring is not readable",
            by_rsa(),
            Trust { dbx: list(&[MODULE]), ..blind(&[COMMON, MACHINE, REVOKES]) },
            UPSTREAM,
            refused(),
        ),
        (
            "in MokListX, the same",
            by_rsa(),
            Trust { mok_forbidden: list(&[MODULE]), ..blind(&[COMMON, MACHINE, REVOKES]) },
            UPSTREAM,
            refused(),
        ),
        (
            "in MokListX, a kernel that reads no certificates there",
            by_rsa(),
            Trust { mok_forbidden: list(&[MODULE]), ..blind(&[COMMON, MACHINE]) },
            UPSTREAM,
            "accepted .machine; Machine; loads; but Revoked".to_owned(),
        ),
        (
            "in dbx by hash, and the ring shows it all the same",
            by_rsa(),
            Trust { dbx: dbx(), ..blind(&[COMMON, MACHINE]) },
            UPSTREAM,
            "accepted .machine; Machine; loads; but Revoked".to_owned(),
        ),
        (
            "in dbx by hash, a kernel that does not run",
            by_rsa(),
            Trust { dbx: dbx(), mok: list(&[MODULE]), ..machine(RHEL) }
                .built("6.13.0", &[COMMON, MACHINE, FORCED]),
            "6.13.0",
            "unknown NotRunning, NotRunning / Revoked; SigEnforce; ?".to_owned(),
        ),
        (
            "nothing that revokes is readable",
            by_rsa(),
            Trust { dbx: denied(), ..blind(&[COMMON, MACHINE]) },
            UPSTREAM,
            "unknown Unread / Revoked; Machine, SigEnforce; ?".to_owned(),
        ),
        (
            "another key is revoked",
            by_rsa(),
            both().with(Blacklist, ring(&[LEAF])),
            UPSTREAM,
            "accepted .machine; Machine; loads".to_owned(),
        ),
    ]);
}

#[test]
fn how_it_was_signed() {
    let good = |kernel| machine(kernel).enrolled(MODULE, Machine);
    let accepted = || "accepted .machine; Machine; loads".to_owned();
    let crypto = |reason: &str| format!("refused {reason}; Machine, SigEnforce; {NO_CRYPTO}");
    let perhaps = |reason: &str| format!("unknown Algorithm / {reason}; Machine, SigEnforce; ?");
    let attributes = "129 Invalid module sig (has authattrs)";
    let own = |one: &mut SignedData| {
        one.signers[0].attributes_signed = true;
        one.signers[0].algorithm = SignatureAlgorithm::MlDsa(KeyKind::MlDsa65);
    };
    let twice = made(|one| {
        let other = signed(EC).signers[0].clone();
        one.signers.insert(0, other);
    });
    let ed = SignatureAlgorithm::Ed25519;
    check(vec![
        ("SHA-512", hashed(Digest::Sha512), good(UPSTREAM), UPSTREAM, accepted()),
        ("MD5", hashed(Digest::Md5), good(UPSTREAM), UPSTREAM, crypto("DigestWeak")),
        (
            "MD5, nothing enforced",
            hashed(Digest::Md5),
            good(UPSTREAM).open(),
            UPSTREAM,
            "tainted DigestWeak; Machine, NotEnforced; taints".to_owned(),
        ),
        ("SHA-1, 6.8", hashed(Digest::Sha1), good("6.8.0"), "6.8.0", crypto("DigestWeak")),
        ("SHA-1, others", hashed(Digest::Sha1), good(RHEL), RHEL, perhaps("DigestWeak")),
        ("SHA-3, new", hashed(Digest::Sha3_256), good(UPSTREAM), UPSTREAM, accepted()),
        ("SHA-3, old", hashed(Digest::Sha3_256), good(RHEL), RHEL, perhaps("DigestUnsupported")),
        (
            "Ed25519",
            made(|one| one.signers[0].algorithm = ed),
            good(UPSTREAM),
            UPSTREAM,
            crypto("AlgorithmUnsupported"),
        ),
        (
            "signed attributes",
            Some(signed(ATTRIBUTES)),
            good(DEBIAN),
            DEBIAN,
            format!("refused AttributesSigned; Machine, Always; {attributes}"),
        ),
        (
            "signed attributes, nothing enforced",
            Some(signed(ATTRIBUTES)),
            good(DEBIAN).open(),
            DEBIAN,
            format!("refused AttributesSigned; Machine, Always; {attributes}"),
        ),
        (
            "signed attributes, 2026, RSA",
            Some(signed(ATTRIBUTES)),
            good("7.0.0"),
            "7.0.0",
            format!("refused AttributesSigned; Machine, Always; {attributes}"),
        ),
        (
            "signed attributes, 2026, ML-DSA",
            made(own),
            good("7.0.0"),
            "7.0.0",
            "unknown Algorithm, Algorithm / AlgorithmUnsupported, AttributesSigned; Machine, SigEnforce; ?".to_owned(),
        ),
        (
            "the content in the signature",
            made(|one| one.content_inside = true),
            good(UPSTREAM).open(),
            UPSTREAM,
            "refused SignatureNotDetached; Machine, Always; 74".to_owned(),
        ),
        (
            "certificates in the signature",
            made(|one| one.certificates_bytes = 900),
            machine(UPSTREAM),
            UPSTREAM,
            "unknown CertificatesInside / UnknownSigner; SigEnforce; ?".to_owned(),
        ),
        ("one of two signers is trusted", twice.clone(), good(UPSTREAM), UPSTREAM, accepted()),
        (
            "none of two is",
            twice,
            machine(UPSTREAM),
            UPSTREAM,
            format!("refused UnknownSigner, UnknownSigner; SigEnforce; {NO_KEY}"),
        ),
    ]);
}

#[test]
fn certificates_that_are_not_for_code() {
    let suse = "6.4.0-150600.23.7-default";
    check(vec![
        (
            "upstream does not look",
            by_authority(),
            machine(UPSTREAM).enrolled(AUTHORITY, Machine),
            UPSTREAM,
            "accepted .machine; Machine; loads; but NotForCode".to_owned(),
        ),
        (
            "SUSE may",
            by_authority(),
            machine(suse).enrolled(AUTHORITY, Machine),
            suse,
            "unknown PurposeCheck / NotForCode; Machine, SigEnforce; ?".to_owned(),
        ),
        (
            "it is for code",
            by_rsa(),
            machine(suse).enrolled(MODULE, Platform),
            suse,
            "accepted .platform; Platform(Suse); loads".to_owned(),
        ),
    ]);
}

#[test]
fn damaged_signatures() {
    let damaged = Damaged { offset: 3, expected: "a PKCS#7 signature" };
    let unknown = SignatureError::UnknownKind { offset: 2, kind: 1 };
    let (closed, open) = (machine(UPSTREAM), machine(UPSTREAM).open());
    for (error, trust, expected) in [
        (damaged.into(), &closed, "refused SignatureDamaged; Always; 74".to_owned()),
        (damaged.into(), &open, "refused SignatureDamaged; Always; 74".to_owned()),
        (unknown, &closed, format!("refused SignatureDamaged; SigEnforce; {NO_CRYPTO}")),
        (unknown, &open, "tainted SignatureDamaged; NotEnforced; taints".to_owned()),
    ] {
        assert_eq!(shown(&verdict(Err(error), trust, &release(UPSTREAM))), expected, "{error}");
    }
}

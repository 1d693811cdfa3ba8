//! Lists that `efitools` made (`tests/secure-boot/README.md`), and what is wrong with others.

use super::*;
use crate::secure_boot::variable::SHIM_LOCK;

const DB: &[u8] = include_bytes!("../../../../../tests/secure-boot/db.esl");
const DBX: &[u8] = include_bytes!("../../../../../tests/secure-boot/dbx.esl");
const MODULE: &[u8] = include_bytes!("../../../../../tests/secure-boot/module.der");

#[test]
fn certificates_are_listed_with_their_owners() {
    let lists = parse(DB).unwrap();
    assert_eq!(lists.len(), 2);
    let entries: Vec<_> = lists.iter().flat_map(|list| &list.entries).collect();
    assert_eq!(entries[0].owner, SHIM_LOCK);
    assert_eq!(entries[1].owner.to_string(), "77fa9abd-0359-4d32-bd60-28f4e78f784b");
    let names = entries.iter().map(|entry| entry.certificate().unwrap().subject.to_string());
    let names: Vec<_> = names.collect();
    assert_eq!(names[0], "CN=Modules: first key, O=Example");
    assert!(names[1].contains("CN=Example Authority"));
    assert_eq!((entries[0].offset, entries[0].data.as_slice()), (44, MODULE));
    let mut padded = entries[0].clone();
    padded.data.push(0);
    assert_eq!(padded.certificate(), entries[0].certificate());
    padded.data.truncate(100);
    assert_eq!(padded.certificate().unwrap_err().offset, 44 + 4, "seen from the variable");
}

#[test]
fn every_type_is_known_by_its_guid() {
    let lists = parse(DBX).unwrap();
    let kinds: Vec<_> = lists.iter().map(|list| (list.kind, list.entries.len())).collect();
    let unknown = "12345678-9abc-def0-1234-56789abcdef0".parse().unwrap();
    assert_eq!(
        kinds,
        [
            (SignatureType::Sha256, 3),
            (SignatureType::X509Sha256, 1),
            (SignatureType::X509Sha384, 1),
            (SignatureType::X509Sha512, 1),
            (SignatureType::Sha1, 1),
            (SignatureType::Sha224, 1),
            (SignatureType::Sha384, 1),
            (SignatureType::Sha512, 1),
            (SignatureType::Rsa2048, 1),
            (SignatureType::Unknown(unknown), 1),
        ]
    );
    assert_eq!(lists[9].entries[0].data, [0, 1, 2, 3, 4]);
}

#[test]
fn certificates_are_revoked_by_what_is_signed_in_them() {
    let signed = Certificate::parse(MODULE).unwrap().to_be_signed;
    let lists = parse(DBX).unwrap();
    let revoked: Vec<_> = lists
        .iter()
        .filter_map(|list| list.revoked(&list.entries[0]))
        .map(|one| (one.to_be_signed, one.since))
        .collect();
    let since = Some((2026, [2, 3, 4, 5, 6]));
    assert_eq!(
        revoked,
        [(&signed.sha256[..], since), (&signed.sha384[..], since), (&signed.sha512[..], since),]
    );
    let mut ever = lists[1].entries[0].clone();
    ever.data[32..].fill(0);
    assert_eq!(lists[1].revoked(&ever).unwrap().since, None);
}

#[test]
fn the_place_of_what_is_wrong_is_told() {
    assert_eq!(parse(b""), Ok(vec![]));
    let list = |kind: &[u8], sizes: [u32; 3], body: usize| {
        [kind, &sizes.map(u32::to_le_bytes).concat(), &vec![0; body]].concat()
    };
    let (x509, sha256) = (&DB[..16], &DBX[..16]);
    for (what, bytes, offset) in [
        ("no head", list(x509, [28, 0, 16], 0)[..27].to_vec(), 24),
        ("shorter than its head", list(x509, [27, 0, 16], 16), 16),
        ("longer than the variable", list(x509, [45, 0, 16], 16), 16),
        ("longest", list(x509, [u32::MAX, 0, 16], 16), 16),
        ("a header beyond the list", list(x509, [44, 17, 16], 16), 28),
        ("the longest header", list(x509, [44, u32::MAX, 16], 16), 28),
        ("entries without room for an owner", list(x509, [44, 0, 15], 16), 24),
        ("entries of no size", list(x509, [44, 0, 0], 16), 24),
        ("no entries", list(x509, [28, 0, 16], 0), 24),
        ("a list that is cut off", list(x509, [62, 0, 17], 33), 16),
        ("part of an entry", list(x509, [61, 0, 17], 33), 24),
        ("a hash of another size", list(sha256, [28 + 47, 0, 47], 47), 24),
    ] {
        assert_eq!(parse(&bytes).unwrap_err().offset, offset, "{what}");
        let second = [DB, &bytes].concat();
        assert_eq!(parse(&second).unwrap_err().offset, DB.len() + offset, "{what}, second");
    }
    let headed = list(x509, [28 + 3 + 17, 3, 17], 20);
    assert_eq!(parse(&headed).unwrap()[0].entries[0].offset, 28 + 3 + 16);
}

#[test]
fn parts_are_one_database() {
    let (first, second) = DB.split_at(28 + 16 + MODULE.len());
    let whole = parse_parts([("MokListRT", DB)].into_iter()).unwrap();
    assert_eq!(whole, parse(DB).unwrap());
    let split = parse_parts([("MokListRT", first), ("MokListRT1", second)].into_iter()).unwrap();
    let data = |lists: &[SignatureList]| -> Vec<Vec<u8>> {
        lists.iter().flat_map(|list| &list.entries).map(|entry| entry.data.clone()).collect()
    };
    assert_eq!(data(&split), data(&whole));
    let repeated = parse_parts([("MokListRT", DB), ("MokListRT1", second)].into_iter()).unwrap();
    assert_eq!(repeated, whole);
    let damaged = parse_parts([("MokListRT", DB), ("MokListRT1", &DB[..30])].into_iter());
    let damaged = damaged.unwrap_err().to_string();
    assert!(damaged.starts_with("MokListRT1: byte 16: expected the size of a list"), "{damaged}");
}

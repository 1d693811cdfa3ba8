//! Certificates that `openssl` made, against what `openssl` and the kernel say of them
//! (`tests/secure-boot/README.md`).

use std::collections::BTreeMap;

use super::*;
use crate::secure_boot::algorithm::Digest;
use crate::secure_boot::keyring::KeyTable;

macro_rules! fixture {
    ($name:literal) => {
        (
            include_bytes!(concat!("../../../../../tests/secure-boot/", $name, ".der")),
            include_str!(concat!("../../../../../tests/secure-boot/", $name, ".txt")),
        )
    };
}

const MODULE: (&[u8], &str) = fixture!("module");
const AUTHORITY: (&[u8], &str) = fixture!("authority");
const LEAF: (&[u8], &str) = fixture!("leaf");
const OLD: (&[u8], &str) = fixture!("old");
const MODULE_PEM: &[u8] = include_bytes!("../../../../../tests/secure-boot/module.pem");

fn read((der, _): (&[u8], &str)) -> Certificate {
    Certificate::parse(der).unwrap()
}

#[test]
fn others_say_the_same() {
    for (der, text) in [MODULE, AUTHORITY, LEAF, OLD] {
        let certificate = Certificate::parse(der).unwrap();
        let said: BTreeMap<_, _> = text.lines().filter_map(|line| line.split_once('=')).collect();
        assert_eq!(
            certificate.serial.to_string().replace(':', "").trim_start_matches("00"),
            said["serial"]
        );
        assert_eq!(certificate.subject.to_string(), said["subject"]);
        assert_eq!(certificate.issuer.to_string(), said["issuer"]);
        assert_eq!(certificate.not_before.to_string(), said["notBefore"]);
        assert_eq!(certificate.not_after.to_string(), said["notAfter"]);
        let fingerprint = said["sha256 Fingerprint"].replace(':', "").to_lowercase();
        assert_eq!(hex(&certificate.fingerprint), fingerprint);
        let signed = &certificate.to_be_signed;
        assert_eq!(hex(&signed.sha256), said["tbs-sha256"]);
        assert_eq!(hex(&signed.sha384), said["tbs-sha384"]);
        assert_eq!(hex(&signed.sha512), said["tbs-sha512"]);
        assert_eq!(certificate.der_bytes, der.len());

        let line = format!(
            "0a6db9b1 I------     1 perm 0f0b0000     0     0 asymmetri {}\n",
            said["kernel"]
        );
        let table = KeyTable::parse(line.as_bytes());
        let key = table.keys.first_key_value().unwrap().1.asymmetric().unwrap();
        assert_eq!(key.id.0, certificate.listed_id(), "{line}");
        assert!(key.name.ends_with(certificate.subject.common_name().unwrap()), "{line}");
    }
}

#[test]
fn keys_and_how_they_signed() {
    let sizes = [MODULE, AUTHORITY, LEAF, OLD].map(read).map(|one| (one.key, one.key_bits));
    let rsa = |bits| (KeyKind::Rsa, Some(bits));
    assert_eq!(sizes, [rsa(2048), rsa(4096), (KeyKind::P384, None), rsa(2048)]);
    let signed = [MODULE, AUTHORITY, LEAF, OLD].map(read).map(|one| one.signature.to_string());
    // The leaf is signed by the authority, with its key.
    assert_eq!(signed, ["RSA with sha256", "RSA with sha512", "RSA with sha384", "RSA with sha1"]);
    assert_eq!(read(OLD).signature, SignatureAlgorithm::Rsa(Some(Digest::Sha1)));
}

#[test]
fn what_a_key_is_good_for() {
    let module = read(MODULE).extensions;
    assert_eq!(module.usage, Some(BTreeSet::from([Usage::DigitalSignature])));
    let purposes = BTreeSet::from([Oid::CODE_SIGNING, Oid::MODULE_SIGNING]);
    assert_eq!(module.purposes, Some(purposes));
    let constraints = |authority, path_length| Some(BasicConstraints { authority, path_length });
    assert_eq!(module.basic_constraints, constraints(false, None));
    assert_eq!(module.authority_key_id, module.subject_key_id);
    assert_eq!(module.critical, BTreeSet::new());

    let authority = read(AUTHORITY).extensions;
    assert_eq!(authority.usage, Some(BTreeSet::from([Usage::KeyCertSign, Usage::CrlSign])));
    assert_eq!(authority.purposes, None);
    assert_eq!(authority.basic_constraints, constraints(true, Some(0)));
    assert_eq!(read(LEAF).extensions.authority_key_id, authority.subject_key_id);
    assert_eq!((read(OLD).version, read(OLD).extensions), (1, Extensions::default()));
    assert_eq!(read(MODULE).version, 3);
}

#[test]
fn who_issued_it() {
    assert!(read(MODULE).names_itself_as_issuer() && !read(LEAF).names_itself_as_issuer());
    assert!(read(LEAF).issuer.same_as(&read(AUTHORITY).subject));
    assert_eq!(read(MODULE).issuer.common_name(), Some("Modules: first key"));
    assert!(read(AUTHORITY).serial.to_string().starts_with("00:F1:23:45:67:89:AB"));
}

#[test]
fn pem_is_the_same() {
    assert_eq!(Certificate::parse(MODULE_PEM).unwrap(), read(MODULE));
    let twice = [MODULE_PEM, MODULE_PEM].concat();
    let refused = Certificate::parse(&twice).unwrap_err();
    assert_eq!(refused, Damaged { offset: MODULE_PEM.len(), expected: "only one certificate" });
}

#[test]
fn the_place_of_what_is_wrong_is_told() {
    let der = MODULE.0;
    for length in 0..der.len() {
        let damaged = Certificate::parse(&der[..length]).unwrap_err();
        assert!(damaged.offset <= length, "{length}: {damaged}");
    }
    let longer = [der, b"\0"].concat();
    assert_eq!(Certificate::parse(&longer).unwrap_err().offset, der.len());
    assert_eq!(Certificate::at_start(&longer).unwrap(), read(MODULE));
    // The version's number made a text.
    let mut changed = der.to_vec();
    assert_eq!(changed[8..13], [0xa0, 3, 2, 1, 2]);
    changed[10] = 0x0c;
    let damaged = Certificate::parse(&changed).unwrap_err();
    assert_eq!(damaged.to_string(), "byte 10: expected a version");
}

#[test]
fn names_are_shown_so_that_nothing_passes_for_more() {
    let part = |tag: u8, text: &[u8]| {
        let length = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap();
        let wrap = |tag: u8, inner: &[u8]| [&[tag, length(inner)], inner].concat();
        let pair = [&[6, 3, 0x55, 4, 3], wrap(tag, text).as_slice()].concat();
        wrap(0x30, &wrap(0x31, &wrap(0x30, &pair)))
    };
    for (tag, text, shown) in [
        (0x0c, "Grün".as_bytes(), "CN=Grün"),
        (0x0c, b"\xff", "CN=\u{fffd}"),
        (0x14, b"Gr\xfcn", "CN=Grün"),
        (0x1e, b"\0G\0r\0\xfc\0n", "CN=Grün"),
        (0x1e, b"\0G\xd8", "CN=G\u{fffd}"),
        (0x1c, b"\0\0\0G\0\x11\0\0", "CN=G\u{fffd}"),
        (0x13, b"a, O=b\n\x1b[1m", "CN=a\\, O=b\\n\\u{1b}[1m"),
        (0x05, b"", "CN=#0500"),
    ] {
        let bytes = part(tag, text);
        let name = Name::read(&mut Der::new(&bytes), "a name").unwrap();
        assert_eq!(name.to_string(), shown);
    }
}

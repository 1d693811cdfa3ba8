//! Modules that the kernel's `sign-file` and `openssl cms` signed, against what `openssl` says of
//! their signatures (`tests/secure-boot/README.md`).

use super::signed_data::SignerId;
use super::*;
use crate::secure_boot::algorithm::{Digest, SignatureAlgorithm};
use crate::secure_boot::certificate::Certificate;

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../../../../tests/secure-boot/", $name))
    };
}

const RSA: &[u8] = fixture!("rsa.ko");
const EC: &[u8] = fixture!("ec.ko");
const TWICE: &[u8] = fixture!("twice.ko");
const KEY_ID: &[u8] = fixture!("keyid.ko");
const ATTRIBUTES: &[u8] = fixture!("attributes.ko");
/// How many bytes the module has that all of them are.
const PLAIN_BYTES: usize = fixture!("plain.ko").len();

fn read(module: &[u8]) -> Signature {
    Signature::parse(module).unwrap().unwrap()
}

fn certificates() -> [Certificate; 2] {
    [&fixture!("module.der")[..], fixture!("leaf.der")].map(|der| Certificate::parse(der).unwrap())
}

#[test]
fn others_say_the_same() {
    for (module, text) in [
        (RSA, &fixture!("rsa.txt")[..]),
        (EC, fixture!("ec.txt")),
        (KEY_ID, fixture!("keyid.txt")),
        (ATTRIBUTES, fixture!("attributes.txt")),
    ] {
        let signature = read(module);
        assert_eq!(signature.module_bytes, PLAIN_BYTES);
        let [signer] = signature.signed_data.signers.as_slice() else { panic!("one signer") };
        let text = str::from_utf8(text).unwrap();
        let said = |what: &str| {
            let (_, rest) = text.split_once(what).unwrap();
            rest.lines().next().unwrap().trim().to_owned()
        };
        match &signer.by {
            SignerId::Issued { issuer, serial } => {
                assert_eq!(issuer.to_string(), said("issuer:"));
                let number = said("serialNumber:");
                let number = number.trim_start_matches("0x").trim_start_matches('0');
                let own = serial.to_string().replace(':', "");
                assert_eq!(own.trim_start_matches('0'), number);
            }
            SignerId::Key(id) => {
                let digits = text.lines().skip_while(|line| !line.contains("0000 - ")).take(2);
                let digits = digits.map(|line| &line.split_once(" - ").unwrap().1[..44]);
                let digits = digits.collect::<String>().replace(['-', ' '], "");
                assert_eq!(id.to_string(), digits[..id.0.len() * 2]);
            }
        }
        let digest = text.split_once("digestAlgorithm").unwrap().1;
        assert!(digest.contains(&format!("algorithm: {} (", signer.digest)), "{digest}");
        assert_eq!(
            signer.attributes_signed,
            !text.contains("<ABSENT>\n        signatureAlgorithm")
        );
    }
}

#[test]
fn whose_signature_it_is() {
    let [module, leaf] = certificates();
    for (file, by_module, by_leaf) in
        [(RSA, true, false), (EC, false, true), (KEY_ID, true, false), (TWICE, true, false)]
    {
        let signer = read(file).signed_data.signers[0].clone();
        assert_eq!((signer.by.means(&module), signer.by.means(&leaf)), (by_module, by_leaf));
        let other = Certificate { serial: leaf.serial.clone(), ..module.clone() };
        let by_number = matches!(signer.by, SignerId::Issued { .. });
        assert_eq!(signer.by.means(&other), by_module && !by_number, "another certificate");
    }
}

#[test]
fn how_it_was_signed() {
    let one = |file| read(file).signed_data.signers[0].clone();
    let rsa = one(RSA);
    assert_eq!((rsa.algorithm, rsa.digest), (SignatureAlgorithm::Rsa(None), Digest::Sha256));
    assert_eq!(rsa.signature_bytes, 256);
    let ec = one(EC);
    assert_eq!(ec.algorithm, SignatureAlgorithm::Ecdsa(Digest::Sha384));
    assert_eq!((one(TWICE).digest, one(KEY_ID).digest), (Digest::Sha512, Digest::Sha256));
    assert!(one(ATTRIBUTES).attributes_signed && !one(RSA).attributes_signed);
    let data = |file| read(file).signed_data;
    assert!(data(ATTRIBUTES).certificates_bytes > 800 && data(RSA).certificates_bytes == 0);
    assert!([RSA, EC, KEY_ID, ATTRIBUTES].iter().all(|file| !data(file).content_inside));
}

#[test]
fn only_the_last_signature_counts() {
    let outer = read(TWICE);
    assert_eq!(&TWICE[..outer.module_bytes], EC);
    assert_eq!(read(&TWICE[..outer.module_bytes]).module_bytes, PLAIN_BYTES);
    assert_eq!(Signature::parse(&EC[..PLAIN_BYTES]), Ok(None), "not signed");
    assert_eq!(Signature::parse(b""), Ok(None));
    // A byte behind the mark, as a tool leaves that pads: the kernel sees no signature then.
    assert_eq!(Signature::parse(&[RSA, b"\n"].concat()), Ok(None));
}

#[test]
fn the_trailer_is_what_kernels_take() {
    let at = RSA.len() - MARK.len() - TRAILER_BYTES;
    let with = |place: usize, byte: u8| {
        let mut module = RSA.to_vec();
        module[at + place] = byte;
        Signature::parse(&module)
    };
    let unknown = SignatureError::UnknownKind { offset: at + 2, kind: 1 };
    assert_eq!(with(2, 1), Err(unknown));
    for place in [0, 1, 3, 4, 5, 6, 7] {
        let Err(SignatureError::Damaged(damaged)) = with(place, 1) else { panic!("{place}") };
        assert_eq!((damaged.offset, damaged.expected), (at, "zeros around the kind"));
    }
    for (place, byte) in [(8, 0xff), (10, 0xff)] {
        let Err(SignatureError::Damaged(damaged)) = with(place, byte) else { panic!("{place}") };
        assert_eq!(damaged.offset, at + 8);
    }
    // A byte shorter: the signature begins in the middle.
    let length = RSA[at + 11];
    let Err(SignatureError::Damaged(damaged)) = with(11, length - 1) else { panic!() };
    assert_eq!(damaged.offset, PLAIN_BYTES + 1);
    for short in [MARK, &RSA[RSA.len() - MARK.len() - 11..]] {
        let Err(SignatureError::Damaged(damaged)) = Signature::parse(short) else { panic!() };
        assert_eq!(damaged.offset, 0);
    }
    // All of it signature, none of it module.
    assert!(Signature::parse(&RSA[PLAIN_BYTES..]).is_err());
}

#[test]
fn offsets_are_those_of_the_module() {
    let mut module = RSA.to_vec();
    // The content type of PKCS#7: 1.2.840.113549.1.7.2.
    let at = module.windows(2).position(|pair| pair == [0x07, 0x02]).unwrap();
    module[at + 1] = 3;
    let refused = Signature::parse(&module).unwrap_err().to_string();
    assert_eq!(refused, format!("byte {}: expected signed data", PLAIN_BYTES + 4));
}

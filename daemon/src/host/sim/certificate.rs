//! Certificates of the simulated machine: read from PEM, and what is told of them.

use std::sync::Arc;

use onload_core::release::signing::{Appended, Signing};
use onload_core::secure_boot::Damaged;
use onload_core::secure_boot::algorithm::{Digest, SignatureAlgorithm};
use onload_core::secure_boot::certificate::{Certificate, KeyId};
use onload_core::secure_boot::oid::Oid;
use onload_core::secure_boot::signature::signed_data::{SignedData, Signer, SignerId};
use onload_core::secure_boot::trust::RingKey;

/// A certificate as firmware and shim keep it: DER. Kernels too take one only as it is.
pub(super) type Der = Vec<u8>;

/// Bytes that a signature by an RSA key of 2048 bits has.
const SIGNATURE_BYTES: usize = 256;

/// How many bytes of an organisation's name the kernel looks at, to see whether a common name begins
/// with it (`x509_fabricate_name`).
const COMPARED_BYTES: usize = 7;

/// The one certificate in a text, and its bytes.
///
/// # Errors
/// There is none, or it does not read.
pub(super) fn read(pem: &str) -> Result<(Der, Certificate), Damaged> {
    let certificate = Certificate::parse(pem.as_bytes())?;
    Ok((decode(pem), certificate))
}

/// The bytes in a text that reads as a certificate. Every four letters are three bytes, and what is no
/// letter of base64 fills the last group.
fn decode(pem: &str) -> Der {
    let lines = pem.lines().map(str::trim).skip_while(|line| !line.starts_with("-----BEGIN"));
    let body = lines.skip(1).take_while(|line| !line.starts_with("-----END"));
    let letters = body.flat_map(str::bytes).filter_map(|letter| {
        Some(match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        })
    });
    let (mut bytes, mut bits, mut count) = (Der::new(), 0_u32, 0_u32);
    for letter in letters {
        (bits, count) = (bits << 6 | u32::from(letter), count + 6);
        if count >= 8 {
            count -= 8;
            let [.., low] = (bits >> count).to_be_bytes();
            bytes.push(low);
        }
    }
    bytes
}

/// A signature by the key of this certificate, which it names as `sign-file` does.
pub(super) fn signed(by: &Certificate) -> Signing {
    let (issuer, serial) = (by.issuer.clone(), by.serial.clone());
    signed_by(SignerId::Issued { issuer, serial })
}

/// A signature by a key of which nothing is known but what it is called.
pub(super) fn signed_by_key(key: &RingKey) -> Signing {
    signed_by(SignerId::Key(key.id.clone()))
}

fn signed_by(by: SignerId) -> Signing {
    let signer = Signer {
        by,
        digest: Digest::Sha256,
        algorithm: SignatureAlgorithm::Rsa(None),
        attributes_signed: false,
        signature_bytes: SIGNATURE_BYTES,
    };
    let data = SignedData { content_inside: false, certificates_bytes: 0, signers: vec![signer] };
    Signing::Signed(Arc::new(Appended { data, pkcs7: Vec::new() }))
}

/// Its key as a ring shows it.
pub(super) fn ring_key(of: &Certificate) -> RingKey {
    RingKey { id: KeyId(of.listed_id().to_vec()), name: listed_name(of) }
}

/// Organisation and common name, the former only where the latter does not begin with it.
fn listed_name(of: &Certificate) -> String {
    let part = |wanted: &Oid| {
        let mut found = of.subject.parts.iter().rev().filter(|(kind, _)| kind == wanted);
        found.next().map(|(_, text)| text.as_str())
    };
    match (part(&Oid::ORGANIZATION), part(&Oid::COMMON_NAME)) {
        (Some(organisation), Some(name)) => {
            let begins = name.bytes().zip(organisation.bytes()).take_while(|(a, b)| a == b);
            if begins.count() >= COMPARED_BYTES.min(organisation.len()) {
                name.to_owned()
            } else {
                format!("{organisation}: {name}")
            }
        }
        (only, None) | (None, only) => only.unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
// A test that cannot unwrap has failed.
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_the_bytes_that_others_make_of_it() {
        let text = include_str!("../../../../tests/secure-boot/module.pem");
        let (der, certificate) = read(text).unwrap();
        assert_eq!(der, include_bytes!("../../../../tests/secure-boot/module.der"));
        assert_eq!(certificate.der_bytes, der.len());
        let kernel = include_str!("../../../../tests/secure-boot/module.txt");
        let RingKey { id, name } = ring_key(&certificate);
        let listed = format!("kernel={name}: {id}: X509.rsa");
        assert!(kernel.contains(&listed), "{listed} in {kernel}");
        assert!(read(&text.replacen("MII", "M*I", 1)).is_err());
        assert!(read("").is_err());
    }

    #[test]
    fn an_organisation_is_not_said_twice() {
        let text = include_bytes!("../../../../tests/secure-boot/authority.der");
        let certificate = Certificate::parse(text).unwrap();
        let kernel = include_str!("../../../../tests/secure-boot/authority.txt");
        let listed = format!("kernel={}: ", ring_key(&certificate).name);
        assert!(kernel.contains(&listed), "{listed} in {kernel}");
        let mut own = certificate;
        for (organisation, name, listed) in [
            ("Example", "Example modules", "Example modules"),
            ("Example Ltd", "Example modules", "Example modules"),
            ("Ex", "Example modules", "Example modules"),
            ("Exhibits", "Example modules", "Exhibits: Example modules"),
        ] {
            own.subject.parts = vec![
                (Oid::ORGANIZATION, organisation.to_owned()),
                (Oid::COMMON_NAME, name.to_owned()),
            ];
            assert_eq!(ring_key(&own).name, listed, "{organisation}");
        }
    }
}

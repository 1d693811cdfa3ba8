//! The signatures behind a module, of which kernels check the last.

use onload_core::secure_boot::Damaged;
use onload_core::secure_boot::certificate::Certificate as X509;
use onload_core::secure_boot::signature::signed_data::{SignedData, Signer, SignerId};
use onload_core::secure_boot::signature::{Parts, SignatureError, split};

use super::certificate::number;
use crate::render::paint::plain;

/// Up to the type in the head of an ELF file.
pub const ELF_HEAD: usize = 18;
/// How an ELF file begins.
pub const ELF: &[u8] = b"\x7fELF";

/// A signature that is there.
#[derive(Debug)]
pub struct Layer<'a> {
    /// What it is over, and it itself.
    pub parts: Parts<'a>,
    /// What it says; offsets are those of the module.
    pub says: Result<SignedData, Damaged>,
}

/// The signatures of a module, the last first. They need not say anything that can be read.
///
/// # Errors
/// The end is marked as a signature, and is none.
pub fn layers(module: &[u8]) -> Result<Vec<Layer<'_>>, SignatureError> {
    let mut layers = Vec::new();
    let mut rest = module;
    while let Some(parts) = split(rest)? {
        rest = parts.signed;
        let says = SignedData::parse(parts.pkcs7).map_err(|damaged| damaged.within(rest.len()));
        layers.push(Layer { parts, says });
    }
    Ok(layers)
}

impl Layer<'_> {
    fn signers(&self) -> &[Signer] {
        self.says.as_ref().map_or(&[], |says| &says.signers)
    }

    /// Whether nobody but this certificate's key signed, as the kernel looks it up.
    pub fn is_by(&self, certificate: &X509) -> bool {
        let signers = self.signers();
        !signers.is_empty() && signers.iter().all(|signer| signer.by.means(certificate))
    }

    /// Who signed, for people.
    pub fn name(&self) -> String {
        let names: Vec<_> = self.signers().iter().map(|signer| name(&signer.by)).collect();
        match names[..] {
            [] => "somebody who is not named by issuer and serial".to_owned(),
            [..] => names.join(" and "),
        }
    }
}

fn name(signer: &SignerId) -> String {
    match signer {
        SignerId::Issued { issuer, serial } => {
            let name = issuer.common_name().unwrap_or("an issuer without a common name");
            plain(&format!("{name} (serial {})", number(serial)))
        }
        SignerId::Key(id) => format!("the key {id}"),
    }
}

/// An ELF file that is linked later (ET_REL), as modules are.
pub fn is_module(head: &[u8]) -> bool {
    let little = [1, 0];
    let big = [0, 1];
    let kind = match head.get(5) {
        Some(1) => little,
        Some(2) => big,
        _ => return false,
    };
    head.starts_with(ELF) && head.get(16..ELF_HEAD) == Some(&kind)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed test is what a panic is for.

    use super::*;

    macro_rules! fixture {
        ($name:literal) => {
            include_bytes!(concat!("../../../../tests/secure-boot/", $name))
        };
    }

    #[test]
    fn a_module_is_an_object_file_of_either_order() {
        let with = |order: u8, kind: [u8; 2]| {
            let mut head = b"\x7fELF\x02\0\x01\0\0\0\0\0\0\0\0\0".to_vec();
            head[5] = order;
            [head, kind.to_vec()].concat()
        };
        assert!(is_module(&with(1, [1, 0])) && is_module(&with(2, [0, 1])));
        for other in [with(1, [2, 0]), with(2, [1, 0]), with(3, [1, 0]), b"\x7fELF".to_vec()] {
            assert!(!is_module(&other), "{other:x?}");
        }
    }

    #[test]
    fn layers_are_named_from_the_last_to_the_first() {
        let names = |module| layers(module).unwrap().iter().map(Layer::name).collect::<Vec<_>>();
        let first = "Modules: first key (serial 2fa9dfe87f358555c2a96005f9e6ddbb420e1954)";
        assert_eq!(names(fixture!("twice.ko")), [first, "Example Authority (serial 07)"]);
        let id = "the key 00db8f9764079f09e151b30d08242a5f5b1c7360";
        assert_eq!(names(fixture!("keyid.ko")), [id]);
        assert_eq!(names(fixture!("plain.ko")), [""; 0]);
        let certificate = X509::parse(fixture!("module.der")).unwrap();
        let by =
            |module| layers(module).unwrap().iter().map(|one| one.is_by(&certificate)).collect();
        let by: [Vec<bool>; 2] = [by(fixture!("twice.ko")), by(fixture!("keyid.ko"))];
        assert_eq!(by, [vec![true, false], vec![true]]);
    }
}

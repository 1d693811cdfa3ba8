//! Contradictions in what a world file says of firmware, shim and keys.

use std::collections::BTreeMap;

use onload_core::secure_boot::algorithm::KeyKind;
use onload_core::secure_boot::verdict::rule::Family;

use super::super::certificate;
use super::super::file::Trusts;
use super::{Check, WorldError, line_at};

impl Check<'_> {
    /// Each `[[key]]` has a certificate of its own, of a kind that the simulated signatures are.
    pub(super) fn keys(&self) -> Result<(), WorldError> {
        let mut seen = BTreeMap::new();
        for key in &self.file.keys {
            let span = key.certificate.span();
            let fail = |why, allowed: String| {
                self.fail(Some(span.clone()), "key.certificate", why, allowed)
            };
            let certificate = match certificate::read(key.certificate.get_ref()) {
                Ok((_, certificate)) => certificate,
                Err(damaged) => {
                    let why = format!("it is no certificate: {damaged}");
                    return fail(why, "one certificate as PEM".to_owned());
                }
            };
            if certificate.key != KeyKind::Rsa {
                let why = format!("its key is {}", certificate.key);
                return fail(why, "one with an RSA key".to_owned());
            }
            if let Some(first) = seen.insert(certificate.fingerprint, span.clone()) {
                let why = "this certificate is there twice".to_owned();
                let line = line_at(self.text, &first);
                return fail(why, format!("another one; line {line} has it"));
            }
        }
        Ok(())
    }

    /// Only distributions have the patch by which `.platform` counts.
    pub(super) fn trusts(&self) -> Result<(), WorldError> {
        let kernel = &self.file.node.kernel;
        match &self.file.secure_boot.trusts {
            Some(trusts)
                if *trusts.get_ref() == Trusts::Platform
                    && Family::of(kernel) == Family::Upstream =>
            {
                let why = format!("{kernel} is a kernel as kernel.org has it");
                self.fail(Some(trusts.span()), "secure-boot.trusts", why, "machine")
            }
            Some(_) | None => Ok(()),
        }
    }
}

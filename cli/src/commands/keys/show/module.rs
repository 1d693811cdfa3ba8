//! What the signatures behind a module say.

use std::collections::BTreeMap;

use onload_core::secure_boot::signature::signed_data::{self, SignedData, SignerId};
use serde::Serialize;

use super::row;
use crate::commands::keys::certificate::{is_weak, number};
use crate::commands::keys::layer::{Layer, is_module, layers};
use crate::render::paint::Paint;

/// A signature.
#[derive(Debug, Serialize)]
pub struct Signature {
    /// Whether kernels look at it: they do at the last.
    counts: bool,
    /// How many bytes of the module it is over.
    signed_bytes: usize,
    signers: Vec<Signer>,
    /// How many bytes of certificates it carries along.
    certificates_bytes: usize,
    /// Why some kernels refuse it, whoever signed.
    misfits: Vec<String>,
    unreadable: BTreeMap<&'static str, String>,
}

/// By whom, and how. Either issuer and serial are there, or the key's id.
#[derive(Debug, Serialize)]
struct Signer {
    issuer: Option<String>,
    serial: Option<String>,
    key_id: Option<String>,
    digest: String,
    algorithm: String,
    signed_attributes: bool,
    signature_bytes: usize,
}

/// The signatures of a module, the last first; or where that one is wrong, and how.
pub fn read(bytes: &[u8]) -> Result<Vec<Signature>, String> {
    let layers = layers(bytes).map_err(|error| error.to_string())?;
    if layers.is_empty() && !is_module(bytes) {
        return Err("byte 16: expected the type of an ELF file that is a module (ET_REL)".into());
    }
    if let Some(Err(damaged)) = layers.first().map(|last| &last.says) {
        return Err(damaged.to_string());
    }
    Ok(layers.iter().enumerate().map(|(place, layer)| Signature::of(layer, place == 0)).collect())
}

impl Signature {
    fn of(layer: &Layer<'_>, counts: bool) -> Self {
        let signed_bytes = layer.parts.signed.len();
        let (says, damaged) = match &layer.says {
            Ok(says) => (Some(says), None),
            Err(damaged) => (None, Some(("signers", damaged.to_string()))),
        };
        Self {
            counts,
            signed_bytes,
            signers: says.iter().flat_map(|says| says.signers.iter().map(Signer::of)).collect(),
            certificates_bytes: says.map_or(0, |says| says.certificates_bytes),
            misfits: says.map(misfits).unwrap_or_default(),
            unreadable: damaged.into_iter().collect(),
        }
    }

    fn rows(&self, depth: usize) -> String {
        let row = |label: &str, value: &str| row(depth, label, value);
        let mut text = self.signers.iter().map(|one| one.rows(depth)).collect::<String>();
        text += &row("signed", &format!("the first {} bytes", self.signed_bytes));
        if self.certificates_bytes > 0 {
            text += &row("certificates", &format!("{} bytes go along", self.certificates_bytes));
        }
        for why in self.misfits.iter().chain(self.unreadable.values()) {
            text += &row("but", why);
        }
        text
    }
}

impl Signer {
    fn of(signer: &signed_data::Signer) -> Self {
        let (issuer, serial, key_id) = match &signer.by {
            SignerId::Issued { issuer, serial } => {
                (Some(issuer.to_string()), Some(number(serial)), None)
            }
            SignerId::Key(id) => (None, None, Some(id.to_string())),
        };
        Self {
            issuer,
            serial,
            key_id,
            digest: signer.digest.to_string(),
            algorithm: signer.algorithm.to_string(),
            signed_attributes: signer.attributes_signed,
            signature_bytes: signer.signature_bytes,
        }
    }

    fn rows(&self, depth: usize) -> String {
        let row = |label: &str, value: &str| row(depth, label, value);
        let named = [("issuer", &self.issuer), ("serial", &self.serial), ("key id", &self.key_id)];
        let named = named.into_iter().filter_map(|(label, value)| Some((label, value.as_ref()?)));
        let mut text = named.map(|(label, value)| row(label, value)).collect::<String>();
        text += &row("digest", &self.digest);
        let algorithm = format!("{}, {} bytes", self.algorithm, self.signature_bytes);
        text += &row("signature", &algorithm);
        text + &row("attributes", if self.signed_attributes { "signed" } else { "none are signed" })
    }
}

/// Why some kernels refuse it (`reference/secure-boot-mok.md` section 6).
fn misfits(says: &SignedData) -> Vec<String> {
    let mut all = Vec::new();
    if says.signers.iter().any(|signer| signer.attributes_signed) {
        all.push("kernels before 2026 refuse signed attributes".to_owned());
    }
    if says.content_inside {
        all.push("it holds what it is over, and kernels want it detached".to_owned());
    }
    let weak = says.signers.iter().map(|signer| &signer.digest).filter(|digest| is_weak(digest));
    all.extend(weak.map(|digest| format!("{digest} is too weak for newer kernels")));
    all
}

/// For people, from behind the name of the file on.
pub fn text(signatures: &[Signature]) -> String {
    let Some((last, others)) = signatures.split_first() else {
        return format!("{}\n", Paint::Warn.on("not signed"));
    };
    let mut text = format!("signed (PKCS#7)\n{}", last.rows(1));
    for other in others {
        text += "  below it, where kernels do not look:\n";
        text += &other.rows(2);
    }
    text
}

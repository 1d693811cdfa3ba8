//! Extensions of a certificate.

use std::collections::BTreeSet;

use super::{BasicConstraints, Extensions, KeyId, Usage};
use crate::secure_boot::Damaged;
use crate::secure_boot::der::{self, Der};
use crate::secure_boot::oid::Oid;

/// The extensions that matter; the rest is noted if it is critical.
pub(super) fn read(mut der: Der<'_>) -> Result<Extensions, Damaged> {
    let mut list = der.inside(der::SEQUENCE, "extensions")?;
    der.end("the end of the extensions")?;
    let mut all = Extensions::default();
    let mut seen = BTreeSet::new();
    while !list.is_empty() {
        let element = list.take(der::SEQUENCE, "an extension")?;
        let mut fields = element.content;
        let kind = fields.take(der::OBJECT_IDENTIFIER, "what an extension is")?.oid()?;
        let critical = fields.optional(der::BOOLEAN, "whether it is critical")?;
        let critical = critical.map(|flag| flag.truth()).transpose()?.unwrap_or(false);
        let mut value = fields.inside(der::OCTET_STRING, "an extension's value")?;
        fields.end("the end of an extension")?;
        if !seen.insert(kind.clone()) {
            return Err(element.damaged("each extension once"));
        }
        match &kind {
            known if *known == Oid::SUBJECT_KEY_ID => {
                let id = value.inside(der::OCTET_STRING, "a key's id")?;
                all.subject_key_id = Some(KeyId(id.bytes().to_vec()));
            }
            known if *known == Oid::AUTHORITY_KEY_ID => {
                let mut fields = value.inside(der::SEQUENCE, "who signed")?;
                let id = fields.optional(der::primitive(0), "a key's id")?;
                all.authority_key_id = id.map(|id| KeyId(id.content.bytes().to_vec()));
            }
            known if *known == Oid::KEY_USAGE => all.usage = Some(usage(&mut value)?),
            known if *known == Oid::EXTENDED_KEY_USAGE => {
                let mut purposes = value.inside(der::SEQUENCE, "purposes")?;
                let mut named = BTreeSet::new();
                while !purposes.is_empty() {
                    named.insert(purposes.take(der::OBJECT_IDENTIFIER, "a purpose")?.oid()?);
                }
                all.purposes = Some(named);
            }
            known if *known == Oid::BASIC_CONSTRAINTS => {
                let mut fields = value.inside(der::SEQUENCE, "basic constraints")?;
                let authority = fields.optional(der::BOOLEAN, "whether it is an authority")?;
                let path_length = fields.optional(der::INTEGER, "a length")?;
                all.basic_constraints = Some(BasicConstraints {
                    authority: authority.map(|flag| flag.truth()).transpose()?.unwrap_or(false),
                    path_length: path_length.map(|length| length.small()).transpose()?,
                });
            }
            _ if critical => {
                all.critical.insert(kind);
            }
            _ => {}
        }
    }
    Ok(all)
}

/// What a key may be used for: bits from the highest of the first byte on.
fn usage(value: &mut Der<'_>) -> Result<BTreeSet<Usage>, Damaged> {
    const BITS: [Usage; 9] = [
        Usage::DigitalSignature,
        Usage::NonRepudiation,
        Usage::KeyEncipherment,
        Usage::DataEncipherment,
        Usage::KeyAgreement,
        Usage::KeyCertSign,
        Usage::CrlSign,
        Usage::EncipherOnly,
        Usage::DecipherOnly,
    ];
    let mut bits = value.inside(der::BIT_STRING, "bits of usage")?;
    bits.octet("a count of unused bits")?;
    let set = bits.bytes().iter().flat_map(|byte| (0..8).map(move |bit| byte << bit & 0x80 != 0));
    Ok(BITS.into_iter().zip(set).filter(|(_, set)| *set).map(|(usage, _)| usage).collect())
}

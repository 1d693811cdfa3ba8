//! The header of a LUKS2 volume: a block of numbers, then JSON, both as the on-disk format's description
//! has them (LUKS2 On-Disk Format Specification 1.1, sections 2 and 3). Its checksum is not looked at:
//! who opened the volume did.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{REGISTERS, Sealed, Sealer, clevis};
use crate::secure_boot::Damaged;
use crate::secure_boot::bytes::Bytes;

/// The block of numbers; the JSON begins behind it.
pub const BINARY_BYTES: usize = 4096;
/// The format allows powers of two up to this.
pub const LARGEST: usize = 4 << 20;
/// And from this.
const SMALLEST: usize = 16 << 10;
const MAGIC: &[u8; 6] = b"LUKS\xba\xbe";
const VERSION: u16 = 2;

/// What a volume says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// As it was given when the volume was made.
    pub uuid: String,
    /// Mostly empty.
    pub label: String,
    /// Each way in which the TPM unlocks it, in the order of its tokens.
    pub sealed: Vec<Sealed>,
}

#[derive(Deserialize)]
struct Area {
    #[serde(default)]
    tokens: BTreeMap<u32, Token>,
}

/// Others ask no TPM, or say nothing of registers.
#[derive(Deserialize)]
#[serde(tag = "type")]
enum Token {
    #[serde(rename = "systemd-tpm2")]
    Systemd(Systemd),
    #[serde(rename = "clevis")]
    Clevis(clevis::Token),
    #[serde(other)]
    Other,
}

/// As systemd-cryptenroll writes it, with its two ways of joining words.
#[derive(Deserialize)]
struct Systemd {
    #[serde(default)]
    keyslots: Vec<String>,
    #[serde(rename = "tpm2-pcrs", default)]
    pcrs: BTreeSet<u8>,
    #[serde(rename = "tpm2_pubkey_pcrs", default)]
    signed_pcrs: BTreeSet<u8>,
    #[serde(rename = "tpm2-pin", default)]
    pin: bool,
    #[serde(rename = "tpm2_pcrlock", default)]
    pcrlock: bool,
}

/// How many bytes the header has, from its first [`BINARY_BYTES`].
///
/// # Errors
/// It is no header, of another version, or of a length that there is not.
pub fn length(bytes: &[u8]) -> Result<usize, Damaged> {
    let mut bytes = Bytes::new(bytes);
    let expected = "the beginning of a LUKS volume";
    let here = bytes.damaged(expected);
    if bytes.take(MAGIC.len(), expected)? != MAGIC {
        return Err(here);
    }
    let here = bytes.damaged("version 2 of LUKS");
    if u16::from_be_bytes(bytes.array("a version")?) != VERSION {
        return Err(here);
    }
    let here = bytes.damaged("a length from 16 KiB to 4 MiB");
    let length = u64::from_be_bytes(bytes.array("a length")?);
    usize::try_from(length)
        .ok()
        .filter(|length| (SMALLEST..=LARGEST).contains(length) && length.is_power_of_two())
        .ok_or(here)
}

/// Reads a header, and nothing that stands behind it.
///
/// # Errors
/// It is not whole, or says something that has no meaning.
pub fn parse(bytes: &[u8]) -> Result<Header, Damaged> {
    let length = length(bytes)?;
    let end = Damaged { offset: bytes.len(), expected: "the rest of the header" };
    let bytes = bytes.get(..length).ok_or(end)?;
    let label = text(bytes, 24, 48)?;
    let uuid = text(bytes, 168, 40)?;
    let json = bytes.get(BINARY_BYTES..).unwrap_or_default();
    let json = json.split(|byte| *byte == 0).next().unwrap_or_default();
    let area: Area = serde_json::from_slice(json).map_err(|error| {
        let line = error.line().saturating_sub(1);
        let before: usize =
            json.split_inclusive(|byte| *byte == b'\n').take(line).map(<[_]>::len).sum();
        let offset = before.saturating_add(error.column()).min(json.len());
        Damaged { offset, expected: "JSON with the tokens of a volume" }.within(BINARY_BYTES)
    })?;
    let mut sealed = Vec::new();
    for token in area.tokens.into_values() {
        sealed.extend(of(token, &uuid)?);
    }
    Ok(Header { uuid, label, sealed })
}

/// A field of text, which a NUL ends.
fn text(bytes: &[u8], offset: usize, length: usize) -> Result<String, Damaged> {
    let damaged = Damaged { offset, expected: "text that a NUL ends" };
    let field = bytes.get(offset..offset.saturating_add(length)).ok_or(damaged)?;
    let end = field.iter().position(|byte| *byte == 0).ok_or(damaged)?;
    let text = str::from_utf8(field.get(..end).unwrap_or_default()).map_err(|_| damaged)?;
    if text.contains(char::is_control) { Err(damaged) } else { Ok(text.to_owned()) }
}

fn of(token: Token, uuid: &str) -> Result<Option<Sealed>, Damaged> {
    let damaged = |expected| Damaged { offset: BINARY_BYTES, expected };
    let slot = |slots: &[String]| slots.first().and_then(|slot| slot.parse().ok());
    let volume = uuid.to_owned();
    match token {
        Token::Systemd(token) => {
            let mut pcrs = token.pcrs.iter().chain(&token.signed_pcrs);
            if pcrs.any(|pcr| *pcr >= REGISTERS) {
                return Err(damaged("registers that a TPM has in a token of systemd"));
            }
            let by = if token.pcrlock { Sealer::Pcrlock } else { Sealer::Systemd };
            let Systemd { keyslots, pcrs, signed_pcrs, pin, pcrlock: _ } = token;
            Ok(Some(Sealed { volume, slot: slot(&keyslots), pcrs, signed_pcrs, pin, by }))
        }
        Token::Clevis(token) => {
            let needs =
                clevis::needs(&token).ok_or(damaged("tokens of clevis that say their pin"))?;
            let shares = !needs.breaks && !super::changed(&needs.pcrs).is_empty();
            let by = if shares { Sealer::ClevisShares } else { Sealer::Clevis };
            Ok(needs.tpm.then(|| Sealed {
                volume,
                slot: slot(&token.keyslots),
                pcrs: needs.pcrs,
                signed_pcrs: BTreeSet::new(),
                pin: false,
                by,
            }))
        }
        Token::Other => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! fixture {
        ($name:literal) => {
            include_bytes!(concat!("../../../../../tests/secure-boot/", $name))
        };
    }

    /// A header with other JSON.
    fn with(json: &str) -> Vec<u8> {
        let mut bytes = fixture!("systemd.luks").to_vec();
        bytes[BINARY_BYTES..].fill(0);
        bytes[BINARY_BYTES..][..json.len()].copy_from_slice(json.as_bytes());
        bytes
    }

    fn joined(pcrs: &BTreeSet<u8>) -> String {
        let numbers: Vec<_> = pcrs.iter().map(u8::to_string).collect();
        if numbers.is_empty() { "n/a".to_owned() } else { numbers.join("+") }
    }

    #[test]
    fn what_systemd_bound_is_what_cryptsetup_prints() {
        let header = parse(fixture!("systemd.luks")).unwrap();
        let mut printed = format!(
            "Version:       \t2\nMetadata area: \t{} [bytes]\nUUID:          \t{}\nLabel:         \t{}\n",
            length(fixture!("systemd.luks")).unwrap(),
            header.uuid,
            header.label
        );
        for (number, one) in header.sealed.iter().enumerate() {
            assert_eq!((one.by, one.pin, &one.volume), (Sealer::Systemd, false, &header.uuid));
            printed += &format!(
                "  {number}: systemd-tpm2\n\ttpm2-hash-pcrs:   {}\n\ttpm2-pubkey-pcrs: {}\n\tKeyslot:    {}\n",
                joined(&one.pcrs),
                joined(&one.signed_pcrs),
                one.slot.unwrap()
            );
        }
        assert_eq!(printed.as_bytes(), fixture!("systemd.dump"));
    }

    #[test]
    fn what_clevis_bound_is_what_its_pins_were_given() {
        let header = parse(fixture!("clevis.luks")).unwrap();
        let seen: Vec<_> = header
            .sealed
            .iter()
            .map(|one| (one.slot.unwrap(), joined(&one.pcrs), one.by))
            .collect();
        assert_eq!(
            seen,
            [
                (1, "4+7".to_owned(), Sealer::Clevis),
                (2, "14".to_owned(), Sealer::ClevisShares),
                (3, "14".to_owned(), Sealer::Clevis),
            ]
        );
    }

    #[test]
    fn volumes_without_the_tpm_have_nothing_to_lose() {
        let tang = r#""1":{"type":"clevis","keyslots":["1"],"jwe":{"protected":"eyJjbGV2aXMiOnsicGluIjoidGFuZyJ9fQ"}}"#;
        for tokens in ["", r#""0":{"type":"systemd-recovery","keyslots":["1"]}"#, tang] {
            let header = parse(&with(&format!(r#"{{"tokens":{{{tokens}}}}}"#))).unwrap();
            assert_eq!(header.sealed, [], "{tokens}");
        }
        assert_eq!(parse(&with("{}")).unwrap().sealed, []);
    }

    #[test]
    fn pcrlock_and_a_pin_are_seen() {
        let token = r#"{"tokens":{"3":{"type":"systemd-tpm2","keyslots":["4"],"tpm2-pcrs":[],"tpm2-pin":true,"tpm2_pcrlock":true}}}"#;
        let header = parse(&with(token)).unwrap();
        let [one] = &header.sealed[..] else { panic!("{header:?}") };
        assert_eq!((one.by, one.pin, one.slot), (Sealer::Pcrlock, true, Some(4)));
    }

    #[test]
    fn damage_has_a_place() {
        let whole = fixture!("systemd.luks");
        let mut other = whole.to_vec();
        other[7] = 1;
        assert_eq!(parse(&other).unwrap_err().to_string(), "byte 6: expected version 2 of LUKS");
        let mut long = whole.to_vec();
        long[8] = 1;
        let mut named = whole.to_vec();
        named[168..208].fill(b'0');
        for (bytes, offset) in [
            (&b""[..], 0),
            (b"LUKS", 0),
            (&[0; 16384], 0),
            (b"LUKS\xba\xbe\0\x02", 8),
            (&long, 8),
            (&named, 168),
            (&whole[..16383], 16383),
            (&whole[..BINARY_BYTES], BINARY_BYTES),
            (&with(""), BINARY_BYTES),
            (&with("{\n\"tokens\":7}"), BINARY_BYTES + 12),
            (&with(r#"{"tokens":{"0":{"type":"systemd-tpm2","tpm2-pcrs":[24]}}}"#), BINARY_BYTES),
            (&with(r#"{"tokens":{"0":{"type":"clevis","jwe":{"protected":"."}}}}"#), BINARY_BYTES),
        ] {
            assert_eq!(parse(bytes).unwrap_err().offset, offset);
        }
    }
}

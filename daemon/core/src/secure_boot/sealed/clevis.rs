//! What clevis needs to unlock a volume: the protected head of a JWE, which says how its key is had. A
//! secret may be shared (pin `sss`), and each share is a JWE again.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use super::{REGISTERS, changed};
use crate::base64;

/// Shares of shares of shares: nobody has more, and each level is a third longer than what it holds.
const DEEPEST: u8 = 8;

/// A token as it stands in the volume's header.
#[derive(Debug, Deserialize)]
pub(super) struct Token {
    #[serde(default)]
    pub(super) keyslots: Vec<String>,
    jwe: Jwe,
}

#[derive(Debug, Deserialize)]
struct Jwe {
    protected: String,
}

#[derive(Deserialize)]
struct Head {
    clevis: Pin,
}

/// As clevis's pins write it. Those that are not here ask no TPM.
#[derive(Deserialize)]
#[serde(tag = "pin", rename_all = "lowercase")]
enum Pin {
    Tpm2 {
        tpm2: Tpm2,
    },
    Sss {
        sss: Shares,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Tpm2 {
    #[serde(default)]
    pcr_ids: Value,
}

#[derive(Deserialize)]
struct Shares {
    /// How many are enough.
    t: usize,
    /// Each in the compact form: five pieces with dots between them.
    jwe: Vec<String>,
}

/// What a secret depends on.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    /// Whether the TPM is asked at all.
    pub(super) tpm: bool,
    /// The registers of all that ask it.
    pub(super) pcrs: BTreeSet<u8>,
    /// Whether it is lost when an enrolment changes its registers.
    pub(super) breaks: bool,
}

/// What a token needs; none where it does not say it in a way that is known.
pub(super) fn needs(token: &Token) -> Option<Needs> {
    head(token.jwe.protected.as_bytes(), DEEPEST)
}

fn head(encoded: &[u8], depth: u8) -> Option<Needs> {
    let depth = depth.checked_sub(1)?;
    let bytes = base64::decode_url(encoded).ok()?;
    match serde_json::from_slice::<Head>(&bytes).ok()?.clevis {
        Pin::Tpm2 { tpm2 } => {
            let pcrs = registers(&tpm2.pcr_ids)?;
            Some(Needs { tpm: true, breaks: !changed(&pcrs).is_empty(), pcrs })
        }
        Pin::Sss { sss } => {
            let mut all = Needs::default();
            let mut kept = 0_usize;
            for share in &sss.jwe {
                let one = head(share.split('.').next()?.as_bytes(), depth)?;
                all.tpm |= one.tpm;
                all.pcrs.extend(one.pcrs);
                kept = kept.saturating_add(usize::from(!one.breaks));
            }
            all.breaks = kept < sss.t;
            Some(all)
        }
        Pin::Other => Some(Needs::default()),
    }
}

/// Registers as a text with commas, a number, or a list of these; nothing is none.
fn registers(value: &Value) -> Option<BTreeSet<u8>> {
    let known = |number: u64| u8::try_from(number).ok().filter(|pcr| *pcr < REGISTERS);
    match value {
        Value::Null => Some(BTreeSet::new()),
        Value::String(text) if text.trim().is_empty() => Some(BTreeSet::new()),
        Value::String(text) => {
            text.split(',').map(|one| one.trim().parse().ok().and_then(known)).collect()
        }
        Value::Number(number) => Some(BTreeSet::from([number.as_u64().and_then(known)?])),
        Value::Array(values) => {
            let mut all = BTreeSet::new();
            for one in values.iter().filter(|one| !one.is_array()) {
                all.append(&mut registers(one)?);
            }
            (!values.iter().any(Value::is_array)).then_some(all)
        }
        Value::Bool(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// As JOSE writes it.
    fn encoded(value: &Value) -> String {
        const LETTERS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let text = value.to_string();
        let groups = text.as_bytes().chunks(3).map(|group| {
            let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
            let bits = bits << (8 * (3 - group.len()));
            let letter =
                |place: usize| char::from(LETTERS[(bits >> (18 - 6 * place) & 63) as usize]);
            (0..=group.len()).map(letter).collect::<String>()
        });
        groups.collect()
    }

    fn asked(value: &Value) -> Option<Needs> {
        head(encoded(&json!({ "alg": "dir", "clevis": value })).as_bytes(), DEEPEST)
    }

    fn tpm2(pcrs: &Value) -> Value {
        json!({ "pin": "tpm2", "tpm2": { "hash": "sha256", "pcr_ids": pcrs } })
    }

    fn shared(enough: usize, pins: &[Value]) -> Value {
        let pieces =
            pins.iter().map(|pin| format!("{}..a.b.c", encoded(&json!({ "clevis": pin }))));
        json!({ "pin": "sss", "sss": { "p": "x", "t": enough, "jwe": pieces.collect::<Vec<_>>() } })
    }

    fn pcrs(of: &Value) -> Option<Vec<u8>> {
        asked(&tpm2(of)).map(|needs| needs.pcrs.into_iter().collect())
    }

    #[test]
    fn registers_are_written_in_several_ways() {
        for (of, wanted) in [
            (json!("7,14"), vec![7, 14]),
            (json!("14, 7"), vec![7, 14]),
            (json!(7), vec![7]),
            (json!([4, "7"]), vec![4, 7]),
            (json!(""), vec![]),
            (json!(null), vec![]),
        ] {
            assert_eq!(pcrs(&of), Some(wanted), "{of}");
        }
        for of in
            [json!("7,"), json!("24"), json!(-1), json!("secure-boot"), json!({}), json!([[7]])]
        {
            assert_eq!(pcrs(&of), None, "{of}");
        }
    }

    #[test]
    fn a_shared_secret_breaks_when_too_few_shares_are_left() {
        let (seven, four) = (tpm2(&json!("7")), tpm2(&json!("4")));
        let tang = json!({ "pin": "tang", "tang": { "url": "http://tang" } });
        let breaks = |value: &Value| asked(value).unwrap().breaks;
        assert!(breaks(&shared(1, std::slice::from_ref(&seven))));
        assert!(!breaks(&shared(1, &[seven.clone(), tang.clone()])));
        assert!(breaks(&shared(2, &[seven.clone(), tang.clone()])));
        assert!(!breaks(&shared(2, &[seven.clone(), tang.clone(), four])));
        assert!(breaks(&shared(2, &[tang.clone(), shared(1, &[seven])])));
        assert_eq!(asked(&shared(1, std::slice::from_ref(&tang))), asked(&tang));
    }

    #[test]
    fn shares_nest_only_so_deep() {
        let mut nested = tpm2(&json!("7"));
        for _ in 1..DEEPEST {
            nested = shared(1, &[nested]);
            assert!(asked(&nested).is_some());
        }
        assert_eq!(asked(&shared(1, &[nested])), None);
    }
}

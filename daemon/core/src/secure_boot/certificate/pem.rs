//! PEM: base64 between two lines.

use crate::base64;
use crate::secure_boot::Damaged;

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
const END: &[u8] = b"-----END CERTIFICATE-----";

/// Where `wanted` begins a line of `text`, at or after `from`.
fn line(text: &[u8], wanted: &[u8], from: usize) -> Option<usize> {
    let rest = text.get(from..)?;
    let mut places = rest.windows(wanted.len()).enumerate();
    places.find_map(|(place, window)| {
        let at = place.checked_add(from)?;
        let begins = at.checked_sub(1).is_none_or(|before| text.get(before) == Some(&b'\n'));
        (window == wanted && begins).then_some(at)
    })
}

/// The DER of the one certificate in a text; none where no line begins one. What stands around it, be
/// it a description or a key, is passed over.
pub(super) fn decode(text: &[u8]) -> Result<Option<Vec<u8>>, Damaged> {
    let Some(begin) = line(text, BEGIN, 0) else { return Ok(None) };
    let body = begin.saturating_add(BEGIN.len());
    let end = line(text, END, body)
        .ok_or(Damaged { offset: text.len(), expected: "a line that ends the certificate" })?;
    if let Some(second) = line(text, BEGIN, body) {
        return Err(Damaged { offset: second, expected: "only one certificate" });
    }
    base64::decode(text.get(body..end).unwrap_or_default())
        .map(Some)
        .map_err(|damaged| damaged.within(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stand_around_it() {
        let decode = |text: &str| decode(text.as_bytes());
        let one = "-----BEGIN CERTIFICATE-----\nZm9v\n-----END CERTIFICATE-----\n";
        assert_eq!(decode(one), Ok(Some(b"foo".to_vec())));
        assert_eq!(decode(&format!("Subject: x\n{one}more")), Ok(Some(b"foo".to_vec())));
        assert_eq!(decode(&format!("x {one}")), Ok(None));
        assert_eq!(decode(""), Ok(None));
        assert_eq!(decode(&format!("{one}{one}")).unwrap_err().offset, one.len());
        assert_eq!(decode("-----BEGIN CERTIFICATE-----\nZm9v\n").unwrap_err().offset, 33);
        let wrong = "-----BEGIN CERTIFICATE-----\nZm*v\n-----END CERTIFICATE-----\n";
        assert_eq!(decode(wrong).unwrap_err().offset, 30);
    }
}

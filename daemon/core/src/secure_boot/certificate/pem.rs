//! PEM: base64 between two lines.

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
    base64(text.get(body..end).unwrap_or_default())
        .map(Some)
        .map_err(|damaged| damaged.within(body))
}

fn base64(text: &[u8]) -> Result<Vec<u8>, Damaged> {
    let mut bytes = Vec::new();
    let (mut bits, mut letters, mut padding) = (0_u32, 0_u32, 0_u32);
    for (offset, letter) in text.iter().enumerate() {
        let damaged = Damaged { offset, expected: "a letter of base64" };
        let value = match letter {
            b' ' | b'\t' | b'\r' | b'\n' => continue,
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            // Fills the last group of four, of which it takes at most half.
            b'=' if letters + padding < 4 && letters >= 2 => {
                padding += 1;
                continue;
            }
            _ => return Err(damaged),
        };
        if padding > 0 {
            return Err(damaged);
        }
        if letters == 4 {
            (bits, letters) = (0, 0);
        }
        (bits, letters) = (bits << 6 | u32::from(value), letters + 1);
        if letters == 4 {
            bytes.extend(bits.to_be_bytes().into_iter().skip(1));
        }
    }
    match (letters, padding) {
        (0 | 4, 0) => {}
        (2, 2) => bytes.extend((bits << 12).to_be_bytes().into_iter().skip(1).take(1)),
        (3, 1) => bytes.extend((bits << 6).to_be_bytes().into_iter().skip(1).take(2)),
        _ => return Err(Damaged { offset: text.len(), expected: "a whole group of base64" }),
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_bytes() {
        for (text, bytes) in [
            ("", &b""[..]),
            ("Zg==", b"f"),
            ("Zm8=", b"fo"),
            ("Zm9v", b"foo"),
            ("Zm9v\r\nYm\n Fy\n", b"foobar"),
            ("+/8=", b"\xfb\xff"),
        ] {
            assert_eq!(base64(text.as_bytes()).as_deref(), Ok(bytes), "{text}");
        }
        for (text, offset) in [
            ("Z", 1),
            ("Zg", 2),
            ("Zg=", 3),
            ("Z===", 1),
            ("Zm9*", 3),
            ("====", 0),
            ("Z=g=", 1),
            ("Zg==Zg==", 4),
            ("Zm9v=", 4),
            ("Zg===", 4),
        ] {
            assert_eq!(base64(text.as_bytes()).unwrap_err().offset, offset, "{text}");
        }
    }

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

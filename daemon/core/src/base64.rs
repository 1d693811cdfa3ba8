//! Base64 with the standard alphabet, padded: as Go writes bytes into JSON, and as PEM is made of; and
//! with the alphabet of URLs, not padded: as JOSE writes it.

use crate::secure_boot::Damaged;

/// What a text stands for. White space between letters says nothing.
///
/// # Errors
/// It is no such text, from where on.
pub(crate) fn decode(text: &[u8]) -> Result<Vec<u8>, Damaged> {
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

/// What a text in the alphabet of URLs stands for, without padding and white space (RFC 7515 section 2).
///
/// # Errors
/// It is no such text, from where on.
pub(crate) fn decode_url(text: &[u8]) -> Result<Vec<u8>, Damaged> {
    /// Of neither alphabet.
    const NO_LETTER: u8 = b'.';
    let letters = text.iter().map(|letter| match letter {
        b'-' => b'+',
        b'_' => b'/',
        b'+' | b'/' | b'=' | b' ' | b'\t' | b'\r' | b'\n' => NO_LETTER,
        other => *other,
    });
    let mut standard: Vec<_> = letters.collect();
    standard.resize(text.len().next_multiple_of(4), b'=');
    decode(&standard)
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
            assert_eq!(decode(text.as_bytes()).as_deref(), Ok(bytes), "{text}");
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
            assert_eq!(decode(text.as_bytes()).unwrap_err().offset, offset, "{text}");
        }
    }
    #[test]
    fn the_alphabet_of_urls_has_no_padding() {
        for (text, bytes) in [
            ("", &b""[..]),
            ("Zg", b"f"),
            ("Zm8", b"fo"),
            ("Zm9v", b"foo"),
            ("Zm9vYmFy", b"foobar"),
            ("-_8", b"\xfb\xff"),
        ] {
            assert_eq!(decode_url(text.as_bytes()).as_deref(), Ok(bytes), "{text}");
        }
        for (text, offset) in
            [("Z", 1), ("Zg==", 2), ("+/8", 0), ("Zm9v\n", 4), ("Zm9vZ", 5), ("Z.g", 1)]
        {
            assert_eq!(decode_url(text.as_bytes()).unwrap_err().offset, offset, "{text}");
        }
    }
}

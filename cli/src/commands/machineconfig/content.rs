//! Content of files as Ignition carries it: a `data:` URL (RFC 2397). Text stays readable in it, so that
//! two renderings can be compared; what is long is compressed; bytes are base64.

use std::io::{self, Write as _};

use flate2::{Compression, GzBuilder};

/// What is longer than this as a URL is compressed, where that makes it shorter: no page of configuration
/// and no certificate is, and nobody compares longer ones by eye.
const LONGEST_PLAIN: usize = 16 * 1024;
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Content, ready to be carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// The URL.
    pub url: String,
    /// Whether what it stands for is compressed by gzip.
    pub gzip: bool,
}

/// How content is carried.
///
/// # Errors
/// It cannot be compressed: there is no memory.
pub fn carry(content: &[u8]) -> io::Result<Carried> {
    if let Ok(text) = str::from_utf8(content) {
        let url = format!("data:,{}", percent(text));
        if url.len() <= LONGEST_PLAIN {
            return Ok(Carried { url, gzip: false });
        }
    }
    let plain = format!("data:;base64,{}", base64(content));
    if plain.len() <= LONGEST_PLAIN {
        return Ok(Carried { url: plain, gzip: false });
    }
    let packed = format!("data:;base64,{}", base64(&gzip(content)?));
    let gzip = packed.len() < plain.len();
    Ok(Carried { url: if gzip { packed } else { plain }, gzip })
}

/// Compresses, the same bytes each time: without a time or the name of a system.
///
/// # Errors
/// There is no memory.
pub fn gzip(content: &[u8]) -> io::Result<Vec<u8>> {
    const UNKNOWN_SYSTEM: u8 = 255;
    let whole = GzBuilder::new().mtime(0).operating_system(UNKNOWN_SYSTEM);
    let mut writer = whole.write(Vec::new(), Compression::best());
    writer.write_all(content)?;
    writer.finish()
}

/// Text in a URL: what RFC 3986 does not reserve, and what stands for itself in a path besides, stays.
fn percent(text: &str) -> String {
    let mut url = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/:=@,;!$&'()*+".contains(&byte) {
            url.push(char::from(byte));
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
    }
    url
}

fn base64(content: &[u8]) -> String {
    let mut text = String::with_capacity(content.len().div_ceil(3) * 4);
    for three in content.chunks(3) {
        let part = |at: usize| u32::from(three.get(at).copied().unwrap_or_default());
        let bits = part(0) << 16 | part(1) << 8 | part(2);
        for at in 0..4_usize {
            let letter = (bits >> (18 - 6 * at) & 63) as usize;
            let letter = LETTERS.get(letter).filter(|_| at <= three.len());
            text.push(letter.map_or('=', |letter| char::from(*letter)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed test is what a panic is for.

    use std::io::Read as _;

    use super::*;

    #[test]
    fn bytes_are_letters() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"foobar", "Zm9vYmFy"),
            (b"\xfb\xff", "+/8="),
        ] {
            assert_eq!(base64(bytes), text);
        }
    }

    #[test]
    fn text_stays_readable_and_bytes_are_encoded() {
        let carried = |content: &[u8]| carry(content).unwrap();
        assert_eq!(carried(b"[a]\nb = \"c\"\n").url, "data:,%5Ba%5D%0Ab%20=%20%22c%22%0A");
        assert_eq!(carried("a#b%ü".as_bytes()).url, "data:,a%23b%25%C3%BC");
        assert_eq!(carried(b"").url, "data:,");
        assert_eq!(carried(b"\xff\x00").url, "data:;base64,/wA=");
    }

    #[test]
    fn what_is_long_is_compressed_and_always_the_same() {
        let long = "# a line of a long configuration\n".repeat(1000);
        let carried = carry(long.as_bytes()).unwrap();
        assert!(carried.gzip && carried.url.len() < LONGEST_PLAIN);
        assert_eq!(carried, carry(long.as_bytes()).unwrap());
        let mut unpacked = String::new();
        let packed = gzip(long.as_bytes()).unwrap();
        flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut unpacked).unwrap();
        assert_eq!(unpacked, long);
        // Noise, as a compressed archive is: compressing it again makes it longer.
        let mut state = 1_u32;
        let noise: Vec<u8> = (0..40_000)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        assert!(!carry(&noise).unwrap().gzip);
    }
}

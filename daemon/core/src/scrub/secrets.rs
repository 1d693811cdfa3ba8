//! Secrets in text: values of what is called like one, private keys, and hashes of passwords.

/// What stands in their place.
const REMOVED: &[u8] = b"<removed>";
/// What a name of a secret ends with; letters of either case, dashes and underscores alike.
const NAMES: [&str; 14] = [
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "secret",
    "token",
    "psk",
    "pin-value",
    "pin_value",
    "api-key",
    "api_key",
    "apikey",
    "private-key",
    "private_key",
];
/// What encloses a private key of any kind in PEM.
const BEGIN: &[u8] = b"-----BEGIN ";
const PRIVATE: &[u8] = b"PRIVATE KEY-----";
const END: &[u8] = b"-----END ";
/// What hashes of passwords begin with (crypt(5)).
const HASHES: [&[u8]; 10] =
    [b"$1$", b"$2a$", b"$2b$", b"$2y$", b"$5$", b"$6$", b"$7$", b"$y$", b"$gy$", b"$sha1$"];

/// The text without them.
pub(super) fn without(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let (kept, skipped) = match rest {
            [b'-', ..] if rest.starts_with(BEGIN) => (0, private_key(rest)),
            [b'$', ..] => (0, hash(rest)),
            [first, ..] if first.is_ascii_alphabetic() => {
                let before = text.get(..at).unwrap_or_default();
                value(before, rest).map_or((0, None), |(start, end)| (start, Some(end)))
            }
            _ => (0, None),
        };
        match skipped {
            Some(end) => {
                out.extend_from_slice(rest.get(..kept).unwrap_or_default());
                out.extend_from_slice(REMOVED);
                at += end.max(1);
            }
            None => {
                out.extend(rest.first());
                at += 1;
            }
        }
    }
    out
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

/// Where a private key that begins here ends; one without an end is all of the rest.
fn private_key(text: &[u8]) -> Option<usize> {
    let line = text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len());
    let head = text.get(..line)?;
    // JSON has the whole key on one line, its line feeds as letters.
    find(head, PRIVATE)?;
    let body = find(text, END);
    let end = body.and_then(|body| {
        let tail = find(text.get(body..)?, PRIVATE)?;
        Some(body + tail + PRIVATE.len())
    });
    Some(end.unwrap_or(text.len()))
}

fn hash(text: &[u8]) -> Option<usize> {
    let begin = HASHES.iter().find(|begin| text.starts_with(begin))?;
    let rest = text.get(begin.len()..)?;
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"./$=,+-_".contains(byte);
    let length = rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len());
    (length >= 8).then_some(begin.len() + length)
}

/// Where the value of a secret begins and ends whose name's last word begins here.
fn value(before: &[u8], rest: &[u8]) -> Option<(usize, usize)> {
    let is_it = |name: &&&str| {
        rest.get(..name.len()).is_some_and(|there| there.eq_ignore_ascii_case(name.as_bytes()))
    };
    let mut at = NAMES.iter().find(is_it)?.len();
    let next = |at: usize| rest.get(at).copied();
    let quote = next(at).filter(|byte| b"\"'".contains(byte));
    at += usize::from(quote.is_some());
    let blanks = |mut at: usize| {
        while next(at).is_some_and(|byte| byte == b' ' || byte == b'\t') {
            at += 1;
        }
        at
    };
    let sign = blanks(at);
    // `--password WORD`, with a blank or, as the kernel tells command lines, a NUL between.
    let flag = || {
        let word = before.iter().rev().take_while(|byte| !b" \t\n\0\"'=".contains(byte));
        let word: Vec<u8> = word.copied().collect();
        quote.is_none()
            && word.last() == Some(&b'-')
            && next(at).is_some_and(|c| c == b' ' || c == 0)
    };
    at = match next(sign) {
        Some(b'=') => blanks(sign + 1),
        // In a sentence a colon says what follows; as a key it stands at the beginning of a line.
        Some(b':') if quote.is_some() || is_key(before) => blanks(sign + 1),
        _ if flag() => blanks(at + usize::from(next(at) == Some(0))),
        _ => return None,
    };
    let enclosed = next(at).filter(|byte| b"\"'".contains(byte));
    at += usize::from(enclosed.is_some());
    let stop = |byte: u8| match enclosed {
        Some(quote) => byte == quote || byte == b'\n',
        None => b" \t\n\r\0\"',;&".contains(&byte),
    };
    let mut end = at;
    while let Some(byte) = next(end).filter(|byte| !stop(*byte)) {
        // A quote behind a backslash is part of the value.
        end += if byte == b'\\' && enclosed.is_some() && next(end + 1).is_some() { 2 } else { 1 };
    }
    let found = rest.get(at..end.min(rest.len()))?;
    (!found.is_empty() && found != REMOVED).then_some((at, end.min(rest.len())))
}

/// Whether only a name stands before on this line.
fn is_key(before: &[u8]) -> bool {
    let line = before.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    let name = line.trim_ascii_start();
    name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

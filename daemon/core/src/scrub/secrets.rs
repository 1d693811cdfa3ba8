//! Secrets in text: values of what is called like one, private keys, hashes of passwords, and credentials in
//! addresses of services, in headers of HTTP and on the kernel's command line.

mod credentials;
#[cfg(test)]
mod tests;

/// What stands in their place.
const REMOVED: &[u8] = b"<removed>";
/// What a name of a secret ends with; letters of either case, dashes and underscores alike.
const NAMES: [&str; 15] = [
    AUTHORIZATION,
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
/// A header of HTTP: what its value begins with says how the secret behind it is made.
const AUTHORIZATION: &str = "authorization";
/// Ways of it that a single word follows.
const SCHEMES: [&str; 6] = ["basic", "bearer", "negotiate", "ntlm", "token", "apikey"];
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
        let before = text.get(..at).unwrap_or_default();
        let found = match rest {
            [b'-', ..] if rest.starts_with(BEGIN) => private_key(rest).map(|end| (0, end)),
            [b'$', ..] => hash(rest).map(|end| (0, end)),
            [b':', ..] => credentials::in_url(before, rest),
            [first, ..] if first.is_ascii_alphabetic() => value(before, rest)
                .or_else(|| credentials::of_iscsi(before, rest))
                .or_else(|| credentials::of_systemd(before, rest))
                .or_else(|| credentials::of_http(before, rest)),
            _ => None,
        };
        // What was removed before stays as it is.
        let found = found.filter(|(start, end)| {
            let found = rest.get(*start..*end).unwrap_or_default();
            !found.is_empty() && found != REMOVED
        });
        match found {
            Some((start, end)) => {
                out.extend_from_slice(rest.get(..start).unwrap_or_default());
                out.extend_from_slice(REMOVED);
                at += end;
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

/// Whether a word of any case begins there.
fn begins(text: &[u8], word: &str) -> bool {
    text.get(..word.len()).is_some_and(|there| there.eq_ignore_ascii_case(word.as_bytes()))
}

fn after_blanks(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| b" \t".contains(byte)).count()
}

/// The quote that stands there: in a text in JSON with a backslash before it.
fn quote(text: &[u8], at: usize) -> &[u8] {
    let length = match text.get(at..).unwrap_or_default() {
        [b'\\', b'"' | b'\'', ..] => 2,
        [b'"' | b'\'', ..] => 1,
        _ => 0,
    };
    text.get(at..at + length).unwrap_or_default()
}

/// Where what begins there ends that is in such a quote, or else ends at one of these.
fn end(text: &[u8], mut at: usize, enclosed: &[u8], stops: &[u8]) -> usize {
    while let Some(rest @ [first, ..]) = text.get(at..) {
        let here = quote(text, at);
        let stop = match enclosed {
            [] => stops.contains(first) || !here.is_empty(),
            // Behind a backslash a quote is part of the value, unless the other one was, too.
            [one] => first == one || *first == b'\n',
            _ => {
                here == enclosed || enclosed.ends_with(here) && !here.is_empty() || *first == b'\n'
            }
        };
        if stop {
            break;
        }
        at += match rest {
            [b'\\', _, ..] if enclosed.len() == 1 => 2,
            [b'\\', b'\\', b'\\', _, ..] if enclosed.len() == 2 => 4,
            _ => 1,
        };
    }
    at.min(text.len())
}

/// Where the value of a secret begins and ends whose name's last word begins here.
fn value(before: &[u8], rest: &[u8]) -> Option<(usize, usize)> {
    let name = *NAMES.iter().find(|name| begins(rest, name))?;
    let mut at = name.len();
    let next = |at: usize| rest.get(at).copied();
    let named = quote(rest, at);
    at += named.len();
    let sign = after_blanks(rest, at);
    // `--password WORD`, with a blank or, as the kernel tells command lines, a NUL between.
    let flag = || {
        let word = before.iter().rev().take_while(|byte| !b" \t\n\0\"'=".contains(byte));
        let word: Vec<u8> = word.copied().collect();
        named.is_empty()
            && word.last() == Some(&b'-')
            && next(at).is_some_and(|c| c == b' ' || c == 0)
    };
    let behind = after_blanks(rest, sign + 1);
    let scheme = || {
        let behind = behind + quote(rest, behind).len();
        name == AUTHORIZATION && scheme(rest, behind).is_some()
    };
    at = match next(sign) {
        Some(b'=') => behind,
        // In a sentence a colon says what follows; as a key it stands at the beginning of a line.
        Some(b':') if !named.is_empty() || is_key(before) || scheme() => behind,
        _ if flag() => after_blanks(rest, at + usize::from(next(at) == Some(0))),
        _ => return None,
    };
    let enclosed = quote(rest, at);
    at += enclosed.len();
    let mut parameters = None;
    if name == AUTHORIZATION {
        at = self::scheme(rest, at).unwrap_or(at);
        parameters = self::parameters(rest, at);
    }
    let end = match parameters {
        // What has the rest of a line to itself may be several words.
        _ if enclosed.is_empty() && is_key(before) && next(sign) == Some(b':') => {
            let line = rest.get(at..)?;
            at + line.iter().position(|byte| b"\n\r\0".contains(byte)).unwrap_or(line.len())
        }
        Some(end) => end,
        None => end(rest, at, enclosed, b" \t\n\r\0,;&"),
    };
    Some((at, end))
}

/// Where what follows the name of a way to authorize begins: one that is known to have a word behind it, or
/// any with parameters.
fn scheme(text: &[u8], at: usize) -> Option<usize> {
    let rest = text.get(at..)?;
    let known = SCHEMES.iter().find(|scheme| begins(rest, scheme)).map(|scheme| scheme.len());
    let start = |length: usize| {
        let start = after_blanks(text, at + length);
        (start > at + length).then_some(start)
    };
    let any = || {
        let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'-';
        let length = rest.iter().take_while(is_part).count();
        let start = start(length).filter(|_| length > 0)?;
        let has = parameters(text, start).is_some()
            || text.get(start..).is_some_and(|rest| rest.starts_with(REMOVED));
        has.then_some(start)
    };
    known.and_then(start).or_else(any)
}

/// Where a list of parameters ends that begins there: `name=value`, quoted or not, with commas between
/// (RFC 9110 section 11.4). None where there is none.
fn parameters(text: &[u8], at: usize) -> Option<usize> {
    let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || b"-_*".contains(byte);
    let mut next = at;
    let mut end = None;
    loop {
        let name = text.get(next..)?.iter().take_while(is_part).count();
        // One equals sign: with two it is padding of a word.
        let sign = next + name;
        let value = sign + 1;
        let has_value = text.get(value).is_some_and(|byte| !b"= \t\r\n\0,".contains(byte));
        if name == 0 || text.get(sign) != Some(&b'=') || !has_value {
            return end;
        }
        let mark = quote(text, value);
        let inner = value + mark.len();
        let stop = self::end(text, inner, mark, b" \t\n\r\0,;");
        let closed =
            !mark.is_empty() && text.get(stop..).is_some_and(|rest| rest.starts_with(mark));
        let stop = if closed { stop + mark.len() } else { stop };
        end = Some(stop);
        let comma = after_blanks(text, stop);
        if text.get(comma) != Some(&b',') {
            return end;
        }
        next = after_blanks(text, comma + 1);
    }
}

/// Whether only a name stands before on this line.
fn is_key(before: &[u8]) -> bool {
    let line = before.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    let name = line.trim_ascii_start();
    name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

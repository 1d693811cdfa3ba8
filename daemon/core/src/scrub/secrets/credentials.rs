//! Credentials that no name tells, but the form that they are in. Each function is told the text from a place
//! on, and what stands before it, and says where a credential begins and ends.

use super::{after_blanks, begins, end, find, quote};
use crate::base64;

/// What ends a word wherever it stands.
const WORD: &[u8] = b" \t\n\r\0<>";
/// Names of credentials of systemd, what stands behind the name and what behind the credential's own:
/// on the kernel's command line (systemd.system-credentials(7)), for programs (systemd-run(1)), in a unit
/// (systemd.exec(5)), and as the firmware has them.
const SYSTEMD: [(&str, u8, u8); 4] = [
    ("set_credential", b'=', b':'),
    ("set-credential", b'=', b':'),
    ("setcredential", b'=', b':'),
    ("systemd.credential", b':', b'='),
];
/// A shorter word of small letters alone behind "bearer" is one of a sentence.
const SHORTEST_TOKEN: usize = 8;

/// `scheme://USER:PASSWORD@host`: all before the host, as a token may stand for the user.
pub(super) fn in_url(before: &[u8], rest: &[u8]) -> Option<(usize, usize)> {
    const START: &[u8] = b"://";
    if !rest.starts_with(START) || !before.last()?.is_ascii_alphanumeric() {
        return None;
    }
    let word = rest.get(START.len()..end(rest, START.len(), &[], WORD))?;
    let is_end = |byte: &u8| b"/?#".contains(byte);
    let authority = word.split(is_end).next()?;
    let last = |text: &[u8]| text.iter().rposition(|byte| *byte == b'@');
    // A password may hold such an end though none may stand there.
    let is_host = || {
        let port = authority.iter().position(|byte| *byte == b':');
        let port = port.and_then(|colon| authority.get(colon + 1..)).unwrap_or_default();
        authority.starts_with(b"[") || port.iter().all(u8::is_ascii_digit)
    };
    let length = last(authority).or_else(|| if is_host() { None } else { last(word) })?;
    Some((START.len(), START.len() + length))
}

/// `iscsi:USER:PASSWORD@host`, as dracut has it (dracut.cmdline(7)).
pub(super) fn of_iscsi(before: &[u8], rest: &[u8]) -> Option<(usize, usize)> {
    const START: &str = "iscsi:";
    if !begins(rest, START) || before.last().is_some_and(u8::is_ascii_alphanumeric) {
        return None;
    }
    let word = rest.get(START.len()..end(rest, START.len(), &[], WORD))?;
    let length = word.iter().rposition(|byte| *byte == b'@')?;
    Some((START.len(), START.len() + length))
}

/// What is given to a service as a credential.
pub(super) fn of_systemd(before: &[u8], rest: &[u8]) -> Option<(usize, usize)> {
    let (name, sign, colon) = SYSTEMD.iter().find(|(name, ..)| begins(rest, name))?;
    let tail = rest.get(name.len()..)?;
    // Such as `_binary` and `Encrypted`.
    let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || b"_-.".contains(byte);
    let mut at = name.len() + tail.iter().take_while(is_part).count();
    at += match rest.get(at)? {
        byte if byte == sign => 1,
        // As another word, also of a command line as the kernel tells it.
        b' ' | b'\0' if before.ends_with(b"-") => 1,
        _ => return None,
    };
    let mut enclosed = quote(rest, at);
    at += enclosed.len();
    let own = end(rest, at, &[], b" \t\n\r\0:=");
    if rest.get(own) != Some(colon) {
        return None;
    }
    let start = own + 1;
    let word = before.iter().rposition(|byte| !is_part(&byte)).unwrap_or_default();
    if enclosed.is_empty() {
        // The quote may stand before all of it.
        let open = quote(before, word);
        let escaped =
            word.checked_sub(1).map(|at| quote(before, at)).filter(|mark| mark.len() == 2);
        enclosed = escaped.unwrap_or(open);
    }
    // In a unit the value is the rest of the line.
    let stops: &[u8] = if *name == "setcredential" { b"\n\r\0" } else { b" \t\n\r\0" };
    Some((start, end(rest, start, enclosed, stops)))
}

/// `Bearer TOKEN` and `Basic` with a name and a password, wherever they stand (RFC 6750, RFC 7617).
pub(super) fn of_http(before: &[u8], rest: &[u8]) -> Option<(usize, usize)> {
    if before.last().is_some_and(u8::is_ascii_alphanumeric) {
        return None;
    }
    let is_bearer = begins(rest, "bearer");
    let name = if is_bearer { "bearer".len() } else { "basic".len() };
    let start = after_blanks(rest, name);
    if !(is_bearer || begins(rest, "basic")) || start == name {
        return None;
    }
    let end = end(rest, start, &[], b" \t\n\r\0,;&");
    let word = rest.get(start..end)?;
    let is_plain = || word.iter().all(|byte| byte.is_ascii_lowercase() || b".:".contains(byte));
    let is_secret = if is_bearer {
        word.len() >= SHORTEST_TOKEN || !is_plain()
    } else {
        base64::decode(word).is_ok_and(|pair| find(&pair, b":").is_some())
    };
    is_secret.then_some((start, end))
}

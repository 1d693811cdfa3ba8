//! The password that is asked for at the console: one that MokManager can be told, which reads every
//! keyboard as a US one. It leaves this program as its hash only; openssl makes that and reads the
//! password from its standard input.

use std::ffi::OsStr;
use std::fmt;
use std::hint::black_box;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use onload_core::secure_boot::request::crypt;
use onload_dbus::error::Kind;
use rustix::rand::{GetRandomFlags, getrandom};

use super::{aside, file_fault, openssl, shown};
use crate::ended::Complaint;

/// Longest password of MokManager, in characters (`reference/secure-boot-mok.md` section 3); that of
/// `openssl passwd` is the same.
pub const LONGEST: usize = 256;
/// Letters that are on the same keys of US, German and French keyboards, without the one that looks
/// like a digit.
const ALIKE: &[u8] = b"bcdefghijknoprstuvx";
/// So many of those letters have 67 bits: nobody guesses them at the console, which takes three tries.
const GENERATED: usize = 16;
/// Random bytes asked for at once: most are used.
const RANDOM: usize = 2 * GENERATED;

/// Text that is overwritten once nobody needs it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// With room for so many bytes. More would leave a copy behind.
    pub fn with_room(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Takes bytes over.
    pub fn of(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Adds a byte, as long as there is room: whether there was.
    pub fn push(&mut self, byte: u8) -> bool {
        let room = self.0.len() < self.0.capacity();
        if room {
            self.0.push(byte);
        }
        room
    }

    /// What it is.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// What it is; empty where it is no text.
    pub fn text(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.fill(0);
        // Or the compiler would see that nobody reads it any more.
        black_box(&self.0);
    }
}

/// It is shown to nobody, in no dump either.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Why a password cannot be typed at the console, or one typed on any keyboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It has no character, or too many.
    Length,
    /// It has a character that a US keyboard has not.
    Foreign,
}

impl Fault {
    /// Why.
    pub fn why(self) -> String {
        match self {
            Self::Length => format!("a password for MokManager has 1 to {LONGEST} characters"),
            Self::Foreign => {
                "it has characters that a US keyboard has not, and MokManager reads every keyboard as one".into()
            }
        }
    }
}

/// Whether MokManager can be told it.
///
/// # Errors
/// It cannot.
pub fn check(password: &Secret) -> Result<(), Fault> {
    let is_on_keys = |byte: &u8| matches!(byte, b' '..=b'~');
    let bytes = password.bytes();
    // Before the length: a letter of another alphabet is not one byte.
    if !bytes.iter().all(is_on_keys) {
        return Err(Fault::Foreign);
    }
    if bytes.is_empty() || bytes.len() > LONGEST {
        return Err(Fault::Length);
    }
    Ok(())
}

/// Whether other keyboards than a US one have some of its characters on other keys.
pub fn is_of_one_keyboard(password: &Secret) -> bool {
    let alike = |byte: &u8| {
        let letter = byte.to_ascii_lowercase();
        ALIKE.contains(&letter) || letter == b'l' || letter == b' '
    };
    !password.bytes().iter().all(alike)
}

/// Makes one that all keyboards type alike.
///
/// # Errors
/// The system has no random numbers to give.
pub fn generate() -> io::Result<Secret> {
    let mut password = Secret::with_room(GENERATED);
    let mut random = [0; RANDOM];
    while password.bytes().len() < GENERATED {
        let filled = getrandom(&mut random, GetRandomFlags::empty())?;
        for byte in random.iter().take(filled) {
            if let Some(letter) = letter(*byte)
                && !password.push(letter)
            {
                break;
            }
        }
    }
    random.fill(0);
    black_box(&random);
    Ok(password)
}

/// The letter of a random byte; none for the last few, which would make some letters likelier.
fn letter(byte: u8) -> Option<u8> {
    let byte = usize::from(byte);
    let fair = (usize::from(u8::MAX) + 1) / ALIKE.len() * ALIKE.len();
    (byte < fair).then(|| ALIKE.get(byte % ALIKE.len()).copied()).flatten()
}

/// Hashes it as crypt(3) does by SHA-512, with a salt of openssl's choice.
///
/// # Errors
/// openssl is not there, or does not do it.
pub async fn hash(password: &Secret, what: &str) -> Result<Secret, Complaint> {
    let mut line = Secret::with_room(LONGEST + 1);
    for byte in password.bytes().iter().chain(b"\n") {
        line.push(*byte);
    }
    let words = ["passwd", "-6", "-stdin"].map(OsStr::new);
    let mut said = openssl::run(what, &words, Some(line.bytes())).await?;
    let hash = Secret::of(std::mem::take(&mut said.out));
    if !said.success || crypt::parse(hash.text()).is_err() {
        let why = format!("openssl did not hash the password: {}", said.last_words());
        let fix =
            "see whether `openssl passwd -6` works here; or hash it elsewhere and use --hash-file";
        return Err(Complaint::of(Kind::Internal, what, why, fix));
    }
    Ok(hash)
}

/// Reads the hash of one from the first line of a file. With it a warning, where others may read the
/// file as well.
///
/// # Errors
/// The file cannot be read, or has no hash that shim can check. What it has is not repeated.
pub async fn read_hash(path: &Path, what: &str) -> Result<(Secret, Option<String>), Complaint> {
    let from = path.to_owned();
    let read = aside(move || openssl::first_line(&from)).await;
    let (line, about) = read.map_err(|error| file_fault(what, "cannot be read", path, &error))?;
    let hash = Secret::of(line);
    match crypt::parse(hash.text()) {
        Ok(_) => {
            let open = about.is_file() && about.permissions().mode() & 0o077 != 0;
            let said = "can be read by others than its owner, who can guess at the password";
            Ok((hash, open.then(|| format!("{} {said}", shown(path)))))
        }
        Err(unusable) => {
            let why = format!("the first line of {} is no hash for it: {unusable}", shown(path));
            Err(Complaint::of(Kind::InvalidArgument, what, why, unusable.fix()))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed test is what a panic is for.

    use std::collections::BTreeSet;

    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::of(text.into())
    }

    #[test]
    fn mok_manager_can_be_told_it() {
        for good in ["x", "a b", "Tr0ub4dor&3~", &"x".repeat(LONGEST)] {
            assert_eq!(check(&secret(good)), Ok(()), "{good}");
        }
        for (wrong, why) in [
            ("", Fault::Length),
            (&*"x".repeat(LONGEST + 1), Fault::Length),
            ("größe", Fault::Foreign),
            ("a\tb", Fault::Foreign),
            ("a\u{1b}[A", Fault::Foreign),
            ("a\u{7f}", Fault::Foreign),
        ] {
            assert_eq!(check(&secret(wrong)), Err(why), "{wrong}");
            assert!(wrong.is_empty() || !why.why().contains(wrong));
        }
    }

    #[test]
    fn what_other_keyboards_have_elsewhere_is_noticed() {
        for alike in ["bcd", "hello robin", "HELLO"] {
            assert!(!is_of_one_keyboard(&secret(alike)), "{alike}");
        }
        for other in ["xyz", "Zoo", "a", "quick", "me", "b-c", "b1", "b/c"] {
            assert!(is_of_one_keyboard(&secret(other)), "{other}");
        }
    }

    #[test]
    fn what_is_made_can_be_typed_and_is_another_each_time() {
        let made: Vec<_> = (0..64).map(|_| generate().unwrap()).collect();
        let texts: BTreeSet<_> = made.iter().map(|one| one.text().to_owned()).collect();
        assert_eq!(texts.len(), made.len());
        for one in &made {
            assert_eq!((one.text().len(), check(one)), (GENERATED, Ok(())));
            assert!(!is_of_one_keyboard(one));
        }
        let letters: BTreeSet<_> = texts.iter().flat_map(|text| text.bytes()).collect();
        assert_eq!(letters.len(), ALIKE.len(), "each letter comes");
        let bits = f64::from(u32::try_from(ALIKE.len()).unwrap()).log2() * 16.0;
        assert!(bits > 60.0, "{bits}");
        let each: Vec<_> = (0..=u8::MAX).filter_map(letter).collect();
        assert_eq!(each.len() % ALIKE.len(), 0, "none is likelier");
    }

    #[test]
    fn a_secret_shows_itself_nowhere_and_grows_nowhere() {
        let mut secret = Secret::with_room(4);
        let room = secret.0.capacity();
        let taken = (0..=room).filter(|_| secret.push(b'x')).count();
        assert_eq!((taken, secret.0.capacity()), (room, room));
        assert!(!format!("{secret:?}").contains('x') && !format!("{secret:?}").contains("120"));
        assert_eq!(Secret::of(vec![0xff]).text(), "");
    }
}

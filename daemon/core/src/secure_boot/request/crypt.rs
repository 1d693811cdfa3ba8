//! Passwords as crypt(3) writes them, read for shim: it stores the digest itself, which crypt(3) shows in
//! an alphabet and an order of its own (`reference/secure-boot-mok.md` section 3).
//!
//! Nothing that is refused is repeated: it may be somebody's hash, or a password in the clear.

use super::{Method, PasswordHash};

/// What crypt(3) counts where a text names no rounds.
const ROUNDS: u64 = 5000;
/// crypt(3) moves other numbers into this range before it counts.
const POSSIBLE_ROUNDS: std::ops::RangeInclusive<u64> = 1000..=999_999_999;
/// Of a longer salt crypt(3) uses and shows no more.
const SALT_CHARACTERS: std::ops::RangeInclusive<usize> = 1..=16;
/// Digits of crypt(3), by their value.
const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Ways to hash a password that shim does not have, or that are too weak for what it guards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `$y$`, what distributions use for logins.
    Yescrypt,
    /// `$gy$`
    GostYescrypt,
    /// `$7$`
    Scrypt,
    /// `$2a$`, `$2b$`, `$2x$`, `$2y$`
    Bcrypt,
    /// `$1$`
    Md5,
    /// `$md5`
    SunMd5,
    /// `$sha1$`
    Sha1,
    /// `$3$`
    Nt,
    /// Thirteen digits.
    Des,
    /// An underscore and nineteen digits.
    ExtendedDes,
}

impl Scheme {
    fn of(text: &str) -> Option<Self> {
        let digits = |text: &str| text.bytes().all(|byte| ALPHABET.contains(&byte));
        let known = [
            ("$y$", Self::Yescrypt),
            ("$gy$", Self::GostYescrypt),
            ("$7$", Self::Scrypt),
            ("$2a$", Self::Bcrypt),
            ("$2b$", Self::Bcrypt),
            ("$2x$", Self::Bcrypt),
            ("$2y$", Self::Bcrypt),
            ("$1$", Self::Md5),
            ("$md5", Self::SunMd5),
            ("$sha1$", Self::Sha1),
            ("$3$", Self::Nt),
        ];
        let named = known.into_iter().find(|(prefix, _)| text.starts_with(prefix));
        named.map(|(_, scheme)| scheme).or_else(|| match text.strip_prefix('_') {
            Some(rest) => (rest.len() == 19 && digits(rest)).then_some(Self::ExtendedDes),
            None => (text.len() == 13 && digits(text)).then_some(Self::Des),
        })
    }

    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Yescrypt => "yescrypt ($y$)",
            Self::GostYescrypt => "gost-yescrypt ($gy$)",
            Self::Scrypt => "scrypt ($7$)",
            Self::Bcrypt => "bcrypt ($2$)",
            Self::Md5 => "MD5 ($1$)",
            Self::SunMd5 => "Sun's MD5 ($md5)",
            Self::Sha1 => "SHA-1 ($sha1$)",
            Self::Nt => "NT ($3$)",
            Self::Des => "DES",
            Self::ExtendedDes => "extended DES (_)",
        }
    }
}

/// Why a text cannot be used as the hash of a password for shim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// It is of another kind.
    #[error("it is made by {}, and shim takes SHA-512 ($6$) or SHA-256 ($5$)", .0.name())]
    Scheme(Scheme),
    /// It is of no kind that is known.
    #[error("it does not begin as SHA-512 ($6$) or SHA-256 ($5$) of crypt(3) does")]
    Unknown,
    /// Its rounds are none.
    #[error("its rounds are no number from 1000 to 999999999")]
    Rounds,
    /// Its salt is none.
    #[error("its salt has not 1 to 16 characters")]
    Salt,
    /// What stands behind the salt is no digest.
    #[error("behind its salt there are not the {digits} digits (./0-9A-Za-z) of a digest")]
    Digest {
        /// How many there should be.
        digits: usize,
    },
}

impl Unusable {
    /// What did not happen.
    pub fn what(self) -> &'static str {
        "the password's hash cannot be used"
    }

    /// What to do.
    pub fn fix(self) -> &'static str {
        "make one with `openssl passwd -6`, which asks for the password (`mokutil --generate-hash` does as well); it is one line and begins with $6$"
    }
}

/// Reads one line as `openssl passwd -6` or `mokutil --generate-hash` prints it, or as it stands in the
/// file that `mokutil --hash-file` takes.
///
/// # Errors
/// It is something else; which scheme is said, what it says is not.
pub fn parse(text: &str) -> Result<PasswordHash, Unusable> {
    let text = text.trim_end_matches(['\n', '\r', ' ']);
    let (method, rest) = if let Some(rest) = text.strip_prefix("$6$") {
        (Method::Sha512, rest)
    } else if let Some(rest) = text.strip_prefix("$5$") {
        (Method::Sha256, rest)
    } else {
        return Err(Scheme::of(text).map_or(Unusable::Unknown, Unusable::Scheme));
    };
    let (rounds, rest) = match rest.strip_prefix("rounds=") {
        None => (ROUNDS, rest),
        Some(rest) => {
            let (number, rest) = rest.split_once('$').ok_or(Unusable::Rounds)?;
            (rounds(number).ok_or(Unusable::Rounds)?, rest)
        }
    };
    let (salt, digits) = rest.split_once('$').ok_or(Unusable::Salt)?;
    let printed = |byte: u8| byte.is_ascii_graphic() && byte != b':';
    if !SALT_CHARACTERS.contains(&salt.len()) || !salt.bytes().all(printed) {
        return Err(Unusable::Salt);
    }
    let groups = if method == Method::Sha512 { sha512_order() } else { sha256_order() };
    let digits_there = groups.iter().map(|group| group.len().saturating_add(1)).sum();
    let hash = digest(digits.as_bytes(), &groups);
    let hash = hash.ok_or(Unusable::Digest { digits: digits_there })?;
    Ok(PasswordHash::Crypt { method, rounds, salt: salt.as_bytes().to_vec(), hash })
}

fn rounds(number: &str) -> Option<u64> {
    // A sign is no digit, though numbers parse with one.
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse().ok().filter(|rounds| digits && POSSIBLE_ROUNDS.contains(rounds))
}

/// Which bytes of the digest stand together, the highest first: three at a time, a third of the digest
/// apart, beginning with the next third in each group, and one byte that is left over (the
/// specification of SHA-crypt, step 22).
fn sha512_order() -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = (0..21)
        .map(|first| {
            let mut group = [first, first + 21, first + 42];
            group.rotate_left(first % 3);
            group.to_vec()
        })
        .collect();
    groups.push(vec![63]);
    groups
}

/// The same with the former third in each group, and two bytes that are left over.
fn sha256_order() -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = (0..10)
        .map(|first| {
            let mut group = [first, first + 10, first + 20];
            group.rotate_right(first % 3);
            group.to_vec()
        })
        .collect();
    groups.push(vec![31, 30]);
    groups
}

/// The digest, with zeros behind it. Each group has a digit more than it has bytes, the lowest first.
fn digest(digits: &[u8], groups: &[Vec<usize>]) -> Option<Box<[u8; 128]>> {
    let mut hash = Box::new([0_u8; 128]);
    let mut rest = digits;
    for group in groups {
        let own;
        (own, rest) = rest.split_at_checked(group.len().checked_add(1)?)?;
        let mut bits = own.iter().rev().try_fold(0_u32, |bits, digit| {
            let value = ALPHABET.iter().position(|one| one == digit)?;
            Some(bits << 6 | u32::try_from(value).ok()?)
        })?;
        for place in group.iter().rev() {
            *hash.get_mut(*place)? = u8::try_from(bits & 0xff).ok()?;
            bits >>= 8;
        }
        if bits != 0 {
            return None;
        }
    }
    rest.is_empty().then_some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secure_boot::unhex;

    /// What `openssl passwd -6` made of a password, and the same packed by a script of its own.
    const CRYPT: &str = include_str!("../../../../../tests/secure-boot/auth.txt");
    const AUTH: &[u8] = include_bytes!("../../../../../tests/secure-boot/auth.bin");
    /// By crypt(3); the digest as `mokutil --import` stored it.
    const SHA256: &str = "$5$rounds=1000$abcdefghijkl$DFL32L8LAN9G2V5eZOSdE2s/rj1u/qrUo18LRiLlq3/";
    const SHA256_DIGEST: &str = "15a54ca8e610e87df4c574c44878a5073b815c7b4f5cb644a581f783a09d7611";

    #[test]
    fn digests_are_stored_as_mokutil_stores_them() {
        assert_eq!(parse(CRYPT).unwrap().to_bytes(), AUTH);
        let parsed = parse(SHA256).unwrap();
        let PasswordHash::Crypt { method, rounds, salt, hash } = &parsed else {
            panic!("{parsed:?}")
        };
        assert_eq!((*method, *rounds, &salt[..]), (Method::Sha256, 1000, &b"abcdefghijkl"[..]));
        assert_eq!(hash[..32], unhex(SHA256_DIGEST).unwrap());
        assert_eq!(hash[32..], [0; 96]);
    }

    #[test]
    fn every_byte_has_its_place() {
        for (groups, size) in [(sha512_order(), 64), (sha256_order(), 32)] {
            let mut places: Vec<_> = groups.into_iter().flatten().collect();
            places.sort_unstable();
            assert_eq!(places, (0..size).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_is_refused_is_called_by_its_name() {
        for (text, why) in [
            (
                "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$tnSYvahCwPBHKZUspmcxMfb0.WiB9W.zEaKlOBL35rC",
                "yescrypt",
            ),
            ("$gy$j9T$abc$def", "gost-yescrypt"),
            ("$7$CU..../....abc$def", "scrypt"),
            ("$2b$10$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuabcdefghij", "bcrypt"),
            ("$1$abcdefgh$0123456789abcdefghijk.", "MD5 ($1$)"),
            ("$md5,rounds=5000$abc$$def", "Sun's MD5"),
            ("$sha1$40000$abc$def", "SHA-1"),
            ("$3$$8846f7eaee8fb117ad06bdd830b7586c", "NT"),
            ("ab0123456789.", "by DES"),
            ("_J9..rasmBYk8r9AiWNc", "extended DES"),
            ("hunter2", "does not begin"),
            ("!", "does not begin"),
            ("root:$6$abc$def:1::::::", "does not begin"),
            ("", "does not begin"),
            ("$6$", "salt"),
            ("$6$$abc", "salt"),
            ("$6$abcdefghijklmnopq$abc", "salt"),
            ("$6$a b$abc", "salt"),
            ("$6$rounds=999$abc$def", "rounds"),
            ("$6$rounds=1000000000$abc$def", "rounds"),
            ("$6$rounds=+5000$abc$def", "rounds"),
            ("$6$rounds=5000", "rounds"),
            ("$6$abc$def", "86 digits"),
            ("$5$abc$def", "43 digits"),
        ] {
            let refused = parse(text).unwrap_err();
            assert!(refused.to_string().contains(why), "{text}: {refused}");
            assert!(refused.fix().contains("openssl passwd -6") && !refused.what().is_empty());
        }
        // One digit more, less, foreign, and one that has bits of no byte.
        let whole = SHA256.len();
        for text in [
            format!("{SHA256}."),
            SHA256[..whole - 1].to_owned(),
            SHA256.replace("DFL3", "DF-3"),
            format!("{}z", &SHA256[..whole - 1]),
        ] {
            assert_eq!(parse(&text), Err(Unusable::Digest { digits: 43 }), "{text}");
        }
    }

    #[test]
    fn nothing_of_it_is_repeated() {
        let secret = "$6$saltsaltsalt$hunter2hunter2";
        let refused = parse(secret).unwrap_err();
        let told = format!("{refused} {refused:?} {} {}", refused.what(), refused.fix());
        let parsed = format!("{:?}", parse(CRYPT).unwrap());
        for said in [told, parsed] {
            assert!(!said.contains("hunter2") && !said.contains("saltsalt"), "{said}");
            assert!(!said.contains("0123456789abcdef"), "{said}");
        }
    }
}

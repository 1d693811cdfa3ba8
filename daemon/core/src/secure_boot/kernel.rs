//! What the kernel says of how closely it looks at modules: lockdown, `sig_enforce`, taints
//! (`reference/secure-boot-mok.md` section 7) and how it was configured.

use std::fmt;

use super::Damaged;

pub mod config;

/// How far even root is kept from changing the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lockdown {
    /// Not at all.
    None,
    /// It may not be changed; modules must be signed.
    Integrity,
    /// And what is secret in it may not be read.
    Confidentiality,
}

impl Lockdown {
    /// Reads `/sys/kernel/security/lockdown`, in which the one that holds stands in brackets.
    ///
    /// # Errors
    /// None of the known ones does.
    pub fn parse(text: &[u8]) -> Result<Self, Damaged> {
        let expected = "none, integrity or confidentiality in brackets";
        let begin = text.iter().position(|byte| *byte == b'[').unwrap_or(text.len());
        let word = text.get(begin..).unwrap_or_default();
        let end = word.iter().position(|byte| *byte == b']').map(|end| end.saturating_add(1));
        match end.and_then(|end| word.get(..end)) {
            Some(b"[none]") => Ok(Self::None),
            Some(b"[integrity]") => Ok(Self::Integrity),
            Some(b"[confidentiality]") => Ok(Self::Confidentiality),
            Some(_) | None => Err(Damaged { offset: begin, expected }),
        }
    }
}

/// Whether the kernel refuses modules whose signature it does not trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enforcement {
    /// It refuses them, until the next boot.
    Refused,
    /// It takes them, and is tainted.
    Taken,
}

impl Enforcement {
    /// Reads `/sys/module/module/parameters/sig_enforce`.
    ///
    /// # Errors
    /// It is neither `Y` nor `N`.
    pub fn parse(text: &[u8]) -> Result<Self, Damaged> {
        match text.strip_suffix(b"\n").unwrap_or(text) {
            b"Y" => Ok(Self::Refused),
            b"N" => Ok(Self::Taken),
            _ => Err(Damaged { offset: 0, expected: "Y or N" }),
        }
    }
}

/// Whether no module can be loaded or unloaded any more until the next boot: reads
/// `/proc/sys/kernel/modules_disabled`.
///
/// # Errors
/// It is neither 0 nor 1.
pub fn modules_disabled(text: &[u8]) -> Result<bool, Damaged> {
    match text.strip_suffix(b"\n").unwrap_or(text) {
        b"0" => Ok(false),
        b"1" => Ok(true),
        _ => Err(Damaged { offset: 0, expected: "0 or 1" }),
    }
}

/// A taint, by its letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Taint {
    /// Its bit in `/proc/sys/kernel/tainted`.
    pub bit: u32,
    /// Its letter there and in `/sys/module/NAME/taint`.
    pub letter: char,
    /// Whether it comes from a module: how it was loaded or unloaded, and what it is.
    pub from_module: bool,
}

const fn taint(bit: u32, letter: char, from_module: bool) -> Taint {
    Taint { bit, letter, from_module }
}

/// Bits are those of the kernel's `include/linux/panic.h`; the last came after 6.1.
const TAINTS: [Taint; 20] = [
    taint(0, 'P', true),
    taint(1, 'F', true),
    taint(2, 'S', false),
    taint(3, 'R', true),
    taint(4, 'M', false),
    taint(5, 'B', false),
    taint(6, 'U', false),
    taint(7, 'D', false),
    taint(8, 'A', false),
    taint(9, 'W', false),
    taint(10, 'C', true),
    taint(11, 'I', false),
    taint(12, 'O', true),
    taint(13, 'E', true),
    taint(14, 'L', false),
    taint(15, 'K', true),
    taint(16, 'X', true),
    taint(17, 'T', false),
    taint(18, 'N', true),
    taint(19, 'J', false),
];

/// What has happened to the kernel, or what a module has done to it. It stays until the next boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taints(pub u64);

impl Taints {
    /// A module was loaded by force.
    pub const FORCED: Self = Self(1 << 1);
    /// A module from outside the kernel's tree.
    pub const OUT_OF_TREE: Self = Self(1 << 12);
    /// A module whose signature is not trusted, or that has none.
    pub const UNSIGNED: Self = Self(1 << 13);

    /// Reads `/proc/sys/kernel/tainted`.
    ///
    /// # Errors
    /// It is no number of at most 64 bits.
    pub fn parse(text: &[u8]) -> Result<Self, Damaged> {
        let digits = text.strip_suffix(b"\n").unwrap_or(text);
        let wrong = digits.iter().position(|byte| !byte.is_ascii_digit());
        let damaged = Damaged { offset: wrong.unwrap_or(0), expected: "a decimal number" };
        let number = str::from_utf8(digits).ok().filter(|_| wrong.is_none());
        number.and_then(|number| number.parse().ok()).map(Self).ok_or(damaged)
    }

    /// Reads `/sys/module/NAME/taint`.
    ///
    /// # Errors
    /// One of the letters is not known.
    pub fn of_module(text: &[u8]) -> Result<Self, Damaged> {
        let letters = text.strip_suffix(b"\n").unwrap_or(text);
        letters.iter().enumerate().try_fold(Self(0), |all, (offset, byte)| {
            let known = TAINTS.iter().find(|one| one.letter == char::from(*byte));
            let known = known.ok_or(Damaged { offset, expected: "the letter of a taint" })?;
            Ok(Self(all.0 | 1 << known.bit))
        })
    }

    /// Whether all of these are among them.
    pub fn have(self, wanted: Self) -> bool {
        self.0 & wanted.0 == wanted.0
    }

    /// Those that are known.
    pub fn known(self) -> impl Iterator<Item = Taint> {
        TAINTS.into_iter().filter(move |one| self.0 >> one.bit & 1 == 1)
    }

    /// Those that come from modules, and no others.
    pub fn from_modules(self) -> Self {
        let of_modules = self.known().filter(|one| one.from_module);
        Self(of_modules.fold(0, |all, one| all | 1 << one.bit))
    }

    /// Bits that have no letter: of a newer kernel, or of a distribution.
    pub fn unknown(self) -> u64 {
        TAINTS.iter().fold(self.0, |rest, one| rest & !(1 << one.bit))
    }
}

impl fmt::Display for Taints {
    /// The letters, in their order.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.known().try_for_each(|one| write!(f, "{}", one.letter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lockdown_stands_in_brackets() {
        let parse = |text: &str| Lockdown::parse(text.as_bytes());
        assert_eq!(parse("[none] integrity confidentiality\n"), Ok(Lockdown::None));
        assert_eq!(parse("none [integrity] confidentiality\n"), Ok(Lockdown::Integrity));
        assert_eq!(parse("none integrity [confidentiality]"), Ok(Lockdown::Confidentiality));
        for (text, offset) in [("", 0), ("none integrity", 14), ("none [all]", 5), ("[none", 0)] {
            assert_eq!(parse(text).unwrap_err().offset, offset, "{text}");
        }
    }

    #[test]
    fn enforcement_is_one_letter() {
        assert_eq!(Enforcement::parse(b"Y\n"), Ok(Enforcement::Refused));
        assert_eq!(Enforcement::parse(b"N"), Ok(Enforcement::Taken));
        for text in ["", "y\n", "1\n", "Y\n\n", "YN"] {
            assert!(Enforcement::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn modules_are_disabled_by_a_digit() {
        assert_eq!(modules_disabled(b"0\n"), Ok(false));
        assert_eq!(modules_disabled(b"1"), Ok(true));
        for text in ["", "2\n", "Y\n", "1\n\n", "01"] {
            assert!(modules_disabled(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn taints_are_letters_and_bits() {
        let unsigned = Taints::parse(b"12800\n").unwrap();
        assert_eq!(unsigned.to_string(), "WOE");
        assert_eq!(unsigned.from_modules(), Taints::of_module(b"OE\n").unwrap());
        assert!(unsigned.have(Taints::UNSIGNED) && unsigned.have(Taints::OUT_OF_TREE));
        assert!(!unsigned.have(Taints::FORCED));
        assert_eq!(Taints::parse(b"0\n").unwrap().to_string(), "");
        assert_eq!(Taints::of_module(b"\n"), Ok(Taints(0)));
        let all = Taints(u64::MAX);
        assert_eq!(all.to_string(), "PFSRMBUDAWCIOELKXTNJ");
        assert_eq!(all.unknown(), u64::MAX << 20);
        for (text, offset) in [("", 0), ("12x", 2), ("-1", 0), ("18446744073709551616", 0)] {
            assert_eq!(Taints::parse(text.as_bytes()).unwrap_err().offset, offset, "{text}");
        }
        assert_eq!(Taints::of_module(b"O?").unwrap_err().offset, 1);
    }

    #[test]
    fn each_taint_has_its_own_bit() {
        for (place, one) in TAINTS.iter().enumerate() {
            assert_eq!(usize::try_from(one.bit).unwrap(), place);
        }
    }
}

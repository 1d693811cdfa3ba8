//! Modes of files. Ignition has them as plain numbers, and JSON has no octal ones: 0644 is written 420.
//! The existing template mixes both forms (`reference/kubernetes-onload.md` section 3.2), so here only
//! this type holds a mode, and only it knows how one is written.

use crate::ended::Complaint;
use crate::render::paint::plain;

use super::refuse;

/// What a file may be given. Not set-uid, set-gid and sticky: the machine-config operator gives them to no
/// file of a node that runs, and Butane's `openshift` refuses them.
const ALL: u32 = 0o777;

/// The mode of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mode(u32);

impl Mode {
    /// Everybody reads it.
    pub const COMMON: Self = Self(0o644);
    /// Only its owner reads it.
    pub const SECRET: Self = Self(0o600);
    /// Everybody runs it.
    pub const PROGRAM: Self = Self(0o755);

    /// As people write one: three or four octal digits.
    ///
    /// # Errors
    /// It is no such number, as 493 is not, which is 0755 in decimal.
    pub fn parse(text: &str) -> Result<Self, Complaint> {
        let octal = matches!(text.len(), 3 | 4) && text.bytes().all(|b| matches!(b, b'0'..=b'7'));
        let mode = u32::from_str_radix(text, 8).ok().filter(|_| octal);
        match mode {
            Some(mode) if mode <= ALL => Ok(Self(mode)),
            Some(_) => {
                let why = format!(
                    "{text} has set-uid, set-gid or the sticky bit, which MachineConfigs do not give"
                );
                Err(refuse(why, "leave the first digit out, or put the file into the OS image"))
            }
            None => {
                let why = format!("{} is no mode of a file", plain(text));
                Err(refuse(why, "write three or four octal digits, such as 0644 or 755"))
            }
        }
    }

    /// As Ignition has it.
    pub fn number(self) -> i64 {
        self.0.into()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed test is what a panic is for.

    use super::*;

    #[test]
    fn a_mode_is_octal_here_and_decimal_there() {
        for (text, number) in
            [("0644", 420), ("644", 420), ("0755", 493), ("0511", 329), ("000", 0), ("777", 511)]
        {
            assert_eq!(Mode::parse(text).unwrap().number(), number, "{text}");
        }
        for (mode, number) in [(Mode::COMMON, 420), (Mode::SECRET, 384), (Mode::PROGRAM, 493)] {
            assert_eq!(mode.number(), number);
        }
    }

    #[test]
    fn a_decimal_number_is_no_mode() {
        for text in ["493", "0493", "420x", "", "7", "64", "10644", "4755", "-644", "+644", "rw-"] {
            let complaint = Mode::parse(text).unwrap_err();
            assert!(!complaint.fix.is_empty(), "{text}");
        }
        // 420 has only octal digits, and is another mode than 0644: whoever writes it means it.
        assert_eq!(Mode::parse("420").unwrap().number(), 0o420);
    }
}

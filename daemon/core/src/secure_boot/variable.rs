//! Variables of the firmware, as the kernel shows them: in efivarfs behind four bytes of attributes,
//! in `mok-variables` as they are (`reference/secure-boot-mok.md` section 1).

use super::Damaged;
use super::bytes::Bytes;
use super::guid::Guid;

/// Whose variables are the firmware's own.
pub const EFI_GLOBAL: Guid =
    Guid::new(0x8be4_df61, 0x93ca, 0x11d2, [0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c]);
/// Whose variables are the keys that the firmware accepts or refuses.
pub const IMAGE_SECURITY: Guid =
    Guid::new(0xd719_b2cb, 0x3d3a, 0x4596, [0xa3, 0xbc, 0xda, 0xd0, 0x0e, 0x67, 0x65, 0x6f]);
/// Whose variables are shim's; also the owner of what `mokutil` imports.
pub const SHIM_LOCK: Guid =
    Guid::new(0x605d_ab50, 0xe046, 0x4300, [0xab, 0xb6, 0x3d, 0xd8, 0x10, 0xdd, 0x8b, 0x23]);

/// A variable by name and vendor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Variable {
    /// As it is called.
    pub name: &'static str,
    /// Whose it is.
    pub vendor: Guid,
}

macro_rules! variables {
    ($vendor:ident: $($(#[$doc:meta])+ $constant:ident = $name:literal;)+) => {
        $($(#[$doc])+ pub const $constant: Self = Self { name: $name, vendor: $vendor };)+
    };
}

// Names and meanings: `reference/secure-boot-mok.md` section 1.
impl Variable {
    variables! { EFI_GLOBAL:
        /// One byte: the firmware enforces.
        SECURE_BOOT = "SecureBoot";
        /// One byte: there is no platform key, nothing is enforced.
        SETUP_MODE = "SetupMode";
        /// The platform's key.
        PK = "PK";
        /// Who may change `db` and `dbx`.
        KEK = "KEK";
    }
    variables! { IMAGE_SECURITY:
        /// What the firmware accepts.
        DB = "db";
        /// What it refuses.
        DBX = "dbx";
    }
    variables! { SHIM_LOCK:
        /// What shim accepts; only the firmware sees it.
        MOK_LIST = "MokList";
        /// Its copy, with shim's own certificate.
        MOK_LIST_RT = "MokListRT";
        /// What shim refuses; only the firmware sees it.
        MOK_LIST_X = "MokListX";
        /// Its copy.
        MOK_LIST_X_RT = "MokListXRT";
        /// One byte: shim validates nothing.
        MOK_SB_STATE = "MokSBState";
        /// Its copy; not there while shim validates.
        MOK_SB_STATE_RT = "MokSBStateRT";
        /// One byte: shim does not use `db`.
        MOK_DB_STATE = "MokDBState";
        /// Its copy.
        MOK_IGNORE_DB = "MokIgnoreDB";
        /// One byte. That it is there means that shim's keys are *not* trusted for `.machine`.
        MOK_LIST_TRUSTED = "MokListTrusted";
        /// That it is there means that shim's keys *are* trusted for `.machine`, whatever it holds.
        MOK_LIST_TRUSTED_RT = "MokListTrustedRT";
        /// How long MokManager waits for a key to be pressed; it deletes it.
        MOK_TIMEOUT = "MokTimeout";
        /// The password that MokManager asks for in any case.
        MOK_PW_STORE = "MokPWStore";
    }

    /// Its file in efivarfs.
    pub fn file_name(&self) -> String {
        format!("{}-{}", self.name, self.vendor)
    }

    /// Which of the files in `names` hold this variable, in their order: itself, then what did not fit
    /// (`MokListRT1`, `MokListRT2` …) up to the first number that is not there.
    pub fn parts<'a>(&self, names: impl Iterator<Item = &'a str> + Clone) -> Vec<&'a str> {
        let find = |wanted: &str| names.clone().find(|name| *name == wanted);
        let own = find(self.name).into_iter();
        let numbered = (1_u32..).map_while(|number| find(&format!("{}{number}", self.name)));
        own.chain(numbered).collect()
    }
}

/// The name and the vendor that a file name of efivarfs says.
///
/// # Errors
/// It does not end in a hyphen and a vendor.
pub fn file_name(text: &str) -> Result<(&str, Guid), Damaged> {
    /// Digits and hyphens.
    const VENDOR: usize = 36;
    let at = text.len().saturating_sub(VENDOR);
    let damaged = Damaged { offset: at, expected: "a hyphen and a vendor's GUID" };
    let (front, vendor) = text.split_at_checked(at).ok_or(damaged)?;
    let name = front.strip_suffix('-').ok_or(damaged)?;
    Ok((name, vendor.parse().map_err(|_| damaged)?))
}

/// What may be done with a variable (`reference/secure-boot-mok.md` section 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes(pub u32);

impl Attributes {
    /// It outlasts the power.
    pub const NON_VOLATILE: Self = Self(1);
    /// The firmware and shim see it.
    pub const BOOT_SERVICE: Self = Self(2);
    /// The kernel sees it.
    pub const RUN_TIME: Self = Self(4);
    /// What a request to shim has.
    pub const REQUEST: Self = Self(7);

    /// Whether it has all of these.
    pub fn have(self, wanted: Self) -> bool {
        self.0 & wanted.0 == wanted.0
    }
}

/// How many bytes of attributes stand before the data in a file of efivarfs.
pub const ATTRIBUTES_BYTES: usize = 4;

/// What a file of efivarfs holds. What parsers say of the data, they say from its own beginning:
/// in the file that is [`ATTRIBUTES_BYTES`] later.
///
/// # Errors
/// It is too short.
pub fn efivarfs(file: &[u8]) -> Result<(Attributes, &[u8]), Damaged> {
    let mut bytes = Bytes::new(file);
    let attributes = bytes.le_u32("4 bytes of attributes")?;
    Ok((Attributes(attributes), bytes.rest()))
}

/// A variable of one byte that turns something on.
///
/// # Errors
/// There is another number of bytes than one, or it is neither 0 nor 1.
pub fn switch(data: &[u8]) -> Result<bool, Damaged> {
    match data {
        [0] => Ok(false),
        [1] => Ok(true),
        [0 | 1, _, ..] => Err(Damaged { offset: 1, expected: "the end" }),
        _ => Err(Damaged { offset: 0, expected: "one byte, 0 or 1" }),
    }
}

/// What MokTimeout says, in seconds: 0 drops a request without a prompt, less waits for ever
/// (`reference/secure-boot-mok.md` section 3).
///
/// # Errors
/// There is another number of bytes than four.
pub fn timeout_secs(data: &[u8]) -> Result<i32, Damaged> {
    let mut bytes = Bytes::new(data);
    let seconds = bytes.array("a number of 4 bytes").map(i32::from_le_bytes)?;
    bytes.end("the end")?;
    Ok(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_files() {
        let named = Variable::SECURE_BOOT.file_name();
        assert_eq!(named, "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c");
        assert_eq!(file_name(&named), Ok(("SecureBoot", EFI_GLOBAL)));
        let dbx = Variable::DBX.file_name();
        assert_eq!(dbx, "dbx-d719b2cb-3d3a-4596-a3bc-dad00e67656f");
        let mok = Variable::MOK_LIST_RT.file_name();
        assert_eq!(mok, "MokListRT-605dab50-e046-4300-abb6-3dd810dd8b23");
        assert_eq!(file_name("-8be4df61-93ca-11d2-aa0d-00e098032b8c"), Ok(("", EFI_GLOBAL)));
        for (text, offset) in [
            ("", 0),
            ("SecureBoot", 0),
            ("8be4df61-93ca-11d2-aa0d-00e098032b8c", 0),
            ("SecureBoot_8be4df61-93ca-11d2-aa0d-00e098032b8c", 11),
            ("SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8g", 11),
            ("äääääääääääääääääääää", 6),
        ] {
            assert_eq!(file_name(text).unwrap_err().offset, offset, "{text}");
        }
    }

    #[test]
    fn attributes_stand_before_the_data_only_in_efivarfs() {
        let (attributes, data) = efivarfs(&[6, 0, 0, 0, 1]).unwrap();
        assert!(attributes.have(Attributes::RUN_TIME) && attributes.have(Attributes::BOOT_SERVICE));
        assert!(
            !attributes.have(Attributes::NON_VOLATILE) && !attributes.have(Attributes::REQUEST)
        );
        assert_eq!(switch(data), Ok(true));
        assert_eq!(efivarfs(&[7, 0, 0, 0]), Ok((Attributes::REQUEST, &[][..])));
        let short = efivarfs(&[7, 0, 0]).unwrap_err();
        assert_eq!(short.to_string(), "byte 0: expected 4 bytes of attributes");
    }

    #[test]
    fn switches_have_one_byte() {
        assert_eq!(switch(&[0]), Ok(false));
        for (data, offset) in [(&[][..], 0), (&[2], 0), (&[1, 0], 1), (&[6, 0, 0, 0, 1], 0)] {
            assert_eq!(switch(data).unwrap_err().offset, offset, "{data:?}");
        }
    }

    #[test]
    fn timeouts_may_be_less_than_nothing() {
        assert_eq!(timeout_secs(&[44, 1, 0, 0]), Ok(300));
        assert_eq!(timeout_secs(&[255; 4]), Ok(-1));
        assert_eq!(timeout_secs(&[1, 0]).unwrap_err().offset, 0);
        assert_eq!(timeout_secs(&[1, 0, 0, 0, 0]).unwrap_err().offset, 4);
    }

    #[test]
    fn parts_are_numbered_without_a_gap() {
        let names = ["MokListRT10", "MokListRT2", "MokListXRT1", "MokListRT", "MokListRT1"];
        let parts = Variable::MOK_LIST_RT.parts(names.into_iter());
        assert_eq!(parts, ["MokListRT", "MokListRT1", "MokListRT2"]);
        assert_eq!(Variable::MOK_LIST_X_RT.parts(names.into_iter()), ["MokListXRT1"]);
        assert!(Variable::MOK_LIST.parts(names.into_iter()).is_empty());
    }
}

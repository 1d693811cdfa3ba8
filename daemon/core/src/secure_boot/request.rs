//! What shim has been asked for, and will ask a person about at the next boot
//! (`reference/secure-boot-mok.md` sections 1, 3 and 4). It deletes all of it before it asks.
//!
//! Passwords and their hashes are here to be compared and written back, never to be shown: what can
//! be printed of them is how they were made.

use std::collections::BTreeMap;
use std::fmt;

use super::Damaged;
use super::bytes::Bytes;
use super::signature_list::{self, SignatureList};
use super::variable::{Variable, timeout_secs};

pub mod crypt;
pub mod enrol;
pub mod obstacle;
pub mod prompt;
pub mod warning;
pub mod withdraw;
pub mod write;

/// What a structure with a hashed password has (`pw_crypt_t`).
pub const CRYPT_BYTES: usize = 172;
/// What the older form has, a SHA-256 over the list and the password.
pub const LEGACY_BYTES: usize = 32;
/// What a structure that turns something on or off has.
pub const TOGGLE_BYTES: usize = 40;

/// A change of one of shim's lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ListChange {
    /// Keys are to be accepted.
    Enrol,
    /// Keys are no longer to be accepted.
    Remove,
    /// Keys are to be refused.
    Forbid,
    /// Keys are no longer to be refused.
    Permit,
}

impl ListChange {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::Enrol, Self::Remove, Self::Forbid, Self::Permit];

    /// The variable with the list.
    pub fn list_name(self) -> &'static str {
        match self {
            Self::Enrol => "MokNew",
            Self::Remove => "MokDel",
            Self::Forbid => "MokXNew",
            Self::Permit => "MokXDel",
        }
    }

    /// The variable with the hash of the password that somebody has to type.
    pub fn auth_name(self) -> &'static str {
        match self {
            Self::Enrol => "MokAuth",
            Self::Remove => "MokDelAuth",
            Self::Forbid => "MokXAuth",
            Self::Permit => "MokXDelAuth",
        }
    }
}

/// Something that shim can be told to do or not to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Toggle {
    /// Validate what it starts.
    Validation,
    /// Use the firmware's `db`.
    Database,
    /// Let the kernel trust its keys for `.machine`.
    Trust,
}

impl Toggle {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Validation, Self::Database, Self::Trust];

    /// The variable with the request.
    pub fn name(self) -> &'static str {
        match self {
            Self::Validation => "MokSB",
            Self::Database => "MokDB",
            Self::Trust => "MokListTrustedNew",
        }
    }
}

/// How a password was hashed; the numbers are those of the structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// 0: DES.
    Des,
    /// 1: DES as in BSDi.
    ExtendedDes,
    /// 2: MD5.
    Md5,
    /// 3: SHA-256.
    Sha256,
    /// 4: SHA-512, the usual one.
    Sha512,
    /// 5: Blowfish.
    Blowfish,
}

impl Method {
    const ALL: [Self; 6] =
        [Self::Des, Self::ExtendedDes, Self::Md5, Self::Sha256, Self::Sha512, Self::Blowfish];
}

/// The hash of a password.
#[derive(Clone, PartialEq, Eq)]
pub enum PasswordHash {
    /// As crypt(3) makes it.
    Crypt {
        /// How.
        method: Method,
        /// In how many rounds.
        rounds: u64,
        /// With which salt; at most 32 bytes.
        salt: Vec<u8>,
        /// What came out, and zeros behind it.
        hash: Box<[u8; 128]>,
    },
    /// The older form.
    Legacy([u8; LEGACY_BYTES]),
    /// Nothing but zeros. In MokPW: the password of MokManager is to be deleted.
    Cleared,
}

impl fmt::Debug for PasswordHash {
    /// Without the hash and its salt, which are for shim alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crypt { method, rounds, salt: _, hash: _ } => {
                write!(f, "Crypt({method:?}, {rounds} rounds)")
            }
            Self::Legacy(_) => f.write_str("Legacy"),
            Self::Cleared => f.write_str("Cleared"),
        }
    }
}

impl PasswordHash {
    /// Reads MokAuth and its like, MokPW or MokPWStore.
    ///
    /// # Errors
    /// It is of another size, or says of itself what cannot be.
    pub fn parse(data: &[u8]) -> Result<Self, Damaged> {
        let size = data.len();
        if ![CRYPT_BYTES, LEGACY_BYTES].contains(&size) {
            return Err(Damaged { offset: size.min(CRYPT_BYTES), expected: "32 or 172 bytes" });
        }
        if data.iter().all(|byte| *byte == 0) {
            return Ok(Self::Cleared);
        }
        if let Ok(hash) = data.try_into() {
            return Ok(Self::Legacy(hash));
        }
        let mut bytes = Bytes::new(data);
        let damaged = bytes.damaged("the number of a method from 0 to 5");
        let method = bytes.array("a method").map(u16::from_le_bytes)?;
        let method = *Method::ALL.get(usize::from(method)).ok_or(damaged)?;
        let rounds = bytes.array("a number of rounds").map(u64::from_le_bytes)?;
        let damaged = bytes.damaged("the size of a salt of at most 32 bytes");
        let salt_bytes = bytes.array("the size of a salt").map(u16::from_le_bytes)?;
        let salt: [u8; 32] = bytes.array("a salt")?;
        let salt = salt.get(..usize::from(salt_bytes)).ok_or(damaged)?.to_vec();
        let hash = Box::new(bytes.array("a hash")?);
        bytes.end("the end of a password's hash")?;
        Ok(Self::Crypt { method, rounds, salt, hash })
    }

    /// The bytes that it was read from, or that are to be written.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Crypt { method, rounds, salt, hash } => {
                let number = Method::ALL.iter().position(|one| one == method).unwrap_or_default();
                let number = u16::try_from(number).unwrap_or_default();
                let mut field = [0; 32];
                field.iter_mut().zip(salt).for_each(|(to, from)| *to = *from);
                let salt_bytes = u16::try_from(salt.len().min(field.len())).unwrap_or_default();
                let mut bytes = number.to_le_bytes().to_vec();
                bytes.extend(rounds.to_le_bytes());
                bytes.extend(salt_bytes.to_le_bytes());
                bytes.extend(field);
                bytes.extend(hash.as_slice());
                bytes
            }
            Self::Legacy(hash) => hash.to_vec(),
            Self::Cleared => vec![0; CRYPT_BYTES],
        }
    }
}

/// A request to turn something on or off. The password stands beside it in the clear; it is passed
/// over, and only its length kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToggleRequest {
    /// What it is to be. For [`Toggle::Validation`] and [`Toggle::Database`] 0 is no, all else yes
    /// (shim's `MokManager.c`); for [`Toggle::Trust`] 0 trusts and 1 does not.
    pub state: u32,
    /// How many characters the password has: 8 to 16.
    pub password_length: u32,
}

impl ToggleRequest {
    /// Reads MokSB, MokDB or MokListTrustedNew.
    ///
    /// # Errors
    /// It has not 40 bytes, or a password that does not fit in them.
    pub fn parse(data: &[u8]) -> Result<Self, Damaged> {
        const PASSWORD_BYTES: usize = 32;
        let mut bytes = Bytes::new(data);
        let state = bytes.le_u32("a state of 4 bytes")?;
        let damaged = bytes.damaged("the length of a password of at most 16 characters");
        let password_length = bytes.le_u32("the length of a password")?;
        bytes.take(PASSWORD_BYTES, "room for a password of 16 characters")?;
        bytes.end("the end of the request")?;
        if password_length > 16 {
            return Err(damaged);
        }
        Ok(Self { state, password_length })
    }
}

/// A request to change a list. Either part may be there alone: a list without a password is refused
/// by MokManager, a password without a list empties the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListRequest {
    /// What is to be put in or taken out.
    pub list: Option<Result<Vec<SignatureList>, Damaged>>,
    /// What was made of the password.
    pub auth: Option<Result<PasswordHash, Damaged>>,
}

/// All that shim has been asked for. What is not there has not been asked for, or was dealt with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// Changes of lists.
    pub lists: BTreeMap<ListChange, ListRequest>,
    /// Things to be turned on or off.
    pub toggles: BTreeMap<Toggle, Result<ToggleRequest, Damaged>>,
    /// A password for MokManager itself (MokPW).
    pub password: Option<Result<PasswordHash, Damaged>>,
    /// How long MokManager is to wait, in seconds (MokTimeout); by itself this is no request.
    pub timeout_secs: Option<Result<i32, Damaged>>,
    /// MokNew as it lies there: what is asked for on top of it goes before these bytes.
    pub new_list: Option<Vec<u8>>,
}

impl Requests {
    /// Nothing has been asked for.
    pub const NONE: Self = Self {
        lists: BTreeMap::new(),
        toggles: BTreeMap::new(),
        password: None,
        timeout_secs: None,
        new_list: None,
    };

    /// Reads what there is of shim's variables, by name and without attributes. What does not read
    /// is still a request.
    pub fn parse(variables: &BTreeMap<&str, &[u8]>) -> Self {
        let data = |name: &str| variables.get(name).copied();
        let mut requests = Self {
            password: data("MokPW").map(PasswordHash::parse),
            timeout_secs: data(Variable::MOK_TIMEOUT.name).map(timeout_secs),
            new_list: data(ListChange::Enrol.list_name()).map(<[u8]>::to_vec),
            ..Self::default()
        };
        for change in ListChange::ALL {
            let list = data(change.list_name()).map(signature_list::parse);
            let auth = data(change.auth_name()).map(PasswordHash::parse);
            if list.is_some() || auth.is_some() {
                requests.lists.insert(change, ListRequest { list, auth });
            }
        }
        for toggle in Toggle::ALL {
            if let Some(data) = data(toggle.name()) {
                requests.toggles.insert(toggle, ToggleRequest::parse(data));
            }
        }
        requests
    }

    /// Whether the next boot stops in MokManager.
    pub fn any(&self) -> bool {
        let Self { lists, toggles, password, timeout_secs: _, new_list: _ } = self;
        !lists.is_empty() || !toggles.is_empty() || password.is_some()
    }
}

#[cfg(test)]
mod tests;

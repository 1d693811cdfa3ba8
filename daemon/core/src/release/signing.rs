//! What stands at the end of a module file as its signature.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::secure_boot::Damaged;
use crate::secure_boot::signature::signed_data::SignedData;
use crate::secure_boot::signature::{self, Parts, SignatureError};

/// A module's signature. Written as whether there is one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "bool", into = "bool")]
pub enum Signing {
    /// There is none.
    #[default]
    Unsigned,
    /// There is this one.
    Signed(Arc<Appended>),
    /// It does not read.
    Damaged(SignatureError),
}

/// A signature that reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// What it says.
    pub data: SignedData,
    /// Its bytes; none for a module that has no file, in the simulator.
    pub pkcs7: Vec<u8>,
}

/// What is said of one that was read back from a text, which keeps only that there was one.
const NOT_KEPT: Damaged = Damaged { offset: 0, expected: "a signature that was kept" };

impl Signing {
    /// Reads the signature at the end of a module, or of as much of its end as holds it.
    pub fn of(module: &[u8]) -> Self {
        let read = || {
            let Some(Parts { signed, pkcs7 }) = signature::split(module)? else { return Ok(None) };
            let data = SignedData::parse(pkcs7).map_err(|damaged| damaged.within(signed.len()))?;
            Ok(Some(Appended { data, pkcs7: pkcs7.to_vec() }))
        };
        match read() {
            Ok(None) => Self::Unsigned,
            Ok(Some(appended)) => Self::Signed(Arc::new(appended)),
            Err(error) => Self::Damaged(error),
        }
    }

    /// Whether there is one, sound or not.
    pub fn is_there(&self) -> bool {
        match self {
            Self::Unsigned => false,
            Self::Signed(_) | Self::Damaged(_) => true,
        }
    }

    /// As a verdict takes it.
    ///
    /// # Errors
    /// It does not read.
    pub fn data(&self) -> Result<Option<&SignedData>, SignatureError> {
        match self {
            Self::Unsigned => Ok(None),
            Self::Signed(appended) => Ok(Some(&appended.data)),
            Self::Damaged(error) => Err(*error),
        }
    }
}

impl From<Signing> for bool {
    fn from(signing: Signing) -> Self {
        signing.is_there()
    }
}

impl From<bool> for Signing {
    fn from(there: bool) -> Self {
        if there { Self::Damaged(NOT_KEPT.into()) } else { Self::Unsigned }
    }
}

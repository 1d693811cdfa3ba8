//! What is done to shim's variables for a request, in the order in which it is done.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One of shim's variables, and what it is to hold.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Write {
    /// Its name; its vendor is [`SHIM_LOCK`](crate::secure_boot::variable::SHIM_LOCK).
    pub name: String,
    /// What it holds from then on, without attributes; none: it is no longer there.
    pub data: Option<Vec<u8>>,
}

impl fmt::Debug for Write {
    /// Without what is written: hashes of passwords are for shim alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.data {
            Some(data) => write!(f, "{} with {} bytes", self.name, data.len()),
            None => write!(f, "no {}", self.name),
        }
    }
}

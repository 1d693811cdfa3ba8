//! `[secure-boot]` and `[[key]]` as written: firmware, shim, and who may have signed modules.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use toml::Spanned;

use super::yes;

/// What starts the kernel, and what it trusts then.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SecureBoot {
    /// Whether the firmware enforces signatures, and the kernel those of modules.
    pub enabled: bool,
    /// Whether shim starts the kernel. Without it `[[key]]`s are the firmware's own (`db`).
    #[serde(default = "yes")]
    pub shim: bool,
    /// What the running system can do with the firmware's variables.
    #[serde(default)]
    pub run_time: RunTime,
    /// The ring of enrolled keys that the kernel trusts for modules; by the kernel's release unless
    /// set.
    pub trusts: Option<Spanned<Trusts>>,
    /// Disks that open only while what is measured at boot stays as it is, keys among it.
    #[serde(default)]
    pub sealed_disks: BTreeSet<String>,
}

impl Default for SecureBoot {
    /// Turned off, and otherwise as usual.
    fn default() -> Self {
        let (run_time, trusts, sealed_disks) = (RunTime::default(), None, BTreeSet::new());
        Self { enabled: false, shim: true, run_time, trusts, sealed_disks }
    }
}

/// What the running system can do with the firmware's variables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunTime {
    /// It reads and writes them.
    #[default]
    Writable,
    /// It reads them.
    ReadOnly,
    /// Neither, and the kernel cannot read keys out of them either (`efi=noruntime`).
    None,
}

/// The ring with shim's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trusts {
    /// `.platform`, by a patch of the distribution.
    Platform,
    /// `.machine`, as kernel.org has it.
    Machine,
}

/// A key that may have signed modules.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Key {
    /// What `signed-by` and `enrol` call it.
    pub name: Spanned<KeyName>,
    /// Its certificate, PEM.
    pub certificate: Spanned<String>,
    /// Whether the firmware has it when the world begins.
    pub enrolled: bool,
}

/// The name of a key: one word.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct KeyName(String);

impl FromStr for KeyName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.len() > 63 || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(format!("`{text}` is not a key name: 1 to 63 characters without spaces"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for KeyName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

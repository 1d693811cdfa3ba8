//! `[secure-boot]`: whose modules this node shall take.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::settings::{Fault, check_path};
use crate::time::Span;

/// The most certificates: a node has one for each who builds modules for it.
const MOST_CERTIFICATES: usize = 16;
/// MokManager deletes a shorter wish than its own ten seconds, and takes no longer one
/// (`reference/secure-boot-mok.md` section 3).
const PROMPT: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(10)..=Duration::from_secs(0x7fff);

/// `[secure-boot]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SecureBootSettings {
    /// Certificates of those who sign modules for this node, as absolute paths, DER or PEM. Each
    /// should be enrolled; that one is named here enrols nothing.
    pub certificates: Vec<String>,
    /// How long MokManager waits for somebody at the console after the next boot begins.
    pub prompt_timeout: Span,
}

impl Default for SecureBootSettings {
    fn default() -> Self {
        // Long enough to get to a console, and it ends: a node that nobody watches boots at last.
        let prompt_timeout = Span(Duration::from_secs(300));
        Self { certificates: Vec::new(), prompt_timeout }
    }
}

impl SecureBootSettings {
    /// How long MokManager waits, in seconds.
    pub fn prompt_secs(&self) -> i32 {
        i32::try_from(self.prompt_timeout.0.as_secs()).unwrap_or(i32::MAX)
    }

    pub(super) fn check(&self) -> Result<(), Fault> {
        let fault = |key: &str, what: &str| Err((format!("secure-boot.{key}"), what.to_owned()));
        if self.certificates.len() > MOST_CERTIFICATES {
            return fault("certificates", "must be 16 or fewer");
        }
        if let Some(what) = self.certificates.iter().find_map(|path| check_path(path).err()) {
            return fault("certificates", what);
        }
        if !PROMPT.contains(&self.prompt_timeout.0) || self.prompt_timeout.0.subsec_nanos() != 0 {
            return fault("prompt-timeout", "must be whole seconds from 10s to 32767s");
        }
        Ok(())
    }
}

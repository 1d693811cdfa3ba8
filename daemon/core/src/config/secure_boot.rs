//! `[secure-boot]`: whose modules this node shall take.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::settings::{Fault, check_path};
use crate::secure_boot::request::prompt::PromptTimeout;
use crate::time::Span;

/// The most certificates: a node has one for each who builds modules for it.
const MOST_CERTIFICATES: usize = 16;

/// `[secure-boot]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SecureBootSettings {
    /// Certificates of those who sign modules for this node, as absolute paths, DER or PEM. Each
    /// should be enrolled; that one is named here enrols nothing.
    pub certificates: Vec<String>,
    /// Keys that shim is to be asked for, once each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<KeyRequestSettings>,
    /// How long MokManager waits for somebody at the console after the next boot begins.
    pub prompt_timeout: Span,
}

/// One of `[[secure-boot.requests]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct KeyRequestSettings {
    /// The certificate, an absolute path.
    pub certificate: String,
    /// A file with the hash of the password that will have to be typed, as `openssl passwd -6` prints
    /// it. A path, for the configuration can be read by all.
    pub password_hash: String,
    /// Also where a disk is unlocked only while nothing changes of what a new key changes.
    #[serde(default)]
    pub despite_sealed_disks: bool,
}

impl Default for SecureBootSettings {
    fn default() -> Self {
        let secs = PromptTimeout::DEFAULT.secs().unsigned_abs();
        let prompt_timeout = Span(Duration::from_secs(secs.into()));
        Self { certificates: Vec::new(), requests: Vec::new(), prompt_timeout }
    }
}

impl SecureBootSettings {
    /// The paths of all certificates that it names.
    pub fn named(&self) -> impl Iterator<Item = &String> {
        self.certificates.iter().chain(self.requests.iter().map(|request| &request.certificate))
    }

    /// The paths of hashes of passwords.
    pub fn secrets(&self) -> impl Iterator<Item = &String> {
        self.requests.iter().map(|request| &request.password_hash)
    }

    /// How long MokManager waits. What it cannot count has been refused.
    pub fn prompt(&self) -> PromptTimeout {
        self.whole_prompt().unwrap_or_default()
    }

    fn whole_prompt(&self) -> Option<PromptTimeout> {
        let whole = self.prompt_timeout.0.subsec_nanos() == 0;
        let secs = i64::try_from(self.prompt_timeout.0.as_secs()).ok().filter(|_| whole)?;
        PromptTimeout::new(secs).ok()
    }

    pub(super) fn check(&self) -> Result<(), Fault> {
        let fault = |key: &str, what: &str| Err((format!("secure-boot.{key}"), what.to_owned()));
        if self.certificates.len() > MOST_CERTIFICATES {
            return fault("certificates", "must be 16 or fewer");
        }
        if let Some(what) = self.certificates.iter().find_map(|path| check_path(path).err()) {
            return fault("certificates", what);
        }
        if self.requests.len() > MOST_CERTIFICATES {
            return fault("requests", "must be 16 or fewer");
        }
        let paths = self.requests.iter().flat_map(|one| [&one.certificate, &one.password_hash]);
        if let Some(what) = paths.map(|path| check_path(path)).find_map(Result::err) {
            return fault("requests", what);
        }
        let certificates: BTreeSet<_> = self.requests.iter().map(|one| &one.certificate).collect();
        if certificates.len() < self.requests.len() {
            return fault("requests", "must not name a certificate twice");
        }
        if self.whole_prompt().is_none() {
            return fault("prompt-timeout", "must be whole seconds from 10s to 32767s");
        }
        Ok(())
    }
}

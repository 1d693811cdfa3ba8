//! What onloadd says of Secure Boot and of the keys here, as every verb about them reads it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::bus::Bus;
use crate::ended::Ended;
use crate::properties::Properties;

/// State of a key with which all is well.
pub const ENROLLED: &str = "Enrolled";

/// Secure Boot on this node. Absent is null; so is what could not be read, and then `unreadable` says
/// why.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SecureBoot {
    /// enabled, disabled, setup-mode, validation-off, not-applicable or unknown.
    pub state: String,
    /// Whether shim started this machine.
    pub shim: Option<bool>,
    /// Whether the firmware's variables can be written: writable, read-only or no-run-time.
    pub variables: Option<String>,
    /// What becomes of modules that are not trusted: refused or taken.
    pub enforcement: Option<String>,
    /// none, integrity or confidentiality.
    pub lockdown: Option<String>,
    pub keys: Vec<Key>,
    /// What shim will ask about at the next boot.
    pub requests: Vec<Request>,
    /// For how many seconds it will; null where it was not told.
    pub prompt_timeout: Option<i32>,
    /// By release, what this kernel would say to its modules.
    pub verdicts: BTreeMap<String, Vec<Verdict>>,
    pub sealed_disks: Vec<SealedDisk>,
    pub unreadable: BTreeMap<String, String>,
}

/// A key that has a name here.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Key {
    /// The certificate's subject.
    pub name: String,
    /// One CamelCase word.
    pub state: String,
    pub message: String,
    /// What to do; null where nothing is.
    pub fix: Option<String>,
    /// Where it is: mok, db, and rings of the kernel.
    pub places: Vec<String>,
    /// What revokes it: mokx, dbx, .blacklist.
    pub revoked_by: Vec<String>,
    /// SHA-256 over the certificate.
    pub fingerprint: Option<String>,
    pub issuer: Option<String>,
    pub serial: Option<String>,
    pub key_id: Option<String>,
    pub not_after: Option<String>,
    /// Where the configuration names it.
    pub path: Option<String>,
    /// When shim was asked for it from here, in milliseconds since 1970 UTC.
    pub asked: Option<u64>,
}

/// What shim was asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Request {
    /// The variable, such as MokNew.
    pub variable: String,
    /// Fingerprints of the certificates in it.
    pub keys: Vec<String>,
    /// What keeps it from being carried out.
    pub fault: Option<String>,
}

/// What this kernel would say to a module.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Verdict {
    pub module: String,
    /// trusted, refused, tainted or unknown.
    pub verdict: String,
    /// One CamelCase word; null for trusted.
    pub reason: Option<String>,
    /// Null for nobody.
    pub signer: Option<String>,
    pub why: String,
    /// By which rule this kernel decides.
    pub rule: String,
    pub fix: Option<String>,
}

/// A disk that the TPM will not unlock once a key is enrolled.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SealedDisk {
    pub disk: String,
    pub why: String,
    pub fix: String,
}

/// A verdict as the bus has it: module, verdict, reason, signer, why, rule, fix.
type Row = (String, String, String, String, String, String, String);

/// Reads it.
pub async fn read(bus: &Bus) -> Result<SecureBoot, Ended> {
    Ok(SecureBoot::of(Properties::new(bus.trust().await?)))
}

impl SecureBoot {
    fn of(mut seen: Properties) -> Self {
        let keys: Vec<Map<String, Value>> = seen.get("keys");
        let requests: Vec<(String, Vec<String>, String)> = seen.get("requests");
        let verdicts: BTreeMap<String, Vec<Row>> = seen.get("verdicts");
        let disks: Vec<(String, String, String)> = seen.get("sealed_disks");
        let request = |(variable, keys, fault)| Request { variable, keys, fault: named(fault) };
        let judged = |(release, rows): (String, Vec<Row>)| {
            (release, rows.into_iter().map(Verdict::of).collect())
        };
        Self {
            state: seen.get("state"),
            shim: seen.readable("shim"),
            variables: seen.text("variables"),
            enforcement: seen.text("enforcement"),
            lockdown: seen.text("lockdown"),
            keys: keys.into_iter().map(|key| Key::of(Properties::new(key))).collect(),
            requests: requests.into_iter().map(request).collect(),
            prompt_timeout: seen.number("prompt_timeout", 0),
            verdicts: verdicts.into_iter().map(judged).collect(),
            sealed_disks: disks
                .into_iter()
                .map(|(disk, why, fix)| SealedDisk { disk, why, fix })
                .collect(),
            unreadable: seen.unreadable(),
        }
    }
}

impl Key {
    fn of(mut key: Properties) -> Self {
        Self {
            name: key.get("name"),
            state: key.get("state"),
            message: key.get("message"),
            fix: key.text("fix"),
            places: key.get("places"),
            revoked_by: key.get("revoked_by"),
            fingerprint: key.optional("fingerprint"),
            issuer: key.optional("issuer"),
            serial: key.optional("serial"),
            key_id: key.optional("key_id"),
            not_after: key.optional("not_after"),
            path: key.optional("path"),
            asked: key.optional("asked"),
        }
    }

    /// Whether somebody here wants it: the configuration, or whoever asked for it.
    pub fn is_wanted(&self) -> bool {
        self.path.is_some() || self.asked.is_some()
    }
}

impl Verdict {
    fn of((module, verdict, reason, signer, why, rule, fix): Row) -> Self {
        let (reason, signer, fix) = (named(reason), named(signer), named(fix));
        Self { module, verdict, reason, signer, why, rule, fix }
    }
}

fn named(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

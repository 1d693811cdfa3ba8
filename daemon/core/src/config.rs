//! Configuration: fragments as written in files, merged key by key, then checked as a whole.
//!
//! Every value remembers the file and line it came from and what it masks. An unknown key, a wrong
//! type or a contradiction refuses the whole configuration; the caller keeps what it had.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

mod metrics;
mod naming;
mod pool;
mod ptp;
mod secure_boot;
mod settings;

pub use metrics::MetricsSettings;
pub use naming::{NamingPolicy, NamingSettings, PortNaming};
pub use pool::{PoolKind, PoolSettings, Registration};
pub use ptp::{ClockMode, PtpSettings};
pub use secure_boot::{KeyRequestSettings, SecureBootSettings};
pub use settings::{
    Apply, DaemonSettings, Drift, KubeletSettings, LimitSettings, Mapping, ModuleSettings, Settings,
};

/// One configuration file as found, in the order in which later ones win.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Path, for people.
    pub file: String,
    /// Content.
    pub text: String,
}

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Origin {
    /// Path of the file.
    pub file: String,
    /// Line in it, from 1.
    pub line: usize,
}

/// A value in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// As TOML.
    pub value: String,
    /// Where it was written; none for a built-in default.
    pub origin: Option<Origin>,
    /// What it masks, nearest first.
    pub masks: Vec<Masked>,
}

/// A value that a later file overrides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Masked {
    /// As TOML.
    pub value: String,
    /// Where it was written.
    pub origin: Origin,
}

/// A configuration that holds: what the program uses, and the account of it for people.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// What the program uses.
    pub settings: Settings,
    /// Every value in force, by dotted key.
    pub entries: BTreeMap<String, Entry>,
    /// What lies at the paths that it names, as the profile of a pool or as a certificate: the caller
    /// reads them with the configuration, and they count as part of it. Without an entry there is no
    /// such file.
    pub files: BTreeMap<String, Result<Vec<u8>, String>>,
}

impl fmt::Debug for Config {
    /// Without what lies in the files that it names: one may hold the hash of a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { settings, entries, files } = self;
        let files: Vec<_> = files.keys().collect();
        let mut shown = f.debug_struct("Config");
        shown.field("settings", settings).field("entries", entries).field("files", &files).finish()
    }
}

/// Why a configuration is refused. The text names file, line and key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{file}:{line}: {what}")]
pub struct ConfigError {
    /// Path of the file.
    pub file: String,
    /// Line in it, from 1.
    pub line: usize,
    /// What is wrong, naming the key.
    pub what: String,
}

/// What a file may hold; a configuration is a page of text, and the parser nests by recursion.
const LONGEST_FILE: usize = 256 * 1024;

impl Config {
    /// Merges fragments, later over earlier and key by key, and checks the result. Lists never
    /// merge: the later file replaces the whole list.
    ///
    /// # Errors
    /// The first fragment that does not parse or has an unknown key; else the first contradiction.
    pub fn merge(fragments: &[Fragment]) -> Result<Self, ConfigError> {
        let mut merged = Table::new();
        let mut written: BTreeMap<String, Vec<Masked>> = BTreeMap::new();
        for fragment in fragments {
            let table = parse(fragment)?;
            for (key, value, line) in leaves(fragment)? {
                let origin = Origin { file: fragment.file.clone(), line };
                written.entry(key).or_default().insert(0, Masked { value, origin });
            }
            overlay(&mut merged, table);
        }
        let settings: Settings =
            merged.try_into().map_err(|error: toml::de::Error| ConfigError {
                file: "merged configuration".to_owned(),
                line: 1,
                what: error.message().to_owned(),
            })?;
        let entries = entries(&settings, written);
        settings.check().map_err(|fault| locate(&entries, fragments, fault))?;
        Ok(Self { settings, entries, files: BTreeMap::new() })
    }
}

/// Parses one file on its own, so that an error names it.
fn parse(fragment: &Fragment) -> Result<Table, ConfigError> {
    let refuse = |line, what: &str| ConfigError {
        file: fragment.file.clone(),
        line,
        what: what.trim_end().replace('\n', "; "),
    };
    if fragment.text.len() > LONGEST_FILE {
        return Err(refuse(1, &format!("the file is longer than {LONGEST_FILE} bytes")));
    }
    let located = |error: toml::de::Error| {
        let span = error.span().unwrap_or(0..0);
        let line = line_of(&fragment.text, span.clone());
        // The parser tells where it stopped at a value and not whose value it is.
        match key_at(&fragment.text, span.start) {
            Some(key) => refuse(line, &format!("{key}: {}", error.message())),
            None => refuse(line, error.message()),
        }
    };
    toml::from_str::<Settings>(&fragment.text).map_err(located)?;
    toml::from_str(&fragment.text).map_err(located)
}

/// Every value of a file with its dotted key and line.
fn leaves(fragment: &Fragment) -> Result<Vec<(String, String, usize)>, ConfigError> {
    let text = &fragment.text;
    let table = DeTable::parse(text).map_err(|error| ConfigError {
        file: fragment.file.clone(),
        line: line_of(text, error.span().unwrap_or(0..0)),
        what: error.message().to_owned(),
    })?;
    let mut found = Vec::new();
    collect(text, "", table.get_ref(), &mut found);
    Ok(found)
}

fn collect(
    text: &str,
    prefix: &str,
    table: &DeTable<'_>,
    found: &mut Vec<(String, String, usize)>,
) {
    for (key, value) in table {
        let path = join(prefix, key.get_ref());
        match value.get_ref() {
            DeValue::Table(inner) => collect(text, &path, inner, found),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_) => {
                found.push((path, written(text, value), line_of(text, value.span())))
            }
        }
    }
}

/// The dotted key whose value stands at this place of a file, if one does.
fn key_at(text: &str, place: usize) -> Option<String> {
    fn within(prefix: &str, table: &DeTable<'_>, place: usize) -> Option<String> {
        table.iter().find_map(|(key, value)| {
            let path = join(prefix, key.get_ref());
            match value.get_ref() {
                DeValue::Table(inner) => within(&path, inner, place),
                DeValue::String(_)
                | DeValue::Integer(_)
                | DeValue::Float(_)
                | DeValue::Boolean(_)
                | DeValue::Datetime(_)
                | DeValue::Array(_) => value.span().contains(&place).then_some(path),
            }
        })
    }
    within("", DeTable::parse(text).ok()?.get_ref(), place)
}

/// The value as it stands in the file, on one line.
fn written(text: &str, value: &Spanned<DeValue<'_>>) -> String {
    let raw = text.get(value.span()).unwrap_or_default();
    raw.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn line_of(text: &str, span: Range<usize>) -> usize {
    1 + text.as_bytes().iter().take(span.start).filter(|byte| **byte == b'\n').count()
}

fn join(prefix: &str, key: &str) -> String {
    if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") }
}

fn overlay(base: &mut Table, later: Table) {
    for (key, value) in later {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => overlay(below, above),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// The account of every setting: those written, and the built-in rest.
fn entries(settings: &Settings, written: BTreeMap<String, Vec<Masked>>) -> BTreeMap<String, Entry> {
    let mut entries = BTreeMap::new();
    // A Settings always serialises: it has string keys and plain values only.
    let table = Table::try_from(settings).unwrap_or_default();
    flatten("", &table, &mut entries);
    for (key, mut values) in written {
        let first = values.remove(0);
        let entry = entries.entry(key).or_insert_with(|| Entry {
            value: first.value.clone(),
            origin: None,
            masks: Vec::new(),
        });
        entry.origin = Some(first.origin);
        entry.masks = values;
    }
    entries
}

fn flatten(prefix: &str, table: &Table, entries: &mut BTreeMap<String, Entry>) {
    for (key, value) in table {
        let path = join(prefix, key);
        if let Value::Table(inner) = value {
            flatten(&path, inner, entries);
        } else {
            entries
                .insert(path, Entry { value: value.to_string(), origin: None, masks: Vec::new() });
        }
    }
}

/// Gives a contradiction its file and line: those of the key it names.
fn locate(
    entries: &BTreeMap<String, Entry>,
    fragments: &[Fragment],
    (key, what): (String, String),
) -> ConfigError {
    let origin = entries.get(&key).and_then(|entry| entry.origin.clone());
    let origin = origin.unwrap_or_else(|| Origin {
        file: fragments
            .last()
            .map_or_else(|| "built-in defaults".to_owned(), |last| last.file.clone()),
        line: 1,
    });
    ConfigError { file: origin.file, line: origin.line, what: format!("{key}: {what}") }
}

#[cfg(test)]
mod tests;

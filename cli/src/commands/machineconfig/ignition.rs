//! Ignition, by the library of who makes it: one set of types for each version.

use std::io;

use ignition_config::Config;

use crate::ended::Complaint;
use crate::render::paint::plain;

use super::content::carry;
use super::parts::Parts;
use super::refuse;

/// A version of Ignition's configuration that OpenShift takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V3_2,
    V3_3,
    V3_4,
    V3_5,
}

/// Each with its name, and the first version of Butane's `openshift` that makes it. None makes 3.3
/// (Butane's table of specifications).
const ALL: [(Version, &str, Option<&str>); 4] = [
    (Version::V3_2, "3.2.0", Some("4.8.0")),
    (Version::V3_3, "3.3.0", None),
    (Version::V3_4, "3.4.0", Some("4.14.0")),
    (Version::V3_5, "3.5.0", Some("4.19.0")),
];

impl Version {
    /// As people write it.
    ///
    /// # Errors
    /// It is none of them.
    pub fn parse(text: &str) -> Result<Self, Complaint> {
        let found = ALL.iter().find(|(_, name, _)| *name == text).map(|(version, ..)| *version);
        found.ok_or_else(|| {
            let why = format!("Ignition {} is not known here", plain(text));
            let fix = "--ignition takes 3.2.0 and 3.3.0 (every OpenShift that onloadd runs on, 4.13 and later), 3.4.0 (4.14 and later) and 3.5.0 (4.19 and later)";
            refuse(why, fix)
        })
    }

    /// The version of Butane's `openshift` that makes it.
    pub fn butane(self) -> Option<&'static str> {
        ALL.iter().find(|(version, ..)| *version == self).and_then(|(.., butane)| *butane)
    }
}

/// The types of a version differ in what is not used here, so the same words make each.
macro_rules! config {
    ($version:ident, $variant:ident, $parts:expr) => {{
        use ignition_config::$version::{Config as Whole, Dropin, File, Resource, Storage, Systemd, Unit};
        let mut files = Vec::new();
        for (path, file) in &$parts.files {
            let carried = carry(&file.content)?;
            let mut one = File::new(path.clone());
            one.mode = Some(file.mode.number());
            // A file of the same name that is there before would fail the first boot.
            one.overwrite = Some(true);
            one.contents = Some(Resource {
                source: Some(carried.url),
                // Said also where there is none: a MachineConfig that is merged over another keeps what
                // it does not say.
                compression: Some(if carried.gzip { "gzip" } else { "" }.to_owned()),
                ..Resource::default()
            });
            files.push(one);
        }
        let units = $parts.units.iter().map(|(name, unit)| {
            let mut one = Unit::new(name.clone());
            one.enabled = Some(unit.enabled);
            one.contents.clone_from(&unit.text);
            let drop_ins = unit.drop_ins.iter().map(|(name, text)| {
                let mut drop_in = Dropin::new(name.clone());
                drop_in.contents = Some(text.clone());
                drop_in
            });
            one.dropins = Some(drop_ins.collect::<Vec<_>>()).filter(|all| !all.is_empty());
            one
        });
        let units: Vec<_> = units.collect();
        let whole = Whole {
            storage: Some(files).filter(|all| !all.is_empty()).map(|files| {
                Storage { files: Some(files), ..Storage::default() }
            }),
            systemd: Some(units)
                .filter(|all| !all.is_empty())
                .map(|units| Systemd { units: Some(units) }),
            ..Whole::default()
        };
        Config::$variant(whole)
    }};
}

/// The configuration of a node.
///
/// # Errors
/// There is no memory to compress content in.
pub fn config(version: Version, parts: &Parts) -> io::Result<Config> {
    Ok(match version {
        Version::V3_2 => config!(v3_2, V3_2, parts),
        Version::V3_3 => config!(v3_3, V3_3, parts),
        Version::V3_4 => config!(v3_4, V3_4, parts),
        Version::V3_5 => config!(v3_5, V3_5, parts),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed test is what a panic is for.

    use super::super::mode::Mode;
    use super::super::parts::Unit;
    use super::*;

    fn parts() -> Parts {
        let mut parts = Parts::default();
        parts.file("/etc/a", "text\n", Mode::COMMON).unwrap();
        parts.file("/etc/b", "hash\n", Mode::SECRET).unwrap();
        parts.file("/usr/local/bin/c", "#!/bin/sh\n", Mode::PROGRAM).unwrap();
        let drop_ins = [("10-x.conf".to_owned(), "[Unit]\n".to_owned())].into();
        let text = Some("[Service]\n".to_owned());
        parts.unit("a.service", Unit { enabled: true, text, drop_ins }).unwrap();
        parts
    }

    #[test]
    fn the_librarys_own_reader_takes_each_version_and_finds_no_key_it_does_not_know() {
        for (version, name, _) in ALL {
            assert_eq!(Version::parse(name), Ok(version));
            let made = config(version, &parts()).unwrap();
            let json = serde_json::to_vec(&made).unwrap();
            let (read, warnings) = Config::parse_slice(&json).unwrap();
            assert_eq!(read, made, "{name}");
            assert!(warnings.is_empty(), "{name}: {warnings:?}");
            let value: serde_json::Value = serde_json::from_slice(&json).unwrap();
            assert_eq!(value["ignition"]["version"], name);
            let modes: Vec<_> = value["storage"]["files"]
                .as_array()
                .unwrap()
                .iter()
                .map(|file| file["mode"].as_i64().unwrap())
                .collect();
            assert_eq!(modes, [0o644, 0o600, 0o755], "{name}");
        }
        let unknown = Version::parse("3.6.0").unwrap_err();
        assert!(unknown.fix.contains("3.5.0"));
    }

    #[test]
    fn nothing_is_nothing() {
        let made = config(Version::V3_4, &Parts::default()).unwrap();
        let value = serde_json::to_value(&made).unwrap();
        assert_eq!(value.as_object().unwrap().keys().collect::<Vec<_>>(), ["ignition"]);
    }
}

//! `profile list`: what can be named. Fragments cannot, and are left out.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;

use onload_core::profile::SUFFIX;
use serde::Serialize;

use super::Directory;
use crate::ended::Ended;
use crate::render::Page;
use crate::render::paint::{Paint, plain};
use crate::render::table::{Cell, table};

/// What there is.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Profiles {
    profiles: Vec<Profile>,
    /// Where was looked, the first first.
    directories: Vec<String>,
    /// Directories that cannot be read, and why.
    unreadable: BTreeMap<String, String>,
}

/// One that can be named.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Profile {
    name: String,
    path: String,
    /// user, release, host or directory.
    from: String,
    /// Files of the same name that it stands before.
    masks: Vec<String>,
}

/// Reads them.
pub(super) fn read(directories: &[Directory]) -> Result<Profiles, Ended> {
    let mut found: BTreeMap<String, Profile> = BTreeMap::new();
    let mut unreadable = BTreeMap::new();
    for Directory { path, from } in directories {
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => {
                unreadable.insert(path.clone(), error.to_string());
                continue;
            }
        };
        for entry in entries {
            let file = entry.map_err(Ended::Output)?.file_name();
            let Some(name) = file.to_str().and_then(|file| file.strip_suffix(SUFFIX)) else {
                continue;
            };
            let path = format!("{path}/{name}{SUFFIX}");
            // A link counts as what it leads to.
            if !fs::metadata(&path).is_ok_and(|file| file.is_file()) {
                continue;
            }
            if let Some(first) = found.get_mut(name) {
                first.masks.push(path);
                continue;
            }
            let (from, masks) = ((*from).to_owned(), Vec::new());
            found.insert(name.to_owned(), Profile { name: name.to_owned(), path, from, masks });
        }
    }
    Ok(Profiles {
        profiles: found.into_values().collect(),
        directories: directories.iter().map(|one| one.path.clone()).collect(),
        unreadable,
    })
}

/// The names that a directory of the user's own has; none where it cannot be read.
pub(in crate::commands) fn names(directory: &str) -> Vec<String> {
    let of_user = Directory { path: directory.to_owned(), from: "user" };
    let found = read(&[of_user]).unwrap_or_default();
    found.profiles.into_iter().map(|profile| profile.name).collect()
}

impl Page for Profiles {
    fn text(&self, _now: u64) -> String {
        let mut text = if self.profiles.is_empty() {
            format!("no profile is in {}\n", plain(&self.directories.join(", ")))
        } else {
            let rows: Vec<_> = self.profiles.iter().map(Profile::row).collect();
            table(&["PROFILE", "FROM", "PATH"], &rows)
        };
        for (directory, why) in &self.unreadable {
            text += &format!("\n{} cannot be read: {}\n", plain(directory), plain(why));
        }
        text
    }
}

impl Profile {
    fn row(&self) -> Vec<Cell> {
        let masks = match self.masks.len() {
            0 => String::new(),
            _ => format!(" (before {})", self.masks.join(", ")),
        };
        vec![
            Cell::painted(&self.name, Paint::Strong),
            Cell::new(&self.from),
            Cell::new(format!("{}{masks}", self.path)),
        ]
    }
}

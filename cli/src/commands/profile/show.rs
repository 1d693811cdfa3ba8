//! `profile show`: a profile as it is written.

use std::collections::BTreeMap;

use onload_core::profile::imports;
use serde::Serialize;

use super::{Directory, find, name_of};
use crate::ended::Ended;
use crate::render::Page;
use crate::render::paint::{Paint, plain};

/// One profile.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Shown {
    name: String,
    path: String,
    /// user, release, host, directory or file.
    from: String,
    /// Profiles and fragments that it names.
    imports: Vec<String>,
    text: String,
    /// Why `imports` is not known.
    unreadable: BTreeMap<String, String>,
}

/// Reads it.
pub fn read(directories: &[Directory], profile: &str) -> Result<Shown, Ended> {
    let what = format!("profile {} is not shown", plain(profile));
    let (path, from, bytes) = find(directories, profile, &what)?;
    let mut unreadable = BTreeMap::new();
    let imports = imports(&path, &bytes).unwrap_or_else(|refused| {
        unreadable.insert("imports".to_owned(), refused.to_string());
        Vec::new()
    });
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let name = name_of(profile).to_owned();
    Ok(Shown { name, path, from: from.to_owned(), imports, text, unreadable })
}

impl Page for Shown {
    /// The head is in comments, so that what is printed is a profile as well.
    fn text(&self, _now: u64) -> String {
        let mut text = format!("# {} ({})\n", plain(&self.path), self.from);
        if !self.imports.is_empty() {
            text += &format!("# imports {}\n", plain(&self.imports.join(", ")));
        }
        if let Some(why) = self.unreadable.get("imports") {
            text += &format!("# {}\n", plain(why));
        }
        let mut text = format!("{}\n\n", Paint::Dim.style().style(text.trim_end()));
        for line in self.text.lines() {
            // Tabs are as harmless as they are common.
            text += &line.split('\t').map(plain).collect::<Vec<_>>().join("\t");
            text.push('\n');
        }
        text
    }
}

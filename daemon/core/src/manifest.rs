//! What a capture says that it holds, and how what is there differs from it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::secure_boot::hex;

/// What it is called, at the top of the capture.
pub const FILE: &str = "capture.json";
/// Its form.
pub const SCHEMA: u32 = 1;
/// Where machines are in a capture.
pub const NODES: &str = "nodes/";
/// Names in one line of what differs.
const NAMED: usize = 5;

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Below the top.
    pub path: String,
    /// How long it is.
    pub bytes: u64,
    /// SHA-256 over it, in hexadecimal digits; none in a manifest that was written by hand.
    #[serde(default)]
    pub sha256: Option<String>,
    /// Whether it can be run, which a replay asks; none as above.
    #[serde(default)]
    pub executable: Option<bool>,
}

/// A symbolic link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Below the top.
    pub path: String,
    /// What stands in it.
    pub target: String,
}

/// What of a manifest is read back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Manifest {
    /// Its form.
    pub schema: u32,
    /// Files.
    #[serde(default)]
    pub files: Vec<Listed>,
    /// Links; none in a manifest that knows of none.
    #[serde(default)]
    pub links: Option<Vec<Link>>,
    /// Directories without anything in them; none as above.
    #[serde(default)]
    pub directories: Option<Vec<String>>,
}

/// What lies at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A file of that length, with that sum, that can be run or not.
    File(u64, Option<String>, Option<bool>),
    /// A link with that target.
    Link(String),
    /// A directory without anything in it.
    Directory,
    /// What no capture has, or what is not looked into.
    Other,
}

/// Paths at which something else is than the manifest says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// Something else is there.
    pub changed: Vec<String>,
    /// Nothing is there.
    pub missing: Vec<String>,
    /// The manifest knows nothing of it.
    pub extra: Vec<String>,
}

/// SHA-256 over what comes piece by piece.
#[derive(Clone, Debug, Default)]
pub struct Sum(Sha256);

impl Sum {
    /// The next piece.
    pub fn add(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// In hexadecimal digits.
    pub fn digits(self) -> String {
        hex(&self.0.finalize())
    }
}

impl Listed {
    /// A file that holds this.
    pub fn of(path: &str, content: &[u8], executable: bool) -> Self {
        let mut sum = Sum::default();
        sum.add(content);
        let bytes = content.len() as u64;
        Self {
            path: path.to_owned(),
            bytes,
            sha256: Some(sum.digits()),
            executable: Some(executable),
        }
    }

    fn content(&self) -> Content {
        Content::File(self.bytes, self.sha256.clone(), self.executable)
    }
}

impl Manifest {
    /// The length that a file has by it.
    pub fn bytes(&self) -> BTreeMap<&str, u64> {
        self.files.iter().map(|file| (file.path.as_str(), file.bytes)).collect()
    }

    /// How what is there differs.
    pub fn differences(&self, there: &BTreeMap<String, Content>) -> Differences {
        let files = self.files.iter().map(|file| (file.path.as_str(), file.content()));
        let links = self.links.iter().flatten();
        let links = links.map(|link| (link.path.as_str(), Content::Link(link.target.clone())));
        let directories = self.directories.iter().flatten();
        let directories = directories.map(|path| (path.as_str(), Content::Directory));
        let listed: BTreeMap<&str, Content> = files.chain(links).chain(directories).collect();
        let mut found = Differences::default();
        for (path, content) in &listed {
            match there.get(*path) {
                None => found.missing.push((*path).to_owned()),
                Some(now) if !content.is(now) => found.changed.push((*path).to_owned()),
                Some(_) => {}
            }
        }
        let is_told = |content: &Content| match content {
            Content::File(..) | Content::Other => true,
            Content::Link(_) => self.links.is_some(),
            Content::Directory => self.directories.is_some(),
        };
        let extra = there.iter().filter(|(path, now)| {
            path.starts_with(NODES) && is_told(now) && !listed.contains_key(path.as_str())
        });
        found.extra = extra.map(|(path, _)| path.clone()).collect();
        found
    }
}

impl Content {
    /// Whether that is what is there; what one of both does not tell is not compared.
    fn is(&self, now: &Self) -> bool {
        fn same<T: PartialEq>(one: Option<&T>, other: Option<&T>) -> bool {
            one.zip(other).is_none_or(|(one, other)| one == other)
        }
        match (self, now) {
            (Self::File(bytes, sum, runs), Self::File(now, other, run)) => {
                bytes == now
                    && same(sum.as_ref(), other.as_ref())
                    && same(runs.as_ref(), run.as_ref())
            }
            (Self::Other, Self::Other) => false,
            (one, other) => one == other,
        }
    }
}

impl Differences {
    /// A line for each kind of them.
    pub fn lines(&self) -> Vec<String> {
        let kinds = [
            (&self.changed, "differ from what was captured"),
            (&self.missing, "are missing"),
            (&self.extra, "were not captured"),
        ];
        let told = kinds.into_iter().filter(|(paths, _)| !paths.is_empty());
        told.map(|(paths, what)| {
            let mut line = format!("{} of its files {what}:", paths.len());
            for path in paths.iter().take(NAMED) {
                // Writing into a string does not fail; what could steer a terminal is escaped.
                let _ = write!(line, " {}", path.escape_debug());
            }
            if paths.len() > NAMED {
                line.push_str(" …");
            }
            line
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(text: &str) -> Manifest {
        serde_json::from_str(text).unwrap()
    }

    fn file(path: &str, content: &[u8]) -> (String, Content) {
        let listed = Listed::of(path, content, false);
        (path.to_owned(), listed.content())
    }

    fn link(path: &str, target: &str) -> (String, Content) {
        (path.to_owned(), Content::Link(target.to_owned()))
    }

    #[test]
    fn a_sum_is_that_of_the_standard() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Listed::of("x", b"abc", false).sha256.as_deref(), Some(abc));
        let mut sum = Sum::default();
        sum.add(b"a");
        sum.add(b"bc");
        assert_eq!(sum.digits(), abc, "FIPS 180-2, appendix B.1");
    }

    #[test]
    fn what_was_changed_removed_or_added_is_told_by_name() {
        let listed = [
            Listed::of("version", b"1", false),
            Listed::of("nodes/n/a", b"a", false),
            Listed::of("nodes/n/empty", b"", false),
        ];
        let links = [Link { path: "nodes/n/l".to_owned(), target: "a".to_owned() }];
        let manifest = Manifest {
            schema: 1,
            files: listed.into(),
            links: Some(links.into()),
            directories: Some(vec!["nodes/n/d".to_owned()]),
        };
        let directory = |path: &str| (path.to_owned(), Content::Directory);
        let whole = [
            file("version", b"1"),
            file("nodes/n/a", b"a"),
            file("nodes/n/empty", b""),
            link("nodes/n/l", "a"),
            directory("nodes/n/d"),
        ];
        let differences =
            |there: &[(String, Content)]| manifest.differences(&there.iter().cloned().collect());
        assert_eq!(differences(&whole), Differences::default());
        assert!(differences(&whole).lines().is_empty());
        let other = [
            file("nodes/n/a", b"b"),
            link("nodes/n/l", "b"),
            ("nodes/n/empty".to_owned(), Content::Other),
            file("nodes/n/\u{1b}", b""),
            directory("nodes/n/e"),
            link("nodes/n/m", "a"),
            file("must-gather.log", b"of another program"),
        ];
        assert_eq!(
            differences(&other).lines(),
            [
                "3 of its files differ from what was captured: nodes/n/a nodes/n/empty nodes/n/l",
                "2 of its files are missing: nodes/n/d version",
                "3 of its files were not captured: nodes/n/\\u{1b} nodes/n/e nodes/n/m",
            ]
        );
        let program = Listed::of("nodes/n/a", b"a", true).content();
        let swapped = [
            ("nodes/n/a".to_owned(), program),
            link("nodes/n/empty", "x"),
            file("nodes/n/l", b"a"),
        ];
        assert_eq!(differences(&swapped).changed, ["nodes/n/a", "nodes/n/empty", "nodes/n/l"]);
    }

    #[test]
    fn what_a_manifest_does_not_tell_is_not_compared() {
        let old = manifest(r#"{"schema": 1, "files": [{"path": "nodes/n/a", "bytes": 1}]}"#);
        let there = |content: &[u8]| {
            let directory = ("nodes/n/d".to_owned(), Content::Directory);
            [file("nodes/n/a", content), link("nodes/n/l", "a"), directory].into()
        };
        assert_eq!(old.differences(&there(b"x")), Differences::default());
        assert_eq!(old.differences(&there(b"xy")).changed, ["nodes/n/a"]);
        assert_eq!(manifest(r#"{"schema": 2}"#).schema, 2);
    }

    #[test]
    fn a_long_list_is_cut() {
        let extra = (0..7).map(|number| format!("nodes/{number}")).collect();
        let found = Differences { extra, ..Differences::default() };
        let line = "7 of its files were not captured: nodes/0 nodes/1 nodes/2 nodes/3 nodes/4 …";
        assert_eq!(found.lines(), [line]);
    }
}

//! Simulated machines of a test's own: a shipped one with something added.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use tempfile::NamedTempFile;

use crate::node::Node;

/// The line of the shipped world after which its release's tables may follow.
const BEFORE: &str = "\n[[release.module]]\n";

/// The world `two-x2522` with these profiles in its release: file name and text. The file must live
/// as long as the node.
///
/// # Errors
/// The shipped world cannot be read, or the file not written.
pub fn with_profiles(files: &[(&str, &str)]) -> anyhow::Result<NamedTempFile> {
    let shipped = fs::read_to_string(Node::repository("packaging/worlds/two-x2522.toml"))?;
    let (head, tail) = shipped.split_once(BEFORE).context("the world has no release")?;
    let mut world = tempfile::Builder::new().suffix(".toml").tempfile()?;
    writeln!(world, "{head}\n[release.profile-files]")?;
    for (name, text) in files {
        writeln!(world, "{name:?} = {text:?}")?;
    }
    write!(world, "{BEFORE}{tail}")?;
    Ok(world)
}

/// A profile of the tests' own collection, as [`with_profiles`] takes it.
///
/// # Errors
/// There is none of that name.
pub fn profile(name: &str) -> anyhow::Result<String> {
    let path = Node::repository("tests/profiles").join(Path::new(name));
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

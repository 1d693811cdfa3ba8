//! A capture as `onloadctl capture` lays it out: where in it the machine is that `--root` means. What the
//! machine holds is not looked at here.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// By it a capture is known.
const MANIFEST: &str = "capture.json";
/// What of the manifest is understood here.
const SCHEMA: u32 = 1;
/// It lists some hundred files, or some thousand, with 100 bytes each.
const MANIFEST_BYTES: u64 = 16 << 20;
const UNPACK: &str = "unpack it with `tar -xzf`, and name the directory that is in it: --root DIR";

/// Where things are in a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// The machine's root.
    pub machine: PathBuf,
    /// The root of its configuration.
    pub configuration: PathBuf,
}

/// Why a capture is not to be used, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// Why.
    pub why: String,
    /// What to do.
    pub fix: &'static str,
}

/// What is read of the manifest.
#[derive(Debug, Deserialize)]
struct Manifest {
    schema: u32,
}

/// Finds the machine in a capture; none where the directory is a root by itself.
///
/// # Errors
/// It is a capture without a machine, with several, or of a form that is not known here.
pub fn find(root: &Path) -> Result<Option<Captured>, Unusable> {
    if root.is_file() {
        return Err(Unusable { why: format!("{} is a file", root.display()), fix: UNPACK });
    }
    let path = root.join(MANIFEST);
    if root == Path::new("/") || path.symlink_metadata().is_err() {
        return Ok(None);
    }
    let again = "take the capture again, or unpack its archive again";
    let refuse = |why: String, fix| Unusable { why: format!("{}: {why}", root.display()), fix };
    let text = read(&path).map_err(|error| refuse(format!("{MANIFEST}: {error}"), again))?;
    let manifest: Manifest = serde_json::from_str(&text)
        .map_err(|error| refuse(format!("{MANIFEST} is damaged: {error}"), again))?;
    if manifest.schema != SCHEMA {
        let why = format!("it is a capture of form {}, and {SCHEMA} is known", manifest.schema);
        return Err(refuse(why, "use the onloadd of the version that took it, or a later one"));
    }
    let nodes = nodes(root).map_err(|error| refuse(format!("nodes: {error}"), again))?;
    match nodes.as_slice() {
        [node] => Ok(Some(Captured {
            machine: node.join("machine"),
            configuration: node.join("onloadd/configuration"),
        })),
        [] => {
            let why = "no machine is in it: onloadd could not look at it then".to_owned();
            Err(refuse(why, "see the gaps in its capture.json, and capture it again as root"))
        }
        [_, ..] => {
            let names = nodes.iter().filter_map(|node| node.file_name());
            let names: Vec<_> = names.map(|name| name.to_string_lossy()).collect();
            let why = format!("it is of several nodes: {}", names.join(", "));
            Err(refuse(why, "name one: --root CAPTURE/nodes/NODE/machine"))
        }
    }
}

/// Directories of nodes that have a machine, in order. No link is followed: it would lead out of the capture.
fn nodes(root: &Path) -> io::Result<Vec<PathBuf>> {
    let is_directory =
        |path: &Path| path.symlink_metadata().is_ok_and(|found| found.file_type().is_dir());
    let mut nodes = Vec::new();
    for entry in fs::read_dir(root.join("nodes"))? {
        let node = entry?.path();
        if is_directory(&node) && is_directory(&node.join("machine")) {
            nodes.push(node);
        }
    }
    nodes.sort();
    Ok(nodes)
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(MANIFEST_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

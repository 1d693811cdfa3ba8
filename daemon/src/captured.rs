//! A capture as `onloadctl capture` writes it, packed or not: where in it the machine is that `--root` means.
//! What the machine holds is not looked at here.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use onload_core::manifest::{FILE as MANIFEST, Manifest, SCHEMA};

pub use self::unpack::Unpacked;
use crate::store::archive::{Cancel, Waiting};

mod compare;
mod unpack;

/// It has some 250 bytes for each of the files that there may be.
const MANIFEST_BYTES: u64 = 64 << 20;
const AGAIN: &str = "take the capture again, or have its archive sent again";

/// Where things are in a capture.
#[derive(Debug)]
pub struct Captured {
    /// The machine's root.
    pub machine: PathBuf,
    /// The root of its configuration.
    pub configuration: PathBuf,
    /// In what it is not what was captured, a line each. Told and no more: who reads a bug report wants to see
    /// the machine, and may have changed a file to see what becomes of it.
    pub differences: Vec<String>,
    /// What of it was unpacked, gone with this.
    pub unpacked: Option<Unpacked>,
}

/// Why a capture is not to be used, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// Why.
    pub why: String,
    /// What to do.
    pub fix: String,
}

/// Whether a root is an archive, which is unpacked before anything is looked at.
pub fn is_packed(root: &Path) -> bool {
    root.is_file()
}

/// Opens a capture, unpacked where it is an archive; none where the directory is a root by itself. What was
/// begun is removed when the future is dropped.
///
/// # Errors
/// It is a capture without a machine, with several, or of a form that is not known here; or an archive of
/// something else, or one that cannot be unpacked.
pub async fn open(root: &Path) -> Result<Option<Captured>, Unusable> {
    if !is_packed(root) {
        return look(root, root).await;
    }
    let unpacked = unpack::unpack(root).await?;
    let found = match unpacked.top() {
        Some(top) => look(&top, root).await?,
        None => None,
    };
    let captured = found.ok_or_else(|| Unusable {
        why: format!("{}: no {MANIFEST} is in it, by which a capture is known", root.display()),
        fix: "name an archive that `onloadctl capture` wrote; a root of another kind, unpacked"
            .to_owned(),
    })?;
    Ok(Some(Captured { unpacked: Some(unpacked), ..captured }))
}

/// Finds the machine, where reading takes its time and is ended when the future is dropped.
async fn look(root: &Path, called: &Path) -> Result<Option<Captured>, Unusable> {
    let (root, called, cancel) = (root.to_owned(), called.to_owned(), Cancel::default());
    let _waiting = Waiting::on(&cancel);
    let found = tokio::task::spawn_blocking(move || find(&root, &called, &cancel)).await;
    found.unwrap_or_else(|error| {
        Err(Unusable { why: error.to_string(), fix: "report it".to_owned() })
    })
}

/// Finds the machine in a capture that is called so.
fn find(root: &Path, called: &Path, cancel: &Cancel) -> Result<Option<Captured>, Unusable> {
    let path = root.join(MANIFEST);
    if root == Path::new("/") || path.symlink_metadata().is_err() {
        return Ok(None);
    }
    let refuse = |why: String, fix: &str| Unusable {
        why: format!("{}: {why}", called.display()),
        fix: fix.to_owned(),
    };
    let text = read(&path).map_err(|error| refuse(format!("{MANIFEST}: {error}"), AGAIN))?;
    let manifest: Manifest = serde_json::from_str(&text)
        .map_err(|error| refuse(format!("{MANIFEST} is damaged: {error}"), AGAIN))?;
    if manifest.schema != SCHEMA {
        let why = format!("it is a capture of form {}, and {SCHEMA} is known", manifest.schema);
        return Err(refuse(why, "use the onloadd of the version that took it, or a later one"));
    }
    let nodes = nodes(root).map_err(|error| refuse(format!("nodes: {error}"), AGAIN))?;
    let node = match nodes.as_slice() {
        [node] => node,
        [] => {
            let why = "no machine is in it: onloadd could not look at it then".to_owned();
            let fix = "see the gaps in its capture.json, and capture it again as root";
            return Err(refuse(why, fix));
        }
        [_, ..] => {
            let names = nodes.iter().filter_map(|node| node.file_name());
            let names: Vec<_> = names.map(|name| name.to_string_lossy()).collect();
            let why = format!("it is of several nodes: {}", names.join(", "));
            return Err(refuse(why, "name one: --root CAPTURE/nodes/NODE/machine"));
        }
    };
    let ours = node.join("onloadd");
    let configuration = ours.join("configuration");
    if [&ours, &configuration].iter().any(|path| path.is_symlink()) {
        return Err(refuse("its configuration lies behind a link".to_owned(), AGAIN));
    }
    let differences = match compare::there(root, &manifest, cancel) {
        Ok(there) => manifest.differences(&there).lines(),
        Err(error) => vec![format!("it was not compared with its {MANIFEST}: {error}")],
    };
    let machine = node.join("machine");
    Ok(Some(Captured { machine, configuration, differences, unpacked: None }))
}

/// Directories of nodes that have a machine, in order. No link is followed: it would lead out of the capture.
fn nodes(root: &Path) -> io::Result<Vec<PathBuf>> {
    let is_directory =
        |path: &Path| path.symlink_metadata().is_ok_and(|found| found.file_type().is_dir());
    let mut nodes = Vec::new();
    if !is_directory(&root.join("nodes")) {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    for entry in fs::read_dir(root.join("nodes"))? {
        let node = entry?.path();
        if is_directory(&node) && is_directory(&node.join("machine")) {
            nodes.push(node);
        }
    }
    nodes.sort();
    Ok(nodes)
}

/// The manifest itself, and no link to another file; nor is a pipe waited for.
fn read(path: &Path) -> io::Result<String> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = fs::File::options().read(true).custom_flags(flags.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text = String::new();
    let length = file.take(MANIFEST_BYTES + 1).read_to_string(&mut text)?;
    if length as u64 > MANIFEST_BYTES {
        return Err(io::Error::other(format!("it is larger than {MANIFEST_BYTES} bytes")));
    }
    Ok(text)
}

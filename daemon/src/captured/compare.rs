//! What lies in a capture, to be compared with what its manifest says. No link is followed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::fcntl::OFlag;
use onload_core::manifest::{Content, Manifest, NODES, Sum};

/// Directories in one path, and files in all: as many as an archive may have.
const MOST_DEPTH: usize = 64;
const MOST_FILES: usize = 200_000;

/// Files and links of a capture: all of them where machines are, and elsewhere what is listed, as other
/// programs lay their files beside. A file that is not as long as it should be is not read.
pub(super) fn there(root: &Path, manifest: &Manifest) -> io::Result<BTreeMap<String, Content>> {
    let lengths = manifest.bytes();
    let mut all = BTreeMap::new();
    for path in lengths.keys().filter(|path| is_below(path) && !path.starts_with(NODES)) {
        if let Some(content) = content(&root.join(path), lengths.get(path).copied())? {
            all.insert((*path).to_owned(), content);
        }
    }
    walk(root, NODES.trim_end_matches('/'), &lengths, 0, &mut all)?;
    Ok(all)
}

/// Whether a path of the manifest stays in the capture: it may have been made by anybody.
fn is_below(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

fn walk(
    root: &Path,
    directory: &str,
    lengths: &BTreeMap<&str, u64>,
    depth: usize,
    all: &mut BTreeMap<String, Content>,
) -> io::Result<()> {
    if depth > MOST_DEPTH || all.len() > MOST_FILES {
        return Err(io::Error::other(format!("{directory}: too many directories or files")));
    }
    for entry in fs::read_dir(root.join(directory))? {
        let entry = entry?;
        let path = format!("{directory}/{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            walk(root, &path, lengths, depth + 1, all)?;
        } else if let Some(content) = content(&entry.path(), lengths.get(path.as_str()).copied())? {
            all.insert(path, content);
        }
    }
    Ok(())
}

/// What lies there; none where nothing does.
fn content(path: &Path, length: Option<u64>) -> io::Result<Option<Content>> {
    let found = match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found?,
    };
    if found.is_symlink() {
        let target = fs::read_link(path)?;
        return Ok(Some(Content::Link(target.to_string_lossy().into_owned())));
    }
    if !found.is_file() || length != Some(found.len()) {
        return Ok(Some(Content::File(found.len(), None)));
    }
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let mut file = File::options().read(true).custom_flags(flags.bits()).open(path)?;
    let (mut sum, mut piece) = (Sum::default(), [0; 32 << 10]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(Some(Content::File(found.len(), Some(sum.digits())))),
            read => sum.add(piece.get(..read).unwrap_or_default()),
        }
    }
}

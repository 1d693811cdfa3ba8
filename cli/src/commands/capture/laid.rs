//! A capture as files in a directory that is there. Whoever may write in it cannot lead the capture out of
//! it: below the directory no link is followed. The manifest comes last, so that what has one is
//! whole; what was laid before something failed is taken away again, and nothing else.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::MANIFEST;
use super::tree::{Entry, PRIVATE, Tree};
use crate::commands::keys::directory::Directory;

/// What was made, by path below the top.
#[derive(Debug)]
enum Made {
    Directory(String),
    /// A file or a link.
    Name(String),
}

struct Laid {
    top: Directory,
    made: Vec<Made>,
}

/// Lays the tree into the directory.
pub(super) fn lay(directory: &Path, tree: &Tree) -> io::Result<()> {
    let (top, _) = Directory::of(&directory.join(MANIFEST))?;
    let mut laid = Laid { top, made: Vec::new() };
    for (path, entry) in in_order(tree) {
        if let Err(error) = laid.add(path, entry) {
            laid.undo();
            return Err(error);
        }
    }
    Ok(())
}

/// The manifest last.
fn in_order(tree: &Tree) -> Vec<(&str, &Entry)> {
    let (last, mut all): (Vec<_>, Vec<_>) = tree.entries().partition(|(path, _)| *path == MANIFEST);
    all.extend(last);
    all
}

/// The directory that a path is in, and its name there.
fn parted(path: &str) -> (&str, &OsStr) {
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
    (parent, OsStr::new(name))
}

impl Laid {
    fn add(&mut self, path: &str, entry: &Entry) -> io::Result<()> {
        let (parent, name) = parted(path);
        let told = |error: io::Error| io::Error::new(error.kind(), format!("{path}: {error}"));
        match entry {
            Entry::Directory => self.directory(path).map(drop),
            Entry::Link(target) => {
                let place = self.directory(parent)?;
                place.link(name, OsStr::new(target)).map_err(told)?;
                self.made.push(Made::Name(path.to_owned()));
                Ok(())
            }
            Entry::File { content, mode } => {
                let place = self.directory(parent)?;
                let mut file = place.create(name).map_err(told)?;
                self.made.push(Made::Name(path.to_owned()));
                if *mode != PRIVATE {
                    file.set_permissions(Permissions::from_mode(*mode)).map_err(told)?;
                }
                file.write_all(content).map_err(told)
            }
        }
    }

    /// A directory by its path, made where it is not there yet.
    fn directory(&mut self, path: &str) -> io::Result<Directory> {
        let mut place = self.top.enter(OsStr::new("."))?;
        for (end, name) in steps(path) {
            let so_far = path.get(..end).unwrap_or(path);
            place = match place.enter(name) {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    let made = place.create_directory(name);
                    if made.is_ok() {
                        self.made.push(Made::Directory(so_far.to_owned()));
                    }
                    made
                }
                Err(_) if place.look(name).is_ok_and(|kind| kind.is_symlink()) => {
                    let why = "it is a link, and nothing is laid through one";
                    Err(io::Error::new(ErrorKind::InvalidInput, why))
                }
                entered => entered,
            }
            .map_err(|error| io::Error::new(error.kind(), format!("{so_far}: {error}")))?;
        }
        Ok(place)
    }

    /// Takes away what was made, the last first: so a directory is empty unless somebody else put
    /// something there, and then it stays.
    fn undo(&self) {
        for made in self.made.iter().rev() {
            let (Made::Directory(path) | Made::Name(path)) = made;
            let (parent, name) = parted(path);
            // Through a link that was put there since, nothing is taken away either.
            let Ok(place) = self.found(parent) else { continue };
            match made {
                Made::Directory(_) => place.remove_directory(name),
                Made::Name(_) => place.remove(name),
            }
        }
    }

    fn found(&self, path: &str) -> io::Result<Directory> {
        let top = self.top.enter(OsStr::new("."))?;
        steps(path).try_fold(top, |place, (_, name)| place.enter(name))
    }
}

/// Names in a path, and where each ends.
fn steps(path: &str) -> impl Iterator<Item = (usize, &OsStr)> {
    let mut next = 0;
    path.split('/').filter_map(move |name| {
        let end = next + name.len();
        next = end + 1;
        (!name.is_empty()).then_some((end, OsStr::new(name)))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect ends there")]

    use std::fs;
    use std::os::unix::fs::symlink;

    use super::super::machine::Private;
    use super::*;

    fn tree() -> Tree {
        let mut tree = Tree::default();
        for path in
            [MANIFEST, "nodes/a/machine/proc/cmdline", "nodes/a/onloadd/status.json", "version"]
        {
            tree.file(path, path.as_bytes().to_vec());
        }
        tree
    }

    /// What is in a directory, as a capture would take it in.
    fn names(directory: &Path) -> Vec<String> {
        let mut there = Tree::default();
        there.take("", directory).unwrap();
        let below = there.entries().filter_map(|(path, _)| path.strip_prefix('/'));
        below.filter(|path| !path.contains('/')).map(str::to_owned).collect()
    }

    #[test]
    fn the_manifest_comes_last() {
        let tree = tree();
        let order = in_order(&tree);
        assert_eq!(order.len(), 4);
        assert_eq!(order.last().map(|(path, _)| *path), Some(MANIFEST));
    }

    #[test]
    fn all_of_it_is_laid_beside_what_is_there() {
        let place = Private::new().unwrap();
        fs::create_dir_all(place.path().join("nodes/b")).unwrap();
        lay(place.path(), &tree()).unwrap();
        assert_eq!(names(place.path()), [MANIFEST, "nodes", "version"]);
        assert_eq!(names(&place.path().join("nodes")), ["a", "b"]);
        let file = place.path().join("nodes/a/machine/proc/cmdline");
        assert_eq!(fs::read(&file).unwrap(), b"nodes/a/machine/proc/cmdline");
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
    }

    #[test]
    fn what_was_laid_goes_where_not_all_can_be_and_what_was_there_stays() {
        // The last but one cannot be made, and then the manifest.
        for taken in ["version", MANIFEST] {
            let place = Private::new().unwrap();
            fs::write(place.path().join(taken), "mine").unwrap();
            fs::create_dir_all(place.path().join("nodes/a/kept")).unwrap();
            let error = lay(place.path(), &tree()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AlreadyExists);
            assert!(error.to_string().starts_with(&format!("{taken}: ")), "{error}");
            assert_eq!(names(place.path()), {
                let mut left = ["nodes", taken];
                left.sort_unstable();
                left
            });
            assert_eq!(fs::read(place.path().join(taken)).unwrap(), b"mine");
            assert_eq!(names(&place.path().join("nodes/a")), ["kept"]);
        }
    }

    #[test]
    fn no_link_leads_out_of_it() {
        let outside = Private::new().unwrap();
        for (link, above) in [("nodes", ""), ("nodes/a", "nodes"), ("nodes/a/onloadd", "nodes/a")] {
            let place = Private::new().unwrap();
            fs::create_dir_all(place.path().join(above)).unwrap();
            symlink(outside.path(), place.path().join(link)).unwrap();
            let error = lay(place.path(), &tree()).unwrap_err().to_string();
            assert_eq!(error, format!("{link}: it is a link, and nothing is laid through one"));
            assert_eq!(names(place.path()), ["nodes"], "what was laid before is gone");
            assert!(names(outside.path()).is_empty());
        }
        // One in the place of a file is no file either.
        let place = Private::new().unwrap();
        symlink(outside.path().join("version"), place.path().join("version")).unwrap();
        assert_eq!(lay(place.path(), &tree()).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert!(names(outside.path()).is_empty());
    }
}

//! A file in the making beside the one whose place it takes: the old one is whole until the new one
//! is, and then the new one is found by the old name, with its owner, mode and labels.
//!
//! The directory may belong to somebody else, who can rename what is in it. That needs no refusal:
//! what is written comes from the opened old file alone and goes back to that file's owner, so nobody
//! gets to read more than before; and a draft that lost its name takes nobody's place.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt as _, fchown};

use rustix::fs::{XattrFlags, fgetxattr, fgetxattr_query, flistxattr, flistxattr_query, fsetxattr};
use rustix::io::Errno;

use super::directory::{Directory, same_file};

/// Names tried before giving up: a run that was killed may have left some.
const TRIES: u32 = 16;
/// Attributes that speak of the old content: a new file with them would be refused by IMA and EVM.
const OF_CONTENT: [&str; 2] = ["security.ima", "security.evm"];

/// The file in the making. It goes away when dropped.
#[derive(Debug)]
pub struct Draft<'a> {
    directory: &'a Directory,
    name: OsString,
    /// Open for reading and writing. Its name is for nobody to read or write by.
    pub file: File,
    placed: bool,
}

impl<'a> Draft<'a> {
    /// Begins one beside the file of a name, usable by its owner only.
    ///
    /// # Errors
    /// Nothing can be made there.
    pub fn beside(directory: &'a Directory, name: &OsStr) -> io::Result<Self> {
        for attempt in 0..TRIES {
            // Ends in nothing that depmod takes for a module.
            let mut hidden = OsString::from(".");
            hidden.push(name);
            hidden.push(format!(".{}-{attempt}.new", std::process::id()));
            match directory.create(&hidden) {
                Ok(file) => return Ok(Self { directory, name: hidden, file, placed: false }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(ErrorKind::AlreadyExists, "names for a new file are taken"))
    }

    /// Leaves only what it begins with.
    ///
    /// # Errors
    /// The file system fails.
    pub fn cut(&self, beginning: &[u8]) -> io::Result<()> {
        self.file.set_len(beginning.len() as u64)
    }

    /// Puts it in the place of `old`, which was open as `file` and looked like `seen` then.
    ///
    /// # Errors
    /// Something of the old one cannot be carried over, somebody changed either of them meanwhile, or
    /// the file system fails. The old one is untouched then, by us.
    pub fn replace(mut self, old: &OsStr, file: &File, seen: &Metadata) -> io::Result<()> {
        let changed = || io::Error::new(ErrorKind::ResourceBusy, "somebody changed it meanwhile");
        let ours = self.file.metadata()?;
        if (ours.uid(), ours.gid()) != (seen.uid(), seen.gid()) {
            fchown(&self.file, Some(seen.uid()), Some(seen.gid()))?;
        }
        copy_attributes(file, &self.file)?;
        // After the owner: changing that takes bits away.
        self.file.set_permissions(seen.permissions())?;
        self.file.sync_all()?;
        let now = self.directory.look(old)?;
        let same = |a: &Metadata| (a.dev(), a.ino(), a.len(), a.mtime(), a.mtime_nsec());
        if same(&now) != same(seen) || !self.is_called(&self.name) {
            return Err(changed());
        }
        self.directory.rename(&self.name, old)?;
        self.placed = true;
        // Whoever was quicker only moved a file of his own, and it is not said to be signed.
        if self.is_called(old) { Ok(()) } else { Err(changed()) }
    }

    fn is_called(&self, name: &OsStr) -> bool {
        let both = self.file.metadata().and_then(|ours| Ok((ours, self.directory.look(name)?)));
        both.is_ok_and(|(ours, found)| same_file(&ours, &found))
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if !self.placed {
            self.directory.remove(&self.name);
        }
    }
}

/// Carries over labels and access lists that differ from those a new file gets by itself.
fn copy_attributes(from: &File, to: &File) -> io::Result<()> {
    let mut names = vec![0u8; flistxattr_query(from).or_else(none)?];
    let length = if names.is_empty() { 0 } else { flistxattr(from, &mut names)? };
    let names = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    for name in names {
        if OF_CONTENT.iter().any(|content| content.as_bytes() == name) {
            continue;
        }
        let value = attribute(from, name)?;
        if attribute(to, name).ok() != Some(value.clone()) {
            fsetxattr(to, name, &value, XattrFlags::empty())?;
        }
    }
    Ok(())
}

fn attribute(file: &File, name: &[u8]) -> io::Result<Vec<u8>> {
    let mut value = vec![0u8; fgetxattr_query(file, name)?];
    let length = if value.is_empty() { 0 } else { fgetxattr(file, name, &mut value)? };
    value.truncate(length);
    Ok(value)
}

/// A file system without attributes has none to lose.
fn none(error: Errno) -> Result<usize, Errno> {
    if error == Errno::NOTSUP || error == Errno::NOSYS { Ok(0) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed test is what a panic is for.

    use std::fs;

    use super::*;

    #[test]
    fn a_draft_goes_away_unless_it_takes_its_place() {
        let place = std::env::temp_dir().join(format!("onloadctl-draft-{}", std::process::id()));
        fs::create_dir_all(&place).unwrap();
        let file = place.join("a.ko");
        fs::write(&file, "old").unwrap();
        let (directory, name) = Directory::of(&file).unwrap();
        drop(Draft::beside(&directory, &name).unwrap());
        assert_eq!(fs::read_dir(&place).unwrap().count(), 1);

        let open = directory.open(&name).unwrap();
        let seen = open.metadata().unwrap();
        let refused = |draft: Draft<'_>| {
            let error = draft.replace(&name, &open, &seen).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ResourceBusy);
            assert_eq!(fs::read_dir(&place).unwrap().count(), 1);
        };
        // Somebody else's file has the draft's name by now.
        let draft = Draft::beside(&directory, &name).unwrap();
        fs::remove_file(place.join(&draft.name)).unwrap();
        fs::write(place.join(&draft.name), "theirs").unwrap();
        refused(draft);
        assert_eq!(fs::read(&file).unwrap(), b"old");

        let draft = Draft::beside(&directory, &name).unwrap();
        fs::write(&file, "changed").unwrap();
        refused(draft);
        assert_eq!(fs::read(&file).unwrap(), b"changed");
        fs::remove_dir_all(&place).unwrap();
    }
}

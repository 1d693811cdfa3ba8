//! What of a source is kept: files go to a staging directory under numbers, their names are
//! remembered; layers of an image are told apart, since their order comes last.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use onload_core::refusal::Refusal;

use super::budget::Budget;
use super::stream::{self, Content};
use super::tarball::{self, Member, MemberKind};
use super::{fault, image, place};

/// One kept member of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    File(Staged),
    /// A symbolic link and what stands in it.
    Symlink(String),
    /// Another name of the member of that path.
    Hardlink(String),
    /// What takes the place of something kept and is not kept itself.
    Cover,
}

/// A file in the staging directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Staged {
    pub(super) number: usize,
    pub(super) executable: bool,
}

/// What is kept of one archive or directory, in its order.
#[derive(Clone, Debug, Default)]
pub(super) struct Layer {
    pub(super) entries: Vec<(String, Entry)>,
    /// Paths that layers below lose, with all that lies below them.
    pub(super) removed: Vec<String>,
    /// Directories of which layers below lose all content.
    pub(super) emptied: Vec<String>,
}

/// All that was kept of a source.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) tree: Layer,
    /// Archives in the source that may be layers of an image, by path; of a broken one, why.
    pub(super) layers: BTreeMap<String, Result<Layer, Refusal>>,
    /// Lists of an image, by path.
    pub(super) lists: BTreeMap<String, Vec<u8>>,
    /// Links among the layers of an image.
    pub(super) aliases: BTreeMap<String, String>,
    /// Members that were not kept.
    pub(super) skipped: u64,
}

/// Takes members of a source.
pub(super) struct Collector<'b> {
    pub(super) budget: &'b Budget,
    staging: PathBuf,
    staged: usize,
    pub(super) collected: Collected,
}

/// Whiteouts of an image layer (OCI image specification, layer.md).
const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";
/// Bytes copied at once.
const PIECE: usize = 128 << 10;

impl<'b> Collector<'b> {
    pub(super) fn new(budget: &'b Budget, staging: &Path) -> Self {
        let staging = staging.to_owned();
        Self { budget, staging, staged: 0, collected: Collected::default() }
    }

    /// Where a staged file lies.
    pub(super) fn path_of(staging: &Path, staged: Staged) -> PathBuf {
        staging.join(staged.number.to_string())
    }

    /// One member of the source itself.
    pub(super) fn take(&mut self, member: Member, reader: &mut dyn Read) -> Result<(), Refusal> {
        let path = &member.path;
        match &member.kind {
            MemberKind::File(_) if image::may_be_layer(path) || image::may_be_list(path) => {
                let path = path.clone();
                self.take_part(&path, reader)
            }
            MemberKind::Symlink(target) if image::may_be_layer(path) => {
                self.collected.aliases.insert(path.clone(), target.clone());
                Ok(())
            }
            MemberKind::File(_)
            | MemberKind::Directory
            | MemberKind::Symlink(_)
            | MemberKind::Hardlink(_)
            | MemberKind::Special(_) => {
                let mut tree = std::mem::take(&mut self.collected.tree);
                let taken = self.take_into(&mut tree, member, reader);
                self.collected.tree = tree;
                taken
            }
        }
    }

    /// What may be a part of an image: an archive is a layer, the rest a list.
    fn take_part(&mut self, path: &str, reader: &mut dyn Read) -> Result<(), Refusal> {
        let budget = self.budget;
        let mut stream = stream::unpack(Box::new(reader), budget)
            .map_err(|error| budget.refusal(path, &error))?;
        match stream.content {
            Content::Tar => {
                let mut layer = Layer::default();
                let read =
                    tarball::read(path, &mut stream.reader, budget, &mut |member, reader| {
                        self.take_of_layer(&mut layer, member, reader)
                    });
                if let Some(why) = budget.stopped() {
                    return Err(why);
                }
                self.collected.layers.insert(path.to_owned(), read.map(|()| layer));
                Ok(())
            }
            Content::Other if image::may_be_list(path) => {
                let list = budget.list(path, &mut stream.reader)?;
                self.collected.lists.insert(path.to_owned(), list);
                Ok(())
            }
            Content::Other => {
                self.collected.skipped += 1;
                Ok(())
            }
        }
    }

    fn take_of_layer(
        &mut self,
        layer: &mut Layer,
        member: Member,
        reader: &mut dyn Read,
    ) -> Result<(), Refusal> {
        let (directory, name) = member.path.rsplit_once('/').unwrap_or(("", &member.path));
        if name == OPAQUE {
            layer.emptied.push(directory.to_owned());
            self.budget.keep()
        } else if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            let slash = if directory.is_empty() { "" } else { "/" };
            let path = format!("{directory}{slash}{hidden}");
            if place::of(&path).is_some() || place::may_hold(&path) {
                layer.removed.push(path);
                self.budget.keep()?;
            }
            Ok(())
        } else {
            self.take_into(layer, member, reader)
        }
    }

    fn take_into(
        &mut self,
        layer: &mut Layer,
        Member { path, kind }: Member,
        reader: &mut dyn Read,
    ) -> Result<(), Refusal> {
        let Some(place) = place::of(&path) else {
            self.collected.skipped += u64::from(kind != MemberKind::Directory);
            if kind != MemberKind::Directory && place::may_hold(&path) {
                layer.entries.push((path, Entry::Cover));
                self.budget.keep()?;
            }
            return Ok(());
        };
        let entry = match kind {
            MemberKind::Directory => return Ok(()),
            MemberKind::Special(what) => {
                return Err(fault::forbidden(&path, &format!("is {what}")));
            }
            MemberKind::File(bits) if bits.special => {
                return Err(fault::forbidden(&path, "has a set-user-id or similar bit"));
            }
            MemberKind::File(bits) => {
                let number = self.stage(&path, place.module, reader)?;
                Entry::File(Staged { number, executable: bits.executable && !place.module })
            }
            MemberKind::Symlink(target) => {
                inside(&path, &target)?;
                Entry::Symlink(target)
            }
            MemberKind::Hardlink(target) => Entry::Hardlink(target),
        };
        self.budget.keep()?;
        layer.entries.push((path, entry));
        Ok(())
    }

    /// Copies a kept file, unpacked where it is a module. Returns its number.
    fn stage(&mut self, path: &str, module: bool, reader: &mut dyn Read) -> Result<usize, Refusal> {
        let budget = self.budget;
        let number = self.staged;
        let to = self.staging.join(number.to_string());
        let unwritten = |error: io::Error| fault::unwritten(&to, &error);
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&to)
            .map_err(unwritten)?;
        self.staged += 1;
        let mut unpacked;
        let reader: &mut dyn Read = if module {
            unpacked = stream::unpack(Box::new(reader), budget)
                .map_err(|error| budget.refusal(path, &error))?
                .reader;
            &mut unpacked
        } else {
            reader
        };
        let (mut piece, mut length) = (vec![0; PIECE], 0);
        loop {
            let read = match reader.read(&mut piece) {
                Ok(0) => return Ok(number),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(budget.refusal(path, &error)),
            };
            length += read as u64;
            budget.keep_bytes(path, length, read as u64)?;
            file.write_all(&piece[..read]).map_err(unwritten)?;
        }
    }
}

/// The path that a link at `path` leads to, cleaned.
pub(super) fn inside(path: &str, target: &str) -> Result<String, Refusal> {
    let refuse = |why: &str| {
        Err(fault::forbidden(path, &format!("is a link to {}, {why}", fault::shown(target))))
    };
    if target.starts_with('/') {
        return refuse("an absolute path");
    }
    if target.chars().any(char::is_control) {
        return refuse("which has control characters");
    }
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                if parts.pop().is_none() {
                    return refuse("out of the tree");
                }
            }
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

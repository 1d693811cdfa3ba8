//! Module files below the root: read once, then known by what the file system says of them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use onload_core::inventory::STACK;
use onload_core::names::{KernelRelease, ModuleName};
use onload_core::reading::Reading;
use onload_core::release::ModuleFile;

use super::root::{Dir, Kind, Node};
use crate::module_file::{self, ModuleFileError, stand_in};

/// What `modprobe` opens; the kernel's build compresses to one of these.
const SUFFIXES: [&str; 4] = [".ko", ".ko.xz", ".ko.zst", ".ko.gz"];
/// How deep a release's tree is searched. Packages put modules one or two directories down
/// (reference/onload-modules.md section 3).
const DEPTH: usize = 6;
/// Module of releases before 9.0, beside the four (reference/onload-modules.md section 2).
pub(super) const DRIVERLINK: &str = "sfc_driverlink";

/// Module files read before.
#[derive(Debug, Default)]
pub(super) struct ModuleFiles {
    read: RefCell<BTreeMap<String, Known>>,
    look: Cell<u64>,
}

#[derive(Debug)]
struct Known {
    node: Node,
    /// What it says, or why it says nothing.
    said: Result<ModuleFile, String>,
    /// The look that asked last.
    look: u64,
}

/// The modules of one release that matter here, by the kernel they are for.
#[derive(Debug, Default)]
pub(super) struct Trees {
    pub(super) modules: Reading<BTreeMap<KernelRelease, BTreeMap<ModuleName, ModuleFile>>>,
    /// Those that do not read, and why.
    pub(super) damaged: BTreeMap<KernelRelease, BTreeMap<ModuleName, String>>,
}

impl Trees {
    /// Adds one; of two with a name the first counts.
    pub(super) fn add(
        &mut self,
        kernel: &KernelRelease,
        name: ModuleName,
        file: Reading<ModuleFile>,
    ) {
        match file {
            Reading::Known(file) => {
                if let Reading::Known(modules) = &mut self.modules {
                    modules.entry(kernel.clone()).or_default().entry(name).or_insert(file);
                }
            }
            Reading::Absent => {}
            Reading::Unreadable(why) => {
                self.damaged.entry(kernel.clone()).or_default().entry(name).or_insert(why);
            }
        }
    }
}

impl ModuleFiles {
    /// What a module file says; `path` lies below the root.
    pub(super) fn read(&self, root: &Dir, path: &str) -> Reading<ModuleFile> {
        let said = root.node(path).and_then(|node| self.at(root, path, node));
        let kept = said.as_ref().map(stand_in::write);
        root.keep(path, &kept);
        said
    }

    fn at(&self, root: &Dir, path: &str, node: Node) -> Reading<ModuleFile> {
        let mut read = self.read.borrow_mut();
        let look = self.look.get();
        let said = match read.get_mut(path) {
            Some(known) if known.node == node => {
                known.look = look;
                known.said.clone()
            }
            Some(_) | None => {
                let said = match root.file(path) {
                    Reading::Known(mut file) => {
                        let path = format!("/{}", path.trim_start_matches('/'));
                        module_file::read(&mut file, &path, module_file::MOST_BYTES)
                    }
                    Reading::Absent => return Reading::Absent,
                    Reading::Unreadable(why) => return Reading::Unreadable(why),
                };
                // The next look may fare better.
                if let Err(error @ ModuleFileError::Read(_)) = &said {
                    return Reading::Unreadable(error.to_string());
                }
                let said = said.map_err(|error| error.to_string());
                read.insert(path.to_owned(), Known { node, said: said.clone(), look });
                said
            }
        };
        said.map_or_else(Reading::Unreadable, Reading::Known)
    }

    /// Ends a look: what it did not ask for is forgotten.
    pub(super) fn forget_others(&self) {
        let look = self.look.get();
        self.read.borrow_mut().retain(|_, known| known.look == look);
        self.look.set(look.wrapping_add(1));
    }
}

/// The module that a file name stands for.
pub(super) fn module_name(file: &str) -> Option<ModuleName> {
    let stem = SUFFIXES.into_iter().find_map(|suffix| file.strip_suffix(suffix))?;
    stem.replace('-', "_").parse().ok()
}

/// Whether a release may bring it.
pub(super) fn is_of_a_release(name: &ModuleName) -> bool {
    STACK.contains(&name.as_str()) || name.as_str() == DRIVERLINK
}

/// A module tree of a release, such as `lib/modules`: a directory for each kernel, anything below.
pub(super) fn tree(root: &Dir, place: &str, files: &ModuleFiles) -> Trees {
    let mut trees = Trees::default();
    let kernels = match root.list(place) {
        Reading::Known(entries) => entries,
        Reading::Absent => return trees,
        Reading::Unreadable(why) => {
            return Trees { modules: Reading::Unreadable(why), ..trees };
        }
    };
    trees.modules = Reading::Known(BTreeMap::new());
    // Links are left out: that to the kernel's own tree in an image leads out of the release
    // (reference/kubernetes-onload.md section 4.5).
    for (name, _) in kernels.iter().filter(|(_, kind)| **kind == Kind::Directory) {
        let Ok(kernel) = name.parse() else { continue };
        below(root, &format!("{place}/{name}"), DEPTH, &mut |name, path| {
            trees.add(&kernel, name, files.read(root, path));
        });
    }
    trees
}

fn below(root: &Dir, place: &str, depth: usize, found: &mut impl FnMut(ModuleName, &str)) {
    for (name, kind) in root.list(place).into_known().unwrap_or_default() {
        let path = format!("{place}/{name}");
        if kind == Kind::Directory {
            if depth > 0 {
                below(root, &path, depth - 1, found);
            }
        } else if let Some(name) = module_name(&name).filter(is_of_a_release) {
            found(name, &path);
        }
    }
}

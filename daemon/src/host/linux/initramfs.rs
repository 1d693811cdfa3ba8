//! The initramfs of each kernel on the disk: where it lies, and what of the stack and of our pins it
//! carries. Read once and behind the loop, for it takes seconds; then known by what the file system says of it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use onload_core::inventory::STACK;
use onload_core::names::{KernelRelease, ModuleName};
use onload_core::reading::Reading;
use onload_core::release::initramfs::{Carried, Initramfs};
use onload_core::release::{Kernel, ModuleFile};
use tokio::sync::Notify;

use super::module_files::module_name;
use super::pins;
use super::root::{Dir, Kind, Node};
use crate::initramfs::{self, Bounds, Wanted};

/// When an initramfs is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Pace {
    /// Within the look: on a root that does not change, and for a recording.
    AtOnce,
    /// Beside it, one after the other; a later look tells.
    #[default]
    Beside,
    /// Not at all: before the network there is no time, and the daemon that comes after tells.
    Never,
}

/// What was read before, and what is being read.
#[derive(Debug)]
pub(super) struct InitramfsFiles {
    pace: Cell<Pace>,
    known: RefCell<BTreeMap<KernelRelease, Known>>,
    /// The one that a thread has; a thread has at most one.
    under_way: Cell<bool>,
    sender: Sender<(KernelRelease, Known)>,
    read: Receiver<(KernelRelease, Known)>,
    bell: Arc<Notify>,
}

#[derive(Debug)]
struct Known {
    path: String,
    node: Node,
    said: Result<Initramfs, String>,
}

impl InitramfsFiles {
    pub(super) fn new(pace: Pace) -> Self {
        let (sender, read) = channel();
        Self {
            pace: Cell::new(pace),
            known: RefCell::default(),
            under_way: Cell::new(false),
            sender,
            read,
            bell: Arc::default(),
        }
    }

    /// From now on read in another way; gives the former.
    pub(super) fn set(&self, pace: Pace) -> Pace {
        self.pace.replace(pace)
    }

    /// Ends when one was read beside a look.
    pub(super) async fn read_one(&self) {
        self.bell.notified().await;
    }

    /// Adds to each kernel what its initramfs carries.
    pub(super) fn add_to(&self, root: &Dir, kernels: &mut BTreeMap<KernelRelease, Kernel>) {
        let mut known = self.known.borrow_mut();
        for (kernel, read) in self.read.try_iter() {
            self.under_way.set(false);
            known.insert(kernel, read);
        }
        known.retain(|kernel, _| kernels.contains_key(kernel));
        if self.pace.get() == Pace::Never {
            return;
        }
        for (name, kernel) in kernels {
            kernel.initramfs = match lies_at(root, name) {
                Reading::Known((path, node)) => self.one(root, name, path, node, &mut known),
                Reading::Absent => Reading::Absent,
                Reading::Unreadable(why) => Reading::Unreadable(why),
            };
        }
    }

    fn one(
        &self,
        root: &Dir,
        kernel: &KernelRelease,
        path: String,
        node: Node,
        known: &mut BTreeMap<KernelRelease, Known>,
    ) -> Reading<Initramfs> {
        let same = |known: &&Known| known.path == path && known.node == node;
        if known.get(kernel).filter(same).is_none() {
            if self.pace.get() == Pace::Beside && self.under_way.get() {
                return Reading::Absent;
            }
            let file = match root.file(&path) {
                Reading::Known(file) => file,
                Reading::Absent => return Reading::Absent,
                Reading::Unreadable(why) => return Reading::Unreadable(format!("/{path}: {why}")),
            };
            if self.pace.get() == Pace::Beside {
                self.begin(kernel.clone(), path, node, file);
                return Reading::Absent;
            }
            let said = read(file, kernel, &path);
            known.insert(kernel.clone(), Known { path: path.clone(), node, said });
        }
        let said = match known.get(kernel).map(|known| &known.said) {
            Some(Ok(initramfs)) => Reading::Known(initramfs.clone()),
            Some(Err(why)) => Reading::Unreadable(why.clone()),
            None => Reading::Absent,
        };
        root.keep(&path, &said.as_ref().map(|said| stand_in(said, kernel)));
        said
    }

    /// Reads in a thread of its own. It is not waited for: whoever ends the daemon ends it.
    fn begin(&self, kernel: KernelRelease, path: String, node: Node, file: File) {
        let (sender, bell) = (self.sender.clone(), Arc::clone(&self.bell));
        let thread = thread::Builder::new().name("initramfs".to_owned()).spawn(move || {
            let said = read(file, &kernel, &path);
            // Nobody listens any more where the daemon ends.
            let _ = sender.send((kernel, Known { path, node, said }));
            bell.notify_one();
        });
        match thread {
            Ok(_) => self.under_way.set(true),
            Err(error) => tracing::warn!(%error, "an initramfs is not looked into yet"),
        }
    }
}

/// Where the initramfs of a kernel may lie: the Fedora family, Debian, SUSE, boot loader entries by
/// machine, image-based hosts. The first that is there counts.
fn lies_at(root: &Dir, kernel: &KernelRelease) -> Reading<(String, Node)> {
    let mut places = vec![
        format!("boot/initramfs-{kernel}.img"),
        format!("boot/initrd.img-{kernel}"),
        format!("boot/initrd-{kernel}"),
    ];
    if let Reading::Known(machine) = root.unrecorded().line("etc/machine-id")
        && machine.bytes().all(|byte| byte.is_ascii_hexdigit())
    {
        places.extend(
            ["boot", "boot/efi", "efi"].map(|of| format!("{of}/{machine}/{kernel}/initrd")),
        );
    }
    places.push(format!("usr/lib/modules/{kernel}/initramfs.img"));
    for place in places {
        match file(root, &place) {
            Reading::Known(node) => return Reading::Known((place, node)),
            Reading::Absent => {}
            Reading::Unreadable(why) => return Reading::Unreadable(format!("/{place}: {why}")),
        }
    }
    // Several deployments may have one for the same kernel; the youngest is the next to boot.
    let deployments = root.unrecorded().list("boot/ostree").into_known().unwrap_or_default();
    let places = deployments.into_keys().filter_map(|deployment| {
        let place = format!("boot/ostree/{deployment}/initramfs-{kernel}.img");
        file(root, &place).into_known().map(|node| (place, node))
    });
    places.max_by_key(|(_, node)| node.modified).into()
}

fn file(root: &Dir, place: &str) -> Reading<Node> {
    root.node(place).and_then(|node| match node.kind {
        Kind::File => Reading::Known(node),
        Kind::Directory | Kind::Link | Kind::Socket | Kind::Character { .. } | Kind::Other => {
            Reading::Absent
        }
    })
}

fn read(file: File, kernel: &KernelRelease, path: &str) -> Result<Initramfs, String> {
    let wanted = |path: &str| match pins::inside(path) {
        true => Some(Wanted::Text),
        false => module_of(path, kernel).map(Wanted::Module),
    };
    let found = initramfs::search(file, &wanted, Bounds::default());
    let found = found.map_err(|error| format!("/{path}: {error}"))?;
    let carried = |file: ModuleFile| Carried {
        version: file.version,
        srcversion: file.srcversion,
        in_tree: file.in_tree,
    };
    let modules = found.modules.into_iter().map(|(name, file)| (name, carried(file))).collect();
    Ok(Initramfs { path: format!("/{path}"), modules, pins: pins::carried(&found.texts) })
}

/// The module of the stack that a path inside is. Those of other kernels are not loaded.
fn module_of(path: &str, kernel: &KernelRelease) -> Option<ModuleName> {
    let below = path.strip_prefix("usr/").unwrap_or(path).strip_prefix("lib/modules/")?;
    let below = below.strip_prefix(kernel.as_str())?.strip_prefix('/')?;
    module_name(below.rsplit('/').next()?).filter(|name| STACK.contains(&name.as_str()))
}

/// What a recording keeps.
fn stand_in(initramfs: &Initramfs, kernel: &KernelRelease) -> Vec<u8> {
    let file = |carried: &Carried| ModuleFile {
        version: carried.version.clone(),
        srcversion: carried.srcversion.clone(),
        in_tree: carried.in_tree,
        ..ModuleFile::default()
    };
    let files: Vec<_> =
        initramfs.modules.iter().map(|(name, carried)| (name, file(carried))).collect();
    let files = files.iter().map(|(name, file)| (*name, file));
    initramfs::stand_in(files, &format!("usr/lib/modules/{kernel}"), &pins::texts(&initramfs.pins))
}

#[cfg(test)]
mod tests;

//! The kernels on the disk: what their own module files show, and what of releases lies among them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use onload_core::inventory::STACK;
use onload_core::names::{KernelRelease, ModuleName};
use onload_core::reading::Reading;
use onload_core::release::{Kernel, ModuleFile, Symbols};

use super::module_files::{DRIVERLINK, ModuleFiles, Trees, is_of_a_release, module_name};
use super::root::{Dir, Kind, Node};

/// Where module trees lie; the first is a link to the second where `/usr` is merged.
const PLACES: [&str; 2] = ["lib/modules", "usr/lib/modules"];
/// Where the kernel's build puts its own `sfc`.
const IN_TREE_DIRECTORY: &str = "kernel/drivers/net/ethernet/sfc";
/// Modules of the kernel whose imports show checksums of what a network driver needs.
const SAMPLES: [&str; 5] = ["sfc", "mtd", "ptp", "bonding", "tun"];
/// A line of `modules.dep` for each of some thousand modules: 1 MB in a distribution's kernel.
const INDEX_BYTES: usize = 64 << 20;
/// Longest path that is looked at in a line.
const PATH_BYTES: usize = 4096;

/// What `modules.dep` and `modules.builtin` of each kernel said of the modules that matter here.
#[derive(Debug, Default)]
pub(super) struct Indexes(RefCell<BTreeMap<KernelRelease, Index>>);

#[derive(Clone, Debug, Default)]
struct Index {
    /// The two files as they were.
    nodes: [Option<Node>; 2],
    /// What was looked for.
    wanted: BTreeSet<ModuleName>,
    /// Modules as files, with their paths.
    files: Found,
    /// Modules that are part of the kernel.
    built_in: Found,
    /// Checksums that the samples show together, and each alone.
    symbols: (Symbols, Vec<Symbols>),
}

/// Paths below the tree by module, and the first that is the kernel's own.
#[derive(Clone, Debug, Default)]
struct Found {
    paths: BTreeMap<ModuleName, String>,
    first: Option<String>,
}

/// What lies in the module trees of the kernels.
#[derive(Debug, Default)]
pub(super) struct Own {
    pub(super) kernels: Reading<BTreeMap<KernelRelease, Kernel>>,
    /// What modprobe would take, without the kernels' own.
    pub(super) host: Trees,
    /// The kernels' own `sfc`.
    pub(super) in_tree: Trees,
}

/// Every module that files name as a dependency.
pub(super) fn dependencies(
    modules: &Reading<BTreeMap<KernelRelease, BTreeMap<ModuleName, ModuleFile>>>,
) -> BTreeSet<ModuleName> {
    let files = modules.known().into_iter().flat_map(BTreeMap::values).flat_map(BTreeMap::values);
    files.flat_map(|file| file.depends.iter().cloned()).collect()
}

/// Reads every kernel's tree. `depends` is what the imported releases depend on.
pub(super) fn read(
    root: &Dir,
    mut depends: BTreeSet<ModuleName>,
    files: &ModuleFiles,
    indexes: &Indexes,
) -> Own {
    let mut own = Own::default();
    let mut listed = PLACES.into_iter().map(|place| (place, root.list(place)));
    let Some((place, listed)) = listed.find(|(_, listed)| !listed.is_absent()) else {
        return own;
    };
    let entries = match listed {
        Reading::Known(entries) => entries,
        Reading::Absent => return own,
        Reading::Unreadable(why) => {
            own.host.modules = Reading::Unreadable(why.clone());
            own.in_tree.modules = Reading::Unreadable(why.clone());
            own.kernels = Reading::Unreadable(why);
            return own;
        }
    };
    own.host.modules = Reading::Known(BTreeMap::new());
    own.in_tree.modules = Reading::Known(BTreeMap::new());
    let directories = entries.iter().filter(|(_, kind)| **kind == Kind::Directory);
    let kernels = directories.filter_map(|(name, _)| name.parse::<KernelRelease>().ok());
    let kernels: Vec<_> = kernels.map(|kernel| (format!("{place}/{kernel}"), kernel)).collect();
    indexes.0.borrow_mut().retain(|known, _| kernels.iter().any(|(_, kernel)| kernel == known));
    let fixed = STACK.into_iter().chain([DRIVERLINK]).chain(SAMPLES);
    let mut wanted: BTreeSet<ModuleName> = fixed.filter_map(|name| name.parse().ok()).collect();
    wanted.extend(depends.iter().cloned());
    let mut own_sfc = BTreeMap::new();
    for (tree, kernel) in &kernels {
        own_sfc.extend(of_kernel(root, tree).map(|path| (kernel.clone(), path)));
        if let Reading::Known(index) = indexes.read(root, tree, kernel, &wanted) {
            for_releases(root, tree, kernel, &index, own_sfc.get(kernel), files, &mut own);
        }
    }
    depends.extend(dependencies(&own.host.modules));
    depends.extend(dependencies(&own.in_tree.modules));
    wanted.extend(depends.iter().cloned());
    let found = kernels.into_iter().filter_map(|(tree, kernel)| {
        let seen = match indexes.read(root, &tree, &kernel, &wanted) {
            Reading::Known(index) => {
                let sfc = own_sfc.get(&kernel);
                one_kernel(root, &tree, &kernel, &index, sfc, &depends, (files, indexes))
            }
            Reading::Absent => return None,
            Reading::Unreadable(why) => Kernel {
                machine: Reading::Unreadable(why.clone()),
                vermagic: Reading::Unreadable(why),
                ..Kernel::default()
            },
        };
        Some((kernel, seen))
    });
    own.kernels = Reading::Known(found.collect());
    own
}

/// The path of the kernel's own `sfc` below the root.
fn of_kernel(root: &Dir, tree: &str) -> Option<String> {
    let place = format!("{tree}/{IN_TREE_DIRECTORY}");
    let names = root.list(&place).into_known()?;
    let is_sfc = |name: &&String| module_name(name).is_some_and(|name| name.as_str() == "sfc");
    names.keys().find(is_sfc).map(|name| format!("{place}/{name}"))
}

/// Sorts the files of one kernel into `host` and `in-tree`. What the build of the kernel marked as
/// its own is its own wherever it lies: DKMS puts others below `kernel/` too
/// (reference/onload-modules.md section 3).
fn for_releases(
    root: &Dir,
    tree: &str,
    kernel: &KernelRelease,
    index: &Index,
    own_sfc: Option<&String>,
    files: &ModuleFiles,
    own: &mut Own,
) {
    if let (Some(path), Ok(sfc)) = (own_sfc, "sfc".parse()) {
        let file = files.read(root, path);
        if file.known().is_none_or(|file| file.in_tree) {
            own.in_tree.add(kernel, sfc, file);
        }
    }
    for (name, path) in index.files.paths.iter().filter(|(name, _)| is_of_a_release(name)) {
        let path = in_tree(tree, path);
        if own_sfc == Some(&path) {
            continue;
        }
        let file = files.read(root, &path);
        if file.known().is_none_or(|file| !file.in_tree) {
            own.host.add(kernel, name.clone(), file);
        }
    }
}

fn one_kernel(
    root: &Dir,
    tree: &str,
    name: &KernelRelease,
    index: &Index,
    own_sfc: Option<&String>,
    depends: &BTreeSet<ModuleName>,
    (files, indexes): (&ModuleFiles, &Indexes),
) -> Kernel {
    let samples = SAMPLES.into_iter().filter_map(|name| {
        let found = index.files.paths.iter().find(|(found, _)| found.as_str() == name);
        // Those of others tell what their builder's kernel exported.
        found.filter(|(_, path)| path.starts_with("kernel/")).map(|(_, path)| in_tree(tree, path))
    });
    let mut paths: BTreeSet<_> = samples.chain(own_sfc.cloned()).collect();
    if paths.is_empty() {
        paths.extend(index.files.first.iter().map(|path| in_tree(tree, path)));
    }
    let (mut own, mut gap) = (Vec::new(), Reading::Absent);
    for path in &paths {
        match files.read(root, path) {
            Reading::Known(file) if file.in_tree => own.push(file),
            Reading::Known(_) | Reading::Absent => {}
            Reading::Unreadable(why) => gap = Reading::Unreadable(format!("/{path}: {why}")),
        }
    }
    let (machine, vermagic) = match own.first() {
        Some(file) => (Reading::Known(file.machine), Reading::Known(file.vermagic.clone())),
        None => (gap.clone().map(|()| 0), gap.map(|()| String::new())),
    };
    let has = |name: &&ModuleName| {
        !is_of_a_release(name)
            && (index.files.paths.contains_key(*name) || index.built_in.paths.contains_key(*name))
    };
    let symbols: Vec<_> = own.into_iter().map(|file| file.symbols).collect();
    Kernel {
        machine,
        vermagic,
        symbols: indexes.together(name, symbols),
        available: depends.iter().filter(has).cloned().collect(),
        initramfs: Reading::Absent,
    }
}

/// A path of `modules.dep`, below the root: absolute, or below the tree.
fn in_tree(tree: &str, path: &str) -> String {
    match path.strip_prefix('/') {
        Some(path) => path.to_owned(),
        None => format!("{tree}/{path}"),
    }
}

impl Indexes {
    /// What a kernel's lists say of the wanted modules. Absent where there are none: then the
    /// directory is what a removed kernel left.
    fn read(
        &self,
        root: &Dir,
        tree: &str,
        kernel: &KernelRelease,
        wanted: &BTreeSet<ModuleName>,
    ) -> Reading<Index> {
        let paths = ["modules.dep", "modules.builtin"].map(|name| format!("{tree}/{name}"));
        let mut nodes = [None, None];
        for (node, path) in nodes.iter_mut().zip(&paths) {
            match root.node(path) {
                Reading::Known(found) => *node = Some(found),
                Reading::Absent => {}
                Reading::Unreadable(why) => return Reading::Unreadable(format!("/{path}: {why}")),
            }
        }
        match nodes {
            [None, None] => return Reading::Absent,
            // modprobe finds nothing then.
            [None, Some(_)] => {
                return Reading::Unreadable(format!("/{tree}/modules.dep is not there"));
            }
            [Some(_), _] => {}
        }
        let mut known = self.0.borrow_mut();
        let former = known.get(kernel).filter(|index| index.nodes == nodes);
        if former.is_none_or(|index| !wanted.is_subset(&index.wanted)) {
            let mut wanted = wanted.clone();
            wanted.extend(former.into_iter().flat_map(|index| index.wanted.iter().cloned()));
            let [dep, builtin] = &paths;
            let found = search(root, dep, &wanted)
                .and_then(|files| Ok((files, search(root, builtin, &wanted)?)));
            let (files, built_in) = match found {
                Ok(found) => found,
                Err(why) => return Reading::Unreadable(why),
            };
            let symbols = Default::default();
            known.insert(kernel.clone(), Index { nodes, wanted, files, built_in, symbols });
        }
        let index = known.get(kernel).cloned();
        if let Some(index) = &index {
            let found = [&index.files, &index.built_in];
            for ((path, found), node) in paths.iter().zip(found).zip(&nodes) {
                if node.is_some() {
                    root.keep(path, &Reading::Known(found.text()));
                }
            }
        }
        index.into()
    }

    /// The checksums of several files as one table, made anew only when the files are others.
    fn together(&self, kernel: &KernelRelease, parts: Vec<Symbols>) -> Symbols {
        let mut known = self.0.borrow_mut();
        let Some(index) = known.get_mut(kernel) else { return Symbols::default() };
        let (all, former) = &mut index.symbols;
        let same = former.len() == parts.len()
            && former.iter().zip(&parts).all(|(former, part)| Arc::ptr_eq(former, part));
        if !same {
            let each = parts.iter().flat_map(|part| part.iter());
            *all = Arc::new(each.map(|(name, sum)| (name.clone(), *sum)).collect());
            *former = parts;
        }
        Arc::clone(all)
    }
}

/// One list, read by pieces: it is large, and hardly anything in it matters. A list that is not
/// there names nothing.
fn search(root: &Dir, path: &str, wanted: &BTreeSet<ModuleName>) -> Result<Found, String> {
    let mut search = Search { wanted, line: Vec::new(), over: false, found: Found::default() };
    match root.read_by(path, INDEX_BYTES, |piece| search.push(piece)) {
        Reading::Known(()) | Reading::Absent => Ok(search.found),
        Reading::Unreadable(why) => {
            root.keep(path, &Reading::Unreadable(why.clone()));
            Err(format!("/{path}: {why}"))
        }
    }
}

/// Lines `PATH: …` of `modules.dep`, or `PATH` of `modules.builtin`.
#[derive(Debug)]
struct Search<'a> {
    wanted: &'a BTreeSet<ModuleName>,
    line: Vec<u8>,
    /// Whether the path of this line has ended.
    over: bool,
    found: Found,
}

impl Search<'_> {
    fn push(&mut self, piece: &[u8]) {
        for byte in piece {
            match byte {
                b'\n' => {
                    self.end();
                    self.over = false;
                }
                b':' if !self.over => {
                    self.end();
                    self.over = true;
                }
                byte if !self.over && self.line.len() < PATH_BYTES => self.line.push(*byte),
                _ => {}
            }
        }
    }

    fn end(&mut self) {
        let line = std::mem::take(&mut self.line);
        let Ok(path) = String::from_utf8(line) else { return };
        let Some(name) = module_name(path.rsplit('/').next().unwrap_or_default()) else { return };
        if self.found.first.is_none() && path.starts_with("kernel/") {
            self.found.first = Some(path.clone());
        }
        if self.wanted.contains(&name) {
            self.found.paths.insert(name, path);
        }
    }
}

impl Found {
    /// What a recording keeps of a list: the lines that were looked for, found as before.
    fn text(&self) -> Vec<u8> {
        let paths = self.first.iter().chain(self.paths.values());
        paths.flat_map(|path| format!("{path}:\n").into_bytes()).collect()
    }
}

#[cfg(test)]
mod tests;

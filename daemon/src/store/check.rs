//! Whether files make a release: modules that are modules, complete for each kernel, and libraries
//! that speak to them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use onload_core::names::{InterfaceHash, ReleaseName};
use onload_core::refusal::Refusal;
use onload_core::release::{self, ModuleFile};

use super::layout::Layout;
use super::{CURRENT, fault, place};
use crate::module_file::hashes::HashSearch;
use crate::module_file::{self, ModuleFileError};

/// What each kernel must have; `sfc_driverlink` went with 9.0 (reference/kubernetes-onload.md
/// section 4.5).
const COMPLETE: [&str; 4] = ["sfc", "sfc_resource", "sfc_char", "onload"];
const ELF: &[u8; 4] = b"\x7fELF";
const STACK: &str = "onload";
const LIBRARY: &str = "libonload.so";
/// Bytes read at once.
const PIECE: usize = 128 << 10;
const NAME_IT: &str = "give it a name with --version";

type Modules = BTreeMap<String, BTreeMap<String, ModuleFile>>;

/// What a complete release says of itself.
#[derive(Debug)]
pub(super) struct Checked {
    /// Kernels it has modules for.
    pub(super) kernels: BTreeSet<String>,
    /// What its `onload` modules call it; none where they have no stamp.
    version: Option<String>,
}

/// Checks the files of a release, laid out below `tree`.
pub(super) fn check(tree: &Path, layout: &Layout) -> Result<Checked, Refusal> {
    let modules = modules(tree, layout)?;
    if modules.is_empty() {
        let why = "it has no modules of Onload (lib/modules/KERNEL/extra/onload.ko and others)";
        let fix = "give the tree that `onload_install` fills, or an onload-module image";
        return Err(fault::unfit(why, fix));
    }
    for (kernel, modules) in &modules {
        complete(kernel, modules)?;
    }
    let all = || {
        modules.iter().flat_map(|(kernel, modules)| {
            modules.iter().map(move |(name, module)| (format!("{name} for {kernel}"), module))
        })
    };
    agree(all().map(|(whose, module)| (whose, module.machine.to_string())), "ELF machine")?;
    let stacks = || all().filter(|(_, module)| module.path.ends_with("/onload.ko"));
    let version = |module: &ModuleFile| module.version.clone().unwrap_or_default();
    agree(stacks().map(|(whose, module)| (whose, version(module))), "version")?;
    let stack = stacks().next().and_then(|(_, module)| module.version.clone());
    speak(tree, layout, &modules)?;
    Ok(Checked {
        kernels: modules.keys().cloned().collect(),
        version: stack.filter(|version| !version.is_empty()),
    })
}

impl Checked {
    /// What the release is called: what was asked for, else what it says.
    pub(super) fn name(&self, asked: Option<ReleaseName>) -> Result<ReleaseName, Refusal> {
        let name = match (asked, &self.version) {
            (Some(name), _) => name,
            (None, Some(version)) => version.parse().map_err(|error| {
                fault::unfit(format!("its onload module has no usable version: {error}"), NAME_IT)
            })?,
            (None, None) => {
                return Err(fault::unfit("its onload module has no version", NAME_IT));
            }
        };
        must_be_usable(&name)?;
        Ok(name)
    }
}

/// Refuses names that mean something else in the store or to an operator.
pub(super) fn must_be_usable(name: &ReleaseName) -> Result<(), Refusal> {
    if !release::is_imported(name) || name.as_str() == CURRENT {
        let why = format!("{name} is no name for a release: it has a meaning of its own");
        return Err(fault::unfit(why, NAME_IT));
    }
    Ok(())
}

fn modules(tree: &Path, layout: &Layout) -> Result<Modules, Refusal> {
    let mut modules = Modules::new();
    for (path, (_, source)) in &layout.files {
        let Some(below) = path.strip_prefix(place::MODULE_TREES) else { continue };
        let mut parts = below.trim_start_matches('/').split('/');
        let (Some(kernel), Some(name)) = (parts.next(), parts.next_back()) else { continue };
        let at = tree.join(path);
        let module = module(&at, path).map_err(|error| {
            let why = format!("{} is no usable module: {error}", fault::shown(source));
            fault::unfit(why, "build the modules anew, or give an archive that is whole")
        })?;
        let name = name.trim_end_matches(".ko").to_owned();
        modules.entry(kernel.to_owned()).or_default().insert(name, module);
    }
    Ok(modules)
}

fn module(at: &Path, path: &str) -> Result<ModuleFile, ModuleFileError> {
    let mut file = File::open(at)?;
    let mut magic = [0; ELF.len()];
    file.read_exact(&mut magic)?;
    if magic != *ELF {
        // Packed twice, or with what we do not know: the kernel would not take it either.
        let what = "it does not begin as an ELF file";
        return Err(ModuleFileError::Damaged { offset: 0, what });
    }
    module_file::read(&mut file, path, module_file::MOST_BYTES)
}

fn complete(kernel: &str, modules: &BTreeMap<String, ModuleFile>) -> Result<(), Refusal> {
    let missing: Vec<&str> =
        COMPLETE.into_iter().filter(|name| !modules.contains_key(*name)).collect();
    if !missing.is_empty() {
        return Err(fault::unfit(
            format!(
                "for kernel {kernel} it has {} but not {}",
                list(modules.keys().map(String::as_str)),
                list(missing)
            ),
            "build and install all modules for that kernel, or leave it away",
        ));
    }
    let built_for = |module: &ModuleFile| {
        module.vermagic.split_whitespace().next().unwrap_or_default().to_owned()
    };
    agree(
        modules.iter().map(|(name, module)| (format!("{name} for {kernel}"), built_for(module))),
        "kernel in vermagic",
    )
}

/// Refuses things that differ in what they must have in common.
fn agree(mut things: impl Iterator<Item = (String, String)>, what: &str) -> Result<(), Refusal> {
    let Some((first, wanted)) = things.next() else { return Ok(()) };
    match things.find(|(_, found)| *found != wanted) {
        None => Ok(()),
        Some((other, found)) => Err(fault::unfit(
            format!(
                "its modules differ in their {what}: {first} has `{wanted}`, {other} `{found}`"
            ),
            "give modules of one build",
        )),
    }
}

/// Libraries and drivers of a release are built for one interface.
fn speak(tree: &Path, layout: &Layout, modules: &Modules) -> Result<(), Refusal> {
    let paths = layout.files.keys().chain(layout.links.keys());
    let libraries: Vec<&String> = paths.filter(|path| file_name(path) == LIBRARY).collect();
    if libraries.is_empty() {
        return Err(fault::unfit(
            "it has modules but no libraries (usr/lib64/libonload.so), as an onload-module image \
             does, and Onload works only with libraries of the same build",
            "add the libraries of the same version to it (`onload_install --userfiles` into the \
             same tree, or an image built FROM both the onload-user and the onload-module image)",
        ));
    }
    for library in libraries {
        let at = tree.join(library);
        let hashes = hashes(&at).map_err(|error| fault::unwritten(&at, &error))?;
        for (kernel, modules) in modules {
            let driver = modules.get(STACK).map(|module| &module.interfaces);
            if driver.is_none_or(|driver| driver.is_disjoint(&hashes)) {
                return Err(fault::unfit(
                    format!(
                        "{library} and the onload module for {kernel} are not of one build: \
                         they have no interface hash in common"
                    ),
                    "give libraries and modules that were built together",
                ));
            }
        }
    }
    Ok(())
}

fn hashes(path: &Path) -> io::Result<BTreeSet<InterfaceHash>> {
    let (mut file, mut search) = (File::open(path)?, HashSearch::default());
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(search.found()),
            read => search.push(&piece[..read]),
        }
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().collect::<Vec<_>>().join(", ")
}

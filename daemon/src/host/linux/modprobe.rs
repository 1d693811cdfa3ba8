//! Modules in and out by `modprobe`, so that what the host's `modprobe.d` says is honoured: options,
//! soft dependencies, `install` and `remove` lines. With `-d` it takes modules from another tree and
//! the same configuration; `tests/tests/units/modprobe.rs` holds that against the installed one.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use onload_core::names::{KernelRelease, ModuleName, ReleaseName};
use onload_core::reading::Reading;
use onload_core::release::{HOST, IN_TREE};
use onload_core::step::{Outcome, StepError};

use self::errors::{classify_load, classify_unload};
use super::root::Dir;
use super::runner::{Program, Programs};
use super::{attribute, kernel_log, modules};

mod errors;
mod removal;

/// Directory of the daemon's own for this boot.
const RUNTIME: &str = "/run/onloadd";
/// Where a kernel built with `sfc` has it, and nobody else puts one
/// (reference/onload-modules.md section 3).
const IN_TREE_DIRECTORY: &str = "kernel/drivers/net/ethernet/sfc";
/// As kernels may compress modules.
const COMPRESSIONS: [&str; 4] = ["", ".xz", ".zst", ".gz"];
/// Some 100 bytes for each of a few thousand modules, and those they depend on.
const DEPENDENCIES_BYTES: usize = 16 << 20;

/// What loading needs to know of the host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loading<'a> {
    pub(super) root: &'a Dir,
    pub(super) programs: &'a Programs,
    /// Imported releases lie in `releases` below it.
    pub(super) state_directory: &'a str,
}

impl Loading<'_> {
    /// Loads a module, with what it needs, from a release.
    pub(super) async fn load(
        &self,
        module: &ModuleName,
        release: &ReleaseName,
    ) -> Result<Outcome, StepError> {
        let tree = match release.as_str() {
            HOST => None,
            IN_TREE => self.in_tree(module).await?,
            _ => Some(self.imported(release)?),
        };
        let began = kernel_log::now();
        let ended = self.programs.run(&load(module, release, tree.as_deref())).await?;
        if ended.success {
            return Ok(Outcome::Changed);
        }
        let log = kernel_log::since(self.programs, began).await;
        Err(classify_load(module, &ended.output, &log))
    }

    /// Takes a module out, with what it alone needed. modprobe is asked where the host's configuration
    /// has a say in it, and else has nothing to add.
    pub(super) async fn unload(&self, module: &ModuleName) -> Result<Outcome, StepError> {
        let is_configured = |module: &ModuleName| removal::is_configured(self.root, module);
        let ended = if is_configured(module) {
            let ended = self.programs.run(&unload(module)).await?;
            match ended.success || !errors::is_unlisted(&ended.output) {
                true => ended,
                // It came from a tree that modprobe does not look into.
                false => self.programs.run(&remove(module, &[])).await?,
            }
        } else {
            let loaded = modules::read(self.root).into_known().unwrap_or_default();
            let needed = needed(module).iter().filter_map(|name| name.parse().ok());
            // What modprobe is to take out holds what comes after it.
            let along: Vec<_> = needed
                .filter(|name| loaded.contains_key(name))
                .take_while(|name| !is_configured(name))
                .collect();
            self.programs.run(&remove(module, &along)).await?
        };
        // It may have gone by itself in the meantime.
        let gone = modules::read(self.root).known().is_some_and(|all| !all.contains_key(module));
        if ended.success || gone {
            return Ok(Outcome::Changed);
        }
        Err(classify_unload(module, &ended.output))
    }

    /// The tree of an imported release.
    fn imported(&self, release: &ReleaseName) -> Result<String, StepError> {
        let tree = format!("{}/releases/{release}", self.state_directory);
        // It is one word among others in MODPROBE_OPTIONS.
        if tree.contains(char::is_whitespace) {
            return Err(StepError::Unsupported(format!(
                "modprobe cannot be told the path `{tree}`"
            )));
        }
        match self.root.directory(&tree) {
            Reading::Known(_) => Ok(tree),
            Reading::Absent => {
                Err(StepError::Failed(format!("release {release} is not there: {tree} is missing")))
            }
            Reading::Unreadable(why) => Err(StepError::Failed(format!("{tree}: {why}"))),
        }
    }

    /// Where modprobe finds the kernel's own module; none where it takes that one anyway. Else a
    /// tree with nothing but a link to it, made for this.
    async fn in_tree(&self, module: &ModuleName) -> Result<Option<String>, StepError> {
        let kernel = self.root.line("proc/sys/kernel/osrelease");
        let kernel: KernelRelease = match kernel.and_then(attribute::value) {
            Reading::Known(kernel) => kernel,
            Reading::Absent | Reading::Unreadable(_) => {
                return Err(StepError::Failed("the kernel does not tell its release".to_owned()));
            }
        };
        let path = format!("lib/modules/{kernel}/modules.dep");
        let list = self.root.read(&path, DEPENDENCIES_BYTES).and_then(attribute::text);
        let file = match list {
            Reading::Known(list) => match preferred(&list, module) {
                Some(file) if is_own(file, module) => return Ok(None),
                Some(_) | None => self.own_file(&kernel, module),
            },
            Reading::Absent => None,
            Reading::Unreadable(why) => return Err(StepError::Failed(format!("{path}: {why}"))),
        };
        let Some(file) = file else {
            return Err(StepError::NotFound { module: module.clone() });
        };
        let tree = Path::new(RUNTIME).join(IN_TREE);
        let made = make_tree(&tree, &kernel, &file);
        made.map_err(|error| {
            StepError::Failed(format!("{} was not made: {error}", tree.display()))
        })?;
        let tree = tree.display().to_string();
        let ended = self.programs.run(&index(&tree, &kernel)).await?;
        if ended.success {
            return Ok(Some(tree));
        }
        Err(StepError::Failed(format!("depmod made no index of {tree}: {}", ended.output.trim())))
    }

    /// The kernel's own file, whatever depmod prefers.
    fn own_file(&self, kernel: &KernelRelease, module: &ModuleName) -> Option<PathBuf> {
        let files = COMPRESSIONS.map(|compression| {
            format!("/lib/modules/{kernel}/{IN_TREE_DIRECTORY}/{module}.ko{compression}")
        });
        files.into_iter().find(|file| self.root.node(file).known().is_some()).map(PathBuf::from)
    }
}

/// The file that depmod chose for a module: `modules.dep` has `FILE: NEEDED…` lines.
fn preferred<'a>(list: &'a str, module: &ModuleName) -> Option<&'a str> {
    let mut files = list.lines().filter_map(|line| Some(line.split_once(':')?.0));
    files.find(|file| names(file, module))
}

/// Whether a file is of a module; in its name `-` and `_` are the same.
fn names(file: &str, module: &ModuleName) -> bool {
    let name = file.rsplit('/').next().unwrap_or_default();
    let stem = name.split_once(".ko").map(|(stem, _)| stem.replace('-', "_"));
    stem.is_some_and(|stem| stem == module.as_str().replace('-', "_"))
}

fn is_own(file: &str, module: &ModuleName) -> bool {
    let directory = file.rsplit_once('/').map_or("", |(directory, _)| directory);
    directory == IN_TREE_DIRECTORY && names(file, module)
}

/// A module tree of one link.
fn make_tree(tree: &Path, kernel: &KernelRelease, file: &Path) -> io::Result<()> {
    match fs::remove_dir_all(tree) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let directory = tree.join("lib/modules").join(kernel.as_str());
    fs::create_dir_all(&directory)?;
    let name = file.file_name().ok_or_else(|| io::Error::other("it has no name"))?;
    symlink(file, directory.join(name))
}

/// `install` lines call modprobe again, which takes the same tree from the environment; and tools of
/// the release, such as `onload_tool`, before the host's.
fn load(module: &ModuleName, release: &ReleaseName, tree: Option<&str>) -> Program {
    let tree_options = tree.map(|tree| ["-d".to_owned(), tree.to_owned()]);
    let below = |tree| ["usr/sbin", "sbin", "usr/bin", "bin"].map(|name| format!("{tree}/{name}"));
    Program {
        // One unit for each module, so that a second load of it cannot overlap the first.
        unit: format!("onloadd-load-{module}.service"),
        description: format!("Load kernel module {module} of {release} for onloadd"),
        name: "modprobe",
        arguments: tree_options.into_iter().flatten().chain([module.to_string()]).collect(),
        environment: tree.map(|tree| format!("MODPROBE_OPTIONS=-d {tree}")).into_iter().collect(),
        path: tree.map(below).into_iter().flatten().collect(),
    }
}

fn unload(module: &ModuleName) -> Program {
    Program {
        unit: format!("onloadd-unload-{module}.service"),
        description: format!("Unload kernel module {module} for onloadd"),
        name: "modprobe",
        arguments: vec!["-r".to_owned(), module.to_string()],
        environment: Vec::new(),
        path: Vec::new(),
    }
}

/// The kernel keeps each that is still in use, and says so of the first.
fn remove(module: &ModuleName, along: &[ModuleName]) -> Program {
    let modules = std::iter::once(module).chain(along);
    let arguments = modules.map(ToString::to_string).collect();
    Program { name: "rmmod", arguments, ..unload(module) }
}

/// What goes with a module because nobody else needs it, users before what they use
/// (reference/onload-modules.md section 2.2).
fn needed(module: &ModuleName) -> &'static [&'static str] {
    match module.as_str() {
        "onload" => &["sfc_char", "sfc_resource"],
        _ => &[],
    }
}

fn index(tree: &str, kernel: &KernelRelease) -> Program {
    Program {
        unit: "onloadd-depmod.service".to_owned(),
        description: "Index the kernel's own driver for onloadd".to_owned(),
        name: "depmod",
        arguments: vec!["-b".to_owned(), tree.to_owned(), kernel.to_string()],
        environment: Vec::new(),
        path: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::root::tests::root_with;
    use super::*;

    const LIST: &str = "extra/sfc.ko.xz: kernel/drivers/mtd/mtd.ko.xz\n\
        kernel/drivers/net/ethernet/sfc/siena/sfc-siena.ko.xz:\n\
        extra/onload.ko: extra/sfc_char.ko extra/sfc_resource.ko\n";

    fn sfc() -> ModuleName {
        "sfc".parse().unwrap()
    }

    #[test]
    fn the_kernels_own_is_told_by_where_it_lies() {
        assert_eq!(preferred(LIST, &sfc()), Some("extra/sfc.ko.xz"));
        assert_eq!(preferred(LIST, &"mtd".parse().unwrap()), None, "needed is not listed");
        assert!(names("x/sfc-siena.ko", &"sfc_siena".parse().unwrap()));
        assert!(!names("x/sfc.modinfo", &sfc()));
        for (file, own) in [
            ("kernel/drivers/net/ethernet/sfc/sfc.ko", true),
            ("kernel/drivers/net/ethernet/sfc/sfc.ko.zst", true),
            ("kernel/drivers/net/sfc.ko", false),
            ("updates/dkms/sfc.ko", false),
            ("extra/sfc.ko.xz", false),
        ] {
            assert_eq!(is_own(file, &sfc()), own, "{file}");
        }
    }

    #[test]
    fn a_release_is_loaded_from_its_own_tree_and_with_its_own_tools() {
        let (module, release) = (sfc(), "9.2.1".parse().unwrap());
        let program = load(&module, &release, Some("/var/lib/onloadd/releases/9.2.1"));
        assert_eq!(program.arguments, ["-d", "/var/lib/onloadd/releases/9.2.1", "sfc"]);
        let variables = program.variables();
        let own = "PATH=/var/lib/onloadd/releases/9.2.1/usr/sbin:";
        assert!(variables.iter().any(|variable| variable.starts_with(own)), "{variables:?}");
        let options = "MODPROBE_OPTIONS=-d /var/lib/onloadd/releases/9.2.1".to_owned();
        assert!(variables.contains(&options), "{variables:?}");
        let program = load(&module, &"host".parse().unwrap(), None);
        assert_eq!((program.arguments, program.environment), (vec!["sfc".to_owned()], Vec::new()));
        assert_eq!(program.unit, "onloadd-load-sfc.service");
    }

    #[test]
    fn what_onload_alone_needed_goes_with_it_in_one_call() {
        let modules = |names: &[&str]| -> Vec<ModuleName> {
            names.iter().map(|name| name.parse().unwrap()).collect()
        };
        let onload: ModuleName = "onload".parse().unwrap();
        let program = remove(&onload, &modules(needed(&onload)));
        assert_eq!(
            (program.name, program.unit.as_str()),
            ("rmmod", "onloadd-unload-onload.service")
        );
        assert_eq!(program.arguments, ["onload", "sfc_char", "sfc_resource"]);
        assert_eq!(remove(&sfc(), &modules(needed(&sfc()))).arguments, ["sfc"]);
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    fn loading<'a>(root: &'a Dir, programs: &'a Programs, state_directory: &'a str) -> Loading<'a> {
        Loading { root, programs, state_directory }
    }

    #[test]
    fn the_kernels_own_needs_no_tree_where_modprobe_takes_it_anyway() {
        let (_place, root) = root_with(&[
            ("proc/sys/kernel/osrelease", "6.1.0\n"),
            ("lib/modules/6.1.0/modules.dep", "kernel/drivers/net/ethernet/sfc/sfc.ko: x.ko\n"),
        ]);
        let programs = Programs::default();
        let loading = loading(&root, &programs, "/state");
        assert_eq!(block_on(loading.in_tree(&sfc())), Ok(None));
    }

    #[test]
    fn a_kernel_without_one_of_its_own_has_none() {
        for list in ["extra/sfc.ko:\n", ""] {
            let (_place, root) = root_with(&[
                ("proc/sys/kernel/osrelease", "6.1.0\n"),
                ("lib/modules/6.1.0/modules.dep", list),
            ]);
            let missing = block_on(loading(&root, &Programs::default(), "/state").in_tree(&sfc()));
            assert_eq!(missing, Err(StepError::NotFound { module: sfc() }));
        }
        let (_place, root) = root_with(&[]);
        assert!(block_on(loading(&root, &Programs::default(), "/state").in_tree(&sfc())).is_err());
    }

    #[test]
    fn the_kernels_own_is_found_beside_what_depmod_prefers() {
        let kernel: KernelRelease = "6.1.0".parse().unwrap();
        let own = "lib/modules/6.1.0/kernel/drivers/net/ethernet/sfc/sfc.ko.zst";
        let (place, root) = root_with(&[(own, "ELF")]);
        let file =
            loading(&root, &Programs::default(), "/state").own_file(&kernel, &sfc()).unwrap();
        assert_eq!(file, Path::new("/").join(own));
        let tree = place.path().join("in-tree");
        for _ in 0..2 {
            make_tree(&tree, &kernel, &file).unwrap();
            let link = tree.join("lib/modules/6.1.0/sfc.ko.zst");
            assert_eq!(fs::read_link(link).unwrap(), file, "made anew each time");
        }
    }

    #[test]
    fn a_release_that_is_not_there_or_cannot_be_named_is_not_tried() {
        let (_place, root) = root_with(&[("state/releases/9.2.1/x", "")]);
        let release: ReleaseName = "9.2.1".parse().unwrap();
        let tree = loading(&root, &Programs::default(), "/state").imported(&release);
        assert_eq!(tree.as_deref(), Ok("/state/releases/9.2.1"));
        let other = "9.9.9".parse().unwrap();
        assert!(matches!(
            loading(&root, &Programs::default(), "/state").imported(&other),
            Err(StepError::Failed(_))
        ));
        let spaced = loading(&root, &Programs::default(), "/my state").imported(&release);
        assert!(matches!(spaced, Err(StepError::Unsupported(_))));
    }
}

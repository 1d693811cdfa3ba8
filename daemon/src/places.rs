//! Where a run finds its configuration and keeps its state, and which of this machine's places are not for another
//! one, simulated or below another root.

use std::path::{Path, PathBuf};

use onload_core::config::Fragment;
use onloadd::host::sim::World;
use onloadd::settings_dir::{Secrets, Sources};

use crate::args::Args;

/// The kubelet's own directory, which another machine than this one must not offer anything to.
pub const REAL_KUBELET: &str = "/var/lib/kubelet";
/// Its pod-resources socket, below the directory that also holds the device plugins'.
const POD_RESOURCES: &str = "pod-resources/kubelet.sock";
/// Its registry of plugins, there too.
const PLUGINS_REGISTRY: &str = "plugins_registry";
/// Where this machine's container runtimes look for files that programs write.
pub const REAL_CDI: &str = "/run/cdi";
/// State of the machine itself (DESIGN section 2).
pub const REAL_STATE: &str = "/var/lib/onloadd";
/// State of an unprivileged try-out and of machines that are not this one, below the user's own
/// directory: what is lent there is not lent here.
const OWN_STATE: &str = "onloadd";
const SIM_STATE: &str = "onloadd-sim";
const ROOT_STATE: &str = "onloadd-root";

/// Whether this machine is what is run on: not a simulated one, and none below another root.
pub fn is_here(args: &Args) -> bool {
    args.sim.is_none() && args.root == Path::new("/")
}

/// Whether a directory is in the kubelet's own, under whatever name.
pub fn is_real_kubelet(directory: &Path) -> bool {
    is_in(directory, REAL_KUBELET)
}

/// Whether a directory is in another, under whatever name.
pub fn is_in(directory: &Path, other: &str) -> bool {
    // What is not there yet is told by the nearest part of its path that is.
    let there = directory.ancestors().find_map(|part| {
        let rest = directory.strip_prefix(part).ok()?;
        Some(part.canonicalize().ok()?.join(rest))
    });
    directory.starts_with(other) || there.is_some_and(|there| there.starts_with(other))
}

/// Where the configuration comes from.
pub fn sources(args: &Args, world: Option<(&PathBuf, &World)>) -> Sources {
    let root = args.config_root.clone().or_else(|| world.is_none().then(|| args.root.clone()));
    let world = world.and_then(|(name, world)| {
        Some(Fragment { file: name.display().to_string(), text: world.config()? })
    });
    let command_line = args.kubelet_directory.as_ref().map(|directory| Fragment {
        file: "command line".to_owned(),
        text: {
            // The kubelet's own layout: one directory beside the other.
            let beside = directory.parent().unwrap_or(Path::new("/"));
            let [directory, registry, pods] =
                [directory, &beside.join(PLUGINS_REGISTRY), &beside.join(POD_RESOURCES)]
                    .map(|path| path.display().to_string());
            format!(
                "[kubelet]\ndirectory = {directory:?}\nplugins-registry = {registry:?}\n\
                 pod-resources = {pods:?}\n"
            )
        },
    });
    // Of the machine itself only: below another root its own counts.
    let runtime = args.runtime_directory.clone().filter(|_| is_here(args));
    Sources { world, root, runtime, command_line, secrets: Secrets::default() }
}

/// Where the ledger is. That of another machine is never this machine's by default; none where
/// a user without a home runs.
pub fn state_directory(args: &Args) -> Option<PathBuf> {
    if let Some(directory) = &args.state_directory {
        return Some(directory.clone());
    }
    let own = match (is_here(args), nix::unistd::geteuid().is_root()) {
        (true, true) => return Some(REAL_STATE.into()),
        // Somebody who tries it out without privilege keeps a ledger of their own.
        (true, false) => OWN_STATE,
        (false, _) if args.sim.is_some() => SIM_STATE,
        (false, _) => ROOT_STATE,
    };
    let absolute =
        |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
    state.map(|state| state.join(own))
}

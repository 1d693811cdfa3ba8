//! Who uses the stack or a port's clock: processes found in `/proc` by what they have open or
//! mapped. Looking into those of other users takes CAP_SYS_PTRACE, and listing their descriptors
//! CAP_DAC_READ_SEARCH.

use std::collections::{BTreeMap, BTreeSet};

use onload_core::inventory::{Depth, Module, Snapshot, User};
use onload_core::reading::Reading;

use super::attribute;
use super::root::{Dir, Kind};

pub(super) mod process;

/// What a control-plane server holds on `onload` (reference/onload-measured.md section 1).
const SERVER_REFERENCES: u32 = 4;
/// PCI vendor of Solarflare.
const SOLARFLARE: u16 = 0x1924;
/// A process has a few dozen descriptors: this many are a millisecond or two, after which others
/// get their turn.
const PROCESSES_AT_ONCE: usize = 256;
/// How many processes are named that could not be looked into.
const NAMED: usize = 3;
/// The node that Onload's processes hold, also as files of a file system without a node.
const ONLOAD: &str = "/dev/onload";
/// What descriptors of stacks and accelerated sockets are called
/// (reference/onload-modules.md section 11).
const ONLOAD_FILE: &str = "onload:[";

/// What is searched for.
#[derive(Debug, Default)]
struct Wanted {
    /// Device nodes by number.
    nodes: BTreeMap<(u32, u32), String>,
    /// Whether mappings are looked at too: of one who has closed every descriptor they are all that
    /// is left.
    mapped: bool,
    /// Servers of the control plane, which are no users.
    servers: BTreeSet<u32>,
}

/// Whether a device's references show users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Referenced {
    onload: bool,
    sfc_char: bool,
}

/// Searches as far as asked; `seen` is the rest of the same look.
pub(super) async fn read(
    root: &Dir,
    depth: Depth,
    seen: &Snapshot,
) -> Reading<BTreeMap<u32, User>> {
    let referenced = match referenced(seen) {
        Reading::Known(referenced) => referenced,
        Reading::Absent => Referenced { onload: false, sfc_char: false },
        Reading::Unreadable(why) => return Reading::Unreadable(why),
    };
    let needed = match depth {
        Depth::Clocks | Depth::Modules | Depth::Network => return Reading::Absent,
        Depth::Usual => referenced.onload || referenced.sfc_char,
        Depth::Users => true,
    };
    if !needed {
        return Reading::Absent;
    }
    let wanted = wanted(root, depth, seen);
    let (users, unreadable) = match search(root, &wanted).await {
        Reading::Known(found) => found,
        Reading::Absent => return Reading::Unreadable("there is no /proc".to_owned()),
        Reading::Unreadable(why) => return Reading::Unreadable(why),
    };
    let used = |path: &str| users.values().any(|user| user.uses.iter().any(|uses| uses == path));
    let unexplained = (referenced.onload && !used(ONLOAD) && !used("/dev/onload_epoll"))
        || (referenced.sfc_char && !used("/dev/sfc_char"));
    if unexplained && !unreadable.is_empty() {
        let named: Vec<_> = unreadable.iter().take(NAMED).map(String::as_str).collect();
        return Reading::Unreadable(format!(
            "the modules are in use, and {} processes could not be looked into: {}",
            unreadable.len(),
            named.join("; ")
        ));
    }
    Reading::Known(users)
}

/// Whether somebody beside the control plane and other modules holds references.
fn referenced(seen: &Snapshot) -> Reading<Referenced> {
    let servers = seen.driver.control_plane.known().map_or(0, BTreeSet::len);
    let servers = u32::try_from(servers).unwrap_or(u32::MAX).saturating_mul(SERVER_REFERENCES);
    let above = |name: &str, expected: &dyn Fn(&Module) -> u32| {
        seen.module(name)
            .map(|module| module.refcount.known().is_some_and(|count| *count > expected(module)))
    };
    let holders = |module: &Module| u32::try_from(module.holders.len()).unwrap_or(u32::MAX);
    let onload = match above("onload", &|_| servers) {
        Reading::Unreadable(why) => return Reading::Unreadable(why),
        onload => onload.known().copied().unwrap_or_default(),
    };
    let sfc_char = above("sfc_char", &holders).known().copied().unwrap_or_default();
    Reading::Known(Referenced { onload, sfc_char })
}

fn wanted(root: &Dir, depth: Depth, seen: &Snapshot) -> Wanted {
    let nodes = seen.device_nodes.iter().filter_map(|(path, node)| {
        let node = node.known()?;
        Some(((node.major, node.minor), path.clone()))
    });
    let mut nodes: BTreeMap<_, _> = nodes.collect();
    if depth == Depth::Users {
        for path in clocks(seen) {
            if let Some(node) = root.node(&path).known()
                && let Kind::Character { major, minor } = node.kind
            {
                nodes.insert((major, minor), path);
            }
        }
    }
    Wanted {
        nodes,
        mapped: depth == Depth::Users,
        servers: seen.driver.control_plane.known().cloned().unwrap_or_default(),
    }
}

/// Hardware clocks of the ports whose driver may be taken away.
fn clocks(seen: &Snapshot) -> BTreeSet<String> {
    let (ports, interfaces) = (seen.ports.known(), seen.interfaces.known());
    let interfaces = interfaces.into_iter().flat_map(BTreeMap::values);
    let ours = interfaces.filter(|interface| {
        let port = interface.port.known().and_then(|address| ports?.get(address));
        port.is_some_and(|port| {
            port.vendor.known() == Some(&SOLARFLARE)
                || port.driver.known().is_some_and(|driver| driver == "sfc")
        })
    });
    ours.filter_map(|interface| interface.phc_index.known())
        .map(|index| format!("/dev/ptp{index}"))
        .collect()
}

/// Every user, and every process that could not be looked into.
async fn search(root: &Dir, wanted: &Wanted) -> Reading<(BTreeMap<u32, User>, Vec<String>)> {
    let quiet = root.unrecorded();
    let entries = match quiet.list("proc") {
        Reading::Known(entries) => entries,
        Reading::Absent => return Reading::Absent,
        Reading::Unreadable(why) => return Reading::Unreadable(why),
    };
    let processes = entries.into_keys().filter_map(|name| name.parse::<u32>().ok());
    let (mut users, mut unreadable) = (BTreeMap::new(), Vec::new());
    for (count, pid) in processes.filter(|pid| !wanted.servers.contains(pid)).enumerate() {
        if count % PROCESSES_AT_ONCE == PROCESSES_AT_ONCE - 1 {
            tokio::task::yield_now().await;
        }
        match process::look(&quiet, pid, wanted) {
            Reading::Known(found) if found.uses.is_empty() => {}
            Reading::Known(found) => {
                if let Reading::Known(user) = process::identify(root, pid, &found) {
                    users.insert(pid, user);
                }
            }
            // It ended meanwhile.
            Reading::Absent => {}
            Reading::Unreadable(why) => {
                // Again, so that a recording shows the gap.
                let _ = root.list(&process::descriptors(pid));
                unreadable.push(format!("{pid}: {why}"));
            }
        }
    }
    Reading::Known((users, unreadable))
}

#[cfg(test)]
mod tests;

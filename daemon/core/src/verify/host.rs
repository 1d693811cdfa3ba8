//! What the machine itself shows: modules, ports, device nodes, the control plane's processes. Judged
//! beside what onloadd says, and in its place where it does not answer.

use std::collections::BTreeMap;

use super::Check;
use crate::inventory::{DeviceNode, STACK};
use crate::reading::Reading;

/// Read and write, for its owner and for everybody.
const OWNERS: u32 = 0o600;
const ALL: u32 = 0o666;

/// A function on the PCI bus that Onload's driver serves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Function {
    /// Its address.
    pub address: String,
    /// The driver bound to it.
    pub driver: Option<String>,
}

/// What of the stack the kernel has, where onloadd cannot be asked what it should have.
pub fn modules(loaded: &Reading<Vec<String>>) -> Check {
    let check = |looked: String| Check::new("modules", "modules loaded", looked);
    let loaded = match loaded {
        Reading::Known(loaded) => loaded,
        Reading::Absent => return check("/proc/modules".to_owned()).skip("it is not there"),
        Reading::Unreadable(why) => return check("/proc/modules".to_owned()).skip(why),
    };
    let is_loaded = |name: &&str| loaded.iter().any(|one| one == name);
    let (there, not): (Vec<&str>, Vec<&str>) = STACK.iter().copied().partition(is_loaded);
    if not.is_empty() {
        return check(format!("{} are loaded", there.join(", ")));
    }
    let looked = match there.as_slice() {
        [] => "none of the stack is loaded".to_owned(),
        some => format!("{} loaded", some.join(", ")),
    };
    check(looked).warn(
        format!("{} not loaded; whether it should be only onloadd knows", not.join(", ")),
        "start onloadd, which loads what its configuration asks for",
    )
}

/// What is bound to Solarflare functions, where onloadd cannot be asked. `own`: whether the loaded
/// `sfc` was built apart from the kernel, by its taint (reference/onload-modules.md section 3).
pub fn ports(functions: &Reading<Vec<Function>>, own: &Reading<bool>) -> Check {
    let check = |looked: String| Check::new("ports", "drivers bound to ports", looked);
    const WHERE: &str = "/sys/bus/pci/devices";
    let functions = match functions {
        Reading::Known(functions) if functions.is_empty() => {
            return check(WHERE.to_owned()).skip("there is no Solarflare card");
        }
        Reading::Known(functions) => functions,
        Reading::Absent => return check(WHERE.to_owned()).skip("it is not there"),
        Reading::Unreadable(why) => return check(WHERE.to_owned()).skip(why),
    };
    let told = |one: &Function| {
        format!("{}: {}", one.address, one.driver.as_deref().unwrap_or("no driver"))
    };
    let looked: Vec<_> = functions.iter().map(told).collect();
    let check = check(looked.join(", "));
    if let Some(bare) = functions.iter().find(|one| one.driver.is_none()) {
        return check.fail(
            format!("no driver is bound to {}", bare.address),
            "start onloadd; `dmesg` says why a driver did not bind",
        );
    }
    match own {
        // The mistake that looks most like success (reference/kubernetes-onload.md section 6.3).
        Reading::Known(false) => check.fail(
            "the bound sfc is the kernel's own, which accelerates nothing",
            "start onloadd, which replaces it",
        ),
        Reading::Known(true) => check,
        Reading::Absent | Reading::Unreadable(_) => check.warn(
            "whose driver it is cannot be told",
            "`modinfo -F filename sfc` and /sys/module/sfc/taint say it",
        ),
    }
}

/// Device nodes. `needed`: whether the module that makes them is loaded; none where nobody knows.
pub fn nodes(seen: &BTreeMap<String, Reading<DeviceNode>>, needed: Option<bool>) -> Check {
    let told = |(path, node): (&String, &Reading<DeviceNode>)| match node {
        Reading::Known(node) => format!("{path} {:o}", node.mode & 0o7777),
        Reading::Absent => format!("{path} not there"),
        Reading::Unreadable(_) => format!("{path} ?"),
    };
    let looked: Vec<_> = seen.iter().map(told).collect();
    let check = Check::new("nodes", "device nodes", looked.join(", "));
    if seen.values().all(Reading::is_absent) && needed != Some(true) {
        return check.skip("the module onload, which makes them, is not loaded");
    }
    node_fault(seen).map_or_else(
        || check.clone(),
        |fault| match fault {
            NodeFault::Closed(why) => check.clone().warn(
                why,
                "where that is not meant, set ONLOAD_MODE and SFC_CHAR_MODE in /etc/sysconfig/openonload to 666 and load the modules anew",
            ),
            NodeFault::Broken(why) => check.clone().fail(
                why,
                "load the modules anew, and see that /dev is the kernel's own (devtmpfs)",
            ),
        },
    )
}

/// What is wrong with a set of nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum NodeFault {
    /// Not everybody may open them.
    Closed(String),
    /// Nobody can use them.
    Broken(String),
}

fn node_fault(seen: &BTreeMap<String, Reading<DeviceNode>>) -> Option<NodeFault> {
    let broken = seen.iter().find_map(|(path, node)| match node {
        Reading::Absent => Some(format!("{path} is not there")),
        Reading::Unreadable(why) => Some(format!("{path}: {why}")),
        Reading::Known(node) if node.mode & OWNERS != OWNERS => {
            Some(format!("{path} has mode {:o}: nobody may read and write it", node.mode & 0o7777))
        }
        Reading::Known(_) => None,
    });
    let closed = || {
        seen.iter().find_map(|(path, node)| {
            let node = node.known().filter(|node| node.mode & ALL != ALL)?;
            let mode = node.mode & 0o7777;
            Some(format!("{path} has mode {mode:o}: only some may read and write it"))
        })
    };
    broken.map(NodeFault::Broken).or_else(|| closed().map(NodeFault::Closed))
}

/// Processes that `onload` says serve its control plane: their names; none for one that is gone.
pub fn control_plane(servers: &Reading<BTreeMap<u32, Option<String>>>) -> Check {
    /// As much of onload_cp_server as the kernel keeps of a name.
    const NAME: &str = "onload_cp_serve";
    const FIX: &str = "load onload anew, or end that process: the kernel starts a server with the next stack; `dmesg` has its last words";
    let check = |looked: String| Check::new("control-plane", "control plane", looked);
    const WHERE: &str = "/proc/driver/onload/cp_server_pids";
    let servers = match servers {
        Reading::Known(servers) => servers,
        Reading::Absent => return check(WHERE.to_owned()).skip("onload is not loaded"),
        Reading::Unreadable(why) => return check(WHERE.to_owned()).skip(why),
    };
    let told = |(pid, comm): (&u32, &Option<String>)| {
        format!("pid {pid} ({})", comm.as_deref().unwrap_or("gone"))
    };
    let looked: Vec<_> = servers.iter().map(told).collect();
    let check = check(if looked.is_empty() { "no server".to_owned() } else { looked.join(", ") });
    let gone = servers.iter().find(|(_, comm)| comm.is_none());
    let other =
        servers.iter().find(|(_, comm)| comm.as_deref().is_some_and(|one| !one.starts_with(NAME)));
    match (gone, other) {
        _ if servers.is_empty() => check.fail("no control-plane server runs", FIX),
        (Some((pid, _)), _) => check.fail(format!("the server, pid {pid}, is gone"), FIX),
        // One may be run by another program, such as crictl in a container.
        (None, Some((pid, _))) => {
            check.warn(format!("pid {pid} is called otherwise than a control-plane server"), FIX)
        }
        (None, None) => check,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict::{Fail, Pass, Skip, Warn};
    use super::*;

    fn texts(words: &[&str]) -> Vec<String> {
        words.iter().map(|one| (*one).to_owned()).collect()
    }

    #[test]
    fn the_stack_is_there_whole_or_that_is_said() {
        let all = ["mtd", "sfc", "sfc_resource", "sfc_char", "onload"];
        let cases = [
            (Reading::Known(texts(&all)), Pass, "sfc, sfc_resource, sfc_char, onload are loaded"),
            (Reading::Known(texts(&all[..2])), Warn, "sfc loaded"),
            (Reading::Known(Vec::new()), Warn, "none of the stack is loaded"),
            (Reading::Absent, Skip, "/proc/modules"),
            (Reading::Unreadable("EACCES".to_owned()), Skip, "/proc/modules"),
        ];
        for (seen, verdict, looked) in cases {
            let check = modules(&seen);
            assert_eq!((check.verdict, check.looked.as_str()), (verdict, looked), "{seen:?}");
        }
    }

    #[test]
    fn the_kernels_own_driver_is_not_taken_for_onloads() {
        let function = |driver: Option<&str>| Function {
            address: "0000:3b:00.0".to_owned(),
            driver: driver.map(str::to_owned),
        };
        let (sfc, none) = (function(Some("sfc")), function(None));
        let cases = [
            ("onload's", Reading::Known(vec![sfc.clone()]), Reading::Known(true), Pass),
            ("the kernel's", Reading::Known(vec![sfc.clone()]), Reading::Known(false), Fail),
            ("nobody's", Reading::Known(vec![sfc.clone(), none]), Reading::Known(true), Fail),
            ("untold", Reading::Known(vec![sfc]), Reading::Absent, Warn),
            ("no card", Reading::Known(Vec::new()), Reading::Absent, Skip),
            ("no bus", Reading::Absent, Reading::Absent, Skip),
        ];
        for (why, functions, own, verdict) in cases {
            assert_eq!(ports(&functions, &own).verdict, verdict, "{why}");
        }
    }

    #[test]
    fn a_node_is_a_character_device_that_may_be_opened() {
        let known = |mode| Reading::Known(DeviceNode { major: 245, minor: 0, mode });
        let strange = || Reading::Unreadable("it is not a character device".to_owned());
        let cases = [
            ("as the kernel makes them", known(0o666), known(0o666), Some(true), Pass),
            ("for a group", known(0o660), known(0o666), Some(true), Warn),
            ("for nobody", known(0o444), known(0o660), Some(true), Fail),
            ("one is missing", known(0o666), Reading::Absent, Some(true), Fail),
            ("a file in its place", strange(), known(0o666), Some(true), Fail),
            ("not loaded", Reading::Absent, Reading::Absent, Some(false), Skip),
            ("nobody knows", Reading::Absent, Reading::Absent, None, Skip),
            ("both missing", Reading::Absent, Reading::Absent, Some(true), Fail),
            ("one is left over", known(0o666), Reading::Absent, Some(false), Fail),
        ];
        for (why, one, other, needed, verdict) in cases {
            let seen = BTreeMap::from([
                ("/dev/onload".to_owned(), one),
                ("/dev/sfc_char".to_owned(), other),
            ]);
            assert_eq!(nodes(&seen, needed).verdict, verdict, "{why}");
        }
    }

    #[test]
    fn a_server_that_is_named_must_live() {
        let server =
            |comm: Option<&str>| Reading::Known(BTreeMap::from([(812, comm.map(str::to_owned))]));
        let cases = [
            ("it lives", server(Some("onload_cp_serve")), Pass),
            ("it is gone", server(None), Fail),
            ("in a container", server(Some("crictl")), Warn),
            ("none", Reading::Known(BTreeMap::new()), Fail),
            ("not loaded", Reading::Absent, Skip),
            ("hidden", Reading::Unreadable("EACCES".to_owned()), Skip),
        ];
        for (why, servers, verdict) in cases {
            assert_eq!(control_plane(&servers).verdict, verdict, "{why}");
        }
    }
}

//! Container networks: configurations of CNI plugins, and what runtimes keep of those in use.

use std::collections::{BTreeMap, BTreeSet};

use onload_core::attachment::{self, Attached, Attachment};
use onload_core::inventory::Depth;
use onload_core::reading::Reading;

use super::root::{Dir, Kind};

/// Where runtimes and Multus look for configurations: the usual place, Multus' own for networks that
/// are files, and those of OpenShift.
const CONFIGURATIONS: [&str; 4] =
    ["etc/cni/net.d", "etc/cni/multus/net.d", "etc/kubernetes/cni/net.d", "run/multus/cni/net.d"];
/// How the names of configurations end.
const ENDS: [&str; 3] = [".conf", ".conflist", ".json"];
/// What the CNI library keeps of each attachment in use.
const RESULTS: &str = "var/lib/cni/results";
/// What Multus keeps of a container's further networks, by its id: in its usual deployment the only
/// trace of them outside its own container.
const DELEGATES: &str = "var/lib/cni/multus";
/// A configuration has some dozen lines.
const FILE_BYTES: usize = 1 << 20;

/// Configurations that mean an interface of the host, by path.
pub(super) fn configured(root: &Dir) -> Reading<BTreeMap<String, Vec<Attachment>>> {
    let mut found = BTreeMap::new();
    for directory in CONFIGURATIONS {
        let is_one = |name: &str| ENDS.iter().any(|end| name.ends_with(end));
        for (path, bytes) in match files(root, directory, is_one) {
            Reading::Known(files) => files,
            Reading::Absent => continue,
            Reading::Unreadable(why) => return Reading::Unreadable(why),
        } {
            match attachment::parse(&bytes) {
                Ok(plugins) if plugins.is_empty() => {}
                Ok(plugins) => drop(found.insert(path, plugins)),
                Err(error) => return Reading::Unreadable(format!("{path}: {error}")),
            }
        }
    }
    Reading::Known(found)
}

/// Interfaces of containers that have to do with one of the host. There is a file for each of every
/// pod, so that only a look before a driver is taken away reads them.
pub(super) fn in_use(root: &Dir, depth: Depth) -> Reading<Vec<Attached>> {
    match depth {
        Depth::Clocks | Depth::Modules | Depth::Network | Depth::Usual => {
            return Reading::Absent;
        }
        Depth::Users => {}
    }
    let mut found = Vec::new();
    let mut containers = BTreeSet::new();
    let results = match files(root, RESULTS, |_| true) {
        Reading::Known(files) => files,
        Reading::Absent => Vec::new(),
        Reading::Unreadable(why) => return Reading::Unreadable(why),
    };
    for (path, bytes) in results {
        match attachment::parse_cached(&bytes) {
            Ok(Some(cached)) if is_there(root, &cached.namespaces) => {
                containers.insert(cached.attached.container.clone());
                found.extend(Some(cached.attached).filter(|one| !one.by.is_empty()));
            }
            Ok(_) => {}
            Err(error) => return Reading::Unreadable(format!("{path}: {error}")),
        }
    }
    // A runtime has a file of its own of whatever Multus was asked for.
    let delegates = match files(root, DELEGATES, |name| containers.contains(name)) {
        Reading::Known(files) => files,
        Reading::Absent => Vec::new(),
        Reading::Unreadable(why) => return Reading::Unreadable(why),
    };
    for (path, bytes) in delegates {
        let container = path.rsplit('/').next().unwrap_or_default().to_owned();
        match attachment::parse(&bytes) {
            Ok(by) if by.is_empty() => {}
            Ok(by) => found.push(Attached { container, by, ..Attached::default() }),
            Err(error) => return Reading::Unreadable(format!("{path}: {error}")),
        }
    }
    Reading::Known(found)
}

/// Whether the container's network namespace is there, as far as can be told.
fn is_there(root: &Dir, namespaces: &BTreeSet<String>) -> bool {
    namespaces.is_empty() || namespaces.iter().any(|path| !root.node(path).is_absent())
}

/// Files in a directory, by path. An empty one is what a crash leaves of one that was being written.
fn files(
    root: &Dir,
    directory: &str,
    wanted: impl Fn(&str) -> bool,
) -> Reading<Vec<(String, Vec<u8>)>> {
    let names = match root.list(directory) {
        Reading::Known(names) => names,
        Reading::Absent => return Reading::Absent,
        Reading::Unreadable(why) => return Reading::Unreadable(format!("/{directory}: {why}")),
    };
    let wanted = |(name, kind): &(String, Kind)| *kind != Kind::Directory && wanted(name);
    let mut files = Vec::new();
    for (name, _) in names.into_iter().filter(wanted) {
        let path = format!("{directory}/{name}");
        match root.read(&path, FILE_BYTES) {
            Reading::Known(bytes) if bytes.is_empty() => {}
            Reading::Known(bytes) => files.push((format!("/{path}"), bytes)),
            Reading::Absent => {}
            Reading::Unreadable(why) => return Reading::Unreadable(format!("/{path}: {why}")),
        }
    }
    Reading::Known(files)
}

#[cfg(test)]
mod tests {
    use onload_core::attachment::Fate;

    use super::super::root::tests::root_with;
    use super::*;

    const IPVLAN: &str = "eyJ0eXBlIjoiaXB2bGFuIiwibWFzdGVyIjoiZW5zNSJ9";

    fn cached(container: &str, namespace: &str, config: &str) -> String {
        format!(
            r#"{{"kind":"cniCacheV1","containerId":"{container}","ifName":"net1","config":"{config}",
                "result":{{"interfaces":[{{"name":"net1","sandbox":"{namespace}"}}]}}}}"#
        )
    }

    #[test]
    fn configurations_that_mean_an_interface_are_found_wherever_they_lie() {
        let (_place, root) = root_with(&[
            ("etc/cni/net.d/10-bridge.conflist", r#"{"plugins":[{"type":"bridge"}]}"#),
            ("etc/cni/net.d/20-move.conf", r#"{"type":"host-device","device":"ens5"}"#),
            ("etc/cni/net.d/multus.d/multus.kubeconfig", "apiVersion: v1\n"),
            ("etc/cni/net.d/README", "not one"),
            ("run/multus/cni/net.d/a.json", r#"{"type":"macvlan","master":"ens6"}"#),
        ]);
        let seen = configured(&root).into_known().unwrap();
        let fates: Vec<_> = seen.iter().map(|(path, all)| (path.as_str(), all[0].fate)).collect();
        assert_eq!(
            fates,
            [
                ("/etc/cni/net.d/20-move.conf", Fate::Moved),
                ("/run/multus/cni/net.d/a.json", Fate::Carries)
            ]
        );
        assert_eq!(configured(&root_with(&[]).1), Reading::Known(BTreeMap::new()));
        let (_place, root) = root_with(&[("etc/cni/net.d/a.conf", "{\"type\":")]);
        let Reading::Unreadable(why) = configured(&root) else { panic!("half a file") };
        assert!(why.starts_with("/etc/cni/net.d/a.conf: "), "{why}");
    }

    #[test]
    fn what_is_in_use_is_told_from_what_a_crash_or_a_reboot_left() {
        let there = cached("aa", "/run/netns/there", IPVLAN);
        let bridged = cached("cc", "/run/netns/there", "eyJ0eXBlIjoiYnJpZGdlIn0=");
        let gone = cached("bb", "/run/netns/gone", IPVLAN);
        let delegate = format!(r#"[{{"Name":"fast","Bytes":"{IPVLAN}"}}]"#);
        let (_place, root) = root_with(&[
            ("run/netns/there", ""),
            ("var/lib/cni/results/fast-aa-net1", &there),
            ("var/lib/cni/results/fast-bb-net1", &gone),
            ("var/lib/cni/results/torn", ""),
            ("var/lib/cni/results/multus-cc-eth0", &bridged),
            ("var/lib/cni/results/old-dd-eth0", r#"{"cniVersion":"0.3.1"}"#),
            ("var/lib/cni/multus/cc", &delegate),
            ("var/lib/cni/multus/bb", &delegate),
            ("var/lib/cni/networks/fast/10.0.0.1", "aa"),
        ]);
        let seen = in_use(&root, Depth::Users).into_known().unwrap();
        let places: Vec<_> = seen.iter().map(Attached::place).collect();
        assert_eq!(places, ["container aa, net1", "container cc"]);
        assert!(in_use(&root, Depth::Usual).is_absent(), "not for every look");
        assert_eq!(in_use(&root_with(&[]).1, Depth::Users), Reading::Known(Vec::new()));
    }
}

//! Traces of others who have to do with Onload's modules: files they leave on the host, and what
//! the loaded `onload` was told (reference/kubernetes-onload.md sections 1.4, 1.7 and 3).

use std::collections::BTreeMap;

use onload_core::inventory::{Loader, Module, STACK};
use onload_core::names::ModuleName;
use onload_core::others::{self, Manager, SERVER_PARAMETERS, SERVER_PATH, Trace, Traces};
use onload_core::reading::Reading;

use super::attribute;
use super::kubelet::PLUGIN_SOCKET;
use super::root::{Dir, Kind};

/// Where the Machine Config Operator puts units, and administrators theirs.
const UNITS: &str = "etc/systemd/system";
/// How units end that a MachineConfig of Onload or of KMM's day-1 support brings.
const UNIT_ENDS: [&str; 3] =
    ["-replace-kernel-module.service", "-pull-kernel-module-image.service", "-pull-image.service"];
/// What the replacing unit of KMM gives its worker.
const DAY1: &str = "var/lib/kmm_day1_config.yaml";
/// Where the kubelet keeps the logs of a pod, in a directory called after namespace, name and id for
/// as long as the pod is there.
const PODS: &str = "var/log/pods";
/// How the name of a pod begins in which KMM loads or unloads a module; node and module follow.
const WORKER: &str = "kmm-worker-";
/// The container in which KMM before 2.0 had a module loaded for as long as it ran.
const MODULE_LOADER: &str = "module-loader";
/// What DKMS has of a package lies below its name.
const DKMS: [&str; 2] = ["var/lib/dkms/onload", "var/lib/dkms/openonload"];
/// Where a running unit has its control group: unified, and with a hierarchy of systemd's own.
const GROUPS: [&str; 2] = ["sys/fs/cgroup/system.slice", "sys/fs/cgroup/systemd/system.slice"];
/// A unit or a configuration of a worker has a few hundred bytes.
const FILE_BYTES: usize = 1 << 20;
/// What the daemon's own sandbox hides, so that a file there is not missing.
const HIDDEN: [&str; 5] = ["/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/"];

/// Every trace that there is.
pub(super) fn read(
    root: &Dir,
    kubelet_directory: &str,
    modules: &Reading<BTreeMap<ModuleName, Module>>,
    loader: &Reading<Loader>,
) -> Traces {
    let mut traces = Traces::new();
    let mut note = |manager, trace: Reading<Trace>| {
        if !trace.is_absent() {
            traces.insert(manager, trace);
        }
    };
    note(Manager::OnloadOperator, plugin(root, kubelet_directory));
    let (machine_config, kmm) = units(root);
    note(Manager::MachineConfig, machine_config);
    let kmm = beside(beside(kmm, day1(root)), pods(root, kubelet_directory));
    note(Manager::Kmm, kmm);
    note(Manager::ControlPlane, control_plane(root, modules, loader));
    note(Manager::Dkms, dkms(root));
    traces
}

fn trace(evidence: String) -> Trace {
    Trace { evidence, units: BTreeMap::new() }
}

/// The socket of the Onload Operator's device plugin.
fn plugin(root: &Dir, kubelet_directory: &str) -> Reading<Trace> {
    let path = format!("{}/{PLUGIN_SOCKET}", kubelet_directory.trim_end_matches('/'));
    root.node(&path).and_then(|node| match node.kind {
        Kind::Socket => Reading::Known(trace(format!("its device plugin has {path}"))),
        Kind::File | Kind::Directory | Kind::Link | Kind::Character { .. } | Kind::Other => {
            Reading::Absent
        }
    })
}

/// Units that replace drivers of the stack: those of Onload's MachineConfig, and those of KMM.
fn units(root: &Dir) -> (Reading<Trace>, Reading<Trace>) {
    let names = match root.list(UNITS) {
        Reading::Known(names) => names,
        Reading::Absent => return (Reading::Absent, Reading::Absent),
        Reading::Unreadable(why) => return (Reading::Unreadable(why), Reading::Absent),
    };
    let (mut machine_config, mut kmm) = (Vec::new(), Vec::new());
    for name in names.into_keys().filter(|name| UNIT_ENDS.iter().any(|end| name.ends_with(end))) {
        // One that is masked, or went meanwhile, runs nothing.
        let text = root.read(&format!("{UNITS}/{name}"), FILE_BYTES).and_then(attribute::text);
        let Reading::Known(text) = text else { continue };
        if text.is_empty() || !(names_stack(&name) || names_stack(&text)) {
            continue;
        }
        let is_kmm = text.to_ascii_lowercase().contains("kmm");
        let list = if is_kmm { &mut kmm } else { &mut machine_config };
        list.push(name);
    }
    let of = |names: Vec<String>| {
        if names.is_empty() {
            return Reading::Absent;
        }
        let evidence = format!("/{UNITS} has {}", names.join(" and "));
        let units = names.into_iter().map(|name| {
            let runs = GROUPS.iter().any(|group| {
                let node = root.node(&format!("{group}/{name}"));
                node.known().is_some_and(|node| node.kind == Kind::Directory)
            });
            (name, runs)
        });
        Reading::Known(Trace { units: units.collect(), evidence })
    };
    (of(machine_config), of(kmm))
}

/// Whether a text has the name of one of Onload's modules as a word.
fn names_stack(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c| !is_part(c)).any(|word| STACK.contains(&word))
}

/// KMM's configuration of the worker that runs at boot. It may be for other modules.
fn day1(root: &Dir) -> Reading<Trace> {
    let text = root.read(DAY1, FILE_BYTES).and_then(attribute::text);
    text.and_then(|text| match names_stack(&text) {
        true => Reading::Known(trace(format!("/{DAY1} names them"))),
        false => Reading::Absent,
    })
}

/// Pods in which KMM has to do with Onload's modules. A worker is there while it works or fails, and
/// leaves nothing on the node when it has done what it was for.
fn pods(root: &Dir, kubelet_directory: &str) -> Reading<Trace> {
    let host = root.line("proc/sys/kernel/hostname").into_known().unwrap_or_default();
    let kubelet = kubelet_directory.trim_end_matches('/').rsplit_once('/').map_or("", |(up, _)| up);
    let is_loader = |entry: &str, pod: &str| {
        let container = root.node(&format!("{PODS}/{entry}/{MODULE_LOADER}"));
        names_stack(pod) && container.known().is_some_and(|node| node.kind == Kind::Directory)
    };
    let is_ours = |entry: &str| {
        let mut parts = entry.split('_');
        let (Some(_), Some(pod), Some(id)) = (parts.next(), parts.next(), parts.next()) else {
            return false;
        };
        match pod.strip_prefix(WORKER) {
            Some(of) => match worker_configuration(root, &format!("{kubelet}/pods/{id}")) {
                Some(text) => names_stack(&text),
                None => names_stack(of.strip_prefix(&host).unwrap_or(of)),
            },
            None => is_loader(entry, pod),
        }
    };
    root.names(PODS, is_ours).and_then(|entries| match entries.first() {
        Some(first) => Reading::Known(trace(format!("a pod of it is here (/{PODS}/{first})"))),
        None => Reading::Absent,
    })
}

/// What a worker was told to do, from the volume that brings it into its container.
fn worker_configuration(root: &Dir, pod: &str) -> Option<String> {
    let volumes = format!("{pod}/volumes/kubernetes.io~downward-api");
    let names = root.list(&volumes).into_known()?.into_keys();
    names.into_iter().find_map(|volume| {
        let path = format!("{volumes}/{volume}/config.yaml");
        root.read(&path, FILE_BYTES).and_then(attribute::text).into_known()
    })
}

/// Two findings of the same manager.
fn beside(one: Reading<Trace>, other: Reading<Trace>) -> Reading<Trace> {
    match (one, other) {
        (Reading::Known(one), Reading::Known(other)) => {
            let evidence = format!("{}, {}", one.evidence, other.evidence);
            Reading::Known(Trace { evidence, ..one })
        }
        (known @ Reading::Known(_), Reading::Absent | Reading::Unreadable(_)) => known,
        (Reading::Absent | Reading::Unreadable(_), known @ Reading::Known(_)) => known,
        (gap @ Reading::Unreadable(_), Reading::Absent | Reading::Unreadable(_)) => gap,
        (Reading::Absent, gap @ (Reading::Absent | Reading::Unreadable(_))) => gap,
    }
}

/// What the loaded `onload` was told of its control-plane server.
fn control_plane(
    root: &Dir,
    modules: &Reading<BTreeMap<ModuleName, Module>>,
    loader: &Reading<Loader>,
) -> Reading<Trace> {
    let loaded = modules.known().into_iter().flatten();
    let onload = loaded.into_iter().find(|(name, _)| name.as_str() == "onload");
    let Some((_, onload)) = onload else { return Reading::Absent };
    let parameter = |name| onload.parameters.get(name).and_then(Reading::known);
    let Some(path) = parameter(SERVER_PATH).map(|path| path.trim()) else { return Reading::Absent };
    let parameters = parameter(SERVER_PARAMETERS).map(String::as_str).unwrap_or_default();
    let ours = loader.known().and_then(|loader| loader.server.as_deref());
    let is_hidden = HIDDEN.iter().any(|place| path.starts_with(place));
    let exists = match path.strip_prefix('/').filter(|_| !is_hidden) {
        Some(path) => match root.node(path) {
            Reading::Known(_) => true,
            Reading::Absent => false,
            Reading::Unreadable(why) if !others::is_wrapper(path) => {
                return Reading::Unreadable(format!("/{path}: {why}"));
            }
            Reading::Unreadable(_) => true,
        },
        None => true,
    };
    others::control_plane(path, parameters, exists, ours).into()
}

fn dkms(root: &Dir) -> Reading<Trace> {
    let there = DKMS
        .iter()
        .find(|path| root.node(path).known().is_some_and(|node| node.kind == Kind::Directory));
    there.map(|path| trace(format!("/{path} is there"))).into()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::net::UnixListener;

    use super::super::modules;
    use super::super::root::tests::root_with;
    use super::*;

    const KUBELET: &str = "/var/lib/kubelet/device-plugins";

    fn of(root: &Dir, loader: Reading<Loader>) -> Traces {
        read(root, KUBELET, &modules::read(root), &loader)
    }

    fn evidence(traces: &Traces, manager: Manager) -> Option<&str> {
        Some(traces.get(&manager)?.known().unwrap().evidence.as_str())
    }

    #[test]
    fn nothing_is_nobody() {
        let (_place, root) = root_with(&[]);
        assert_eq!(of(&root, Reading::Absent), Traces::new());
        let (_place, root) = root_with(&[
            // What has the same look and is for others, or for nobody.
            ("etc/systemd/system/gpu-replace-kernel-module.service", "Exec=x nvidia\n"),
            ("etc/systemd/system/sfc-replace-kernel-module.service", ""),
            ("etc/systemd/system/sshd.service", "sfc onload kmm\n"),
            ("etc/modules-load.d/onload.conf", "onload\n"),
            ("var/lib/kmm_day1_config.yaml", "modprobe:\n  moduleName: nvidia\n"),
            ("var/lib/kubelet/device-plugins/sfc-deviceplugin.sock", "no socket"),
            ("var/lib/dkms/onload", "no directory"),
        ]);
        assert_eq!(of(&root, Reading::Absent), Traces::new());
    }

    #[test]
    fn the_operators_socket_is_one() {
        let (place, root) = root_with(&[("var/lib/kubelet/device-plugins/kubelet.sock", "")]);
        assert_eq!(of(&root, Reading::Absent), Traces::new());
        let path = place.path().join(format!(".{KUBELET}/sfc-deviceplugin.sock"));
        let _socket = UnixListener::bind(path).unwrap();
        let seen = of(&root, Reading::Absent);
        let said = evidence(&seen, Manager::OnloadOperator).unwrap();
        assert!(said.contains("/var/lib/kubelet/device-plugins/sfc-deviceplugin.sock"), "{said}");
        assert_eq!(seen.len(), 1);
    }

    #[test]
    fn units_are_the_machine_configs_or_kmms_and_run_or_do_not() {
        let script = "[Service]\nExecStart=/usr/local/bin/sfc-replace-kernel-module.sh\n";
        let (place, root) = root_with(&[
            ("etc/systemd/system/sfc-replace-kernel-module.service", script),
            ("etc/systemd/system/sfc-pull-image.service", "[Service]\nExecStart=/x\n"),
            ("sys/fs/cgroup/system.slice/sfc-pull-image.service/cgroup.procs", "12\n"),
        ]);
        let seen = of(&root, Reading::Absent);
        let Reading::Known(found) = &seen[&Manager::MachineConfig] else { panic!("{seen:?}") };
        let units =
            [("sfc-pull-image.service", true), ("sfc-replace-kernel-module.service", false)];
        assert_eq!(found.units, units.map(|(unit, runs)| (unit.to_owned(), runs)).into());
        assert!(found.evidence.contains("/etc/systemd/system has sfc-pull-image.service"));
        assert!(!seen.contains_key(&Manager::Kmm));
        let kmm = "[Service]\nEnvironment=WORKER=quay.io/kmm/worker\nExecStart=/x sfc\n";
        for (path, text) in [
            ("etc/systemd/system/nic-replace-kernel-module.service", kmm),
            ("var/lib/kmm_day1_config.yaml", "modprobe:\n  moduleName: sfc\n"),
        ] {
            let path = place.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let seen = of(&root, Reading::Absent);
        let said = evidence(&seen, Manager::Kmm).unwrap();
        assert!(said.contains("nic-replace-kernel-module") && said.contains(DAY1), "{said}");
        assert!(seen.contains_key(&Manager::MachineConfig));
    }

    #[test]
    fn pods_of_kmm_are_told_by_what_they_load() {
        let kubelet = "var/lib/kubelet/pods";
        let volume = "volumes/kubernetes.io~downward-api/worker-config/config.yaml";
        let told = |module: &str| format!("modprobe:\n  dirName: /opt\n  moduleName: {module}\n");
        for (pod, told, ours) in [
            ("kmm_kmm-worker-node1-onload_u1", None, true),
            ("kmm_kmm-worker-node1-solarflare_u1", Some("sfc"), true),
            ("kmm_kmm-worker-node1-onload_u1", Some("nvidia"), false),
            ("kmm_kmm-worker-onload-gpu_u1", None, false),
            ("kmm_kmm-worker-node1-gpu_u1", None, false),
            ("default_onload_u1", None, false),
            ("kmm-worker-onload", None, false),
        ]
        .map(|(pod, module, ours)| (pod, module.map(told), ours))
        {
            let host = if pod.contains("worker-onload-") { "onload\n" } else { "node1\n" };
            let log = format!("var/log/pods/{pod}/worker/0.log");
            let configuration = format!("{kubelet}/u1/{volume}");
            let mut files = vec![("proc/sys/kernel/hostname", host), (&log, "")];
            files.extend(told.as_deref().map(|told| (configuration.as_str(), told)));
            let (_place, root) = root_with(&files);
            let seen = of(&root, Reading::Absent);
            let said = evidence(&seen, Manager::Kmm);
            assert_eq!(said.is_some(), ours, "{pod} {told:?}: {said:?}");
            assert!(said.is_none_or(|said| said.contains(&format!("/var/log/pods/{pod}"))));
        }
        // Before its workers KMM kept a pod for as long as the module was to be loaded.
        let log = "var/log/pods/onload_onload-module-x7k2p_u2/module-loader/0.log";
        let (_place, root) = root_with(&[(log, ""), (DAY1, "moduleName: sfc\n")]);
        let seen = of(&root, Reading::Absent);
        let said = evidence(&seen, Manager::Kmm).unwrap();
        assert!(said.contains(DAY1) && said.contains("onload-module-x7k2p"), "{said}");
    }

    #[test]
    fn the_control_plane_is_judged_by_what_is_on_the_host() {
        let with = |path: &str, files: &[(&str, &str)]| {
            let mut all = vec![
                ("proc/modules", "onload 1 4 - Live 0x0 (OE)\n"),
                ("sys/module/onload/initstate", "live\n"),
                ("sys/module/onload/parameters/cplane_server_path", path),
                ("sys/module/onload/parameters/cplane_server_params", "exec 0123\n"),
            ];
            all.extend_from_slice(files);
            root_with(&all)
        };
        let ours = Loader { server: Some("/gone/sbin/x".to_owned()), ..Loader::default() };
        for (path, files, foreign) in [
            ("/usr/bin/crictl\n", &[("usr/bin/crictl", "")][..], true),
            ("/mnt/onload/sbin/onload_cp_server\n", &[], true),
            ("/opt/cp\n", &[("opt/cp", "")], false),
            ("/gone/sbin/x\n", &[], false),
            ("/home/me/onload_cp_server\n", &[], false),
            ("\n", &[], false),
            ("/sbin/onload_cp_server\n", &[], false),
        ] {
            let (_place, root) = with(path, files);
            let seen = of(&root, Reading::Known(ours.clone()));
            let said = evidence(&seen, Manager::ControlPlane);
            assert_eq!(said.is_some(), foreign, "{path}");
            assert!(said.is_none_or(|said| said.contains(path.trim())), "{said:?}");
        }
    }

    #[test]
    fn dkms_is_seen_by_its_tree() {
        let (_place, root) = root_with(&[("var/lib/dkms/openonload/9.1.0/source", "")]);
        let seen = of(&root, Reading::Absent);
        assert_eq!(evidence(&seen, Manager::Dkms), Some("/var/lib/dkms/openonload is there"));
    }
}

//! Containers that hold devices, and their processes. The kubelet names pods, the kernel control
//! groups: between them are the links that the kubelet keeps in `/var/log/containers`,
//! `POD_NAMESPACE_CONTAINER-ID.log`, with the id by which a control group has it.

use std::collections::BTreeMap;

use onload_core::reading::Reading;
use onload_core::verify::container::{Container, Process, parse_environment};
use onload_core::verify::mounts::waits;

use super::host::Host;
use super::patience::{LIMIT, within};
use crate::commands::allocations::Allocation;

const LOGS: &str = "var/log/containers";
/// Digits of a container's id, in hexadecimal.
const ID: usize = 64;

/// What a holder of a device is known by.
type Name = (String, String, String);

/// Every container that holds a device. `pod`: of this one only. `preloads`: whether a pool has
/// programs preload the library. `host`: where their processes are looked for, or why nowhere.
pub fn containers(
    allocations: &[Allocation],
    pod: Option<(&str, &str)>,
    preloads: &dyn Fn(&str) -> bool,
    host: Result<&Host, &str>,
) -> Vec<Container> {
    let mut all: BTreeMap<Name, Container> = BTreeMap::new();
    for one in allocations {
        let (Some(namespace), Some(name)) = (&one.pod_namespace, &one.pod_name) else { continue };
        if pod.is_some_and(|wanted| wanted != (namespace.as_str(), name.as_str())) {
            continue;
        }
        let container = one.container_name.clone().unwrap_or_default();
        let key = (namespace.clone(), name.clone(), container.clone());
        let entry = all.entry(key).or_insert_with(|| Container {
            namespace: namespace.clone(),
            pod: name.clone(),
            name: container,
            ..Container::default()
        });
        entry.devices.push(one.device.clone());
        entry.preloads |= preloads(&one.pool);
    }
    let mut all: Vec<_> = all.into_values().collect();
    match host {
        Ok(host) => {
            // The list of all processes is read once.
            let groups = groups(host);
            all.iter_mut().for_each(|one| look(host, &groups, one));
        }
        Err(why) => {
            all.iter_mut().for_each(|one| one.main = Reading::Unreadable(why.to_owned()));
        }
    }
    all
}

/// Control groups of all processes.
fn groups(host: &Host) -> Reading<Vec<(u32, String)>> {
    host.names("proc").map(|names| {
        let pids = names.iter().filter_map(|name| name.parse::<u32>().ok());
        let group = |pid: u32| Some((pid, host.text(&format!("proc/{pid}/cgroup")).into_known()?));
        pids.filter_map(group).collect()
    })
}

fn look(host: &Host, groups: &Reading<Vec<(u32, String)>>, container: &mut Container) {
    let ids = match host.names(LOGS) {
        Reading::Known(names) => names.iter().filter_map(|name| id(name, container)).collect(),
        Reading::Absent => Vec::new(),
        Reading::Unreadable(why) => {
            container.main = Reading::Unreadable(why);
            return;
        }
    };
    let groups = match groups {
        Reading::Known(groups) => groups.as_slice(),
        Reading::Absent => &[],
        Reading::Unreadable(why) => {
            container.main = Reading::Unreadable(why.clone());
            return;
        }
    };
    let is_its = |(_, group): &&(u32, String)| ids.iter().any(|id| group.contains(id));
    let mut pids: Vec<_> = groups.iter().filter(is_its).map(|(pid, _)| *pid).collect();
    // The first of its own namespace of processes is what it was started with.
    pids.sort_by_key(|pid| (!is_first(host, *pid), *pid));
    let Some((first, others)) = pids.split_first() else { return };
    let first = *first;
    container.main = match host.again() {
        Ok(host) => within(LIMIT, move || process(&host, first)),
        Err(error) => Reading::Unreadable(error.to_string()),
    };
    container.other = others.iter().find_map(|pid| {
        host.mapped(*pid).known()?;
        Some((*pid, host.comm(*pid)?))
    });
}

/// The container's id, from the name of its log.
fn id(log: &str, container: &Container) -> Option<String> {
    let Container { namespace, pod, name, .. } = container;
    let rest = log.strip_prefix(&format!("{pod}_{namespace}_{name}-"))?;
    let id = rest.strip_suffix(".log")?;
    let is_id = id.len() == ID && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| id.to_owned())
}

/// Whether it is process 1 where it lives.
fn is_first(host: &Host, pid: u32) -> bool {
    let status = host.text(&format!("proc/{pid}/status")).into_known().unwrap_or_default();
    let inside = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    inside.and_then(|pids| pids.split_whitespace().next_back()) == Some("1")
}

fn process(host: &Host, pid: u32) -> Reading<Process> {
    let Some(comm) = host.comm(pid) else { return Reading::Absent };
    let environment = host.bytes(&format!("proc/{pid}/environ"));
    let library = host.mapped(pid);
    let root = host.of_process(pid);
    // The kernel tells of mounts by itself; whoever is behind them is not asked.
    let mounts = host.text(&format!("proc/{pid}/mountinfo")).into_known().unwrap_or_default();
    let waits = |path: &str| waits(&mounts, path);
    let nodes = match &root {
        Reading::Known(root) => root.device_nodes_unless(&waits),
        Reading::Absent => BTreeMap::new(),
        Reading::Unreadable(why) => {
            let hidden = |path| (path, Reading::Unreadable(why.clone()));
            host.device_nodes().into_keys().map(hidden).collect()
        }
    };
    let fits = match (library.known(), host.interface()) {
        (Some(mapped), Some(hash)) => match waits(&mapped.path) {
            Some(why) => Reading::Unreadable(why),
            None => root.and_then(|root| root.has_hash(&mapped.path, &hash)),
        },
        (_, _) => Reading::Absent,
    };
    Reading::Known(Process {
        pid,
        comm,
        environment: environment.map(|bytes| parse_environment(&bytes)),
        library,
        fits,
        nodes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_names_its_container() {
        let container = Container {
            namespace: "default".to_owned(),
            pod: "web-1".to_owned(),
            name: "app".to_owned(),
            ..Container::default()
        };
        let digits = "0123456789abcdef".repeat(4);
        let cases = [
            (format!("web-1_default_app-{digits}.log"), true),
            (format!("web-1_default_app-side-{digits}.log"), false),
            (format!("web_default_app-{digits}.log"), false),
            (format!("web-1_other_app-{digits}.log"), false),
            (format!("web-1_default_app-{}.log", &digits[1..]), false),
            (format!("web-1_default_app-{digits}"), false),
        ];
        for (log, its) in cases {
            assert_eq!(id(&log, &container), its.then(|| digits.clone()), "{log}");
        }
    }
}

//! One process: what it has open or mapped, and who it is.

use std::collections::BTreeSet;

use onload_core::inventory::{LIBRARY, User};
use onload_core::reading::Reading;
use onload_core::verify::stack::mapping;

use super::super::root::{Dir, Kind};
use super::{ONLOAD, ONLOAD_FILE, Wanted, attribute};

/// A program with a hundred thousand mappings has some 10 MiB of lines.
const MAPS_BYTES: usize = 64 << 20;
/// One line each.
const STAT_BYTES: usize = 64 << 10;
const CGROUP_BYTES: usize = 64 << 10;
/// Digits of a container's id, in hexadecimal.
const CONTAINER_ID: usize = 64;

/// What of a process matters.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Device nodes it uses.
    pub(super) uses: BTreeSet<String>,
    /// The descriptors that showed it.
    descriptors: Vec<String>,
    /// The lines of its mappings that showed it.
    mappings: String,
}

/// Where a process has its descriptors.
pub(super) fn descriptors(pid: u32) -> String {
    format!("proc/{pid}/fd")
}

/// Looks into a process. Absent when it has ended.
pub(super) fn look(root: &Dir, pid: u32, wanted: &Wanted) -> Reading<Found> {
    let directory = descriptors(pid);
    root.list(&directory).and_then(|entries| {
        let mut found = Found::default();
        for (name, _) in entries {
            // One that is closed meanwhile is none.
            let target = root.link(&format!("{directory}/{name}"));
            let used =
                target.known().and_then(|target| used(root, &directory, &name, target, wanted));
            if let Some(used) = used {
                found.uses.insert(used);
                found.descriptors.push(name);
            }
        }
        if wanted.mapped {
            match mappings(root, pid) {
                Reading::Known(lines) => {
                    found.uses.extend(lines.lines().filter_map(mapped).map(str::to_owned));
                    found.mappings = lines;
                }
                Reading::Absent => {}
                Reading::Unreadable(why) => return Reading::Unreadable(why),
            }
        }
        Reading::Known(found)
    })
}

/// The device node a descriptor is of, if it is one of those searched for.
fn used(root: &Dir, directory: &str, name: &str, target: &str, wanted: &Wanted) -> Option<String> {
    if target.starts_with(ONLOAD_FILE) {
        return Some(ONLOAD.to_owned());
    }
    if let Some(path) = wanted.nodes.values().find(|path| *path == target) {
        return Some(path.clone());
    }
    // A container may have a node under another name. Only what is called like a device is asked
    // what it is: of a file on a dead server even that never returns.
    if !target.starts_with("/dev/") && !is_named_like_one(target, wanted) {
        return None;
    }
    let node = root.behind(directory, name).into_known()?;
    match node.kind {
        Kind::Character { major, minor } => wanted.nodes.get(&(major, minor)).cloned(),
        Kind::File | Kind::Directory | Kind::Link | Kind::Socket | Kind::Other => None,
    }
}

fn is_named_like_one(target: &str, wanted: &Wanted) -> bool {
    let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let name = last(target.strip_suffix(" (deleted)").unwrap_or(target));
    target.starts_with('/') && wanted.nodes.values().any(|path| last(path) == name)
}

/// The mappings of Onload's files: whole lines of `/proc/PID/maps`.
fn mappings(root: &Dir, pid: u32) -> Reading<String> {
    let path = format!("proc/{pid}/maps");
    root.read(&path, MAPS_BYTES).map(|bytes| {
        // File names need not be UTF-8; the ones searched for are.
        let text = String::from_utf8_lossy(&bytes);
        text.split_inclusive('\n').filter(|line| mapped(line).is_some()).collect()
    })
}

/// What of Onload's a line of `/proc/PID/maps` shows.
fn mapped(line: &str) -> Option<&'static str> {
    let name = mapping(line)?;
    if name == ONLOAD || name.trim_start_matches('/').starts_with(ONLOAD_FILE) {
        return Some(ONLOAD);
    }
    // Whatever a container calls the directory; a deleted one too.
    let file = name.rsplit('/').next().filter(|file| file.starts_with(LIBRARY));
    file.map(|_| LIBRARY)
}

/// Who the process is. Read again through `root`, so that a recording has what showed it.
pub(super) fn identify(root: &Dir, pid: u32, found: &Found) -> Reading<User> {
    let directory = descriptors(pid);
    for name in &found.descriptors {
        if let Reading::Known(target) = root.link(&format!("{directory}/{name}"))
            && target.starts_with('/')
        {
            let _ = root.behind(&directory, name);
        }
    }
    if !found.mappings.is_empty() {
        let lines = Reading::Known(found.mappings.clone().into_bytes());
        root.keep(&format!("proc/{pid}/maps"), &lines);
    }
    let text = |name: &str, limit| {
        let bytes = root.read(&format!("proc/{pid}/{name}"), limit);
        // A name of a process may hold any byte.
        bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    };
    text("stat", STAT_BYTES).and_then(|stat| match crate::processes::parse_stat(&stat) {
        Some((comm, started)) => {
            let groups = text("cgroup", CGROUP_BYTES).into_known().unwrap_or_default();
            let (unit, container) = owners(&groups);
            Reading::Known(User { started, comm, unit, container, uses: found.uses.clone() })
        }
        None => attribute::unexpected(&stat),
    })
}

/// The unit and the container of a process, by the text of its `cgroup`.
pub(in super::super) fn owners(groups: &str) -> (Option<String>, Option<String>) {
    let path = control_group(groups);
    (unit(path), container(path))
}

/// The path of systemd's hierarchy: of the only one (`0::PATH`), or beside others of version 1
/// `1:name=systemd:PATH`.
fn control_group(text: &str) -> &str {
    let fields = text.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    let named = fields.clone().find(|(controllers, _)| *controllers == "name=systemd");
    let unified = || fields.clone().find(|(controllers, _)| controllers.is_empty());
    named.or_else(unified).map_or("", |(_, path)| path)
}

/// The unit of the system manager: the first from the root on. What lies below it is named by
/// whoever owns it, which may be anybody: a user's own `kubelet.service` is not the system's. One
/// that is a user's whole session is none that could be stopped for one process of it.
fn unit(path: &str) -> Option<String> {
    let unit = |name: &&str| name.ends_with(".service") || name.ends_with(".scope");
    let first = path.split('/').find(unit)?;
    (!first.starts_with("user@")).then(|| first.to_owned())
}

/// The id of a container: 64 hexadecimal digits, by themselves or after the runtime's name
/// (`crio-`, `docker-`, `cri-containerd-`, `libpod-`).
fn container(path: &str) -> Option<String> {
    path.rsplit('/').find_map(|name| {
        let name = name.strip_suffix(".scope").unwrap_or(name);
        let id = name.rsplit(['-', ':']).next()?;
        let is_id = id.len() == CONTAINER_ID && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_id.then(|| id.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn a_control_group_names_unit_and_container() {
        let pod = "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1.slice";
        let cases = [
            (format!("{pod}/crio-{ID}.scope"), Some(format!("crio-{ID}.scope")), true),
            (
                format!("{pod}/cri-containerd-{ID}.scope/init"),
                Some(format!("cri-containerd-{ID}.scope")),
                true,
            ),
            (format!("/system.slice/docker-{ID}.scope"), Some(format!("docker-{ID}.scope")), true),
            (format!("/kubepods/besteffort/pod1/{ID}"), None, true),
            (
                format!("/system.slice/containerd.service/kubepods-pod1.slice:cri-containerd:{ID}"),
                Some("containerd.service".to_owned()),
                true,
            ),
            ("/system.slice/chronyd.service".to_owned(), Some("chronyd.service".to_owned()), false),
            (
                "/user.slice/user-0.slice/session-3.scope".to_owned(),
                Some("session-3.scope".to_owned()),
                false,
            ),
            ("/".to_owned(), None, false),
            (String::new(), None, false),
        ];
        for (path, expected, contained) in cases {
            assert_eq!(unit(&path), expected, "{path}");
            assert_eq!(container(&path), contained.then(|| ID.to_owned()), "{path}");
        }
        assert_eq!(container(&format!("/x/{}", &ID[1..])), None);
    }

    #[test]
    fn the_hierarchy_of_systemd_counts_in_both_versions() {
        assert_eq!(control_group("0::/system.slice/a.service\n"), "/system.slice/a.service");
        let both = "12:devices:/d\n1:name=systemd:/system.slice/b.service\n0::/c\n";
        assert_eq!(control_group(both), "/system.slice/b.service");
        assert_eq!(control_group("0::/a:b\n"), "/a:b");
        assert_eq!(control_group("garbage"), "");
    }
}

//! Programs that may steer a clock, found in `/proc` by their names: the name of every process is read, and more
//! only of those.

use std::collections::{BTreeMap, BTreeSet};

use onload_core::clock::daemon::{Daemon, DaemonKind, Told};
use onload_core::reading::Reading;

use super::{hardware, locks};
use crate::host::linux::root::Dir;
use crate::host::linux::users::process::owners;

/// Most that is read of each file of a process; of a command line what stands behind says nothing here.
const PROCESS_BYTES: usize = 64 << 10;
/// A configuration of linuxptp or chronyd.
const CONFIGURATION_BYTES: usize = 256 << 10;
/// Where chronyd looks for its own (Debian, Fedora).
const CHRONY_CONFIGURATIONS: [&str; 2] = ["/etc/chrony/chrony.conf", "/etc/chrony.conf"];

/// One that runs.
#[derive(Clone, Debug)]
pub(super) struct Process {
    /// What is published of it.
    pub(super) daemon: Daemon,
    /// Hardware clocks that it has open.
    pub(super) clocks: BTreeSet<u32>,
    /// Files that stand for clocks that it has open.
    pub(super) files: BTreeSet<String>,
    /// It has another network than we: what listens there is not reached.
    pub(super) elsewhere: bool,
    parent: u32,
}

/// Processes of one kind that are looked at: a node has one or two.
const MOST: usize = 64;
/// Processes looked at before others get their turn.
const AT_ONCE: usize = 64;
/// The bit of that capability (`linux/capability.h`).
const CAP_SYS_TIME: u64 = 1 << 25;

/// All that run. A process of the same program that one has begun (chronyd's and ntpd's helpers) is a part of it.
pub(super) async fn read(root: &Dir, live: bool) -> Reading<BTreeMap<u32, Process>> {
    let quiet = root.unrecorded();
    // The directory itself is a fact: without it nothing is known.
    let entries = match root.list("proc") {
        Reading::Known(entries) => entries,
        Reading::Absent => return Reading::Unreadable("there is no /proc".to_owned()),
        Reading::Unreadable(why) => return Reading::Unreadable(why),
    };
    let mut found = BTreeMap::new();
    let mut of_kind = BTreeMap::new();
    let pids = entries.into_keys().filter_map(|name| name.parse::<u32>().ok());
    for (at, pid) in pids.enumerate() {
        if at % AT_ONCE == AT_ONCE - 1 {
            tokio::task::yield_now().await;
        }
        let comm = quiet.line(&format!("proc/{pid}/comm"));
        let Some(kind) = comm.known().and_then(|comm| DaemonKind::of(comm)) else { continue };
        let many: &mut usize = of_kind.entry(kind).or_default();
        if *many == MOST {
            continue;
        }
        *many += 1;
        // Or it has a clock open, which nobody else may open, or is a service of the system, which only root has
        // begun.
        let may = !live || may_steer(&quiet, pid);
        let is_trusted = |one: &Process| {
            may || !one.clocks.is_empty()
                || one.daemon.unit.is_some() && one.daemon.container.is_none()
        };
        let _ = root.line(&format!("proc/{pid}/comm"));
        if let Some(process) = process(root, pid, kind).filter(is_trusted) {
            found.insert(pid, process);
        }
    }
    let kinds: BTreeMap<_, _> =
        found.iter().map(|(pid, process)| (*pid, process.daemon.kind)).collect();
    found.retain(|_, process| kinds.get(&process.parent) != Some(&process.daemon.kind));
    Reading::Known(found)
}

/// Whether a process can steer a clock at all: anybody's may call itself as such a program does, and with that
/// keep sfptpd from running. It is root's, or has CAP_SYS_TIME of this system and not of a namespace of its own.
fn may_steer(root: &Dir, pid: u32) -> bool {
    let status = root.read(&format!("proc/{pid}/status"), PROCESS_BYTES).into_known();
    let status = status.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let Some(status) = status else { return false };
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let user = field("Uid:").and_then(|ids| ids.split_ascii_whitespace().nth(1));
    if user == Some("0") {
        return true;
    }
    let effective = field("CapEff:").and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    let namespace = |whose: &str| root.link(&format!("proc/{whose}/ns/user")).into_known();
    let here = namespace(&pid.to_string()).is_some_and(|theirs| namespace("self") == Some(theirs));
    here && effective.is_some_and(|set| set & CAP_SYS_TIME != 0)
}

/// None when it has ended, or is only just beginning.
fn process(root: &Dir, pid: u32, kind: DaemonKind) -> Option<Process> {
    let text = |name: &str| {
        let bytes = root.read(&format!("proc/{pid}/{name}"), PROCESS_BYTES).into_known()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    let stat = text("stat")?;
    let (_, started) = crate::processes::parse_stat(&stat)?;
    let (unit, container) = owners(&text("cgroup").unwrap_or_default());
    // Empty while its program is being put in place: the next look tells what it is told.
    let line = text("cmdline").filter(|line| !line.is_empty())?;
    let arguments: Vec<_> = line.trim_end_matches('\0').split('\0').skip(1).collect();
    let network = |whose: &str| root.link(&format!("proc/{whose}/ns/net"));
    let mut process = Process {
        daemon: Daemon {
            kind,
            started,
            told: told(root, kind, &arguments, container.is_some()),
            unit,
            container,
        },
        clocks: BTreeSet::new(),
        files: BTreeSet::new(),
        elsewhere: match (network(&pid.to_string()), network("self")) {
            (Reading::Known(theirs), Reading::Known(ours)) => theirs != ours,
            // Not to be told: it is tried.
            _ => false,
        },
        parent: parent(&stat)?,
    };
    process.find_open(root, pid);
    Some(process)
}

/// What its command line says, and its configuration where that is in our reach.
fn told(root: &Dir, kind: DaemonKind, arguments: &[&str], contained: bool) -> Told {
    let told = Told::of(kind, arguments, None);
    let usual = match kind {
        DaemonKind::Chronyd => &CHRONY_CONFIGURATIONS[..],
        DaemonKind::Ptp4l | DaemonKind::Phc2sys => &[],
        // What theirs say is read elsewhere, or does not matter.
        DaemonKind::Sfptpd | DaemonKind::Ntpd | DaemonKind::Timesyncd | DaemonKind::Ts2phc => {
            return told;
        }
    };
    if contained {
        return told;
    }
    let named = told.configuration.as_deref();
    let files = named.map_or_else(|| usual.to_vec(), |named| vec![named]);
    let read = files.into_iter().find_map(|file| root.read(file, CONFIGURATION_BYTES).into_known());
    match read {
        Some(bytes) => Told::of(kind, arguments, Some(&String::from_utf8_lossy(&bytes))),
        None => told,
    }
}

/// The fourth field of `/proc/PID/stat`, behind the name in parentheses.
fn parent(stat: &str) -> Option<u32> {
    let (_, behind) = stat.rsplit_once(')')?;
    behind.split_ascii_whitespace().nth(1)?.parse().ok()
}

impl Process {
    /// Finds what of clocks it has open.
    fn find_open(&mut self, root: &Dir, pid: u32) {
        let directory = format!("proc/{pid}/fd");
        let quiet = root.unrecorded();
        for name in quiet.list(&directory).into_known().into_iter().flatten().map(|(name, _)| name)
        {
            let path = format!("{directory}/{name}");
            let Reading::Known(target) = quiet.link(&path) else { continue };
            let file = target.trim_start_matches('/');
            let clock = file.strip_prefix("dev/").and_then(hardware::index);
            if clock.is_none() && file != locks::SYSTEM {
                continue;
            }
            // Again, so that a recording has what showed it.
            let _ = root.link(&path);
            self.clocks.extend(clock);
            self.files.insert(file.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_found_behind_any_name() {
        assert_eq!(parent("17 (a) b) S 4 1 1"), Some(4));
        assert_eq!(parent("17 (chronyd) S"), None);
    }
}

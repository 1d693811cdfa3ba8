//! Who has locked a clock: whoever disciplines one does so with flock(2) on its file, if it does so at all
//! (reference/sfptpd.md section 4). Read from `/proc/locks`, so that no lock has to be tried.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use nix::libc;
use onload_core::reading::Reading;

use super::daemons::Process;
use super::{Machine, attribute};
use crate::host::linux::root::Dir;

/// The file that stands for the system clock.
pub(super) const SYSTEM: &str = "run/kernel_clock";
/// A line has some 60 bytes.
const LOCKS_BYTES: usize = 4 << 20;

/// The file that stands for a hardware clock.
pub(super) fn hardware(index: u32) -> String {
    format!("dev/ptp{index}")
}

/// Processes that have locked one of these files, by file. A capture has them as lines `PID FILE`, since
/// its files are others.
pub(super) async fn read(
    machine: &Machine<'_>,
    clocks: impl Iterator<Item = u32>,
) -> Reading<BTreeMap<String, u32>> {
    let files = clocks.map(hardware).chain([SYSTEM.to_owned()]);
    // Only what stands in the list is a fact.
    let root = machine.root.unrecorded();
    let asked = async {
        found(&root, files).map(|locks| {
            locks.iter().fold(String::new(), |mut text, (file, pid)| {
                // A string takes whatever is written to it.
                let _ = writeln!(text, "{pid} {file}");
                text
            })
        })
    };
    let kept = machine.ask("locks", async { asked.await.map(String::into_bytes) }).await;
    kept.and_then(attribute::text).map(|text| {
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        lines.filter_map(|(pid, file)| Some((file.to_owned(), pid.parse().ok()?))).collect()
    })
}

fn found(root: &Dir, files: impl Iterator<Item = String>) -> Reading<BTreeMap<String, u32>> {
    let mut wanted = BTreeMap::new();
    for file in files {
        if let Reading::Known(node) = root.node(&file) {
            wanted.insert((node.device, node.inode), file);
        }
    }
    if wanted.is_empty() {
        return Reading::Absent;
    }
    root.read("proc/locks", LOCKS_BYTES).and_then(attribute::text).map(|text| {
        let held = text.lines().filter_map(|line| {
            let (pid, device, inode) = lock(line)?;
            Some((wanted.get(&(device, inode))?.clone(), pid))
        });
        held.collect()
    })
}

/// Process, device and inode of a lock that is held, by flock(2) or, as releases of sfptpd differ, by fcntl(2):
/// `1: FLOCK  ADVISORY  WRITE 1234 00:19:56 0 EOF` (proc_locks(5)).
fn lock(line: &str) -> Option<(u32, u64, u64)> {
    let mut words = line.split_ascii_whitespace().skip(1);
    // One that waits has an arrow here.
    ["FLOCK", "POSIX"].contains(&words.next()?).then_some(())?;
    let mut words = words.skip(2);
    // 0 or -1: a process that cannot be seen from here.
    let pid = words.next()?.parse::<u32>().ok().filter(|pid| *pid != 0)?;
    let mut file = words.next()?.splitn(3, ':');
    let number = |text: Option<&str>| u32::from_str_radix(text?, 16).ok();
    let (major, minor) = (number(file.next())?, number(file.next())?);
    Some((pid, libc::makedev(major, minor), file.next()?.parse().ok()?))
}

/// The program that has locked a file. sfptpd has its privileged helper do it, and passes the descriptor on:
/// the lock is then its own, whoever the kernel names.
pub(super) fn holder(
    file: &str,
    locks: &Reading<BTreeMap<String, u32>>,
    processes: &BTreeMap<u32, Process>,
) -> Reading<u32> {
    locks.as_ref().and_then(|locks| {
        let Some(pid) = locks.get(file).copied() else { return Reading::Absent };
        if processes.contains_key(&pid) {
            return Reading::Known(pid);
        }
        let is_open = |process: &Process| process.files.contains(file);
        let mut having = processes.iter().filter(|(_, process)| is_open(process));
        Reading::Known(having.next().map_or(pid, |(pid, _)| *pid))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lock_of_the_kind_that_is_held_counts() {
        let line = "12: FLOCK  ADVISORY  WRITE 4711 00:1a:1234 0 EOF";
        let held = Some((4711, libc::makedev(0, 0x1a), 1234));
        assert_eq!(lock(line), held);
        assert_eq!(lock(&line.replace("FLOCK", "POSIX")), held);
        for other in [
            "",
            "12:",
            "12: -> FLOCK  ADVISORY  WRITE 4711 00:1a:1234 0 EOF",
            "12: OFDLCK ADVISORY  WRITE 4711 00:1a:1234 0 EOF",
            "12: FLOCK  ADVISORY  WRITE -1 00:1a:1234 0 EOF",
            "12: FLOCK  ADVISORY  WRITE 0 00:1a:1234 0 EOF",
            "12: FLOCK  ADVISORY  WRITE 4711 1a:1234 0 EOF",
            "12: FLOCK  ADVISORY  WRITE 4711 <none>:0 0 EOF",
        ] {
            assert_eq!(lock(other), None, "{other}");
        }
    }
}

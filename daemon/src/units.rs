//! Units of the system manager that hold something: found by the control group of a process, and
//! watched until systemd removes that group, which it does when the unit has ended.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use inotify::{Inotify, WatchMask};
use onload_core::allocation::{Process, Unit};
use tokio_stream::StreamExt as _;

use crate::processes;

/// Where systemd's hierarchy of control groups stands: beside others of version 1, or alone.
const HIERARCHIES: [&str; 2] = ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup"];
/// Between two looks where inotify cannot be had.
const PAUSE: Duration = Duration::from_secs(1);
/// Room for a burst of events; each takes 16 bytes and its name.
const EVENTS: usize = 4096;

/// The unit that a process is of; none where it is of none, or of a user's own manager.
///
/// # Errors
/// The process is gone, or its control group cannot be seen.
pub fn of(process: &Process) -> io::Result<Option<Unit>> {
    let group = group_of(process.pid);
    // Looked at last: a pid that still is this process was it all the while, and as long as it
    // lives its group is not removed and made anew.
    if !processes::is_alive(process)? {
        let why = format!("pid {} is another process by now", process.pid);
        return Err(io::Error::new(io::ErrorKind::NotFound, why));
    }
    let Some((name, directory, inode)) = group? else { return Ok(None) };
    let (boot, uid) = (process.boot.clone(), process.uid);
    Ok(Some(Unit { name, directory, inode, boot, uid }))
}

/// Name, directory and inode of the unit's control group that a pid is in.
fn group_of(pid: u32) -> io::Result<Option<(String, String, u64)>> {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    let Some((path, name)) = path_and_name(&groups) else { return Ok(None) };
    let directories = HIERARCHIES.map(|hierarchy| format!("{hierarchy}{path}"));
    let found = directories
        .into_iter()
        .find_map(|directory| Some((inode(Path::new(&directory)).ok()?, directory)));
    let (inode, directory) = found.ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, format!("the control group {path} is not seen"))
    })?;
    Ok(Some((name.to_owned(), directory, inode)))
}

/// Path and name of the system manager's unit in `/proc/PID/cgroup`: the first from the root on.
/// What lies below it is named by whoever owns it; a user's whole manager is not what is meant.
fn path_and_name(groups: &str) -> Option<(&str, &str)> {
    let fields = groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    let named = fields.clone().find(|(controllers, _)| *controllers == "name=systemd");
    let (_, path) = named.or_else(|| fields.clone().find(|(all, _)| all.is_empty()))?;
    let is_unit = |name: &&str| name.ends_with(".service") || name.ends_with(".scope");
    let name = path.split('/').find(is_unit).filter(|name| !name.starts_with("user@"))?;
    let end = path.find(name)? + name.len();
    Some((path.get(..end)?, name))
}

/// Resolves when the unit has ended, at once if it is not there any more. A later one of the same
/// name has another control group.
pub async fn ended(unit: &Unit) {
    let directory = Path::new(&unit.directory);
    while is_there(directory, unit) {
        if let Err(error) = watch(directory, unit).await {
            tracing::debug!(unit = unit.name, %error, "a holder cannot be watched; looking again");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn is_there(directory: &Path, unit: &Unit) -> bool {
    match inode(directory) {
        Ok(inode) => inode == unit.inode,
        // What cannot be seen for another reason has not ended for that.
        Err(error) => {
            !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
        }
    }
}

/// Watches the directory above: of its own end a control group tells nobody.
async fn watch(directory: &Path, unit: &Unit) -> io::Result<()> {
    let above = directory.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let inotify = Inotify::init()?;
    inotify
        .watches()
        .add(above, WatchMask::DELETE | WatchMask::DELETE_SELF | WatchMask::ONLYDIR)?;
    let mut events = inotify.into_event_stream([0; EVENTS])?;
    // The watch first, then the look: nothing falls in between.
    while is_there(directory, unit) {
        events.next().await.ok_or(io::ErrorKind::UnexpectedEof)??;
    }
    Ok(())
}

fn inode(directory: &Path) -> io::Result<u64> {
    fs::metadata(directory).map(|found| found.ino())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot set up must fail")]
mod tests {
    use super::*;

    #[test]
    fn a_control_group_names_its_unit() {
        let cases = [
            ("0::/system.slice/t.service\n", Some(("/system.slice/t.service", "t.service"))),
            (
                "0::/system.slice/t.service/sub/x.service\n",
                Some(("/system.slice/t.service", "t.service")),
            ),
            (
                "5:cpu:/a.service\n1:name=systemd:/user.slice/session-3.scope\n0::/\n",
                Some(("/user.slice/session-3.scope", "session-3.scope")),
            ),
            ("0::/user.slice/user-1.slice/user@1.service/app.slice/t.service\n", None),
            ("0::/\n", None),
            ("", None),
        ];
        for (groups, expected) in cases {
            assert_eq!(path_and_name(groups), expected, "{groups}");
        }
    }

    #[test]
    fn a_pid_that_is_used_again_names_no_unit() {
        let own = processes::read(std::process::id(), 0, "0".parse().unwrap()).unwrap();
        let later = Process { start_ticks: own.start_ticks - 1, ..own };
        let error = of(&later).unwrap_err();
        assert!(error.to_string().contains("another process"), "{error}");
    }

    #[tokio::test]
    async fn the_end_of_a_unit_is_seen_and_its_next_start_is_not_mistaken() {
        let slice = tempfile::tempdir().unwrap();
        let directory = slice.path().join("t.service");
        fs::create_dir(&directory).unwrap();
        let unit = Unit {
            name: "t.service".to_owned(),
            directory: directory.to_str().unwrap().to_owned(),
            inode: inode(&directory).unwrap(),
            boot: "0".parse().unwrap(),
            uid: 0,
        };
        let former = Unit { inode: unit.inode + 1, ..unit.clone() };
        ended(&former).await;
        let a_while = Duration::from_millis(50);
        fs::create_dir(slice.path().join("other.service")).unwrap();
        let other = async {
            tokio::time::sleep(a_while / 5).await;
            fs::remove_dir(slice.path().join("other.service")).unwrap();
            ended(&unit).await;
        };
        assert!(tokio::time::timeout(a_while, other).await.is_err(), "another ends: it runs on");
        let stopped = async {
            tokio::time::sleep(a_while / 5).await;
            fs::remove_dir(&directory).unwrap();
        };
        let both = async { tokio::join!(ended(&unit), stopped) };
        tokio::time::timeout(Duration::from_secs(10), both).await.unwrap();
    }
}

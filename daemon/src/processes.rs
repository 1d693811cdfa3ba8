//! Processes that hold something: read from `/proc`, and watched until they end.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use onload_core::allocation::Process;
use onload_core::names::BootId;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::descriptor;

/// Reads who a process is: its start time and command name, never its command line.
///
/// # Errors
/// That it is not there, or `/proc` does not show it as it should.
pub fn read(pid: u32, uid: u32, boot: BootId) -> io::Result<Process> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (comm, start_ticks) = parse_stat(&stat).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/stat does not parse"))
    })?;
    Ok(Process { pid, start_ticks, boot, uid, comm })
}

/// Whether a pid is still the process it was read as.
///
/// # Errors
/// There is no such process any more, or it cannot be seen.
pub fn is_alive(process: &Process) -> io::Result<bool> {
    let seen = read(process.pid, process.uid, process.boot.clone())?;
    Ok(seen.start_ticks == process.start_ticks)
}

/// Whether the process of a pidfd has not ended: such a descriptor can be read from then on.
pub fn runs(pidfd: &OwnedFd) -> bool {
    let mut asked = [PollFd::new(pidfd, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(poll(&mut asked, Some(&now)), Ok(0))
}

/// Command name and start time (field 22, proc(5)). The name stands in parentheses and may hold
/// anything, parentheses and line ends too.
pub(crate) fn parse_stat(stat: &str) -> Option<(String, u64)> {
    let open = stat.find('(')?;
    let close = stat.rfind(')')?;
    let comm: String = stat.get(open + 1..close)?.chars().filter(|c| !c.is_control()).collect();
    let start = stat.get(close + 1..)?.split_ascii_whitespace().nth(19)?.parse().ok()?;
    Some((comm, start))
}

/// Resolves when the process has ended, at once if it is not there any more. A later process with
/// the same pid is told apart by its start time.
///
/// A process that cannot be watched just now, for want of descriptors or memory, has not ended for
/// that: it is tried again.
pub async fn ended(process: &Process) {
    let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw) else { return };
    while let Err(error) = watch(pid, process).await {
        if is_gone(&error) {
            return;
        }
        tracing::warn!(pid = process.pid, %error, "a holder cannot be watched; trying again");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Between two attempts to watch a process.
const PAUSE: Duration = Duration::from_secs(1);

async fn watch(pid: Pid, process: &Process) -> io::Result<()> {
    // The descriptor first, then the check: it then names the process that was checked.
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    if is_alive(process)? {
        let _ = descriptor::readable(pidfd)?.readable().await?;
    }
    Ok(())
}

/// Whether an error says that there is no such process: pidfd_open(2) and a read of its files
/// answer ESRCH, opening them ENOENT. EINVAL is a number that is no process's any more but a
/// thread's.
fn is_gone(error: &io::Error) -> bool {
    let gone = [Errno::SRCH, Errno::NOENT, Errno::INVAL];
    Errno::from_io_error(error).is_some_and(|error| gone.contains(&error))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot set up must fail")]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let tail = "S 1 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 0";
        for comm in ["sh", "a b", ") 1 (", "x)y"] {
            let parsed = parse_stat(&format!("17 ({comm}) {tail}"));
            assert_eq!(parsed, Some((comm.to_owned(), 4242)), "{comm}");
        }
        for half in ["", "17", "17 (sh", "17 (sh) S 1 1"] {
            assert_eq!(parse_stat(half), None, "{half}");
        }
    }

    #[test]
    fn want_of_descriptors_is_nobodys_end() {
        let gone = |errno: Errno| is_gone(&io::Error::from_raw_os_error(errno.raw_os_error()));
        assert!(gone(Errno::SRCH) && gone(Errno::NOENT));
        for want in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOSPC, Errno::ACCESS] {
            assert!(!gone(want), "{want}");
        }
        assert!(!is_gone(&io::Error::other("does not parse")));
    }

    #[tokio::test]
    async fn the_end_of_a_process_is_seen_and_a_reused_pid_is_not_mistaken() {
        let boot: BootId = "0".parse().unwrap();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let process = read(child.id(), 0, boot.clone()).unwrap();
        let mut other = process.clone();
        other.start_ticks += 1;
        ended(&other).await;
        let watched =
            tokio::time::timeout(std::time::Duration::from_millis(50), ended(&process)).await;
        assert!(watched.is_err(), "it still runs");
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        assert!(runs(&pidfd) && is_alive(&process).unwrap());
        assert!(!is_alive(&other).unwrap(), "the pid is used again");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!runs(&pidfd));
        ended(&process).await;
    }
}

//! Who calls: user and process by the bus's word, start time and command name by the kernel's.
//! A pid alone is never an identity: it is used again.

use std::fmt::Debug;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use onload_core::allocation::Process;
use onload_core::command::Caller;
use onload_core::names::BootId;
use onload_core::reading::Reading;
use onload_dbus::error::{Failure, Kind};
use zbus::Connection;
use zbus::names::{BusName, UniqueName};

/// The bus daemon answers at once or is in trouble.
const BUS_ANSWER: Duration = Duration::from_secs(5);

/// What the kernel says of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// Start time in clock ticks since boot.
    pub ticks: u64,
    /// Command name.
    pub comm: String,
}

/// Where processes are looked up.
pub trait Processes: Debug + Send + Sync + 'static {
    /// Looks a process up.
    ///
    /// # Errors
    /// It is gone, or may not be seen.
    fn look_up(&self, pid: u32) -> io::Result<Started>;
}

/// The kernel's list of processes.
#[derive(Clone, Debug)]
pub struct Proc {
    /// Where it is mounted.
    pub root: PathBuf,
}

impl Default for Proc {
    fn default() -> Self {
        Self { root: PathBuf::from("/proc") }
    }
}

impl Processes for Proc {
    fn look_up(&self, pid: u32) -> io::Result<Started> {
        let stat = std::fs::read(self.root.join(pid.to_string()).join("stat"))?;
        started(&String::from_utf8_lossy(&stat))
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no start time in stat"))
    }
}

/// Reads `/proc/PID/stat`: the name stands in brackets and may hold brackets and blanks itself, so
/// fields are counted from the last closing one; the start time is field 22 (proc_pid_stat(5)).
fn started(stat: &str) -> Option<Started> {
    const FIELDS_FROM_STATE_TO_START: usize = 22 - 3;
    let (before, after) = stat.rsplit_once(')')?;
    let (_, comm) = before.split_once('(')?;
    let ticks = after.split_ascii_whitespace().nth(FIELDS_FROM_STATE_TO_START)?.parse().ok()?;
    Some(Started { ticks, comm: comm.to_owned() })
}

/// Asks the bus who a connection is.
///
/// # Errors
/// `NotAuthorized` when the bus cannot say: the caller is gone by then.
pub(super) async fn identify(
    connection: &Connection,
    sender: &UniqueName<'_>,
    boot: &Reading<BootId>,
    processes: &dyn Processes,
) -> Result<Caller, Failure> {
    let refuse = |why: &str| {
        let what = "the call is refused: its caller cannot be told";
        Failure::new(Kind::NotAuthorized, what, why, "call again, and stay until the answer comes")
    };
    let asked = async {
        let bus = zbus::fdo::DBusProxy::new(connection).await?;
        bus.get_connection_credentials(BusName::from(sender.as_ref())).await
    };
    let credentials = tokio::time::timeout(BUS_ANSWER, asked)
        .await
        .map_err(|_| refuse("the bus does not answer"))?
        .map_err(|error| refuse(&error.to_string()))?;
    let uid = credentials.unix_user_id().ok_or_else(|| refuse("the bus names no user"))?;
    let process = credentials
        .process_id()
        .and_then(|pid| Some((pid, processes.look_up(pid).ok()?)))
        .zip(boot.known())
        .map(|((pid, started), boot)| Process {
            pid,
            start_ticks: started.ticks,
            boot: boot.clone(),
            uid,
            comm: started.comm,
        });
    let bus_name = Some(sender.to_string());
    Ok(Caller { uid, process, bus_name, privileged: is_privileged(uid) })
}

/// Root, and the user that the daemon itself runs as: on a machine that is root too; in a try-out
/// on a private bus it is the person who started it.
fn is_privileged(uid: u32) -> bool {
    uid == 0 || uid == nix::unistd::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed test is what a panic is for.

    use super::*;

    #[test]
    fn the_name_of_a_process_cannot_lie_about_its_start() {
        let fields = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21";
        for comm in ["sh", "a b", "x) S 1 2 3 (y", ")", ""] {
            let stat = format!("42 ({comm}) {fields}");
            let found = started(&stat).unwrap();
            assert_eq!(found, Started { ticks: 4711, comm: comm.to_owned() }, "{stat}");
        }
        for stat in ["", "42 sh S 1 2", "42 (sh) S 1 2 3"] {
            assert_eq!(started(stat), None, "{stat}");
        }
    }

    #[test]
    fn this_process_is_found_with_the_same_start_twice() {
        let pid = std::process::id();
        let first = Proc::default().look_up(pid).unwrap();
        assert_eq!(Proc::default().look_up(pid).unwrap(), first);
        assert!(first.ticks > 0 && !first.comm.is_empty());
        assert!(Proc { root: "/nonexistent".into() }.look_up(pid).is_err());
    }
}

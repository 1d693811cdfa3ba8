//! Who calls: user and process by the bus's word, start time and command name by the kernel's.
//! A pid alone is never an identity: it is used again.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use onload_core::allocation::{Process, Unit};
use onload_core::command::Caller;
use onload_core::names::BootId;
use onload_core::reading::Reading;
use onload_dbus::error::{Failure, Kind};
use zbus::Connection;
use zbus::names::{BusName, UniqueName};

use crate::{processes, units};

/// The bus daemon answers at once or is in trouble.
const BUS_ANSWER: Duration = Duration::from_secs(5);

/// Callers remembered: clients that stay and call again are few, and each is small.
const REMEMBERED: usize = 32;

/// Where processes are looked up.
pub trait Processes: Debug + Send + Sync + 'static {
    /// Looks a process up.
    ///
    /// # Errors
    /// It is gone, or may not be seen.
    fn look_up(&self, pid: u32, uid: u32, boot: BootId) -> io::Result<Process>;

    /// The unit of the system manager that a process is of; none where it is of none.
    ///
    /// # Errors
    /// It cannot be told.
    fn unit_of(&self, process: &Process) -> io::Result<Option<Unit>> {
        units::of(process)
    }
}

/// The kernel's list of processes.
#[derive(Clone, Copy, Debug)]
pub struct Kernel;

impl Processes for Kernel {
    fn look_up(&self, pid: u32, uid: u32, boot: BootId) -> io::Result<Process> {
        processes::read(pid, uid, boot)
    }
}

/// The callers of one bus connection. Who is behind a unique name never changes, and a bus gives
/// none out twice; so the last few are remembered, and a client that calls again costs no question.
#[derive(Clone, Debug)]
pub(super) struct Callers {
    processes: Arc<dyn Processes>,
    /// The last few, oldest first.
    seen: Arc<Mutex<VecDeque<Caller>>>,
}

impl Callers {
    /// Nobody seen yet.
    pub(super) fn new(processes: Arc<dyn Processes>) -> Self {
        Self { processes, seen: Arc::default() }
    }

    /// Who a connection is.
    ///
    /// # Errors
    /// `NotAuthorized` when the bus cannot say: the caller is gone by then.
    pub(super) async fn identify(
        &self,
        connection: &Connection,
        sender: &UniqueName<'_>,
        boot: &Reading<BootId>,
    ) -> Result<Caller, Failure> {
        let bus_name = Some(sender.to_string());
        if let Some(known) = self.seen().iter().find(|caller| caller.bus_name == bus_name) {
            return Ok(known.clone());
        }
        let Credentials { uid, pid, pidfd } = credentials(connection, sender).await?;
        let process = pid
            .zip(boot.known())
            .and_then(|(pid, boot)| self.processes.look_up(pid, uid, boot.clone()).ok());
        // The pid was right when the connection was made. What was read now is of the same process
        // only where that one is still there.
        let process = match process {
            Some(process) if is_there(connection, sender, pidfd).await => Some(process),
            Some(_) | None => None,
        };
        let caller = Caller { uid, process, bus_name, privileged: is_privileged(uid) };
        // One that could not be told whole is looked at again next time.
        if caller.process.is_some() {
            let mut seen = self.seen();
            // Calls that came together are answered together, and remembered once.
            seen.retain(|known| known.bus_name != caller.bus_name);
            if seen.len() >= REMEMBERED {
                seen.pop_front();
            }
            seen.push_back(caller.clone());
        }
        Ok(caller)
    }

    /// The unit that a caller is of.
    ///
    /// # Errors
    /// `Unsupported` for a caller that is of none.
    pub(super) fn unit_of(&self, caller: &Caller) -> Result<Unit, Failure> {
        let refuse = |why: &str| {
            let what = "nothing was lent: it shall end with the caller's unit";
            let fix = "call from a unit of the system manager, or ask for another tenure";
            Failure::new(Kind::Unsupported, what, why, fix)
        };
        let Some(process) = &caller.process else {
            return Err(refuse("the caller's process cannot be seen from here"));
        };
        let unit = self.processes.unit_of(process).map_err(|error| refuse(&error.to_string()))?;
        unit.ok_or_else(|| refuse("the caller is of no unit of the system manager"))
    }

    fn seen(&self) -> MutexGuard<'_, VecDeque<Caller>> {
        // Whole at any moment.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who made a connection, by the bus's word.
struct Credentials {
    uid: u32,
    pid: Option<u32>,
    /// Names the process for good; only newer buses give it.
    pidfd: Option<OwnedFd>,
}

async fn credentials(
    connection: &Connection,
    sender: &UniqueName<'_>,
) -> Result<Credentials, Failure> {
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
    let pid = credentials.process_id();
    Ok(Credentials { uid, pid, pidfd: credentials.into_process_fd().map(OwnedFd::from) })
}

/// Whether who made a connection is still there: by its descriptor, else by the connection, which
/// ends with its process unless that has left it to a child.
async fn is_there(
    connection: &Connection,
    sender: &UniqueName<'_>,
    pidfd: Option<OwnedFd>,
) -> bool {
    if let Some(pidfd) = pidfd {
        return processes::runs(&pidfd);
    }
    let asked = async {
        let bus = zbus::fdo::DBusProxy::new(connection).await?;
        bus.name_has_owner(BusName::from(sender.as_ref())).await
    };
    matches!(tokio::time::timeout(BUS_ANSWER, asked).await, Ok(Ok(true)))
}

/// Root, and the user that the daemon itself runs as: on a machine that is root too; in a try-out
/// on a private bus it is the person who started it.
fn is_privileged(uid: u32) -> bool {
    uid == 0 || uid == nix::unistd::geteuid().as_raw()
}

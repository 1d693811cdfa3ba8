//! Ending the control-plane servers, which the kernel started and no unit holds. They run as a user
//! of their own, so this takes CAP_KILL.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::time::Duration;

use onload_core::inventory::Module;
use onload_core::names::ModuleName;
use onload_core::plan::holders::SERVER_REFERENCES;
use onload_core::reading::Reading;
use onload_core::step::{Outcome, StepError};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

use super::root::Dir;
use super::{attribute, modules, onload};
use crate::descriptor;

/// What the vendor's tool gives a server (reference/onload-modules.md section 8).
const PATIENCE: Duration = Duration::from_secs(5);
/// What one that is killed then has: it ends as soon as the kernel comes to it.
const KILLED: Duration = Duration::from_secs(2);
/// References go within a second of the end of a server (reference/onload-measured.md section 1).
const RELEASE: Duration = Duration::from_secs(1);
/// Between two looks at the count, which nothing announces.
const PAUSE: Duration = Duration::from_millis(10);
/// The server, unless the module is told of another.
const SERVER: &str = "onload_cp_server";
const PATH_PARAMETER: &str = "cplane_server_path";
/// The kernel keeps so many bytes of a name (`TASK_COMM_LEN` without the end).
const COMM_BYTES: usize = 15;
const STAT_BYTES: usize = 64 << 10;

/// A server, held so that its number cannot come to mean another process.
struct Server {
    pid: u32,
    process: AsyncFd<OwnedFd>,
}

/// Ends every server and waits until the module is free of them.
pub(super) async fn stop(root: &Dir) -> Result<Outcome, StepError> {
    let pids = match onload::driver(root).control_plane {
        Reading::Known(pids) => pids,
        Reading::Absent => return Ok(Outcome::Unchanged),
        Reading::Unreadable(why) => {
            return Err(failed(&format!("the driver does not tell which they are: {why}")));
        }
    };
    let names = names(module(root).as_ref());
    let servers = pids.iter().filter_map(|pid| open(root, *pid, &names).transpose());
    let servers: Vec<Server> = servers.collect::<Result<_, _>>()?;
    if servers.is_empty() {
        return Ok(Outcome::Unchanged);
    }
    // Last of all, since a process that came meanwhile would be left without its server.
    if let Some(error) = in_use(root, pids.len()) {
        return Err(error);
    }
    for (signal, patience) in [(Signal::TERM, PATIENCE), (Signal::KILL, KILLED)] {
        let mut left = false;
        for server in &servers {
            left |= !end(server, signal)?;
        }
        if !left || all_ended(&servers, Instant::now() + patience).await {
            released(root).await;
            return Ok(Outcome::Changed);
        }
    }
    Err(StepError::Stuck { limit_secs: (PATIENCE + KILLED).as_secs() })
}

/// Somebody but the servers has a reference or a stack.
fn in_use(root: &Dir, servers: usize) -> Option<StepError> {
    let servers = u32::try_from(servers).unwrap_or(u32::MAX).saturating_mul(SERVER_REFERENCES);
    let references = module(root)?.refcount.known().copied().unwrap_or(0);
    let stacks = onload::driver(root).stacks.known().copied().unwrap_or(0);
    let used = references > servers || stacks > 0;
    let module = "onload".parse().ok()?;
    used.then(|| StepError::InUse { module, holders: Vec::new() })
}

fn module(root: &Dir) -> Option<Module> {
    let name: ModuleName = "onload".parse().ok()?;
    modules::read(root).into_known()?.remove(&name)
}

/// What a server may be called.
fn names(module: Option<&Module>) -> BTreeSet<String> {
    let path = module.and_then(|module| module.parameters.get(PATH_PARAMETER)?.known());
    let other = path.and_then(|path| path.rsplit('/').next()).filter(|name| !name.is_empty());
    std::iter::once(SERVER).chain(other).map(str::to_owned).collect()
}

/// Holds a process and then looks whether it is a server: what is held cannot change any more. None
/// if it has ended.
fn open(root: &Dir, pid: u32, names: &BTreeSet<String>) -> Result<Option<Server>, StepError> {
    let Some(number) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
    let fd = match pidfd_open(number, PidfdFlags::empty()) {
        Ok(fd) => fd,
        Err(Errno::SRCH) => return Ok(None),
        Err(errno) => return Err(failed(&format!("process {pid} cannot be held: {errno}"))),
    };
    let stat = root.read(&format!("proc/{pid}/stat"), STAT_BYTES).and_then(attribute::text);
    let comm = match stat {
        Reading::Known(stat) => crate::processes::parse_stat(&stat).map(|(comm, _)| comm),
        Reading::Absent => return Ok(None),
        Reading::Unreadable(why) => return Err(failed(&format!("process {pid}: {why}"))),
    };
    let comm = comm.unwrap_or_default();
    if !is_server(&comm, names) {
        return Err(failed(&format!("process {pid} is listed as one, but is called `{comm}`")));
    }
    let process = descriptor::readable(fd).map_err(|error| failed(&error))?;
    Ok(Some(Server { pid, process }))
}

fn is_server(comm: &str, names: &BTreeSet<String>) -> bool {
    names.iter().any(|name| name.get(..COMM_BYTES).unwrap_or(name) == comm)
}

/// Sends a signal; true if the process has ended already.
fn end(server: &Server, signal: Signal) -> Result<bool, StepError> {
    match pidfd_send_signal(server.process.get_ref(), signal) {
        Ok(()) => Ok(false),
        Err(Errno::SRCH) => Ok(true),
        Err(errno) => Err(failed(&format!("process {} cannot be told: {errno}", server.pid))),
    }
}

async fn all_ended(servers: &[Server], deadline: Instant) -> bool {
    for server in servers {
        if tokio::time::timeout_at(deadline, server.process.readable()).await.is_err() {
            return false;
        }
    }
    true
}

/// Waits until the references have gone, or long enough: somebody else may hold some.
async fn released(root: &Dir) {
    let deadline = Instant::now() + RELEASE;
    let is_held = || module(root).is_some_and(|module| module.refcount != Reading::Known(0));
    while is_held() && Instant::now() < deadline {
        tokio::time::sleep(PAUSE).await;
    }
}

fn failed(why: &dyn std::fmt::Display) -> StepError {
    StepError::Failed(format!("the control-plane server was not stopped: {why}"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::{Child, Command};

    use super::super::root::tests::root_with;
    use super::*;

    /// A process called like a server, and a root that lists it.
    struct Node {
        place: tempfile::TempDir,
        root: Dir,
        child: Child,
    }

    fn node(name: &str, script: &str) -> Node {
        let (place, root) = root_with(&[]);
        let program = place.path().join(name);
        fs::copy("/bin/sh", &program).unwrap();
        let child = Command::new(&program).args(["-c", script]).spawn().unwrap();
        let driver = place.path().join("proc/driver/onload");
        fs::create_dir_all(&driver).unwrap();
        fs::write(driver.join("cp_server_pids"), format!("{}\n", child.id())).unwrap();
        let process = format!("proc/{}", child.id());
        fs::create_dir_all(place.path().join(&process)).unwrap();
        // Once it is what it will be, not still a copy of us.
        let comm = &name[..name.len().min(COMM_BYTES)];
        let stat = loop {
            let stat = fs::read_to_string(Path::new("/").join(&process).join("stat")).unwrap();
            if stat.contains(&format!("({comm})")) {
                break stat;
            }
            std::thread::yield_now();
        };
        fs::write(place.path().join(&process).join("stat"), stat).unwrap();
        Node { place, root, child }
    }

    use std::path::Path;

    fn stop_it(node: &Node) -> Result<Outcome, StepError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(stop(&node.root))
    }

    #[test]
    fn a_server_is_ended_and_one_that_has_ended_is_none() {
        let mut node = node(SERVER, "while :; do sleep 1; done");
        assert_eq!(stop_it(&node), Ok(Outcome::Changed));
        assert!(!node.child.wait().unwrap().success());
        assert_eq!(stop_it(&node), Ok(Outcome::Unchanged), "still listed, but gone");
        fs::write(node.place.path().join("proc/driver/onload/cp_server_pids"), "").unwrap();
        assert_eq!(stop_it(&node), Ok(Outcome::Unchanged));
    }

    #[test]
    fn a_listed_process_of_another_name_is_left_alone() {
        let mut node = node("innocent", "while :; do sleep 1; done");
        let Err(StepError::Failed(why)) = stop_it(&node) else { panic!("it is no server") };
        assert!(why.contains("`innocent`"), "{why}");
        assert!(node.child.try_wait().unwrap().is_none(), "it still runs");
        node.child.kill().unwrap();
        node.child.wait().unwrap();
    }

    #[test]
    fn a_server_may_be_called_as_the_module_was_told() {
        let (_place, root) = root_with(&[
            ("proc/modules", "onload 1 4 - Live 0x0 (OE)\n"),
            ("sys/module/onload/initstate", "live\n"),
            ("sys/module/onload/parameters/cplane_server_path", "/opt/onload/cplane\n"),
        ]);
        let names = names(module(&root).as_ref());
        for (comm, expected) in [("onload_cp_serve", true), ("cplane", true), ("cp", false)] {
            assert_eq!(is_server(comm, &names), expected, "{comm}");
        }
    }

    #[test]
    fn without_the_module_there_is_nothing_to_stop() {
        let (_place, root) = root_with(&[]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        assert_eq!(runtime.block_on(stop(&root)), Ok(Outcome::Unchanged));
    }
}

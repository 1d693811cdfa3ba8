//! A program that is run with Onload's library and a device lent to it: ourselves, with two sockets
//! open for as long as somebody looks.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use onload_core::verify::Check;
use onload_core::verify::stack::{self, Child};
use onload_dbus::error::{Kind, exit};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{self, Command};

use super::host::Host;
use crate::bus::Bus;
use crate::commands::Options;
use crate::commands::allocate::id;
use crate::ended::{Complaint, Ended};

const PRELOAD: &str = "LD_PRELOAD";
/// What the child says once its sockets are open.
const READY: &str = "ready";
/// A stack takes some 10 ms to make; the first one waits up to 10 s for the control plane
/// (reference/kubernetes-onload.md section 1.7).
const PATIENCE: Duration = Duration::from_secs(15);
/// How long it may take to end. One that waits in the driver for ever would have us wait as well, and keep the
/// device.
const END: Duration = Duration::from_secs(10);

/// The child: opens a socket of either kind, says so, and ends when nobody reads any more.
pub fn hold_sockets() -> Result<u8, Ended> {
    let refused = |error: io::Error| {
        let fix = "see what else the child printed; without Onload the same works";
        Complaint::of(Kind::Internal, "no socket was opened", error.to_string(), fix)
    };
    let _datagrams = UdpSocket::bind("0.0.0.0:0").map_err(refused)?;
    let _connections = TcpListener::bind("127.0.0.1:0").map_err(refused)?;
    let mut out = io::stdout();
    writeln!(out, "{READY}")?;
    out.flush()?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(exit::AS_WANTED)
}

/// Lends a device to a child and looks at it. `host`: where the list of stacks is.
pub async fn look(bus: &Bus, host: &Host, pool: &str) -> Result<Check, Ended> {
    let check = || Check::new("stack", "a program gets a stack", format!("pool {pool}"));
    let manager = bus.manager().await?;
    let environment = match manager.environment(pool, Options::new()).await {
        Ok(environment) => environment,
        Err(error) => return refused(check(), &Complaint::from(&error)),
    };
    let library = environment.get(PRELOAD).cloned().unwrap_or_default();
    if !Path::new(&library).exists() {
        return Ok(check().skip(format!("{library} is not on this machine")));
    }
    if !host.has("proc/driver/onload") {
        return Ok(check().skip("the module onload is not loaded here"));
    }
    let lent = match manager.allocate(pool, 1, Options::new()).await {
        Ok(lent) => lent,
        Err(error) => return refused(check(), &Complaint::from(&error)),
    };
    let seen = with_child(host, &library, &environment).await;
    for (path, _) in lent {
        // The end of our connection gives it back as well.
        drop(manager.free(&id(path.as_str()), Options::new()).await);
    }
    Ok(match seen {
        Ok(child) => stack::judge(&child),
        Err(error) => check().fail(
            format!("a child with {library} does not come to open a socket: {error}"),
            "`dmesg` says what Onload has to say; so does the child when run by hand: `onloadctl run -- cat`",
        ),
    })
}

/// What a refusal to lend says of the check.
fn refused(check: Check, complaint: &Complaint) -> Result<Check, Ended> {
    let why = format!("{}: {}", complaint.what, complaint.why);
    match complaint.exit {
        exit::NOT_ALLOWED => Ok(check.skip(format!("{why}; {}", complaint.fix))),
        exit::BLOCKED if complaint.name == Kind::InUse.as_str() => Ok(check.skip(why)),
        exit::BLOCKED => Ok(check.blocked(why, complaint.fix.clone())),
        exit::UNREACHABLE => Err(complaint.clone().into()),
        _ => Ok(check.fail(why, complaint.fix.clone())),
    }
}

async fn with_child(
    host: &Host,
    library: &str,
    environment: &HashMap<String, String>,
) -> io::Result<Child> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["verify", "--hold-sockets"])
        .envs(environment)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let pid = child.id().ok_or(io::ErrorKind::NotFound)?;
    let out = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let mut lines = BufReader::new(out).lines();
    // The library may print its banner first.
    let ready = async {
        while let Some(line) = lines.next_line().await? {
            if line == READY {
                return Ok(());
            }
        }
        Err(io::Error::other("it ended before"))
    };
    tokio::time::timeout(PATIENCE, ready).await.map_err(|_| io::ErrorKind::TimedOut)??;
    // It is a process of this machine, whichever root the rest is read below.
    let live = Host::open(Path::new("/"))?;
    let mut seen = Child {
        pid,
        library: library.to_owned(),
        mapped: live.mapped(pid),
        descriptors: live.descriptors(pid),
        stacks: host.stacks(),
        killed: false,
    };
    seen.killed = !ends(&mut child, END).await?;
    Ok(seen)
}

/// Asks it to end, by the end of its input; kills what does not. Whether it did.
async fn ends(child: &mut process::Child, limit: Duration) -> io::Result<bool> {
    drop(child.stdin.take());
    if let Ok(ended) = tokio::time::timeout(limit, child.wait()).await {
        return ended.map(|_| true);
    }
    // Not waited for: what does not leave the kernel is not killed either.
    child.start_kill()?;
    Ok(false)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed test is what a panic is for.

    use super::*;

    #[tokio::test]
    async fn who_does_not_end_is_killed() {
        let limits =
            [("cat", Duration::from_secs(60), true), ("sleep", Duration::from_millis(50), false)];
        for (program, limit, wanted) in limits {
            let mut command = Command::new(program);
            command.stdin(Stdio::piped()).stdout(Stdio::null()).kill_on_drop(true);
            let mut child = command.args((program == "sleep").then_some("600")).spawn().unwrap();
            assert_eq!(ends(&mut child, limit).await.unwrap(), wanted, "{program}");
            // At once, either way.
            assert_eq!(child.wait().await.unwrap().success(), wanted, "{program}");
        }
    }
}

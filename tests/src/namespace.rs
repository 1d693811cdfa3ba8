//! A network namespace for each test that makes interfaces, so that the machine's own are left alone.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::skip::skip;

/// Set for a test that runs inside its namespace.
const INSIDE: &str = "ONLOADD_TEST_INSIDE";

/// `unshare` with a network namespace of its own, and a user namespace where that takes root.
fn unshare() -> Command {
    let mut command = Command::new("unshare");
    if !nix::unistd::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--net", "--"]);
    command
}

/// What a program wrote, errors too.
pub fn printed(out: &Output) -> String {
    String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr)
}

/// The same, where it sees no other process and nothing of `/run` either. That takes root.
fn unshare_all() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "sh"]);
    let set_up = "mount -t tmpfs none /run && ip link set lo up && exec \"$@\"";
    command.args(["-c", set_up, "sh"]);
    command
}

/// Runs a test of the calling program, by its name, in a namespace of its own where it can make
/// interfaces: the program runs itself anew there. Skipped where no interface can be made.
pub fn inside(test: &str, run: impl FnOnce()) {
    anew(test, unshare, run);
}

/// Runs a test as [`inside`] does, where it sees no other process, network or `/run`. Skipped where one of the
/// programs is not installed.
pub fn alone(test: &str, programs: &[&str], run: impl FnOnce()) {
    let is_there = |program: &str| {
        ["/usr/sbin", "/usr/bin"].iter().any(|at| Path::new(at).join(program).exists())
    };
    match programs.iter().find(|program| !is_there(program)) {
        Some(missing) => skip(test, &format!("{missing} is not installed")),
        None => anew(test, unshare_all, run),
    }
}

fn anew(test: &str, unshare: impl Fn() -> Command, run: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return run();
    }
    let probe = unshare().args(["ip", "link", "add", "one", "type", "veth"]).output();
    match probe {
        Ok(out) if out.status.success() => {}
        Ok(out) => {
            return skip(test, &format!("no interfaces to be made: {}", printed(&out).trim()));
        }
        Err(error) => return skip(test, &format!("unshare does not run: {error}")),
    }
    let out = unshare()
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    println!("{}", printed(&out));
    assert!(out.status.success() && printed(&out).contains("1 passed"), "it failed inside");
}

/// Runs lines of `ip`; whether the kernel took them.
pub fn takes(lines: &str) -> bool {
    let mut ip = Command::new("ip");
    let mut child = ip.args(["-batch", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    child.wait().unwrap().success()
}

/// Runs lines of `ip`, which the kernel must take.
pub fn ip(lines: &str) {
    assert!(takes(lines), "ip {lines}");
}

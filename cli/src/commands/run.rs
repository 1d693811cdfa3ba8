//! `run`: borrows a device and becomes the command, so that signals, terminal and exit code are the
//! command's own.
//!
//! The device is lent to this process, not to its connection: it outlives the connection, which
//! closes when the command takes over, and goes back when the process ends, however it ends.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use onload_dbus::error::exit;
use zbus::Variant;

use crate::bus::Bus;
use crate::commands::Options;
use crate::commands::allocate::id;
use crate::ended::{Complaint, Ended};
use crate::render::paint::plain;

/// The dynamic linker's variable: libraries that come before all others (ld.so(8)).
const PRELOAD: &str = "LD_PRELOAD";

/// Becomes the command. Returns only when that fails, and then the device is given back already.
pub async fn take_over(bus: &Bus, pool: &str, words: &[OsString]) -> Ended {
    match lent(bus, pool, words).await {
        Ok(never) => match never {},
        Err(ended) => ended,
    }
}

async fn lent(
    bus: &Bus,
    pool: &str,
    words: &[OsString],
) -> Result<std::convert::Infallible, Ended> {
    let Some((program, words)) = words.split_first() else {
        return Err(refused(OsStr::new(""), &ErrorKind::NotFound.into()).into());
    };
    take_name(program);
    let manager = bus.manager().await?;
    let tenure = Variant::from("process");
    let lent = manager.allocate(pool, 1, Options::from([("Tenure", &tenure)])).await?;
    let error = match manager.environment(pool, Options::new()).await {
        Ok(variables) => {
            let error = Command::new(program).args(words).envs(set(variables)).exec();
            refused(program, &error).into()
        }
        Err(error) => error.into(),
    };
    for (path, _) in lent {
        // The end of this process gives it back as well, only a moment later.
        drop(manager.free(&id(path.as_str()), Options::new()).await);
    }
    Err(error)
}

/// Takes the name that the command will have, before onloadd looks who asks: it shows holders by
/// the name they had then. Nothing depends on it.
fn take_name(program: &OsStr) {
    let name = Path::new(program).file_name().unwrap_or(program);
    drop(std::fs::write("/proc/self/comm", name.as_encoded_bytes()));
}

/// The variables to set: those that are not set yet, as the `onload` launcher does it, and the
/// library before what is preloaded already.
fn set(variables: HashMap<String, String>) -> BTreeMap<String, OsString> {
    let settled = variables.into_iter().filter_map(|(name, value)| {
        match std::env::var_os(&name).filter(|present| !present.is_empty()) {
            None => Some((name, value.into())),
            Some(present) if name == PRELOAD => Some((name, before(&value, &present))),
            Some(_) => None,
        }
    });
    settled.collect()
}

/// A library before others, separated as ld.so(8) takes it.
fn before(library: &str, others: &OsStr) -> OsString {
    let mut all = OsString::from(library);
    all.push(":");
    all.push(others);
    all
}

/// Why the command is not run, with the exit codes that shells give for it.
fn refused(program: &OsStr, error: &io::Error) -> Complaint {
    let program = program.to_string_lossy();
    let (name, exit, fix) = if error.kind() == ErrorKind::NotFound {
        ("CommandNotFound", exit::COMMAND_NOT_FOUND, "give its path, or a name that is in PATH")
    } else {
        (
            "CommandNotExecutable",
            exit::NOT_EXECUTABLE,
            "see that it is a program, and that you may run it",
        )
    };
    Complaint {
        name: name.into(),
        what: format!("{} was not run, and the device was given back", plain(&program)),
        why: error.to_string(),
        fix: fix.into(),
        exit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_comes_first() {
        assert_eq!(
            before("/a/libonload.so", OsStr::new("libx.so liby.so")),
            "/a/libonload.so:libx.so liby.so"
        );
    }

    #[test]
    fn a_command_that_cannot_be_run_has_the_codes_of_shells() {
        let cases = [
            (ErrorKind::NotFound, 127),
            (ErrorKind::PermissionDenied, 126),
            (ErrorKind::InvalidInput, 126),
        ];
        for (kind, exit) in cases {
            let complaint = refused(OsStr::new("x\u{1b}[2J"), &kind.into());
            assert_eq!(complaint.exit, exit, "{kind:?}");
            assert!(
                !complaint.what.contains('\u{1b}') && !complaint.why.is_empty(),
                "{complaint:?}"
            );
        }
    }
}

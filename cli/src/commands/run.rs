//! `run`: borrows a device and becomes the command, so that signals, terminal and exit code are the
//! command's own.
//!
//! The device is lent to this process, not to its connection: it outlives the connection, which
//! closes when the command takes over, and goes back when the process ends, however it ends.

mod profile;

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use onload_dbus::error::exit;
use onload_dbus::proxies::ManagerProxy;
use zbus::Variant;

use crate::bus::Bus;
use crate::commands::Options;
use crate::commands::allocate::id;
use crate::ended::{Complaint, Ended};
use crate::render::Output;
use crate::render::paint::plain;
use profile::Changes;

/// The dynamic linker's variable: libraries that come before all others (ld.so(8)).
const PRELOAD: &str = "LD_PRELOAD";

/// Variables by name, as onloadd tells them.
type Environment = HashMap<String, String>;

/// What is to be run, and with what.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The pool to borrow from.
    pub pool: &'a str,
    /// Profiles, from left to right; none: the pool's.
    pub profiles: &'a [String],
    /// The command and its words.
    pub words: &'a [OsString],
}

/// Becomes the command. Returns only when that fails, and then the device is given back already.
pub async fn take_over(bus: &Bus, output: Output, wanted: &Wanted<'_>) -> Ended {
    match lent(bus, output, wanted).await {
        Ok(never) => match never {},
        Err(ended) => ended,
    }
}

async fn lent(
    bus: &Bus,
    output: Output,
    wanted: &Wanted<'_>,
) -> Result<std::convert::Infallible, Ended> {
    let Some((program, words)) = wanted.words.split_first() else {
        return Err(refused(OsStr::new(""), &ErrorKind::NotFound.into()).into());
    };
    take_name(program);
    let manager = bus.manager().await?;
    // First, so that nothing is lent for a profile that has no value.
    let profile = match wanted.profiles {
        [] => Changes::default(),
        _ => profile::changes(&manager, output, wanted).await?,
    };
    let tenure = Variant::from("process");
    let lent = manager.allocate(wanted.pool, 1, Options::from([("Tenure", &tenure)])).await?;
    let error = match environment(&manager, wanted).await {
        Ok(variables) => {
            let mut command = Command::new(program);
            for name in &profile.removed {
                command.env_remove(name);
            }
            command.args(words).envs(set(variables, profile, |name| std::env::var_os(name)));
            refused(program, &command.exec()).into()
        }
        Err(error) => error.into(),
    };
    for (path, _) in lent {
        // The end of this process gives it back as well, only a moment later.
        drop(manager.free(&id(path.as_str()), Options::new()).await);
    }
    Err(error)
}

/// What onloadd gives to a program of the pool.
async fn environment(manager: &ManagerProxy<'_>, wanted: &Wanted<'_>) -> zbus::Result<Environment> {
    let without = Variant::from(!wanted.profiles.is_empty());
    manager.environment(wanted.pool, Options::from([("WithoutProfile", &without)])).await
}

/// Takes the name that the command will have, before onloadd looks who asks: it shows holders by
/// the name they had then. Nothing depends on it.
fn take_name(program: &OsStr) {
    let name = Path::new(program).file_name().unwrap_or(program);
    drop(std::fs::write("/proc/self/comm", name.as_encoded_bytes()));
}

/// The variables to set: what the profile comes to, then the pool's that are not set yet and not
/// taken away, as the `onload` launcher does it, and the library before what is preloaded already.
fn set(
    variables: Environment,
    profile: Changes,
    present: impl Fn(&str) -> Option<OsString>,
) -> BTreeMap<String, OsString> {
    let Changes { set, removed } = profile;
    let present = |name: &str| present(name).filter(|_| !removed.contains(name));
    let variables = variables.into_iter();
    let variables = variables.filter(|(name, _)| name == PRELOAD || !removed.contains(name));
    let mut set: BTreeMap<_, _> =
        set.into_iter().map(|(name, value)| (name, OsString::from(value))).collect();
    for (name, value) in variables {
        let found = set.get(&name).cloned().or_else(|| present(&name));
        match found.filter(|found| !found.is_empty()) {
            None => drop(set.insert(name, value.into())),
            Some(found) if name == PRELOAD => drop(set.insert(name, before(&value, &found))),
            Some(_) => {}
        }
    }
    set
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
    fn a_profile_wins_over_the_environment_it_has_met_and_the_pool_over_neither() {
        let of = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
        };
        let pool = of(&[("EF_A", "pool"), ("EF_B", "pool"), ("EF_C", "pool"), (PRELOAD, "/l.so")]);
        let with = |profile: &[(&str, &str)], removed: &[&str], present: &[(&str, &str)]| {
            let has = |name: &str| {
                present.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
            };
            let removed = removed.iter().map(ToString::to_string).collect();
            let changes = Changes { set: of(profile).into_iter().collect(), removed };
            let set = set(pool.iter().cloned().collect(), changes, has);
            let each = set.iter().map(|(name, value)| format!("{name}={}", value.display()));
            each.collect::<Vec<_>>().join(" ")
        };
        let shown = |profile: &[_], present: &[_]| with(profile, &[], present);
        let mine = [("EF_B", "mine"), (PRELOAD, "x.so")];
        assert_eq!(shown(&[], &mine), "EF_A=pool EF_C=pool LD_PRELOAD=/l.so:x.so");
        let told = [("EF_A", "told"), ("EF_D", "told")];
        assert_eq!(shown(&told, &mine), "EF_A=told EF_C=pool EF_D=told LD_PRELOAD=/l.so:x.so");
        let preloads = [(PRELOAD, "y.so")];
        assert_eq!(shown(&preloads, &[]), "EF_A=pool EF_B=pool EF_C=pool LD_PRELOAD=/l.so:y.so");
        // What it takes away is nobody's any more; the library is not for it to take away.
        let taken = with(&[], &["EF_A", "EF_B", PRELOAD], &mine);
        assert_eq!(taken, "EF_C=pool LD_PRELOAD=/l.so");
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

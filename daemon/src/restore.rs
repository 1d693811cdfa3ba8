//! `onloadd --restore`: what onloadd has changed on a host, taken back when its package goes. Works without
//! a daemon, and again after a part has failed. The ledger and the releases stay unless purged; kernel modules
//! that are loaded stay until the next boot.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use onload_core::clock::picture::{Handover, Keeper};
use onload_core::ledger::{ClockEntry, Entry, Ledger};
use onload_core::step::StepError;

pub use crate::host::linux::restore::place;
use crate::host::linux::restore::{self as host, Request};
use crate::ledger_file::{self, LedgerFile, LockError};
use crate::{cdi, store};

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot set up must fail")]
mod tests;

/// Where what is of this boot lies, below the root.
const RUN: &str = "/run";
/// Settings and sockets there.
const RUNTIME: &str = "onloadd";
/// Why nothing else is done while one runs.
const RUNS: &str = "stop it first: systemctl stop onloadd.service onloadd-boot.service";

/// What is to be taken back, and where.
#[derive(Clone, Debug)]
pub struct Order {
    /// The root of the machine.
    pub root: PathBuf,
    /// Where the ledger and the releases are; none where there are none.
    pub state: Option<PathBuf>,
    /// Where container runtimes are told of devices, if anywhere.
    pub cdi: Option<PathBuf>,
    /// Units that may run sfptpd.
    pub sfptpd: Vec<String>,
    /// Why the configuration, which may name other places than the usual ones, is not known.
    pub unread: Option<String>,
    /// Whether the ledger and the releases go too.
    pub purge: bool,
}

/// Something that was not taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Left {
    what: String,
    why: String,
    fix: String,
}

/// What came of it, a line each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Account {
    done: Vec<String>,
    /// What stays on purpose.
    stays: Vec<String>,
    left: Vec<Left>,
}

impl Account {
    fn missed(&mut self, what: impl Into<String>, why: impl ToString, fix: &str) {
        let (what, why, fix) = (what.into(), why.to_string(), fix.to_owned());
        self.left.push(Left { what, why, fix });
    }

    fn part(&mut self, what: &str, part: Result<Vec<PathBuf>, String>) -> bool {
        match part {
            Ok(removed) => {
                self.done.extend(removed.iter().map(|path| format!("removed {}", path.display())));
                !removed.is_empty()
            }
            Err(why) => {
                self.missed(format!("{what} stayed"), why, "remove it, and run it again");
                false
            }
        }
    }
}

/// Takes it back on the machine itself, or below another root, where nobody is told of it. Says what
/// was done.
pub async fn run(order: &Order) -> ExitCode {
    let account = if order.root == Path::new("/") {
        restore(order, &host::ask).await
    } else {
        let why = format!("{} is not the running machine", order.root.display());
        restore(order, &async |request| match request {
            Request::ReloadUnits | Request::ReloadRules => Ok(()),
            Request::Stop(_) | Request::Start(_) => Err(StepError::Unsupported(why.clone())),
        })
        .await
    };
    if account.done.is_empty() && account.left.is_empty() {
        println!("nothing was left to be taken back");
    }
    account.done.iter().chain(&account.stays).for_each(|line| println!("{line}"));
    for Left { what, why, fix } in &account.left {
        eprintln!("error: {what}\n  why: {why}\n  fix: {fix}");
    }
    if account.left.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn restore(order: &Order, ask: &impl AsyncFn(Request) -> Result<(), StepError>) -> Account {
    let mut account = Account::default();
    // Its lock is kept to the end: a daemon that starts meanwhile would write all of it anew.
    let mut ledger = match ledger(order.state.as_deref()) {
        Ok(ledger) => ledger,
        Err(error) => {
            account.missed("nothing was taken back", error, RUNS);
            return account;
        }
    };
    if let Some(why) = &order.unread {
        let fix = "mend it, and run it again: it may name another directory for CDI files, or another unit";
        account.missed("the configuration was not heeded", why, fix);
    }
    clocks(order, &mut ledger, ask, &mut account).await;
    if account.part("a pinned name", host::names(&order.root)) {
        let line = "stays: copies of pinned names in an initramfs, until it is built anew";
        account.stays.push(line.to_owned());
    }
    let blocks = host::blocks(&order.root);
    let rules = account.part("what drivers are kept from loading by", blocks);
    if rules && let Err(error) = ask(Request::ReloadRules).await {
        account.missed("udev was not told", error, "udevadm control --reload");
    }
    let specs = order.cdi.as_deref().map_or(Ok(Vec::new()), cdi::withdraw);
    account.part("a file for container runtimes", specs);
    let of_boot = place(&order.root, RUN);
    let of_boot =
        of_boot.and_then(|run| run.map_or(Ok(Vec::new()), |run| remove(&run.join(RUNTIME))));
    account.part("what was of this boot", of_boot);
    let known = ledger.as_ref().and_then(|(_, read)| read.as_ref().ok());
    account.stays.extend(known.and_then(|ledger| modules(order, ledger)));
    let state = order.state.as_deref().filter(|state| state.is_dir());
    if order.purge && account.left.is_empty() {
        state.into_iter().for_each(|state| purge(state, &mut account));
    } else if order.purge {
        let why = "something is left to be taken back, which only the ledger tells";
        account.missed(
            "the ledger and the releases stayed",
            why,
            "run it again when the rest is done",
        );
    } else if let Some(state) = state {
        let state = state.display();
        let line =
            format!("stays: {state}, the ledger and releases (--restore --purge removes it)");
        account.stays.push(line);
    }
    account
}

type Kept = Option<(LedgerFile, Result<Ledger, String>)>;

/// The journal and what it adds up to; none where there is no state.
fn ledger(state: Option<&Path>) -> Result<Kept, LockError> {
    state.filter(|state| state.is_dir()).map(LedgerFile::open).transpose()
}

/// Gives sfptpd its own configuration back, and starts again who was stopped for it or for a change of
/// drivers. What is done is done with: the ledger says so, or a later run would start them again.
async fn clocks(
    order: &Order,
    ledger: &mut Kept,
    ask: &impl AsyncFn(Request) -> Result<(), StepError>,
    account: &mut Account,
) {
    let handover = ledger
        .as_ref()
        .and_then(|(_, read)| read.as_ref().ok())
        .and_then(|ledger| ledger.clock.handover.clone());
    // Two that steer one clock are worse than one: before anything else, and whatever becomes of that.
    let stopped = match handover.as_ref().is_some_and(was_taken) {
        true => stop(&order.sfptpd, ask, account).await,
        false => true,
    };
    match host::clock(&order.root, ask).await {
        Ok(Some(unit)) => {
            let line = format!("{unit} uses its own configuration from its next start on");
            account.done.push(line);
        }
        Ok(None) => {}
        Err(why) => account.missed("the configuration of sfptpd stayed ours", why, "run it again"),
    }
    let Some((file, read)) = ledger.as_mut().filter(|_| stopped) else { return };
    let kept = match read {
        Ok(ledger) => ledger,
        Err(why) => {
            let fix = "see which services that keep time are to run, and start them";
            return account.missed("it is not known which units were stopped", &*why, fix);
        }
    };
    let handed = handover.iter().flat_map(|handover| handover.units.iter());
    let wanted: BTreeSet<String> = kept.clock.paused.iter().chain(handed).cloned().collect();
    let mut entries = Vec::new();
    let mut failed = false;
    for unit in wanted {
        match ask(Request::Start(unit.clone())).await {
            Ok(()) => {
                account.done.push(format!("started {unit} again"));
                entries.push(Entry::Clock(ClockEntry::Resumed { unit }));
            }
            Err(error) => {
                failed = true;
                let fix = format!("systemctl start {unit}");
                account.missed(format!("{unit} was not started again"), error, &fix);
            }
        }
    }
    if !failed && handover.is_some() {
        entries.push(Entry::Clock(ClockEntry::HandedOver(None)));
    }
    if entries.is_empty() {
        return;
    }
    entries.into_iter().for_each(|entry| kept.take(entry));
    if let Err(why) = file.replace(&kept.to_text()) {
        account.missed("the ledger does not say that they run again", why, "run it again");
    }
}

/// Stops whatever unit has the system clock for sfptpd; whether none of them runs any more.
async fn stop(
    units: &[String],
    ask: &impl AsyncFn(Request) -> Result<(), StepError>,
    account: &mut Account,
) -> bool {
    for unit in units {
        // One that is not there, or does not run, is stopped.
        if let Err(error) = ask(Request::Stop(unit.clone())).await {
            let fix = format!("systemctl stop {unit}, and run it again");
            account.missed(format!("{unit} was not stopped"), error, &fix);
            return false;
        }
    }
    account.done.push(format!("sfptpd is stopped ({}): it had the system clock", units.join(", ")));
    true
}

/// Whether somebody was stopped so that sfptpd has the system clock.
fn was_taken(handover: &Handover) -> bool {
    handover.to == Keeper::Sfptpd && !handover.units.is_empty()
}

/// Removes a directory of ours with all that is in it.
fn remove(directory: &Path) -> Result<Vec<PathBuf>, String> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        removed => removed
            .map(|()| vec![directory.to_owned()])
            .map_err(|error| format!("{}: {error}", directory.display())),
    }
}

/// What stays loaded of what the daemon has loaded.
fn modules(order: &Order, ledger: &Ledger) -> Option<String> {
    let is_loaded = |name: &&str| {
        place(&order.root, &format!("sys/module/{name}"))
            .is_ok_and(|place| place.is_some_and(|place| place.exists()))
    };
    let loaded: Vec<&str> =
        ledger.loaded.keys().map(|name| name.as_str()).filter(is_loaded).collect();
    let list = loaded.join(", ");
    let line =
        || format!("stays: kernel modules until the next boot, which has the host's: {list}");
    (!loaded.is_empty()).then(line)
}

/// Removes what is ours of the state, and the directory where nothing else is in it.
fn purge(state: &Path, account: &mut Account) {
    let names = store::DIRECTORIES.iter().chain(&ledger_file::FILES);
    for path in names.map(|name| state.join(name)) {
        let removed = match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Ok(node) if node.is_dir() => fs::remove_dir_all(&path),
            Ok(_) | Err(_) => fs::remove_file(&path),
        };
        let part = removed.map(|()| vec![path.clone()]);
        account.part("state", part.map_err(|error| format!("{}: {error}", path.display())));
    }
    match fs::remove_dir(state) {
        Ok(()) => account.done.push(format!("removed {}", state.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => account.stays.push(format!("stays: {}: {error}", state.display())),
    }
}

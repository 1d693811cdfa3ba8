//! How often an idle daemon wakes: the voluntary context switches of all its threads.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Context;

use super::RESOURCE;
use super::daemon::{Daemon, Machine};
use super::table::{Row, Weight};
use crate::background::Background;
use crate::kubelet::Kubelet;
use crate::node::PATIENCE;

/// What is measured: one whole minute, so that the slow tick and the watchdog are in it as often
/// as in any other.
const MINUTE: Duration = Duration::from_secs(60);
/// Between two readings, which do not wake the daemon: more often than an idle thread of its pool
/// ends (ten seconds), since the count of a thread goes with it.
const PACE: Duration = Duration::from_secs(4);
/// The start is over by then: first look, first registration, first writes.
const SETTLE: Duration = Duration::from_secs(2);
/// Per minute.
const BUDGET: u64 = 8;
/// The pool.
const SLOTS: usize = 100;

/// Watches a node with cards that is registered with a kubelet, and this machine's own root without
/// one, in the same minute.
///
/// # Errors
/// A daemon does not come up, or ends.
pub fn measure(background: &Background) -> anyhow::Result<Vec<Row>> {
    let mut simulated = Daemon::prepare(Machine::EightPorts, SLOTS)?;
    let kubelet = background.run(Kubelet::start(simulated.kubelet_directory()))?;
    simulated.start()?;
    background.run(kubelet.wait_for(RESOURCE, PATIENCE, |devices| devices.len() == SLOTS))?;
    let mut real = Daemon::prepare(Machine::Real, SLOTS)?;
    real.start()?;
    sleep(SETTLE);
    let mut counts = [Switches::of(&simulated)?, Switches::of(&real)?];
    let mut left = MINUTE;
    while !left.is_zero() {
        let pause = left.min(PACE);
        sleep(pause);
        left -= pause;
        counts[0].read(&simulated)?;
        counts[1].read(&real)?;
    }
    simulated.stop()?;
    real.stop()?;
    let row = |what: &str, switches: &Switches| {
        let count = switches.sum();
        Row::new(Weight::Held, what, "≤ 8", count.to_string(), count <= BUDGET)
    };
    Ok(vec![
        row("voluntary switches in an idle minute, simulated node", &counts[0]),
        row("voluntary switches in an idle minute, this machine's root", &counts[1]),
    ])
}

/// Counts by thread, at the beginning and as last read.
struct Switches {
    before: BTreeMap<String, u64>,
    last: BTreeMap<String, u64>,
}

impl Switches {
    fn of(daemon: &Daemon) -> anyhow::Result<Self> {
        let before = by_thread(&daemon.proc()?)?;
        Ok(Self { last: before.clone(), before })
    }

    fn read(&mut self, daemon: &Daemon) -> anyhow::Result<()> {
        self.last.extend(by_thread(&daemon.proc()?)?);
        Ok(())
    }

    fn sum(&self) -> u64 {
        let former = |thread| self.before.get(thread).copied().unwrap_or(0);
        self.last.iter().map(|(thread, count)| count - former(thread)).sum()
    }
}

fn by_thread(process: &Path) -> anyhow::Result<BTreeMap<String, u64>> {
    let mut counts = BTreeMap::new();
    for thread in fs::read_dir(process.join("task")).context("the daemon has ended")? {
        let thread = thread?;
        // A thread may end between the two.
        let Ok(status) = fs::read_to_string(thread.path().join("status")) else { continue };
        let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        let count = count.context("no voluntary_ctxt_switches in /proc")?.trim().parse()?;
        counts.insert(thread.file_name().to_string_lossy().into_owned(), count);
    }
    Ok(counts)
}

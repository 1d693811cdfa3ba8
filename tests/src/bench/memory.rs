//! Memory of a registered, idle daemon; and what a very large pool costs.

use std::fs;
use std::time::Duration;

use anyhow::Context;

use super::daemon::{Daemon, Machine};
use super::samples::millis;
use super::table::{Row, Weight};
use super::{LARGE_POOLS, RESOURCE};
use crate::background::Background;
use crate::kubelet::Kubelet;
use crate::node::PATIENCE;

/// Budgets in KiB, the unit of `/proc/PID/status`.
const IDLE_KIB: u64 = 8 * 1024;
const LARGE_KIB: u64 = 40 * 1024;
/// The pool of the first budget, which one of a thousand keeps as well, and that of the second.
const SLOTS: usize = 100;
const LARGEST: usize = 10_000;
/// For the list of a large pool to be with the kubelet.
const LIST_BUDGET: Duration = Duration::from_millis(100);
/// Work of the start is over by then.
const SETTLE: Duration = Duration::from_secs(2);

/// Measures an ordinary pool and the large ones.
///
/// # Errors
/// The daemon does not come up, or is not registered.
pub fn measure(background: &Background) -> anyhow::Result<Vec<Row>> {
    let small = registered(background, SLOTS)?;
    let what = "resident memory, idle, 8 ports, 100 slots, registered";
    let mut rows = vec![small.memory(what, "< 8 MiB", IDLE_KIB)];
    for (slots, called) in LARGE_POOLS {
        let large = registered(background, slots)?;
        let what = format!("resident memory, idle, {called} devices");
        let (budget, most) = match slots {
            0..LARGEST => ("< 8 MiB", IDLE_KIB),
            LARGEST.. => ("< 40 MiB", LARGE_KIB),
        };
        rows.push(large.memory(&what, budget, most));
        rows.push(Row::new(
            Weight::Told,
            format!("{called} devices: accepted by the kubelet to list received"),
            "< 100 ms",
            millis(large.list),
            large.list < LIST_BUDGET,
        ));
    }
    Ok(rows)
}

/// What a registered daemon takes.
struct Taken {
    rss: u64,
    anonymous: u64,
    /// From the kubelet's yes to the list being read by it.
    list: Duration,
}

fn registered(background: &Background, slots: usize) -> anyhow::Result<Taken> {
    let mut daemon = Daemon::prepare(Machine::EightPorts, slots)?;
    let kubelet = background.run(Kubelet::start(daemon.kubelet_directory()))?;
    daemon.start()?;
    let listed = kubelet.wait_until("a whole list of healthy devices", PATIENCE, |seen| {
        seen.lists(RESOURCE).iter().any(|list| list.healthy == slots)
    });
    let seen = background.run(listed)?;
    let accepted = seen.registrations.first().context("no registration")?.accepted;
    let first = seen.lists(RESOURCE).first().context("no list")?.at;
    std::thread::sleep(SETTLE);
    let status = fs::read_to_string(daemon.proc()?.join("status"))?;
    let list = first.saturating_duration_since(accepted);
    let taken = Taken { rss: kib(&status, "VmRSS")?, anonymous: kib(&status, "RssAnon")?, list };
    daemon.stop()?;
    Ok(taken)
}

impl Taken {
    fn memory(&self, what: &str, budget: &str, most: u64) -> Row {
        let mib = |kib: u64| kib as f64 / 1024.0;
        let (rss, anonymous) = (mib(self.rss), mib(self.anonymous));
        let measured = format!("{rss:.1} MiB, of it anonymous {anonymous:.1} MiB");
        Row::new(Weight::Held, what, budget, measured, self.rss < most)
    }
}

/// A size of `/proc/PID/status`.
fn kib(status: &str, key: &str) -> anyhow::Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    let size = line.and_then(|rest| rest.trim().strip_suffix(" kB"));
    Ok(size.with_context(|| format!("no {key} in /proc/PID/status"))?.parse()?)
}

//! How soon the daemon serves: after its start, and after a kubelet's.

use std::time::{Duration, Instant};

use anyhow::Context;

use super::LARGE_POOLS;
use super::daemon::{Daemon, Machine};
use super::samples::{Samples, millis};
use super::table::{Row, Weight};
use crate::background::Background;
use crate::kubelet::Kubelet;
use crate::node::PATIENCE;

/// Starts of each kind; the median is what counts.
const ROUNDS: usize = 11;
/// The same, with each of the large pools.
const LARGE_ROUNDS: usize = 5;
/// The pool measured.
const SLOTS: usize = 100;
/// Budgets, in words and as what a median must stay below.
const READY: (&str, Duration) = ("< 60 ms", Duration::from_millis(60));
const REGISTERED: (&str, Duration) = ("< 85 ms", Duration::from_millis(85));
const AGAIN: (&str, Duration) = ("< 250 ms", Duration::from_millis(250));

/// Starts on this machine's own root; then on a node with cards, with a kubelet waiting, whose
/// kubelet is restarted in the end; and the latter with large pools.
///
/// # Errors
/// The daemon does not come up, or is not registered.
pub fn measure(background: &Background) -> anyhow::Result<Vec<Row>> {
    // A machine without a card registers nothing, so only the way to READY is its own.
    let mut ready = Samples::default();
    let mut daemon = Daemon::prepare(Machine::Real, SLOTS)?;
    for _ in 0..ROUNDS {
        let (started, served) = daemon.start()?;
        ready.take(served - started);
        daemon.stop()?;
    }
    let small = Starts::of(background, SLOTS, ROUNDS)?;
    let mut rows = vec![
        row("start to READY=1, this machine's root", &READY, &ready),
        row("start to registered, simulated node, kubelet waiting", &REGISTERED, &small.registered),
        row("kubelet restarted to registered again", &AGAIN, &small.again),
    ];
    for (slots, called) in LARGE_POOLS {
        let large = Starts::of(background, slots, LARGE_ROUNDS)?;
        let what = |what: &str| format!("{called} devices: {what}");
        rows.extend([
            row(what("start to READY=1, simulated node"), &READY, &large.ready),
            row(what("start to registered, kubelet waiting"), &REGISTERED, &large.registered),
            row(what("kubelet restarted to registered again"), &AGAIN, &large.again),
        ]);
    }
    Ok(rows)
}

fn row(what: impl Into<String>, (budget, most): &(&str, Duration), samples: &Samples) -> Row {
    let (median, longest) = (samples.median(), samples.longest());
    let rounds = samples.count();
    let measured = format!("{}, longest of {rounds} {}", millis(median), millis(longest));
    Row::new(Weight::Told, what, *budget, measured, median < *most)
}

/// Starts on a simulated node.
#[derive(Default)]
struct Starts {
    ready: Samples,
    registered: Samples,
    again: Samples,
}

impl Starts {
    fn of(background: &Background, slots: usize, rounds: usize) -> anyhow::Result<Self> {
        let mut this = Self::default();
        let mut daemon = Daemon::prepare(Machine::EightPorts, slots)?;
        let kubelet = background.run(Kubelet::start(daemon.kubelet_directory()))?;
        for _ in 0..rounds {
            let accepted = accepted_so_far(&kubelet);
            let (started, served) = daemon.start()?;
            this.ready.take(served - started);
            this.registered.take(next(background, &kubelet, accepted)? - started);
            daemon.stop()?;
        }
        let accepted = accepted_so_far(&kubelet);
        daemon.start()?;
        next(background, &kubelet, accepted)?;
        for _ in 0..rounds {
            let accepted = accepted_so_far(&kubelet);
            let back = background.run(kubelet.restart())?;
            let again = next(background, &kubelet, accepted)?;
            this.again.take(again.saturating_duration_since(back));
        }
        daemon.stop()?;
        Ok(this)
    }
}

fn accepted_so_far(kubelet: &Kubelet) -> usize {
    kubelet.seen().registrations.len()
}

/// When the first registration after so many was accepted.
fn next(background: &Background, kubelet: &Kubelet, former: usize) -> anyhow::Result<Instant> {
    let registered =
        kubelet.wait_until("a registration", PATIENCE, |seen| seen.registrations.len() > former);
    let seen = background.run(registered)?;
    Ok(seen.registrations.get(former).context("no registration")?.accepted)
}

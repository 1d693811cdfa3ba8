//! How soon the daemon serves: after its start, and after a kubelet's.

use std::time::{Duration, Instant};

use anyhow::Context;

use super::daemon::{Daemon, Machine};
use super::samples::{Samples, millis};
use super::table::{Row, Weight};
use crate::background::Background;
use crate::kubelet::Kubelet;
use crate::node::PATIENCE;

/// Starts of each kind; the median is what counts.
const ROUNDS: usize = 11;
/// The pool measured.
const SLOTS: usize = 100;
const READY_BUDGET: Duration = Duration::from_millis(60);
const REGISTERED_BUDGET: Duration = Duration::from_millis(85);
const AGAIN_BUDGET: Duration = Duration::from_millis(250);

/// Starts on this machine's own root; then on a node with cards, with a kubelet waiting, whose
/// kubelet is restarted in the end.
///
/// # Errors
/// The daemon does not come up, or is not registered.
pub fn measure(background: &Background) -> anyhow::Result<Vec<Row>> {
    let (mut ready, mut registered, mut again) =
        (Samples::default(), Samples::default(), Samples::default());

    // A machine without a card registers nothing, so only the way to READY is its own.
    let mut daemon = Daemon::prepare(Machine::Real, SLOTS)?;
    for _ in 0..ROUNDS {
        let (started, served) = daemon.start()?;
        ready.take(served - started);
        daemon.stop()?;
    }

    let mut daemon = Daemon::prepare(Machine::EightPorts, SLOTS)?;
    let kubelet = background.run(Kubelet::start(daemon.kubelet_directory()))?;
    for _ in 0..ROUNDS {
        let accepted = accepted_so_far(&kubelet);
        let (started, _) = daemon.start()?;
        registered.take(next(background, &kubelet, accepted)? - started);
        daemon.stop()?;
    }

    let accepted = accepted_so_far(&kubelet);
    daemon.start()?;
    next(background, &kubelet, accepted)?;
    for _ in 0..ROUNDS {
        let accepted = accepted_so_far(&kubelet);
        let back = background.run(kubelet.restart())?;
        again.take(next(background, &kubelet, accepted)?.saturating_duration_since(back));
    }
    daemon.stop()?;

    let row = |what: &str, budget: &str, samples: &Samples, most: Duration| {
        let (median, longest) = (samples.median(), samples.longest());
        let measured = format!("{}, longest of {ROUNDS} {}", millis(median), millis(longest));
        Row::new(Weight::Told, what, budget, measured, median < most)
    };
    Ok(vec![
        row("start to READY=1, this machine's root", "< 60 ms", &ready, READY_BUDGET),
        row(
            "start to registered, simulated node, kubelet waiting",
            "< 85 ms",
            &registered,
            REGISTERED_BUDGET,
        ),
        row("kubelet restarted to registered again", "< 250 ms", &again, AGAIN_BUDGET),
    ])
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

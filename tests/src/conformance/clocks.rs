//! Promises about looks at clocks.

use anyhow::{Context, Result, bail, ensure};
use onload_core::clock::{ClockLook, Clocks};
use onload_core::inventory::{Depth, Look, Snapshot};
use onload_core::reading::Reading;
use onload_core::step::{Outcome, Step, StepError};
use onloadd::host::Host;
use tokio::time::timeout;

use super::PATIENCE;

/// A unit that no machine has.
const NO_SUCH_UNIT: &str = "onload-conformance-no-such-unit.service";
/// A file that none has.
const NO_SUCH_FILE: &str = "/etc/onloadd/onload-conformance-no-such-file.cfg";

/// Nobody reads clocks by the way: it takes sockets of other programs.
pub(super) fn unasked(look: &Snapshot) -> Result<()> {
    ensure!(look.clocks.is_absent(), "{:?}", look.clocks);
    Ok(())
}

pub(super) async fn asked<H: Host>(host: &H) -> Result<()> {
    let clocks = Some(ClockLook {
        units: [NO_SUCH_UNIT.to_owned()].into(),
        template: Some(NO_SUCH_FILE.to_owned()),
        again: false,
    });
    let look = Look { depth: Depth::Clocks, clocks };
    let snapshot = timeout(PATIENCE, host.observe(look)).await.context("a look did not end")?;
    // A machine that shows none of it, such as a capture, says so.
    let Reading::Known(clocks) = &snapshot.clocks else { return Ok(()) };
    fit(clocks)?;
    leaves(host, &snapshot).await
}

fn fit(clocks: &Clocks) -> Result<()> {
    ensure!(clocks.template.known().is_none(), "a file that is not there has a text");
    if let Some(units) = clocks.units.known() {
        let none = units.get(NO_SUCH_UNIT).context("a unit was asked for and not answered")?;
        ensure!(!none.installed && none.main_pid.is_none(), "{NO_SUCH_UNIT}: {none:?}");
    }
    let daemons = clocks.daemons.known();
    for (pid, one) in daemons.into_iter().flatten() {
        ensure!(one.container.is_none() || one.unit.is_none(), "{pid} is in two places: {one:?}");
        let Some((units, unit)) = clocks.units.known().zip(one.unit.as_ref()) else { continue };
        ensure!(!unit.ends_with(".service") || units.contains_key(unit), "{unit} is not told");
    }
    for (index, clock) in &clocks.hardware {
        // Whoever has locked it has it open.
        let held = clock.lock.known().is_none_or(|pid| clock.users.contains(pid));
        ensure!(held, "ptp{index} is locked by somebody who does not have it: {clock:?}");
        let measured = clock.ahead_ns.known().is_none() || clock.window_ns.known().is_some();
        ensure!(measured, "ptp{index} has a reading that took no time: {clock:?}");
    }
    for path in clocks.ptp4l.keys() {
        ensure!(path.starts_with('/'), "{path} is not the path of a socket");
    }
    Ok(())
}

/// To take back what was never written is no work.
async fn leaves<H: Host>(host: &H, before: &Snapshot) -> Result<()> {
    if !Step::LeaveClock.holds_in(before) {
        return Ok(());
    }
    match timeout(PATIENCE, host.apply(&Step::LeaveClock)).await.context("it did not end")? {
        Ok(Outcome::Unchanged) | Err(StepError::Unsupported(_)) => Ok(()),
        other => bail!("`{}` holds, and yet: {other:?}", Step::LeaveClock),
    }
}

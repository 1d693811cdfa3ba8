//! A large pool over D-Bus: all of its devices in one answer.

use std::time::{Duration, Instant};

use anyhow::ensure;
use onload_dbus::proxies::ManagerProxy;
use tokio::runtime::Runtime;
use zbus::connection::Builder;

use super::LARGE_POOLS;
use super::daemon::{Daemon, Machine};
use super::samples::{Samples, millis};
use super::table::{Row, Weight};

const POOL: &str = "onload";
/// Calls that count, and those before them.
const CALLS: usize = 100;
const WARM_UP: usize = 5;
/// What the kubelet's list of the large pool may take, and this one as well.
const BUDGET: Duration = Duration::from_millis(100);

/// Calls ListDevices of each large pool.
///
/// # Errors
/// The daemon does not come up or refuses a call.
pub fn measure(runtime: &Runtime) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (slots, called) in LARGE_POOLS {
        let mut daemon = Daemon::prepare(Machine::EightPorts, slots)?;
        daemon.start()?;
        let samples = runtime.block_on(calls(&daemon.bus.address(), slots))?;
        daemon.stop()?;
        let (middle, high) = (samples.median(), samples.percentile(99));
        let measured = format!("{}, p99 {}", millis(middle), millis(high));
        let what = format!("{called} devices: D-Bus ListDevices");
        rows.push(Row::new(Weight::Told, what, "< 100 ms", measured, middle < BUDGET));
    }
    Ok(rows)
}

async fn calls(address: &str, slots: usize) -> anyhow::Result<Samples> {
    let connection = Builder::address(address).build().await?;
    let manager = ManagerProxy::new(&connection).await?;
    let mut samples = Samples::default();
    for call in 0..WARM_UP + CALLS {
        let began = Instant::now();
        let devices = manager.list_devices(POOL).await?;
        let took = began.elapsed();
        ensure!(devices.len() == slots, "{} devices of {slots} are listed", devices.len());
        if call >= WARM_UP {
            samples.take(took);
        }
    }
    Ok(samples)
}

//! Allocate, beside a call of the same server in the same process that does nothing:
//! GetDevicePluginOptions. What the two differ by is the work of lending.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use onloadd::kubelet::api::device_plugin_client::DevicePluginClient;
use onloadd::kubelet::api::{AllocateRequest, ContainerAllocateRequest, Empty};
use tokio::runtime::Runtime;
use tokio::time::sleep;
use tonic::transport::{Channel, Endpoint, Uri};

use super::RESOURCE;
use super::awake::Awake;
use super::daemon::{Daemon, Machine};
use super::samples::{Samples, micros, quietest, ratio};
use super::table::{Row, Weight};
use crate::background::Background;
use crate::kubelet::Kubelet;
use crate::node::PATIENCE;

/// A pool, and what its figures are worth.
struct Pool {
    slots: usize,
    called: &'static str,
    rounds: usize,
    weight: Weight,
}

/// The pool of the budget; and a large one, whose picture of what is lent is ten times the work
/// beside the calls.
const POOLS: [Pool; 2] = [
    Pool { slots: 1_000, called: "1,000", rounds: ROUNDS, weight: Weight::Held },
    Pool { slots: 10_000, called: "10,000", rounds: ROUNDS / 2, weight: Weight::Told },
];
/// Calls of one kind before the other has its turn.
const BLOCK: usize = 50;
/// Turns of each in a round: 5,000 calls, so that fifty of them are above the 99th percentile.
const BLOCKS: usize = 100;
/// Rounds, the quieter half of which counts. What else runs on the machine adds to both calls, and by
/// leaps: an answer that finds the caller's processor asleep again comes 15 µs later, half the time
/// of an empty call.
const ROUNDS: usize = 8;
/// Between rounds, so that not all of them meet the same neighbour.
const PAUSE: Duration = Duration::from_millis(500);
const P50_BUDGET: f64 = 1.3;
const P99_BUDGET: f64 = 2.0;

/// Calls both in turns, over one connection, for each pool.
///
/// # Errors
/// The daemon does not come up or refuses a call.
pub fn measure(background: &Background, runtime: &Runtime) -> anyhow::Result<Vec<Row>> {
    let _awake = Awake::keep();
    let mut rows = Vec::new();
    for pool in &POOLS {
        rows.extend(of_pool(background, runtime, pool)?);
    }
    Ok(rows)
}

fn of_pool(background: &Background, runtime: &Runtime, pool: &Pool) -> anyhow::Result<[Row; 2]> {
    let mut daemon = Daemon::prepare(Machine::EightPorts, pool.slots)?;
    let kubelet = background.run(Kubelet::start(daemon.kubelet_directory()))?;
    daemon.start()?;
    let listed = kubelet.wait_for(RESOURCE, PATIENCE, |devices| {
        devices.len() == pool.slots && devices.values().all(|device| device.is_healthy())
    });
    let ids: Vec<String> = background.run(listed)?.into_keys().collect();
    let seen = kubelet.seen();
    let endpoint = &seen.registrations.last().context("no registration")?.endpoint;
    let socket = daemon.kubelet_directory().join(endpoint);
    let rounds = runtime.block_on(in_turns(&socket, &ids, pool.rounds))?;
    daemon.stop()?;
    let row = |per_cent: usize, budget: &str, most: f64| {
        let pairs = rounds.iter().map(|(allocate, empty)| (allocate, empty));
        let (one, other) = quietest(pairs, per_cent).context("no round")?;
        let times = ratio(one, other);
        let measured = format!("{times:.2} × ({} beside {})", micros(one), micros(other));
        let what = format!("Allocate, {} slots, p{per_cent} beside an empty call", pool.called);
        anyhow::Ok(Row::new(pool.weight, what, budget, measured, times <= most))
    };
    Ok([row(50, "≤ 1.3 ×", P50_BUDGET)?, row(99, "≤ 2 ×", P99_BUDGET)?])
}

/// Times of Allocate and of the empty call, round by round, after every slot has been lent once.
async fn in_turns(
    socket: &Path,
    ids: &[String],
    count: usize,
) -> anyhow::Result<Vec<(Samples, Samples)>> {
    let mut client = connect(socket).await?;
    let mut cycle = ids.iter().cycle();
    turns(&mut client, &mut cycle, ids.len() / BLOCK).await?;
    let mut rounds = Vec::new();
    for _ in 0..count {
        rounds.push(turns(&mut client, &mut cycle, BLOCKS).await?);
        sleep(PAUSE).await;
    }
    Ok(rounds)
}

async fn turns<'a>(
    client: &mut DevicePluginClient<Channel>,
    ids: &mut impl Iterator<Item = &'a String>,
    blocks: usize,
) -> anyhow::Result<(Samples, Samples)> {
    let (mut allocate, mut empty) = (Samples::default(), Samples::default());
    for _ in 0..blocks {
        for _ in 0..BLOCK {
            let request = request(ids.next().context("no devices")?.clone());
            let began = Instant::now();
            client.allocate(request).await?;
            allocate.take(began.elapsed());
        }
        for _ in 0..BLOCK {
            let began = Instant::now();
            client.get_device_plugin_options(Empty {}).await?;
            empty.take(began.elapsed());
        }
    }
    Ok((allocate, empty))
}

async fn connect(socket: &Path) -> anyhow::Result<DevicePluginClient<Channel>> {
    let endpoint = Endpoint::try_from(format!("unix://{}", socket.display()))?
        .origin(Uri::from_static("http://localhost"));
    Ok(DevicePluginClient::new(endpoint.connect().await?))
}

fn request(id: String) -> AllocateRequest {
    let container = ContainerAllocateRequest { devices_ids: vec![id] };
    AllocateRequest { container_requests: vec![container] }
}

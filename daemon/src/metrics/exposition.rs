//! The families: what they are called, what they mean, and what of the picture is in them. Labels
//! have few values: none says who holds a device, and no text that people write is one.

use std::fmt;
use std::sync::Arc;

use onload_core::allocation::{Holder, Tenure};
use onload_core::change::Change;
use onload_core::condition::Status;
use onload_core::inventory::Link;
use onload_core::picture::{Device, Lent, NodeState, Picture};
use onload_core::reading::Reading;
use onload_core::time::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::registry::Registry;

use super::meters::{Meters, Source};
use super::page::Page;

/// What every name begins with.
const PREFIX: &str = "onload";

/// The whole page: of a picture, and of what was counted.
///
/// # Errors
/// It cannot be written, which nothing should bring about.
pub(super) fn page(picture: Arc<Picture>, meters: Arc<Meters>) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(Sources { picture, meters }));
    let mut page = String::new();
    text::encode(&mut page, &registry)?;
    Ok(page)
}

/// What a page is made of.
#[derive(Debug)]
struct Sources {
    picture: Arc<Picture>,
    meters: Arc<Meters>,
}

impl Collector for Sources {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (page, picture, meters) = (&mut Page(encoder), &*self.picture, &*self.meters);
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        page.info("build", "This onloadd.", [version])?;
        node(page, picture)?;
        modules(page, picture)?;
        changes(page, picture, meters)?;
        ports(page, picture)?;
        devices(page, picture)?;
        lending(page, picture, meters)?;
        kubelet(page, picture, meters)?;
        clocks(page, picture)
    }
}

const STATES: [NodeState; 6] = [
    NodeState::Ready,
    NodeState::Converging,
    NodeState::Blocked,
    NodeState::Held,
    NodeState::Degraded,
    NodeState::Idle,
];
const STATUSES: [Status; 3] = [Status::True, Status::False, Status::Unknown];

fn node(page: &mut Page<'_>, picture: &Picture) -> fmt::Result {
    page.gauge(
        "node_state",
        "1 for the state that the node is in.",
        STATES.map(|state| ([("state", state.as_str())], u32::from(state == picture.state))),
    )?;
    let conditions = || picture.conditions.iter();
    page.gauge(
        "condition",
        "1 for the status that the condition has.",
        conditions().flat_map(|condition| {
            STATUSES.map(|status| {
                let labels = [("type", condition.kind.as_str()), ("status", status.as_str())];
                (labels, u32::from(status == condition.status))
            })
        }),
    )?;
    page.seconds(
        "condition_since_timestamp",
        "When the status of the condition last changed.",
        conditions().map(|one| ([("type", one.kind.as_str())], unix(one.since))),
    )?;
    let mut reasons: Vec<_> = picture.blockers.iter().map(|one| one.blocker.reason()).collect();
    reasons.sort_unstable();
    let reasons = reasons.chunk_by(|one, other| one == other);
    page.gauge(
        "blockers",
        "What keeps the node from being as wanted, by kind.",
        reasons.filter_map(|same| Some(([("reason", *same.first()?)], count(same.len())))),
    )?;
    let hold = picture.hold.as_ref();
    page.gauge("hold", "1 while an operator holds the node.", [([], u32::from(hold.is_some()))])?;
    page.seconds(
        "hold_since_timestamp",
        "Since when an operator holds the node.",
        hold.map(|hold| ([], unix(hold.since))),
    )?;
    page.seconds(
        "hold_until_timestamp",
        "When the hold ends by itself.",
        hold.and_then(|hold| hold.until).map(|until| ([], unix(until))),
    )
}

fn modules(page: &mut Page<'_>, picture: &Picture) -> fmt::Result {
    let version = picture.loaded_version.known().map_or("", String::as_str);
    page.info(
        "loaded_release",
        "The release that the loaded stack is from.",
        picture
            .loaded_release
            .iter()
            .map(|release| [("release", release.as_str()), ("version", version)]),
    )?;
    page.info(
        "wanted_release",
        "The release that the node shall have.",
        picture.wanted_release.iter().map(|release| [("release", release.as_str())]),
    )?;
    let is_loaded = |module: &Reading<_>| u32::from(module.known().is_some());
    page.gauge(
        "module_loaded",
        "Whether the module is loaded.",
        picture
            .modules
            .iter()
            .map(|(name, of)| ([("module", name.as_str())], is_loaded(&of.module))),
    )
}

fn changes(page: &mut Page<'_>, picture: &Picture, meters: &Meters) -> fmt::Result {
    page.gauge(
        "driver_change_under_way",
        "Whether a driver is being replaced.",
        [([], u32::from(picture.change.is_some()))],
    )?;
    page.seconds(
        "driver_change_began_timestamp",
        "When the replacement under way began.",
        picture.change.as_ref().map(|Change { began, .. }| ([], unix(*began))),
    )?;
    page.counter(
        "driver_changes",
        "Replacements of a driver that ended in this boot, by how and by why they were made.",
        meters
            .changes()
            .map(|(outcome, origin, n)| ([("outcome", outcome), ("origin", origin)], n)),
    )?;
    page.durations(
        "driver_change_duration",
        "How long replacements of a driver took, waiting for holders and confirmation included.",
        meters.took().map(|(outcome, took)| ([("outcome", outcome)], took)),
    )?;
    page.counter(
        "steps",
        "Steps that ended since onloadd started, by how.",
        meters.steps().map(|(result, n)| ([("result", result)], n)),
    )
}

fn ports(page: &mut Page<'_>, picture: &Picture) -> fmt::Result {
    let ports: Vec<_> = picture
        .ports
        .iter()
        .map(|(address, of)| {
            let driver = of.port.driver.known().map_or("", String::as_str);
            let interface = of.netdev.as_ref().map_or("", |name| name.as_str());
            let numa_node = of.port.numa_node.known().map(u32::to_string).unwrap_or_default();
            (address.to_string(), interface, driver, numa_node, of)
        })
        .collect();
    page.info(
        "port",
        "A port of a known card, or one offered through AF_XDP.",
        ports.iter().map(|(address, interface, driver, numa_node, of)| {
            [
                ("port", address.as_str()),
                ("interface", interface),
                ("family", of.family.as_str()),
                ("driver", driver),
                ("numa_node", numa_node.as_str()),
            ]
        }),
    )?;
    page.gauge(
        "port_usable",
        "Whether Onload can accelerate the port.",
        ports.iter().map(|(address, .., of)| {
            ([("port", address.as_str())], u32::from(of.obstacle.is_none()))
        }),
    )?;
    page.gauge(
        "port_carrier",
        "Whether the link carries; none where that cannot be told.",
        ports.iter().filter_map(|(address, .., of)| {
            let carrier = match of.interface.link.known()? {
                Link::Up => 1_u32,
                Link::Down => 0,
            };
            Some(([("port", address.as_str())], carrier))
        }),
    )
}

/// Of whom a device can be, as far as that is told.
const LENT: [&str; 4] = ["none", "withdrawn", "local", "container"];
/// Whether it can work.
const HEALTH: [&str; 2] = ["healthy", "unhealthy"];

/// How many devices there are by [`HEALTH`] and [`LENT`]. A pool may have thousands, so they are gone through once.
fn census(devices: &[Device]) -> [[u64; 4]; 2] {
    let mut counts = [[0; 4]; 2];
    for device in devices {
        let lent = match device.lent {
            Lent::No => 0,
            Lent::Withdrawn => 1,
            Lent::Local(_) => 2,
            Lent::Container(_) => 3,
        };
        counts[usize::from(device.cause.is_some())][lent] += 1;
    }
    counts
}

fn devices(page: &mut Page<'_>, picture: &Picture) -> fmt::Result {
    page.info(
        "pool",
        "A pool, with its name for Kubernetes.",
        picture.pools.iter().map(|(pool, of)| {
            [
                ("pool", pool.as_str()),
                ("kind", of.kind.as_str()),
                ("resource", of.resource.as_str()),
            ]
        }),
    )?;
    page.gauge(
        "devices",
        "Devices of the pool, by whether they can work and of which kind the holder is.",
        picture.pools.iter().flat_map(|(pool, of)| {
            HEALTH.into_iter().zip(census(&of.devices)).flat_map(move |(health, counts)| {
                LENT.into_iter().zip(counts).map(move |(lent, n)| {
                    ([("pool", pool.as_str()), ("health", health), ("holder", lent)], n)
                })
            })
        }),
    )
}

/// Kinds of holder.
const HOLDERS: [&str; 4] = ["container", "process", "unit", "user"];
/// What ends an allocation.
const TENURES: [&str; 5] = ["kubelet", "client", "unit", "persistent", "lease"];

fn holder(holder: &Holder) -> &'static str {
    match holder {
        Holder::Container | Holder::Pod(_) => "container",
        Holder::Process(_) => "process",
        Holder::Unit(_) => "unit",
        Holder::User { .. } => "user",
    }
}

fn tenure(tenure: &Tenure) -> &'static str {
    match tenure {
        Tenure::Kubelet => "kubelet",
        Tenure::Client => "client",
        Tenure::Unit => "unit",
        Tenure::Persistent => "persistent",
        Tenure::Lease { .. } => "lease",
    }
}

fn lending(page: &mut Page<'_>, picture: &Picture, meters: &Meters) -> fmt::Result {
    let all = || picture.allocations.values();
    page.gauge(
        "allocations",
        "Devices lent, by the kind of the holder.",
        HOLDERS.map(|kind| {
            let alike = all().filter(|one| holder(&one.holder) == kind);
            ([("holder", kind)], count(alike.count()))
        }),
    )?;
    page.gauge(
        "allocation_tenures",
        "Devices lent, by what ends that.",
        TENURES.map(|kind| {
            let alike = all().filter(|one| tenure(&one.tenure) == kind);
            ([("tenure", kind)], count(alike.count()))
        }),
    )?;
    page.counter(
        "allocation_requests",
        "Requests for devices that were answered since onloadd started.",
        Source::ALL.into_iter().flat_map(|source| {
            let requests = meters.requests(source);
            let (_, granted, _) = requests.granted.read();
            [("granted", granted), ("refused", requests.refused())]
                .map(|(result, n)| ([("source", source.as_str()), ("result", result)], n))
        }),
    )?;
    page.durations(
        "allocation_duration",
        "How long granted requests for devices took; those over the bus wait for withdraw-settle, too.",
        Source::ALL.map(|from| ([("source", from.as_str())], &meters.requests(from).granted)),
    )
}

fn kubelet(page: &mut Page<'_>, picture: &Picture, meters: &Meters) -> fmt::Result {
    page.gauge(
        "kubelet_registered",
        "Whether a kubelet has accepted the pool.",
        picture
            .pools
            .iter()
            .map(|(pool, of)| ([("pool", pool.as_str())], u32::from(of.registered))),
    )?;
    page.counter(
        "kubelet_registrations",
        "How often a kubelet has accepted the pool since onloadd started.",
        picture.pools.keys().map(|pool| ([("pool", pool.as_str())], meters.registrations(pool))),
    )
}

fn clocks(page: &mut Page<'_>, picture: &Picture) -> fmt::Result {
    let clocks = || picture.clocks.clocks.iter();
    page.gauge(
        "clock_synchronised",
        "Whether the clock counts as synchronised; none where that cannot be told.",
        clocks().filter_map(|(name, of)| {
            let synchronised = match of.synchronised {
                Status::True => 1_u32,
                Status::False => 0,
                Status::Unknown => return None,
            };
            Some(([("clock", name.as_str())], synchronised))
        }),
    )?;
    page.seconds(
        "clock_offset",
        "How far the clock is ahead of what it follows, as whoever steers it says.",
        clocks().filter_map(|(name, of)| {
            Some(([("clock", name.as_str())], from_nanos(of.verdict.offset_ns?)))
        }),
    )?;
    page.seconds(
        "clock_ahead_of_system",
        "How far the hardware clock is ahead of the system clock, as the kernel reads them.",
        clocks()
            .filter_map(|(name, of)| Some(([("clock", name.as_str())], from_nanos(of.ahead_ns?)))),
    )?;
    let outage = picture.clocks.outages.last();
    page.gauge(
        "clock_outage",
        "Whether the system clock is without synchronisation that it had.",
        [([], u32::from(outage.is_some_and(|outage| outage.millis.is_none())))],
    )?;
    page.seconds(
        "clock_outage_began_timestamp",
        "When the last time without a synchronised system clock began.",
        outage.map(|outage| ([], unix(outage.began))),
    )?;
    let supervision = &picture.clocks.supervision;
    page.counter(
        "clock_daemon_restarts",
        "Restarts of sfptpd: by systemd since its unit was started, by onloadd since that was.",
        [
            ([("by", "systemd")], u64::from(supervision.restarts)),
            ([("by", "onloadd")], u64::from(supervision.hangs)),
        ],
    )
}

/// A count as a gauge takes it.
fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// Seconds since 1970, as every other program tells a point in time. Exact to the microsecond for as long
/// as anybody asks.
fn unix(at: Timestamp) -> f64 {
    at.0 as f64 / 1e3
}

/// Seconds; of a clock that is years off to the microsecond.
fn from_nanos(nanos: i64) -> f64 {
    nanos as f64 / 1e9
}

//! Interfaces of a real kernel that come, are renamed and go, seen by the Linux host: in a network
//! namespace made for each test, so that the machine's own are left alone.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that meets what it does not expect ends there"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use onload_core::inventory::{Interface, Link, Routes};
use onload_core::names::InterfaceName;
use onload_core::reading::Reading;
use onload_tests::namespace::{inside, ip};
use onload_tests::skip::skip;
use onloadd::host::Host;
use onloadd::host::linux::{Linux, Places};
use tokio::time::timeout;

/// Long enough for the kernel to tell of a change.
const SOON: Duration = Duration::from_secs(5);
/// How long silence counts as silence.
const QUIET: Duration = Duration::from_millis(200);
/// More changes than fit the socket that hears of them: 208 KiB by default, some 4 KiB each.
const STORM: usize = 400;

/// Runs a test of this file in a namespace of its own.
fn in_a_namespace<F: Future<Output = ()>>(test: &str, run: impl FnOnce() -> F) {
    inside(test, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run());
    });
}

fn host() -> Linux {
    Linux::open(Places {
        root: PathBuf::from("/"),
        kubelet_directory: PathBuf::from("/var/lib/kubelet/device-plugins"),
        state_directory: PathBuf::from("/var/lib/onloadd"),
    })
    .unwrap()
}

async fn look(host: &Linux) -> BTreeMap<InterfaceName, Interface> {
    let Reading::Known(interfaces) =
        host.observe(onload_core::inventory::Depth::Usual).await.interfaces
    else {
        panic!("the kernel tells of its interfaces")
    };
    interfaces
}

/// Waits until nothing more is heard; how many hints there were.
async fn hints(host: &Linux) -> usize {
    let mut hints = 0;
    while timeout(QUIET, host.changed()).await.is_ok() {
        hints += 1;
    }
    hints
}

/// A change is heard, and the next look shows it.
async fn after(host: &Linux, lines: &str) -> BTreeMap<InterfaceName, Interface> {
    hints(host).await;
    ip(lines);
    assert!(timeout(SOON, host.changed()).await.is_ok(), "`{lines}` was not heard");
    look(host).await
}

#[test]
fn a_change_is_heard_and_the_next_look_shows_it() {
    in_a_namespace("a_change_is_heard_and_the_next_look_shows_it", async || {
        let host = host();
        let name = |name: &str| name.parse::<InterfaceName>().unwrap();
        assert_eq!(look(&host).await.len(), 1, "a new namespace has lo");

        let seen = after(&host, "link add one type veth peer name two\n").await;
        let (one, two) = (&seen[&name("one")], &seen[&name("two")]);
        assert_ne!(one.index, two.index);
        assert_eq!((&one.link, &one.port), (&Reading::Known(Link::Down), &Reading::Absent));
        assert!(one.mac.known().is_some() && one.altnames.is_empty());

        let seen = after(&host, "link set one name fast0\n").await;
        assert!(!seen.contains_key(&name("one")));
        assert_eq!(seen[&name("fast0")].index, one.index);

        let seen = after(&host, "link set fast0 up\nlink set two up\n").await;
        assert_eq!(seen[&name("fast0")].link, Reading::Known(Link::Up));
        assert_eq!(seen[&name("fast0")].speed_mbps, Reading::Known(10_000), "as veth has it");
        let clock = &seen[&name("fast0")].phc_index;
        assert!(!matches!(clock, Reading::Unreadable(_)), "whatever kernel this is: {clock:?}");

        // The kernel tells of other names only while the interface is up.
        let lines = "link property add dev fast0 altname first altname uno\n";
        let seen = after(&host, lines).await;
        let altnames = seen[&name("fast0")].altnames.iter().map(String::as_str);
        assert_eq!(altnames.collect::<Vec<_>>(), ["first", "uno"]);

        let seen = after(&host, "link del fast0\n").await;
        assert_eq!(seen.len(), 1, "its peer goes with it");
    });
}

#[test]
fn what_an_interface_carries_is_seen() {
    in_a_namespace("what_an_interface_carries_is_seen", async || {
        let host = host();
        // An address brings routes of the kernel's own, which do not count.
        ip("link add one type veth peer name two\nlink set one up\nlink set two up\n\
            addr add 10.9.0.1/24 dev one\nroute add default via 10.9.0.2 dev one\n\
            route add 192.0.2.0/24 via 10.9.0.2 dev one table 77\n");
        let seen = look(&host).await;
        let of = |name: &str| &seen[&name.parse::<InterfaceName>().unwrap()];
        let addresses = of("one").addresses.known().unwrap();
        assert_eq!(addresses.iter().map(String::as_str).collect::<Vec<_>>(), ["10.9.0.1/24"]);
        assert_eq!(of("one").routes, Reading::Known(Routes { count: 2, default: true }));
        for other in ["two", "lo"] {
            assert_eq!(of(other).addresses.known().map(BTreeSet::len), Some(0), "{other}");
            assert_eq!(of(other).routes, Reading::Known(Routes::default()), "{other}");
        }
    });
}

/// What the kernel shows of a child in another namespace: no link in sysfs, no promiscuity that
/// every kind would raise, but the groups that it asks its parent for.
#[test]
fn an_interface_that_a_container_has_on_top_shows_by_what_it_asks_for() {
    const TEST: &str = "an_interface_that_a_container_has_on_top_shows_by_what_it_asks_for";
    in_a_namespace(TEST, async || {
        let host = host();
        ip("link add one type veth peer name two\nlink set one up\nlink set two up\n");
        let users = async |host: &Linux| {
            let seen = look(host).await;
            seen[&"one".parse::<InterfaceName>().unwrap()].multicast_users.clone()
        };
        assert_eq!(users(&host).await, Reading::Known(1), "its own");
        let mut kinds = 0;
        for kind in ["macvlan", "ipvlan"] {
            let words = ["link", "add", "child", "link", "one", "type", kind];
            let made = Command::new("ip").args(words).output().unwrap();
            if !made.status.success() {
                println!("this kernel has no {kind}");
                continue;
            }
            kinds += 1;
            let script = "until ip link set child up 2>&-; do sleep 0.1; done; exec sleep 60";
            let container = Command::new("unshare").args(["--net", "sh", "-c", script]).spawn();
            let mut container = container.unwrap();
            // Until it is in a namespace of its own, the child would stay here.
            let namespace = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
            while namespace(container.id()) == namespace(std::process::id()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            ip(&format!("link set child netns {}\n", container.id()));
            let until = Instant::now() + SOON;
            while users(&host).await != Reading::Known(2) {
                assert!(Instant::now() < until, "{kind}: {:?}", users(&host).await);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            container.kill().unwrap();
            container.wait().unwrap();
            let until = Instant::now() + SOON;
            while users(&host).await != Reading::Known(1) {
                assert!(Instant::now() < until, "{kind} is gone: {:?}", users(&host).await);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        if kinds == 0 {
            skip(TEST, "this kernel has neither macvlan nor ipvlan");
        }
    });
}

#[test]
fn a_storm_that_overruns_the_socket_is_a_hint_to_look() {
    in_a_namespace("a_storm_that_overruns_the_socket_is_a_hint_to_look", async || {
        let host = host();
        ip("link add one type veth peer name two\n");
        look(&host).await;
        hints(&host).await;
        let storm: String = (0..STORM)
            .map(|round| format!("link set one name n{round}\nlink set n{round} name one\n"))
            .collect();
        ip(&format!("{storm}link set one name last\n"));
        assert!(timeout(SOON, host.changed()).await.is_ok(), "a storm is heard");
        assert!(look(&host).await.contains_key(&"last".parse().unwrap()));
        let rest = hints(&host).await;
        assert!(rest < 10, "{rest} more hints of changes that the look has seen");
    });
}

/// How often this thread gave up the processor because it had nothing to do.
fn waits() -> usize {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.unwrap().trim().parse().unwrap()
}

#[test]
fn waiting_for_a_change_costs_no_wake_ups() {
    in_a_namespace("waiting_for_a_change_costs_no_wake_ups", async || {
        let host = host();
        look(&host).await;
        hints(&host).await;
        let before = waits();
        assert!(timeout(5 * QUIET, host.changed()).await.is_err(), "nothing changes");
        let woken = waits() - before;
        // One sleep, and one more where the timer wheel takes the time in two turns.
        assert!(woken <= 2, "{woken} wake-ups in {:?}", 5 * QUIET);
    });
}

#[test]
fn a_look_takes_milliseconds() {
    in_a_namespace("a_look_takes_milliseconds", async || {
        let host = host();
        let lines: String =
            (0..50).map(|n| format!("link add a{n} type veth peer name b{n}\n")).collect();
        ip(&lines);
        assert_eq!(look(&host).await.len(), 101);
        let start = Instant::now();
        for _ in 0..20 {
            look(&host).await;
        }
        let mean = start.elapsed() / 20;
        println!("a look at 101 interfaces takes {mean:?}");
        // In a debug build on a busy machine; what it takes otherwise is printed.
        assert!(mean < Duration::from_millis(200), "{mean:?}");
    });
}

//! A node without sfptpd or PTP: chronyd follows a server, which is another chronyd in a network namespace of its
//! own. What onloadd says is compared with `chronyc`.

use anyhow::{Context, ensure};
use onload_tests::guest::Guest;
use serde_json::Value;

use super::{package, told};

/// The server's; it leaves the clock alone.
const SERVER: &str =
    "local stratum 3\nallow all\ncmdport 0\nbindcmdaddress /\npidfile /run/case/server.pid\n";
const ADDRESS: &str = "203.0.113.1";
/// What the other follows, often: there are seconds, not hours.
const SOURCE: &str = "/etc/chrony/sources.d/case.sources";
/// How far two looks at one estimate may lie apart, in nanoseconds: chronyd takes it back from the clock all the
/// time, and the server's clock is the same, so that each correction comes back as an error.
const ESTIMATE: i64 = 1_000_000;

pub fn our_numbers_are_those_of_chronyc(guest: &mut Guest) -> anyhow::Result<()> {
    package::observed(guest)?;
    guest.put("/run/case/server.conf", SERVER.as_bytes(), 0o644)?;
    let source = format!("server {ADDRESS} iburst minpoll -2 maxpoll 0\n");
    guest.put(SOURCE, source.as_bytes(), 0o644)?;
    guest.ok(&format!(
        "ip netns add server && ip link add ntp0 type veth peer name ntp1 netns server
         ip addr add 203.0.113.2/24 dev ntp0; ip link set ntp0 up
         ip -n server addr add {ADDRESS}/24 dev ntp1; ip -n server link set ntp1 up
         systemd-run --unit chrony-server -p NetworkNamespacePath=/run/netns/server \\
             chronyd -x -d -u root -f /run/case/server.conf
         systemctl start chrony"
    ))?;
    let show = |guest: &Guest| told::clock(guest, "system");
    let good = |clock: &Value| (clock["Standing"] == "good").then(|| clock.clone());
    let clock = told::until(guest, "chronyd's clock", show, good)?;
    ensure!(clock["SteeredBy"]["Kind"] == "chronyd", "{clock:#}");
    ensure!(clock["SteeredBy"]["Unit"] == "chrony.service", "{clock:#}");
    ensure!(clock["Source"].as_str().is_some_and(|source| source.contains(ADDRESS)), "{clock:#}");
    let tracking = guest.ok("chronyc -n -c tracking")?;
    let theirs = tracking.split(',').nth(4).context("no offset")?.parse::<f64>()? * 1e9;
    let ours = clock["Offset"].as_i64().with_context(|| clock.to_string())?;
    ensure!((ours - theirs as i64).abs() <= ESTIMATE, "{ours}: {tracking}");
    let told = told::conflicts(guest)?;
    ensure!(told.is_empty(), "a server that leaves the clock alone is no rival: {told:?}");
    // Nobody to follow any more is no news for a while, and nobody who steers is at once.
    guest.ok("systemctl stop chrony")?;
    let clock = told::until(guest, "nobody", show, |clock| {
        (clock["Standing"] == "free").then(|| clock.clone())
    })?;
    ensure!(clock["Synchronised"] != "yes", "{clock:#}");
    guest.ok(&format!(
        "systemctl stop chrony-server; ip link del ntp0; ip netns del server; rm -r /run/case {SOURCE}"
    ))
    .map(drop)
}

//! Metrics at an address of the node's, behind the sandbox of the unit: as `onloadd.toml` says it is done.

use anyhow::ensure;
use onload_tests::guest::Guest;

use crate::node::until_state;

/// Where a Prometheus asks from.
const ASK: &str = "ip netns exec prometheus timeout 10 bash -c \
    'exec 3<>/dev/tcp/192.0.2.1/9557 && printf \"GET /metrics HTTP/1.0\\r\\n\\r\\n\" >&3 && cat <&3'";
const DROP_IN: &str = "/run/systemd/system/onloadd.service.d/metrics.conf";

pub fn an_address_is_answered_once_the_unit_lets_others_in(
    guest: &mut Guest,
) -> anyhow::Result<()> {
    guest.ok(
        "ip netns add prometheus && ip link add prom0 type veth peer name prom1 netns prometheus
         ip address add 192.0.2.1/24 dev prom0 && ip link set prom0 up
         ip -n prometheus address add 192.0.2.2/24 dev prom1 && ip -n prometheus link set prom1 up",
    )?;
    let section = "[metrics]\nlisten = \"192.0.2.1:9557\"\n";
    guest.put("/run/onloadd/onloadd.toml.d/metrics.toml", section.as_bytes(), 0o644)?;
    guest.ok("systemctl restart onloadd")?;
    until_state(guest, "idle")?;
    guest.ok("ss -Hltn 'sport = :9557' | grep -q 192.0.2.1")?;
    let refused = guest.run(ASK)?;
    ensure!(!refused.ok() && refused.stdout.is_empty(), "the unit hears nobody else: {refused:?}");

    guest.put(DROP_IN, b"[Service]\nIPAddressAllow=192.0.2.2\n", 0o644)?;
    guest.ok("systemctl daemon-reload && systemctl restart onloadd")?;
    until_state(guest, "idle")?;
    let page = guest.until("the page at the address", ASK)?;
    ensure!(page.starts_with("HTTP/1.") && page.trim_end().ends_with("# EOF"), "{page}");
    ensure!(page.contains("onload_node_state{state=\"idle\"} 1"), "{page}");
    // The socket tells the same to whoever is on the node.
    guest.ok("test -S /run/onloadd/metrics.sock")?;

    guest.ok(&format!("rm -r $(dirname {DROP_IN}) /run/onloadd/onloadd.toml.d/metrics.toml"))?;
    guest.ok("ip link del prom0; ip netns del prometheus; systemctl daemon-reload")?;
    guest.ok("systemctl restart onloadd")?;
    until_state(guest, "idle").map(drop)
}

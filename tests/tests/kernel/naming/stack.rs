//! A network as nodes have it: two ports in a bond with a VLAN on it, and one with a VLAN, a macvlan and
//! routes of its own.

use onload_tests::guest::Guest;

/// Three ports, `$A`, `$B` and `$C`; everything that can be set is set to something else than it comes with.
const SET_UP: &str = r#"
set -e
ethtool -G $A rx 512 tx 2048; ethtool -L $A combined 1; ethtool -C $A adaptive-rx off rx-usecs 20
ethtool -K $A rx off tx off; ethtool --set-priv-flags $A phy-power-follows-link on
ethtool -G $B rx 2048; ethtool -C $B tx-usecs 90
ip link property add dev $A altname fast0
ip link add bond0 type bond mode active-backup miimon 100 primary $A
ip link set $A master bond0; ip link set $B master bond0; ip link set $B type bond_slave queue_id 2
ip link set bond0 mtu 9000; ip link set bond0 up
ip link add link bond0 name bond0.7 type vlan id 7; ip link set bond0.7 up
ip address add 198.51.100.5/24 dev bond0 valid_lft 3600 preferred_lft 1800
ip address add 192.0.2.10/24 dev bond0.7; ip address add 2001:db8:7::10/64 dev bond0.7
ip route add 10.40.0.0/16 via 192.0.2.1 dev bond0.7

ip link set $C address 02:00:00:00:00:22; ip link set $C mtu 4000; ip link set $C promisc on
ethtool -G $C rx 256 tx 256; ethtool -L $C combined 4
tc qdisc replace dev $C root handle 1: fq
ip link set $C up
ip link add link $C name data.9 type vlan id 9; ip link set data.9 up
ip link add link $C name own0 type macvlan mode bridge; ip link set own0 up
ip address add 203.0.113.7/24 dev $C
ip address add 203.0.113.8/24 dev $C valid_lft 3000 preferred_lft 1500
ip address add 2001:db8:9::7/64 dev $C; ip address add 2001:db8:9::8/64 dev $C nodad valid_lft 7200 preferred_lft 3600
ip address add 198.18.9.1/24 dev data.9
ip route add 10.20.0.0/16 via 203.0.113.1 metric 50
ip route add 10.30.0.0/16 dev $C src 203.0.113.7 table 100
ip route add 10.50.0.0/16 nexthop via 203.0.113.1 dev $C weight 2 nexthop via 192.0.2.1 dev bond0.7
ip route add 2001:db8:ff::/48 via 2001:db8:9::1 metric 77
ip rule add iif $C lookup 100 priority 1000
ip -6 rule add oif $C lookup 100 priority 1001"#;

/// Takes it away, whatever is left of it; what is on ports goes with them.
pub const TEAR_DOWN: &str = "
ip rule del priority 1000 2>&-; ip -6 rule del priority 1001 2>&-
for one in data.9 own0 bond0.7 bond0; do ip link del $one 2>&-; done; true";

/// Sets it up on these ports.
pub fn set_up(guest: &Guest, ports: &[String; 3]) -> anyhow::Result<()> {
    let [a, b, c] = ports;
    guest.ok(&format!("A={a} B={b} C={c}{SET_UP}")).map(drop)
}

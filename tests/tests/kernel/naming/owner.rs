//! NetworkManager owns a bond: it sets it up again itself, and is asked to where it does not.

use anyhow::{Context, ensure};
use onload_tests::guest::Guest;

use super::carried::ROUNDS;
use super::picture::Picture;
use super::ports::{IN_TREE, WITH_IN_TREE, card, pinned, swap_to};
use crate::node::configure;
use crate::swap::FORMER;

/// Nothing but what a profile says.
pub const SETTINGS: &str = "[main]\nplugins=keyfile\nno-auto-default=*\n[logging]\nlevel=INFO\n";
/// Where profiles lie.
pub const PROFILES: &str = "/etc/NetworkManager/system-connections";

const BOND: &str = "[connection]\nid=bond0\nuuid=00000000-0000-4000-8000-000000000001\ntype=bond\ninterface-name=bond0\n\
    [bond]\nmode=active-backup\nmiimon=100\nprimary=enP65536s1f0np0\n\
    [ipv4]\nmethod=manual\naddress1=198.51.100.5/24\nroute1=10.20.0.0/16,198.51.100.1,50\n\
    [ipv6]\nmethod=manual\naddress1=2001:db8:5::5/64\n";
const VLAN: &str = "[connection]\nid=bond0.7\nuuid=00000000-0000-4000-8000-000000000002\ntype=vlan\ninterface-name=bond0.7\n\
    [vlan]\nparent=bond0\nid=7\n\
    [ipv4]\nmethod=manual\naddress1=192.0.2.10/24\n[ipv6]\nmethod=disabled\n";

fn member(number: usize, name: &str) -> String {
    format!(
        "[connection]\nid=port{number}\nuuid=00000000-0000-4000-8000-00000000001{number}\ntype=ethernet\n\
         interface-name={name}\nmaster=bond0\nslave-type=bond\n[ethernet]\nmtu=9000\n"
    )
}

/// Its connections that are up, with their interfaces.
fn active(guest: &Guest) -> anyhow::Result<Vec<String>> {
    let said = guest.ok("nmcli -t -f NAME,DEVICE,STATE connection show --active")?;
    let mut active: Vec<String> = said.lines().map(str::to_owned).collect();
    active.retain(|line| !line.starts_with("lo:"));
    active.sort();
    Ok(active)
}

pub fn an_owner_sets_its_bond_up_again(guest: &mut Guest) -> anyhow::Result<()> {
    configure(guest, "[naming]\npolicy = \"keep\"\n")?;
    card(guest, "")?;
    let ports = WITH_IN_TREE.map(str::to_owned);
    guest.put("/etc/NetworkManager/NetworkManager.conf", SETTINGS.as_bytes(), 0o644)?;
    for (id, text) in [("bond0", BOND), ("bond0.7", VLAN)] {
        guest.put(&format!("{PROFILES}/{id}.nmconnection"), text.as_bytes(), 0o600)?;
    }
    for (number, name) in ports.iter().enumerate().take(2) {
        let profile = member(number, name);
        guest.put(&format!("{PROFILES}/port{number}.nmconnection"), profile.as_bytes(), 0o600)?;
    }
    guest.ok("systemctl start NetworkManager")?;
    let up = "test $(nmcli -t -f STATE connection show --active | grep -c ^activated) -ge 4";
    guest.until("the connections", up)?;
    guest.until("the addresses", "! ip -6 address show tentative | grep -q inet6")?;
    // What no profile says is onloadd's to keep.
    guest.ok(&format!("ethtool -G {} rx 512", ports[0]))?;
    let (before, picture) = (active(guest)?, Picture::of(guest, &ports)?);
    ensure!(before.len() == 4, "{before:?}");
    for round in 1..=ROUNDS {
        for release in [FORMER, IN_TREE] {
            swap_to(guest, release)?;
            let context = || format!("round {round}, {release}");
            pinned(guest, &ports).with_context(context)?;
            guest.until("the connections again", up).with_context(context)?;
            let after = active(guest)?;
            ensure!(after == before, "round {round}, {release}: {after:?}, not {before:?}");
            picture.until_again(guest, &ports).with_context(context)?;
        }
    }
    // As it was found.
    guest.ok(&format!(
        "systemctl stop NetworkManager; rm -f {PROFILES}/*; ip link del bond0.7; ip link del bond0"
    ))?;
    Ok(())
}

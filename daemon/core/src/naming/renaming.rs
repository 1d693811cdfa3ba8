//! What to rename now, so that ports are called as they are pinned. What would stop the node or cut off
//! somebody is refused, and with it whatever waits for a name to become free.

use std::collections::{BTreeMap, BTreeSet};

use super::PortName;
use super::pin::{Index, Pins, Renaming, Trouble, Weight, pin_of};
use super::rule;
use super::wanted::{is_called_by_file, is_settled, overruled, there};
use crate::af_xdp;
use crate::inventory::{Interface, Snapshot};
use crate::names::{InterfaceName, PciAddress};
use crate::network;
use crate::plan::holders;
use crate::reading::Reading;

/// What is to be renamed now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renamings {
    /// All at once.
    pub all: Vec<Renaming>,
    /// Ports that keep a name that is not the pinned one, for now.
    pub troubles: Vec<Trouble>,
}

/// Why not, and what to do.
type Refusal = (String, &'static str);

/// What is left of a refusal to do, where onloadd goes on by itself.
const BY_ITSELF: &str = "nothing: onloadd renames it once that has ended";

/// What to rename. `fresh`: the ports have just come with a driver, and nobody has had time to use them.
/// `former`: what ports were called before, for those that have just come and could not be pinned.
/// `fought`: those that somebody renames back again and again.
pub fn renamings(
    rows: &[PortName],
    snapshot: &Snapshot,
    fresh: bool,
    former: &BTreeMap<PciAddress, InterfaceName>,
    fought: &BTreeSet<PciAddress>,
) -> Renamings {
    let none = Pins::new();
    let pins = match &snapshot.pins {
        Reading::Known(pins) => pins,
        Reading::Absent => &none,
        Reading::Unreadable(_) => return Renamings::default(),
    };
    let mut found = Renamings::default();
    let mut all: BTreeMap<PciAddress, Renaming> = BTreeMap::new();
    let mut refuse = |port: PciAddress, from: &InterfaceName, to: &InterfaceName, why: Refusal| {
        found.troubles.push(Trouble {
            subject: port.to_string(),
            why: format!("{from} is not renamed to {to}: {}", why.0),
            fix: why.1.to_owned(),
            weight: Weight::Tells,
        });
    };
    for row in rows {
        let Some((port, from, interface)) = there(row, snapshot) else { continue };
        let pin = pin_of(pins, port, Some(interface));
        // Two who want two names are told of each other (`wanted.rs`), and neither gets it.
        if row
            .given
            .as_ref()
            .is_some_and(|given| row.configured.as_ref().is_some_and(|name| *name != given.name))
        {
            continue;
        }
        // A file of a MachineConfig counts whether the port came before it or not.
        let said = row.given.as_ref().map(|given| &given.name).or(pin.map(|(_, pin)| &pin.name));
        let to = match said {
            Some(said) => said,
            // A file of somebody's own may have named it.
            None if !fresh || is_called_by_file(from, port, interface, snapshot) => continue,
            None => match former.get(&port) {
                Some(former) => former,
                None => continue,
            },
        };
        // Whoever has a virtual function calls it what they like, until it appears anew.
        if to == from || !(row.physical || fresh) {
            continue;
        }
        let file = pin
            .filter(|_| row.given.is_none())
            .and_then(|(key, _)| overruled(&key, to, port, interface, snapshot))
            .and_then(|other| other.to.map(|to| (other.by, to)));
        // What it was called is no matter of taste.
        let unfit = said.and_then(|_| rule::objection(to.as_str()));
        let unfit =
            unfit.map(|unfit| (unfit.why().to_owned(), "mend or remove the file that says so"));
        let against = match file {
            Some((by, to)) => Some((
                format!("{by} comes before its pin and calls it {to}"),
                "take the port out of that file, or have [naming] call it the same",
            )),
            None => unfit
                .or_else(|| objection(port, from, interface, snapshot, fresh))
                .or_else(|| fought.contains(&port).then(|| undone(from))),
        };
        match against {
            Some(against) => refuse(port, from, to, against),
            None => {
                let (from, to) = (from.clone(), to.clone());
                let may_go_down = fresh || carries_nothing(interface);
                all.insert(port, Renaming { port, from, to, may_go_down });
            }
        }
    }
    // Who is refused keeps a name that another one may wait for.
    let index = Index::of(snapshot);
    while let Some((port, why)) =
        all.iter().find_map(|(port, one)| Some((*port, in_the_way(one, &all, &index)?)))
    {
        if let Some(one) = all.remove(&port) {
            refuse(port, &one.from, &one.to, why);
        }
    }
    found.all = all.into_values().collect();
    found.troubles.sort_by(|one, other| one.subject.cmp(&other.subject));
    found
}

fn undone(from: &InterfaceName) -> Refusal {
    (
        format!("somebody calls it {from} again and again"),
        "find out who (`journalctl -b -u systemd-udevd -u NetworkManager`), or have [naming] call it so",
    )
}

/// What speaks against renaming an interface, whatever the name.
fn objection(
    port: PciAddress,
    from: &InterfaceName,
    interface: &Interface,
    snapshot: &Snapshot,
    fresh: bool,
) -> Option<Refusal> {
    if !is_settled(interface, snapshot) {
        return Some(("udev is not done with it".to_owned(), BY_ITSELF));
    }
    // The kernel may oops (reference/onload-measured.md section 3). Ports that Onload drives itself stand
    // among those that are registered, and have no such trouble.
    if af_xdp::is_registered(from, snapshot) && !is_native(port, snapshot) {
        let why = "it is registered for AF_XDP, and the kernel may not survive it".to_owned();
        return Some((why, "reboot: it gets its name when it appears"));
    }
    if let Some(why) = default_route(from, interface, snapshot) {
        return Some((why, "reboot, or rename it by hand with a console at hand"));
    }
    if !fresh && counts_whatever(snapshot) && !carries_nothing(interface) {
        let why = "it carries something, and losing that for a moment may not be mended".to_owned();
        return Some((why, "reboot: it gets its name when it appears"));
    }
    if snapshot.driver.stacks.known().is_some_and(|stacks| *stacks > 0) {
        return Some(("programs are using Onload".to_owned(), BY_ITSELF));
    }
    let contained = holders::contained(from, interface, snapshot)?;
    Some((contained, "end the containers that use it, or reboot"))
}

/// Whether whatever a port carries counts, as where a driver is taken away (`plan/holders.rs`): a kubelet
/// is there, or the root file system comes over the network.
fn counts_whatever(snapshot: &Snapshot) -> bool {
    !snapshot.kubelet.is_absent() || snapshot.network_root != Reading::Known(false)
}

/// Whether Onload has a driver of its own on the port.
fn is_native(port: PciAddress, snapshot: &Snapshot) -> bool {
    let found = snapshot.ports.known().and_then(|ports| ports.get(&port));
    let auxiliary = found.and_then(|found| found.auxiliary.known());
    let mut drivers = auxiliary.into_iter().flatten().filter_map(|(_, driver)| driver.known());
    drivers.any(|driver| driver.starts_with("sfc_resource"))
}

/// Why the default route may go through it, or through what is stacked on it in any number of storeys.
fn default_route(
    name: &InterfaceName,
    interface: &Interface,
    snapshot: &Snapshot,
) -> Option<String> {
    const ROUTE: &str = "the default route goes through it";
    let network = snapshot.network.known();
    if let (Some(network), Some(port)) = (network, interface.port.known()) {
        let affected = network::affected(network, &BTreeSet::from([*port]));
        if affected.default_routes.contains(name) {
            return Some(ROUTE.to_owned());
        }
    }
    let interfaces = snapshot.interfaces.known()?;
    let mut stack: Vec<(&InterfaceName, &Interface)> = vec![(name, interface)];
    let mut at = 0;
    while let Some((_, one)) = stack.get(at).copied() {
        at += 1;
        if one.routes.known().is_some_and(|routes| routes.default) {
            return Some(ROUTE.to_owned());
        }
        let gap = one.routes.why_not().or(one.uppers.why_not());
        if let Some(why) = gap.filter(|_| network.is_none()) {
            return Some(format!("what it carries cannot be read: {why}"));
        }
        let uppers = one.uppers.known().into_iter().flatten();
        for upper in uppers.filter_map(|upper| interfaces.get_key_value(upper)) {
            if !stack.iter().any(|(known, _)| *known == upper.0) {
                stack.push(upper);
            }
        }
    }
    None
}

/// Whether it can go down for a moment with nobody noticing.
fn carries_nothing(interface: &Interface) -> bool {
    let Interface { addresses, routes, uppers, .. } = interface;
    let readable = !addresses.is_unreadable() && !routes.is_unreadable() && !uppers.is_unreadable();
    readable
        && addresses.known().is_none_or(BTreeSet::is_empty)
        && routes.known().is_none_or(|routes| routes.count == 0)
        && uppers.known().is_none_or(BTreeSet::is_empty)
}

/// Who has the name and keeps it.
fn in_the_way(
    one: &Renaming,
    all: &BTreeMap<PciAddress, Renaming>,
    index: &Index<'_>,
) -> Option<Refusal> {
    let twin = all.values().find(|other| other.port != one.port && other.to == one.to);
    if let Some(twin) = twin {
        let why = format!("{} is to be called so too", twin.from);
        return Some((why, "give one of the two another name in [naming]"));
    }
    let holder = index.other_holder(one.to.as_str(), Some(&one.from))?;
    let goes =
        holder.as_str() == one.to.as_str() && all.values().any(|other| other.from == *holder);
    if goes {
        return None;
    }
    let how = match holder == &one.to {
        true => format!("another interface is called {holder}"),
        false => format!("{holder} has it as an alternative name"),
    };
    Some((how, "rename the other, or choose another name in [naming]"))
}

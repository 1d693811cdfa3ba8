//! Who stands in the way of taking the stack away: users, and interfaces that carry something.

use std::collections::BTreeSet;

use crate::inventory::{Interface, LIBRARY, Snapshot, User};
use crate::names::{InterfaceName, PciAddress};
use crate::network::{self, Affected};
use crate::reading::Reading;

/// References that a control-plane server holds on `onload`
/// (reference/onload-measured.md section 1).
pub const SERVER_REFERENCES: u32 = 4;

/// Why a port of a default route is protected.
const BY_DEFAULT: &str = "the default route goes through it";

/// Somebody who uses the stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// For people: pid and command, or what is known.
    pub who: String,
    /// The unit that can be stopped to end it; none for containers and what cannot be told.
    pub unit: Option<String>,
}

/// What a look says of users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Users {
    /// The look did not search for them.
    NotSought,
    /// They cannot be told.
    Unreadable(String),
    /// These; none: nobody.
    Known(Vec<Holder>),
}

/// Everybody but the control-plane server who uses the modules, or a clock that would go.
/// `clocks`: whether the drivers of the ports go too. `libraries`: whether another release comes, with
/// which every new socket of a program that has this one's library fails
/// (reference/onload-modules.md section 4).
pub fn users(snapshot: &Snapshot, clocks: bool, libraries: bool) -> Users {
    let users = match &snapshot.users {
        Reading::Absent => return Users::NotSought,
        Reading::Unreadable(why) => return Users::Unreadable(why.clone()),
        Reading::Known(users) => users,
    };
    let servers = snapshot.driver.control_plane.known();
    let counts = |used: &String| match used.as_str() {
        LIBRARY => libraries,
        used => clocks || !used.starts_with("/dev/ptp"),
    };
    let mut holders: Vec<Holder> = users
        .iter()
        .filter(|(pid, _)| servers.is_none_or(|servers| !servers.contains(pid)))
        .filter(|(_, user)| user.uses.iter().any(counts))
        .map(|(pid, user)| holder(*pid, user))
        .collect();
    if holders.is_empty() {
        holders.extend(unaccounted(snapshot).map(|who| Holder { who, unit: None }));
    }
    Users::Known(holders)
}

/// References that no process explains: an orphaned stack, or somebody out of sight.
fn unaccounted(snapshot: &Snapshot) -> Option<String> {
    let stacks = snapshot.driver.stacks.known().copied().unwrap_or(0);
    let servers = snapshot.driver.control_plane.known();
    let server_references =
        servers.map_or(0, |servers| count(servers.len()).saturating_mul(SERVER_REFERENCES));
    let surplus = |name: &str, explained: u32| {
        let module = snapshot.module(name).into_known()?;
        let by_modules = count(module.holders.len());
        let held = module.refcount.known()?.saturating_sub(explained).saturating_sub(by_modules);
        (held > 0).then(|| format!("{held} references on {name} (unaccounted)"))
    };
    if stacks > 0 {
        return Some(format!("{stacks} stacks without a process (unaccounted)"));
    }
    surplus("onload", server_references).or_else(|| surplus("sfc_char", 0))
}

/// Whether nobody but the control plane holds the stack, by all that a look says of it.
pub fn is_idle(snapshot: &Snapshot) -> bool {
    let users = match &snapshot.users {
        // It was not searched for them, as no reference on the modules asks for that.
        Reading::Absent => return unaccounted(snapshot).is_none(),
        Reading::Known(_) | Reading::Unreadable(_) => users(snapshot, false, false),
    };
    matches!(users, Users::Known(holders) if holders.is_empty())
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn holder(pid: u32, user: &User) -> Holder {
    let uses: Vec<_> = user.uses.iter().map(String::as_str).collect();
    let place = match (&user.container, &user.unit) {
        (Some(id), _) => format!(", container {}", id.get(..12).unwrap_or(id)),
        (None, Some(unit)) => format!(", {unit}"),
        (None, None) => String::new(),
    };
    Holder {
        who: format!("pid {pid} ({}{place}) has {}", user.comm, uses.join(" and ")),
        unit: user.unit.clone().filter(|_| user.container.is_none()),
    }
}

/// An interface that loses something when its driver goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protected {
    /// Its name, or the port's address.
    pub interface: String,
    /// What it carries.
    pub why: String,
}

/// Ports that carry something (an address, a route, another interface, a clock in use) of all that
/// lose their driver with `sfc`, whether Onload accelerates them or not. `spared`: the unit that gives way
/// by itself to whoever takes a clock away.
pub fn protected(snapshot: &Snapshot, spared: Option<&str>) -> Vec<Protected> {
    let driven = network::driven(snapshot);
    let kept = keepable(snapshot);
    let of = |port| protected_port(port, snapshot, kept.as_ref(), spared);
    driven.iter().filter_map(of).collect()
}

/// What can be kept and put back of what the ports carry; none where whatever they carry counts. That is
/// so where a kubelet runs, whose address no look tells from others, and where the root file system comes
/// over the network: losing either for a moment is not mended by putting it back.
fn keepable(snapshot: &Snapshot) -> Option<Affected> {
    let network = snapshot.network.known()?;
    let spared = snapshot.kubelet.is_absent() && snapshot.network_root == Reading::Known(false);
    spared.then(|| network::affected(network, &network::driven(snapshot)))
}

fn protected_port(
    address: &PciAddress,
    snapshot: &Snapshot,
    kept: Option<&Affected>,
    spared: Option<&str>,
) -> Option<Protected> {
    let interfaces = match &snapshot.interfaces {
        Reading::Known(_) => None,
        Reading::Absent => return None,
        Reading::Unreadable(why) => Some(format!("its interface cannot be read: {why}")),
    };
    if let Some(why) = interfaces {
        return Some(Protected { interface: address.to_string(), why });
    }
    let Some((name, interface)) = snapshot.interface_of(address) else {
        let why = "its interface is not here, but with a container or in another namespace";
        return Some(Protected { interface: address.to_string(), why: why.to_owned() });
    };
    // A link that the look at the network did not find is not kept: it is new, or was renamed meanwhile.
    let why = match kept.and_then(|kept| Some((kept, kept.stacks.get(name)?))) {
        Some((kept, stack)) => not_kept(name, stack, kept, snapshot),
        None => carries(interface),
    };
    let why = why
        .or_else(|| contained(name, interface, snapshot))
        .or_else(|| clock_users(interface, snapshot, spared))?;
    Some(Protected { interface: name.to_string(), why })
}

/// What of a port's would be lost although the rest is put back. Of default routes each counts, whoever
/// made it, also those that are not put back: a router's advertisement, a nexthop object, another table.
fn not_kept(
    name: &InterfaceName,
    stack: &BTreeSet<InterfaceName>,
    kept: &Affected,
    snapshot: &Snapshot,
) -> Option<String> {
    let by_default = stack.iter().any(|member| {
        let seen = snapshot.interfaces.known().and_then(|all| all.get(member));
        let routes = seen.and_then(|interface| interface.routes.known());
        routes.is_some_and(|routes| routes.default)
    });
    if by_default || kept.default_routes.contains(name) {
        return Some(BY_DEFAULT.to_owned());
    }
    kept.lost.iter().find(|(lost, _)| lost == name).map(|(_, why)| why.clone())
}

fn carries(interface: &Interface) -> Option<String> {
    let Interface { routes, uppers, addresses, .. } = interface;
    let count = routes.known().map_or(0, |routes| routes.count);
    if routes.known().is_some_and(|routes| routes.default) {
        return Some(BY_DEFAULT.to_owned());
    }
    if let Some(uppers) = uppers.known().filter(|uppers| !uppers.is_empty()) {
        let uppers: Vec<_> = uppers.iter().map(ToString::to_string).collect();
        return Some(format!("{} is on top of it", uppers.join(", ")));
    }
    if let Some(addresses) = addresses.known().filter(|addresses| !addresses.is_empty()) {
        let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
        return Some(format!("it has the address {}", addresses.join(", ")));
    }
    if count > 0 {
        return Some(format!("{count} routes go through it"));
    }
    let unreadable = [routes.why_not(), uppers.why_not(), addresses.why_not()];
    let why = unreadable.into_iter().flatten().next()?;
    Some(format!("what it carries cannot be read: {why}"))
}

/// What containers have on it. The host has no link of such an interface to its port: that it is
/// there is told by the runtime's files, or else by what it asks of the port.
pub(crate) fn contained(
    name: &InterfaceName,
    interface: &Interface,
    snapshot: &Snapshot,
) -> Option<String> {
    match &snapshot.attached {
        Reading::Known(attached) => {
            let found = attached.iter().find_map(|one| {
                let by = one.by.iter().find(|by| by.means(name, interface))?;
                Some(format!("{} has an interface ({}) on it", one.place(), by.plugin))
            });
            if found.is_some() {
                return found;
            }
        }
        Reading::Absent => {}
        Reading::Unreadable(why) => {
            return Some(format!("what containers have on it cannot be read: {why}"));
        }
    }
    let uppers = interface.uppers.known().map_or(0, BTreeSet::len);
    match &interface.multicast_users {
        // One more than its own, and one for each on top of it in this namespace.
        Reading::Known(users) if *users > count(uppers).saturating_add(1) => {
            Some("an interface of another network namespace is on top of it".to_owned())
        }
        Reading::Known(_) | Reading::Absent | Reading::Unreadable(_) => None,
    }
}

fn clock_users(interface: &Interface, snapshot: &Snapshot, spared: Option<&str>) -> Option<String> {
    let clock = format!("/dev/ptp{}", interface.phc_index.known()?);
    let stays = |user: &User| spared.is_none() || user.unit.as_deref() != spared;
    let mut users = snapshot.users.known()?.iter();
    let (pid, user) = users.find(|(_, user)| user.uses.contains(&clock) && stays(user))?;
    Some(format!("pid {pid} ({}) has its clock {clock}", user.comm))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attachment::{self, Attached};
    use crate::inventory::Routes;
    use crate::network::{Made, Network, NetworkLink, Raw, tests};
    use crate::sample::{PORTS, inner, node};

    /// What protects the first port when this is so of it.
    fn why(spoil: impl FnOnce(&mut Snapshot, &InterfaceName)) -> Option<String> {
        let mut node = node();
        let port = PORTS[0].parse().unwrap();
        let name = node.interface_of(&port).unwrap().0.clone();
        spoil(&mut node, &name);
        protected(&node, None)
            .into_iter()
            .find(|one| one.interface == name.as_str())
            .map(|one| one.why)
    }

    fn asked(node: &mut Snapshot, name: &InterfaceName, users: u32) {
        inner(&mut node.interfaces).get_mut(name).unwrap().multicast_users = Reading::Known(users);
    }

    #[test]
    fn what_a_container_has_on_a_port_protects_it() {
        let attached = |kind: &str, master: &str| {
            let text = format!(r#"{{"type":"{kind}","master":"{master}"}}"#);
            let by = attachment::parse(text.as_bytes()).unwrap();
            let (container, interface) = ("0123456789abcdef".to_owned(), "net1".to_owned());
            Reading::Known(vec![Attached { container, interface, by }])
        };
        assert_eq!(why(|_, _| {}), None);
        assert_eq!(why(|node, name| asked(node, name, 1)), None, "its own");
        assert_eq!(why(|node, _| node.attached = attached("ipvlan", "ens9")), None);
        let said = why(|node, name| node.attached = attached("ipvlan", name.as_str()));
        assert_eq!(
            said.as_deref(),
            Some("container 0123456789ab, net1 has an interface (ipvlan) on it")
        );
        let said = why(|node, name| asked(node, name, 2)).unwrap();
        assert!(said.contains("another network namespace is on top of it"), "{said}");
        let said = why(|node, _| node.attached = Reading::Unreadable("denied".to_owned())).unwrap();
        assert!(said.ends_with("cannot be read: denied"), "{said}");
    }

    /// A look at the first port's interface that carries this and what else.
    fn carrying(node: &mut Snapshot, name: &InterfaceName, link: NetworkLink) {
        let interface = inner(&mut node.interfaces).get_mut(name).unwrap();
        interface.addresses = Reading::Known(["10.0.0.1/24".to_owned()].into());
        let link = NetworkLink { port: Some(PORTS[0].parse().unwrap()), ..link };
        let bond = NetworkLink {
            made: Some(Made { kind: "bond".to_owned(), data: Raw::default() }),
            ..NetworkLink::default()
        };
        let links = [(name.clone(), link), ("bond0".parse().unwrap(), bond)].into();
        node.network = Reading::Known(Network { links, ..Network::default() });
        node.network_root = Reading::Known(false);
    }

    #[test]
    fn what_is_put_back_protects_no_port() {
        let address = || NetworkLink {
            addresses: [tests::address("10.0.0.1/24", None)].into(),
            ..NetworkLink::default()
        };
        let has = Some("it has the address 10.0.0.1/24".to_owned());
        assert_eq!(why(|node, name| carrying(node, name, address())), None);
        let gaps: [fn(&mut Snapshot); 5] = [
            |node| node.network = Reading::Absent,
            |node| node.network = Reading::Unreadable("denied".to_owned()),
            |node| node.network_root = Reading::Known(true),
            |node| node.network_root = Reading::Absent,
            |node| node.kubelet = Reading::Unreadable("denied".to_owned()),
        ];
        for gap in gaps {
            let said = why(|node, name| {
                carrying(node, name, address());
                gap(node);
            });
            assert_eq!(said, has);
        }
        let under = |master: &str| NetworkLink {
            master: Some(master.parse().unwrap()),
            ..NetworkLink::default()
        };
        assert_eq!(why(|node, name| carrying(node, name, under("bond0"))), None);
        let said = why(|node, name| carrying(node, name, under("team0")));
        assert_eq!(said.as_deref(), Some("ens0 is a member of team0, which is not here"));
        let default = || NetworkLink {
            routes: [tests::route("default", &["ens0"], true)].into(),
            ..NetworkLink::default()
        };
        let said = why(|node, name| carrying(node, name, default()));
        assert_eq!(said.as_deref(), Some("the default route goes through it"));
    }

    #[test]
    fn a_default_route_that_is_not_put_back_protects_all_below_it() {
        let over = |by: &'static str, spoil: fn(&mut Interface)| {
            why(|node, name| {
                let link =
                    NetworkLink { master: Some("bond0".parse().unwrap()), ..Default::default() };
                carrying(node, name, link);
                let vlan = tests::made("vlan", 7, Some("bond0"));
                inner(&mut node.network).links.insert("vlan7".parse().unwrap(), vlan);
                let interfaces = inner(&mut node.interfaces);
                spoil(interfaces.entry(by.parse().unwrap()).or_default());
            })
        };
        let default = |interface: &mut Interface| {
            interface.routes = Reading::Known(Routes { count: 1, default: true });
        };
        for by in ["ens0", "bond0", "vlan7"] {
            assert_eq!(over(by, default).as_deref(), Some(BY_DEFAULT), "{by}");
        }
        assert_eq!(over("other0", default), None);
        assert_eq!(over("vlan7", |_| {}), None);
    }
}

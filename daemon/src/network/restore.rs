//! What went with a driver, put back deed by deed. What is there already is done; what fails keeps none
//! of the others from being tried. Nothing is taken away for it.

use std::fs;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use nix::errno::Errno;
use nix::libc::{
    IFA_CACHEINFO, IFF_ALLMULTI, IFF_PROMISC, IFLA_ADDRESS, IFLA_IFNAME, IFLA_INFO_DATA,
    IFLA_INFO_KIND, IFLA_LINK, IFLA_LINKINFO, IFLA_MASTER, IFLA_MTU, IFLA_VFINFO_LIST,
    RTA_MULTIPATH, RTA_OIF, RTM_NEWADDR, RTM_NEWQDISC, RTM_NEWROUTE, RTM_NEWRULE, TCA_KIND,
};
use onload_core::names::{InterfaceName, MacAddress};
use onload_core::network::{Address, Deed, Raw, Route};

use super::Failure;
use super::attribute::{Attributes, each, find, number, places};
use super::ethtool::Ethtool;
use super::links::{Link, Rtnetlink};
use super::netlink::Refused;
use super::rename::Links as _;

#[cfg(test)]
mod tests;

/// `IFLA_VF_INFO`, and which of what it holds is the address.
const VF_INFO: u16 = 1;
const VF_MAC: u16 = 1;
/// `struct rtmsg`, `struct ifaddrmsg`, and where the latter has the link's number.
const ROUTE_HEADER_BYTES: usize = 12;
const ADDRESS_HEADER_BYTES: usize = 8;
const ADDRESS_INDEX: usize = 4;
/// `struct rtnexthop`: its own length, flags, weight, and from here the link's number.
const HOP_HEADER_BYTES: usize = 8;
const HOP_INDEX: usize = 4;
/// `TC_H_ROOT`.
const ROOT: u32 = u32::MAX;
/// Lifetime of what stays.
const FOR_EVER: u32 = u32::MAX;

/// Does each deed; those that were not done.
pub(super) fn each_deed(links: &mut Rtnetlink, deeds: &[Deed]) -> Vec<Failure> {
    let mut ethtool = Ethtool::default();
    let failures = deeds.iter().filter_map(|deed| {
        let refused = carry_out(links, &mut ethtool, deed).err()?;
        Some(Failure { deed: deed.to_string(), why: refused.to_string() })
    });
    failures.collect()
}

fn carry_out(links: &mut Rtnetlink, ethtool: &mut Ethtool, deed: &Deed) -> Result<(), Refused> {
    match deed {
        Deed::Make { link, below, kind, data } => make(links, link, below.as_ref(), kind, data),
        Deed::Functions { link, count } => functions(links, link, *count),
        Deed::Function { link, number, data } => function(links, link, *number, data),
        Deed::Set { link, group, settings } => {
            let index = links.link(link)?.index;
            ethtool.set(index, group, settings)
        }
        Deed::Mac { link, mac } => address_in_use(links, link, *mac),
        Deed::Join { link, master, membership } => join(links, link, master, membership),
        Deed::Mtu { link, mtu } => {
            let index = links.link(link)?.index;
            links.set(index, &Attributes::default().with_number(IFLA_MTU, *mtu))
        }
        Deed::Altnames { link, names } => {
            let link = links.link(link)?;
            let missing = names.iter().filter(|name| **name != link.name);
            let missing = missing.filter(|name| !link.altnames.contains(name));
            all(missing.map(|name| links.add_altname(link.index, name)))
        }
        Deed::Listen { link, promiscuous, all_multicast } => {
            let index = links.link(link)?.index;
            let flag = |wanted: bool, flag: i32| if wanted { flag.unsigned_abs() } else { 0 };
            let mask = flag(true, IFF_PROMISC) | flag(true, IFF_ALLMULTI);
            let flags = flag(*promiscuous, IFF_PROMISC) | flag(*all_multicast, IFF_ALLMULTI);
            links.set_flags(index, flags, mask)
        }
        Deed::Up { link, up } => {
            let index = links.link(link)?.index;
            links.set_up(index, *up)
        }
        Deed::Qdisc { link, kind } => {
            let index = links.link(link)?.index;
            let message = qdisc(index, kind);
            links.ask(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, &message)
        }
        Deed::Address { link, address } => {
            let index = links.link(link)?.index;
            let message = address_message(address, index).ok_or_else(unfit)?;
            links.ask(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &message)
        }
        Deed::Route { route } => {
            let indices: Result<Vec<_>, _> =
                route.over.iter().map(|name| links.link(name).map(|link| link.index)).collect();
            let message = route_message(route, &indices?).ok_or_else(unfit)?;
            add_route(links, &message)
        }
        Deed::Rule { rule } => links.add(RTM_NEWRULE, &rule.message.0),
    }
}

/// Tries all; the first refusal.
fn all(results: impl Iterator<Item = Result<(), Refused>>) -> Result<(), Refused> {
    results.fold(Ok(()), Result::and)
}

fn unfit() -> Refused {
    Refused::new("what is kept of it is not whole")
}

fn make(
    links: &mut Rtnetlink,
    name: &InterfaceName,
    below: Option<&InterfaceName>,
    kind: &str,
    data: &Raw,
) -> Result<(), Refused> {
    let below = below.map(|below| links.link(below)).transpose()?.map(|below| below.index);
    let mut made = Attributes::default().with_text(IFLA_INFO_KIND, kind);
    if !data.is_empty() {
        made = made.with_kept(IFLA_INFO_DATA, &data.0);
    }
    let mut attributes = Attributes::default().with_text(IFLA_IFNAME, name.as_str());
    if let Some(below) = below {
        attributes = attributes.with_number(IFLA_LINK, below);
    }
    match links.make(&attributes.with_list(IFLA_LINKINFO, &made)) {
        Err(refused) if refused.is(Errno::EEXIST) => {
            let is_it = |link: &Link| {
                link.name == name.as_str()
                    && link.kind.as_deref() == Some(kind)
                    && link.below == below
            };
            links.find(name.as_str())?.filter(is_it).map(drop).ok_or(refused)
        }
        result => result,
    }
}

fn functions(links: &mut Rtnetlink, name: &InterfaceName, count: u32) -> Result<(), Refused> {
    let link = links.link(name)?;
    let file = links.device(&link.name).join("sriov_numvfs");
    let enabled = fs::read_to_string(&file)?;
    match enabled.trim() {
        now if now == count.to_string() => Ok(()),
        "0" => Ok(fs::write(&file, count.to_string())?),
        // They would all go for a moment, and somebody has asked for them.
        now => Err(Refused::new(format!("{now} are enabled already"))),
    }
}

fn function(
    links: &mut Rtnetlink,
    name: &InterfaceName,
    function: u32,
    data: &Raw,
) -> Result<(), Refused> {
    let index = links.link(name)?.index;
    all(each(&data.0).map(|(kind, value)| {
        let (of, setting) = value.split_at_checked(4).ok_or_else(unfit)?;
        let default = setting.iter().all(|byte| *byte == 0);
        // -1 stands for what the driver does not tell, and no address for one it chooses itself.
        let unknown = kind != VF_MAC && setting.iter().all(|byte| *byte == u8::MAX);
        if number(of) != Some(function) {
            return Err(unfit());
        }
        if unknown || (kind == VF_MAC && default) {
            return Ok(());
        }
        // Each by itself: the kernel stops at the first that the driver does not know.
        let one = Attributes::default().with(kind, value);
        let of_one = Attributes::default().with_list(VF_INFO, &one);
        let list = Attributes::default().with_list(IFLA_VFINFO_LIST, &of_one);
        match links.set_functions(index, &list) {
            Err(refused) if refused.is(Errno::EOPNOTSUPP) && default => Ok(()),
            result => result,
        }
    }))
}

/// Some drivers take another address only while they are down.
fn address_in_use(
    links: &mut Rtnetlink,
    name: &InterfaceName,
    MacAddress(mac): MacAddress,
) -> Result<(), Refused> {
    let link = links.link(name)?;
    if link.mac == mac {
        return Ok(());
    }
    let wanted = Attributes::default().with(IFLA_ADDRESS, &mac);
    match links.set(link.index, &wanted) {
        Err(refused) if link.up && (refused.is(Errno::EBUSY) || refused.is(Errno::EOPNOTSUPP)) => {
            while_down(links, &link, |links| links.set(link.index, &wanted))
        }
        result => result,
    }
}

fn join(
    links: &mut Rtnetlink,
    name: &InterfaceName,
    master: &InterfaceName,
    membership: &Raw,
) -> Result<(), Refused> {
    let (link, master) = (links.link(name)?, links.link(master)?.index);
    if link.master != Some(master) {
        let wanted = Attributes::default().with_number(IFLA_MASTER, master);
        // A bond takes nothing that is up.
        while_down(links, &link, |links| links.set(link.index, &wanted))?;
    }
    if membership.is_empty() {
        return Ok(());
    }
    let wanted = Attributes::default().with_kept(IFLA_LINKINFO, &membership.0);
    links.set(link.index, &wanted)
}

/// Does something with a link that is down, and sets it up again whatever came of it.
fn while_down(
    links: &mut Rtnetlink,
    link: &Link,
    deed: impl FnOnce(&mut Rtnetlink) -> Result<(), Refused>,
) -> Result<(), Refused> {
    if !link.up {
        return deed(links);
    }
    links.set_up(link.index, false)?;
    let result = deed(links);
    result.and(links.set_up(link.index, true))
}

/// One over several links may be there with fewer: the kernel leaves it so when one of them goes.
fn add_route(links: &mut Rtnetlink, message: &[u8]) -> Result<(), Refused> {
    if !has_several_hops(message) {
        return links.add(RTM_NEWROUTE, message);
    }
    match links.ask(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, message) {
        Err(refused) if refused.is(Errno::EEXIST) => {
            links.ask(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, message)
        }
        result => result,
    }
}

fn has_several_hops(message: &[u8]) -> bool {
    find(message.get(ROUTE_HEADER_BYTES..).unwrap_or_default(), RTA_MULTIPATH).is_some()
}

/// `struct tcmsg`: family and padding, link, handle, parent, and a word that is 0.
fn qdisc(index: u32, kind: &str) -> Vec<u8> {
    let header = [0, index, 0, ROOT, 0].map(u32::to_ne_bytes);
    let attributes = Attributes::default().with_text(TCA_KIND, kind);
    [header.as_flattened(), attributes.bytes()].concat()
}

/// The message that adds an address to a link, with what is left of its lifetimes.
fn address_message(address: &Address, index: u32) -> Option<Vec<u8>> {
    let mut message = address.message.0.clone();
    let place = message.get_mut(ADDRESS_INDEX..ADDRESS_HEADER_BYTES)?;
    place.copy_from_slice(&index.to_ne_bytes());
    if address.valid.is_some() || address.preferred.is_some() {
        // `struct ifa_cacheinfo`: both lifetimes, and when it was made and changed.
        let [preferred, valid] =
            [address.preferred, address.valid].map(|seconds| seconds.unwrap_or(FOR_EVER));
        let times = [preferred, valid, 0, 0].map(u32::to_ne_bytes);
        message.extend(Attributes::default().with(IFA_CACHEINFO, times.as_flattened()).bytes());
    }
    Some(message)
}

/// The message that adds a route, with the numbers of its links, in the order in which it names them.
fn route_message(route: &Route, indices: &[u32]) -> Option<Vec<u8>> {
    let mut message = route.message.0.clone();
    let mut indices = indices.iter();
    let list = message.get(ROUTE_HEADER_BYTES..)?;
    let mut wanted = Vec::new();
    for (kind, place) in places(list) {
        match kind {
            RTA_OIF => wanted.push(ROUTE_HEADER_BYTES + place.start),
            RTA_MULTIPATH => {
                let mut hops = list.get(place.clone())?;
                let mut at = ROUTE_HEADER_BYTES + place.start;
                while hops.len() >= HOP_HEADER_BYTES {
                    wanted.push(at + HOP_INDEX);
                    let length = hops.first_chunk().copied().map(u16::from_ne_bytes)?;
                    let next = usize::from(length).max(HOP_HEADER_BYTES).next_multiple_of(4);
                    hops = hops.get(next..).unwrap_or_default();
                    at += next;
                }
            }
            _ => {}
        }
    }
    for at in wanted {
        message.get_mut(at..at + 4)?.copy_from_slice(&indices.next()?.to_ne_bytes());
    }
    indices.next().is_none().then_some(message)
}

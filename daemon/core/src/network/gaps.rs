//! What fills the gaps between what is kept and what is there, in the order in which it can be done.

use std::collections::{BTreeMap, BTreeSet};

use super::affected::MADE_ANEW;
use super::today::Today;
use super::{Address, Deed, GROUPS, Kept, Network, NetworkLink, Route};
use crate::names::InterfaceName;
use crate::time::Moment;

/// Whether links that somebody owns are left to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// They are, for now.
    Owners,
    /// What they have not done is done for them.
    Nobody,
}

/// What fills the gaps, in order: link by link from the bottom, then addresses, routes and rules. Only
/// adds: what is there beside is somebody's wish.
pub fn gaps(kept: &Kept, now: &Network, at: Moment, patience: Patience) -> Vec<Deed> {
    let today = Today::new(&kept.network, now);
    let all = today.bottom_up();
    let there = now.links.keys().collect();
    let mut gaps = Gaps { kept: &kept.network, today, patience, there, deeds: Vec::new() };
    for (name, link) in &all {
        gaps.link(name, link);
    }
    for (name, link) in &all {
        gaps.addresses(name, link, passed(kept, at));
    }
    gaps.routes();
    gaps.rules();
    for (name, link) in &all {
        gaps.down(name, link);
    }
    gaps.deeds
}

/// Whole seconds since it was kept.
pub(super) fn passed(kept: &Kept, at: Moment) -> u32 {
    u32::try_from(at.since(kept.at).as_secs()).unwrap_or(u32::MAX)
}

struct Gaps<'a> {
    kept: &'a Network,
    today: Today<'a>,
    patience: Patience,
    /// Links that are there by the time the next deed is done, as they are called now.
    there: BTreeSet<&'a InterfaceName>,
    deeds: Vec<Deed>,
}

impl<'a> Gaps<'a> {
    /// Whether a link is ours to set up.
    fn is_ours(&self, link: &NetworkLink) -> bool {
        match self.patience {
            Patience::Owners => link.owner.is_nobody(),
            Patience::Nobody => true,
        }
    }

    /// The name of a link that is there by now.
    fn standing(&self, of: &'a InterfaceName) -> Option<&'a InterfaceName> {
        self.today.name(of).filter(|name| self.there.contains(name))
    }

    fn link(&mut self, of: &'a InterfaceName, link: &'a NetworkLink) {
        let ours = self.is_ours(link);
        let (name, seen) = match self.today.link(of) {
            Some((name, seen)) => (name, seen.clone()),
            None => match self.make(of, link).filter(|_| ours) {
                Some((deed, made)) => {
                    self.deeds.push(deed);
                    self.there.insert(of);
                    (of, made)
                }
                None => return,
            },
        };
        self.port(name, link, &seen);
        let joined = if ours { self.frame(name, link, &seen) } else { false };
        self.rest(name, link, &seen);
        if ours && link.up && (!seen.up || joined) {
            self.deeds.push(Deed::Up { link: name.clone(), up: true });
        }
    }

    /// Makes a link that is not there; and what it then is, which it has from what it is made on.
    fn make(&self, of: &'a InterfaceName, link: &'a NetworkLink) -> Option<(Deed, NetworkLink)> {
        self.today.name(of)?;
        // EEXIST, should the name lead to another link by now.
        if self.today.leads_to(of.as_str()).is_some() {
            return None;
        }
        let made = link.made.as_ref().filter(|made| MADE_ANEW.contains(&made.kind.as_str()))?;
        let below = link.below.as_ref()?;
        let on = self.standing(below)?;
        let base = self.kept.links.get(below).or_else(|| Some(self.today.link(below)?.1))?;
        let deed = Deed::Make {
            link: of.clone(),
            below: Some(on.clone()),
            kind: made.kind.clone(),
            data: made.data.clone(),
        };
        Some((deed, NetworkLink { mtu: base.mtu, mac: base.mac, ..NetworkLink::default() }))
    }

    /// What only ports have.
    fn port(&mut self, name: &InterfaceName, link: &NetworkLink, seen: &NetworkLink) {
        if link.functions.len() > seen.functions.len() {
            let count = u32::try_from(link.functions.len()).unwrap_or(u32::MAX);
            self.deeds.push(Deed::Functions { link: name.clone(), count });
        }
        for (number, data) in &link.functions {
            if seen.functions.get(number) != Some(data) {
                let (link, number, data) = (name.clone(), *number, data.clone());
                self.deeds.push(Deed::Function { link, number, data });
            }
        }
        for group in GROUPS {
            let mut settings = BTreeMap::new();
            for (key, value) in &link.settings {
                // What this driver does not offer cannot be set.
                let differs = seen.settings.get(key).is_some_and(|seen| seen != value);
                match key.split_once('.') {
                    Some((of, name)) if of == group && differs => {
                        settings.insert(name.to_owned(), *value);
                    }
                    Some(_) | None => {}
                }
            }
            if !settings.is_empty() {
                let (link, group) = (name.clone(), group.to_owned());
                self.deeds.push(Deed::Set { link, group, settings });
            }
        }
    }

    /// What a link's owner does too. True: it has become a member, and was taken down for it.
    fn frame(&mut self, name: &InterfaceName, link: &'a NetworkLink, seen: &NetworkLink) -> bool {
        // A member of a bond gets the address and the MTU of the bond.
        let bonded = is_bonded(link, self.kept);
        if let Some(mac) = link.mac.filter(|mac| !bonded && seen.mac != Some(*mac)) {
            self.deeds.push(Deed::Mac { link: name.clone(), mac });
        }
        let mtu = Deed::Mtu { link: name.clone(), mtu: link.mtu };
        if !bonded && seen.mtu != link.mtu {
            self.deeds.push(mtu.clone());
        }
        let Some(master) = link.master.as_ref().and_then(|master| self.standing(master)) else {
            return false;
        };
        // One that somebody has put under another one stays there.
        let gap = match &seen.master {
            None => true,
            Some(other) => other == master && seen.membership != link.membership,
        };
        if gap {
            let (link, membership) = (name.clone(), link.membership.clone());
            self.deeds.push(Deed::Join { link, master: master.clone(), membership });
        }
        // The kernel lets a member have another MTU, but not before it is one.
        if bonded && self.bonds_mtu(link, seen, gap) != link.mtu {
            self.deeds.push(mtu);
        }
        gap
    }

    /// The MTU that a bond's member has without being given one: that of the bond, whenever it becomes a
    /// member or the bond is given another.
    fn bonds_mtu(&self, link: &'a NetworkLink, seen: &NetworkLink, joins: bool) -> u32 {
        let Some(master) = &link.master else { return seen.mtu };
        let then = self.kept.links.get(master).map_or(seen.mtu, |bond| bond.mtu);
        let now = self.today.link(master).map_or(then, |(_, bond)| bond.mtu);
        if joins || now != then { then } else { seen.mtu }
    }

    /// What no owner does.
    fn rest(&mut self, name: &InterfaceName, link: &NetworkLink, seen: &NetworkLink) {
        // The kernel has no name twice: one that leads elsewhere now stays there.
        let free = |one: &&String| self.today.leads_to(one).is_none();
        let missing = link.altnames.difference(&seen.altnames);
        let names: BTreeSet<_> = missing.filter(free).cloned().collect();
        if !names.is_empty() {
            self.deeds.push(Deed::Altnames { link: name.clone(), names });
        }
        let promiscuous = link.promiscuous || seen.promiscuous;
        let all_multicast = link.all_multicast || seen.all_multicast;
        if (promiscuous, all_multicast) != (seen.promiscuous, seen.all_multicast) {
            let link = name.clone();
            self.deeds.push(Deed::Listen { link, promiscuous, all_multicast });
        }
        if let Some(kind) = link.qdisc.as_ref().filter(|kind| seen.qdisc.as_ref() != Some(kind)) {
            self.deeds.push(Deed::Qdisc { link: name.clone(), kind: kind.clone() });
        }
    }

    fn addresses(&mut self, of: &'a InterfaceName, link: &'a NetworkLink, passed: u32) {
        let Some(name) = self.standing(of).filter(|_| self.is_ours(link)) else { return };
        let seen = self.today.link(of).map(|(_, seen)| seen);
        // Whoever has leases is at it again, and may have been given another address by now.
        let leased = !link.owner.is_nobody() && seen.is_some_and(|seen| seen.owner == link.owner);
        for address in &link.addresses {
            let is = |one: &Address| one.message == address.message;
            let there = seen.is_some_and(|seen| seen.addresses.iter().any(is));
            if address.is_over(passed) || there || leased && address.valid.is_some() {
                continue;
            }
            let left = |span: Option<u32>| span.map(|span| span.saturating_sub(passed));
            let (valid, preferred) = (left(address.valid), left(address.preferred));
            let address = Address { valid, preferred, ..address.clone() };
            self.deeds.push(Deed::Address { link: name.clone(), address });
        }
    }

    /// Those that lead to gateways after those by which gateways are reached.
    fn routes(&mut self) {
        let all: BTreeSet<&Route> =
            self.kept.links.values().flat_map(|link| &link.routes).collect();
        let (later, first): (Vec<_>, Vec<_>) = all.into_iter().partition(|route| route.has_gateway);
        for route in first.into_iter().chain(later) {
            let there = route.over.iter().all(|name| self.standing(name).is_some());
            let missing =
                self.today.route(route).filter(|today| there && !self.today.has_route(today));
            if let Some(route) = missing.filter(|_| self.are_ours(&route.over)) {
                self.deeds.push(Deed::Route { route });
            }
        }
    }

    fn rules(&mut self) {
        for rule in &self.kept.rules {
            let missing = self.today.rule(rule).filter(|_| !self.today.has_rule(rule));
            if let Some(rule) = missing.filter(|_| self.are_ours(&rule.names)) {
                self.deeds.push(Deed::Rule { rule });
            }
        }
    }

    fn are_ours<'b>(&self, names: impl IntoIterator<Item = &'b InterfaceName>) -> bool {
        let mut links = names.into_iter().filter_map(|name| self.kept.links.get(name));
        links.all(|link| self.is_ours(link))
    }

    /// What was down: to become a member, or by somebody who wants its addresses, it may have been set up.
    fn down(&mut self, of: &'a InterfaceName, link: &'a NetworkLink) {
        let Some(name) = self.standing(of).filter(|_| !link.up && self.is_ours(link)) else {
            return;
        };
        let joins = |deed: &Deed| matches!(deed, Deed::Join { link, .. } if link == name);
        let joined = self.deeds.iter().any(joins);
        if joined || self.today.link(of).is_some_and(|(_, seen)| seen.up) {
            self.deeds.push(Deed::Up { link: name.clone(), up: false });
        }
    }
}

/// Whether a link is a member of a bond, which gives its own address and MTU to it.
fn is_bonded(link: &NetworkLink, kept: &Network) -> bool {
    let master = link.master.as_ref().and_then(|master| kept.links.get(master));
    master.and_then(|master| master.made.as_ref()).is_some_and(|made| made.kind == "bond")
}

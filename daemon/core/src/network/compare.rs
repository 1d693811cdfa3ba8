//! What is kept against what is there: what its owners have not done, and what is left that differs.

use std::fmt::Display;

use super::gaps::passed;
use super::today::Today;
use super::{Address, Kept, Network, NetworkLink, Owner, Route};
use crate::names::InterfaceName;
use crate::time::Moment;

/// Links that somebody owned and that are not as they were, as they are called now, with their owners: they
/// are asked to set them up again. From the bottom; what cannot be set up because there is nothing to do
/// it on is not asked for.
pub fn handed_back(kept: &Kept, now: &Network, at: Moment) -> Vec<(InterfaceName, Owner)> {
    let today = Today::new(&kept.network, now);
    let mut all = Vec::new();
    for (of, link) in today.bottom_up() {
        let Some(name) = today.name(of).filter(|_| !link.owner.is_nobody()) else { continue };
        let below = link.below.as_ref();
        let left = match today.link(of) {
            Some((_, seen)) => !is_set_up(link, seen, &today, passed(kept, at)),
            None => below.is_none_or(|below| today.link(below).is_some()),
        };
        if left {
            all.push((name.clone(), link.owner.clone()));
        }
    }
    all
}

/// Whether an owner has done what owners do.
fn is_set_up<'a>(
    link: &'a NetworkLink,
    seen: &NetworkLink,
    today: &Today<'a>,
    passed: u32,
) -> bool {
    let has = |address: &Address| {
        address.is_over(passed) || seen.addresses.iter().any(|one| one.message == address.message)
    };
    let member = match &link.master {
        Some(master) => seen.master.as_ref() == today.name(master),
        None => true,
    };
    seen.owner == link.owner
        && (seen.up || !link.up)
        && member
        && link.addresses.iter().all(has)
        && link.routes.iter().all(|one| today.route(one).is_some_and(|one| today.has_route(&one)))
}

/// What is not as it was, for people: one line for each thing. How long addresses stay counts only as far
/// as it has an end; names that lead to a link beside those it had are udev's and are not told.
pub fn differences(kept: &Kept, now: &Network, at: Moment) -> Vec<String> {
    let today = Today::new(&kept.network, now);
    let mut told = Told(Vec::new());
    for (of, link) in &kept.network.links {
        match today.link(of) {
            Some((name, seen)) => {
                if name != of {
                    told.0.push(format!("{of} is called {name} now"));
                }
                told.link(name, link, seen, &today);
                told.addresses(name, link, seen, passed(kept, at));
                told.routes(name, link, seen, &today);
            }
            None if today.name(of).is_none() && link.port.is_none() => {
                told.0.push(format!("{of} is another link now"));
            }
            None => told.0.push(match today.leads_to(of.as_str()).filter(|other| *other != of) {
                Some(other) => format!("{of} is not there: that name leads to {other} now"),
                None => format!("{of} is not there"),
            }),
        }
    }
    told.beside(&kept.network, now, &today);
    told.0
}

struct Told(Vec<String>);

impl Told {
    fn value<T: PartialEq + Display>(&mut self, what: impl Display, is: T, was: T) {
        if is != was {
            self.0.push(format!("{what} is {is}, was {was}"));
        }
    }

    fn link<'a>(
        &mut self,
        name: &InterfaceName,
        link: &'a NetworkLink,
        seen: &NetworkLink,
        today: &Today<'a>,
    ) {
        let state = |up| if up { "up" } else { "down" };
        self.value(name, state(seen.up), state(link.up));
        self.value(format_args!("{name}: MTU"), seen.mtu, link.mtu);
        let mac = |link: &NetworkLink| link.mac.map_or("none".to_owned(), |mac| mac.to_string());
        self.value(format_args!("{name}: MAC"), mac(seen), mac(link));
        let listens = |all: bool| if all { "on" } else { "off" };
        let (is, was) = (listens(seen.promiscuous), listens(link.promiscuous));
        self.value(format_args!("{name}: promiscuous mode"), is, was);
        let (is, was) = (listens(seen.all_multicast), listens(link.all_multicast));
        self.value(format_args!("{name}: the mode for all multicast"), is, was);
        let qdisc =
            |link: &NetworkLink| link.qdisc.clone().unwrap_or_else(|| "the kernel's".to_owned());
        self.value(format_args!("{name}: qdisc"), qdisc(seen), qdisc(link));
        self.value(format_args!("{name}: owner"), owner(&seen.owner), owner(&link.owner));
        let was = link.master.as_ref().map(|master| today.name(master).unwrap_or(master));
        let under = |master: Option<&InterfaceName>| {
            master.map_or("of nothing".to_owned(), |master| format!("of {master}"))
        };
        let is = seen.master.as_ref();
        if is != was {
            self.0.push(format!("{name} is a member {}, was {}", under(is), under(was)));
        } else if seen.membership != link.membership {
            self.0.push(format!("{name}: its settings as a member {} are others", under(is)));
        }
        for missing in link.altnames.difference(&seen.altnames) {
            match today.leads_to(missing) {
                Some(other) if other == name => {}
                Some(other) => {
                    self.0.push(format!("{name}: alternative name {missing} leads to {other} now"))
                }
                None => self.0.push(format!("{name}: alternative name {missing} is missing")),
            }
        }
        for (key, was) in &link.settings {
            match seen.settings.get(key) {
                Some(is) => self.value(format_args!("{name}: {key}"), is, was),
                None => self.0.push(format!("{name}: {key} is not offered, was {was}")),
            }
        }
        for (number, was) in &link.functions {
            match seen.functions.get(number) {
                Some(is) if is == was => {}
                Some(_) => {
                    self.0.push(format!("{name}: virtual function {number} is set otherwise"))
                }
                None => self.0.push(format!("{name}: virtual function {number} is missing")),
            }
        }
        for number in seen.functions.keys().filter(|number| !link.functions.contains_key(number)) {
            self.0.push(format!("{name}: virtual function {number} is there beside"));
        }
    }

    fn addresses(
        &mut self,
        name: &InterfaceName,
        link: &NetworkLink,
        seen: &NetworkLink,
        passed: u32,
    ) {
        for address in &link.addresses {
            let shown = &address.shown;
            let found = seen.addresses.iter().find(|one| one.message == address.message);
            match found {
                Some(found) if found.valid.is_none() == address.valid.is_none() => {}
                Some(found) => {
                    let stays = if found.valid.is_none() { "stays for ever" } else { "has an end" };
                    self.0.push(format!("{name}: address {shown} {stays}, and did not"));
                }
                None if address.is_over(passed) => {}
                None => self.0.push(format!("{name}: address {shown} is missing")),
            }
        }
        for one in &seen.addresses {
            if !link.addresses.iter().any(|address| address.message == one.message) {
                self.0.push(format!("{name}: address {} is there beside", one.shown));
            }
        }
    }

    fn routes<'a>(
        &mut self,
        name: &InterfaceName,
        link: &'a NetworkLink,
        seen: &NetworkLink,
        today: &Today<'a>,
    ) {
        let were: Vec<Route> = link.routes.iter().filter_map(|route| today.route(route)).collect();
        for route in &link.routes {
            let found =
                today.route(route).filter(|today| seen.routes.iter().any(|one| one.is(today)));
            if found.is_none() {
                self.0.push(format!("{name}: route {} is missing", route.shown));
            }
        }
        for one in seen.routes.iter().filter(|one| !were.iter().any(|were| were.is(one))) {
            self.0.push(format!("{name}: route {} is there beside", one.shown));
        }
    }

    /// Links that are now made on those that were kept, and rules.
    fn beside<'a>(&mut self, kept: &'a Network, now: &'a Network, today: &Today<'a>) {
        let known: Vec<_> = kept.links.keys().filter_map(|of| today.link(of)).collect();
        let is_known = |name: &InterfaceName| known.iter().any(|(known, _)| *known == name);
        for (name, link) in &now.links {
            if let Some(on) = link.below.as_ref().filter(|on| is_known(on) && !is_known(name)) {
                self.0.push(format!("{name} on {on} is there beside"));
            }
        }
        for rule in &kept.rules {
            if !today.has_rule(rule) {
                self.0.push(format!("rule {} is missing", rule.shown));
            }
        }
        let was = |one: &super::Rule| {
            let mut all = kept.rules.iter();
            all.any(|rule| rule.is(one) || today.rule(rule).is_some_and(|today| today.is(one)))
        };
        for one in &now.rules {
            if one.names.iter().any(is_known) && !was(one) {
                self.0.push(format!("rule {} is there beside", one.shown));
            }
        }
    }
}

fn owner(owner: &Owner) -> String {
    match owner {
        Owner::Nobody => "nobody".to_owned(),
        Owner::NetworkManager(uuid) => format!("NetworkManager ({uuid})"),
        Owner::Networkd => "systemd-networkd".to_owned(),
    }
}

//! What links of then are now: ports by their PCI function, whatever they are called, and what is made of
//! software by its name.

use std::collections::{BTreeMap, BTreeSet};

use super::{Network, NetworkLink, Raw, Route, Rule};
use crate::names::{InterfaceName, PciAddress};

/// Length of `struct fib_rule_hdr`, after which a rule's attributes come (linux/fib_rules.h).
const RULE_HEADER: usize = 12;
/// `FRA_IIFNAME` and `FRA_OIFNAME`: attributes of a rule that are names of interfaces.
const NAMES: [u16; 2] = [3, 17];
/// Length of `struct nlattr`: length and type, two bytes each.
const ATTRIBUTE_HEADER: usize = 4;

/// Two looks at the network, and which link of the first is which of the second.
pub(super) struct Today<'a> {
    kept: &'a Network,
    now: &'a Network,
    names: BTreeMap<&'a InterfaceName, Option<&'a InterfaceName>>,
}

impl<'a> Today<'a> {
    pub(super) fn new(kept: &'a Network, now: &'a Network) -> Self {
        let names = kept.links.iter().map(|(name, link)| (name, today(name, link, kept, now)));
        Self { kept, now, names: names.collect() }
    }

    /// What a link is called now, if it is there or could be made; none for a port that is not there, and
    /// for what is made of software where another link has its name.
    pub(super) fn name(&self, of: &'a InterfaceName) -> Option<&'a InterfaceName> {
        self.names.get(of).copied().unwrap_or(Some(of))
    }

    /// The link as it is now.
    pub(super) fn link(
        &self,
        of: &'a InterfaceName,
    ) -> Option<(&'a InterfaceName, &'a NetworkLink)> {
        self.now.links.get_key_value(self.name(of)?)
    }

    /// The link that a name leads to now: as its own, or as an alternative one.
    pub(super) fn leads_to(&self, name: &str) -> Option<&'a InterfaceName> {
        let mut links = self.now.links.iter();
        let found = links.find(|(own, link)| own.as_str() == name || link.altnames.contains(name));
        found.map(|(own, _)| own)
    }

    /// Links with what they are made on and what their members are before them.
    pub(super) fn bottom_up(&self) -> Vec<(&'a InterfaceName, &'a NetworkLink)> {
        let links = &self.kept.links;
        let mut storeys: BTreeMap<&InterfaceName, usize> =
            links.keys().map(|name| (name, 0)).collect();
        let height = |storeys: &BTreeMap<&InterfaceName, usize>, name: &InterfaceName| {
            storeys.get(name).copied().unwrap_or(0)
        };
        // No stack is higher than there are links; names that lead in a circle end here too.
        for _ in links {
            for (name, link) in links {
                if let Some(below) = &link.below {
                    let least = height(&storeys, below) + 1;
                    storeys.entry(name).and_modify(|at| *at = least.max(*at));
                }
                let master = link.master.as_ref().and_then(|master| links.get_key_value(master));
                if let Some((master, _)) = master {
                    let least = height(&storeys, name) + 1;
                    storeys.entry(master).and_modify(|at| *at = least.max(*at));
                }
            }
        }
        let mut all: Vec<_> = links.iter().collect();
        all.sort_by_key(|(name, _)| height(&storeys, name));
        all
    }

    /// The route with the names of today; none where it leaves by a port that is not there.
    pub(super) fn route(&self, route: &'a Route) -> Option<Route> {
        let over: Option<Vec<_>> = route.over.iter().map(|name| self.name(name).cloned()).collect();
        Some(Route { over: over?, shown: self.reworded(&route.shown), ..route.clone() })
    }

    /// Whether the route is there, with every link it leaves by.
    pub(super) fn has_route(&self, route: &Route) -> bool {
        route.over.iter().all(|name| {
            let link = self.now.links.get(name);
            link.is_some_and(|link| link.routes.iter().any(|one| one.is(route)))
        })
    }

    /// The rule with the names of today; none where it names a port that is not there, or is written in a
    /// way that nobody knows.
    pub(super) fn rule(&self, rule: &'a Rule) -> Option<Rule> {
        let names: Option<BTreeSet<_>> =
            rule.names.iter().map(|name| self.name(name).cloned()).collect();
        let names = names?;
        if names == rule.names {
            return Some(rule.clone());
        }
        let message = self.renamed(&rule.message)?;
        Some(Rule { shown: self.reworded(&rule.shown), names, message })
    }

    /// Whether the rule is there: the kernel keeps one whose interface has gone.
    pub(super) fn has_rule(&self, rule: &'a Rule) -> bool {
        let today = self.rule(rule);
        let is = |one: &Rule| one.is(today.as_ref().unwrap_or(rule));
        self.now.rules.iter().any(is)
    }

    fn reworded(&self, text: &str) -> String {
        let word = |word: &str| match self.called(word) {
            Some(name) => name.to_string(),
            None => word.to_owned(),
        };
        text.split(' ').map(word).collect::<Vec<_>>().join(" ")
    }

    fn called(&self, name: &str) -> Option<&'a InterfaceName> {
        let kept = self.names.iter().find(|(kept, _)| kept.as_str() == name);
        kept.and_then(|(_, today)| *today)
    }

    /// A rule's message with the names of today.
    fn renamed(&self, message: &Raw) -> Option<Raw> {
        let (header, mut rest) = message.0.split_at_checked(RULE_HEADER)?;
        let mut all = header.to_vec();
        while let Some((head, _)) = rest.split_first_chunk::<ATTRIBUTE_HEADER>() {
            let [l0, l1, k0, k1] = *head;
            let kind = u16::from_ne_bytes([k0, k1]);
            let length = usize::from(u16::from_ne_bytes([l0, l1]));
            let value = rest.get(ATTRIBUTE_HEADER..length)?;
            let text = NAMES.contains(&kind).then(|| std::str::from_utf8(value).ok()).flatten();
            let name = text.and_then(|text| self.called(text.trim_end_matches('\0')));
            let value = match name {
                Some(name) => [name.as_str().as_bytes(), &[0]].concat(),
                None => value.to_vec(),
            };
            let written = u16::try_from(ATTRIBUTE_HEADER + value.len()).ok()?;
            all.extend(written.to_ne_bytes());
            all.extend([k0, k1]);
            all.extend(value);
            all.resize(all.len().next_multiple_of(4), 0);
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        rest.is_empty().then_some(Raw(all))
    }
}

fn today<'a>(
    name: &'a InterfaceName,
    link: &NetworkLink,
    kept: &'a Network,
    now: &'a Network,
) -> Option<&'a InterfaceName> {
    if let Some(port) = port(link) {
        return of_port(port, name, now);
    }
    let Some(found) = now.links.get(name) else { return Some(name) };
    let below = link.below.as_ref().and_then(|below| match kept.links.get(below).and_then(port) {
        Some(port) => of_port(port, below, now),
        None => Some(below),
    });
    // What is made on another link is told by what it is made with: the number of a VLAN, say.
    let same = match (&link.made, &found.made) {
        (Some(one), Some(other)) if link.below.is_some() => {
            one == other && found.below.as_ref() == below
        }
        (Some(one), Some(other)) => one.kind == other.kind,
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    (found.port.is_none() && same).then_some(name)
}

/// The port that a link is of, and not one made on it.
fn port(link: &NetworkLink) -> Option<&PciAddress> {
    link.port.as_ref().filter(|_| link.made.is_none())
}

/// The link of a port; the one with the name of then, should it have several.
fn of_port<'a>(
    address: &PciAddress,
    name: &InterfaceName,
    now: &'a Network,
) -> Option<&'a InterfaceName> {
    let is = |link: &NetworkLink| port(link) == Some(address);
    let same = now.links.get_key_value(name).filter(|(_, link)| is(link));
    same.or_else(|| now.links.iter().find(|(_, link)| is(link))).map(|(name, _)| name)
}

//! Networks at random, on a small model of a kernel: what is put back is what was, and nothing is tried
//! that the kernel would refuse for its order.

use super::*;

/// Times gaps are filled, as the reconciler does it.
const ROUNDS: usize = 3;
const AT: Moment = Moment(10_000);

/// Numbers in a row that looks like chance (Knuth's MMIX constants).
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn is(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn small(&mut self, sides: u64) -> u8 {
        u8::try_from(self.below(sides)).unwrap()
    }
}

fn address_of(port: usize) -> String {
    format!("0000:3b:00.{port}")
}

/// What a driver shows of a port that it has just taken.
fn shown_by_driver(port: usize) -> NetworkLink {
    let last = u8::try_from(port).unwrap();
    let settings = BTreeMap::from([("ring.rx".to_owned(), 512), ("private.x".to_owned(), 0)]);
    NetworkLink { settings, up: false, ..super::port(&address_of(port), last + 1) }
}

/// Ports with VLANs and macvlans on them, some under bonds or bridges with more of that on top.
fn any(dice: &mut Dice) -> Network {
    let mut all = Network::default();
    let mut bases: Vec<(String, u32, MacAddress)> = Vec::new();
    for number in 0..=dice.below(2) {
        let kind = if dice.is(60) { "bond" } else { "bridge" };
        let mtu = if dice.is(50) { 9000 } else { 1500 };
        let (text, mac) = (format!("{kind}{number}"), mac(100 + dice.small(2)));
        let link = NetworkLink { mtu, mac: Some(mac), ..made(kind, 0, None) };
        all.links.insert(name(&text), link);
        bases.push((text, mtu, mac));
    }
    for number in 0..=usize::from(dice.small(4)) {
        let mut link = shown_by_driver(number);
        link.up = dice.is(90);
        link.settings.insert("ring.rx".to_owned(), 512 << dice.below(2));
        if dice.is(30) {
            link.altnames.insert(format!("enp59s0f{number}"));
        }
        link.promiscuous = dice.is(10);
        if dice.is(20) {
            link.qdisc = Some("fq".to_owned());
        }
        for function in 0..dice.below(3) {
            link.functions.insert(u32::try_from(function).unwrap(), Raw(vec![dice.small(3)]));
        }
        let text = format!("ens{number}");
        if dice.is(50) {
            let at = usize::try_from(dice.below(u64::try_from(bases.len()).unwrap())).unwrap();
            let (master, mtu, mac) = bases[at].clone();
            link.master = Some(name(&master)).filter(|_| all.links.contains_key(&name(&master)));
            if master.starts_with("bond") {
                (link.mtu, link.mac, link.up) = (mtu, Some(mac), true);
            } else if !master.starts_with("bridge") {
                link.master = None;
            }
            link.membership =
                if link.master.is_some() { Raw(vec![dice.small(9)]) } else { Raw::default() };
        } else if dice.is(40) {
            (link.mtu, link.mac) = (9000, Some(mac(50 + dice.small(3))));
        }
        bases.push((text.clone(), link.mtu, link.mac.unwrap()));
        all.links.insert(name(&text), link);
    }
    for number in 0..dice.below(5) {
        let at = usize::try_from(dice.below(u64::try_from(bases.len()).unwrap())).unwrap();
        let (below, mtu, mac) = bases[at].clone();
        let kind = if dice.is(70) { "vlan" } else { "macvlan" };
        let mut link =
            NetworkLink { mtu, mac: Some(mac), ..made(kind, dice.small(99), Some(&below)) };
        if dice.is(30) {
            (link.mtu, link.mac) = (1400, Some(super::mac(70 + dice.small(9))));
        }
        let text = format!("{kind}x{number}");
        bases.push((text.clone(), link.mtu, link.mac.unwrap()));
        all.links.insert(name(&text), link);
    }
    let names: Vec<_> = all.links.keys().cloned().collect();
    for (number, text) in names.iter().enumerate() {
        let link = all.links.get_mut(text).unwrap();
        for host in 0..dice.below(3) {
            link.addresses.insert(address(&format!("10.{number}.0.{host}/24"), None));
        }
        for net in (0..dice.below(3)).filter(|_| link.up) {
            let has_gateway = net > 0;
            let other =
                Some(&names[0]).filter(|other| *other != text && has_gateway && dice.is(20));
            let over: Vec<_> =
                [Some(text), other].into_iter().flatten().map(|one| one.as_str()).collect();
            link.routes.insert(route(&format!("10.{number}.{net}.0/24"), &over, has_gateway));
        }
        if dice.is(20) {
            all.rules.insert(rule(text.as_str()));
        }
    }
    // A route over two links stands with both.
    for text in &names {
        let own: Vec<_> = all.links[text].routes.iter().cloned().collect();
        for route in own {
            for over in &route.over {
                all.links.get_mut(over).unwrap().routes.insert(route.clone());
            }
        }
    }
    all
}

/// What is left when the driver has gone and another has come. Some ports are called otherwise then.
fn swapped(before: &Network, dice: &mut Dice) -> Network {
    let mut now = before.clone();
    let is_port = |link: &NetworkLink| link.port.is_some();
    let mut gone: BTreeSet<InterfaceName> = before
        .links
        .iter()
        .filter(|(_, link)| is_port(link))
        .map(|(name, _)| name.clone())
        .collect();
    while let Some(more) = before.links.iter().find(|(name, link)| {
        !gone.contains(*name) && link.below.as_ref().is_some_and(|below| gone.contains(below))
    }) {
        gone.insert(more.0.clone());
    }
    now.links.retain(|name, _| !gone.contains(name));
    for (text, link) in &mut now.links {
        link.routes.retain(|route| route.over.iter().all(|over| !gone.contains(over)));
        if text.as_str().starts_with("bond") {
            link.mac = Some(mac(200));
        }
    }
    for number in 0..8 {
        let text = format!("ens{number}");
        if before.links.contains_key(&name(&text)) {
            let today = if dice.is(30) { format!("{text}np{number}") } else { text };
            now.links.insert(name(&today), shown_by_driver(number));
        }
    }
    now
}

/// The kernel does it, or panics where it would refuse.
pub(crate) fn apply(deed: &Deed, now: &mut Network) {
    let masters: BTreeMap<_, _> = now.links.clone();
    let link = deed.link().map(|text| now.links.entry(text.clone()));
    let must = |so: bool| assert!(so, "the kernel refuses to {deed}");
    if let Deed::Make { link: text, below, kind, data } = deed {
        let below = below.clone().unwrap();
        let base = &masters[&below];
        let made = Some(Made { kind: kind.clone(), data: data.clone() });
        let (mtu, mac, below) = (base.mtu, base.mac, Some(below));
        must(!masters.contains_key(text));
        now.links
            .insert(text.clone(), NetworkLink { made, below, mtu, mac, ..NetworkLink::default() });
        return;
    }
    let Some(std::collections::btree_map::Entry::Occupied(mut link)) = link else {
        match deed {
            Deed::Route { route } => {
                must(route.over.iter().all(|over| masters.get(over).is_some_and(|link| link.up)));
                for over in &route.over {
                    now.links.get_mut(over).unwrap().routes.insert(route.clone());
                }
            }
            Deed::Rule { rule } => must(now.rules.insert(rule.clone())),
            other => panic!("there is no link for: {other}"),
        }
        return;
    };
    let link = link.get_mut();
    match deed {
        Deed::Make { .. } | Deed::Rule { .. } => unreachable!("done above"),
        Deed::Functions { count, .. } => {
            link.functions = (0..*count).map(|number| (number, Raw::default())).collect();
        }
        Deed::Function { number, data, .. } => {
            must(link.functions.insert(*number, data.clone()).is_some());
        }
        Deed::Set { group, settings, .. } => {
            for (name, value) in settings {
                must(link.settings.insert(format!("{group}.{name}"), *value).is_some());
            }
        }
        Deed::Mac { link: text, mac } => {
            link.mac = Some(*mac);
            for member in now.links.values_mut().filter(|one| one.master.as_ref() == Some(text)) {
                if text.as_str().starts_with("bond") {
                    member.mac = Some(*mac);
                }
            }
        }
        Deed::Join { master, membership, .. } => {
            let bond = &masters[master];
            link.master = Some(master.clone());
            link.membership = membership.clone();
            link.routes.clear();
            if master.as_str().starts_with("bond") {
                (link.mtu, link.mac, link.up) = (bond.mtu, bond.mac, true);
            } else {
                link.up = false;
            }
        }
        Deed::Mtu { mtu, .. } => {
            // What is made on a link has no larger frames than it.
            must(link.below.as_ref().is_none_or(|below| *mtu <= masters[below].mtu));
            link.mtu = *mtu;
        }
        Deed::Altnames { names, .. } => link.altnames.extend(names.clone()),
        Deed::Listen { promiscuous, all_multicast, .. } => {
            (link.promiscuous, link.all_multicast) = (*promiscuous, *all_multicast);
        }
        Deed::Up { up, .. } => {
            must(!up || link.below.as_ref().is_none_or(|below| masters[below].up));
            link.up = *up;
        }
        Deed::Qdisc { kind, .. } => link.qdisc = Some(kind.clone()),
        Deed::Address { address, .. } => must(link.addresses.insert(address.clone())),
        Deed::Route { route } => {
            must(link.up);
            let reached = link.routes.iter().any(|route| !route.has_gateway);
            must(!route.has_gateway || reached || !link.addresses.is_empty());
            link.routes.insert(route.clone());
        }
    }
}

#[test]
fn what_is_put_back_is_what_was() {
    let mut filled = 0;
    for seed in 0..1500 {
        let dice = &mut Dice(seed);
        let mut before = any(dice);
        // What is made on a link that is down is down too, or the kernel would have it so.
        for _ in 0..4 {
            let down: BTreeSet<_> = before
                .links
                .iter()
                .filter(|(_, link)| !link.up)
                .map(|(name, _)| name.clone())
                .collect();
            for link in before.links.values_mut() {
                link.up &= link.below.as_ref().is_none_or(|below| !down.contains(below));
            }
        }
        let up: BTreeSet<_> =
            before.links.iter().filter(|(_, link)| link.up).map(|(name, _)| name.clone()).collect();
        let numbered = before.links.iter().filter(|(_, link)| !link.addresses.is_empty());
        let numbered: BTreeSet<_> = numbered.map(|(name, _)| name.clone()).collect();
        for link in before.links.values_mut() {
            link.routes.retain(|route| {
                let reached = !route.has_gateway || numbered.contains(&route.over[0]);
                reached && route.over.iter().all(|over| up.contains(over))
            });
        }
        let mut now = swapped(&before, dice);
        let kept = kept(before.clone());
        for _ in 0..ROUNDS {
            for deed in gaps(&kept, &now, AT, Patience::Nobody) {
                apply(&deed, &mut now);
                assert!(deed.holds_in(&now), "seed {seed}: {deed}");
                filled += 1;
            }
        }
        let mut left = differences(&kept, &now, AT);
        // Rules of the names of then stay, detached.
        left.retain(|line| !line.ends_with(" now"));
        assert_eq!(left, [""; 0], "seed {seed}");
        assert_eq!(gaps(&kept, &before, AT, Patience::Nobody), [], "seed {seed}");
    }
    assert!(filled > 10_000, "only {filled} gaps in all");
}

#[test]
fn any_two_networks_can_be_compared() {
    for seed in 0..1500 {
        let dice = &mut Dice(seed);
        let (one, other) = (any(dice), any(dice));
        let owners = [Owner::Nobody, Owner::Networkd, Owner::NetworkManager("u".to_owned())];
        let mut owned = one.clone();
        for link in owned.links.values_mut() {
            link.owner = owners[usize::from(dice.small(3))].clone();
        }
        // Names that lead in a circle end too.
        if let Some((name, link)) = owned.links.iter_mut().next_back() {
            link.below = Some(name.clone());
        }
        let kept = kept(owned.clone());
        let deeds = gaps(&kept, &other, AT, Patience::Owners);
        for deed in &deeds {
            let owner = deed.link().and_then(|name| owned.links.get(name)).map(|link| &link.owner);
            let is_of_owners = match deed {
                Deed::Make { .. }
                | Deed::Mac { .. }
                | Deed::Join { .. }
                | Deed::Mtu { .. }
                | Deed::Up { .. }
                | Deed::Address { .. }
                | Deed::Route { .. } => true,
                Deed::Functions { .. }
                | Deed::Function { .. }
                | Deed::Set { .. }
                | Deed::Altnames { .. }
                | Deed::Listen { .. }
                | Deed::Qdisc { .. }
                | Deed::Rule { .. } => false,
            };
            let nobodys = owner.is_none_or(Owner::is_nobody);
            assert!(!is_of_owners || nobodys, "seed {seed}: {deed}");
        }
        handed_back(&kept, &other, AT);
        if one != other {
            assert_ne!(differences(&self::kept(one), &other, AT), [""; 0], "seed {seed}");
        }
    }
}

//! Renamings on links in memory that behave as the kernel's do, with refusals on order.

use super::*;

/// Links as the kernel keeps them: every name once, of whichever kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Memory {
    links: Vec<Link>,
    /// Before 6.2: nothing that is up is renamed.
    old_kernel: bool,
    /// Changes until one is refused.
    refuse_at: Option<usize>,
    /// Every one after that is, too.
    for_good: bool,
    changes: usize,
    down: Vec<u32>,
    /// What happened since a link went down, until it was up again.
    while_down: Vec<&'static str>,
}

impl Memory {
    fn new(names: &[(&str, &[&str])]) -> Self {
        let link = |(index, (name, altnames)): (u32, &(&str, &[&str]))| Link {
            index,
            name: (*name).to_owned(),
            altnames: altnames.iter().map(|name| (*name).to_owned()).collect(),
            up: true,
            ..Link::default()
        };
        Self { links: (0..).zip(names).map(link).collect(), ..Self::default() }
    }

    fn change(&mut self) -> Result<(), Refused> {
        self.changes += 1;
        let refused = self
            .refuse_at
            .is_some_and(|at| self.changes == at || (self.for_good && self.changes > at));
        if refused { Err(Refused::by(Errno::EIO)) } else { Ok(()) }
    }

    fn happens(&mut self, what: &'static str) {
        if self.links.iter().any(|link| !link.up) {
            self.while_down.push(what);
        }
    }

    fn taken(&self, name: &str) -> bool {
        self.links
            .iter()
            .any(|link| link.name == name || link.altnames.iter().any(|one| one == name))
    }

    fn shown(&self) -> Vec<(String, Vec<String>, bool)> {
        let shown = |link: &Link| (link.name.clone(), link.altnames.clone(), link.up);
        self.links.iter().map(shown).collect()
    }
}

impl Links for Memory {
    fn find(&mut self, name: &str) -> Result<Option<Link>, Refused> {
        self.happens("find");
        let has = |link: &&Link| link.name == name || link.altnames.iter().any(|one| one == name);
        Ok(self.links.iter().find(has).cloned())
    }

    fn belongs(&self, link: &Link, port: &PciAddress) -> bool {
        port.to_string() == format!("0000:3b:00.{}", link.index)
    }

    fn rename(&mut self, index: u32, name: &str) -> Result<(), Refused> {
        self.happens("rename");
        self.change()?;
        if self.taken(name) {
            return Err(Refused::by(Errno::EEXIST));
        }
        let link = &mut self.links[index as usize];
        if self.old_kernel && link.up {
            return Err(Refused::by(Errno::EBUSY));
        }
        link.name = name.to_owned();
        Ok(())
    }

    fn set_up(&mut self, index: u32, up: bool) -> Result<(), Refused> {
        self.change()?;
        if !up {
            self.down.push(index);
        }
        self.links[index as usize].up = up;
        Ok(())
    }

    fn add_altname(&mut self, index: u32, name: &str) -> Result<(), Refused> {
        self.happens("add");
        self.change()?;
        if self.taken(name) {
            return Err(Refused::by(Errno::EEXIST));
        }
        self.links[index as usize].altnames.push(name.to_owned());
        Ok(())
    }

    fn remove_altname(&mut self, index: u32, name: &str) -> Result<(), Refused> {
        self.happens("remove");
        self.change()?;
        self.links[index as usize].altnames.retain(|one| one != name);
        Ok(())
    }
}

fn renaming(port: u32, from: &str, to: &str) -> Renaming {
    Renaming {
        port: format!("0000:3b:00.{port}").parse().unwrap(),
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        may_go_down: true,
    }
}

fn names(links: &Memory) -> Vec<&str> {
    links.links.iter().map(|link| link.name.as_str()).collect()
}

#[test]
fn names_move_on_and_trade_places_and_go_round() {
    for old_kernel in [false, true] {
        let mut links = Memory::new(&[("a", &[]), ("b", &[]), ("c", &[]), ("onloadd-0", &[])]);
        links.old_kernel = old_kernel;
        let chain = [renaming(0, "a", "b"), renaming(1, "b", "x")];
        assert_eq!(all_or_none(&mut links, &chain), Ok(()));
        assert_eq!(names(&links), ["b", "x", "c", "onloadd-0"]);
        // What was called b is not what is called b now.
        assert_eq!(links.links[0].altnames, ["a"]);
        assert!(links.links[1].altnames.is_empty());
        let swap = [renaming(0, "b", "x"), renaming(1, "x", "b")];
        assert_eq!(all_or_none(&mut links, &swap), Ok(()));
        assert_eq!(names(&links), ["x", "b", "c", "onloadd-0"]);
        let circle = [renaming(0, "x", "b"), renaming(1, "b", "c"), renaming(2, "c", "x")];
        assert_eq!(all_or_none(&mut links, &circle), Ok(()));
        assert_eq!(names(&links), ["b", "c", "x", "onloadd-0"]);
        assert!(links.links.iter().all(|link| link.up));
        assert_eq!(links.down.is_empty(), !old_kernel, "live where that goes");
    }
}

#[test]
fn an_alternative_name_of_its_own_becomes_its_name_and_the_former_one_stays_known() {
    let mut links = Memory::new(&[("ens1f0", &["ens1f0np0", "enp59s0f0"])]);
    assert_eq!(all_or_none(&mut links, &[renaming(0, "ens1f0", "ens1f0np0")]), Ok(()));
    assert_eq!(names(&links), ["ens1f0np0"]);
    assert_eq!(links.links[0].altnames, ["enp59s0f0", "ens1f0"]);
}

#[test]
fn whatever_is_refused_all_is_as_it_was() {
    let all = [renaming(0, "a", "b"), renaming(1, "b", "c"), renaming(2, "c", "a")];
    let mut at_most = 0;
    for at in 1..100 {
        let mut links = Memory::new(&[("a", &[]), ("b", &["c0"]), ("c", &[])]);
        let swap = [all.to_vec(), vec![renaming(3, "d", "d0")]].concat();
        links.links.push(Link {
            index: 3,
            name: "d".to_owned(),
            altnames: vec!["d0".to_owned()],
            up: true,
            ..Link::default()
        });
        links.old_kernel = true;
        let before = links.shown();
        links.refuse_at = Some(at);
        let Err(failures) = all_or_none(&mut links, &swap) else {
            // From then on it is only the former names that were refused.
            at_most = at;
            break;
        };
        assert!(failures[0].deed.starts_with("rename "), "{failures:?}");
        assert_eq!(links.shown(), before, "refused at {at}");
        assert_eq!(failures.len(), 1, "refused at {at}: {failures:?}");
    }
    assert!(at_most > 15, "it went through at {at_most}");
}

#[test]
fn what_cannot_be_undone_is_told() {
    let mut links = Memory::new(&[("a", &[]), ("b", &[])]);
    (links.refuse_at, links.for_good) = (Some(2), true);
    let all = [renaming(0, "a", "b"), renaming(1, "b", "a")];
    let failures = all_or_none(&mut links, &all).unwrap_err();
    let told: Vec<_> = failures.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        ["rename b to a: I/O error", "call the interface of 0000:3b:00.0 a again: I/O error"]
    );
}

#[test]
fn what_is_not_as_it_was_looked_at_is_left_alone() {
    let before = Memory::new(&[("a", &["alt"]), ("b", &[]), ("c", &[])]);
    for (all, why) in [
        (vec![renaming(0, "gone", "x")], "no interface is called gone"),
        (vec![renaming(0, "alt", "x")], "no interface is called alt"),
        (vec![renaming(1, "a", "x")], "a does not belong to 0000:3b:00.1 any more"),
        (vec![renaming(2, "c", "x"), renaming(0, "a", "b")], "another interface is called b"),
        (vec![renaming(0, "a", "eth%d")], "`%`"),
        (vec![renaming(1, "b", "alt")], "alt is another name of a"),
        (vec![renaming(0, "a", "x"), renaming(1, "b", "x")], "contradict"),
    ] {
        let mut links = before.clone();
        let failures = all_or_none(&mut links, &all).unwrap_err();
        assert!(failures.len() == 1 && failures[0].why.contains(why), "{failures:?}");
        assert_eq!(links, before);
    }
}

#[test]
fn what_may_not_go_down_stays_up_and_keeps_its_name() {
    let mut links = Memory::new(&[("a", &[]), ("b", &[])]);
    links.old_kernel = true;
    let used = Renaming { may_go_down: false, ..renaming(1, "b", "y") };
    let failures = all_or_none(&mut links, &[renaming(0, "a", "x"), used]).unwrap_err();
    assert!(failures[0].why.contains("only what is down"), "{failures:?}");
    assert_eq!(names(&links), ["a", "b"]);
    assert!(!links.down.contains(&1) && links.links.iter().all(|link| link.up));
}

#[test]
fn nothing_but_the_renaming_itself_happens_while_a_link_is_down() {
    let mut links = Memory::new(&[("a", &["x"]), ("b", &[]), ("c", &[])]);
    links.old_kernel = true;
    let last = Renaming { may_go_down: false, ..renaming(2, "c", "y") };
    let all = [renaming(0, "a", "x"), renaming(1, "b", "w"), last];
    all_or_none(&mut links, &all).unwrap_err();
    assert_eq!(names(&links), ["a", "b", "c"]);
    assert_eq!(links.while_down, vec!["rename"; links.down.len()], "one call for each");
    assert_eq!(links.down, [0, 1, 1, 0], "there and back");
    assert!(links.links.iter().all(|link| link.up));
}

//! The kubelet's word and the ledger: what is named, freed, taken in, reported, and when it is asked.

use super::*;
use crate::allocation::{Holder, PodContainer};
use crate::condition::{ConditionKind, Status};
use crate::pods::{Held, PodList};

mod absent;
mod plugins;
mod several;
mod unlisted;

const GRACE: u64 = 30_000;
const LONG: u64 = 3_600_000;

/// Containers, and the devices that each has.
type Pods<'a> = &'a [(&'a str, &'a [&'a str])];

fn container(name: &str) -> PodContainer {
    let mut parts = name.split('/').map(str::to_owned);
    let mut next = || parts.next().unwrap();
    PodContainer::new(next(), next(), next()).unwrap()
}

/// An answer: containers, and the ids of pool `p` that each has. A pod without devices is always there.
fn list(held: Pods<'_>) -> PodList {
    let held: Vec<_> = held
        .iter()
        .map(|(name, devices)| Held {
            container: container(name),
            resource: "amd.com/p".to_owned(),
            devices: devices.iter().map(|id| (*id).to_owned()).collect(),
        })
        .collect();
    PodList { pods: held.len() + 1, held, offered: None }
}

impl Bench {
    /// Time passes until the kubelet is asked once more; it answers.
    fn until_asked(&mut self, within: u64, answer: Result<PodList, &str>) -> u64 {
        let (before, began) = (self.asked, self.at);
        while self.asked == before {
            let next = self.brain.deadline().0;
            assert!(next <= began + within, "not asked within {within} ms");
            self.at = self.at.max(next);
            self.handle(Event::Deadline);
        }
        self.handle(Event::KubeletSaid(answer.map_err(str::to_owned)));
        // Looks are not what this is about; they would go on.
        self.handle(Event::Looked(Box::new(node())));
        self.pass(200);
        self.at - began
    }

    /// The kubelet answers so whenever it is asked, until an answer changes what is held. The time
    /// that took.
    fn until_changed(&mut self, answer: &PodList) -> u64 {
        let (held, began) = (self.held(), self.at);
        while self.held() == held {
            assert!(self.at < began + 2 * LONG, "{held:?} for ever");
            self.until_asked(60_000, Ok(answer.clone()));
        }
        self.at - began
    }

    /// A kubelet goes, and one comes.
    fn kubelet_again(&mut self) {
        for registered in [false, true] {
            self.handle(Event::Registered { pool: "p".parse().unwrap(), registered });
        }
    }

    /// The daemon is started anew on its ledger, and the kubelet takes it.
    fn again(&self) -> Self {
        let text = self.brain.ledger().to_text();
        let ledger = Ledger::parse(text.as_bytes()).unwrap().ledger;
        let mut bench = Bench::after(ledger, FOUR, node());
        bench.handle(Event::Registered { pool: "p".parse().unwrap(), registered: true });
        // What it asked at once; the kubelet has come since.
        bench.handle(Event::KubeletSaid(Err("not yet".to_owned())));
        bench
    }

    /// Pods that have each of these devices, named and known to this kubelet.
    fn with_pods(pods: Pods<'_>) -> Self {
        let mut bench = Bench::new(FOUR, node());
        for (_, devices) in pods {
            bench.kubelet(devices);
        }
        for within in [3_000, 60_000] {
            bench.until_asked(within, Ok(list(pods)));
        }
        assert_eq!(bench.consistent().1, "Consistent");
        bench
    }

    /// Devices and holders by the ledger.
    fn held(&self) -> Vec<String> {
        let mut held: Vec<_> = self
            .brain
            .ledger()
            .allocations
            .values()
            .map(|one| format!("{} {}", one.device, one.holder))
            .collect();
        held.sort();
        held
    }

    fn consistent(&self) -> (Status, String, String) {
        let found = self
            .picture
            .conditions
            .iter()
            .find(|one| one.kind == ConditionKind::AllocationsConsistent);
        let found = found.unwrap();
        (found.status, found.reason.clone(), found.message.clone())
    }
}

const UNNAMED: &str = "a container the kubelet has not named yet";

#[test]
fn a_container_is_named_and_its_device_is_free_when_it_has_been_gone_for_the_grace() {
    let mut bench = Bench::new(FOUR, node());
    bench.until_asked(3_000, Ok(list(&[])));
    bench.kubelet(&["p-0"]);
    assert_eq!(bench.held(), [format!("p-0 {UNNAMED}")]);
    let web: (&str, &[&str]) = ("default/web-0/app", &["p-0"]);
    bench.until_asked(2_100, Ok(list(&[web])));
    assert_eq!(bench.held(), ["p-0 default/web-0/app"]);
    assert_eq!(bench.picture.allocations.values().next().unwrap().since.0, 1_000_000 + 3_200);

    // Still there at the next ticks, then gone for less than the grace, and back.
    for _ in 0..3 {
        assert!(bench.until_asked(60_000, Ok(list(&[web]))) > 59_000, "a tick");
    }
    bench.until_asked(60_000, Ok(list(&[])));
    assert_eq!(bench.consistent().1, "Releasing");
    bench.until_asked(GRACE, Ok(list(&[web])));
    assert_eq!(bench.consistent().1, "Consistent");
    bench.until_asked(60_000, Ok(list(&[])));
    assert_eq!(bench.held().len(), 1, "not on first absence");
    let waited = bench.until_asked(GRACE, Ok(list(&[])));
    assert!(waited >= GRACE - 200, "asked {waited} ms later");
    assert!(bench.held().is_empty());
    assert_eq!(bench.lent().join(" "), "free free free free");
    assert_eq!(bench.consistent(), (Status::True, "Consistent".to_owned(), String::new()));
    let asked = bench.asked;
    for _ in 0..20 {
        bench.pass(60_000);
    }
    assert_eq!(bench.asked, asked, "nothing is held: nothing is asked");
}

#[test]
fn a_kubelet_that_cannot_be_asked_frees_nothing() {
    let mut bench = Bench::with_pods(&[("a/x/c", &["p-0"])]);
    for _ in 0..20 {
        bench.until_asked(60_000, Err("no such socket"));
    }
    assert_eq!(bench.held().len(), 1);
    let (status, reason, message) = bench.consistent();
    assert_eq!((status, reason.as_str()), (Status::Unknown, "KubeletSilent"));
    assert!(message.contains("no such socket") && message.contains("none of the 1"), "{message}");
    // Silence between two answers is no absence, and no presence either.
    bench.until_asked(60_000, Ok(list(&[])));
    bench.until_asked(60_000, Err("no such socket"));
    assert_eq!(bench.held().len(), 1);
    bench.until_asked(60_000, Ok(list(&[])));
    assert!(bench.held().is_empty());
}

#[test]
fn an_answer_does_not_speak_of_what_came_after_the_question() {
    let mut bench = Bench::new(FOUR, node());
    bench.kubelet(&["p-0"]);
    while bench.asked == 0 {
        bench.pass(100);
    }
    bench.kubelet(&["p-1"]);
    bench.pass(LONG);
    bench.handle(Event::KubeletSaid(Ok(list(&[("default/web-0/app", &["p-0"])]))));
    assert_eq!(bench.asked, 2, "the later one's turn");
    bench.handle(Event::KubeletSaid(Ok(list(&[("default/web-0/app", &["p-0"])]))));
    assert_eq!(bench.held().len(), 2, "its grace has only begun");
}

#[test]
fn a_new_kubelet_is_given_the_whole_grace_and_an_answer_without_any_pod_frees_nothing() {
    let (both, one): (Pods<'_>, Pods<'_>) =
        (&[("a/x/c", &["p-0"]), ("a/y/c", &["p-1"])], &[("a/y/c", &["p-1"])]);
    let mut bench = Bench::with_pods(both);
    bench.until_asked(60_000, Ok(list(one)));
    bench.pass(GRACE - 1_000);
    bench.kubelet_again();
    bench.until_asked(3_000, Ok(list(one)));
    assert_eq!(bench.held().len(), 2, "it may not know its pods yet");
    bench.until_asked(GRACE, Ok(PodList::default()));
    assert_eq!(bench.held().len(), 2, "nor does one that lists none at all");
    let (status, reason, message) = bench.consistent();
    assert_eq!((status, reason.as_str()), (Status::False, "Leaked"), "{message}");
    bench.until_asked(60_000, Ok(list(one)));
    assert_eq!(bench.held(), ["p-1 a/y/c"]);
}

#[test]
fn what_the_ledger_lost_is_taken_in() {
    let mut bench = Bench::new(FOUR, node());
    bench.pass(2_000);
    assert_eq!(bench.asked, 1);
    // One is just being lent locally: it gets another device.
    let local = bench.allocate(root(), 1);
    assert_eq!(bench.lent().join(" "), "free free free withdrawn");
    let mut answer = list(&[("a/web-0/app", &["p-0"]), ("b/db-0/db", &["p-3"])]);
    // One resource comes once for each NUMA node.
    answer.held.push(Held { devices: vec!["p-1".to_owned()], ..answer.held[0].clone() });
    bench.handle(Event::KubeletSaid(Ok(answer.clone())));
    bench.pass(200);
    assert_eq!(bench.told(local), "p-2");
    let expected = ["p-0 a/web-0/app", "p-1 a/web-0/app", "p-2 user 0", "p-3 b/db-0/db"];
    assert_eq!(bench.held(), expected);
    bench.until_asked(60_000, Ok(answer));
    assert_eq!(bench.held(), expected);
    assert_eq!(bench.consistent().0, Status::True);
}

#[test]
fn what_does_not_fit_is_reported_and_not_decided() {
    let mut bench = Bench::new(FOUR, node());
    let local = bench.allocate(root(), 1);
    bench.pass(300);
    assert_eq!(bench.told(local), "p-3");
    bench.until_asked(3_000, Ok(list(&[("a/x/c", &["p-3"])])));
    let (status, reason, message) = bench.consistent();
    assert_eq!((status, reason.as_str()), (Status::False, "Contradiction"));
    assert!(message.contains("p-3 is held by a/x/c, and user 0 as a1"), "{message}");
    assert_eq!(bench.held(), ["p-3 user 0"], "nobody's device is taken from him");

    bench.until_asked(60_000, Ok(list(&[("a/x/c", &["p-77", "no id!"])])));
    let (status, reason, message) = bench.consistent();
    assert_eq!((status, reason.as_str()), (Status::False, "UnknownDevice"));
    assert!(message.contains("p-77") && message.contains("no id!"), "{message}");

    // Two pods that both have it: held, by whichever.
    bench.until_asked(60_000, Ok(list(&[("a/x/c", &["p-0"]), ("a/y/c", &["p-0"])])));
    assert_eq!(bench.held(), [format!("p-0 {UNNAMED}"), "p-3 user 0".to_owned()]);
    bench.until_asked(60_000, Ok(list(&[("a/x/c", &["p-0"]), ("a/y/c", &["p-0"])])));
    assert_eq!(bench.consistent().1, "Contradiction");
    bench.until_asked(60_000, Ok(list(&[("a/y/c", &["p-0"])])));
    assert_eq!(bench.held(), ["p-0 a/y/c", "p-3 user 0"]);
    assert_eq!(bench.consistent().0, Status::True, "what is no more is not reported");
}

#[test]
fn only_resources_of_pools_count_but_what_is_held_under_a_former_one_stays() {
    let mut bench = Bench::new(FOUR, node());
    let mut answer = list(&[("a/x/c", &["p-0"])]);
    answer.held[0].resource = "example.org/gpu".to_owned();
    bench.until_asked(3_000, Ok(answer.clone()));
    assert!(bench.held().is_empty());
    bench.kubelet(&["p-0"]);
    bench.until_asked(3_000, Ok(answer.clone()));
    bench.pass(GRACE);
    bench.until_asked(60_000, Ok(answer));
    assert_eq!(bench.held(), ["p-0 a/x/c"], "the pool was called so when the pod began");
}

#[test]
fn a_device_allocated_anew_is_its_new_pods_whatever_else_is_listed() {
    let mut bench = Bench::new(FOUR, node());
    bench.kubelet(&["p-0"]);
    bench.until_asked(3_000, Ok(list(&[("a/old/c", &["p-0"])])));
    bench.kubelet(&["p-0"]);
    // An ended pod may be listed for as long as its object is there (k8s#132020).
    let both = list(&[("a/old/c", &["p-0"]), ("a/new/c", &["p-0"])]);
    bench.until_asked(3_000, Ok(both.clone()));
    assert_eq!(bench.held(), ["p-0 a/new/c"]);
    bench.until_asked(60_000, Ok(both));
    assert_eq!(bench.held(), ["p-0 a/new/c"]);
    assert_eq!(bench.consistent().0, Status::True);
    // A pod of the same name made again looks like the former, and is named so.
    bench.kubelet(&["p-0"]);
    bench.until_asked(3_000, Ok(list(&[("a/new/c", &["p-0"])])));
    assert_eq!(bench.held(), ["p-0 a/new/c"]);
    // Containers of one pod hand a device on.
    bench.until_asked(60_000, Ok(list(&[("a/pod/init", &["p-0"]), ("a/pod/main", &["p-0"])])));
    assert_eq!(bench.held(), ["p-0 a/pod/main"]);
}

#[test]
fn names_outlast_a_restart_and_graces_begin_anew() {
    let (stays, both): (Pods<'_>, Pods<'_>) =
        (&[("a/y/c", &["p-1"])], &[("a/x/c", &["p-0"]), ("a/y/c", &["p-1"])]);
    let mut bench = Bench::with_pods(both);
    bench.until_asked(60_000, Ok(list(stays)));
    let text = bench.brain.ledger().to_text();
    let ledger = Ledger::parse(text.as_bytes()).unwrap().ledger;
    assert_eq!(ledger.containers(), 2);
    let mut bench = Bench::after(ledger, FOUR, node());
    assert_eq!(bench.held(), ["p-0 a/x/c", "p-1 a/y/c"]);
    let holder = &bench.brain.ledger().allocations.values().next().unwrap().holder;
    assert_eq!(*holder, Holder::Pod(container("a/x/c")));
    assert_eq!(bench.asked, 1, "at once");
    bench.handle(Event::KubeletSaid(Ok(list(stays))));
    assert_eq!(bench.held().len(), 2, "gone for the first time in this run");
    // Until it has taken a pool, it could be another one each time.
    bench.until_asked(60_000, Ok(list(stays)));
    bench.until_asked(60_000, Ok(list(stays)));
    assert_eq!(bench.held().len(), 2, "by the word of whichever kubelet");
    bench.handle(Event::Registered { pool: "p".parse().unwrap(), registered: true });
    bench.until_asked(3_000, Ok(list(stays)));
    assert!(bench.until_changed(&list(stays)) <= GRACE + 200);
    assert_eq!(bench.held(), ["p-1 a/y/c"]);
}

#[test]
fn the_kubelet_is_asked_when_devices_are_needed_and_not_too_often() {
    let mut bench = Bench::new(FOUR, node());
    let all: &[&str] = &["p-0", "p-1", "p-2", "p-3"];
    bench.kubelet(all);
    bench.until_asked(3_000, Ok(list(&[("a/x/c", all)])));
    bench.pass(10_000);
    let asked = bench.asked;
    for _ in 0..5 {
        let id = bench.allocate(root(), 1);
        assert_eq!(bench.told(id), "InUse");
    }
    assert_eq!(bench.asked, asked + 1, "at once");
    bench.handle(Event::KubeletSaid(Ok(list(&[("a/x/c", all)]))));
    let again = bench.allocate(root(), 1);
    assert_eq!((bench.told(again).as_str(), bench.asked), ("InUse", asked + 1));
    bench.pass(1_000);
    assert_eq!(bench.asked, asked + 2, "a second later at the earliest");
    bench.handle(Event::KubeletSaid(Ok(list(&[("a/x/c", all)]))));
    bench.pass(10_000);
    bench.ask(root(), Command::Apply { retry: false, manner: Default::default() });
    assert_eq!(bench.asked, asked + 3, "an order may need them, too");
}

#[test]
fn hands_off_asks_nobody_and_a_kubelet_without_pod_resources_is_left_alone() {
    let mut bench = Bench::new("[pools.p]\nslots = \"x\"\n", node());
    bench.pass(100_000);
    assert_eq!(bench.asked, 0);
    let mut bench = Bench::new(FOUR, node());
    for _ in 0..5 {
        bench.until_asked(60_000, Err("no such socket"));
    }
    for _ in 0..20 {
        bench.handle(Event::Looked(Box::new(node())));
        bench.pass(60_000);
    }
    assert_eq!(bench.asked, 5);
    assert_eq!(bench.consistent().0, Status::True, "nothing is held");
}

#[test]
fn names_that_are_none_are_refused() {
    for name in ["", "a b", "x\u{1b}[2J", "A", &"a".repeat(254)] {
        let of = |text: &str| text.to_owned();
        assert_eq!(PodContainer::new(of(name), of("pod"), of("c")), None, "{name:?}");
        assert_eq!(PodContainer::new(of("ns"), of("pod"), of(name)), None, "{name:?}");
    }
}

//! A storm: a pool of a thousand slots, a hundred pods and several local programs at a time, while
//! the driver flaps, the kubelet restarts and the daemon is killed. No device is had twice and none
//! is lost: judged from outside, by what was answered, what `onloadctl` lists and what the kubelet
//! knows of.
//!
//! A failure names its seed; `ONLOADD_SEED=n` runs that one alone.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops where it broke"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use fastrand::Rng;
use onload_tests::background::Background;
use onload_tests::kubelet::{Kubelet, PodsFault, healthy};
use onload_tests::node::{Node, PATIENCE};
use serde_json::Value;
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinHandle;

#[path = "storm/callers.rs"]
mod callers;
#[path = "storm/forged.rs"]
mod forged;
#[path = "storm/history.rs"]
mod history;
#[path = "storm/judge.rs"]
mod judge;

use callers::{Apart, Shared, admit, borrow, call, give_back};
use history::{Fact, History, Shown};

const RESOURCE: &str = "amd.com/onload";
/// The pool.
const SLOTS: usize = 1_000;
/// Pods that come and go at the same time.
const CALLERS: u64 = 100;
/// Local programs beside them.
const BORROWERS: u64 = 6;
/// Of a plain run.
const SEEDS: [u64; 2] = [20, 21];
/// What happens to the node in each of the two halves of a storm: pods over connections of their
/// own, then pods through the kubelet.
const HAPPENINGS: usize = 32;
/// From one to the next, in milliseconds.
const PAUSE: std::ops::Range<u64> = 10..160;
/// So many happenings lie between two kills of the daemon.
const KILL_EVERY: usize = 12;
/// Kills at the end, when all is quiet.
const QUIET_KILLS: usize = 3;
/// How much of a history is told when it is not as it must be.
const TAIL: usize = 60;
/// What a storm cannot sit through otherwise; the settling is short so that kubelets meet it.
const QUICK: &str = "[daemon]\nlook-every = \"1s\"\nsettle = \"20ms\"\n\
    [kubelet]\nrelease-grace = \"1s\"\nunnamed-grace = \"2s\"\nwithdraw-settle = \"5ms\"\n\
    [pools.onload]\nslots = 1000\n";
/// A driver that goes and comes, in the language of the simulated machine. What the daemon has
/// repaired in between is done again, which changes nothing.
const FLAPS: [[&str; 2]; 5] = [
    ["driver gone onload", "load onload"],
    ["driver gone sfc", "load sfc"],
    ["unbind 0000:3b:00.0", "bind 0000:3b:00.0"],
    ["unbind 0000:af:00.1", "bind 0000:af:00.1"],
    ["libraries of host gone", "libraries of host back"],
];

#[test]
fn nothing_is_lost_or_had_twice_in_a_storm() {
    let alone = std::env::var("ONLOADD_SEED").map(|seed| vec![seed.parse().unwrap()]);
    let seeds: Vec<u64> = alone.unwrap_or(SEEDS.to_vec());
    // Beside each other: a storm waits more than it works.
    let ended = std::thread::scope(|scope| {
        let storms: Vec<_> =
            seeds.iter().map(|seed| scope.spawn(|| Storm::new(*seed).rage())).collect();
        storms.into_iter().map(|storm| storm.join().is_ok()).collect::<Vec<_>>()
    });
    let broken: Vec<_> = seeds.iter().zip(ended).filter(|(_, well)| !well).collect();
    assert!(broken.is_empty(), "a promise was broken; ONLOADD_SEED=n runs one alone: {broken:?}");
}

struct Storm {
    seed: u64,
    background: Background,
    node: Node,
    shared: Arc<Shared>,
    random: Rng,
    /// The end of a flap that has begun.
    flap: Option<&'static str>,
    kills: usize,
}

impl Storm {
    fn new(seed: u64) -> Self {
        let background = Background::start().unwrap();
        let mut node = Node::stopped("two-x2522").unwrap();
        node.configure("storm.toml", QUICK).unwrap();
        let kubelet = background.run(Kubelet::start(node.kubelet_directory())).unwrap();
        node.start().unwrap();
        let shared = Arc::new(Shared {
            history: History::begin(),
            kubelet,
            burst: Notify::new(),
            stop: AtomicBool::new(false),
            apart: Mutex::new(Apart::new()),
        });
        let random = Rng::with_seed(seed);
        Self { seed, background, node, shared, random, flap: None, kills: 0 }
    }

    fn rage(mut self) {
        let ended = catch_unwind(AssertUnwindSafe(|| self.run()));
        let wrong = self.wrong();
        if ended.is_err() || !wrong.is_empty() {
            self.tell(&wrong);
            panic!("seed {} broke a promise", self.seed);
        }
        self.assert_it_was_one();
    }

    fn run(&mut self) {
        self.until_all_healthy();
        // Pods that the kubelet knows nothing of: it must not be asked.
        self.pods_fault(Some(PodsFault::Absent));
        self.half(false);
        self.background.run(self.shared.end_apart());
        self.pods_fault(None);
        self.half(true);
        self.what_the_ledger_says_reads_back();
        self.everything_comes_back();
    }

    /// Callers of one sort, and what happens meanwhile.
    fn half(&mut self, through_kubelet: bool) {
        self.shared.stop.store(false, Ordering::Relaxed);
        let callers = self.callers(through_kubelet);
        for number in 1..=HAPPENINGS {
            sleep(Duration::from_millis(self.random.u64(PAUSE)));
            if number % KILL_EVERY == 0 {
                self.kill();
            } else {
                self.happen();
            }
            if number % 2 == 0 {
                self.list();
            }
        }
        self.shared.stop.store(true, Ordering::Relaxed);
        for caller in callers {
            self.background.run(caller).unwrap();
        }
        self.heal();
    }

    fn callers(&mut self, through_kubelet: bool) -> Vec<JoinHandle<()>> {
        let (shared, address) = (self.shared.clone(), self.node.bus.address());
        let seed = self.random.u64(..);
        self.background.run(async move {
            let pod = |seed| match through_kubelet {
                true => tokio::spawn(admit(shared.clone(), seed)),
                false => tokio::spawn(call(shared.clone(), seed)),
            };
            let pods = (0..CALLERS).map(|number| pod(seed ^ number));
            let local = |number| borrow(shared.clone(), address.clone(), seed ^ (number << 32));
            let locals = (1..=BORROWERS).map(|number| tokio::spawn(local(number)));
            pods.chain(locals).collect()
        })
    }

    fn happen(&mut self) {
        let shared = self.shared.clone();
        match self.random.u8(..10) {
            0..4 => {
                let what = match self.flap.take() {
                    Some(end) => end,
                    None => {
                        let [begin, end] = FLAPS[self.random.usize(..FLAPS.len())];
                        self.flap = Some(end);
                        begin
                    }
                };
                self.act(what);
            }
            4..8 => {
                shared.history.happened("everybody asks at once", false);
                shared.burst.notify_waiters();
            }
            8 => {
                shared.history.happened("the kubelet restarts", true);
                self.background.run(shared.kubelet.restart()).unwrap();
            }
            _ => {
                shared.history.happened("the kubelet stops listening", true);
                self.background.run(shared.kubelet.cut_list(RESOURCE));
                self.background.run(shared.kubelet.restart()).unwrap();
            }
        }
    }

    fn act(&self, what: &str) {
        self.shared.history.happened(what, false);
        // Loading what needs what is gone is refused, as by a real modprobe.
        if let Err(error) = self.node.act(what) {
            self.shared.history.happened(format!("refused: {error}"), false);
        }
    }

    /// Kills the daemon and starts it again; returns what it shows at once.
    fn kill(&mut self) -> Vec<Shown> {
        self.shared.history.happened("the daemon is killed", true);
        self.shared.burst.notify_waiters();
        self.node.kill().unwrap();
        self.node.start().unwrap();
        self.shared.history.happened("the daemon serves again", true);
        // The simulated machine is another one now.
        self.flap = None;
        self.kills += 1;
        // From the first moment on in which it answers, what it says must be whole.
        self.list()
    }

    fn heal(&mut self) {
        for what in ["load sfc", "load onload"].into_iter().chain(FLAPS.map(|[_, end]| end)) {
            self.act(what);
        }
        self.flap = None;
        self.node.until_state("ready").unwrap();
    }

    fn pods_fault(&self, fault: Option<PodsFault>) {
        self.background.run(self.shared.kubelet.set_pods_fault(fault)).unwrap();
    }

    fn until_all_healthy(&self) {
        let all =
            self.shared.kubelet.wait_for(RESOURCE, PATIENCE, |devices| healthy(devices) == SLOTS);
        self.background.run(all).unwrap();
    }

    /// Notes what `onloadctl allocations` shows now.
    fn list(&self) -> Vec<Shown> {
        let asked = self.shared.history.now();
        let shown = shown(&self.node).unwrap();
        let span = self.shared.history.since(asked);
        self.shared.history.note(Fact::Listed { span, shown: shown.clone() });
        shown
    }

    /// When all is quiet and every grace over, the daemon knows of exactly what the kubelet and the
    /// local programs know of; and still does after a kill.
    fn what_the_ledger_says_reads_back(&mut self) {
        let pods: BTreeSet<String> =
            self.shared.kubelet.held().into_iter().flat_map(|held| held.ids).collect();
        let containers = |node: &Node| -> anyhow::Result<BTreeSet<String>> {
            let shown = shown(node)?.into_iter().filter(|one| !one.local);
            Ok(shown.map(|one| one.device).collect())
        };
        let same = |node: &Node| Ok(containers(node)? == pods);
        self.node.until("the graces of pods that were cut off to end", same).unwrap();
        let before: BTreeSet<_> = self.list().into_iter().collect();
        for _ in 0..QUIET_KILLS {
            let after: BTreeSet<_> = self.kill().into_iter().collect();
            assert_eq!(before, after, "what is lent before and after a kill");
        }
    }

    /// Everybody gives back; the pool is as at the beginning.
    fn everything_comes_back(&mut self) {
        for held in self.shared.kubelet.held() {
            self.shared.kubelet.release(RESOURCE, &held.ids);
        }
        let locals = shown(&self.node).unwrap().into_iter().filter(|one| one.local);
        let freed = give_back(self.node.bus.address(), locals.map(|one| one.id).collect());
        self.background.run(freed);
        self.node.until("nothing to be lent", |node| Ok(shown(node)?.is_empty())).unwrap();
        self.until_all_healthy();
        let pool = self.node.json(&["pools", "onload"]).unwrap();
        let devices = pool["devices"].as_array().unwrap();
        let free = devices.iter().filter(|one| one["healthy"] == true && one["lent"] == "no");
        assert_eq!((devices.len(), free.count()), (SLOTS, SLOTS), "devices, and free ones");
        for list in self.shared.kubelet.seen().lists(RESOURCE) {
            self.shared.history.note(Fact::Capacity { listed: list.healthy + list.unhealthy });
        }
    }

    fn wrong(&self) -> Vec<String> {
        judge::violations(&self.shared.history.facts(), SLOTS)
    }

    fn tell(&self, wrong: &[String]) {
        let facts = self.shared.history.facts();
        println!("seed {}: {} facts; their end:", self.seed, facts.len());
        let told = facts.iter().filter(|fact| !matches!(fact, Fact::Capacity { .. }));
        let told: Vec<_> = told.collect();
        told.iter().skip(told.len().saturating_sub(TAIL)).for_each(|fact| println!("{fact}"));
        // What is said of the devices and allocations that the first words name.
        for word in wrong.iter().take(3).flat_map(|text| text.split([' ', ',', ':'])) {
            let named = word.starts_with("onload-") || word.parse::<u64>().is_ok();
            let about = |fact: &&Fact| fact.to_string().split(' ').any(|other| other == word);
            if named {
                println!("of {word}:");
                facts.iter().filter(about).for_each(|fact| println!("    {fact}"));
            }
        }
        wrong.iter().take(TAIL).for_each(|text| println!("WRONG: {text}"));
        println!("{} things are wrong", wrong.len());
    }

    /// The schedule must have hit what it is meant to hit.
    fn assert_it_was_one(&self) {
        let facts = self.shared.history.facts();
        let count = |is: fn(&Fact) -> bool| facts.iter().filter(|fact| is(fact)).count();
        let pods = count(|fact| matches!(fact, Fact::PodGranted { .. }));
        let refused = count(|fact| matches!(fact, Fact::PodRefused { .. }));
        let in_doubt = count(|fact| matches!(fact, Fact::PodInDoubt { .. }));
        let local = count(|fact| matches!(fact, Fact::LocalGranted { .. }));
        let freed = count(|fact| matches!(fact, Fact::LocalFreed { .. }));
        let listings = count(|fact| matches!(fact, Fact::Listed { .. }));
        let most = facts.iter().map(lent).max().unwrap_or(0);
        let moved = moved(&facts);
        let registrations = self.shared.kubelet.seen().registrations.len();
        println!(
            "seed {}: {pods} pods admitted, {refused} refused, {in_doubt} cut off; {local} local grants, \
             {freed} given back, {moved} moved; {listings} listings, {most} lent at most, shown up to \
             {:?} late; {registrations} registrations, {} kills; {:?}",
            self.seed,
            judge::latest(&facts),
            self.kills,
            self.shared.history.now()
        );
        let enough = pods > 500 && refused > 0 && in_doubt > 0 && local > 100 && most > 300;
        assert!(enough && moved > 0 && registrations > 5 && self.kills > 3, "a lull, not a storm");
    }
}

/// Local holders whose device a pod was given: they were moved to another one.
fn moved(facts: &[Fact]) -> usize {
    let mut has = BTreeMap::new();
    let mut moved = 0;
    for fact in facts {
        if let Fact::LocalGranted { id, device, .. } = fact {
            has.insert(device, id);
        } else if let Fact::LocalFreed { id, .. } = fact {
            has.retain(|_, other| *other != id);
        } else if let Fact::PodGranted { devices, .. } = fact {
            moved += devices.iter().filter(|device| has.remove(device).is_some()).count();
        }
    }
    moved
}

fn lent(fact: &Fact) -> usize {
    if let Fact::Listed { shown, .. } = fact { shown.len() } else { 0 }
}

fn shown(node: &Node) -> anyhow::Result<Vec<Shown>> {
    let json = node.json(&["allocations"])?;
    let text = |one: &Value, key: &str| one[key].as_str().unwrap().to_owned();
    let one = |one: &Value| Shown {
        id: text(one, "id"),
        device: text(one, "device"),
        local: text(one, "holder_kind") != "container",
    };
    Ok(json["allocations"].as_array().unwrap().iter().map(one).collect())
}

//! Decisions that a schedule meets too seldom to hold them down, one by one.

use std::time::Duration;

use super::*;
use crate::allocation::{Process, TenureWish, Unit};
use crate::config::Fragment;
use crate::names::DeviceId;
use crate::picture::NodeState;
use crate::sample::{node, spoilt, without};
use crate::time::{Span, Timestamp};

mod binding;
mod boots;
mod changes;
mod clocks;
mod keys;
mod lab;
mod lasting;
mod leaving;
mod names;
mod network;
mod others;
mod physical;
mod pods;
mod refused;
mod told;
mod vacant;

/// A reconciler with a disk that never fails unless told to, and a clock.
struct Bench {
    brain: Reconciler,
    at: u64,
    requests: u64,
    disk_is_full: bool,
    answers: BTreeMap<RequestId, Answer>,
    picture: Arc<Picture>,
    applied: Vec<Step>,
    watched: Vec<Process>,
    imports: Vec<(crate::names::JobId, Option<crate::names::ReleaseName>)>,
    removals: Vec<(crate::names::JobId, crate::names::ReleaseName)>,
    rewrites: usize,
    /// Questions to the kubelet.
    asked: usize,
}

impl Bench {
    fn new(config: &str, snapshot: Snapshot) -> Self {
        let mut bench = Self::after(Ledger::default(), config, snapshot);
        let pool = "p".parse().unwrap();
        bench.handle(Event::Registered { pool, registered: true });
        bench
    }

    /// A run on the ledger that another left, without a kubelet.
    fn after(ledger: Ledger, config: &str, snapshot: Snapshot) -> Self {
        let file = Fragment { file: "onloadd.toml".to_owned(), text: config.to_owned() };
        let config = Config::merge(&[file]);
        let now = Now { boot: Moment(1000), wall: Timestamp(1_000_000) };
        let (brain, effects) = Reconciler::start(now, config, Ok(ledger));
        let mut bench = Self {
            brain,
            at: 1000,
            requests: 0,
            disk_is_full: false,
            answers: BTreeMap::new(),
            picture: Arc::default(),
            applied: Vec::new(),
            watched: Vec::new(),
            imports: Vec::new(),
            removals: Vec::new(),
            rewrites: 0,
            asked: 0,
        };
        bench.carry_out(effects);
        bench.handle(Event::Looked(Box::new(snapshot)));
        bench
    }

    fn handle(&mut self, event: Event) {
        let now = Now { boot: Moment(self.at), wall: Timestamp(1_000_000 + self.at) };
        let effects = self.brain.handle(now, event);
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Record { id, .. } if self.disk_is_full => {
                    self.handle(Event::RecordFailed { record: id, why: "full".to_owned() });
                }
                Effect::Record { id, durability: Durability::Synced, .. } => {
                    self.handle(Event::Recorded(id));
                }
                Effect::Rewrite(_) => {
                    self.rewrites += 1;
                    let result = if self.disk_is_full { Err("full".to_owned()) } else { Ok(()) };
                    self.handle(Event::Rewritten(result));
                }
                Effect::Answer(id, answer) => {
                    self.answers.insert(id, answer);
                }
                Effect::Publish(picture) => self.picture = picture,
                Effect::Apply(step) => self.applied.push(step),
                Effect::Record { .. } | Effect::Look(_) | Effect::ReadConfiguration(_) => {}
                Effect::AskKubelet => self.asked += 1,
                Effect::WatchUnit(_) | Effect::WriteVariables { .. } => {}
                Effect::WatchProcess(process) => self.watched.push(process),
                Effect::Import { job, version, .. } => self.imports.push((job, version)),
                Effect::Remove { job, release } => self.removals.push((job, release)),
            }
        }
    }

    fn pass(&mut self, millis: u64) {
        self.at += millis;
        self.handle(Event::Deadline);
    }

    fn ask(&mut self, caller: Caller, command: Command) -> RequestId {
        self.requests += 1;
        let id = RequestId(self.requests);
        self.handle(Event::Request { id, caller, command });
        id
    }

    fn allocate(&mut self, caller: Caller, count: u32) -> RequestId {
        let pool = "p".parse().unwrap();
        self.ask(caller, Command::Allocate { pool, count, tenure: TenureWish::Persistent })
    }

    fn kubelet(&mut self, devices: &[&str]) -> RequestId {
        let containers = vec![devices.iter().map(|id| id.parse().unwrap()).collect()];
        let pool = "p".parse().unwrap();
        self.ask(root(), Command::KubeletAllocate { pool, containers })
    }

    /// The answer, in a word or two.
    fn told(&self, id: RequestId) -> String {
        match self.answers.get(&id) {
            None => "nothing yet".to_owned(),
            Some(Ok(Reply::Allocated(lent))) => {
                lent.iter().map(|(_, device)| device.to_string()).collect::<Vec<_>>().join(" ")
            }
            Some(Ok(Reply::Containers(answers))) => format!("{} served", answers.len()),
            Some(Ok(Reply::Done | Reply::Job(_))) => "done".to_owned(),
            Some(Err(refusal)) => format!("{:?}", refusal.kind),
        }
    }

    fn lent(&self) -> Vec<String> {
        let pool: PoolName = "p".parse().unwrap();
        let word = |device: &crate::picture::Device| match device.lent {
            crate::picture::Lent::No => "free",
            crate::picture::Lent::Withdrawn => "withdrawn",
            crate::picture::Lent::Local(_) => "local",
            crate::picture::Lent::Container(_) => "pod",
        };
        self.brain.pools[&pool].devices().iter().map(|one| word(one).to_owned()).collect()
    }
}

fn user(uid: u32) -> Caller {
    Caller { uid, process: None, bus_name: Some(format!(":1.{uid}")), privileged: false }
}

fn root() -> Caller {
    Caller { uid: 0, process: None, bus_name: None, privileged: true }
}

const FOUR: &str = "[pools.p]\nslots = 4\n";

#[test]
fn a_device_is_withdrawn_before_it_is_lent() {
    let mut bench = Bench::new(FOUR, node());
    let id = bench.allocate(root(), 1);
    assert_eq!(
        (bench.told(id).as_str(), bench.lent().join(" ").as_str()),
        ("nothing yet", "free free free withdrawn")
    );
    bench.pass(199);
    assert_eq!(bench.told(id), "nothing yet", "the kubelet may not have seen it yet");
    bench.pass(1);
    assert_eq!(bench.told(id), "p-3");
}

#[test]
fn where_no_kubelet_can_choose_nothing_has_to_settle() {
    let mut nobody = Bench::new(FOUR, node());
    nobody.handle(Event::Registered { pool: "p".parse().unwrap(), registered: false });
    let mut own = Bench::new("[pools.p]\nslots = 4\nlocal = 1\n", node());
    for (why, bench) in [("not registered", &mut nobody), ("the local share", &mut own)] {
        let id = bench.allocate(root(), 1);
        assert_eq!(bench.told(id), "p-3", "{why}");
    }
}

#[test]
fn the_kubelet_goes_first_wherever_another_device_is_left() {
    // Slots 0 and 2 stand on NUMA node 0, slots 1 and 3 on node 1. `asked` comes while one device,
    // p-3, is settling (`settled` false) or lent.
    type Case<'a> = (&'a str, bool, &'a [&'a str], &'a str, &'a str, &'a str);
    let cases: [Case<'_>; 7] = [
        (
            "another device: nobody is in the way",
            true,
            &["p-0"],
            "1 served",
            "p-3",
            "pod free free local",
        ),
        (
            "the holder moves, on its own NUMA node",
            true,
            &["p-3"],
            "1 served",
            "p-3",
            "free local free pod",
        ),
        (
            "across nodes where it must",
            true,
            &["p-3", "p-1"],
            "1 served",
            "p-3",
            "free pod local pod",
        ),
        (
            "no device left: the pod is refused, the holder stays",
            true,
            &["p-0", "p-1", "p-2", "p-3"],
            "InUse",
            "p-3",
            "free free free local",
        ),
        (
            "a grant that settles moves before it is told",
            false,
            &["p-3"],
            "1 served",
            "p-1",
            "free local free pod",
        ),
        (
            "no device left: the grant gives way, its caller can ask again",
            false,
            &["p-0", "p-1", "p-2", "p-3"],
            "1 served",
            "InUse",
            "pod pod pod pod",
        ),
        (
            "one device twice is nonsense",
            true,
            &["p-0", "p-0"],
            "InvalidArgument",
            "p-3",
            "free free free local",
        ),
    ];
    for (why, settled, asked, pod, program, lent) in cases {
        let mut bench = Bench::new(FOUR, node());
        let grant = bench.allocate(root(), 1);
        if settled {
            bench.pass(300);
        }
        let admitted = bench.kubelet(asked);
        bench.pass(300);
        assert_eq!(bench.told(admitted), pod, "{why}");
        assert_eq!(bench.told(grant), program, "{why}");
        assert_eq!(bench.lent().join(" "), lent, "{why}");
    }
}

#[test]
fn the_kubelet_gets_no_device_that_it_was_not_offered() {
    let mut bench = Bench::new("[pools.p]\nslots = 4\nlocal = 1\n", node());
    let cases = [
        ("the local share", "p-3", "NotFound"),
        ("no such slot", "p-9", "NotFound"),
        ("an offered one", "p-0", "1 served"),
    ];
    for (why, device, expected) in cases {
        let id = bench.kubelet(&[device]);
        assert_eq!(bench.told(id), expected, "{why}");
    }
    bench.handle(Event::Looked(Box::new(spoilt(|node| without(node, "onload")))));
    let id = bench.kubelet(&["p-1"]);
    assert_eq!(bench.told(id), "Blocked", "what cannot work is not given to a pod");
}

#[test]
fn a_device_allocated_anew_has_one_holder() {
    let mut bench = Bench::new(FOUR, node());
    for _ in 0..2 {
        let id = bench.kubelet(&["p-0"]);
        assert_eq!(bench.told(id), "1 served");
    }
    let holders: Vec<DeviceId> =
        bench.brain.ledger().allocations.values().map(|one| one.device.clone()).collect();
    assert_eq!(holders, ["p-0".parse().unwrap()]);
}

#[test]
fn limits_bind_users_and_not_root() {
    let config = format!("{FOUR}[limits]\nallocations-per-user = 2\npending-per-client = 1\n");
    let mut bench = Bench::new(&config, node());
    let pending = bench.allocate(user(1000), 1);
    let cases = [
        ("one request under way is what a client may have", user(1000), 1, "LimitExceeded"),
        ("another user has limits of their own", user(1001), 2, "nothing yet"),
        ("more than a user may hold", user(1002), 3, "LimitExceeded"),
        ("more than the pool has", root(), 5, "InvalidArgument"),
        ("none at all", root(), 0, "InvalidArgument"),
        ("root has no limit", root(), 1, "nothing yet"),
    ];
    for (why, caller, count, expected) in cases {
        let id = bench.allocate(caller, count);
        assert_eq!(bench.told(id), expected, "{why}");
    }
    bench.pass(300);
    assert_eq!(bench.told(pending), "p-3");
    let id = bench.allocate(user(1000), 2);
    assert_eq!(bench.told(id), "LimitExceeded", "what settles and what is held count together");
}

#[test]
fn a_program_that_cannot_be_watched_gets_no_allocation_of_its_own() {
    let mut bench = Bench::new(FOUR, node());
    let pool = "p".parse().unwrap();
    let id = bench.ask(user(7), Command::Allocate { pool, count: 1, tenure: TenureWish::Client });
    assert_eq!(bench.told(id), "Unsupported");
}

#[test]
fn who_may_free_what() {
    let mut bench = Bench::new(FOUR, node());
    bench.allocate(user(1000), 2);
    bench.kubelet(&["p-0"]);
    bench.pass(300);
    let of = |device: &str| {
        let found =
            bench.brain.ledger().allocations.values().find(|one| one.device.as_str() == device);
        found.unwrap().id
    };
    let (own, other, pod) = (of("p-3"), of("p-2"), of("p-0"));
    let cases = [
        ("somebody else's", user(1001), other, false, "NotAuthorized"),
        ("force does not help a user", user(1001), other, true, "NotAuthorized"),
        ("one's own", user(1000), own, false, "done"),
        ("twice", user(1000), own, false, "NotFound"),
        ("root frees anybody's", root(), other, false, "done"),
        ("a container's is the kubelet's to end", root(), pod, false, "InUse"),
        ("unless root knows better", root(), pod, true, "done"),
    ];
    for (why, caller, allocation, force, expected) in cases {
        let id = bench.ask(caller, Command::Free { allocation, force });
        assert_eq!(bench.told(id), expected, "{why}");
    }
}

#[test]
fn a_hold_that_was_not_recorded_leaves_the_former_as_it_was() {
    let mut bench = Bench::new(FOUR, node());
    let hold = |hours: u64| Command::Hold {
        reason: "work".to_owned(),
        expiry: Some(Span(Duration::from_secs(hours * 3600))),
    };
    let first = bench.ask(root(), hold(8));
    bench.disk_is_full = true;
    let second = bench.ask(root(), hold(1));
    assert_eq!(
        (bench.told(first), bench.told(second)),
        ("done".to_owned(), "LedgerUnavailable".to_owned())
    );
    bench.disk_is_full = false;
    bench.pass(2 * 3_600_000);
    assert!(
        bench.brain.ledger().hold.is_some(),
        "it ended by the time of the hold that was refused"
    );
    bench.pass(7 * 3_600_000);
    assert_eq!(bench.brain.ledger().hold, None);
}

#[test]
fn settling_grants_end_with_what_they_stand_on() {
    let hold = Command::Hold { reason: "work".to_owned(), expiry: None };
    let mut held = Bench::new(FOUR, node());
    let mut gone = Bench::new(FOUR, node());
    let mut left = Bench::new(FOUR, node());
    let grants = [&mut held, &mut gone, &mut left].map(|bench| bench.allocate(user(5), 1));
    held.ask(root(), hold);
    gone.handle(Event::Configuration { request: None, config: Ok(Box::default()) });
    left.handle(Event::ClientGone(":1.5".to_owned()));
    let cases = [
        ("a hold came", held, grants[0], "Held"),
        ("the pool went", gone, grants[1], "NotFound"),
        ("the caller went", left, grants[2], "Cancelled"),
    ];
    for (why, mut bench, grant, expected) in cases {
        bench.pass(300);
        assert_eq!(bench.told(grant), expected, "{why}");
        assert!(bench.brain.ledger().allocations.is_empty(), "{why}");
    }
}

#[test]
fn a_step_that_waits_for_the_disk_is_called_off_by_a_hold() {
    let config = format!("{FOUR}[modules]\nrelease = \"host\"\n");
    let bench = Bench::new(&config, spoilt(|node| without(node, "onload")));
    assert_eq!(bench.applied.len(), 1, "undisturbed, it is begun");

    let file = Fragment { file: "onloadd.toml".to_owned(), text: config };
    let now = Now { boot: Moment(1), wall: Timestamp(1) };
    let (mut brain, _) = Reconciler::start(now, Config::merge(&[file]), Ok(Ledger::default()));
    brain.handle(now, Event::Rewritten(Ok(())));
    let looked = Event::Looked(Box::new(spoilt(|node| without(node, "onload"))));
    let effects = brain.handle(now, looked);
    let record = effects.iter().find_map(|effect| match effect {
        Effect::Record { id, durability: Durability::Synced, .. } => Some(*id),
        _ => None,
    });
    let hold = Command::Hold { reason: "work".to_owned(), expiry: None };
    let caller = root();
    brain.handle(now, Event::Request { id: RequestId(1), caller, command: hold });
    let effects = brain.handle(now, Event::Recorded(record.unwrap()));
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Apply(_))), "{effects:?}");
    assert_eq!(brain.ledger().step, None);
}

#[test]
fn a_containers_answer_does_not_wait_for_a_picture_that_is_due() {
    let mut bench = Bench::new(FOUR, node());
    bench.kubelet(&["p-0"]);
    // Past the time for a picture, and nobody has said so yet.
    bench.at += 2 * u64::try_from(COALESCE.as_millis()).unwrap();
    let id = bench.kubelet(&["p-1"]);
    assert_eq!(bench.told(id), "1 served");
    assert_eq!(bench.picture.allocations.len(), 0, "the answer came first");
    assert!(bench.brain.deadline() <= Moment(bench.at), "and the picture is next");
    bench.handle(Event::Deadline);
    assert_eq!(bench.picture.allocations.len(), 2);
}

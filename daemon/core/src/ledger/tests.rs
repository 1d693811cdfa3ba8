//! The journal: what reads back, what is torn, what means hands off.

mod clocks;

use super::*;
use crate::allocation::{Holder, PodContainer, Tenure, Unit};
use crate::config::ModuleSettings;
use crate::naming::{Key, Pin, Pins, Renaming};
use crate::network::{Address, Deed, Made, Network, NetworkLink, Owner, Raw, Route, Rule};
use crate::others::{Adoption, Manager};
use crate::secure_boot::enrolment::{Asked, Fingerprint};
use crate::step::StepError;
use crate::time::{Moment, Timestamp};

fn granted(id: u64, device: &str) -> Entry {
    Entry::Granted(Allocation {
        id: AllocationId(id),
        pool: "onload".parse().unwrap(),
        device: device.parse().unwrap(),
        holder: Holder::Container,
        tenure: Tenure::Kubelet,
        since: Timestamp(7),
    })
}

fn journal() -> Vec<Entry> {
    let step =
        Step::LoadModule { module: "sfc".parse().unwrap(), release: "host".parse().unwrap() };
    let error = Some(StepError::Failed("no".to_owned()));
    vec![
        granted(1, "onload-0"),
        granted(2, "onload-1"),
        Entry::Moved { id: AllocationId(2), device: "onload-9".parse().unwrap() },
        Entry::Freed { id: AllocationId(1) },
        Entry::Held(Hold { reason: "x".to_owned(), uid: 0, since: Timestamp(1), until: None }),
        Entry::Adopted(Adopted {
            modules: ModuleSettings::default(),
            boot: None,
            before: AllocationId(0),
        }),
        Entry::StepStarted(step.clone()),
        Entry::StepEnded {
            step: step.clone(),
            failure: Some(Failure { error, attempts: 2, kernel: None, boot: None }),
        },
        Entry::StepStarted(step),
        Entry::Generation(5),
        Entry::Stopped(true),
    ]
}

fn sample() -> Ledger {
    let mut ledger = Ledger::default();
    journal().into_iter().for_each(|entry| ledger.take(entry));
    ledger
}

#[test]
fn a_file_reads_back_to_the_same_state() {
    let ledger = sample();
    let replay = Ledger::parse(ledger.to_text().as_bytes()).unwrap();
    assert_eq!(replay, Replay { ledger, torn: 0 });
    assert_eq!(replay.ledger.last_allocation, 2, "a freed number is not given out again");
}

#[test]
fn what_a_unit_holds_reads_back() {
    let unit = Unit {
        name: "t.service".to_owned(),
        directory: "/sys/fs/cgroup/system.slice/t.service".to_owned(),
        inode: 7,
        boot: "ab-12".parse().unwrap(),
        uid: 7,
    };
    let Entry::Granted(grant) = granted(3, "onload-5") else { panic!("it is a grant") };
    let mut ledger = sample();
    let (holder, tenure) = (Holder::Unit(unit), Tenure::Unit);
    ledger.take(Entry::Granted(Allocation { holder, tenure, ..grant }));
    let text = ledger.to_text();
    assert!(text.contains("\"holder\":{\"unit\":{\"name\":\"t.service\""), "{text}");
    assert!(text.contains("\"tenure\":\"unit\""), "{text}");
    assert_eq!(Ledger::parse(text.as_bytes()).unwrap().ledger, ledger);
}

#[test]
fn leases_are_found_among_all_that_is_lent_until_they_are_freed() {
    let tenure = Tenure::Lease { until: Moment(9), boot: None, until_wall: Timestamp(9) };
    let Entry::Granted(lease) = granted(3, "onload-5") else { panic!("it is a grant") };
    let mut ledger = sample();
    ledger.take(Entry::Granted(Allocation { tenure, ..lease }));
    let ids = |ledger: &Ledger| ledger.leases().map(|one| one.id).collect::<Vec<_>>();
    assert_eq!(ids(&ledger), [AllocationId(3)]);
    let replay = Ledger::parse(ledger.to_text().as_bytes()).unwrap();
    assert_eq!(ids(&replay.ledger), [AllocationId(3)]);
    ledger.take(Entry::Freed { id: AllocationId(3) });
    assert_eq!(ids(&ledger), []);
}

#[test]
fn a_file_cut_anywhere_reads_as_the_lines_before_the_cut() {
    let text = sample().to_text();
    for cut in 0..text.len() {
        let replay =
            Ledger::parse(&text.as_bytes()[..cut]).unwrap_or_else(|e| panic!("cut {cut}: {e}"));
        let whole =
            text[..cut].lines().count() - usize::from(!text[..cut].ends_with('\n') && cut > 0);
        let expected = text.lines().take(whole).skip(1).filter_map(parse_line);
        let mut ledger = Ledger::default();
        expected.for_each(|entry| ledger.take(entry));
        assert_eq!(replay.ledger, ledger, "cut {cut}");
    }
    let mut zeros = text.clone().into_bytes();
    zeros.extend([0; 512]);
    assert_eq!(Ledger::parse(&zeros).unwrap().torn, 512);
}

#[test]
fn any_flipped_bit_in_the_middle_means_hands_off() {
    let text = sample().to_text();
    let end = text.trim_end().rfind('\n').unwrap();
    for at in 0..end {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 0x10;
        assert!(Ledger::parse(&bytes).is_err(), "byte {at}");
    }
}

#[test]
fn a_future_format_and_a_double_grant_are_named() {
    let future = Ledger::parse(b"{\"onloadd-ledger\":6}\n").unwrap_err();
    assert!(matches!(future, LedgerFault::Format { .. }));
    let twice =
        format!("{HEADER}\n{}{}", line(&granted(1, "onload-0")), line(&granted(2, "onload-0")));
    let error = Ledger::parse(twice.as_bytes()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 3 contradicts those before it: onload-0 is lent twice, to a1 and a2"
    );
}

#[test]
fn a_device_is_free_for_another_once_it_was_moved_from_or_given_back() {
    let moved =
        |id, device: &str| Entry::Moved { id: AllocationId(id), device: device.parse().unwrap() };
    let begin = [granted(1, "onload-0"), moved(1, "onload-1")];
    let cases = [
        ("moved from", vec![granted(2, "onload-0")], true),
        ("moved to", vec![granted(2, "onload-1")], false),
        ("given back", vec![Entry::Freed { id: AllocationId(1) }, granted(2, "onload-1")], true),
        ("moved onto a holder", vec![granted(2, "onload-0"), moved(2, "onload-1")], false),
        ("nobody moves", vec![moved(9, "onload-1")], true),
    ];
    for (why, entries, is_read) in cases {
        let lines: String = begin.iter().chain(&entries).map(line).collect();
        let read = Ledger::parse(format!("{HEADER}\n{lines}").as_bytes());
        assert_eq!(read.is_ok(), is_read, "{why}: {read:?}");
    }
}

#[test]
fn every_format_ever_shipped_still_reads() {
    let first = include_str!("../../../../tests/formats/ledger-1.json");
    let replay = Ledger::parse(first.as_bytes()).unwrap();
    assert_eq!(replay, Replay { ledger: sample(), torn: 0 });
    let second = include_str!("../../../../tests/formats/ledger-2.json");
    let replay = Ledger::parse(second.as_bytes()).unwrap();
    let mut ledger = sample();
    changes().into_iter().for_each(|entry| ledger.take(entry));
    assert_eq!(replay, Replay { ledger: ledger.clone(), torn: 0 });
    assert_eq!(ledger.next_change(), 3);
    let third = include_str!("../../../../tests/formats/ledger-3.json");
    let replay = Ledger::parse(third.as_bytes()).unwrap();
    keys().into_iter().for_each(|entry| ledger.take(entry));
    assert_eq!((ledger.asked.len(), ledger.wishes.len()), (1, 1));
    assert_eq!(replay, Replay { ledger: ledger.clone(), torn: 0 });
    let fourth = include_str!("../../../../tests/formats/ledger-4.json");
    let replay = Ledger::parse(fourth.as_bytes()).unwrap();
    network().into_iter().for_each(|entry| ledger.take(entry));
    assert_eq!(replay, Replay { ledger: ledger.clone(), torn: 0 });
    let fifth = include_str!("../../../../tests/formats/ledger-5.json");
    let replay = Ledger::parse(fifth.as_bytes()).unwrap();
    clocks::entries().into_iter().for_each(|entry| ledger.take(entry));
    assert_eq!(replay, Replay { ledger: ledger.clone(), torn: 0 });
    let again = Ledger::parse(ledger.to_text().as_bytes()).unwrap();
    assert_eq!(again.ledger, ledger, "and so does what is written of it");
}

/// What format 4 has beside format 3: what is kept, with everything there is of a network, what is left
/// of it, and the steps of names and networks.
fn network() -> Vec<Entry> {
    let name = |name: &str| -> InterfaceName { name.parse().unwrap() };
    let raw = |text: &str| -> Raw { text.parse().unwrap() };
    let address = Address {
        shown: "10.0.0.1/24".to_owned(),
        message: raw("0218"),
        valid: Some(60),
        preferred: None,
    };
    let route = Route {
        shown: "default".to_owned(),
        default: true,
        has_gateway: true,
        over: vec![name("vlan7")],
        message: raw("0200"),
    };
    let rule = Rule {
        shown: "iif ens5 table 7".to_owned(),
        names: BTreeSet::from([name("ens5")]),
        message: raw("02"),
    };
    let port = NetworkLink {
        port: Some("0000:3b:00.0".parse().unwrap()),
        master: Some(name("bond0")),
        membership: raw("08000500"),
        up: true,
        promiscuous: true,
        mtu: 9000,
        mac: Some("00:0f:53:a1:00:00".parse().unwrap()),
        altnames: BTreeSet::from(["enp59s0f0".to_owned()]),
        qdisc: Some("fq".to_owned()),
        settings: BTreeMap::from([("ring.rx".to_owned(), 1024)]),
        functions: BTreeMap::from([(0, raw("01"))]),
        owner: Owner::NetworkManager("0a-1b".to_owned()),
        ..NetworkLink::default()
    };
    let vlan = NetworkLink {
        made: Some(Made { kind: "vlan".to_owned(), data: raw("0600010007000000") }),
        below: Some(name("ens5")),
        all_multicast: true,
        addresses: BTreeSet::from([address.clone()]),
        routes: BTreeSet::from([route.clone()]),
        owner: Owner::Networkd,
        ..NetworkLink::default()
    };
    let links = BTreeMap::from([(name("ens5"), port), (name("vlan7"), vlan)]);
    let network = Network { links, rules: BTreeSet::from([rule.clone()]) };
    let boot = Some("ab-12".parse().unwrap());
    let kept = Kept { network, at: Moment(9_000), boot, change: 2 };
    let link = || name("ens5");
    let deeds = vec![
        Deed::Functions { link: link(), count: 1 },
        Deed::Function { link: link(), number: 0, data: raw("01") },
        Deed::Set {
            link: link(),
            group: "ring".to_owned(),
            settings: BTreeMap::from([("rx".to_owned(), 1024)]),
        },
        Deed::Mac { link: link(), mac: "00:0f:53:a1:00:00".parse().unwrap() },
        Deed::Make {
            link: name("vlan7"),
            below: Some(link()),
            kind: "vlan".to_owned(),
            data: raw("06"),
        },
        Deed::Mtu { link: link(), mtu: 9000 },
        Deed::Join { link: link(), master: name("bond0"), membership: raw("08") },
        Deed::Altnames { link: link(), names: BTreeSet::from(["enp59s0f0".to_owned()]) },
        Deed::Listen { link: link(), promiscuous: true, all_multicast: false },
        Deed::Qdisc { link: link(), kind: "fq".to_owned() },
        Deed::Up { link: link(), up: true },
        Deed::Address { link: name("vlan7"), address },
        Deed::Route { route },
        Deed::Rule { rule },
    ];
    let renaming = Renaming {
        port: "0000:3b:00.0".parse().unwrap(),
        from: name("eth0"),
        to: link(),
        may_go_down: true,
    };
    let pin = |altnames| Pin { name: link(), altnames };
    let by_mac = Key::Mac("00:0f:53:a1:00:00".parse().unwrap());
    let by_path = Key::Pci("0000:af:00.0".parse().unwrap());
    let other = Pin { name: name("ens6"), altnames: BTreeSet::new() };
    let pins = [(by_mac, pin(BTreeSet::from(["eth0".to_owned()]))), (by_path, other)];
    let owner = Owner::NetworkManager("0a-1b".to_owned());
    let steps = [
        Step::PinNames(Pins::from(pins)),
        Step::Rename(vec![renaming]),
        Step::HandBack { interface: link(), owner },
        Step::RestoreNetwork(deeds),
    ];
    let mut all: Vec<_> = steps.into_iter().map(Entry::StepStarted).collect();
    let differences = vec!["ens5: ring.rx is 512, was 1024".to_owned()];
    all.push(Entry::NetworkKept(kept));
    all.push(Entry::NetworkRestored { differences });
    all
}

/// What was put back stays with the change that took it away, which may still turn; and what was never
/// taken away is not put back.
#[test]
fn what_is_kept_goes_with_the_end_of_its_change() {
    let kept = || network().into_iter().rev().nth(1).unwrap();
    let restored = || Entry::NetworkRestored { differences: vec!["x".to_owned()] };
    let turned = || Entry::ChangeTurned { why: String::new(), called_off: false };
    let ended =
        || Entry::ChangeEnded { outcome: crate::change::Outcome::RolledBack, ended: Timestamp(11) };
    let module = || "sfc".parse().unwrap();
    let taken = || Entry::StepStarted(Step::UnloadModule { module: module() });
    let cases = [
        ("restored", vec![kept(), taken(), restored()], (true, true)),
        ("restored and turned", vec![kept(), taken(), restored(), turned()], (true, false)),
        ("turned and ended", vec![kept(), taken(), turned(), ended()], (true, false)),
        ("restored and ended", vec![kept(), taken(), restored(), ended()], (false, true)),
        ("nothing taken", vec![kept(), ended()], (false, false)),
        ("restored after", vec![kept(), taken(), ended(), restored()], (false, true)),
    ];
    for (why, entries, expected) in cases {
        let mut ledger = sample();
        // The last of these opens change 2.
        changes().into_iter().chain(entries).for_each(|entry| ledger.take(entry));
        let found = (ledger.network.is_some(), ledger.differences.is_some());
        assert_eq!(found, expected, "{why}");
        let again = Ledger::parse(ledger.to_text().as_bytes()).unwrap();
        assert_eq!(again.ledger, ledger, "{why}, written and read");
    }
}

/// What format 3 has beside format 2.
fn keys() -> Vec<Entry> {
    let asked = |digit| {
        Entry::KeyAsked(Asked {
            fingerprint: Fingerprint([digit; 32]),
            name: "CN=Site modules".to_owned(),
            at: Timestamp(9),
            boot: "ab-12".parse().unwrap(),
            written: digit == 0xa0,
        })
    };
    let fingerprint = Fingerprint([0x1f; 32]);
    let wish = |digit, done| Entry::KeyWished { wish: Fingerprint([digit; 32]), done };
    vec![
        asked(0x1f),
        asked(0xa0),
        Entry::KeyForgotten { fingerprint },
        wish(1, true),
        wish(2, true),
        wish(1, false),
    ]
}

/// What format 2 has beside format 1.
fn changes() -> Vec<Entry> {
    let change = |number| Change {
        number,
        from: Some("in-tree".parse().unwrap()),
        to: "9.2.1".parse().unwrap(),
        origin: crate::change::Origin::Order(7),
        manner: crate::change::Manner::default(),
        kernel: Some("5.14.0".parse().unwrap()),
        boot: Some("ab-12".parse().unwrap()),
        began: Timestamp(9),
        touched: false,
        turned: None,
        called_off: false,
        confirm_by: None,
    };
    let boot = Some("ab-12".parse().unwrap());
    let order = Order { release: "9.2.1".parse().unwrap(), uid: 7, at: Timestamp(8), boot: None };
    let rejected = Rejected {
        release: "9.3.0".parse().unwrap(),
        former: Some("9.2.1".parse().unwrap()),
        why: "no".to_owned(),
        kernel: None,
        boot: None,
        touched: true,
    };
    let deadline = crate::change::Deadline {
        moment: crate::time::Moment(70_000),
        boot: boot.clone(),
        wall: Timestamp(70),
    };
    let outcome = crate::change::Outcome::RolledBack;
    vec![
        Entry::Ordered(Some(order)),
        Entry::ChangeBegan(change(1)),
        Entry::ChangeAwaits(deadline),
        Entry::ChangeTurned { why: "no confirmation came in time".to_owned(), called_off: false },
        Entry::ChangeEnded { outcome, ended: Timestamp(11) },
        Entry::Rejected(Some(rejected)),
        Entry::Loaded {
            module: "sfc".parse().unwrap(),
            release: "9.2.1".parse().unwrap(),
            boot: boot.clone(),
        },
        Entry::Loaded {
            module: "onload".parse().unwrap(),
            release: "9.2.1".parse().unwrap(),
            boot: boot.clone(),
        },
        Entry::AfXdpRegistered { interface: "ens5".parse().unwrap(), boot },
        Entry::BootProven(Proven {
            boot: "ab-11".parse().unwrap(),
            kernel: Some("5.14.0".parse().unwrap()),
            release: Some("9.1.2".parse().unwrap()),
        }),
        Entry::Unloaded { module: "onload".parse().unwrap() },
        Entry::OthersAdopted(Adoptions::from([(
            Manager::OnloadOperator,
            Adoption { evidence: "a socket".to_owned(), uid: 7, at: Timestamp(12) },
        )])),
        Entry::Named {
            id: AllocationId(2),
            container: PodContainer {
                namespace: "default".to_owned(),
                pod: "web-0".to_owned(),
                container: "app".to_owned(),
            },
        },
        Entry::ChangeBegan(change(2)),
    ]
}

/// While a format is not shipped its fixture is what is written of every entry; afterwards a new
/// entry means a new format with a fixture of its own.
#[test]
fn the_newest_fixture_has_every_entry_of_its_format() {
    let all = [journal(), changes(), keys(), network(), clocks::entries()].concat();
    let text: String = all.iter().map(line).collect();
    let fixture = include_str!("../../../../tests/formats/ledger-5.json");
    assert_eq!(fixture, format!("{HEADER}\n{text}"));
}

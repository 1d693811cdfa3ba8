//! Names of ports: who has them pinned and when, what a name that cannot be had keeps from happening,
//! and how often a port is renamed.

use super::lab::Lab;
use super::*;
use crate::af_xdp::LinkFile;
use crate::change::Manner;
use crate::condition::Status;
use crate::job::JobState;
use crate::naming::UdevNames;
use crate::network::{Network, NetworkLink};
use crate::picture::NodeState;
use crate::reading::Reading::{Absent, Known, Unreadable};
use crate::sample::{PORTS, inner, port};

const ON_9_1: &str = "[modules]\nrelease = \"9.1.2\"\n[pools.onload]\nslots = 4\n";
const PINNED: &str = "pin the names ens0, ens1";

fn config(policy: &str) -> String {
    format!("{ON_9_1}[naming]\npolicy = \"{policy}\"\n")
}

fn tables(names: &[(&str, &str)]) -> String {
    let table = |(by, name): &(&str, &str)| format!("[[naming.ports]]\n{by}\nname = \"{name}\"\n");
    config("explicit") + &names.iter().map(table).collect::<String>()
}

fn use_9_2(lab: &mut Lab) -> JobState {
    let release = "9.2.1".parse().unwrap();
    lab.ask(Command::Use { release, manner: Manner::default() });
    lab.run(30_000);
    lab.picture.jobs.values().last().unwrap().state
}

fn why(lab: &Lab) -> Vec<String> {
    lab.picture.blockers.iter().map(|one| one.blocker.why()).collect()
}

#[test]
fn unless_said_otherwise_names_are_kept_from_the_first_swap_on() {
    let mut lab = Lab::new(ON_9_1, "9.1.2");
    assert_eq!((lab.done.len(), lab.named().1.as_str()), (0, "NotPinned"));
    lab.call("ens1", "trade1");
    lab.run(2_000);
    assert_eq!(lab.done, [""; 0], "as somebody calls it");
    assert_eq!(use_9_2(&mut lab), JobState::Done);
    assert_eq!(lab.done[0], "pin the names ens0, trade1");
    assert_eq!((lab.named().0, lab.picture.state), (Status::True, NodeState::Ready));
    // From now on nobody calls it otherwise, and what comes new is kept as well.
    lab.done.clear();
    lab.call("trade1", "ens1");
    let address = "0000:d8:00.0".parse().unwrap();
    let interface = crate::inventory::Interface { port: Known(address), ..Default::default() };
    inner(&mut lab.node.ports).insert(address, port(1));
    inner(&mut lab.node.interfaces).insert("ens2".parse().unwrap(), interface);
    lab.touch();
    lab.run(5_000);
    assert_eq!(lab.done, ["pin the names ens0, trade1, ens2", "rename ens1 to trade1"]);
}

#[test]
fn who_is_not_asked_for_modules_or_has_no_card_pins_nothing() {
    let mut unmanaged = Lab::new("[pools.onload]\nslots = 4\n", "in-tree");
    let mut idle = Lab::new(ON_9_1, "9.1.2");
    inner(&mut idle.node.ports).clear();
    for lab in [&mut unmanaged, &mut idle] {
        lab.touch();
        lab.run(60_000);
        assert_eq!((lab.done.len(), &lab.node.pins), (0, &Absent));
    }
    let mut refused = Lab::new(&config("sometimes"), "9.1.2");
    refused.pin(&[(0, "x")]);
    refused.run(60_000);
    assert_eq!((refused.done.len(), refused.pinned()), (0, vec!["x".to_owned()]), "hands off");
    assert_eq!(refused.named().1, "HandsOff");
}

#[test]
fn off_takes_files_back_and_swaps_without() {
    let mut lab = Lab::new(&config("off"), "9.1.2");
    assert_eq!(use_9_2(&mut lab), JobState::Done);
    assert!(lab.done.iter().all(|step| !step.starts_with("pin")), "{:?}", lab.done);
    lab.done.clear();
    lab.pin(&[(0, "other0")]);
    lab.run(5_000);
    assert_eq!(lab.done, ["take back the names of ports"]);
    assert_eq!((lab.pinned().len(), lab.names()[0].as_str()), (0, "ens0"));
}

#[test]
fn what_is_asked_for_does_not_wait_for_a_swap() {
    let mut lab = Lab::new(&config("keep"), "9.1.2");
    assert_eq!(lab.done, [PINNED]);
    lab.done.clear();
    lab.reconfigure(&tables(&[("port-number = 0", "ens1"), ("port-number = 1", "ens0")]));
    lab.run(5_000);
    assert_eq!(lab.done, ["pin the names ens1, ens0", "rename ens0 to ens1, ens1 to ens0"]);
    assert_eq!((lab.names(), why(&lab)), (vec!["ens1".to_owned(), "ens0".to_owned()], vec![]));
}

#[test]
fn a_held_node_is_named_when_the_hold_ends() {
    let mut lab = Lab::new(ON_9_1, "9.1.2");
    lab.ask(Command::Hold { reason: "x".to_owned(), expiry: None });
    lab.reconfigure(&tables(&[("port-number = 0", "sfc0")]));
    lab.run(60_000);
    assert_eq!((lab.done.len(), &lab.node.pins), (0, &Absent));
    lab.ask(Command::Unhold);
    lab.run(5_000);
    assert_eq!(lab.done, ["pin the names sfc0", "rename ens0 to sfc0"]);
}

#[test]
fn a_driver_stays_while_a_name_that_is_asked_for_cannot_be_had() {
    let mut lab = Lab::new(ON_9_1, "9.1.2");
    let eno = crate::inventory::Interface::default();
    inner(&mut lab.node.interfaces).insert("eno1".parse().unwrap(), eno);
    lab.reconfigure(&tables(&[("port-number = 0", "eno1")]));
    lab.run(5_000);
    assert!(why(&lab)[0].contains("interface eno1 has it"), "{:?}", why(&lab));
    assert_eq!(use_9_2(&mut lab), JobState::Failed);
    assert_eq!((lab.done.len(), lab.loaded().as_deref()), (0, Some("9.1.2")));
    let job = lab.picture.jobs.values().last().unwrap();
    assert!(job.message.contains("would not get the name eno1"), "{}", job.message);
    assert!(lab.named().2.contains("choose another name"), "{:?}", lab.named());
    // One that means a port of another node is in nobody's way.
    lab.reconfigure(&tables(&[("pci = \"0000:d8:00.0\"", "sfc9")]));
    assert_eq!(use_9_2(&mut lab), JobState::Done);
    assert_eq!((lab.pinned(), lab.named().0), (vec!["sfc9".to_owned()], Status::True));
    assert_eq!(lab.picture.state, NodeState::Ready, "{:?}", why(&lab));
}

#[test]
fn over_pins_that_cannot_be_read_none_is_written() {
    let mut lab = Lab::new(&config("keep"), "9.1.2");
    lab.done.clear();
    lab.node.pins = Unreadable("10-onloadd-x.link: line 3".to_owned());
    lab.call("ens1", "other1");
    lab.run(5_000);
    assert_eq!(lab.done, [""; 0]);
    assert_eq!((lab.named().0, lab.named().1.as_str()), (Status::Unknown, "Unreadable"));
    assert!(why(&lab)[0].ends_with("10-onloadd-x.link: line 3"), "{:?}", why(&lab));
    assert!(lab.picture.blockers[0].blocker.fix().starts_with("mend or remove that file"));
    // With another driver names would be others, also where nobody has asked for any.
    for config in [config("keep").as_str(), ON_9_1] {
        lab.reconfigure(config);
        assert_eq!(use_9_2(&mut lab), JobState::Failed);
        assert_eq!((lab.done.len(), lab.loaded().as_deref()), (0, Some("9.1.2")));
        let message = lab.picture.jobs.values().last().unwrap().message.clone();
        assert!(message.contains("10-onloadd-x.link: line 3"), "{message}");
    }
    lab.reconfigure(&config("off"));
    assert_eq!(use_9_2(&mut lab), JobState::Done);
    assert!(lab.done.iter().all(|step| !step.contains("names")), "{:?}", lab.done);
}

#[test]
fn a_port_that_somebody_renames_again_and_again_is_left_to_them() {
    let mut lab = Lab::new(&config("keep"), "9.1.2");
    lab.done.clear();
    for _ in 0..5 {
        if lab.names()[1] == "ens1" {
            lab.call("ens1", "mine1");
        }
        lab.run(60_000);
    }
    assert_eq!(lab.done, ["rename mine1 to ens1"; 3]);
    assert!(why(&lab)[0].contains("calls it mine1 again and again"), "{:?}", why(&lab));
    assert_eq!(lab.named().0, Status::False);
    // An order is one more try.
    lab.ask(Command::Apply { retry: false, manner: Manner::default() });
    lab.run(5_000);
    assert_eq!((lab.done.len(), lab.names()[1].as_str()), (4, "ens1"));
}

#[test]
fn a_name_that_nobody_asked_for_keeps_no_driver() {
    let mut lab = Lab::new(ON_9_1, "9.1.2");
    lab.network.unpinnable = true;
    assert_eq!(use_9_2(&mut lab), JobState::Done);
    assert_eq!(lab.loaded().as_deref(), Some("9.2.1"));
    let (status, reason, message) = lab.named();
    assert_eq!((status, reason.as_str()), (Status::False, "NotPinned"));
    assert!(message.contains("Read-only file system"), "{message}");
    // One that is asked for does.
    let mut lab = Lab::new(ON_9_1, "9.1.2");
    lab.network.unpinnable = true;
    lab.reconfigure(&config("keep"));
    use_9_2(&mut lab);
    lab.run(120_000);
    let job = lab.picture.jobs.values().last().unwrap();
    assert!(job.state == JobState::Failed && job.message.contains("Read-only"), "{job:?}");
    assert_eq!(lab.loaded().as_deref(), Some("9.1.2"));
}

#[test]
fn a_driver_stays_until_udev_has_named_its_ports_but_not_for_ever() {
    let mut lab = Lab::new(ON_9_1, "9.1.2");
    lab.udev_names("ens0", true);
    let mut never = lab.clone();
    let release = "9.2.1".parse().unwrap();
    lab.ask(Command::Use { release, manner: Manner::default() });
    lab.run(3_000);
    assert_eq!((lab.done.len(), lab.picture.state), (0, NodeState::Converging));
    lab.udev_names("ens0", false);
    lab.run(5_000);
    assert_eq!((lab.done[0].as_str(), lab.loaded().as_deref()), (PINNED, Some("9.2.1")));
    assert_eq!(use_9_2(&mut never), JobState::Done);
    assert_eq!(never.done[0], "pin the names ens1");
}

#[test]
fn a_port_that_was_not_pinned_is_called_as_before_at_the_end_of_a_swap() {
    // Without a word, and as is asked for; only names that are chosen leave other ports alone.
    for (config, expected) in
        [(ON_9_1, "ens1"), (config("off").as_str(), "anew1"), (tables(&[]).as_str(), "anew1")]
    {
        let mut lab = Lab::new(config, "9.1.2");
        let own = "/etc/systemd/network/50-sfc.link".to_owned();
        let udev = UdevNames { link_file: Some(own.clone()), ..UdevNames::default() };
        lab.node.link_files = Known([(own, LinkFile::default())].into());
        for name in ["ens0", "ens1"] {
            lab.interface(name).udev = Known(Box::new(udev.clone()));
        }
        let links = [("ens0", PORTS[0]), ("ens1", PORTS[1])].map(|(name, port)| {
            let port = Some(port.parse().unwrap());
            let link = NetworkLink { port, mtu: 1500, ..NetworkLink::default() };
            (name.parse().unwrap(), link)
        });
        lab.carry(Network { links: links.into(), ..Network::default() });
        lab.network.called_anew = Some(1);
        assert_eq!(use_9_2(&mut lab), JobState::Done);
        assert_eq!((lab.names()[1].as_str(), &lab.node.pins), (expected, &Absent), "{config}");
        assert_eq!(lab.carried().links.len(), 2);
    }
}

#[test]
fn a_kill_at_any_point_ends_where_an_uninterrupted_run_does() {
    let start = || {
        let mut lab = Lab::new(ON_9_1, "9.1.2");
        lab.configure(super::lab::parse(&tables(&[("port-number = 0", "sfc0")])).unwrap());
        lab.done.clear();
        lab.pin(&[(1, "old1")]);
        lab
    };
    let end = |lab: &Lab| (lab.pinned(), lab.names(), lab.loaded(), why(lab));
    let mut whole = start();
    assert_eq!(use_9_2(&mut whole), JobState::Done);
    let expected = (vec!["sfc0".to_owned()], vec!["sfc0".to_owned(), "ens1".to_owned()]);
    assert_eq!((whole.pinned(), whole.names()), expected);
    let mut kills = 0;
    for fuse in 0.. {
        let mut lab = start();
        let release = "9.2.1".parse().unwrap();
        lab.ask(Command::Use { release, manner: Manner::default() });
        lab.fuse = Some(fuse);
        if lab.run(30_000) {
            break;
        }
        kills += 1;
        lab.restart();
        lab.run(60_000);
        assert_eq!(end(&lab), end(&whole), "killed after {fuse} effects");
    }
    assert!(kills > 20, "{kills}");
}

//! sfptpd looked after, the system clock handed over, and both through a change of drivers.

use super::lab::Lab;
use super::lab::clocks::{CHRONYD, SFPTPD};
use super::*;
use crate::change::Manner;
use crate::clock::HardwareClock;
use crate::clock::picture::Keeper;
use crate::clock::unit::{Active, Ended};
use crate::condition::{ConditionKind, Status};
use crate::job::JobState;
use crate::picture::NodeState;
use crate::reading::Reading::{Absent, Known, Unreadable};
use crate::sample::inner;

const NODE: &str =
    "[modules]\nrelease = \"9.1.2\"\n[pools.onload]\nslots = 4\n[naming]\npolicy = \"off\"\n";

fn managed(more: &str) -> String {
    format!("{NODE}[ptp]\nmode = \"manage\"\n{more}")
}

fn condition(lab: &Lab, kind: ConditionKind) -> (Status, String) {
    let found = lab.picture.conditions.iter().find(|one| one.kind == kind).unwrap();
    (found.status, found.reason.clone())
}

fn supervised(lab: &Lab) -> (Status, String) {
    condition(lab, ConditionKind::ClockSupervised)
}

fn synchronised(lab: &Lab) -> Status {
    condition(lab, ConditionKind::ClockSynchronised).0
}

fn hand_over(lab: &mut Lab, to: Keeper) -> (JobState, String) {
    lab.ask(Command::HandOver { to });
    lab.run(60_000);
    let job = lab.picture.jobs.values().last().unwrap();
    (job.state, job.message.clone())
}

#[test]
fn who_does_not_ask_for_it_has_nothing_run_and_who_says_off_nothing_looked_at() {
    let mut lab = Lab::keeps_time(NODE, "9.1.2", &[SFPTPD]);
    lab.run(300_000);
    assert_eq!(lab.done, [""; 0]);
    assert_eq!(supervised(&lab), (Status::Unknown, "NotManaged".to_owned()));
    assert_eq!(synchronised(&lab), Status::False, "nobody steers it");
    assert_eq!(lab.picture.state, NodeState::Ready, "nobody asked for that");
    let lab = Lab::keeps_time(&format!("{NODE}[ptp]\nmode = \"off\"\n"), "9.1.2", &[SFPTPD]);
    assert_eq!((synchronised(&lab), lab.picture.clocks.clocks.len()), (Status::Unknown, 0));
}

#[test]
fn sfptpd_is_started_and_what_stops_it_is_told() {
    let mut lab = Lab::keeps_time(&managed(""), "9.1.2", &[SFPTPD, "onloadd-sfptpd.service"]);
    assert_eq!(lab.done, ["start sfptpd.service"], "that of the package");
    lab.run(120_000);
    assert_eq!(supervised(&lab), (Status::True, "Running".to_owned()));
    assert_eq!(synchronised(&lab), Status::True);
    assert!(lab.picture.clocks.outages.is_empty(), "it never was synchronised before");
    // Somebody stops it: it is started again, and not for ever.
    for round in 0..4 {
        lab.down(SFPTPD, Active::Inactive);
        lab.touch();
        lab.run(20_000);
        assert_eq!(lab.done.len(), 3.min(round + 2), "{round}");
    }
    assert_eq!(supervised(&lab), (Status::False, "KeepsStopping".to_owned()));
    assert_eq!(lab.picture.state, NodeState::Blocked);
    lab.ask(Command::Apply { retry: true, manner: Manner::default() });
    lab.run(20_000);
    assert_eq!(lab.done.len(), 4);
    assert_eq!(lab.picture.state, NodeState::Ready);
}

#[test]
fn a_crash_is_left_to_systemd() {
    let mut lab = Lab::keeps_time(&managed(""), "9.1.2", &[SFPTPD]);
    lab.run(60_000);
    lab.done.clear();
    lab.down(SFPTPD, Active::Activating);
    lab.unit(SFPTPD).sub = "auto-restart".to_owned();
    lab.unit(SFPTPD).ended = Some(Ended::Status(16));
    lab.touch();
    lab.run(60_000);
    assert_eq!((lab.done.len(), supervised(&lab).1.as_str()), (0, "Restarting"));
    lab.down(SFPTPD, Active::Failed);
    lab.touch();
    lab.run(300_000);
    assert_eq!((lab.done.len(), supervised(&lab).1.as_str()), (0, "Failed"));
    let message = &lab.picture.clocks.supervision.message;
    assert!(message.contains("EBUSY"), "{message}");
    lab.unit(SFPTPD).result = "start-limit-hit".to_owned();
    lab.touch();
    lab.run(60_000);
    assert_eq!((lab.done.len(), supervised(&lab).1.as_str()), (0, "StartLimitHit"));
    lab.ask(Command::Apply { retry: true, manner: Manner::default() });
    lab.run(60_000);
    assert_eq!((lab.done.len(), supervised(&lab).1.as_str()), (1, "Running"));
}

#[test]
fn what_cannot_start_is_not_tried_for_ever() {
    let mut lab = Lab::new(NODE, "9.1.2");
    lab.time.crash = Some(Ended::Status(95));
    let mut failing = Lab::keeps_time(NODE, "9.1.2", &[SFPTPD]);
    failing.time.crash = Some(Ended::Status(95));
    failing.reconfigure(&managed(""));
    failing.run(600_000);
    assert_eq!(failing.done, ["start sfptpd.service"], "systemd has it");
    assert_eq!(supervised(&failing).1, "Failed");
}

#[test]
fn one_that_hangs_is_started_anew_three_times_and_no_other_is() {
    // Whose statistics are a file stands still; whose they are to be asked for does not answer.
    for mute in [false, true] {
        let mut lab = Lab::keeps_time(&managed("hang-after = \"60s\"\n"), "9.1.2", &[SFPTPD]);
        lab.run(120_000);
        lab.done.clear();
        (lab.time.hangs, lab.time.mute) = (true, mute);
        lab.run(55_000);
        assert_eq!(lab.done, [""; 0], "not yet");
        lab.run(30_000);
        assert_eq!(lab.done, ["start sfptpd.service anew"], "{mute}");
        lab.run(600_000);
        let all = lab.done.len();
        assert!((2..=3).contains(&all), "{:?}", lab.done);
        // One that never said anything has longer.
        assert!(mute || supervised(&lab).1 == "KeepsHanging");
        assert_eq!(usize::try_from(lab.picture.clocks.supervision.hangs).unwrap(), all);
    }
}

#[test]
fn one_that_cannot_be_read_is_not_taken_for_one_that_hangs() {
    for gap in [Absent, Unreadable("denied".to_owned())] {
        let mut lab = Lab::keeps_time(NODE, "9.1.2", &["+sfptpd.service"]);
        lab.clocks().sfptpd = gap.clone();
        lab.reconfigure(&managed(""));
        lab.run(600_000);
        assert_eq!(lab.done, [""; 0], "{gap:?}");
        assert_eq!(supervised(&lab).1, "Running");
    }
}

#[test]
fn a_hold_or_another_manager_keeps_hands_off() {
    let mut lab = Lab::keeps_time(NODE, "9.1.2", &[SFPTPD]);
    lab.ask(Command::Hold { reason: "maintenance".to_owned(), expiry: None });
    lab.reconfigure(&managed(""));
    lab.run(60_000);
    assert_eq!(lab.done, [""; 0]);
    let mut lab = Lab::keeps_time(NODE, "9.1.2", &[SFPTPD, "+ptp4l.service"]);
    lab.reconfigure(&managed(""));
    lab.run(60_000);
    assert_eq!((lab.done.len(), supervised(&lab).1.as_str()), (0, "OtherManager"));
    lab.down("ptp4l.service", Active::Inactive);
    lab.touch();
    lab.run(20_000);
    assert_eq!(lab.done, ["start sfptpd.service"]);
}

#[test]
fn a_configuration_is_written_with_the_names_that_ports_have() {
    let config = managed("configuration = \"/etc/onloadd/sfptpd.cfg\"\n");
    let mut lab = Lab::keeps_time(&config, "9.1.2", &[SFPTPD]);
    assert_eq!((lab.done.len(), supervised(&lab).1.as_str()), (0, "ConfigurationMissing"));
    let template = "[general]\nsync_module ptp ptp1\n[ptp1]\ninterface port:0\n";
    lab.clocks().template = Known(template.replace("interface", "interfax"));
    lab.touch();
    lab.run(20_000);
    assert_eq!((lab.done.len(), supervised(&lab).1.as_str()), (0, "ConfigurationRefused"));
    let message = lab.picture.clocks.supervision.message.clone();
    assert!(message.contains("line 4") && message.contains("interfax"), "{message}");
    lab.clocks().template = Known(template.to_owned());
    lab.touch();
    lab.run(20_000);
    assert_eq!(lab.done, ["write the configuration of sfptpd.service", "start sfptpd.service"]);
    let written = lab.clocks().written.known().unwrap().text().to_owned();
    assert_eq!(written, template.replace("port:0", "ens0"));
    // A rename does not break it.
    lab.done.clear();
    lab.call("ens0", "trade0");
    lab.touch();
    lab.run(20_000);
    let steps = ["write the configuration of sfptpd.service", "start sfptpd.service anew"];
    assert_eq!(lab.done, steps);
    let written = lab.clocks().written.known().unwrap().text().to_owned();
    assert_eq!(written, template.replace("port:0", "trade0"));
    // What onloadd gave it goes with the wish.
    lab.done.clear();
    lab.reconfigure(NODE);
    lab.run(20_000);
    assert_eq!(lab.done, ["have sfptpd use its own configuration again"]);
}

#[test]
fn the_clock_is_handed_over_and_back_and_a_kill_changes_nothing() {
    let mut lab = Lab::keeps_time(&managed(""), "9.1.2", &[SFPTPD, "+chronyd.service"]);
    assert_eq!((lab.done.len(), supervised(&lab).1.as_str()), (0, "Conflict"));
    assert_eq!(
        condition(&lab, ConditionKind::ClockUndisputed),
        (Status::False, "Chronyd".to_owned())
    );
    let (state, message) = hand_over(&mut lab, Keeper::Sfptpd);
    assert_eq!(state, JobState::Done, "{message}");
    assert_eq!(lab.done, ["stop chronyd.service", "start sfptpd.service"]);
    // Whoever starts it again does not keep it.
    lab.done.clear();
    lab.up(CHRONYD);
    lab.touch();
    lab.run(20_000);
    assert_eq!(lab.done, ["stop chronyd.service"]);
    lab.restart();
    lab.run(20_000);
    assert_eq!(lab.done.len(), 1, "the ledger knows");
    lab.done.clear();
    let (state, message) = hand_over(&mut lab, Keeper::Former);
    assert_eq!(state, JobState::Done, "{message}");
    assert_eq!(lab.done, ["stop sfptpd.service", "start chronyd.service"]);
    lab.run(60_000);
    assert_eq!((lab.done.len(), supervised(&lab).1.as_str()), (2, "HandedBack"));
    let mut ended = Vec::new();
    for fuse in 0..24 {
        let mut lab = Lab::keeps_time(&managed(""), "9.1.2", &[SFPTPD, "+chronyd.service"]);
        lab.fuse = Some(fuse);
        lab.ask(Command::HandOver { to: Keeper::Sfptpd });
        lab.run(60_000);
        lab.restart();
        lab.run(60_000);
        let runs = [SFPTPD, CHRONYD].map(|unit| lab.unit(unit).active == Active::Active);
        assert!(runs == [true, false] || runs == [false, true], "{fuse}: {runs:?}");
        ended.push(runs[0]);
    }
    assert!(ended.is_sorted() && ended.last() == Some(&true), "{ended:?}");
}

#[test]
fn a_busy_systemd_ends_no_order_before_it_has_answered() {
    for (busy, state, runs) in
        [(8_000, JobState::Done, [false, true]), (70_000, JobState::Failed, [false, true])]
    {
        let mut lab = Lab::keeps_time(&managed(""), "9.1.2", &[SFPTPD, "+chronyd.service"]);
        assert_eq!(hand_over(&mut lab, Keeper::Sfptpd).0, JobState::Done);
        lab.ask(Command::HandOver { to: Keeper::Former });
        lab.time.busy = lab.at + busy;
        lab.run(5_000);
        let job = lab.picture.jobs.values().last().unwrap();
        assert_eq!((job.state, lab.unit(CHRONYD).active), (JobState::Running, Active::Inactive));
        lab.run(60_000);
        let job = lab.picture.jobs.values().last().unwrap();
        assert_eq!(job.state, state, "{job:?}");
        // Whatever became of the order, what it asked for stands.
        lab.run(20_000);
        let found = [SFPTPD, CHRONYD].map(|unit| lab.unit(unit).active == Active::Active);
        assert_eq!(found, runs, "{busy}");
    }
    let mut lab = Lab::keeps_time(&managed(""), "9.1.2", &[SFPTPD, "+chronyd.service"]);
    lab.time.busy = u64::MAX;
    lab.touch();
    lab.run(20_000);
    let id = lab.ask(Command::HandOver { to: Keeper::Sfptpd });
    lab.run(1_000);
    let refusal = lab.answers[&id].clone().unwrap_err();
    assert!(refusal.to_string().contains("did not answer"), "{refusal}");
}

#[test]
fn an_order_that_cannot_be_carried_out_is_refused_with_the_reason() {
    for (config, units, to, why) in [
        (NODE.to_owned(), vec![SFPTPD], Keeper::Sfptpd, "does not run sfptpd here"),
        (managed(""), vec![CHRONYD], Keeper::Sfptpd, "no unit on this node runs sfptpd"),
        (managed(""), vec![SFPTPD], Keeper::Former, "never handed"),
        (format!("{NODE}[ptp]\nmode = \"off\"\n"), vec![SFPTPD], Keeper::Sfptpd, "not looked at"),
    ] {
        let mut lab = Lab::keeps_time(&config, "9.1.2", &units);
        let id = lab.ask(Command::HandOver { to });
        lab.run(1_000);
        let refusal = lab.answers[&id].clone().unwrap_err();
        assert!(refusal.to_string().contains(why), "{refusal}");
    }
}

/// The driver is replaced while sfptpd has the clock of its port.
fn swap(lab: &mut Lab) -> JobState {
    let release = "9.2.1".parse().unwrap();
    lab.done.clear();
    lab.ask(Command::Use { release, manner: Manner::default() });
    lab.run(30_000);
    lab.picture.jobs.values().last().map_or(JobState::Running, |job| job.state)
}

fn opens_the_clock(lab: &mut Lab, unit: &str) {
    let port = crate::sample::PORTS[0].parse().unwrap();
    let name = lab.node.interface_of(&port).unwrap().0.clone();
    inner(&mut lab.node.interfaces).get_mut(&name).unwrap().phc_index = Known(0);
    let pid = lab.unit(unit).main_pid.unwrap();
    lab.holds(pid, Some(unit), "/dev/ptp0");
}

#[test]
fn a_change_of_drivers_stops_sfptpd_first_and_starts_it_last() {
    let mut lab = Lab::keeps_time(&managed(""), "9.1.2", &[SFPTPD]);
    lab.run(120_000);
    opens_the_clock(&mut lab, SFPTPD);
    assert_eq!(swap(&mut lab), JobState::Done, "{:?}", lab.picture.blockers);
    assert_eq!(lab.done.first().map(String::as_str), Some("stop sfptpd.service"));
    assert_eq!(lab.done.last().map(String::as_str), Some("start sfptpd.service"));
    assert_eq!(lab.done.iter().filter(|step| step.contains("sfptpd")).count(), 2);
    lab.run(120_000);
    assert_eq!(synchronised(&lab), Status::True);
    let outages = lab.picture.clocks.outages.clone();
    assert_eq!(outages.len(), 1, "{outages:?}");
    let lasted = outages[0].millis.unwrap();
    assert_eq!(outages[0].change, Some(lab.picture.history.last().unwrap().change.number));
    assert!((5_000..120_000).contains(&lasted), "{lasted}");
}

#[test]
fn whatever_becomes_of_a_change_sfptpd_runs_after_it() {
    for fuse in (0..80).step_by(3) {
        let mut lab = Lab::keeps_time(&managed(""), "9.1.2", &[SFPTPD]);
        lab.run(120_000);
        opens_the_clock(&mut lab, SFPTPD);
        lab.fuse = Some(fuse);
        if swap(&mut lab) != JobState::Done {
            lab.restart();
        }
        lab.fuse = None;
        lab.run(60_000);
        assert_eq!(lab.unit(SFPTPD).active, Active::Active, "{fuse}");
        assert_eq!(synchronised(&lab), Status::True, "{fuse}");
    }
    // One that is refused is not begun, and one that turns comes back.
    let mut lab = Lab::keeps_time(&managed(""), "9.1.2", &[SFPTPD]);
    lab.run(120_000);
    opens_the_clock(&mut lab, SFPTPD);
    lab.open(77, None);
    assert_eq!(swap(&mut lab), JobState::Failed);
    assert_eq!(lab.done, [""; 0], "somebody uses the stack");
    lab.close_one(77);
    lab.faults.load = Some(("onload", "9.2.1"));
    assert_eq!(swap(&mut lab), JobState::Failed);
    assert_eq!(lab.loaded().as_deref(), Some("9.1.2"));
    lab.run(120_000);
    assert_eq!((lab.unit(SFPTPD).active, synchronised(&lab)), (Active::Active, Status::True));
}

#[test]
fn a_unit_of_somebody_else_that_is_stopped_by_order_is_started_again() {
    let mut lab = Lab::keeps_time(NODE, "9.1.2", &["+ptp4l.service"]);
    opens_the_clock(&mut lab, "ptp4l.service");
    assert_eq!(swap(&mut lab), JobState::Failed, "it is only asked to go where that is ordered");
    let manner = Manner { holders: crate::change::Holders::Stop, confirm_within: None };
    lab.done.clear();
    lab.ask(Command::Use { release: "9.2.1".parse().unwrap(), manner });
    lab.run(60_000);
    assert_eq!(lab.loaded().as_deref(), Some("9.2.1"), "{:?}", lab.picture.jobs);
    assert_eq!(lab.done.first().map(String::as_str), Some("stop ptp4l.service"));
    assert_eq!(lab.done.last().map(String::as_str), Some("start ptp4l.service"));
    lab.done.clear();
    lab.down("ptp4l.service", Active::Inactive);
    lab.touch();
    lab.run(60_000);
    assert_eq!(lab.done, [""; 0], "it is not onloadd's");
}

#[test]
fn a_pool_that_asks_for_time_has_none_without() {
    let config = managed("") + "[pools.timed]\nrequire-clock = true\nslots = 2\n";
    let mut lab = Lab::keeps_time(&config, "9.1.2", &[SFPTPD]);
    let unhealthy = |lab: &Lab| {
        let pools = lab.picture.pools.iter();
        let counts = pools.map(|(name, pool)| (name.to_string(), pool.counts().unhealthy));
        counts.collect::<BTreeMap<_, _>>()
    };
    lab.run(120_000);
    assert_eq!(unhealthy(&lab), [("onload".to_owned(), 0), ("timed".to_owned(), 0)].into());
    lab.time.offset = 5_000;
    lab.run(60_000);
    assert_eq!(unhealthy(&lab)["timed"], 2);
    assert_eq!(unhealthy(&lab)["onload"], 0);
    lab.time.offset = 5;
    lab.run(120_000);
    assert_eq!(unhealthy(&lab)["timed"], 0);
    assert_eq!(lab.picture.clocks.outages.len(), 1);
    let refused = Lab::new(
        &(NODE.to_owned() + "[ptp]\nmode = \"off\"\n[pools.timed]\nrequire-clock = true\n"),
        "9.1.2",
    );
    assert_eq!(refused.picture.state, NodeState::Degraded);
}

#[test]
fn clocks_alone_are_looked_at_on_their_own_pace() {
    let mut lab = Lab::keeps_time(&managed(""), "9.1.2", &[SFPTPD]);
    lab.run(60_000);
    lab.network.looks.clear();
    lab.run(120_000);
    let of = |depth: &str| lab.network.looks.iter().filter(|look| *look == depth).count();
    assert!((8..=13).contains(&of("Clocks")), "{:?}", lab.network.looks);
    assert!((1..=3).contains(&of("Usual")), "{:?}", lab.network.looks);
    assert!(!lab.clocks().hardware.contains_key(&7));
    lab.clocks().hardware.insert(7, HardwareClock { lock: Absent, ..Default::default() });
    lab.run(20_000);
    assert!(lab.picture.clocks.clocks.contains_key("ptp7"));
}

//! Programs that steer clocks do to each other, and become by time, what the real ones do.

// A test that cannot unwrap has failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use onload_core::clock::kernel::Leap;
use onload_core::clock::linuxptp::PortState;
use onload_core::clock::sfptpd::Sfptpd;
use onload_core::clock::unit::{Active, Ended, Unit};
use onload_core::clock::{ClockLook, Clocks, Written};
use onload_core::inventory::{Depth, Look};
use onload_core::reading::Reading;
use onload_core::step::{Outcome, Step};

use super::super::world::World;

const SFPTPD: &str = "sfptpd.service";

fn world() -> World {
    World::parse(World::shipped("clocks").unwrap()).unwrap()
}

fn act(world: &mut World, line: &str) {
    world.act(&line.parse().unwrap()).unwrap_or_else(|error| panic!("{line}: {error}"));
}

fn clocks(world: &World) -> Clocks {
    let names = ["sfptpd.service", "chronyd.service", "nobody.service"];
    let clocks = Some(ClockLook {
        units: names.map(str::to_owned).into(),
        template: Some("/etc/onloadd/sfptpd.cfg".to_owned()),
        again: false,
    });
    *world.look(Look { depth: Depth::Clocks, clocks }).clocks.into_known().unwrap()
}

fn units(world: &World) -> BTreeMap<String, Unit> {
    clocks(world).units.into_known().unwrap()
}

fn sfptpd(world: &World) -> Sfptpd {
    clocks(world).sfptpd.into_known().unwrap()
}

fn start(world: &mut World, unit: &str) -> Result<Outcome, String> {
    world.apply(&Step::StartUnit { unit: unit.to_owned() }).map_err(|error| error.to_string())
}

fn stop(world: &mut World, unit: &str) -> Outcome {
    world.apply(&Step::StopUnit { unit: unit.to_owned() }).unwrap()
}

/// State, result, how it ended last, and how often systemd has restarted it.
fn unit(world: &World) -> (Active, String, Option<Ended>, u32) {
    let unit = units(world)[SFPTPD].clone();
    (unit.active, unit.result, unit.ended, unit.restarts)
}

#[test]
fn it_comes_into_sync_after_a_minute_and_its_files_are_as_old() {
    let mut world = world();
    let before = sfptpd(&world);
    assert!(before.instances.is_absent() && before.states.is_empty() && before.metrics);
    world.pass(59_000);
    let sample = sfptpd(&world).samples.into_known().unwrap()["ptp1->phc0(ens1f0)"].clone();
    assert!(sample.disciplining && !sample.in_sync);
    world.pass(1_000);
    let now = sfptpd(&world);
    let samples = now.samples.into_known().unwrap();
    assert!(samples.values().all(|sample| sample.in_sync && sample.disciplining), "{samples:?}");
    assert_eq!(samples.len(), 2, "{samples:?}");
    assert!(now.pulse >= before.pulse + 60);
    assert_eq!(now.instances.known().unwrap()["ptp1"].state, "ptp-slave");
    assert!(now.states["system"].known().unwrap().in_sync.unwrap());
    assert!(!clocks(&world).kernel.into_known().unwrap().unsynchronised);

    // An alarm is in what it says at once, and in its files a minute later.
    act(&mut world, "alarm no-sync-pkts");
    world.pass(1_000);
    let now = sfptpd(&world);
    assert!(!now.samples.into_known().unwrap()["ptp1->phc0(ens1f0)"].in_sync);
    assert_eq!(now.instances.known().unwrap()["ptp1"].state, "ptp-slave");
    world.pass(59_000);
    assert_eq!(sfptpd(&world).instances.known().unwrap()["ptp1"].state, "ptp-slave-alarm");
}

#[test]
fn clocks_are_steered_or_run_off() {
    let mut world = world();
    let ahead = |world: &World| clocks(world).hardware[&0].ahead_ns.clone().into_known().unwrap();
    world.pass(90_000);
    assert_eq!(ahead(&world), 0);
    act(&mut world, "time-step 7200");
    assert_eq!(ahead(&world), -7_200_000_000_000);
    assert!(clocks(&world).kernel.into_known().unwrap().unsynchronised);
    world.pass(1_000);
    assert_eq!(ahead(&world), 0, "taken back");
    act(&mut world, "clock-offset system 50000");
    world.pass(1_000);
    assert_eq!(ahead(&world), -50_000, "kept there");
    let samples = sfptpd(&world).samples.into_known().unwrap();
    assert!(!samples["system->system"].in_sync && samples["ptp1->phc0(ens1f0)"].in_sync);
    act(&mut world, "clock-offset system 0");
    stop(&mut world, SFPTPD);
    act(&mut world, "clock-drift system 20");
    world.pass(10_000);
    assert_eq!(ahead(&world), -200, "run off");
    act(&mut world, "leap insert");
    assert_eq!(clocks(&world).kernel.into_known().unwrap().leap, Leap::Insert);
    // The kernel trusts what it was told last for hours.
    world.pass(3_600_000);
    assert!(!clocks(&world).kernel.into_known().unwrap().unsynchronised);
    world.pass(8 * 3_600_000);
    assert!(clocks(&world).kernel.into_known().unwrap().unsynchronised);
}

#[test]
fn systemd_restarts_what_crashes_and_counts() {
    let mut world = world();
    let first = units(&world)[SFPTPD].main_pid;
    act(&mut world, "clockd sfptpd.service crash 19");
    let ended = Some(Ended::Status(19));
    assert_eq!(unit(&world), (Active::Activating, "exit-code".to_owned(), ended, 0));
    assert_eq!(world.restarts_in(), Some(5_000));
    world.pass(4_000);
    assert!(clocks(&world).daemons.known().unwrap().is_empty());
    world.pass(1_000);
    assert_eq!(unit(&world), (Active::Active, "success".to_owned(), ended, 1));
    assert_ne!(units(&world)[SFPTPD].main_pid, first);
    // By hand, and from nothing, it counts anew.
    stop(&mut world, SFPTPD);
    assert_eq!(unit(&world).0, Active::Inactive);
    assert_eq!(start(&mut world, SFPTPD), Ok(Outcome::Changed));
    assert_eq!(start(&mut world, SFPTPD), Ok(Outcome::Unchanged));
    assert_eq!(unit(&world).3, 0);
    // A kill counts as well.
    let pid = units(&world)[SFPTPD].main_pid.unwrap();
    act(&mut world, &format!("exit {pid}"));
    assert_eq!(unit(&world).1, "signal");
}

#[test]
fn a_start_limit_is_kept_whoever_starts() {
    let mut world = world();
    world.pass(60_000);
    act(&mut world, "clockd sfptpd.service crash 1");
    act(&mut world, "clockd sfptpd.service fails 16");
    for _ in 0..5 {
        let why = start(&mut world, SFPTPD).unwrap_err();
        assert!(why.ends_with("it ended with status 16"), "{why}");
    }
    let why = start(&mut world, SFPTPD).unwrap_err();
    assert!(why.contains("start-limit-hit"), "{why}");
    assert_eq!((unit(&world).0, unit(&world).1.as_str()), (Active::Failed, "start-limit-hit"));
    assert_eq!(world.restarts_in(), None, "systemd has given it up");
    act(&mut world, "clockd sfptpd.service fails none");
    world.pass(11_000);
    assert_eq!(unit(&world).0, Active::Failed);
    assert_eq!(start(&mut world, SFPTPD), Ok(Outcome::Changed));
}

#[test]
fn who_else_steers_ends_it_with_its_own_status() {
    let cases = [
        ("systemd-timesyncd.service", Ok(Outcome::Changed), "the unit that conflicts is stopped"),
        ("chronyd.service", Err(95), "EOPNOTSUPP"),
        ("ntpd.service", Err(16), "EBUSY"),
        ("phc2sys.service", Ok(Outcome::Changed), "not noticed"),
    ];
    for (rival, expected, why) in cases {
        let mut world = world();
        stop(&mut world, SFPTPD);
        act(&mut world, &format!("clockd {rival} run"));
        let started = start(&mut world, SFPTPD);
        let ended = unit(&world).2;
        match expected {
            Ok(outcome) => assert_eq!(started, Ok(outcome), "{why}"),
            Err(status) => assert_eq!(ended, Some(Ended::Status(status)), "{why}"),
        }
    }
    // One that comes later, too.
    let mut world = world();
    act(&mut world, "clockd chronyd.service run");
    world.pass(1_000);
    assert_eq!(unit(&world).2, Some(Ended::Status(95)));
    let mut world = self::world();
    act(&mut world, "clockd systemd-timesyncd.service run");
    assert_eq!(unit(&world).0, Active::Inactive, "the other way round");
    // Without any clock there is nothing to do.
    let mut world = self::world();
    stop(&mut world, SFPTPD);
    act(&mut world, "driver gone sfc");
    assert!(start(&mut world, SFPTPD).unwrap_err().ends_with("status 19"));
}

#[test]
fn a_clock_goes_with_its_driver_and_whoever_holds_it_is_left_behind() {
    let mut world = world();
    act(&mut world, "clockd ptp4l.service run");
    world.pass(5_000);
    let seen = clocks(&world);
    let pid = units(&world)[SFPTPD].main_pid.unwrap();
    assert_eq!(seen.hardware[&0].lock, Reading::Known(pid));
    assert_eq!((seen.lock, seen.hardware[&0].users.len()), (Reading::Known(pid), 2));
    let users = world.look(Depth::Users).users.into_known().unwrap();
    assert!(users[&pid].uses.contains("/dev/ptp0"), "{users:?}");
    assert_eq!(users[&pid].started, seen.daemons.known().unwrap()[&pid].started);
    let state = |world: &World| {
        let all = clocks(world).ptp4l.into_values().next().unwrap();
        all.into_known().unwrap().ports[0].state
    };
    assert_eq!(state(&world), PortState::Slave);

    act(&mut world, "driver gone sfc");
    assert!(clocks(&world).hardware.is_empty());
    act(&mut world, "coldplug");
    let pulse = sfptpd(&world).pulse;
    world.pass(30_000);
    let now = sfptpd(&world);
    assert_eq!((now.pulse, now.samples.is_unreadable()), (pulse, true), "it hangs");
    assert_eq!(state(&world), PortState::Faulty);
    assert_eq!(unit(&world).0, Active::Active, "systemd sees nothing");
    assert!(clocks(&world).hardware[&0].users.is_empty());

    let process = units(&world)[SFPTPD].main_pid.unwrap();
    let step = Step::RestartUnit { unit: SFPTPD.to_owned(), process };
    assert_eq!(world.apply(&step), Ok(Outcome::Changed));
    world.pass(60_000);
    assert!(sfptpd(&world).pulse > pulse);
    assert!(clocks(&world).hardware[&0].lock.known().is_some());
}

#[test]
fn what_is_written_is_checked_used_by_the_unit_and_gone_with_the_boot() {
    let mut world = world();
    let bad = Written::new("[general]\nsync_modules ptp1\n".to_owned(), SFPTPD.to_owned());
    assert!(world.apply(&Step::ConfigureClock(bad)).unwrap_err().to_string().contains("line 2"));
    let text = "[general]\nsync_module ptp far\n[far]\ninterface ens1f1\n".to_owned();
    let step = Step::ConfigureClock(Written::new(text, SFPTPD.to_owned()));
    assert_eq!(world.apply(&step), Ok(Outcome::Changed));
    assert_eq!(world.apply(&step), Ok(Outcome::Unchanged));
    world.pass(60_000);
    assert!(sfptpd(&world).instances.known().unwrap().contains_key("ptp1"), "not before a start");
    stop(&mut world, SFPTPD);
    start(&mut world, SFPTPD).unwrap();
    world.pass(60_000);
    assert!(sfptpd(&world).instances.known().unwrap().contains_key("far"));
    act(&mut world, "reboot");
    assert!(clocks(&world).written.is_absent());
    world.pass(60_000);
    assert!(sfptpd(&world).instances.known().unwrap().contains_key("ptp1"));
    let step = Step::LeaveClock;
    assert_eq!(world.apply(&step), Ok(Outcome::Unchanged));
}

#[test]
fn what_is_not_there_is_told_apart_from_what_cannot_be_read() {
    let mut world = world();
    let seen = clocks(&world);
    assert!(
        !units(&world)["nobody.service"].installed && units(&world)["chronyd.service"].installed
    );
    assert!(seen.template.known().unwrap().contains("port:0"));
    assert!(start(&mut world, "nobody.service").is_err());
    act(&mut world, "template broken");
    assert!(clocks(&world).template.known().unwrap().contains("sync_modules"));
    act(&mut world, "template gone");
    assert!(clocks(&world).template.is_unreadable());
    act(&mut world, "clockd chronyd.service run");
    assert_eq!(clocks(&world).chrony.known().unwrap().stratum, 2);
    act(&mut world, "clockd chronyd.service lost");
    assert_eq!(clocks(&world).chrony.known().unwrap().leap, None);
    act(&mut world, "clockd chronyd.service hang");
    assert!(clocks(&world).chrony.is_unreadable());
    act(&mut world, "fault unreadable clocks");
    let look = Look { depth: Depth::Clocks, clocks: Some(ClockLook::default()) };
    assert!(world.look(look).clocks.is_unreadable());
    assert!(world.look(Depth::Usual).clocks.is_absent(), "nobody asked");
}

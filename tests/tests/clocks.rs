//! Clocks looked at beside real programs: chronyd, and two ptp4l over a pair of interfaces. Each test runs in
//! namespaces of its own, and no program here may set a clock: chronyd has `-x`, ptp4l runs free.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that meets what it does not expect ends there"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use onload_core::clock::chrony::Chrony;
use onload_core::clock::daemon::{Daemon, DaemonKind};
use onload_core::clock::kernel::Leap;
use onload_core::clock::linuxptp::{PortState, Ptp4l};
use onload_core::clock::{ClockLook, Clocks};
use onload_core::inventory::{Depth, Look};
use onload_core::reading::Reading;
use onload_tests::namespace::{alone, printed};
use onloadd::host::Host as _;
use onloadd::host::linux::{Linux, Places};

/// What chronyd and ptp4l need until they answer: seconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program that runs until the test ends.
struct Running(Child);

impl Running {
    fn start(line: &str, log: &Path) -> Self {
        let log = fs::File::create(log).unwrap();
        let mut words = line.split(' ');
        let mut command = Command::new(words.next().unwrap());
        command.args(words).stdin(Stdio::null()).stderr(log.try_clone().unwrap()).stdout(log);
        Self(command.spawn().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A host, and the runtime that it needs.
struct Rig {
    host: Linux,
    runtime: tokio::runtime::Runtime,
}

impl Rig {
    fn on(root: &Path) -> Self {
        let places = Places {
            root: root.to_owned(),
            kubelet_directory: PathBuf::from("/var/lib/kubelet/device-plugins"),
            state_directory: PathBuf::from("/var/lib/onloadd"),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let host = runtime.block_on(async { Linux::open(places).unwrap() });
        Self { host, runtime }
    }

    fn look(&self, depth: Depth) -> Clocks {
        let look = Look { depth, clocks: Some(ClockLook::default()) };
        match self.runtime.block_on(self.host.observe(look)).clocks {
            Reading::Known(clocks) => *clocks,
            gap => panic!("{gap:?}"),
        }
    }

    /// Looks until something is so.
    fn until<T>(&self, what: &str, found: impl Fn(&Clocks) -> Option<T>) -> T {
        let started = Instant::now();
        loop {
            let clocks = self.look(Depth::Clocks);
            if let Some(found) = found(&clocks) {
                return found;
            }
            assert!(started.elapsed() < PATIENCE, "{what}: {clocks:#?}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// A recording reads back as what was seen.
    fn reads_back(&self) {
        let copy = tempfile::tempdir().unwrap();
        let seen = self.runtime.block_on(self.host.record(copy.path())).unwrap();
        let again = Self::on(copy.path()).look(Depth::Usual);
        assert_eq!(Reading::Known(Box::new(again)), seen.clocks);
    }
}

fn only(clocks: &Clocks, kind: DaemonKind) -> (u32, Daemon) {
    let daemons = clocks.daemons.known().unwrap();
    let mut found = daemons.iter().filter(|(_, daemon)| daemon.kind == kind);
    let (pid, daemon) = found.next().unwrap_or_else(|| panic!("no {kind} in {daemons:?}"));
    assert!(found.next().is_none(), "one {kind}: {daemons:?}");
    (*pid, daemon.clone())
}

#[test]
fn where_nobody_steers_a_clock_a_look_waits_for_nothing() {
    alone("where_nobody_steers_a_clock_a_look_waits_for_nothing", &[], || {
        let rig = Rig::on(Path::new("/"));
        let clocks = rig.look(Depth::Usual);
        assert_eq!(clocks.daemons.known().map(|daemons| daemons.len()), Some(0));
        assert_eq!((&clocks.units, &clocks.chrony), (&Reading::Absent, &Reading::Absent));
        assert!(clocks.kernel.known().is_some(), "{:?}", clocks.kernel);
        let waits = || {
            let status = fs::read_to_string("/proc/thread-self/status").unwrap();
            let line = status.lines().find(|line| line.starts_with("voluntary")).unwrap();
            line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
        };
        const LOOKS: u64 = 100;
        let (before, started) = (waits(), Instant::now());
        for _ in 0..LOOKS {
            rig.look(Depth::Clocks);
        }
        let (waited, took) = (waits() - before, started.elapsed());
        println!("measured: {LOOKS} looks at clocks: {waited} waits, {took:?}");
        // A file system may make somebody wait once in a while; a child or a bus call would each time.
        assert!(waited < LOOKS / 10, "{waited} voluntary switches in {LOOKS} looks");
        rig.reads_back();
    });
}

#[test]
fn chronyd_is_understood_as_it_is() {
    alone("chronyd_is_understood_as_it_is", &["chronyd", "chronyc"], || {
        let place = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = place.path().join(name);
            fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let common = |name: &str| {
            format!("pidfile {0}/{name}.pid\nbindcmdaddress /\n", place.path().display())
        };
        let text = "server 127.0.0.1 port 11123 iburst minpoll 0 maxpoll 0\ncmdport 3323\nport 0\n";
        let follower = file("follower", &(common("follower") + text));
        let text = "local stratum 5\nport 11123\nallow 127.0.0.1\ncmdport 0\n";
        let server = file("server", &(common("server") + text));
        let rig = Rig::on(Path::new("/"));
        rig.look(Depth::Usual);
        let start = |file: &str| {
            let line = format!("chronyd -x -d -u root -f {file}");
            Running::start(&line, &place.path().join("log"))
        };

        let first = start(&server);
        rig.until("it is there, and takes no questions", |clocks| {
            clocks.chrony.why_not().filter(|why| why.contains("cmdport 0")).map(str::to_owned)
        });
        let clocks = rig.look(Depth::Clocks);
        assert_eq!(only(&clocks, DaemonKind::Chronyd).0, first.0.id());

        let second = start(&follower);
        let chrony: Chrony = rig.until("it follows the other", |clocks| {
            clocks.chrony.known().filter(|chrony| chrony.stratum == 6).cloned()
        });
        assert_eq!(
            (chrony.source.as_str(), chrony.reference_id.as_str()),
            ("127.0.0.1", "7F000001")
        );
        assert_eq!((chrony.usable_sources, chrony.sources), (1, 1));
        assert_eq!(chrony.leap, Some(Leap::None));
        // Both have the same clock.
        assert!(chrony.offset_ns.abs() < 10_000_000, "{chrony:?}");
        let clocks = rig.look(Depth::Clocks);
        let daemon = &clocks.daemons.known().unwrap()[&second.0.id()];
        assert!(daemon.told.leaves_system_clock && daemon.started > 0);
        assert_eq!(daemon.told.command_port, Some(3323));
        rig.reads_back();

        drop((first, second));
        assert_eq!(rig.look(Depth::Clocks).chrony, Reading::Absent);
    });
}

/// The value of a key that pmc prints.
fn value<'a>(text: &'a str, key: &str) -> &'a str {
    let mut lines = text.lines().filter_map(|line| line.trim().strip_prefix(key));
    let rest = lines.find(|rest| rest.starts_with(char::is_whitespace));
    rest.unwrap_or_else(|| panic!("no {key}: {text}")).trim()
}

/// What pmc says of all that we ask for.
fn pmc(socket: &Path) -> String {
    let mut command = Command::new("pmc");
    command.args(["-u", "-b", "0", "-d", "24", "-t", "1", "-s"]).arg(socket);
    for id in [
        "DEFAULT_DATA_SET",
        "CURRENT_DATA_SET",
        "PARENT_DATA_SET",
        "TIME_PROPERTIES_DATA_SET",
        "TIME_STATUS_NP",
        "PORT_DATA_SET",
        "PORT_PROPERTIES_NP",
    ] {
        command.arg(format!("GET {id}"));
    }
    let out = command.output().unwrap();
    // Numbers of messages differ.
    printed(&out).lines().filter(|line| !line.contains(" seq ")).fold(
        String::new(),
        |text, line| {
            // Counts on with every packet.
            if line.contains("ingress_time") { text } else { text + line + "\n" }
        },
    )
}

/// What stands in `said` as pmc would print it, against what it printed.
fn agrees(said: &Ptp4l, printed: &str) {
    let number = |key: &str| value(printed, key).parse::<i64>().unwrap();
    // With decimals.
    let whole = |key: &str| value(printed, key).parse::<f64>().unwrap().floor();
    assert_eq!(said.clock_identity, value(printed, "clockIdentity"));
    assert_eq!(i64::from(said.domain), number("domainNumber"));
    assert_eq!(i64::from(said.steps_removed), number("stepsRemoved"));
    assert_eq!(said.master_offset_ns, Some(number("master_offset")));
    assert_eq!(said.path_delay_ns.map(|ns| ns as f64), Some(whole("meanPathDelay")));
    assert_eq!(said.has_grandmaster, value(printed, "gmPresent") == "true");
    assert_eq!(said.grandmaster, value(printed, "gmIdentity"));
    assert_eq!(i64::from(said.grandmaster_class), number("gm.ClockClass"));
    let valid = value(printed, "currentUtcOffsetValid") == "1";
    assert_eq!(said.utc_offset.map(i64::from), valid.then(|| number("currentUtcOffset")));
    let port = &said.ports[0];
    assert_eq!(format!("{:?}", port.state).to_uppercase(), value(printed, "portState"));
    assert_eq!(port.interface.as_deref(), Some(value(printed, "interface")));
    assert_eq!(port.hardware_stamps, Some(value(printed, "timestamping") != "SOFTWARE"));
}

#[test]
fn ptp4l_says_to_us_what_it_says_to_pmc() {
    alone("ptp4l_says_to_us_what_it_says_to_pmc", &["ptp4l", "pmc"], || {
        let place = tempfile::tempdir().unwrap();
        for line in [
            "netns add other",
            "link add p0 type veth peer name p1 netns other",
            "addr add 10.1.0.1/24 dev p0",
            "link set p0 up",
            "-n other addr add 10.1.0.2/24 dev p1",
            "-n other link set p1 up",
        ] {
            let out = Command::new("ip").args(line.split(' ')).output().unwrap();
            assert!(out.status.success(), "ip {line}: {}", printed(&out));
        }
        let rig = Rig::on(Path::new("/"));
        rig.look(Depth::Usual);
        // Domain and socket stand in a file, as for most that are run as services.
        let start = |name: &str, more: &str, wrapper: &str| {
            let (configuration, socket) =
                (place.path().join(name), place.path().join(name.to_owned() + "-socket"));
            let text = format!(
                "[global]\ndomainNumber 24\ntransportSpecific 1\ntime_stamping software\nfree_running 1\n\
                 uds_address {}\nlogAnnounceInterval -2\nlogSyncInterval -2\n\
                 logMinDelayReqInterval -2\n{more}",
                socket.display()
            );
            fs::write(&configuration, text).unwrap();
            let line = format!("{wrapper}ptp4l -m -q -f {}", configuration.display());
            (Running::start(&line, &place.path().join(name.to_owned() + "-log")), socket)
        };
        let (_master, master) = start("master", "priority1 10\n[p0]\n", "");
        let (slave_process, slave) = start("slave", "slaveOnly 1\n[p1]\n", "ip netns exec other ");

        let of = |clocks: &Clocks, socket: &Path| {
            clocks.ptp4l.get(&socket.display().to_string()).and_then(Reading::known).cloned()
        };
        let said = rig.until("a slave with a master", |clocks| {
            of(clocks, &slave)
                .filter(|said| said.has_grandmaster && said.path_delay_ns.is_some_and(|ns| ns != 0))
        });
        // It would be its slave, were it to steer.
        assert!(matches!(said.ports[0].state, PortState::Uncalibrated | PortState::Slave));
        let other = rig.until("its master", |clocks| {
            of(clocks, &master).filter(|said| said.ports[0].state == PortState::Master)
        });
        assert_eq!(said.grandmaster, other.clock_identity);
        assert!(!other.has_grandmaster);

        let started = Instant::now();
        let mut compared = 0;
        // Four times a second there is something new: only what did not change meanwhile is compared. A median goes
        // back and forth between two delays, so one look is not enough to see it stay.
        while compared < 5 {
            assert!(started.elapsed() < PATIENCE, "its numbers never stay for two looks");
            let before = pmc(&slave);
            let [said, again] = [(); 2].map(|()| of(&rig.look(Depth::Clocks), &slave).unwrap());
            if said == again && before == pmc(&slave) {
                agrees(&said, &before);
                compared += 1;
            }
        }
        agrees(&of(&rig.look(Depth::Clocks), &master).unwrap(), &pmc(&master));

        let clocks = rig.look(Depth::Clocks);
        let daemon = &clocks.daemons.known().unwrap()[&slave_process.0.id()];
        assert_eq!((daemon.told.domain, daemon.told.transport_specific), (24, 1));
        assert!(daemon.told.interfaces.contains("p1") && daemon.told.steers.is_empty());
        rig.reads_back();

        // One that hangs costs a bounded time, and a reason.
        let pid = slave_process.0.id().to_string();
        let signal = |name: &str| Command::new("kill").args([name, &pid]).status().unwrap();
        assert!(signal("-STOP").success());
        let started = Instant::now();
        let clocks = rig.look(Depth::Clocks);
        let took = started.elapsed();
        let why = clocks.ptp4l[&slave.display().to_string()].why_not().unwrap().to_owned();
        println!("measured: a look with a ptp4l that hangs took {took:?}");
        assert!(why.contains("did not answer") && took < Duration::from_secs(2), "{why}, {took:?}");
        assert!(signal("-CONT").success());
    });
}

#[test]
fn who_may_not_set_the_clock_is_no_clock_daemon() {
    alone("who_may_not_set_the_clock_is_no_clock_daemon", &["setpriv"], || {
        let place = tempfile::tempdir().unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(place.path(), open).unwrap();
        let program = place.path().join("ptp4l");
        fs::copy("/bin/sleep", &program).unwrap();
        let begin = |before: &str| {
            let line = format!("{before}{} 60", program.display());
            let running = Running::start(&line, &place.path().join("log"));
            let comm = format!("/proc/{}/comm", running.0.id());
            let end = Instant::now() + PATIENCE;
            while fs::read_to_string(&comm).is_ok_and(|comm| comm.trim() != "ptp4l") {
                assert!(Instant::now() < end, "{line} does not begin");
                std::thread::sleep(Duration::from_millis(10));
            }
            running
        };
        let roots = begin("");
        // As those become that keep what they need.
        let keeps =
            "setpriv --reuid 65534 --clear-groups --inh-caps +sys_time --ambient-caps +sys_time ";
        let able = begin(keeps);
        let nobodys = begin("setpriv --reuid 65534 --clear-groups ");
        // Root in a user namespace of its own, with every capability there.
        let apart = begin("setpriv --reuid 65534 --clear-groups unshare --user --map-root-user ");
        let seen = Rig::on(Path::new("/")).look(Depth::Usual).daemons.into_known().unwrap();
        let pids: Vec<_> = seen.keys().copied().collect();
        let others = [nobodys.0.id(), apart.0.id()];
        assert_eq!(pids, [roots.0.id(), able.0.id()], "and none of {others:?}");
    });
}

//! What onloadd reads of a stand-in that runs, through the host as the daemon uses it.

use onload_core::clock::ClockLook;
use onload_core::clock::sfptpd::Sfptpd;
use onload_core::inventory::{Depth, Look};
use onload_core::reading::Reading;
use onloadd::host::Host as _;
use onloadd::host::linux::{Linux, Places};

use super::*;

/// The host on a machine's files.
struct Reader {
    host: Linux,
    runtime: tokio::runtime::Runtime,
}

impl Reader {
    fn new(machine: &Machine) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let places = Places {
            root: machine.place.path().to_owned(),
            kubelet_directory: "/var/lib/kubelet/device-plugins".into(),
            state_directory: "/var/lib/onloadd".into(),
        };
        let host = runtime.block_on(async { Linux::open(places) }).unwrap();
        Self { host, runtime }
    }

    fn look(&self) -> Reading<Sfptpd> {
        let look = Look { depth: Depth::Usual, clocks: Some(ClockLook::default()) };
        let seen = self.runtime.block_on(self.host.observe(look));
        seen.clocks.into_known().expect("clocks were asked for").sfptpd
    }

    fn known(&self) -> Sfptpd {
        self.look().into_known().expect("it runs")
    }
}

impl Machine {
    /// Shows the process among those of the machine's files.
    fn show_process(&self) {
        let pid = self.pid();
        let directory = self.path(&format!("proc/{pid}"));
        fs::create_dir_all(&directory).unwrap();
        for name in ["comm", "cmdline", "stat"] {
            fs::copy(format!("/proc/{pid}/{name}"), directory.join(name)).unwrap();
        }
        fs::write(directory.join("cgroup"), "0::/system.slice/sfptpd.service\n").unwrap();
        // The command line has the path with the root; the machine has it without.
        let line = format!("sfptpd\0--no-daemon\0-f\0{}\0", "/etc/sfptpd.conf");
        fs::write(directory.join("cmdline"), line).unwrap();
    }
}

#[test]
fn a_running_one_is_read_whole_without_taking_its_samples() {
    let mut machine = Machine::new(SLAVE);
    let reader = Reader::new(&machine);
    assert_eq!(reader.look(), Reading::Absent, "none runs");
    machine.start(&[], &[]);
    machine.told();
    machine.show_process();
    wait_for("both clocks", || {
        let samples = reader.known().samples.into_known().unwrap_or_default();
        samples.len() == 2 && samples.values().all(|sample| sample.in_sync && sample.disciplining)
    });
    let before = machine.ask("/peek/rt-stats.jsonl").1.lines().count();
    let found = reader.known();
    assert!(machine.ask("/peek/rt-stats.jsonl").1.lines().count() >= before);
    assert!(found.metrics);
    assert_eq!(found.version, Reading::Known("3.9.0.1007".to_owned()));
    assert_eq!(found.control, Reading::Known("/run/sfptpd/control-v1.sock".to_owned()));
    assert!(found.instances.known().unwrap()["ptp1"].selected);
    assert_eq!(found.states["ptp1"].known().unwrap().state, "ptp-slave");
    assert_eq!(found.samples.known().unwrap()["ptp1->phc0(eth1)"].master, "gm");
    assert!(found.topology.known().unwrap().contains("phc0(eth1)"));
    wait_for("something new", || reader.known().pulse != found.pulse);

    machine.order("testmode=hang");
    wait_for("silence", || reader.known().samples.is_unreadable() || !reader.known().metrics);
    let hung = reader.known().pulse;
    let again = reader.known();
    assert_eq!(again.pulse, hung, "nothing new: {again:?}");
}

#[test]
fn one_without_metrics_is_read_from_its_file_and_in_its_former_place() {
    let mut machine = Machine::new(SLAVE);
    machine.start(&[], &[(Place::RELEASE, "3.8")]);
    machine.told();
    machine.show_process();
    let reader = Reader::new(&machine);
    wait_for("both clocks", || reader.known().samples.known().is_some_and(|all| all.len() == 2));
    let found = reader.known();
    assert!(!found.metrics);
    let control = "/var/run/sfptpd-control-v1.sock".to_owned();
    assert_eq!(found.control, Reading::Known(control));
    wait_for("something new", || reader.known().pulse != found.pulse);
    machine
        .child
        .take()
        .map(|mut child| child.kill().and_then(|()| child.wait()))
        .unwrap()
        .unwrap();
    let last = reader.known().pulse;
    assert_eq!(reader.known().pulse, last, "nothing new");
}

//! What it writes into its state directory (reference/sfptpd.md section 4).

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::clocks::Clock;
use super::engine::{Engine, Follower, GRANDMASTER, PARENT};
use super::samples::words;
use super::{VERSION, place::Place};

/// What outlives a start.
const KEPT: &str = "freq-correction-";

/// The state directory.
#[derive(Debug)]
pub(super) struct StateDirectory(PathBuf);

impl StateDirectory {
    /// Makes it, or empties it but for what outlives a start.
    pub(super) fn make(path: PathBuf, effective: &str) -> io::Result<Self> {
        fs::create_dir_all(&path)?;
        for entry in fs::read_dir(&path)?.flatten() {
            let kept = entry.file_name().to_str().is_some_and(|name| name.starts_with(KEPT));
            if !kept && entry.file_type().is_ok_and(|kind| kind.is_file()) {
                fs::remove_file(entry.path())?;
            }
        }
        let state = Self(path);
        state.write("config", effective)?;
        state.write("version", &format!("{VERSION}\n"))?;
        Ok(state)
    }

    /// Writes all that changes.
    pub(super) fn save(&self, engine: &Engine, place: &Place) -> io::Result<()> {
        for (name, follower) in &engine.followers {
            self.write(&format!("state-{name}"), &state_of(engine, name, follower))?;
        }
        let reference = engine.reference();
        for (short, servo) in &engine.servos {
            let clock = &engine.clocks.all[short];
            let mut text = format!(
                "clock-name: {}\nclock-id: {}\nstate: local-slave\nalarms: none\n\
                 reference-clock-name: {}\nreference-clock-id: {}\n\
                 offset-from-reference: {:.6}\nfreq-adjustment-ppb: -1234.500000\nin-sync: {}\n\
                 p-term: 0.000000\ni-term: -1234.500000\ndiff-method: sys-offset-ext/-\n",
                clock.long,
                clock.id,
                reference.long,
                reference.id,
                servo.track.offset,
                u8::from(servo.track.in_sync)
            );
            if !servo.blocked.is_empty() {
                let by: Vec<_> = servo.blocked.iter().copied().collect();
                let _ = writeln!(text, "blocked-by: {}", by.join(" "));
            }
            self.write(&format!("state-{}", clock.id), &text)?;
            if servo.disciplining {
                self.write(&format!("{KEPT}{}", clock.id), "-1234.500000\n")?;
            }
        }
        self.write("sync-instances", &instances(engine))?;
        self.write("interfaces", &interfaces(engine, place))?;
        self.write("topology", &topology(engine))?;
        self.write("ptp-nodes", "| state  | clock-id            | port | domain |\n")
    }

    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let made = self.0.join(format!(".{name}"));
        fs::write(&made, text)?;
        fs::rename(made, self.0.join(name))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

fn state_of(engine: &Engine, name: &str, follower: &Follower) -> String {
    let clock: &Clock = &engine.clocks.all[&follower.clock];
    let mut flags = String::new();
    if engine.selected == name {
        flags += "selected ";
    }
    flags += "timestamp-processing ";
    if engine.selected == name && clock.ours() {
        flags += "clock-ctrl ";
    }
    let (long, id, state) = (&clock.long, &clock.id, &follower.state);
    let alarms = words(&follower.alarms);
    let mut text = format!("instance: {name}\nclock-name: {long}\n");
    let packets = matches!(follower.told.kind.as_str(), "ptp" | "pps");
    if packets || follower.told.kind == "freerun" {
        let _ = writeln!(text, "clock-id: {id}");
    }
    let _ = writeln!(text, "state: {state}\nalarms: {alarms}");
    if matches!(follower.told.kind.as_str(), "ntp" | "crny" | "gps") {
        let constraints = if follower.forced { "must-be-selected " } else { "none" };
        let _ = writeln!(text, "constraints: {constraints}");
    }
    let _ = writeln!(text, "control-flags: {flags}");
    let interface = follower.told.interface.as_deref().unwrap_or_default();
    let track = &follower.track;
    let in_sync = u8::from(track.in_sync);
    if packets {
        let _ = writeln!(text, "interface: {interface} ({interface})");
    }
    if follower.told.kind == "ptp" {
        let _ = writeln!(text, "transport: ipv4\ntimestamping: hw");
    }
    if !follower.is_slave() {
        return text;
    }
    match follower.told.kind.as_str() {
        "ptp" => {
            let _ = write!(
                text,
                "offset-from-master: {:.6}\none-way-delay: 428.000000\n\
                 freq-adjustment-ppb: -1234.500000\nin-sync: {in_sync}\nptp-domain: 0\n\
                 steps-removed: 1\nparent-clock-id: {PARENT}\nparent-port-num: 1\n\
                 delay-mechanism: end-to-end\ntwo-step: two-step\nslave-only: true\n\
                 grandmaster-id: {GRANDMASTER}\ngrandmaster-clock-class: 6\n\
                 grandmaster-clock-accuracy: 33 (<100ns)\ngrandmaster-bmc-priority1: 128\n\
                 grandmaster-bmc-priority2: 128\ntimescale: TAI\ncurrent-utc-offset: 37\n\
                 leap-59: 0\nleap-61: 0\nclustering-score: 0\ndiff-method: sys-offset-ext\n",
                track.offset
            );
        }
        "ntp" | "crny" => {
            let _ = write!(
                text,
                "offset-from-peer: {:.6}\nin-sync: {in_sync}\nselected-peer: 192.0.2.1\n\
                 num-peers: 4\nnum-candidates: 3\nclustering-score: 0\n",
                track.offset
            );
        }
        _ => {
            let _ = write!(text, "offset-from-master: {:.6}\nin-sync: {in_sync}\n", track.offset);
        }
    }
    text
}

/// A row, and a line below it where one is asked for.
fn row(text: &mut String, row: &str, line: bool) {
    let _ = writeln!(text, "{row}");
    if line {
        let _ = writeln!(text, "{}", "-".repeat(row.chars().count()));
    }
}

fn instances(engine: &Engine) -> String {
    let mut text = String::new();
    let header = format!(
        "| {:>2} | {:<12}{:>1} | {:>1}{:>1} |{:<9} {:>1} | {:>1} | {:>8} | {:>1} | {:<11} | {:>8} | {:>9} | {:>5} |",
        "R",
        "instance",
        "S",
        "M",
        "X",
        "state",
        "O",
        "A",
        "priority",
        "C",
        "gm class",
        "accuracy",
        "allan var",
        "steps"
    );
    row(&mut text, &header, true);
    let mut ordered: Vec<_> = engine.followers.iter().collect();
    ordered.sort_by_key(|(name, it)| (**name != engine.selected, it.told.priority, *name));
    let last = ordered.len();
    for ((name, follower), rank) in ordered.into_iter().zip(1..) {
        // Without the kind, and what runs free is a master of its own.
        let (_, state) = follower.state.split_once('-').unwrap_or_default();
        let state = if follower.told.kind == "freerun" { "master" } else { state };
        let state = state.trim_end_matches("-alarm");
        let order = match state {
            "slave" => 0,
            "master" => 1,
            "listening" => 3,
            _ => 5,
        };
        let class = if follower.is_slave() { "locked" } else { "freerunning" };
        let record = format!(
            "| {:>2} | {:<12}{:>1} | {}{} |{:<9} {} | {} | {:>8} | {} | {:<11} | {:>8} | {:>9} | {:>5} |",
            rank,
            name,
            if *name == engine.selected { "*" } else { " " },
            if engine.chosen.as_ref() == Some(name) { 'M' } else { '-' },
            if follower.forced { 'm' } else { '-' },
            state,
            order,
            if follower.alarms.is_empty() { ' ' } else { 'A' },
            follower.told.priority,
            0,
            class,
            100,
            "nan",
            1
        );
        row(&mut text, &record, rank == last);
    }
    text + "\nKey: R = rank  S = selected  M = manual  O = state order  A = alarms  C = clustering score\n     \
        X = external constraint (m = must-be-selected  c = cannot-be-selected) \n\
        \nSelection policy:\n 0 : manual\n 1 : ext-constraints\n"
}

fn interfaces(engine: &Engine, place: &Place) -> String {
    let line = |name: &str, ptp: &str, packets: &str, mac: &str| {
        format!("| {name:>16} | {ptp:>8} | {packets:>21} | {mac:>17} |")
    };
    let mut text = String::new();
    row(&mut text, &line("interface", "ptp-caps", "pkt-timestamping-caps", "mac-address"), true);
    let last = engine.clocks.of.len();
    for (interface, number) in engine.clocks.of.keys().zip(1..) {
        let address = place.below(format!("/sys/class/net/{interface}/address"));
        let mac = fs::read_to_string(address).unwrap_or_default();
        row(&mut text, &line(interface, "hw & sw", "hw & sw", mac.trim()), number == last);
    }
    text
}

fn topology(engine: &Engine) -> String {
    let (selected, reference) = (&engine.selected, &engine.reference().long);
    let mut text = format!(
        "====================\nstate: {}\n====================\n\n{selected}\n|\n|\nv\n{reference}\n",
        engine.followers.get(selected).map(|it| it.state.as_str()).unwrap_or_default()
    );
    for clock in engine.servos.keys() {
        let _ = writeln!(text, "|\nv\n{}", engine.clocks.all[clock].long);
    }
    text
}

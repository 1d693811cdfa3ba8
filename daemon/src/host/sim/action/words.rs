//! The words of a line: how one is read, and how it reads.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::str::FromStr;

use onload_core::clock::kernel::Leap;
use onload_core::inventory::{DEVICE_NODES, Link};
use onload_core::names::{InterfaceName, ReleaseName};
use onload_core::others::Manager;

use super::super::faults::{DEEDS, Fault, LOAD_FAULTS, PARTS, Part, UNLOAD_FAULTS};
use super::{Action, Claim, ClockName, ClockTurn, Place, Presence, TemplateState, Who};

/// What the kernel keeps of a process's name (TASK_COMM_LEN, without its end).
const LONGEST_COMM: usize = 15;

/// The longest name of a unit (systemd's UNIT_NAME_MAX).
const LONGEST_WORD: usize = 255;

/// Why the words are no action; empty when they have no form that is known.
pub(super) fn parse(words: &[&str]) -> Result<Action, String> {
    Ok(match words {
        ["load", module] => Action::Load { module: name(module)?, release: None },
        ["load", module, "from", release] => {
            Action::Load { module: name(module)?, release: Some(name(release)?) }
        }
        ["unload", module] => Action::Unload(name(module)?),
        ["driver", "gone", module] => Action::DriverGone(name(module)?),
        ["coldplug"] => Action::Coldplug,
        ["link", port, "up"] => Action::Link { port: name(port)?, link: Link::Up },
        ["link", port, "down"] => Action::Link { port: name(port)?, link: Link::Down },
        ["rename", interface, to] => Action::Rename { interface: name(interface)?, to: name(to)? },
        ["address", interface, address] => {
            Action::Address { interface: name(interface)?, address: unless_none(address, prefix)? }
        }
        ["route", interface, which] => {
            let route = match *which {
                "none" => None,
                "default" => Some("default".to_owned()),
                other => Some(prefix(other)?),
            };
            Action::Route { interface: name(interface)?, route }
        }
        ["mtu", interface, mtu] => {
            Action::Mtu { interface: name(interface)?, mtu: number(mtu)?.get() }
        }
        ["set", interface, setting, value] => Action::Set {
            interface: name(interface)?,
            setting: word(setting)?,
            value: value.parse().map_err(|_| format!("`{value}` is not a whole number"))?,
        },
        ["owner", "acts"] => Action::OwnersAct,
        ["upper", interface, upper] => {
            Action::Upper { interface: name(interface)?, upper: unless_none(upper, name)? }
        }
        ["contain", interface, container] => Action::Contain {
            interface: name(interface)?,
            container: unless_none(container, word)?,
        },
        ["claim", interface, claim] => {
            let claim = match *claim {
                "profile" => Some(Claim::Profile),
                "network" => Some(Claim::Network),
                "none" => None,
                _ => return Err(String::new()),
            };
            Action::Claim { interface: name(interface)?, claim }
        }
        ["register", interface] => Action::Register(name(interface)?),
        ["unplug", port] => Action::Unplug(name(port)?),
        ["plug", port] => Action::Plug(name(port)?),
        ["unbind", port] => Action::Unbind(name(port)?),
        ["bind", port] => Action::Bind(name(port)?),
        ["open", path, process @ ..] => Action::Open { node: node(path)?, who: who(process)? },
        ["close", path, pid] => Action::Close { node: node(path)?, pid: number(pid)?.get() },
        ["run", process @ ..] => Action::Run(who(process)?),
        ["clock", interface, process @ ..] => {
            Action::Clock { interface: name(interface)?, who: who(process)? }
        }
        ["unit", unit, "starts", pid] => {
            Action::Unit { unit: word(unit)?, pid: number(pid)?.get() }
        }
        ["exit", pid] => Action::Exit(number(pid)?.get()),
        ["clockd", program, turn @ ..] => {
            Action::ClockProgram { name: word(program)?, turn: clock_turn(turn)? }
        }
        ["alarm", alarm] => Action::Alarm(unless_none(alarm, word)?),
        ["clock-offset", clock, nanos] => {
            Action::ClockOffset { clock: clock_name(clock)?, nanos: signed(nanos)? }
        }
        ["clock-drift", clock, ppb] => {
            Action::ClockDrift { clock: clock_name(clock)?, ppb: signed(ppb)? }
        }
        ["time-step", seconds] => Action::TimeStep(signed(seconds)?),
        ["leap", leap] => Action::Leap(one_of(&LEAPS, leap, "no kind of leap second")?),
        ["template", state] => Action::Template(one_of(&TEMPLATES, state, "no state of a file")?),
        ["control-plane", "dies"] => Action::ControlPlaneDies,
        ["control-plane", "starts"] => Action::ControlPlaneStarts,
        ["other", who, "comes"] => {
            Action::Other { manager: manager(who)?, presence: Presence::Back }
        }
        ["other", who, "goes"] => {
            Action::Other { manager: manager(who)?, presence: Presence::Gone }
        }
        ["server", path] => Action::Server(word(path)?),
        ["enrol", key] => Action::Enrol(name(key)?),
        ["revoke", key] => Action::Revoke(name(key)?),
        ["attend"] => Action::Attend,
        ["reboot"] => Action::Reboot,
        ["libraries", "of", release, "gone"] => {
            Action::Libraries { release: name(release)?, presence: Presence::Gone }
        }
        ["libraries", "of", release, "back"] => {
            Action::Libraries { release: name(release)?, presence: Presence::Back }
        }
        ["fault", rest @ ..] => Action::Fault(fault(rest)?),
        ["clear", "faults"] => Action::ClearFaults,
        ["nothing"] => Action::Nothing,
        _ => return Err(String::new()),
    })
}

/// The words for leap seconds.
const LEAPS: [(&str, Leap); 3] =
    [("insert", Leap::Insert), ("delete", Leap::Delete), ("none", Leap::None)];

/// The words for how templates are.
const TEMPLATES: [(&str, TemplateState); 3] = [
    ("broken", TemplateState::Broken),
    ("mended", TemplateState::Mended),
    ("gone", TemplateState::Gone),
];

/// The words for turns without a number.
const TURNS: [(&str, ClockTurn); 6] = [
    ("run", ClockTurn::Run),
    ("stop", ClockTurn::Stop),
    ("hang", ClockTurn::Hang),
    ("mend", ClockTurn::Mend),
    ("lost", ClockTurn::Lost),
    ("found", ClockTurn::Found),
];

/// The highest exit status.
const HIGHEST_STATUS: i32 = 255;

/// What is added to a clock at most: a century, in nanoseconds.
const FURTHEST: i64 = 3_155_760_000_000_000_000;

fn clock_turn(words: &[&str]) -> Result<ClockTurn, String> {
    let status = |word: &str| {
        let status = word.parse().ok().filter(|status| (0..=HIGHEST_STATUS).contains(status));
        status.ok_or_else(|| format!("`{word}` is no exit status, 0 to {HIGHEST_STATUS}"))
    };
    match words {
        [turn] => one_of(&TURNS, turn, "nothing that becomes of a program"),
        ["crash", code] => status(code).map(ClockTurn::Crash),
        ["fails", code] => unless_none(code, status).map(ClockTurn::Fails),
        _ => Err(String::new()),
    }
}

fn clock_name(word: &str) -> Result<ClockName, String> {
    let index = |word: &str| word.strip_prefix("ptp").and_then(|index| index.parse().ok());
    match word {
        "system" => Ok(ClockName::System),
        other => index(other)
            .map(ClockName::Hardware)
            .ok_or_else(|| format!("`{word}` is neither `system` nor a clock such as ptp0")),
    }
}

/// A number that may be negative, and no further off than [`FURTHEST`].
fn signed(word: &str) -> Result<i64, String> {
    let number = word.parse().ok().filter(|number| (-FURTHEST..=FURTHEST).contains(number));
    number.ok_or_else(|| format!("`{word}` is not a whole number, or is too large"))
}

fn fault(words: &[&str]) -> Result<Fault, String> {
    Ok(match words {
        ["load", module, "from", release, answer, rest @ ..] => {
            load_fault(module, Some(name(release)?), answer, rest)?
        }
        ["load", module, answer, rest @ ..] => load_fault(module, None, answer, rest)?,
        ["unload", module, answer, rest @ ..] => Fault::Unload {
            module: name(module)?,
            answer: one_of(&UNLOAD_FAULTS, answer, "no way for an unload to fail")?,
            times: times(rest)?,
        },
        ["register", interface, "refused", rest @ ..] => {
            Fault::Unregistered { interface: name(interface)?, times: times(rest)? }
        }
        ["unit", unit, "stays"] => Fault::UnitStays(word(unit)?),
        ["control-plane", "stays"] => Fault::ControlPlaneStays,
        ["eager"] => Fault::Eager,
        ["no-aux"] => Fault::NoAux,
        ["no-nodes"] => Fault::NoNodes,
        ["no-room"] => Fault::NoRoom,
        ["rename-busy"] => Fault::RenameBusy,
        ["restore", deed] => {
            let found = DEEDS.into_iter().find(|known| known == deed);
            Fault::Restore(
                found.ok_or_else(|| format!("`{deed}` is none of {}", DEEDS.join(", ")))?,
            )
        }
        ["owner-asks"] => Fault::OwnerAsks,
        ["owner-gone"] => Fault::OwnerGone,
        ["unreadable", part] => Fault::Unreadable(
            PARTS
                .iter()
                .find(|(word, _)| word == part)
                .map(|(_, part)| part.clone())
                .or_else(|| part.parse().ok().map(Part::Port))
                .ok_or_else(|| {
                    let parts = PARTS.map(|(word, _)| word).join(", ");
                    format!("`{part}` is none of {parts}, and no PCI address")
                })?,
        ),
        ["silent"] => Fault::Silent,
        ["storm", count] => Fault::Storm(number(count)?),
        _ => return Err(String::new()),
    })
}

fn load_fault(
    module: &str,
    release: Option<ReleaseName>,
    answer: &str,
    rest: &[&str],
) -> Result<Fault, String> {
    let answer = one_of(&LOAD_FAULTS, answer, "no way for a load to fail")?;
    Ok(Fault::Load { module: name(module)?, release, answer, times: times(rest)? })
}

fn one_of<T: Copy>(all: &[(&str, T)], word: &str, what: &str) -> Result<T, String> {
    let found = all.iter().find(|(known, _)| *known == word);
    found.map(|(_, value)| *value).ok_or_else(|| format!("`{word}` is {what}"))
}

fn times(words: &[&str]) -> Result<Option<NonZeroU32>, String> {
    match words {
        [] => Ok(None),
        ["times", count] => number(count).map(Some),
        _ => Err(String::new()),
    }
}

fn name<T: FromStr<Err: fmt::Display>>(word: &str) -> Result<T, String> {
    word.parse().map_err(|error: T::Err| error.to_string())
}

fn number(word: &str) -> Result<NonZeroU32, String> {
    word.parse().map_err(|_| format!("`{word}` is not a whole number above 0"))
}

fn manager(word: &str) -> Result<Manager, String> {
    let found = Manager::ALL.into_iter().find(|manager| manager.as_str() == word);
    found.ok_or_else(|| format!("`{word}` is no manager of modules"))
}

fn node(path: &str) -> Result<&'static str, String> {
    DEVICE_NODES
        .into_iter()
        .find(|node| *node == path)
        .ok_or_else(|| format!("`{path}` is none of {}", DEVICE_NODES.join(", ")))
}

/// `PID [as COMM] [in UNIT|in container ID]`.
fn who(words: &[&str]) -> Result<Who, String> {
    let [pid, rest @ ..] = words else { return Err(String::new()) };
    let (comm, rest) = match rest {
        ["as", comm, rest @ ..] => (Some(word(comm)?), rest),
        rest => (None, rest),
    };
    if comm.as_ref().is_some_and(|comm| comm.len() > LONGEST_COMM) {
        return Err(format!("the name of a process has at most {LONGEST_COMM} bytes"));
    }
    let place = match rest {
        [] => None,
        ["in", "container", id] => Some(Place::Container(word(id)?)),
        ["in", unit] if *unit != "container" => Some(Place::Unit(word(unit)?)),
        _ => return Err(String::new()),
    };
    Ok(Who { pid: number(pid)?.get(), comm, place })
}

fn word(text: &str) -> Result<String, String> {
    if text.len() > LONGEST_WORD || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(format!("a name has 1 to {LONGEST_WORD} printable characters"));
    }
    Ok(text.to_owned())
}

fn unless_none<T>(
    text: &str,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, String> {
    if text == "none" { Ok(None) } else { read(text).map(Some) }
}

/// A network address with its prefix length, as `ip address` shows it.
pub(in crate::host::sim) fn prefix(text: &str) -> Result<String, String> {
    let parts = text.split_once('/').and_then(|(address, length)| {
        Some((address.parse::<IpAddr>().ok()?, length.parse::<u8>().ok()?))
    });
    match parts {
        Some((address, length)) if length <= if address.is_ipv4() { 32 } else { 128 } => {
            Ok(text.to_owned())
        }
        _ => Err(format!("`{text}` is not a network address such as 192.0.2.1/24")),
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.pid)?;
        if let Some(comm) = &self.comm {
            write!(f, " as {comm}")?;
        }
        match &self.place {
            None => Ok(()),
            Some(Place::Unit(unit)) => write!(f, " in {unit}"),
            Some(Place::Container(id)) => write!(f, " in container {id}"),
        }
    }
}

fn word_of<T: PartialEq>(all: &[(&'static str, T)], value: &T) -> &'static str {
    all.iter().find(|(_, known)| known == value).map_or("", |(word, _)| *word)
}

impl fmt::Display for ClockName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("system"),
            Self::Hardware(index) => write!(f, "ptp{index}"),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load { module, release: None } => write!(f, "load {module}"),
            Self::Load { module, release: Some(release) } => {
                write!(f, "load {module} from {release}")
            }
            Self::Unload(module) => write!(f, "unload {module}"),
            Self::DriverGone(module) => write!(f, "driver gone {module}"),
            Self::Coldplug => f.write_str("coldplug"),
            Self::Link { port, link: Link::Up } => write!(f, "link {port} up"),
            Self::Link { port, link: Link::Down } => write!(f, "link {port} down"),
            Self::Rename { interface, to } => write!(f, "rename {interface} {to}"),
            Self::Address { interface, address } => {
                write!(f, "address {interface} {}", address.as_deref().unwrap_or("none"))
            }
            Self::Route { interface, route } => {
                write!(f, "route {interface} {}", route.as_deref().unwrap_or("none"))
            }
            Self::Mtu { interface, mtu } => write!(f, "mtu {interface} {mtu}"),
            Self::Set { interface, setting, value } => {
                write!(f, "set {interface} {setting} {value}")
            }
            Self::OwnersAct => f.write_str("owner acts"),
            Self::Upper { interface, upper } => {
                let upper = upper.as_ref().map_or("none", InterfaceName::as_str);
                write!(f, "upper {interface} {upper}")
            }
            Self::Contain { interface, container } => {
                write!(f, "contain {interface} {}", container.as_deref().unwrap_or("none"))
            }
            Self::Claim { interface, claim } => {
                let claim = match claim {
                    Some(Claim::Profile) => "profile",
                    Some(Claim::Network) => "network",
                    None => "none",
                };
                write!(f, "claim {interface} {claim}")
            }
            Self::Register(interface) => write!(f, "register {interface}"),
            Self::Unplug(port) => write!(f, "unplug {port}"),
            Self::Plug(port) => write!(f, "plug {port}"),
            Self::Unbind(port) => write!(f, "unbind {port}"),
            Self::Bind(port) => write!(f, "bind {port}"),
            Self::Open { node, who } => write!(f, "open {node} {who}"),
            Self::Close { node, pid } => write!(f, "close {node} {pid}"),
            Self::Run(who) => write!(f, "run {who}"),
            Self::Clock { interface, who } => write!(f, "clock {interface} {who}"),
            Self::Unit { unit, pid } => write!(f, "unit {unit} starts {pid}"),
            Self::Exit(pid) => write!(f, "exit {pid}"),
            Self::ClockProgram { name, turn } => match turn {
                ClockTurn::Crash(status) => write!(f, "clockd {name} crash {status}"),
                ClockTurn::Fails(Some(status)) => write!(f, "clockd {name} fails {status}"),
                ClockTurn::Fails(None) => write!(f, "clockd {name} fails none"),
                ClockTurn::Run
                | ClockTurn::Stop
                | ClockTurn::Hang
                | ClockTurn::Mend
                | ClockTurn::Lost
                | ClockTurn::Found => write!(f, "clockd {name} {}", word_of(&TURNS, turn)),
            },
            Self::Alarm(alarm) => write!(f, "alarm {}", alarm.as_deref().unwrap_or("none")),
            Self::ClockOffset { clock, nanos } => write!(f, "clock-offset {clock} {nanos}"),
            Self::ClockDrift { clock, ppb } => write!(f, "clock-drift {clock} {ppb}"),
            Self::TimeStep(seconds) => write!(f, "time-step {seconds}"),
            Self::Leap(leap) => write!(f, "leap {}", word_of(&LEAPS, leap)),
            Self::Template(state) => write!(f, "template {}", word_of(&TEMPLATES, state)),
            Self::ControlPlaneDies => f.write_str("control-plane dies"),
            Self::ControlPlaneStarts => f.write_str("control-plane starts"),
            Self::Other { manager, presence: Presence::Back } => {
                write!(f, "other {} comes", manager.as_str())
            }
            Self::Other { manager, presence: Presence::Gone } => {
                write!(f, "other {} goes", manager.as_str())
            }
            Self::Server(path) => write!(f, "server {path}"),
            Self::Enrol(key) => write!(f, "enrol {key}"),
            Self::Revoke(key) => write!(f, "revoke {key}"),
            Self::Attend => f.write_str("attend"),
            Self::Reboot => f.write_str("reboot"),
            Self::Libraries { release, presence: Presence::Gone } => {
                write!(f, "libraries of {release} gone")
            }
            Self::Libraries { release, presence: Presence::Back } => {
                write!(f, "libraries of {release} back")
            }
            Self::Fault(fault) => write!(f, "fault {fault}"),
            Self::ClearFaults => f.write_str("clear faults"),
            Self::Nothing => f.write_str("nothing"),
        }
    }
}

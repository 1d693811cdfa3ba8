//! What the world does by itself, or somebody does to it by hand: one line of text each.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use onload_core::inventory::{DEVICE_NODES, Link};
use onload_core::names::{InterfaceName, ModuleName, PciAddress, ReleaseName};
use serde::{Deserialize, Deserializer};

use super::faults::{Fault, LOAD_FAULTS, PARTS, Part};
use super::file::KeyName;

/// Every form a line may have, and what it does.
pub const FORMS: [(&str, &str); 28] = [
    ("load MODULE", "modprobe, from where depmod would take it"),
    ("load MODULE from RELEASE", "modprobe from one release, or from `in-tree`"),
    ("unload MODULE", "rmmod: refused while anybody uses it"),
    ("driver gone MODULE", "the module and all that use it vanish, used or not"),
    ("link PCI up|down", "a cable"),
    ("rename INTERFACE NEW", "another name for an interface"),
    ("unplug PCI", "the function leaves the bus"),
    ("plug PCI", "it comes back; its driver is loaded if need be"),
    ("unbind PCI", "the driver lets go of it"),
    ("bind PCI", "the loaded driver takes it"),
    ("open NODE PID", "a process opens a device node"),
    ("close NODE PID", "and closes it"),
    ("run PID", "an accelerated program starts: one stack"),
    ("exit PID", "a process ends, with all it held"),
    ("control-plane dies", "the server ends; the kernel starts no other by itself"),
    ("control-plane starts", "the server that a load of onload asked for is up"),
    ("enrol KEY", "the firmware has it; the kernel from the next boot"),
    ("reboot", "a new boot: only what the hardware asks for is loaded"),
    ("libraries of RELEASE gone|back", "its user libraries"),
    ("fault load MODULE not-found|rejected|error|hang [times N]", "its load fails, or never ends"),
    ("fault unload MODULE refused [times N]", "its unload is refused though unused"),
    ("fault no-aux", "no auxiliary device appears"),
    ("fault no-nodes", "no device node appears"),
    (
        "fault unreadable PART",
        "kernel, boot-id, ports, interfaces, modules, driver, device-nodes, releases, or a PCI address",
    ),
    ("fault silent", "nothing tells of changes"),
    ("fault storm N", "everything is told N times"),
    ("clear faults", "all faults end; what hangs, hangs"),
    ("nothing", "nothing, told as a change"),
];

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// `load`.
    Load {
        /// The module.
        module: ModuleName,
        /// Where from; where depmod would take it when left out.
        release: Option<ReleaseName>,
    },
    /// `unload`.
    Unload(ModuleName),
    /// `driver gone`.
    DriverGone(ModuleName),
    /// `link`.
    Link {
        /// The port.
        port: PciAddress,
        /// How it is now.
        link: Link,
    },
    /// `rename`.
    Rename {
        /// Its name now.
        interface: InterfaceName,
        /// Its name then.
        to: InterfaceName,
    },
    /// `unplug`.
    Unplug(PciAddress),
    /// `plug`.
    Plug(PciAddress),
    /// `unbind`.
    Unbind(PciAddress),
    /// `bind`.
    Bind(PciAddress),
    /// `open`.
    Open {
        /// One of the device nodes of Onload.
        node: &'static str,
        /// Who.
        pid: u32,
    },
    /// `close`.
    Close {
        /// One of the device nodes of Onload.
        node: &'static str,
        /// Who.
        pid: u32,
    },
    /// `run`.
    Run(u32),
    /// `exit`.
    Exit(u32),
    /// `control-plane dies`.
    ControlPlaneDies,
    /// `control-plane starts`.
    ControlPlaneStarts,
    /// `enrol`.
    Enrol(KeyName),
    /// `reboot`.
    Reboot,
    /// `libraries of`.
    Libraries {
        /// Whose.
        release: ReleaseName,
        /// Gone or back.
        presence: Presence,
    },
    /// `fault`.
    Fault(Fault),
    /// `clear faults`.
    ClearFaults,
    /// `nothing`.
    Nothing,
}

/// Whether something is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It went.
    Gone,
    /// It came back.
    Back,
}

/// Why an action was not done, for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}; why: {why}; fix: {fix}")]
pub struct ActionError {
    /// What did not happen.
    pub what: String,
    /// Why.
    pub why: String,
    /// What to do.
    pub fix: String,
}

impl ActionError {
    /// Puts the parts together.
    pub fn new(what: impl Into<String>, why: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { what: what.into(), why: why.into(), fix: fix.into() }
    }
}

impl FromStr for Action {
    type Err = ActionError;

    fn from_str(text: &str) -> Result<Self, ActionError> {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        parse(&words).map_err(|why| refusal(text, &words, why))
    }
}

// By hand: a derive would take the `'static` of a node's path for a borrow from the input.
impl<'de> Deserialize<'de> for Action {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Why the words are no action; empty when they have no form that is known.
fn parse(words: &[&str]) -> Result<Action, String> {
    Ok(match words {
        ["load", module] => Action::Load { module: name(module)?, release: None },
        ["load", module, "from", release] => {
            Action::Load { module: name(module)?, release: Some(name(release)?) }
        }
        ["unload", module] => Action::Unload(name(module)?),
        ["driver", "gone", module] => Action::DriverGone(name(module)?),
        ["link", port, "up"] => Action::Link { port: name(port)?, link: Link::Up },
        ["link", port, "down"] => Action::Link { port: name(port)?, link: Link::Down },
        ["rename", interface, to] => Action::Rename { interface: name(interface)?, to: name(to)? },
        ["unplug", port] => Action::Unplug(name(port)?),
        ["plug", port] => Action::Plug(name(port)?),
        ["unbind", port] => Action::Unbind(name(port)?),
        ["bind", port] => Action::Bind(name(port)?),
        ["open", path, pid] => Action::Open { node: node(path)?, pid: number(pid)?.get() },
        ["close", path, pid] => Action::Close { node: node(path)?, pid: number(pid)?.get() },
        ["run", pid] => Action::Run(number(pid)?.get()),
        ["exit", pid] => Action::Exit(number(pid)?.get()),
        ["control-plane", "dies"] => Action::ControlPlaneDies,
        ["control-plane", "starts"] => Action::ControlPlaneStarts,
        ["enrol", key] => Action::Enrol(name(key)?),
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

fn fault(words: &[&str]) -> Result<Fault, String> {
    Ok(match words {
        ["load", module, answer, rest @ ..] => {
            let (_, answer) = LOAD_FAULTS
                .iter()
                .find(|(word, _)| word == answer)
                .ok_or_else(|| format!("`{answer}` is no way for a load to fail"))?;
            Fault::Load { module: name(module)?, answer: *answer, times: times(rest)? }
        }
        ["unload", module, "refused", rest @ ..] => {
            Fault::Unload { module: name(module)?, times: times(rest)? }
        }
        ["no-aux"] => Fault::NoAux,
        ["no-nodes"] => Fault::NoNodes,
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

fn node(path: &str) -> Result<&'static str, String> {
    DEVICE_NODES
        .into_iter()
        .find(|node| *node == path)
        .ok_or_else(|| format!("`{path}` is none of {}", DEVICE_NODES.join(", ")))
}

fn refusal(text: &str, words: &[&str], why: String) -> ActionError {
    let text: String =
        text.chars().take(80).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let first = words.first().copied().unwrap_or_default();
    let near: Vec<&str> = FORMS
        .iter()
        .map(|(form, _)| *form)
        .filter(|form| form.split(' ').next() == Some(first))
        .collect();
    let verbs = || {
        let mut verbs: Vec<&str> =
            FORMS.iter().filter_map(|(form, _)| form.split(' ').next()).collect();
        verbs.dedup();
        verbs.join(", ")
    };
    let (known, fix) = match near.is_empty() {
        true => {
            (format!("no action begins with `{first}`"), format!("begin with one of {}", verbs()))
        }
        false => ("it has another form".to_owned(), format!("write {}", near.join(", or "))),
    };
    let why = if why.is_empty() { known } else { why };
    ActionError::new(format!("`{text}` is not done"), why, fix)
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
            Self::Link { port, link: Link::Up } => write!(f, "link {port} up"),
            Self::Link { port, link: Link::Down } => write!(f, "link {port} down"),
            Self::Rename { interface, to } => write!(f, "rename {interface} {to}"),
            Self::Unplug(port) => write!(f, "unplug {port}"),
            Self::Plug(port) => write!(f, "plug {port}"),
            Self::Unbind(port) => write!(f, "unbind {port}"),
            Self::Bind(port) => write!(f, "bind {port}"),
            Self::Open { node, pid } => write!(f, "open {node} {pid}"),
            Self::Close { node, pid } => write!(f, "close {node} {pid}"),
            Self::Run(pid) => write!(f, "run {pid}"),
            Self::Exit(pid) => write!(f, "exit {pid}"),
            Self::ControlPlaneDies => f.write_str("control-plane dies"),
            Self::ControlPlaneStarts => f.write_str("control-plane starts"),
            Self::Enrol(key) => write!(f, "enrol {key}"),
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

#[cfg(test)]
// A test that cannot unwrap has failed.
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    /// One line for each form, in the order of [`FORMS`].
    const LINES: [&str; FORMS.len()] = [
        "load onload",
        "load sfc from in-tree",
        "unload onload",
        "driver gone sfc_resource",
        "link 0000:3b:00.0 down",
        "rename ens1f0 fast0",
        "unplug 0000:3b:00.0",
        "plug 0000:3b:00.0",
        "unbind 0000:3b:00.0",
        "bind 0000:3b:00.0",
        "open /dev/onload 4711",
        "close /dev/sfc_char 4711",
        "run 4711",
        "exit 4711",
        "control-plane dies",
        "control-plane starts",
        "enrol onload-kmm",
        "reboot",
        "libraries of 9.2.1-1.el9 gone",
        "fault load onload hang times 2",
        "fault unload onload refused",
        "fault no-aux",
        "fault no-nodes",
        "fault unreadable device-nodes",
        "fault silent",
        "fault storm 10",
        "clear faults",
        "nothing",
    ];

    #[test]
    fn every_form_reads_back_as_written() {
        for (line, (form, _)) in LINES.iter().zip(FORMS) {
            let action: Action = line.parse().unwrap();
            assert_eq!(action.to_string(), *line, "{form}");
            assert_eq!(line.split(' ').next(), form.split(' ').next(), "{form}");
        }
        for (word, _) in PARTS {
            let line = format!("fault unreadable {word}");
            assert_eq!(line.parse::<Action>().unwrap().to_string(), line);
        }
        for (word, _) in LOAD_FAULTS {
            let line = format!("fault load sfc {word}");
            assert_eq!(line.parse::<Action>().unwrap().to_string(), line);
        }
        let more = [
            "link 0000:3b:00.0 up",
            "libraries of host back",
            "fault unload sfc refused times 3",
            "fault unreadable 0000:3b:00.0",
        ];
        for line in more {
            assert_eq!(line.parse::<Action>().unwrap().to_string(), line);
        }
    }

    #[test]
    fn a_bad_line_is_answered_with_what_is_allowed() {
        let cases = [
            ("", "begin with one of load"),
            ("explode", "no action begins with `explode`"),
            ("load", "load MODULE from RELEASE"),
            ("load a-b", "`a-b` is not a kernel module name"),
            ("link 3b:00.0 up", "0000:3b:00.0"),
            ("link 0000:3b:00.0 sideways", "link PCI up|down"),
            ("open /dev/null 4", "/dev/onload, /dev/onload_epoll, /dev/sfc_char"),
            ("run 0", "whole number above 0"),
            ("run -1", "whole number above 0"),
            ("fault load onload maybe", "not-found|rejected|error|hang"),
            ("fault load onload hang times 0", "whole number above 0"),
            ("fault load onload hang twice", "[times N]"),
            ("fault unreadable moon", "interfaces"),
            ("fault storm 99999999999", "whole number above 0"),
            ("reboot now", "write reboot"),
        ];
        for (line, expected) in cases {
            let error = line.parse::<Action>().unwrap_err().to_string();
            assert!(error.contains(expected), "{line}: {error}");
            assert!(!error.contains('\n'), "one line: {error}");
        }
    }
}

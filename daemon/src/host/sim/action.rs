//! What the world does by itself, or somebody does to it by hand: one line of text each.

use std::str::FromStr;

use onload_core::clock::kernel::Leap;
use onload_core::inventory::Link;
use onload_core::names::{InterfaceName, ModuleName, PciAddress, ReleaseName};
use onload_core::others::Manager;
use serde::{Deserialize, Deserializer};

use super::faults::Fault;
use super::file::KeyName;

mod words;

pub(super) use words::prefix;

/// Every form a line may have, and what it does.
pub const FORMS: [(&str, &str); 64] = [
    ("load MODULE", "modprobe, from where depmod would take it"),
    ("load MODULE from RELEASE", "modprobe from one release, or from `in-tree`"),
    ("unload MODULE", "rmmod: refused while anybody uses it"),
    ("driver gone MODULE", "the module and all that use it vanish, used or not"),
    ("coldplug", "udev loads what the hardware asks for, unless it is kept from it"),
    ("link PCI up|down", "a cable"),
    ("rename INTERFACE NEW", "another name for an interface"),
    ("address INTERFACE ADDRESS/LENGTH|none", "one more network address, or no more"),
    ("route INTERFACE default|DESTINATION/LENGTH|none", "one more route, or no more"),
    ("mtu INTERFACE BYTES", "another MTU"),
    ("set INTERFACE SETTING VALUE", "as ethtool does: ring.rx, channels.combined, and so on"),
    (
        "upper INTERFACE NAME|none",
        "on top of it: a VLAN where the name ends in `.ID`, a bridge where it begins with `br`, else a bond; or no more",
    ),
    ("owner acts", "owners set up the interfaces of theirs that have come back"),
    ("contain INTERFACE CONTAINER|none", "a container's ipvlan on top of it, or no more"),
    (
        "claim INTERFACE profile|network|none",
        "a profile may put it under a bond, or a container network take it, or no more",
    ),
    ("register INTERFACE", "sfc_resource takes it for AF_XDP, until it is unloaded"),
    ("unplug PCI", "the function leaves the bus"),
    ("plug PCI", "it comes back; its driver is loaded if need be"),
    ("unbind PCI", "the driver lets go of it"),
    ("bind PCI", "the loaded driver takes it"),
    ("open NODE PID [as COMM] [in UNIT|in container ID]", "a process opens a device node"),
    ("close NODE PID", "and closes it"),
    ("run PID [as COMM] [in UNIT|in container ID]", "an accelerated program starts: one stack"),
    ("clock INTERFACE PID [as COMM] [in UNIT|in container ID]", "a process opens its PTP clock"),
    ("exit PID", "a process ends, with all it held"),
    ("clockd NAME run|stop", "somebody has systemd start or stop a program that steers clocks"),
    ("clockd NAME hang|mend", "it hangs, or goes on"),
    ("clockd NAME lost|found", "nobody gives it time any more, or somebody does again"),
    ("clockd NAME crash STATUS", "it ends by itself, with this exit status"),
    ("clockd NAME fails STATUS|none", "so does each start of it, or none any more"),
    ("alarm NAME|none", "sfptpd raises one more alarm, or none any more"),
    ("clock-offset system|ptpN NANOSECONDS", "a clock is kept so far from what it is steered to"),
    ("clock-drift system|ptpN PPB", "and goes on from there, so many nanoseconds a second"),
    ("time-step SECONDS", "somebody sets the system clock"),
    ("leap insert|delete|none", "a leap second is announced to the kernel, or none any more"),
    ("template broken|mended|gone", "the operator's configurations of sfptpd"),
    ("unit UNIT starts PID", "its program runs, accelerated where there is /dev/onload"),
    ("control-plane dies", "the server ends; the kernel starts no other by itself"),
    ("control-plane starts", "the server that a load of onload asked for is up"),
    (
        "other onload-operator|kmm|machine-config|dkms comes|goes",
        "who else has to do with the modules",
    ),
    ("server PATH", "somebody tells onload which control-plane server to start"),
    ("enrol KEY", "the firmware has it; the kernel from the next boot"),
    ("revoke KEY", "the firmware forbids it (dbx); the kernel from the next boot"),
    ("attend", "somebody is at the console of the next boot, and confirms what shim is asked for"),
    ("reboot", "a new boot: only what the hardware asks for is loaded"),
    ("libraries of RELEASE gone|back", "its user libraries"),
    (
        "fault load MODULE [from RELEASE] not-found|rejected|error|hang|wrong-kernel|unknown-symbol|bad-parameter [times N]",
        "its load fails, or never ends",
    ),
    (
        "fault unload MODULE refused|hang [times N]",
        "its unload is refused though unused, or never ends",
    ),
    ("fault register INTERFACE refused [times N]", "sfc_resource does not take it"),
    ("fault unit UNIT stays", "it does not stop when it is told to"),
    ("fault control-plane stays", "the server does not end when it is told to"),
    ("fault eager", "udev loads a driver at once for what has lost its own"),
    ("fault no-aux", "no auxiliary device appears"),
    ("fault no-nodes", "no device node appears"),
    ("fault no-room", "the firmware takes no more variables"),
    (
        "fault unreadable PART",
        "kernel, boot-id, ports, interfaces, modules, driver, device-nodes, releases, users, trust, clocks, or a PCI address",
    ),
    ("fault rename-busy", "the kernel renames nothing that is up, as those before 6.2"),
    (
        "fault restore DEED",
        "it does nothing, and nobody says so: make, functions, function, set, mac, join, mtu, altnames, listen, up, qdisc, address, route, rule",
    ),
    ("fault owner-asks", "owners set up what comes back only when they are asked"),
    ("fault owner-gone", "owners are not there"),
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
    /// `coldplug`.
    Coldplug,
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
    /// `address`.
    Address {
        /// Of which interface.
        interface: InterfaceName,
        /// The address with its prefix length; none: all go.
        address: Option<String>,
    },
    /// `route`.
    Route {
        /// Through which interface.
        interface: InterfaceName,
        /// Where to: `default`, or a destination with its prefix length; none: all go.
        route: Option<String>,
    },
    /// `mtu`.
    Mtu {
        /// Of which interface.
        interface: InterfaceName,
        /// In bytes.
        mtu: u32,
    },
    /// `set`.
    Set {
        /// Of which interface.
        interface: InterfaceName,
        /// Group and name, as [`onload_core::network::NetworkLink`] has them.
        setting: String,
        /// The value.
        value: u64,
    },
    /// `owner acts`.
    OwnersAct,
    /// `upper`.
    Upper {
        /// On which interface.
        interface: InterfaceName,
        /// What lies on it; none: all go.
        upper: Option<InterfaceName>,
    },
    /// `contain`.
    Contain {
        /// On which interface.
        interface: InterfaceName,
        /// Whose ipvlan lies on it; none: all go.
        container: Option<String>,
    },
    /// `claim`.
    Claim {
        /// Which interface.
        interface: InterfaceName,
        /// Who may have it; none: nobody any more.
        claim: Option<Claim>,
    },
    /// `register`.
    Register(InterfaceName),
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
        who: Who,
    },
    /// `close`.
    Close {
        /// One of the device nodes of Onload.
        node: &'static str,
        /// Who.
        pid: u32,
    },
    /// `run`.
    Run(Who),
    /// `clock`.
    Clock {
        /// Whose clock.
        interface: InterfaceName,
        /// Who.
        who: Who,
    },
    /// `exit`.
    Exit(u32),
    /// `clockd`.
    ClockProgram {
        /// Its unit, or its container.
        name: String,
        /// What becomes of it.
        turn: ClockTurn,
    },
    /// `alarm`; none: all are over.
    Alarm(Option<String>),
    /// `clock-offset`.
    ClockOffset {
        /// Which clock.
        clock: ClockName,
        /// How far it is kept ahead, in nanoseconds.
        nanos: i64,
    },
    /// `clock-drift`.
    ClockDrift {
        /// Which clock.
        clock: ClockName,
        /// In parts per billion, which are nanoseconds a second.
        ppb: i64,
    },
    /// `time-step`, in seconds.
    TimeStep(i64),
    /// `leap`.
    Leap(Leap),
    /// `template`.
    Template(TemplateState),
    /// `unit`.
    Unit {
        /// Its name.
        unit: String,
        /// Its program.
        pid: u32,
    },
    /// `control-plane dies`.
    ControlPlaneDies,
    /// `control-plane starts`.
    ControlPlaneStarts,
    /// `other`.
    Other {
        /// Who.
        manager: Manager,
        /// Gone or there.
        presence: Presence,
    },
    /// `server`.
    Server(String),
    /// `enrol`.
    Enrol(KeyName),
    /// `revoke`.
    Revoke(KeyName),
    /// `attend`.
    Attend,
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

/// What may take an interface away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    /// A profile of NetworkManager.
    Profile,
    /// A container network.
    Network,
}

/// A process, as far as the line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// Process id.
    pub pid: u32,
    /// Its name.
    pub comm: Option<String>,
    /// Where it belongs; nowhere in particular when left out.
    pub place: Option<Place>,
}

/// Where a process belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A systemd unit.
    Unit(String),
    /// A container.
    Container(String),
}

/// Whether something is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It went.
    Gone,
    /// It came back.
    Back,
}

/// What becomes of a program that steers clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockTurn {
    /// It is started.
    Run,
    /// It is stopped.
    Stop,
    /// It hangs.
    Hang,
    /// It goes on.
    Mend,
    /// Nobody gives it time.
    Lost,
    /// Somebody does.
    Found,
    /// It ends by itself.
    Crash(i32),
    /// Each start of it ends so; none: it starts again.
    Fails(Option<i32>),
}

/// A clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClockName {
    /// The system clock.
    System,
    /// `/dev/ptpN`.
    Hardware(u32),
}

/// How the operator's configurations of sfptpd are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TemplateState {
    /// As the world file has them.
    #[default]
    Mended,
    /// With an option that sfptpd does not know.
    Broken,
    /// Not there.
    Gone,
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
        words::parse(&words).map_err(|why| refusal(text, &words, why))
    }
}

// By hand: a derive would take the `'static` of a node's path for a borrow from the input.
impl<'de> Deserialize<'de> for Action {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
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

#[cfg(test)]
mod tests;

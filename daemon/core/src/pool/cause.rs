//! Why a device cannot work: the words for programs, the sentence and the remedy for people.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::names::{InterfaceName, PciAddress};

/// Why a device cannot work. What cannot be served is not advertised, and says why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Cause {
    /// No port of the pool's is there.
    NoPort,
    /// There are ports, and the pool's selectors take none of them.
    NotSelected {
        /// Those that take none, as they are written.
        selectors: String,
        /// What the ports have instead; none: each takes some, but no port passes them all.
        here: Option<String>,
    },
    /// No interface has a name that the pool gives, and a port that may be meant has none, as while
    /// its driver is away.
    InterfaceAbsent {
        /// The names that no interface has.
        names: String,
    },
    /// The daemon keeps its hands off: it cannot know who holds what.
    HandsOff,
    /// Work on the host is under way before it can be offered, since Allocate does none: for slots,
    /// the libraries of the loaded release are put in place.
    Preparing,
    /// Its last holder is gone and it is not clean yet. Not for slots: the state is for kinds that
    /// need it (DESIGN section 10.9).
    Dirty,
    /// An operator's hold; only devices that nobody has are kept back by it.
    Held {
        /// Why.
        reason: String,
    },
    /// The driver is being replaced; only devices that nobody has are kept back by it.
    Changing {
        /// By which release.
        to: String,
    },
    /// Part of the machine cannot be read.
    Unreadable {
        /// Which part.
        part: String,
    },
    /// A module of the stack is not loaded.
    ModuleAbsent {
        /// Its name.
        module: String,
    },
    /// A module is on its way in or out.
    ModuleInFlight {
        /// Its name.
        module: String,
    },
    /// A device node is missing.
    DeviceNodeMissing {
        /// Its path.
        path: String,
    },
    /// No driver, or another one, is bound to the port.
    WrongDriver {
        /// The port.
        port: PciAddress,
        /// What is bound.
        driver: String,
        /// What should be.
        expected: String,
    },
    /// The kernel's own driver is bound: it shows no auxiliary device, so Onload cannot use it.
    InTreeDriver {
        /// The port.
        port: PciAddress,
    },
    /// The port shows no auxiliary device that Onload has bound.
    NoAuxiliaryDevice {
        /// The port.
        port: PciAddress,
    },
    /// Onload does not accelerate this card.
    NotAccelerated {
        /// The port.
        port: PciAddress,
        /// Why not.
        reason: String,
    },
    /// The port is to be offered through AF_XDP, and is not registered.
    Unregistered {
        /// The port.
        port: PciAddress,
        /// Its interface.
        interface: InterfaceName,
    },
    /// No carrier where the pool asks for one.
    NoCarrier {
        /// The port.
        port: PciAddress,
    },
    /// The system clock is not synchronised, and the pool asks for that.
    ClockUnsynchronised {
        /// Why not.
        why: String,
    },
    /// No user libraries are there.
    LibrariesMissing,
    /// There are user libraries, but none for the loaded driver: every socket would fail.
    LibraryMismatch {
        /// Version of the loaded driver.
        driver: String,
    },
    /// The pool's profile has no value: a container without it would not run as it should.
    Profile {
        /// Its name or path.
        profile: String,
        /// Why not, with its place.
        why: String,
        /// Variables that would avoid it when they are set.
        unless: Vec<String>,
    },
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPort => f.write_str("no port is there"),
            Self::NotSelected { selectors, here: Some(here) } if here.is_empty() => {
                write!(f, "no port matches {selectors}; no port here has any")
            }
            Self::NotSelected { selectors, here: Some(here) } => {
                write!(f, "no port matches {selectors}; what is here: {here}")
            }
            Self::NotSelected { selectors, here: None } => {
                write!(f, "no port matches {selectors} at once")
            }
            Self::InterfaceAbsent { names } => {
                write!(f, "no interface is named {names}; it may come with its driver")
            }
            Self::HandsOff => {
                f.write_str("the ledger cannot be read, so nobody knows who holds it")
            }
            Self::Preparing => f.write_str("it is being prepared"),
            Self::Dirty => f.write_str("it is not clean since its last holder"),
            Self::Held { reason } => write!(f, "held: {reason}"),
            Self::Changing { to } => write!(f, "the driver is being replaced by release {to}"),
            Self::Unreadable { part } => write!(f, "{part} cannot be read"),
            Self::ModuleAbsent { module } => write!(f, "module {module} is not loaded"),
            Self::ModuleInFlight { module } => {
                write!(f, "module {module} is being loaded or removed")
            }
            Self::DeviceNodeMissing { path } => write!(f, "{path} is missing"),
            Self::WrongDriver { port, driver, expected } => {
                write!(f, "port {port} is bound to {driver}, not to {expected}")
            }
            Self::InTreeDriver { port } => {
                write!(f, "port {port} is bound to the kernel's own sfc")
            }
            Self::NoAuxiliaryDevice { port } => {
                write!(f, "port {port} shows no device bound by Onload")
            }
            Self::NotAccelerated { port, reason } => {
                write!(f, "port {port} is not accelerated: {reason}")
            }
            Self::Unregistered { port, interface } => {
                write!(f, "port {port} ({interface}) is not registered for AF_XDP")
            }
            Self::NoCarrier { port } => write!(f, "port {port} has no carrier"),
            Self::ClockUnsynchronised { why } => {
                write!(f, "the system clock is not synchronised: {why}")
            }
            Self::LibrariesMissing => f.write_str("no Onload user libraries are installed"),
            Self::LibraryMismatch { driver } => {
                write!(f, "no installed user libraries fit the loaded driver {driver}")
            }
            Self::Profile { profile, why, .. } => {
                write!(f, "profile {profile} cannot be evaluated: {why}")
            }
        }
    }
}

impl Cause {
    /// Whether the pool has no port at all: there is nothing that could work or not.
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::NoPort | Self::NotSelected { .. })
    }

    /// What to do about it.
    pub fn fix(&self) -> String {
        match self {
            Self::NoPort => "check that the card is seated and the pool's `ports` name it".to_owned(),
            Self::NotSelected { .. } => {
                "correct what the pool selects its ports by; `onloadctl ports` shows what is there".to_owned()
            }
            Self::InterfaceAbsent { .. } => {
                "have the driver loaded (`onloadctl ports` shows who has which), or correct the pool's `ports`; an address of a port there holds without a driver".to_owned()
            }
            Self::HandsOff => "see `onloadctl why ledger`".to_owned(),
            Self::Preparing | Self::Dirty => "wait; onloadd is at it".to_owned(),
            Self::Held { .. } => "`onloadctl unhold` when it may go on".to_owned(),
            Self::Changing { .. } => "wait; `onloadctl status` says how far it is".to_owned(),
            Self::Unreadable { .. } => {
                "onloadd looks again by itself; if it stays, see whether its unit may read it".to_owned()
            }
            Self::ModuleAbsent { module } => format!(
                "`onloadctl why {module}` says what keeps onloadd from loading it; without a `release` in [modules], set one or `modprobe {module}`"
            ),
            Self::ModuleInFlight { .. } => "wait; onloadd looks again by itself".to_owned(),
            Self::DeviceNodeMissing { .. } => "see whether udev runs, then load the module anew".to_owned(),
            Self::WrongDriver { port, expected, .. } => {
                format!("load {expected}, or see `onloadctl why {port}`")
            }
            Self::InTreeDriver { .. } => {
                "install Onload's own sfc for this kernel, take the node out of service, `modprobe -r onload sfc`, then `modprobe sfc`".to_owned()
            }
            Self::NoAuxiliaryDevice { .. } => {
                "load sfc and sfc_resource of one release (see the kernel log for an ABI mismatch)".to_owned()
            }
            Self::NotAccelerated { .. } => "use a card that Onload accelerates, or an older Onload".to_owned(),
            Self::Unregistered { interface, .. } => {
                format!("name a `release` in [modules]; `onloadctl status` says what else keeps {interface} from being registered")
            }
            Self::NoCarrier { .. } => "plug the cable, or drop `require-carrier` from the pool".to_owned(),
            Self::ClockUnsynchronised { .. } => {
                "`onloadctl clock status` says who keeps time and what is wrong; or drop `require-clock` from the pool".to_owned()
            }
            Self::LibrariesMissing => "install Onload's user libraries on this node".to_owned(),
            Self::LibraryMismatch { .. } => {
                "install the user libraries of the loaded release, or load the modules of the installed one".to_owned()
            }
            Self::Profile { profile, unless, .. } if !unless.is_empty() => format!(
                "set {} in the pool's `environment`, or name another profile",
                unless.join(" or ")
            ),
            Self::Profile { .. } => {
                "name another profile in the pool, or correct that line; `onloadctl profile env` evaluates one beforehand".to_owned()
            }
        }
    }

    /// One CamelCase word for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoPort => "NoPort",
            Self::NotSelected { .. } => "NotSelected",
            Self::InterfaceAbsent { .. } => "InterfaceAbsent",
            Self::HandsOff => "HandsOff",
            Self::Preparing => "Preparing",
            Self::Dirty => "Dirty",
            Self::Held { .. } => "Held",
            Self::Changing { .. } => "Changing",
            Self::Unreadable { .. } => "Unreadable",
            Self::ModuleAbsent { .. } => "ModuleAbsent",
            Self::ModuleInFlight { .. } => "ModuleInFlight",
            Self::DeviceNodeMissing { .. } => "DeviceNodeMissing",
            Self::WrongDriver { .. } => "WrongDriver",
            Self::InTreeDriver { .. } => "InTreeDriver",
            Self::NoAuxiliaryDevice { .. } => "NoAuxiliaryDevice",
            Self::NotAccelerated { .. } => "NotAccelerated",
            Self::Unregistered { .. } => "Unregistered",
            Self::NoCarrier { .. } => "NoCarrier",
            Self::ClockUnsynchronised { .. } => "ClockUnsynchronised",
            Self::LibrariesMissing => "LibrariesMissing",
            Self::LibraryMismatch { .. } => "LibraryMismatch",
            Self::Profile { .. } => "Profile",
        }
    }
}

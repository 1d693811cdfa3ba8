//! Faults on order: what has gone wrong for somebody on a real node, at the push of a button.
//!
//! Only what lies below the host is here. A kubelet that forgets, a full disk under the ledger, a
//! clock that jumps and a suspended node are faults of other edges and belong to their stand-ins.

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroU32;

use onload_core::names::{InterfaceName, ModuleName, PciAddress, ReleaseName};

/// One fault, as `fault ...` orders it. It lasts until `clear faults`, or as often as it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A module's load does not do what it should.
    Load {
        /// The module.
        module: ModuleName,
        /// Only from this release; from any where left out.
        release: Option<ReleaseName>,
        /// What happens instead.
        answer: LoadFault,
        /// How often; for ever where left out.
        times: Option<NonZeroU32>,
    },
    /// A module's unload does not do what it should.
    Unload {
        /// The module.
        module: ModuleName,
        /// What happens instead.
        answer: UnloadFault,
        /// How often; for ever where left out.
        times: Option<NonZeroU32>,
    },
    /// `sfc_resource` does not take an interface.
    Unregistered {
        /// The interface.
        interface: InterfaceName,
        /// How often; for ever where left out.
        times: Option<NonZeroU32>,
    },
    /// A unit does not stop when it is told to.
    UnitStays(String),
    /// The control-plane server does not end when it is told to.
    ControlPlaneStays,
    /// udev loads a driver at once for what has lost its own, as its older rules do.
    Eager,
    /// Drivers load and bind, but no auxiliary device appears.
    NoAux,
    /// Modules load, but no device node appears.
    NoNodes,
    /// The firmware takes no more variables.
    NoRoom,
    /// The kernel renames nothing that is up, as those before 6.2.
    RenameBusy,
    /// One kind of deed does nothing, and nobody says so.
    Restore(&'static str),
    /// Owners set up what comes back only when they are asked.
    OwnerAsks,
    /// Owners are not there.
    OwnerGone,
    /// Part of the machine vanishes while it is read.
    Unreadable(Part),
    /// Nothing tells of changes.
    Silent,
    /// Everything is told this many times.
    Storm(NonZeroU32),
}

/// How a load goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadFault {
    /// As if the file were not there.
    NotFound,
    /// As if the kernel did not trust the signature.
    Rejected,
    /// The module's own start fails.
    Error,
    /// The module's own start never returns.
    Hang,
    /// As if it were built for another kernel.
    WrongKernel,
    /// As if a symbol it needs were nowhere.
    UnknownSymbol,
    /// As if a parameter had a value that it does not take.
    BadParameter,
}

/// How an unload goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnloadFault {
    /// Refused though nobody uses it.
    Refused,
    /// The module's own end never returns.
    Hang,
}

/// What can be unreadable.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Kernel release.
    Kernel,
    /// Boot id.
    BootId,
    /// All PCI functions.
    Ports,
    /// What lies below one PCI function.
    Port(PciAddress),
    /// Network interfaces.
    Interfaces,
    /// Loaded modules.
    Modules,
    /// What `/proc/driver/onload` says.
    Driver,
    /// Device nodes.
    DeviceNodes,
    /// Releases and kernels on disk.
    Releases,
    /// Who uses the stack.
    Users,
    /// Whom the machine trusts.
    Trust,
    /// Clocks and who steers them.
    Clocks,
}

/// The words for kinds of [`Deed`](onload_core::network::Deed).
pub const DEEDS: [&str; 14] = [
    "make",
    "functions",
    "function",
    "set",
    "mac",
    "join",
    "mtu",
    "altnames",
    "listen",
    "up",
    "qdisc",
    "address",
    "route",
    "rule",
];

/// The parts that one word names.
pub const PARTS: [(&str, Part); 11] = [
    ("kernel", Part::Kernel),
    ("boot-id", Part::BootId),
    ("ports", Part::Ports),
    ("interfaces", Part::Interfaces),
    ("modules", Part::Modules),
    ("driver", Part::Driver),
    ("device-nodes", Part::DeviceNodes),
    ("releases", Part::Releases),
    ("users", Part::Users),
    ("trust", Part::Trust),
    ("clocks", Part::Clocks),
];

/// The words for load faults.
pub const LOAD_FAULTS: [(&str, LoadFault); 7] = [
    ("not-found", LoadFault::NotFound),
    ("rejected", LoadFault::Rejected),
    ("error", LoadFault::Error),
    ("hang", LoadFault::Hang),
    ("wrong-kernel", LoadFault::WrongKernel),
    ("unknown-symbol", LoadFault::UnknownSymbol),
    ("bad-parameter", LoadFault::BadParameter),
];

/// The words for unload faults.
pub const UNLOAD_FAULTS: [(&str, UnloadFault); 2] =
    [("refused", UnloadFault::Refused), ("hang", UnloadFault::Hang)];

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Port(address) = self {
            return address.fmt(f);
        }
        let word = PARTS.iter().find(|(_, part)| part == self).map_or("", |(word, _)| *word);
        f.write_str(word)
    }
}

impl fmt::Display for LoadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word =
            LOAD_FAULTS.iter().find(|(_, fault)| fault == self).map_or("", |(word, _)| *word);
        f.write_str(word)
    }
}

impl fmt::Display for UnloadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word =
            UNLOAD_FAULTS.iter().find(|(_, fault)| fault == self).map_or("", |(word, _)| *word);
        f.write_str(word)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let often = |times: &Option<NonZeroU32>| {
            times.map_or_else(String::new, |times| format!(" times {times}"))
        };
        match self {
            Self::Load { module, release: None, answer, times } => {
                write!(f, "load {module} {answer}{}", often(times))
            }
            Self::Load { module, release: Some(release), answer, times } => {
                write!(f, "load {module} from {release} {answer}{}", often(times))
            }
            Self::Unload { module, answer, times } => {
                write!(f, "unload {module} {answer}{}", often(times))
            }
            Self::Unregistered { interface, times } => {
                write!(f, "register {interface} refused{}", often(times))
            }
            Self::UnitStays(unit) => write!(f, "unit {unit} stays"),
            Self::ControlPlaneStays => f.write_str("control-plane stays"),
            Self::Eager => f.write_str("eager"),
            Self::NoAux => f.write_str("no-aux"),
            Self::NoNodes => f.write_str("no-nodes"),
            Self::NoRoom => f.write_str("no-room"),
            Self::RenameBusy => f.write_str("rename-busy"),
            Self::Restore(deed) => write!(f, "restore {deed}"),
            Self::OwnerAsks => f.write_str("owner-asks"),
            Self::OwnerGone => f.write_str("owner-gone"),
            Self::Unreadable(part) => write!(f, "unreadable {part}"),
            Self::Silent => f.write_str("silent"),
            Self::Storm(count) => write!(f, "storm {count}"),
        }
    }
}

#[derive(Clone, Debug)]
struct OfLoad {
    module: ModuleName,
    release: Option<ReleaseName>,
    answer: LoadFault,
    times: Option<NonZeroU32>,
}

/// The faults in force.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    load: Vec<OfLoad>,
    unload: Vec<(ModuleName, UnloadFault, Option<NonZeroU32>)>,
    register: Vec<(InterfaceName, Option<NonZeroU32>)>,
    units: BTreeSet<String>,
    unreadable: BTreeSet<Part>,
    deeds: BTreeSet<&'static str>,
    /// The kernel renames nothing that is up.
    pub rename_busy: bool,
    /// Owners set up what comes back only when they are asked.
    pub owner_asks: bool,
    /// Owners are not there.
    pub owner_gone: bool,
    /// The control-plane server does not end when it is told to.
    pub control_plane_stays: bool,
    /// udev loads a driver at once for what has lost its own.
    pub eager: bool,
    /// No auxiliary device appears.
    pub no_aux: bool,
    /// No device node appears.
    pub no_nodes: bool,
    /// The firmware takes no more variables.
    pub no_room: bool,
    /// Nothing tells of changes.
    pub silent: bool,
    storm: Option<NonZeroU32>,
}

impl Faults {
    /// Puts a fault in force.
    pub fn order(&mut self, fault: &Fault) {
        match fault {
            Fault::Load { module, release, answer, times } => self.load.push(OfLoad {
                module: module.clone(),
                release: release.clone(),
                answer: *answer,
                times: *times,
            }),
            Fault::Unload { module, answer, times } => {
                self.unload.push((module.clone(), *answer, *times));
            }
            Fault::Unregistered { interface, times } => {
                self.register.push((interface.clone(), *times));
            }
            Fault::UnitStays(unit) => {
                self.units.insert(unit.clone());
            }
            Fault::ControlPlaneStays => self.control_plane_stays = true,
            Fault::Eager => self.eager = true,
            Fault::NoAux => self.no_aux = true,
            Fault::NoNodes => self.no_nodes = true,
            Fault::NoRoom => self.no_room = true,
            Fault::RenameBusy => self.rename_busy = true,
            Fault::Restore(deed) => {
                self.deeds.insert(deed);
            }
            Fault::OwnerAsks => self.owner_asks = true,
            Fault::OwnerGone => self.owner_gone = true,
            Fault::Unreadable(part) => {
                self.unreadable.insert(part.clone());
            }
            Fault::Silent => self.silent = true,
            Fault::Storm(count) => self.storm = Some(*count),
        }
    }

    /// What goes wrong with this load, counted down.
    pub fn take_load(&mut self, module: &ModuleName, release: &ReleaseName) -> Option<LoadFault> {
        let is_meant = |one: &OfLoad| {
            one.module == *module && one.release.as_ref().is_none_or(|from| from == release)
        };
        let at = self.load.iter().position(is_meant)?;
        let fault = self.load.get_mut(at)?;
        let answer = fault.answer;
        if spent(&mut fault.times) {
            self.load.remove(at);
        }
        Some(answer)
    }

    /// What goes wrong with this unload, counted down.
    pub fn take_unload(&mut self, module: &ModuleName) -> Option<UnloadFault> {
        let at = self.unload.iter().position(|(name, _, _)| name == module)?;
        let (_, answer, times) = self.unload.get_mut(at)?;
        let answer = *answer;
        if spent(times) {
            self.unload.remove(at);
        }
        Some(answer)
    }

    /// Whether this registration is refused, counted down.
    pub fn take_register(&mut self, interface: &InterfaceName) -> bool {
        let at = self.register.iter().position(|(name, _)| name == interface);
        let Some((_, times)) = at.and_then(|at| self.register.get_mut(at)) else { return false };
        if spent(times) {
            self.register.retain(|(name, _)| name != interface);
        }
        true
    }

    /// Whether a unit does not stop.
    pub fn keeps(&self, unit: &str) -> bool {
        self.units.contains(unit)
    }

    /// Whether a part cannot be read.
    pub fn hides(&self, part: &Part) -> bool {
        self.unreadable.contains(part)
    }

    /// Whether deeds of a kind do nothing.
    pub fn spoils(&self, deed: &str) -> bool {
        self.deeds.contains(deed)
    }

    /// How often a change is told.
    pub fn hints_per_change(&self) -> u32 {
        if self.silent { 0 } else { self.storm.map_or(1, NonZeroU32::get) }
    }
}

/// Counts one use; true when it was the last.
fn spent(times: &mut Option<NonZeroU32>) -> bool {
    match times {
        None => false,
        Some(left) => match NonZeroU32::new(left.get() - 1) {
            Some(fewer) => {
                *left = fewer;
                false
            }
            None => true,
        },
    }
}

#[cfg(test)]
// A test that cannot unwrap has failed.
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_lasts_as_often_as_it_says_and_the_older_goes_first() {
        let module: ModuleName = "onload".parse().unwrap();
        let mut faults = Faults::default();
        let release: ReleaseName = "9.2.1".parse().unwrap();
        let load = |answer, times| Fault::Load {
            module: module.clone(),
            release: None,
            answer,
            times: NonZeroU32::new(times),
        };
        faults.order(&load(LoadFault::Error, 2));
        faults.order(&load(LoadFault::Hang, 0));
        let seen: Vec<_> = (0..4).map(|_| faults.take_load(&module, &release)).collect();
        let (error, hang) = (Some(LoadFault::Error), Some(LoadFault::Hang));
        assert_eq!(seen, [error, error, hang, hang]);
        assert_eq!(faults.take_load(&"sfc".parse().unwrap(), &release), None);
        let other = Some("9.3.0".parse().unwrap());
        let (module, answer) = ("sfc".parse().unwrap(), LoadFault::Error);
        faults.order(&Fault::Load { module, release: other, answer, times: None });
        assert_eq!(faults.take_load(&"sfc".parse().unwrap(), &release), None, "of another release");
    }

    #[test]
    fn silence_wins_over_a_storm() {
        let mut faults = Faults::default();
        assert_eq!(faults.hints_per_change(), 1);
        faults.order(&Fault::Storm(NonZeroU32::new(10).unwrap()));
        assert_eq!(faults.hints_per_change(), 10);
        faults.order(&Fault::Silent);
        assert_eq!(faults.hints_per_change(), 0);
    }
}

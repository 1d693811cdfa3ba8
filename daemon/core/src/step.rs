//! What may be done to the machine: plain data that prints, compares and survives a restart.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::af_xdp;
use crate::clock::Written;
use crate::clock::unit::{Active, Unit};
use crate::inventory::{Autoload, Loader, ModuleState, Snapshot};
use crate::names::{InterfaceName, ModuleName, PciAddress, PoolName, ReleaseName};
use crate::naming::{Pins, Renaming};
use crate::network::{Deed, Owner};
use crate::others::{self, SERVER_PARAMETERS, SERVER_PATH};
use crate::reading::Reading;

/// One thing the host may be asked to do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Load a module, with what it depends on, from a release.
    LoadModule {
        /// The module.
        module: ModuleName,
        /// Where it comes from.
        release: ReleaseName,
    },
    /// Take a module out, with what it alone needed.
    UnloadModule {
        /// The module.
        module: ModuleName,
    },
    /// Ask the control-plane servers to end. They hold `onload`, and nobody starts them anew.
    StopControlPlane,
    /// Stop a systemd unit.
    StopUnit {
        /// Its name.
        unit: String,
    },
    /// Start a systemd unit that steers a clock.
    StartUnit {
        /// Its name.
        unit: String,
    },
    /// Start one anew that hangs.
    RestartUnit {
        /// Its name.
        unit: String,
        /// The process that hangs: another one has taken its place when it is done.
        process: u32,
    },
    /// Write the configuration of sfptpd, and have its unit use it. Nothing is restarted by that.
    ConfigureClock(Written),
    /// Have sfptpd's unit use its own configuration again.
    LeaveClock,
    /// Give a port that no driver has to the one that is loaded for it.
    BindDriver {
        /// The port.
        port: PciAddress,
        /// The driver.
        driver: String,
    },
    /// Register an interface with Onload for AF_XDP. There is no step back: it ends when
    /// `sfc_resource` is unloaded (reference/onload-measured.md section 3).
    RegisterAfXdp {
        /// Its name.
        interface: InterfaceName,
    },
    /// Tell modprobe, until the end of this boot.
    WriteLoader(Loader),
    /// Tell the loaded `onload` which control-plane server to start from now on.
    RestoreServer {
        /// Its path.
        server: String,
        /// Whether what stands before the server's own arguments goes: it was for another program.
        clear: bool,
    },
    /// Have the link that a pool's containers are given lead to the libraries of a release.
    PlaceUserland {
        /// The pool.
        pool: PoolName,
        /// The release.
        release: ReleaseName,
        /// The tree of it ([`crate::userland::tree`]).
        tree: String,
    },
    /// Have udev call ports by these names, and by no others that onloadd pinned, from their next
    /// appearance on.
    PinNames(Pins),
    /// Rename interfaces now: all of them or none.
    Rename(Vec<Renaming>),
    /// Ask whoever owns an interface to set it up again.
    HandBack {
        /// Its name.
        interface: InterfaceName,
        /// Who.
        owner: Owner,
    },
    /// Put network state back that went with a driver.
    RestoreNetwork(Vec<Deed>),
}

impl Step {
    /// Whether the step has nothing left to do: what skips it, and what proves it done.
    pub fn holds_in(&self, snapshot: &Snapshot) -> bool {
        match self {
            Self::LoadModule { module, .. } => match snapshot.module(module.as_str()) {
                Reading::Known(module) => module.state == ModuleState::Live,
                Reading::Absent | Reading::Unreadable(_) => false,
            },
            Self::UnloadModule { module } => snapshot.module(module.as_str()).is_absent(),
            // Without the module there is nothing to serve.
            Self::StopControlPlane => match &snapshot.driver.control_plane {
                Reading::Known(servers) => servers.is_empty(),
                Reading::Absent => true,
                Reading::Unreadable(_) => false,
            },
            Self::StopUnit { unit } => {
                if let Some(seen) = clock_unit(unit, snapshot) {
                    return matches!(seen.active, Active::Inactive | Active::Failed);
                }
                // One that uses nothing shows by running.
                let mut of_others = others::seen(&snapshot.others);
                if let Some(runs) = of_others.find_map(|(_, trace)| trace.units.get(unit)) {
                    return !runs;
                }
                let uses = |user: &crate::inventory::User| user.unit.as_ref() == Some(unit);
                snapshot.users.known().is_some_and(|users| !users.values().any(uses))
            }
            Self::StartUnit { unit } => {
                clock_unit(unit, snapshot).is_some_and(|seen| seen.active == Active::Active)
            }
            Self::RestartUnit { unit, process } => clock_unit(unit, snapshot).is_some_and(|seen| {
                seen.active == Active::Active && seen.main_pid.is_some_and(|pid| pid != *process)
            }),
            Self::ConfigureClock(wanted) => match &snapshot.clocks {
                Reading::Known(clocks) => clocks.written.known() == Some(wanted),
                Reading::Absent | Reading::Unreadable(_) => false,
            },
            Self::LeaveClock => match &snapshot.clocks {
                Reading::Known(clocks) => clocks.written.is_absent(),
                Reading::Absent | Reading::Unreadable(_) => false,
            },
            Self::BindDriver { port, driver } => match &snapshot.ports {
                // Without the port there is nothing to give.
                Reading::Known(ports) => ports
                    .get(port)
                    .is_none_or(|port| port.driver.known().is_some_and(|bound| bound == driver)),
                Reading::Absent => true,
                Reading::Unreadable(_) => false,
            },
            Self::RegisterAfXdp { interface } => af_xdp::is_registered(interface, snapshot),
            Self::WriteLoader(loader) => match &snapshot.loader {
                Reading::Known(seen) => seen == loader,
                Reading::Absent => *loader == Loader::default(),
                Reading::Unreadable(_) => false,
            },
            Self::RestoreServer { server, clear } => match snapshot.module("onload") {
                Reading::Known(_) => {
                    let is = |name| others::parameter(snapshot, name);
                    let cleared = !clear || is(SERVER_PARAMETERS).is_none_or(str::is_empty);
                    is(SERVER_PATH) == Some(server.as_str()) && cleared
                }
                // Without the module there is nobody to tell.
                Reading::Absent => true,
                Reading::Unreadable(_) => false,
            },
            Self::PlaceUserland { pool, tree, .. } => {
                let userland = snapshot.userland.known();
                userland.is_some_and(|userland| userland.trees.get(pool) == Some(tree))
            }
            Self::PinNames(pins) => match &snapshot.pins {
                Reading::Known(seen) => seen == pins,
                Reading::Absent => pins.is_empty(),
                Reading::Unreadable(_) => false,
            },
            // Without the port there is nothing to name.
            Self::Rename(all) => all.iter().all(|one| {
                snapshot.interface_of(&one.port).is_none_or(|(name, _)| *name == one.to)
            }),
            // That it was asked shows nowhere; what came of it is compared.
            Self::HandBack { .. } => false,
            Self::RestoreNetwork(deeds) => {
                let network = snapshot.network.known();
                network.is_some_and(|now| deeds.iter().all(|deed| deed.holds_in(now)))
            }
        }
    }

    /// Whether it takes away what somebody may use.
    pub fn takes_away(&self) -> bool {
        match self {
            Self::StopControlPlane | Self::UnloadModule { .. } => true,
            Self::LoadModule { .. }
            | Self::StopUnit { .. }
            | Self::StartUnit { .. }
            | Self::RestartUnit { .. }
            | Self::ConfigureClock(_)
            | Self::LeaveClock
            | Self::BindDriver { .. }
            | Self::RegisterAfXdp { .. }
            | Self::WriteLoader(_)
            | Self::RestoreServer { .. }
            | Self::PlaceUserland { .. }
            | Self::PinNames(_)
            | Self::Rename(_)
            | Self::HandBack { .. }
            | Self::RestoreNetwork(_) => false,
        }
    }

    /// Whether its failure is told and nothing else: what it puts back is not worth a driver that works.
    pub fn is_best_effort(&self) -> bool {
        match self {
            Self::HandBack { .. } | Self::RestoreNetwork(_) => true,
            Self::LoadModule { .. }
            | Self::UnloadModule { .. }
            | Self::StopControlPlane
            | Self::StopUnit { .. }
            | Self::StartUnit { .. }
            | Self::RestartUnit { .. }
            | Self::ConfigureClock(_)
            | Self::LeaveClock
            | Self::BindDriver { .. }
            | Self::RegisterAfXdp { .. }
            | Self::WriteLoader(_)
            | Self::RestoreServer { .. }
            | Self::PlaceUserland { .. }
            | Self::PinNames(_)
            | Self::Rename(_) => false,
        }
    }

    /// What the step is about, as `why` takes it.
    pub fn subject(&self) -> String {
        match self {
            Self::LoadModule { module, .. } | Self::UnloadModule { module } => module.to_string(),
            Self::StopControlPlane | Self::RestoreServer { .. } => "onload".to_owned(),
            Self::StopUnit { .. } | Self::WriteLoader(_) => "node".to_owned(),
            Self::StartUnit { .. }
            | Self::RestartUnit { .. }
            | Self::ConfigureClock(_)
            | Self::LeaveClock => "clock".to_owned(),
            Self::BindDriver { port, .. } => port.to_string(),
            Self::RegisterAfXdp { interface } => interface.to_string(),
            Self::PlaceUserland { pool, .. } => pool.to_string(),
            Self::PinNames(_) => "ports".to_owned(),
            Self::Rename(all) => {
                all.first().map_or_else(|| "ports".to_owned(), |one| one.port.to_string())
            }
            Self::HandBack { interface, .. } => interface.to_string(),
            Self::RestoreNetwork(_) => "node".to_owned(),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LoadModule { module, release } => {
                write!(f, "load module {module} from {release}")
            }
            Self::UnloadModule { module } => write!(f, "unload module {module}"),
            Self::StopControlPlane => f.write_str("stop the control-plane server"),
            Self::StopUnit { unit } => write!(f, "stop {unit}"),
            Self::StartUnit { unit } => write!(f, "start {unit}"),
            Self::RestartUnit { unit, .. } => write!(f, "start {unit} anew"),
            Self::ConfigureClock(Written { unit, .. }) => {
                write!(f, "write the configuration of {unit}")
            }
            Self::LeaveClock => f.write_str("have sfptpd use its own configuration again"),
            Self::BindDriver { port, driver } => write!(f, "give port {port} to driver {driver}"),
            Self::RegisterAfXdp { interface } => {
                write!(f, "register {interface} with Onload for AF_XDP")
            }
            Self::WriteLoader(Loader { autoload: Autoload::Blocked, .. }) => {
                f.write_str("keep the kernel's own driver from coming back by itself")
            }
            Self::WriteLoader(Loader { autoload: Autoload::Allowed, server: Some(server) }) => {
                write!(f, "have onload start {server}")
            }
            Self::WriteLoader(Loader { autoload: Autoload::Allowed, server: None }) => {
                f.write_str("let the hardware load its driver again")
            }
            Self::RestoreServer { server, .. } => {
                write!(f, "tell onload to start {server} from now on")
            }
            Self::PlaceUserland { pool, release, .. } => {
                write!(f, "put the libraries of {release} in place for containers of {pool}")
            }
            Self::PinNames(pins) if pins.is_empty() => f.write_str("take back the names of ports"),
            Self::PinNames(pins) => {
                let names: Vec<_> = pins.values().map(|pin| pin.name.as_str()).collect();
                write!(f, "pin the names {}", names.join(", "))
            }
            Self::Rename(all) => {
                let all: Vec<_> =
                    all.iter().map(|one| format!("{} to {}", one.from, one.to)).collect();
                write!(f, "rename {}", all.join(", "))
            }
            Self::HandBack { interface, owner: Owner::NetworkManager(_) } => {
                write!(f, "ask NetworkManager to set up {interface} again")
            }
            Self::HandBack { interface, owner: Owner::Networkd | Owner::Nobody } => {
                write!(f, "ask systemd-networkd to set up {interface} again")
            }
            Self::RestoreNetwork(deeds) => match deeds.as_slice() {
                [one] => write!(f, "{one}"),
                [first, rest @ ..] => write!(f, "{first}, and {} more", rest.len()),
                [] => f.write_str("put back nothing"),
            },
        }
    }
}

/// What a step changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was done now.
    Changed,
    /// It was so already.
    Unchanged,
}

/// Why a step failed. Two failures are two variants only if somebody acts differently on them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum StepError {
    /// This host cannot be changed at all: a capture, or a root that is not `/`.
    #[error("{0}")]
    Unsupported(String),
    /// There is no such module for the running kernel.
    #[error("module {module} is not found for this kernel")]
    NotFound {
        /// The module.
        module: ModuleName,
    },
    /// The kernel does not trust its signature.
    #[error("the kernel rejected the signature of module {module}")]
    KeyRejected {
        /// The module.
        module: ModuleName,
    },
    /// Somebody uses it (EAGAIN; reference/onload-measured.md section 2).
    #[error("module {module} is in use{}", by(.holders))]
    InUse {
        /// The module.
        module: ModuleName,
        /// Who, as far as the machine said.
        holders: Vec<String>,
    },
    /// It was built for another kernel: vermagic, or checksums of symbols.
    #[error("module {module} does not fit this kernel: {detail}")]
    WrongKernel {
        /// The module.
        module: ModuleName,
        /// The kernel's words.
        detail: String,
    },
    /// It needs a symbol that nothing loaded has.
    #[error("module {module} misses a symbol: {detail}")]
    UnknownSymbol {
        /// The module.
        module: ModuleName,
        /// The kernel's words.
        detail: String,
    },
    /// The kernel refuses a parameter, most likely one of the host's modprobe.d.
    #[error("module {module} refuses its parameters: {detail}")]
    BadParameter {
        /// The module.
        module: ModuleName,
        /// The kernel's words.
        detail: String,
    },
    /// `sfc_resource` does not take an interface.
    #[error("sfc_resource does not take {interface}: {detail}")]
    Unregistered {
        /// The interface.
        interface: InterfaceName,
        /// The kernel's words.
        detail: String,
    },
    /// Anything else the machine answered.
    #[error("{0}")]
    Failed(String),
    /// It did not end in its time and cannot be stopped.
    #[error("it did not end within {limit_secs} s and cannot be stopped")]
    Stuck {
        /// The time it had, in seconds.
        limit_secs: u64,
    },
}

impl StepError {
    /// Whether the same step may succeed later with nothing else changed.
    pub fn retry_may_help(&self) -> bool {
        match self {
            Self::Failed(_) | Self::InUse { .. } => true,
            Self::Unsupported(_)
            | Self::NotFound { .. }
            | Self::KeyRejected { .. }
            | Self::WrongKernel { .. }
            | Self::UnknownSymbol { .. }
            | Self::BadParameter { .. }
            | Self::Unregistered { .. }
            | Self::Stuck { .. } => false,
        }
    }

    /// What an operator does about it.
    pub fn fix(&self) -> String {
        match self {
            Self::Unsupported(_) => "see to what is missing: the running machine (--root /), systemd and modprobe on it, or a release that is `host` or `in-tree`".to_owned(),
            Self::NotFound { module } => format!(
                "install the package that brings {module} for this kernel, then `onloadctl apply --retry`"
            ),
            Self::KeyRejected { module } => format!(
                "`onloadctl why {module}` says who signed it and by what rule this kernel decides; `onloadctl keys import FILE` and a reboot with somebody at the console enrol a key"
            ),
            Self::InUse { module, .. } => format!("end what uses it (`onloadctl why {module}`), or drain the node"),
            Self::WrongKernel { module, .. } => format!(
                "build {module} for this kernel, or name a release that has been, then `onloadctl apply --retry`"
            ),
            Self::UnknownSymbol { .. } => {
                "load what it depends on from the same release; see the kernel log (journalctl -k) for the symbol".to_owned()
            }
            Self::BadParameter { module, .. } => format!(
                "mend the `options {module}` line (modprobe -c shows it), then `onloadctl apply --retry`"
            ),
            Self::Unregistered { interface, .. } => format!(
                "see the kernel log (journalctl -k), or take {interface} out of [[modules.af-xdp]]; then `onloadctl apply --retry`"
            ),
            Self::Failed(_) => "see the kernel log (journalctl -k); onloadd tries again by itself".to_owned(),
            Self::Stuck { .. } => "see the kernel log (journalctl -k); only a reboot ends it".to_owned(),
        }
    }
}

/// What systemd says of a unit that steers a clock; none of any other.
fn clock_unit<'a>(unit: &str, snapshot: &'a Snapshot) -> Option<&'a Unit> {
    snapshot.clocks.known()?.units.known()?.get(unit)
}

fn by(holders: &[String]) -> String {
    if holders.is_empty() { String::new() } else { format!(" by {}", holders.join(", ")) }
}

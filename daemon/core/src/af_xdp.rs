//! Ports that are not Solarflare's, offered to Onload through its AF_XDP registration: which ones
//! the configuration chooses, and what speaks against each.
//!
//! A registration holds the interface until `sfc_resource` is unloaded, and there is no other way
//! back: renaming or removing the interface meanwhile can stop the whole node
//! (reference/onload-measured.md section 3). Hence it is refused wherever that may happen.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::attachment::{Attachment, Fate};
use crate::hardware::{Acceleration, Hardware};
use crate::inventory::{Interface, Snapshot};
use crate::names::{InterfaceName, MacAddress, PciAddress};
use crate::reading::Reading;

mod link_file;
mod profile;

pub use link_file::LinkFile;
pub(crate) use link_file::{in_order, is_like};
pub use profile::{Profile, kept};

/// The interface that must never be registered: the next stack panics the kernel
/// (reference/onload-measured.md section 3).
pub const LOOPBACK: &str = "lo";

/// One table of `[[modules.af-xdp]]`: exactly one of the four.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Choice {
    /// The interface of this name, or alternative name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<InterfaceName>,
    /// Every interface of this driver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// The interface of this PCI function.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pci: Option<PciAddress>,
    /// The interface with this address, burnt in or in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddress>,
}

impl Choice {
    /// What is wrong with it as it is written; none: nothing.
    pub fn fault(&self) -> Option<String> {
        let given = [
            self.interface.is_some(),
            self.driver.is_some(),
            self.pci.is_some(),
            self.mac.is_some(),
        ];
        if given.into_iter().filter(|given| *given).count() != 1 {
            return Some("needs exactly one of `interface`, `driver`, `pci` and `mac`".to_owned());
        }
        if self.interface.as_ref().is_some_and(|name| name.as_str() == LOOPBACK) {
            return Some(Unfit::Loopback.to_string());
        }
        let empty = self.driver.as_ref().is_some_and(String::is_empty);
        empty.then(|| "`driver` is empty".to_owned())
    }

    fn takes(&self, name: &InterfaceName, interface: &Interface) -> bool {
        let by_name =
            |wanted: &InterfaceName| wanted == name || interface.altnames.contains(wanted.as_str());
        let by_mac = |wanted: &MacAddress| {
            [&interface.mac, &interface.permanent_mac].iter().any(|mac| mac.known() == Some(wanted))
        };
        self.interface.as_ref().is_some_and(by_name)
            || self.driver.as_ref().is_some_and(|driver| interface.driver.known() == Some(driver))
            || self.pci.as_ref().is_some_and(|pci| interface.port.known() == Some(pci))
            || self.mac.as_ref().is_some_and(by_mac)
    }

    /// The one interface it names, in its own words; none where it names a kind.
    fn names_one(&self) -> Option<String> {
        let name = self.interface.as_ref().map(ToString::to_string);
        name.or_else(|| self.pci.map(|pci| pci.to_string()))
            .or_else(|| self.mac.map(|mac| mac.to_string()))
    }
}

/// What `sfc_resource` says of registrations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AfXdp {
    /// Whether it takes any: not on a kernel without AF_XDP.
    pub can_register: bool,
    /// Interfaces it knows: those registered, and those it drives natively.
    pub known: BTreeSet<InterfaceName>,
}

/// Why an interface is not registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Unfit {
    /// It is the loopback.
    Loopback,
    /// It belongs to no PCI function: veth and the like.
    NoFunction,
    /// Onload has a driver for the card.
    Native {
        /// Which.
        driver: String,
    },
    /// Another interface of the same function is registered.
    Shared {
        /// Which.
        with: InterfaceName,
    },
    /// Others are stacked on it, which rename or move it as they like.
    Upper {
        /// Which.
        by: BTreeSet<InterfaceName>,
    },
    /// NetworkManager may put it under another interface.
    Profile {
        /// By which file.
        file: String,
        /// What it is put under.
        under: String,
    },
    /// A container network may move it into a container.
    Attachment {
        /// By which file.
        file: String,
        /// By which plugin.
        plugin: String,
    },
    /// systemd, or a program of udev, may rename it.
    Renamed {
        /// By which file.
        file: String,
        /// To what.
        to: String,
    },
    /// udev has not given it its name yet.
    Unnamed,
    /// The loaded `sfc_resource` takes no registrations.
    NoRegistration,
    /// There is none.
    Missing,
    /// What would speak against it cannot be read.
    Unreadable {
        /// Which part.
        part: String,
        /// Why.
        why: String,
    },
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loopback => {
                f.write_str("the loopback is never registered: the next stack would panic the kernel")
            }
            Self::NoFunction => f.write_str(
                "it belongs to no PCI function; renaming or removing a registered virtual interface stops the node",
            ),
            Self::Native { driver } => write!(f, "Onload drives this card through {driver}"),
            Self::Shared { with } => write!(f, "{with} is of the same PCI function"),
            Self::Upper { by } => {
                let by: Vec<_> = by.iter().map(ToString::to_string).collect();
                write!(f, "{} is on top of it and may rename or move it", by.join(", "))
            }
            Self::Profile { file, under } => write!(f, "{file} may put it under {under}"),
            Self::Attachment { file, plugin } => {
                write!(f, "{file} may move it into a container (plugin {plugin})")
            }
            Self::Renamed { file, to } => write!(f, "{file} may rename it to {to}"),
            Self::Unnamed => f.write_str("udev has not given it its name yet"),
            Self::NoRegistration => {
                f.write_str("the loaded sfc_resource takes no registrations: kernel or release has no AF_XDP")
            }
            Self::Missing => f.write_str("there is no such interface"),
            Self::Unreadable { part, why } => write!(f, "{part} cannot be read: {why}"),
        }
    }
}

impl Unfit {
    /// What to do about it.
    pub fn fix(&self) -> &'static str {
        match self {
            Self::Loopback | Self::NoFunction => "take it out of [[modules.af-xdp]]",
            Self::Native { .. } => {
                "take it out of [[modules.af-xdp]]: as a port of its own driver it needs none"
            }
            Self::Shared { .. } => "name one of the two in [[modules.af-xdp]]",
            Self::Upper { .. } => {
                "take it out of the bond, bridge or attachment, or choose another interface"
            }
            Self::Profile { .. } => {
                "take the controller out of that profile, have it match other interfaces only (`interface-name=`), or choose another interface"
            }
            Self::Attachment { .. } => {
                "take the interface out of that container network, or choose another interface"
            }
            Self::Renamed { .. } => {
                "drop the new name from that file and reboot, or choose another interface"
            }
            Self::Unnamed => "wait; if it stays, see whether udev runs",
            Self::NoRegistration => "use a kernel with CONFIG_XDP_SOCKETS and Onload 7.1 or later",
            Self::Missing => {
                "mend its name in [[modules.af-xdp]], or see why the interface is gone"
            }
            Self::Unreadable { .. } => {
                "onloadd looks again by itself; if it stays, see whether its unit may read it"
            }
        }
    }
}

/// What the choices come to on this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// Ports that are offered through AF_XDP, with their interfaces.
    pub ports: BTreeMap<PciAddress, InterfaceName>,
    /// Interfaces that are not to be registered although they are chosen.
    pub refused: Vec<(String, Unfit)>,
    /// Registered, and chosen by nothing.
    pub unasked: BTreeSet<InterfaceName>,
}

impl Chosen {
    /// Those that are not registered yet.
    pub fn unregistered<'a>(
        &'a self,
        snapshot: &'a Snapshot,
    ) -> impl Iterator<Item = (&'a PciAddress, &'a InterfaceName)> {
        self.ports.iter().filter(|(_, name)| !is_registered(name, snapshot))
    }
}

/// Whether `sfc_resource` has an interface.
pub fn is_registered(name: &InterfaceName, snapshot: &Snapshot) -> bool {
    snapshot.af_xdp.known().is_some_and(|seen| seen.known.contains(name))
}

/// Judges every interface that is chosen. One that is registered already stays offered whatever
/// speaks against it: that is told, and cannot be undone.
pub fn choose(choices: &[Choice], snapshot: &Snapshot, hardware: &Hardware) -> Chosen {
    let mut chosen = Chosen::default();
    let interfaces = match &snapshot.interfaces {
        Reading::Known(interfaces) => interfaces,
        Reading::Absent => return chosen,
        Reading::Unreadable(why) => {
            if !choices.is_empty() {
                let part = "the list of interfaces".to_owned();
                let unfit = Unfit::Unreadable { part, why: why.clone() };
                chosen.refused.push(("af-xdp".to_owned(), unfit));
            }
            return chosen;
        }
    };
    for (name, interface) in interfaces {
        let registered = is_registered(name, snapshot);
        if !choices.iter().any(|choice| choice.takes(name, interface)) {
            if registered && native(interface, snapshot, hardware).is_none() {
                chosen.unasked.insert(name.clone());
            }
            continue;
        }
        let mut unfit = unfit(name, interface, snapshot, hardware);
        if let (Some(address), true) = (interface.port.known(), unfit.is_none() || registered) {
            match chosen.ports.get(address) {
                Some(with) => unfit = Some(Unfit::Shared { with: with.clone() }),
                None if native(interface, snapshot, hardware).is_none() => {
                    chosen.ports.insert(*address, name.clone());
                }
                None => {}
            }
        }
        chosen.refused.extend(unfit.map(|unfit| (name.to_string(), unfit)));
    }
    for choice in choices {
        let found = interfaces.iter().any(|(name, interface)| choice.takes(name, interface));
        let missing = choice.names_one().filter(|_| !found);
        chosen.refused.extend(missing.map(|name| (name, Unfit::Missing)));
    }
    chosen
}

fn unfit(
    name: &InterfaceName,
    interface: &Interface,
    snapshot: &Snapshot,
    hardware: &Hardware,
) -> Option<Unfit> {
    let unreadable = |part: &str, why: &String| {
        Some(Unfit::Unreadable { part: part.to_owned(), why: why.clone() })
    };
    if name.as_str() == LOOPBACK {
        return Some(Unfit::Loopback);
    }
    match &interface.port {
        Reading::Known(_) => {}
        Reading::Absent => return Some(Unfit::NoFunction),
        Reading::Unreadable(why) => return unreadable("its PCI function", why),
    }
    if let Some(driver) = native(interface, snapshot, hardware) {
        return Some(Unfit::Native { driver });
    }
    match &interface.uppers {
        Reading::Known(by) if !by.is_empty() => return Some(Unfit::Upper { by: by.clone() }),
        Reading::Known(_) | Reading::Absent => {}
        Reading::Unreadable(why) => return unreadable("what is stacked on it", why),
    }
    match &snapshot.udev_done {
        Reading::Known(done) if !done.contains(&interface.index) => return Some(Unfit::Unnamed),
        Reading::Known(_) | Reading::Absent => {}
        Reading::Unreadable(why) => return unreadable("udev's list of interfaces", why),
    }
    match &snapshot.link_files {
        Reading::Known(files) => {
            if let Some((file, to)) = link_file::renaming(files, name, interface) {
                return Some(Unfit::Renamed { file: file.clone(), to: to.to_owned() });
            }
        }
        Reading::Absent => {}
        Reading::Unreadable(why) => return unreadable("systemd's link files", why),
    }
    if let Some(unfit) = taken(name, interface, snapshot) {
        return Some(unfit);
    }
    match &snapshot.af_xdp {
        Reading::Known(seen) if !seen.can_register => Some(Unfit::NoRegistration),
        // Without sfc_resource nothing is known yet.
        Reading::Known(_) | Reading::Absent => None,
        Reading::Unreadable(why) => unreadable("what is registered", why),
    }
}

/// Who may take it away, or rename it, although nobody has yet: what cannot be read may.
fn taken(name: &InterfaceName, interface: &Interface, snapshot: &Snapshot) -> Option<Unfit> {
    let unreadable = |part: &str, why: &String| {
        Some(Unfit::Unreadable { part: part.to_owned(), why: why.clone() })
    };
    match &snapshot.profiles {
        Reading::Known(profiles) => {
            let found = profiles.iter().find_map(|(file, profile)| {
                let file = || file.clone();
                let under = profile.puts_under(name, interface).map(str::to_owned);
                let to = profile.new_name(name, interface).map(str::to_owned);
                let under = under.map(|under| Unfit::Profile { file: file(), under });
                under.or_else(|| to.map(|to| Unfit::Renamed { file: file(), to }))
            });
            if found.is_some() {
                return found;
            }
        }
        Reading::Absent => {}
        Reading::Unreadable(why) => return unreadable("NetworkManager's profiles", why),
    }
    match &snapshot.attachments {
        Reading::Known(networks) => networks.iter().find_map(|(file, plugins)| {
            let moves = |one: &&Attachment| one.fate == Fate::Moved && one.means(name, interface);
            let plugin = plugins.iter().find(moves)?.plugin.clone();
            Some(Unfit::Attachment { file: file.clone(), plugin })
        }),
        Reading::Absent => None,
        Reading::Unreadable(why) => unreadable("the configuration of container networks", why),
    }
}

/// The driver through which Onload reaches the card by itself.
fn native(interface: &Interface, snapshot: &Snapshot, hardware: &Hardware) -> Option<String> {
    let port = snapshot.ports.known()?.get(interface.port.known()?)?;
    let family = hardware.family(port).filter(|family| family.onload != Acceleration::No)?;
    Some(family.driver.clone())
}

#[cfg(test)]
mod tests;

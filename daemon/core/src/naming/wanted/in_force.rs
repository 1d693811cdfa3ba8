//! What a pin would switch off. Of all files that match a port udev applies the first alone, so with a
//! pin before it somebody's own file counts no more, whatever it sets beside names.

use std::collections::BTreeMap;

use crate::af_xdp::LinkFile;
use crate::inventory::{Interface, Snapshot};
use crate::names::{InterfaceName, PciAddress};
use crate::naming::link_file::{Ruling, ruling};
use crate::naming::pin::{Key, Trouble, Weight, is_own};
use crate::naming::udev::UdevNames;
use crate::reading::Reading;

/// Matches every interface that no other does.
const DEFAULT: &str = "99-default.link";
/// Where systemd's own lies: one below `/etc` or `/run` is somebody's.
const SYSTEMD: [&str; 2] = ["/usr/lib/systemd/network/", "/lib/systemd/network/"];

/// Somebody's own file that is in force for a port.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InForce<'a> {
    /// Its path.
    file: &'a str,
    /// What it calls the port whatever the driver; none where it does not.
    name: Option<String>,
}

impl<'a> InForce<'a> {
    /// The file in force for a port; none where that is systemd's, onloadd's or no longer there.
    pub(super) fn of(
        port: PciAddress,
        interface: &'a Interface,
        snapshot: &Snapshot,
    ) -> Option<Self> {
        let udev = interface.udev.known()?;
        let file = udev.link_file.as_deref()?;
        let base = base(file);
        if is_own(base) || is_systemds(file, udev) {
            return None;
        }
        let name = match &snapshot.link_files {
            Reading::Known(files) => {
                // `/lib` may lead to `/usr/lib`.
                let found = files.iter().find(|(path, _)| self::base(path) == base);
                match found {
                    Some(found) => named(found, port, interface, udev, snapshot),
                    // The default is only listed where it has a name.
                    None if base == DEFAULT => None,
                    None => return None,
                }
            }
            Reading::Absent => return None,
            Reading::Unreadable(_) => None,
        };
        Some(Self { file, name })
    }

    /// Whether it gives the port this name whatever the driver, so that no pin is needed.
    pub(super) fn calls(&self, name: &InterfaceName) -> bool {
        self.name.as_deref() == Some(name.as_str())
    }

    /// Why a port is not pinned because of it; none where the pin would come behind it and take nothing
    /// away.
    pub(super) fn against(
        &self,
        key: &Key,
        port: PciAddress,
        name: &InterfaceName,
        fix: &str,
        weight: Weight,
    ) -> Option<Trouble> {
        let Self { file, name: other } = self;
        let other = other.as_ref().map(|other| format!(" calls it {other} and"));
        (base(file) > key.file().as_str()).then(|| Trouble {
            subject: port.to_string(),
            why: format!(
                "{name} is not pinned: {file}{} would no longer count for it",
                other.unwrap_or_default()
            ),
            fix: format!("{}, or {fix}", self.own_name(name)),
            weight,
        })
    }

    /// How the name gets into the file. The default is every interface's.
    fn own_name(&self, name: &InterfaceName) -> String {
        let file = self.file;
        match base(file) == DEFAULT {
            true => format!(
                "write a .link file for this port with `Name={name}` and what {file} sets for it"
            ),
            false => format!("add `Name={name}` to {file}, which is then for this port alone"),
        }
    }
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// Whether a file is what systemd does without anybody's saying.
fn is_systemds(file: &str, udev: &UdevNames) -> bool {
    let default = SYSTEMD.iter().any(|place| file.strip_prefix(place) == Some(DEFAULT));
    default && udev.drop_ins.is_none()
}

fn named(
    (path, file): (&String, &LinkFile),
    port: PciAddress,
    interface: &Interface,
    udev: &UdevNames,
    snapshot: &Snapshot,
) -> Option<String> {
    let driver = snapshot.ports.known().and_then(|ports| ports.get(&port)?.driver.known());
    let driver = driver.map_or("sfc", String::as_str);
    let alone = Reading::Known(BTreeMap::from([(path.clone(), file.clone())]));
    match ruling(&alone, interface, udev, driver) {
        Ruling::Named { name, .. } => Some(name),
        Ruling::None | Ruling::Unsure(_) => None,
    }
}

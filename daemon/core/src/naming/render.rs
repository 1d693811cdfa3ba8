//! `.link` files of a MachineConfig, from the configuration alone: they are on a node before anything of
//! onloadd has run there, so names are right on the first boot. They have a name of their own beside
//! onloadd's pins, come before these, and are whoever's the MachineConfig is.

use std::collections::BTreeMap;

use super::pin::{self, Key, Pin, is_permanent};
use super::rule;
use crate::config::{NamingPolicy, NamingSettings, PortNaming};
use crate::refusal::{Refusal, RefusalKind};

/// Where udev looks for files of an administrator (reference/interface-naming.md section 1).
pub const DIRECTORY: &str = "/etc/systemd/network";

/// What names of these files begin with: before onloadd's own, since of all files that match a port the
/// first counts.
const PREFIX: &str = "05-onload-";

const HEADER: &str = "\
    # Rendered by `onloadctl naming render` for a MachineConfig, from [naming] of onloadd's configuration.\n\
    # onloadd never writes, edits or removes this file: it is the MachineConfig's, which a node has to match.\n\
    # Why: the port has this name from the first boot on, whichever driver it has, before anything sets up the network.\n\
    # To change it: render it anew, and put that into the MachineConfig.\n";

/// Whether a file is called as those of a MachineConfig are, by its name without directories.
pub fn is_rendered(file: &str) -> bool {
    file.starts_with(PREFIX) && file.ends_with(pin::SUFFIX)
}

/// The files for the ports of `[naming]`, by absolute path: the same text for the same settings. None
/// where the policy is not `explicit`, for then the names are the nodes' own.
///
/// # Errors
/// A port is meant by its number, or by what is no port's alone: no machine is there to ask.
pub fn render(settings: &NamingSettings) -> Result<BTreeMap<String, String>, Refusal> {
    match settings.policy {
        Some(NamingPolicy::Explicit) => settings.ports.iter().map(file).collect(),
        Some(NamingPolicy::Off | NamingPolicy::Keep) | None => Ok(BTreeMap::new()),
    }
}

fn file(port: &PortNaming) -> Result<(String, String), Refusal> {
    let refuse = |why: String, fix: &str| {
        let what = format!("no link file was rendered for {}", port.name);
        Err(Refusal::new(RefusalKind::InvalidArgument, what, why, fix))
    };
    let key = match (port.mac, port.pci) {
        (Some(mac), _) if !is_permanent(&mac) => {
            let why = format!("no port has the permanent address {mac}");
            return refuse(why, "name the port by its own address, or by `pci`");
        }
        (Some(mac), _) => Key::Mac(mac),
        (None, Some(pci)) => Key::Pci(pci),
        (None, None) => {
            let why = format!(
                "[naming] means it by {}, and only the machine tells which port that is",
                port.selector()
            );
            return refuse(
                why,
                "name the port by `mac` or `pci`; `onloadctl naming plan` and `onloadctl ports` on such a node tell both",
            );
        }
    };
    if !rule::is_word(port.name.as_str()) {
        let why = "a link file cannot hold that name as it is written".to_owned();
        return refuse(why, "choose a name without quotes and backslashes");
    }
    let pin = Pin { name: port.name.clone(), altnames: Default::default() };
    let path = format!("{DIRECTORY}/{}", key.file_after(PREFIX));
    Ok((path, format!("{HEADER}\n{}\n", key.settings(&pin).join("\n"))))
}

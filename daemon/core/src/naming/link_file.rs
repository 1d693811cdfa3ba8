//! Whether a `.link` file names a port, and whether it would whatever the driver. Other than where a
//! refusal is the safe answer, what is not understood is told here as not understood.

use std::collections::BTreeMap;

use super::udev::UdevNames;
use crate::af_xdp::{LinkFile, in_order, is_like};
use crate::inventory::Interface;
use crate::reading::Reading;

/// What files say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ruling {
    /// None of them names it.
    None,
    /// This one does, whatever the driver.
    Named {
        /// The name.
        name: String,
        /// The file.
        file: String,
    },
    /// One may, and why that is not told.
    Unsure(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Match {
    Yes,
    No,
    /// By this key it cannot be told.
    Unsure(String),
}

/// What files come to for a port of this driver. Only those up to the one that is in force can count: of
/// all that match the first does, with a `Name=` or without.
pub(super) fn ruling(
    files: &Reading<BTreeMap<String, LinkFile>>,
    interface: &Interface,
    udev: &UdevNames,
    driver: &str,
) -> Ruling {
    let files = match files {
        Reading::Known(files) => files,
        Reading::Absent => return Ruling::None,
        Reading::Unreadable(why) => {
            return Ruling::Unsure(format!("systemd's link files cannot be read: {why}"));
        }
    };
    let in_force = udev.link_file.as_deref().and_then(|path| path.rsplit('/').next());
    for (name, path, file) in in_order(files) {
        if in_force.is_some_and(|in_force| name > in_force) {
            break;
        }
        let matched = matches(file, interface, udev, driver);
        let Some(to) = &file.name else {
            match matched {
                Match::Yes if in_force == Some(name) => break,
                Match::Yes => {
                    let why = format!("{path} will count, and what it makes of the name depends");
                    return Ruling::Unsure(why);
                }
                // udev has passed by whatever comes before the one in force.
                Match::No | Match::Unsure(_) => continue,
            }
        };
        match matched {
            Match::No => {}
            Match::Yes if only_names(file) => {
                return Ruling::Named { name: to.clone(), file: path.clone() };
            }
            Match::Yes => {
                let why = format!("{path} has NamePolicy= beside Name=, and which counts depends");
                return Ruling::Unsure(why);
            }
            Match::Unsure(key) => {
                let why = format!("{path} may call it {to}: by its {key}= that cannot be told");
                return Ruling::Unsure(why);
            }
        }
    }
    Ruling::None
}

/// Whether nothing comes before `Name=`: an interface that has just come has no name to keep.
fn only_names(file: &LinkFile) -> bool {
    let policy = file.name_policy.as_deref().unwrap_or_default();
    policy.split_whitespace().all(|word| word == "keep")
}

fn matches(file: &LinkFile, interface: &Interface, udev: &UdevNames, driver: &str) -> Match {
    // systemd leaves out a file that says nothing of what it is for.
    let mut all = if file.matches.is_empty() { Match::No } else { Match::Yes };
    for (key, wanted) in &file.matches {
        match part(key, wanted, interface, udev, driver) {
            Match::Yes => {}
            Match::No => return Match::No,
            unsure @ Match::Unsure(_) => all = unsure,
        }
    }
    all
}

fn part(key: &str, wanted: &str, interface: &Interface, udev: &UdevNames, driver: &str) -> Match {
    let unsure = || Match::Unsure(key.to_owned());
    // Sets, inversion and quotes are left to systemd.
    if key != "Kind" && wanted.contains(['[', '!', '"', '\'']) {
        return unsure();
    }
    let patterns = || wanted.split_whitespace();
    let told = |found: bool| if found { Match::Yes } else { Match::No };
    let is = |fact: &str| patterns().any(|one| is_like(one.as_bytes(), fact.as_bytes()));
    match key {
        "PermanentMACAddress" | "MACAddress" => {
            let known = |mac: &Reading<_>| match mac {
                Reading::Known(mac) => told(has_address(wanted, mac)),
                Reading::Absent => Match::No,
                Reading::Unreadable(_) => unsure(),
            };
            match (key, known(&interface.permanent_mac)) {
                _ if wanted.contains('.') => unsure(),
                ("PermanentMACAddress", matched) => matched,
                // A bond gives its members another address of the moment.
                (_, Match::No) if known(&interface.mac) == Match::No => Match::No,
                _ => unsure(),
            }
        }
        "Path" => told(udev.id_path.as_deref().is_some_and(is)),
        "Driver" => told(is(driver)),
        "Type" => told(is("ether")),
        "OriginalName" if patterns().any(|one| one == "*") => Match::Yes,
        "Kind" if wanted == "!*" => Match::Yes,
        _ => unsure(),
    }
}

fn has_address(wanted: &str, mac: &crate::names::MacAddress) -> bool {
    let mac = mac.to_string();
    wanted.split_whitespace().any(|one| one.replace('-', ":").eq_ignore_ascii_case(&mac))
}

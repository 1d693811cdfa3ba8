//! Connection profiles of NetworkManager, as far as they tell whether an interface may be put under
//! another one, or get another name: keyfiles, and the `ifcfg` files of older systems. What is not
//! understood counts as matching, as with link files (reference/interface-naming.md section 6).

use serde::{Deserialize, Serialize};

use super::link_file::is_like;
use crate::inventory::Interface;
use crate::names::{InterfaceName, MacAddress};
use crate::reading::Reading;

/// What one profile says of the interface it is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Profile {
    /// Kind of interface; none: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// What it puts the interface under: name or UUID of a bond, a bridge and so on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller: Option<String>,
    /// The interface's name; in an `ifcfg` file with an address, what it shall be called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// Its address, as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Addresses that are not meant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_macs: Vec<String>,
    /// Patterns of names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Patterns of drivers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drivers: Vec<String>,
    /// Patterns of paths as udev writes them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// Whether it is an `ifcfg` file.
    #[serde(skip_serializing_if = "is_false")]
    pub ifcfg: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde asks for")]
fn is_false(value: &bool) -> bool {
    !value
}

/// Kinds that no port of a card is of: each is made by NetworkManager, or is another medium.
const OTHER_KINDS: [&str; 28] = [
    "802-11-olpc-mesh",
    "802-11-wireless",
    "adsl",
    "bluetooth",
    "bond",
    "bridge",
    "cdma",
    "dummy",
    "gsm",
    "hsr",
    "ip-tunnel",
    "ipvlan",
    "loopback",
    "macsec",
    "macvlan",
    "ovs-bridge",
    "ovs-interface",
    "ovs-port",
    "team",
    "tun",
    "veth",
    "vlan",
    "vpn",
    "vrf",
    "vxlan",
    "wifi",
    "wifi-p2p",
    "wireguard",
];

/// Sections and keys that count, `ifcfg` files having no sections. Nothing else is kept: profiles
/// hold passwords.
const KEYS: [(&str, &str); 23] = [
    ("connection", "type"),
    ("connection", "interface-name"),
    ("connection", "controller"),
    ("connection", "master"),
    ("ethernet", "mac-address"),
    ("ethernet", "mac-address-blacklist"),
    ("ethernet", "mac-address-denylist"),
    ("802-3-ethernet", "mac-address"),
    ("802-3-ethernet", "mac-address-blacklist"),
    ("802-3-ethernet", "mac-address-denylist"),
    ("match", "interface-name"),
    ("match", "driver"),
    ("match", "path"),
    ("", "DEVICE"),
    ("", "HWADDR"),
    ("", "MASTER"),
    ("", "MASTER_UUID"),
    ("", "BRIDGE"),
    ("", "BRIDGE_UUID"),
    ("", "TEAM_MASTER"),
    ("", "TEAM_MASTER_UUID"),
    ("", "OVS_BRIDGE"),
    ("", "VRF"),
];

/// The lines that count, in the form of the file: what a record of a machine may keep of one.
pub fn kept(text: &str) -> String {
    let lines = entries(text).into_iter().map(|(section, key, value)| match section {
        "" => format!("{key}={value}\n"),
        section => format!("[{section}]\n{key}={value}\n"),
    });
    lines.collect()
}

fn entries(text: &str) -> Vec<(&str, &str, &str)> {
    let mut section = "";
    let mut entries = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name;
        } else if let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) {
            let key = key.trim_end();
            if KEYS.contains(&(section, key)) {
                entries.push((section, key, value.trim_start()));
            }
        }
    }
    entries
}

impl Profile {
    /// Reads a keyfile. Of a key that comes twice the last counts.
    pub fn keyfile(text: &str) -> Self {
        let mut profile = Self::default();
        for (section, key, value) in entries(text) {
            let whole = Some(unescaped(value)).filter(|value| !value.is_empty());
            match (section, key) {
                ("connection", "type") => profile.kind = whole,
                ("connection", "interface-name") => profile.interface = whole,
                ("connection", _) => profile.controller = whole.or(profile.controller),
                ("match", "interface-name") => profile.names = list(value),
                ("match", "driver") => profile.drivers = list(value),
                ("match", _) => profile.paths = list(value),
                (_, "mac-address") => profile.mac = whole,
                ("", _) => {}
                (_, _) => profile.not_macs = list(value),
            }
        }
        profile
    }

    /// Reads an `ifcfg` file: assignments of a shell.
    pub fn ifcfg(text: &str) -> Self {
        let mut profile = Self { ifcfg: true, ..Self::default() };
        for (_, key, value) in entries(text).into_iter().filter(|(section, ..)| section.is_empty())
        {
            let value = value.trim_matches(['"', '\'']).to_owned();
            let value = Some(value).filter(|value| !value.is_empty());
            match key {
                "DEVICE" => profile.interface = value,
                "HWADDR" => profile.mac = value,
                _ => profile.controller = value.or(profile.controller),
            }
        }
        profile
    }

    /// Whether it puts an interface under another one, or may rename it.
    pub fn matters(&self) -> bool {
        self.controller.is_some() || (self.ifcfg && self.interface.is_some() && self.mac.is_some())
    }

    /// What it may put an interface under.
    pub fn puts_under(&self, name: &InterfaceName, interface: &Interface) -> Option<&str> {
        let under = self.controller.as_deref()?;
        self.may_match(name, interface).then_some(under)
    }

    /// The other name that it may give an interface: `ifcfg` files do, where the program that
    /// udev runs for them is installed.
    pub fn new_name(&self, name: &InterfaceName, interface: &Interface) -> Option<&str> {
        let to = self.interface.as_deref().filter(|to| self.ifcfg && *to != name.as_str())?;
        let mac = self.mac.as_deref()?;
        is_address(mac, interface).then_some(to)
    }

    fn may_match(&self, name: &InterfaceName, interface: &Interface) -> bool {
        let kind = self.kind.as_deref().is_none_or(|kind| !OTHER_KINDS.contains(&kind));
        let own = self.interface.as_deref().is_none_or(|own| own == name.as_str());
        let mac = self.mac.as_deref().is_none_or(|mac| is_address(mac, interface));
        let denied = self.not_macs.iter().any(|mac| is_surely(mac, interface));
        let driver = match &interface.driver {
            Reading::Known(driver) => fits(&self.drivers, |pattern| is_match(pattern, driver)),
            Reading::Absent | Reading::Unreadable(_) => true,
        };
        kind && own
            && mac
            && !denied
            && fits(&self.names, |pattern| is_match(pattern, name.as_str()))
            && driver
            && self.fits_path(interface)
    }

    /// The path that udev writes ends with the function's address or goes on after it, by kernel and
    /// version: only a pattern without an open place that lacks the address is of another one.
    fn fits_path(&self, interface: &Interface) -> bool {
        let Reading::Known(port) = &interface.port else { return true };
        let port = port.to_string();
        let inverted = self.paths.iter().any(|pattern| pattern.contains('!'));
        let open = |pattern: &str| pattern.contains(['*', '?', '[', '\\']);
        inverted || fits(&self.paths, |pattern| open(pattern) || pattern.contains(&port))
    }
}

/// Whether a list of patterns takes something: every mandatory one (`&`, or inverted without a
/// sign), and one of the others where there are any.
fn fits(patterns: &[String], takes: impl Fn(&str) -> bool) -> bool {
    let (mut optional, mut taken) = (false, false);
    for pattern in patterns {
        let (mandatory, rest) = match pattern.strip_prefix('&') {
            Some(rest) => (true, rest),
            None => (pattern.starts_with('!'), pattern.strip_prefix('|').unwrap_or(pattern)),
        };
        let (inverted, rest) = match rest.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, rest.strip_prefix('\\').unwrap_or(rest)),
        };
        let fit = takes(rest) != inverted;
        match mandatory {
            true if !fit => return false,
            true => {}
            false => (optional, taken) = (true, taken || fit),
        }
    }
    taken || !optional
}

/// A class of characters is left to NetworkManager.
fn is_match(pattern: &str, text: &str) -> bool {
    pattern.contains(['[', '\\']) || is_like(pattern.as_bytes(), text.as_bytes())
}

/// Whether an address as written is, or may be, one of the interface's.
fn is_address(written: &str, interface: &Interface) -> bool {
    let Some(own) = address(written) else { return true };
    let macs = [&interface.mac, &interface.permanent_mac];
    macs.iter().any(|mac| mac.known() == Some(&own) || mac.is_unreadable())
}

/// Whether it is the burnt-in one, beyond doubt.
fn is_surely(written: &str, interface: &Interface) -> bool {
    let own = address(written);
    own.is_some() && interface.permanent_mac.known() == own.as_ref()
}

/// Digits with colons or dashes, or decimal bytes with semicolons as older versions wrote them.
fn address(written: &str) -> Option<MacAddress> {
    if written.contains(';') {
        let bytes = written.split_terminator(';').map(|byte| byte.trim().parse::<u8>().ok());
        return Some(MacAddress(bytes.collect::<Option<Vec<_>>>()?.try_into().ok()?));
    }
    written.to_ascii_lowercase().replace('-', ":").parse().ok()
}

/// A list: its elements end with semicolons, which a backslash takes that meaning from.
fn list(value: &str) -> Vec<String> {
    let (mut all, mut one) = (Vec::new(), String::new());
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        match letter {
            ';' => all.push(std::mem::take(&mut one)),
            '\\' => one.extend(std::iter::once('\\').chain(letters.next())),
            letter => one.push(letter),
        }
    }
    all.push(one);
    let all = all.into_iter().map(|one| unescaped(one.trim()));
    all.filter(|one| !one.is_empty()).collect()
}

/// The letters that a keyfile writes with a backslash.
fn unescaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        let next = if letter == '\\' { letters.next() } else { None };
        match next {
            None => text.push(letter),
            Some('s') => text.push(' '),
            Some('n') => text.push('\n'),
            Some('t') => text.push('\t'),
            Some('r') => text.push('\r'),
            Some(other) => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests;

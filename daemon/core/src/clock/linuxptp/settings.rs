//! What a configuration of ptp4l or phc2sys says of who listens where (ptp4l(8)): for those that are told so
//! by a file.

use std::collections::BTreeSet;

/// What of it matters here. An option that is not there is none; its default depends on the program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Interfaces: names of sections.
    pub interfaces: BTreeSet<String>,
    /// `uds_address`.
    pub socket: Option<String>,
    /// `uds_ro_address`.
    pub read_only_socket: Option<String>,
    /// `domainNumber`.
    pub domain: Option<u8>,
    /// `transportSpecific`.
    pub transport_specific: Option<u8>,
    /// `time_stamping` is `software`.
    pub software_stamps: Option<bool>,
    /// `free_running`: it steers nothing.
    pub free_running: Option<bool>,
}

/// Sections that are no interface.
const OTHER_SECTIONS: [&str; 2] = ["global", "nmea"];
/// Tables of unicast masters by number.
const UNICAST: &str = "unicast_master_table";
/// Most interfaces that are kept, and longest value.
const INTERFACES: usize = 64;
const VALUE: usize = 255;

impl Settings {
    /// Reads a configuration; lines that are not understood say nothing here.
    pub fn parse(text: &str) -> Self {
        let mut settings = Self::default();
        let mut global = false;
        for line in text.lines().map(str::trim) {
            if let Some(section) = line.strip_prefix('[').and_then(|line| line.split(']').next()) {
                global = section == "global";
                let other = OTHER_SECTIONS.contains(&section) || section.starts_with(UNICAST);
                if !other && settings.interfaces.len() < INTERFACES && is_plain(section) {
                    settings.interfaces.insert(section.to_owned());
                }
            } else if global
                && !line.starts_with('#')
                && let Some((name, value)) = line.split_once(char::is_whitespace)
            {
                settings.set(name, value.trim());
            }
        }
        settings
    }

    /// Takes one option by its name: of `[global]`, or of the command line.
    pub fn set(&mut self, name: &str, value: &str) {
        let text = || is_plain(value).then(|| value.to_owned());
        match name {
            "uds_address" => self.socket = text(),
            "uds_ro_address" => self.read_only_socket = text(),
            "domainNumber" => self.domain = number(value),
            "transportSpecific" => self.transport_specific = number(value).filter(|n| *n < 16),
            "time_stamping" => self.software_stamps = Some(value == "software"),
            "free_running" => self.free_running = Some(value != "0"),
            // Nothing that matters here.
            _ => {}
        }
    }

    /// What the command line says too, which is stronger.
    #[must_use]
    pub fn with(self, stronger: Self) -> Self {
        let mut interfaces = self.interfaces;
        interfaces.extend(stronger.interfaces);
        Self {
            interfaces,
            socket: stronger.socket.or(self.socket),
            read_only_socket: stronger.read_only_socket.or(self.read_only_socket),
            domain: stronger.domain.or(self.domain),
            transport_specific: stronger.transport_specific.or(self.transport_specific),
            software_stamps: stronger.software_stamps.or(self.software_stamps),
            free_running: stronger.free_running.or(self.free_running),
        }
    }
}

/// A number in decimal or, with `0x`, hexadecimal digits.
fn number(text: &str) -> Option<u8> {
    match text.strip_prefix("0x") {
        Some(digits) => u8::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.len() <= VALUE && !text.contains(char::is_control)
}

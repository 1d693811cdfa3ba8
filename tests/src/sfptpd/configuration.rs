//! Its configuration, as far as the stand-in acts on it (reference/sfptpd.md section 3). It does not use
//! the parser of onloadd, which it is there to be compared with.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::Refused;
use super::options;

/// What an instance that names no priority has.
const PRIORITY: u32 = 128;
/// Nanoseconds within which a clock that follows another on this machine counts as in step.
const LOCAL_THRESHOLD: u64 = 1000;
/// The same for an instance of PTP or PPS, and for one of NTP.
const THRESHOLD: u64 = 1000;
const NTP_THRESHOLD: u64 = 10_000_000;

/// What a configuration says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Configuration {
    /// The instances by name, with those that are implied.
    pub(super) instances: BTreeMap<String, Instance>,
    general: BTreeMap<String, Vec<String>>,
    /// All of it, as it is kept in the state directory.
    pub(super) effective: String,
}

/// An instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Instance {
    pub(super) kind: String,
    pub(super) interface: Option<String>,
    pub(super) priority: u32,
    /// In nanoseconds.
    pub(super) threshold: u64,
}

impl Configuration {
    /// Reads one.
    ///
    /// # Errors
    /// As the real one: EINVAL for an option in no section, out of place or unknown; ENOENT for a section
    /// that is neither a kind nor an instance.
    pub(super) fn read(text: &str, interface: Option<&str>) -> Result<Self, Refused> {
        let mut read = Self::default();
        let mut sections: BTreeMap<String, BTreeMap<String, Vec<String>>> = BTreeMap::new();
        let mut declared: BTreeMap<String, String> = BTreeMap::new();
        let mut section: Option<String> = None;
        for (line, number) in text.lines().zip(1..) {
            let words = words(line);
            let Some((first, values)) = words.split_first() else { continue };
            if let Some(name) = first.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
                let kind = options::of(name).is_some() || name == "general";
                if !kind && !declared.contains_key(name) {
                    return Err(fault(Refused::ENOENT, number, &format!("unknown section {name}")));
                }
                let _ = writeln!(read.effective, "[{name}]");
                section = Some(name.to_owned());
                continue;
            }
            let option = first.replace('-', "_");
            let Some(section) = &section else {
                return Err(fault(Refused::EINVAL, number, "option outside a section"));
            };
            let kind = declared.get(section).unwrap_or(section);
            let known = options::of(kind).unwrap_or(options::GENERAL);
            if !options::has(known, &option) {
                let what = format!("option {option} unknown or out of place in [{section}]");
                return Err(fault(Refused::EINVAL, number, &what));
            }
            if option == "sync_module" {
                let Some((kind, names)) = values.split_first() else {
                    return Err(fault(Refused::EINVAL, number, "sync_module without a type"));
                };
                if options::of(kind).is_none() {
                    return Err(fault(Refused::EINVAL, number, &format!("no such type: {kind}")));
                }
                declared.extend(names.iter().map(|name| (name.clone(), kind.clone())));
            }
            let _ = writeln!(read.effective, "{option} {}", values.join(" "));
            let values = values.to_vec();
            sections.entry(section.clone()).or_default().insert(option, values);
        }
        read.general = sections.get("general").cloned().unwrap_or_default();
        if !declared.values().any(|kind| matches!(kind.as_str(), "ntp" | "crny")) {
            declared.insert("crny0".to_owned(), "crny".to_owned());
        }
        for (name, kind) in declared {
            let option = |option: &str| {
                let own = sections.get(&name).and_then(|own| own.get(option));
                let given = own.or_else(|| sections.get(&kind)?.get(option));
                given.and_then(|values| values.first()).map(String::as_str)
            };
            let usual =
                if matches!(kind.as_str(), "ntp" | "crny") { NTP_THRESHOLD } else { THRESHOLD };
            let instance = Instance {
                interface: option("interface").or(interface).map(str::to_owned),
                priority: number(option("priority"), PRIORITY)?,
                threshold: number(option("sync_threshold"), usual)?,
                kind,
            };
            read.instances.insert(name, instance);
        }
        Ok(read)
    }

    /// The first value of a general option.
    pub(super) fn general(&self, option: &str) -> Option<&str> {
        self.general.get(option)?.first().map(String::as_str)
    }

    /// A general option that is on or off.
    pub(super) fn is_on(&self, option: &str, usual: bool) -> bool {
        match self.general.get(option) {
            Some(values) => values.first().is_none_or(|value| value == "on"),
            None => usual,
        }
    }

    /// All values of a general option.
    pub(super) fn list(&self, option: &str) -> BTreeSet<&str> {
        self.general.get(option).into_iter().flatten().map(String::as_str).collect()
    }

    /// Within how many nanoseconds a clock on this machine is in step with another.
    pub(super) fn local_threshold(&self) -> u64 {
        let given = self.general("local_sync_threshold").and_then(|value| value.parse().ok());
        given.unwrap_or(LOCAL_THRESHOLD)
    }

    /// Whether the system clock is to be steered.
    pub(super) fn steers_system_clock(&self) -> bool {
        !self.list("clock_readonly").contains("system")
            && self.general("clock_control") != Some("no-adjust")
    }

    /// An interval of `reporting_intervals`, in seconds.
    pub(super) fn interval(&self, name: &str) -> Option<u64> {
        let given = self.general.get("reporting_intervals")?;
        let mut pairs = given.chunks_exact(2);
        pairs.find(|pair| pair[0] == name).and_then(|pair| pair[1].parse().ok())
    }
}

/// Words of a line up to a comment, with quotes taken off.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    for letter in line.chars() {
        match (quote, letter) {
            (Some(open), letter) if open == letter => quote = None,
            (None, '"' | '\'') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, '#') => break,
            (None, letter) if letter.is_whitespace() => words.extend(word.take()),
            (_, letter) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

fn number<T: std::str::FromStr>(given: Option<&str>, usual: T) -> Result<T, Refused> {
    let Some(given) = given else { return Ok(usual) };
    given.parse().map_err(|_| Refused::new(Refused::EINVAL, format!("no number: {given}")))
}

fn fault(errno: u8, line: usize, what: &str) -> Refused {
    Refused::new(errno, format!("config [line {line}]: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_have_what_their_kind_sets_and_what_they_set() {
        let text = "# all\n[general]\nsync-module ptp ptp1 ptp2\nclock-readonly system\n\
            [ptp]\ninterface eth0\npriority 10\n[ptp2]\ninterface \"eth 1\" # odd\n";
        let read = Configuration::read(text, None).unwrap();
        assert_eq!(read.instances["ptp1"].interface.as_deref(), Some("eth0"));
        assert_eq!(read.instances["ptp2"].interface.as_deref(), Some("eth 1"));
        assert_eq!(read.instances["ptp2"].priority, 10);
        assert_eq!(read.instances["crny0"].kind, "crny", "implied");
        assert!(!read.steers_system_clock());
    }

    #[test]
    fn what_the_real_one_refuses_is_refused_with_its_errno() {
        let refused = |text| Configuration::read(text, None).unwrap_err().errno;
        assert_eq!(refused("interface eth0\n"), Refused::EINVAL);
        assert_eq!(refused("[general]\n[ptp9]\n"), Refused::ENOENT);
        assert_eq!(refused("[general]\nbogus on\n"), Refused::EINVAL);
        assert_eq!(refused("[ptp]\nclock_readonly system\n"), Refused::EINVAL);
        assert_eq!(refused("[general]\nsync_module bogus x\n"), Refused::EINVAL);
    }
}

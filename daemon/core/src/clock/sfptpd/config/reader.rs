//! Reading a configuration line by line, in the order in which sfptpd does: an instance has to be declared
//! before its section.

use std::collections::BTreeMap;
use std::ops::Range;

use super::line::{Word, words};
use super::option::{OptionRule, Scope};
use super::{ConfigFault, Configured, Kind, LONGEST, general, port, ptp, sources};

/// The longest name of a section.
const NAME: usize = 63;

/// What was read.
pub(super) struct Read {
    pub(super) configured: Configured,
    /// Ports by the lines and the bytes of them where they stand, in order.
    pub(super) ports: Vec<Place>,
    /// The first instance that needs an interface and has none, and the line that declares it.
    pub(super) without_interface: Option<(usize, String)>,
}

/// Where a port stands in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) at: Range<usize>,
    pub(super) word: String,
}

/// A section.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Section {
    General,
    Kind(Kind),
    Instance(Kind, String),
}

#[derive(Default)]
struct Reader {
    configured: Configured,
    section: Option<Section>,
    ports: Vec<Place>,
    /// Declared instances: the line, and whether it has an interface.
    declared: BTreeMap<String, (usize, bool)>,
    /// Kinds whose instances all have an interface.
    with_interface: Vec<Kind>,
}

pub(super) fn read(text: &str) -> Result<Read, ConfigFault> {
    if text.len() > LONGEST {
        return Err(fault(1, "the file is longer than 1 MiB", "give sfptpd's configuration"));
    }
    let mut reader = Reader::default();
    // By `\n` alone, as sfptpd does; a carriage return is for the line to refuse.
    for (at, line) in text.split('\n').enumerate() {
        let words = words(line, at + 1)?;
        if let Some((first, rest)) = words.split_first() {
            reader.line(at + 1, &first.text, rest)?;
        }
    }
    Ok(reader.done())
}

fn fault(line: usize, what: impl Into<String>, fix: impl Into<String>) -> ConfigFault {
    // Words of the file may have tabs within quotes; nothing else that moves a terminal gets so far.
    ConfigFault { line, what: what.into().replace('\t', " "), fix: fix.into().replace('\t', " ") }
}

impl Reader {
    fn line(&mut self, number: usize, first: &str, rest: &[Word]) -> Result<(), ConfigFault> {
        let name = first.replace('-', "_");
        if name.contains(['[', ']']) {
            let inner = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
            let inner = inner.filter(|name| !name.contains(['[', ']']));
            let inner = inner.ok_or_else(|| {
                fault(number, format!("`{first}` is no section"), "write a section as `[NAME]`")
            })?;
            self.section = Some(self.find(number, inner)?);
            return Ok(());
        }
        let Some(section) = self.section.clone() else {
            let what = format!("`{first}` stands outside a section");
            return Err(fault(number, what, "begin with `[general]`"));
        };
        let rule = section.option(&name).ok_or_else(|| unknown(number, &section, &name))?;
        if rule.scope == Scope::Kind
            && let Section::Instance(kind, instance) = &section
        {
            let what = format!("`{name}` is for all instances and cannot stand in `[{instance}]`");
            return Err(fault(number, what, format!("put it into `[{}]`", kind.as_str())));
        }
        let values: Vec<&str> = rest.iter().map(|word| word.text.as_str()).collect();
        let wrong = rule.wrong(rest).or_else(|| match &section {
            Section::General => general::wrong(&name, &values),
            Section::Kind(_) | Section::Instance(..) => None,
        });
        if let Some(what) = wrong {
            return Err(fault(number, what, "see sfptpd's manual page for its values"));
        }
        self.keep_interfaces(number, &section, rule, rest);
        match section {
            Section::General => self.general(number, &name, &values),
            Section::Kind(_) | Section::Instance(..) => Ok(()),
        }
    }

    /// The section of a name, which is written with underscores by now.
    fn find(&self, number: usize, name: &str) -> Result<Section, ConfigFault> {
        if name == "general" {
            return Ok(Section::General);
        }
        if let Some(kind) = Kind::of(name) {
            return Ok(Section::Kind(kind));
        }
        if let Some(kind) = self.configured.instances.get(name) {
            return Ok(Section::Instance(*kind, name.to_owned()));
        }
        let what = format!("there is no section `[{name}]`");
        // Dashes of a section's name become underscores, those of an instance's do not.
        let dashed = self.configured.instances.keys().find(|one| one.replace('-', "_") == name);
        if let Some(dashed) = dashed {
            let fix =
                format!("call the instance `{name}`: one named `{dashed}` can have no section");
            return Err(fault(number, what, fix));
        }
        let known = ["general"].into_iter().chain(Kind::ALL.map(Kind::as_str));
        let known = known.chain(self.configured.instances.keys().map(String::as_str));
        let declare = format!("declare it before with `sync_module KIND {name}` in `[general]`");
        let fix = nearest(name, known).map(|near| format!("write `[{near}]`, or {declare}"));
        Err(fault(number, what, fix.unwrap_or(declare)))
    }

    /// Interfaces and ports among the values.
    fn keep_interfaces(
        &mut self,
        line: usize,
        section: &Section,
        rule: &OptionRule,
        rest: &[Word],
    ) {
        for (at, word) in rest.iter().enumerate() {
            if !rule.value(at).is_some_and(super::option::Value::is_interface) {
                continue;
            }
            if port::is(&word.text) {
                let place = Place { line, at: word.at.clone(), word: word.text.clone() };
                self.ports.push(place);
            } else if matches!(word.text.as_str(), "system" | "*")
                || word.text.contains(':')
                // A clock by name; interfaces are not named so by any driver.
                || word.text.starts_with("phc")
            {
                continue;
            }
            self.configured.interfaces.insert(word.text.clone());
        }
        match section {
            Section::Kind(kind) if rule.name == "interface" => self.with_interface.push(*kind),
            Section::Instance(_, name) if rule.name == "interface" => {
                if let Some((_, has)) = self.declared.get_mut(name) {
                    *has = true;
                }
            }
            Section::General | Section::Kind(_) | Section::Instance(..) => {}
        }
    }

    fn general(&mut self, number: usize, name: &str, values: &[&str]) -> Result<(), ConfigFault> {
        let last = values.last().map(|value| (*value).to_owned());
        let configured = &mut self.configured;
        match name {
            "sync_module" => return self.declare(number, values),
            "clock_readonly" => {
                configured.readonly.extend(values.iter().map(|value| (*value).to_owned()));
            }
            "clock_control" => configured.clock_control = last.unwrap_or_default(),
            "run_dir" => configured.run_dir = last,
            "state_path" => configured.state_path = last,
            "control_path" => configured.control_path = last,
            "metrics_path" => configured.metrics_path = last,
            "json_stats" => configured.json_stats = last,
            "stats_log" => {
                configured.stats_log =
                    last.filter(|file| !matches!(file.as_str(), "off" | "stdout"));
            }
            "non_solarflare_nics" | "non_xilinx_nics" => {
                configured.non_solarflare = last.as_deref() == Some("on");
            }
            _ => {}
        }
        Ok(())
    }

    /// `sync_module KIND NAME…`.
    fn declare(&mut self, number: usize, values: &[&str]) -> Result<(), ConfigFault> {
        let Some((kind, names)) = values.split_first() else { return Ok(()) };
        let Some(kind) = Kind::of(kind) else { return Ok(()) };
        for name in names {
            if name.is_empty() || name.len() > NAME {
                let what = format!("`{name}` is no name of 1 to {NAME} bytes");
                return Err(fault(number, what, "give the instance another name"));
            }
            let taken = *name == "general" || Kind::of(name).is_some();
            if taken || self.configured.instances.contains_key(*name) {
                let what = format!("there is a section `{name}` already");
                return Err(fault(number, what, "give the instance another name"));
            }
            self.configured.instances.insert((*name).to_owned(), kind);
            self.declared.insert((*name).to_owned(), (number, false));
        }
        Ok(())
    }

    fn done(self) -> Read {
        let Self { mut configured, ports, declared, with_interface, .. } = self;
        let is_free = |kind: &Kind| *kind == Kind::Freerun;
        configured.follows = configured.instances.values().any(|kind| !is_free(kind));
        configured.freerun_only = !configured.instances.is_empty() && !configured.follows;
        let without_interface = configured
            .instances
            .iter()
            .filter(|(_, kind)| kind.needs_interface() && !with_interface.contains(kind))
            .filter_map(|(name, _)| declared.get(name).map(|declared| (declared, name)))
            .filter(|((_, has), _)| !has)
            .map(|((line, _), name)| (*line, name.clone()))
            .min();
        Read { configured, ports, without_interface }
    }
}

impl Section {
    fn options(&self) -> &'static [OptionRule] {
        match self {
            Self::General => general::OPTIONS,
            Self::Kind(kind) | Self::Instance(kind, _) => match kind {
                Kind::Freerun => sources::FREERUN,
                Kind::Ptp => ptp::OPTIONS,
                Kind::Pps => sources::PPS,
                Kind::Ntp => sources::NTP,
                Kind::Crny => sources::CRNY,
                Kind::Gps => sources::GPS,
            },
        }
    }

    fn option(&self, name: &str) -> Option<&'static OptionRule> {
        self.options().iter().find(|option| option.name == name)
    }

    fn name(&self) -> &str {
        match self {
            Self::General => "general",
            Self::Kind(kind) => kind.as_str(),
            Self::Instance(_, name) => name,
        }
    }
}

/// An option that is not known: with the nearest of its section, or the section that has it.
fn unknown(number: usize, section: &Section, name: &str) -> ConfigFault {
    let what = format!("there is no option `{name}` in `[{}]`", section.name());
    let sections =
        || std::iter::once(Section::General).chain(Kind::ALL.into_iter().map(Section::Kind));
    if let Some(other) = sections().find(|other| other.option(name).is_some()) {
        return fault(number, what, format!("put it into `[{}]`", other.name()));
    }
    let fix = match nearest(name, section.options().iter().map(|option| option.name)) {
        Some(near) => format!("write `{near}`"),
        None => "remove it; sfptpd's manual page has all options".to_owned(),
    };
    fault(number, what, fix)
}

/// The known name that is nearest, if it is near enough to be meant.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // One slip in three letters is about what fingers do.
    let near = (name.chars().count() / 3).clamp(1, 4);
    let distances = known.map(|one| (distance(name, one), one));
    distances.filter(|(distance, _)| *distance <= near).min().map(|(_, one)| one)
}

/// How many letters have to be changed, added or removed.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

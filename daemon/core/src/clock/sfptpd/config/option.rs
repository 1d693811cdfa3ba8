//! What an option may be given: the kinds of value, and whether words are of them.

use crate::clock::sfptpd::number::scaled;
use crate::names::{InterfaceName, MacAddress};

use super::line::Word;
use super::port;

/// Where an option may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// In the section of its kind only, for all instances at once.
    Kind,
    /// In the section of an instance, too.
    Instance,
}

/// One value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value {
    /// `on` or `off`.
    Switch,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A whole number within bounds.
    Whole(i64, i64),
    /// A number, with or without a fraction.
    Number,
    /// A number of thousandths within bounds.
    Thousandths(i64, i64),
    /// A number, or this word.
    NumberOr(&'static str),
    /// Octal digits.
    Mode,
    /// An interface, or a port.
    Interface,
    /// An interface or a port, or this word.
    InterfaceOr(&'static str),
    /// An interface or a port, or its hardware address, or `*`.
    Interfaces,
    /// A clock by name or id, or an interface or a port, or its hardware address.
    Clock,
    /// Anything that is not empty.
    Text,
}

/// The values of an option.
#[derive(Clone, Copy, Debug)]
pub(super) enum Takes {
    /// These, of which so many may be missing at the end.
    Row(&'static [Value], usize),
    /// At least so many of these.
    Many(Value, usize),
}

/// An option.
#[derive(Clone, Copy, Debug)]
pub(super) struct OptionRule {
    /// Its name, with underscores.
    pub(super) name: &'static str,
    pub(super) scope: Scope,
    pub(super) takes: Takes,
}

/// An option of all instances at once that takes one value.
pub(super) const fn kind(name: &'static str, value: &'static [Value; 1]) -> OptionRule {
    OptionRule { name, scope: Scope::Kind, takes: Takes::Row(value, 0) }
}

/// An option of an instance that takes one value.
pub(super) const fn each(name: &'static str, value: &'static [Value; 1]) -> OptionRule {
    OptionRule { name, scope: Scope::Instance, takes: Takes::Row(value, 0) }
}

/// An option that takes something else.
pub(super) const fn rule(name: &'static str, scope: Scope, takes: Takes) -> OptionRule {
    OptionRule { name, scope, takes }
}

impl OptionRule {
    /// What is wrong with the words behind its name; none if nothing is.
    pub(super) fn wrong(&self, words: &[Word]) -> Option<String> {
        let (least, most) = match self.takes {
            Takes::Row(row, missing) => (row.len() - missing, Some(row.len())),
            Takes::Many(_, least) => (least, None),
        };
        if words.len() < least || most.is_some_and(|most| words.len() > most) {
            let count = match (least, most) {
                (0, Some(0)) => "no value".to_owned(),
                (_, Some(most)) if most == least => format!("exactly {least}"),
                (_, Some(most)) => format!("{least} to {most}"),
                (_, None) => format!("at least {least}"),
            };
            return Some(format!("`{}` takes {count}, and has {}", self.name, words.len()));
        }
        let wrong = |word: &Word, value: Value| {
            let rule = value.refuses(&word.text)?;
            Some(format!("`{}` takes {rule}, and `{}` is none", self.name, word.text))
        };
        words.iter().enumerate().find_map(|(at, word)| wrong(word, self.value(at)?))
    }

    /// The kind of its value in this place.
    pub(super) fn value(&self, at: usize) -> Option<Value> {
        match self.takes {
            Takes::Row(row, _) => row.get(at).copied(),
            Takes::Many(value, _) => Some(value),
        }
    }
}

impl Value {
    /// Whether a port may stand for the interface it means.
    pub(super) fn is_interface(self) -> bool {
        match self {
            Self::Interface | Self::InterfaceOr(_) | Self::Interfaces | Self::Clock => true,
            Self::Switch
            | Self::OneOf(_)
            | Self::Whole(..)
            | Self::Number
            | Self::Thousandths(..)
            | Self::NumberOr(_)
            | Self::Mode
            | Self::Text => false,
        }
    }

    /// What it has to be, where this is not.
    fn refuses(self, text: &str) -> Option<String> {
        let (fits, rule) = match self {
            Self::Switch => (matches!(text, "on" | "off"), "`on` or `off`".to_owned()),
            Self::OneOf(words) => {
                (words.contains(&text), format!("one of `{}`", words.join("`, `")))
            }
            Self::Whole(least, most) => {
                let fits = whole(text).is_some_and(|value| (least..=most).contains(&value));
                (fits, within(least, most))
            }
            Self::Number => (scaled(text, 0).is_some(), "a number".to_owned()),
            Self::Thousandths(least, most) => {
                let fits = scaled(text, 3).is_some_and(|value| (least..=most).contains(&value));
                (fits, format!("a number from {}e-3 to {}e-3", least, most))
            }
            Self::NumberOr(word) => {
                (text == word || scaled(text, 0).is_some(), format!("a number or `{word}`"))
            }
            Self::Mode => {
                let fits = u32::from_str_radix(text, 8).is_ok_and(|mode| mode <= 0o7777);
                (fits, "an octal mode such as 0660".to_owned())
            }
            Self::Interface => (is_interface(text), port::RULE.to_owned()),
            Self::InterfaceOr(word) => {
                (text == word || is_interface(text), format!("{}, or `{word}`", port::RULE))
            }
            Self::Interfaces => {
                let fits = text == "*" || is_interface(text) || text.parse::<MacAddress>().is_ok();
                (fits, format!("{}, a hardware address or `*`", port::RULE))
            }
            Self::Clock => {
                let fits = if port::is(text) { is_interface(text) } else { !text.is_empty() };
                (fits, format!("a clock, {}", port::RULE))
            }
            Self::Text => (!text.is_empty(), "something that is not empty".to_owned()),
        };
        (!fits).then_some(rule)
    }
}

fn is_interface(text: &str) -> bool {
    if port::is(text) { port::parse(text).is_some() } else { text.parse::<InterfaceName>().is_ok() }
}

fn whole(text: &str) -> Option<i64> {
    text.strip_prefix('+').unwrap_or(text).parse().ok()
}

fn within(least: i64, most: i64) -> String {
    match (least, most) {
        (i64::MIN, i64::MAX) => "a whole number".to_owned(),
        (_, i64::MAX) => format!("a whole number from {least}"),
        _ => format!("a whole number from {least} to {most}"),
    }
}

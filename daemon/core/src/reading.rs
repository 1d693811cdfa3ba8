//! What one look at the machine found in one place. A gap is a case, never a default.

use serde::{Deserialize, Serialize};

/// One fact as read: there, not there, or not readable. Nothing fills a gap.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reading<T> {
    /// The value as the machine gave it.
    Known(T),
    /// The machine says there is none.
    #[default]
    Absent,
    /// Could not be read; the text says why, for people.
    Unreadable(String),
}

impl<T> Reading<T> {
    /// The value, if there is one. Use it where *absent* and *unreadable* lead to the same answer.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Absent | Self::Unreadable(_) => None,
        }
    }

    /// The value by move, if there is one.
    pub fn into_known(self) -> Option<T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Absent | Self::Unreadable(_) => None,
        }
    }

    /// The same gap, or the value through `f`.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Reading<U> {
        match self {
            Self::Known(value) => Reading::Known(f(value)),
            Self::Absent => Reading::Absent,
            Self::Unreadable(why) => Reading::Unreadable(why),
        }
    }

    /// The same gap, or what `f` makes of the value; for parsers that may refuse.
    pub fn and_then<U>(self, f: impl FnOnce(T) -> Reading<U>) -> Reading<U> {
        match self {
            Self::Known(value) => f(value),
            Self::Absent => Reading::Absent,
            Self::Unreadable(why) => Reading::Unreadable(why),
        }
    }

    /// Borrows the value.
    pub fn as_ref(&self) -> Reading<&T> {
        match self {
            Self::Known(value) => Reading::Known(value),
            Self::Absent => Reading::Absent,
            Self::Unreadable(why) => Reading::Unreadable(why.clone()),
        }
    }

    /// True when the machine says there is none.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// Why it could not be read, if it could not.
    pub fn why_not(&self) -> Option<&str> {
        match self {
            Self::Unreadable(why) => Some(why),
            Self::Known(_) | Self::Absent => None,
        }
    }

    /// True when it could not be read.
    pub fn is_unreadable(&self) -> bool {
        matches!(self, Self::Unreadable(_))
    }
}

impl<T> From<Option<T>> for Reading<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Absent, Self::Known)
    }
}

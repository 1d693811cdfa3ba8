//! Why a profile has no value: where, what, and what to do.

use std::fmt;

use super::syntax::Place;

/// Why a profile is not evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Refused {
    /// The file, or the name asked for where no file was found.
    pub file: String,
    /// Where in it; none where it is about the file as a whole.
    pub place: Option<Place>,
    /// Why.
    pub reason: Reason,
    /// Variables that keep this place from being reached when they are set.
    pub unless: Vec<String>,
}

/// Why a profile is not evaluated, for programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is nowhere.
    NotFound {
        /// Its name.
        name: String,
        /// Where it was looked for.
        looked: Vec<String>,
    },
    /// It is there and cannot be read.
    Unreadable(String),
    /// It is no text, or not in the language of profiles.
    Syntax(String),
    /// Only a shell on the node could carry it out.
    NeedsShell(String),
    /// It imports itself.
    Cycle(String),
    /// It is larger or deeper than a profile is.
    TooLarge(&'static str),
    /// A calculation has no result.
    Arithmetic(String),
    /// The profile itself refuses to be used.
    Fails(String),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some(place) => {
                write!(f, "{}:{}:{}: {}", self.file, place.line, place.column, self.reason)
            }
            None => write!(f, "{}: {}", self.file, self.reason),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { name, looked } if looked.is_empty() => {
                write!(f, "{name} is no name of a profile")
            }
            Self::NotFound { name, looked } => {
                write!(f, "there is no profile {name}: looked for {}", looked.join(", "))
            }
            Self::Unreadable(why) => write!(f, "it cannot be read: {why}"),
            Self::Syntax(what) => f.write_str(what),
            Self::NeedsShell(what) => write!(f, "{what} needs a shell"),
            Self::Cycle(name) => write!(f, "it imports {name}, which is being imported already"),
            Self::TooLarge(what) => f.write_str(what),
            Self::Arithmetic(what) => write!(f, "the calculation has no result: {what}"),
            Self::Fails(message) => write!(f, "the profile itself gives up: {message}"),
        }
    }
}

impl Refused {
    /// What to do about it.
    pub fn fix(&self) -> String {
        let unless = self.unless.join(" or ");
        match &self.reason {
            Reason::NotFound { .. } => {
                "name one that `onloadctl profile list` shows, or the path of a file".to_owned()
            }
            Reason::Unreadable(_) => "make it readable, or name another profile".to_owned(),
            Reason::NeedsShell(_) | Reason::Fails(_) if !unless.is_empty() => {
                format!("give {unless} a value, and this line is not reached")
            }
            Reason::NeedsShell(_) => {
                "write the result into a profile of your own, or run the program with the `onload` launcher".to_owned()
            }
            Reason::Fails(_) => "give the variables it names a value it takes".to_owned(),
            Reason::Syntax(_) | Reason::TooLarge(_) | Reason::Arithmetic(_) => {
                "correct that line of the profile".to_owned()
            }
            Reason::Cycle(_) => "take one of the imports out".to_owned(),
        }
    }
}

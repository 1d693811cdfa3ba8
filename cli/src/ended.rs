//! How a run ends when not well, and what people read then: what did not happen, why, what to do.

use std::io;

use onload_dbus::error::{Failure, Kind, exit, exit_code};
use serde::Serialize;

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// Something did not happen.
    #[error(transparent)]
    Complaint(#[from] Complaint),
    /// The output cannot be written.
    #[error("the output cannot be written: {0}")]
    Output(#[from] io::Error),
}

/// What did not happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{what}")]
pub struct Complaint {
    /// The error's name: of the contract, of the bus, or `Unreachable`.
    pub name: String,
    /// What did not happen.
    pub what: String,
    /// Why.
    pub why: String,
    /// What to do.
    pub fix: String,
    /// Exit code.
    pub exit: u8,
}

/// Name of the complaint when onloadd cannot be reached.
pub const UNREACHABLE: &str = "Unreachable";

impl Complaint {
    /// onloadd does not answer.
    pub fn unreachable(why: impl Into<String>) -> Self {
        Self {
            name: UNREACHABLE.into(),
            what: "onloadd cannot be reached".into(),
            why: why.into(),
            fix: "`systemctl status onloadd` says whether it runs; start it with `systemctl enable --now onloadd`"
                .into(),
            exit: exit::UNREACHABLE,
        }
    }

    /// The command line is not understood.
    pub fn of_words(error: &clap::Error) -> Self {
        // In clap's text the reason comes first, up to an empty line, then tips, usage, a pointer.
        let text = error.render().to_string();
        let reason = text.split("\n\n").next().unwrap_or_default();
        let why = reason.split_whitespace().collect::<Vec<_>>().join(" ");
        let tips = text.lines().filter_map(|line| line.trim().strip_prefix("tip: "));
        let usage = text.lines().find_map(|line| line.strip_prefix("Usage: "));
        let fix = match (tips.collect::<Vec<_>>().join("; "), usage) {
            (tips, _) if !tips.is_empty() => tips,
            (_, Some(usage)) => format!("write: {usage}"),
            (_, None) => "see --help".to_owned(),
        };
        Self {
            name: Kind::InvalidArgument.as_str().into(),
            what: "the command line is not understood".into(),
            why: why.strip_prefix("error: ").unwrap_or(&why).to_owned(),
            fix,
            exit: exit::USAGE,
        }
    }

    /// Something that did not happen for a reason which the contract has a name for.
    pub fn of(
        kind: Kind,
        what: impl Into<String>,
        why: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        let (what, why, fix) = (what.into(), why.into(), fix.into());
        Self { name: kind.as_str().into(), what, why, fix, exit: kind.row().exit }
    }
}

impl From<zbus::Error> for Ended {
    fn from(error: zbus::Error) -> Self {
        Self::Complaint(Complaint::from(&error))
    }
}

impl From<&zbus::Error> for Complaint {
    fn from(error: &zbus::Error) -> Self {
        if let Some(failure) = Failure::from_reply(error) {
            let parts = failure.parts();
            return Self {
                name: failure.kind.as_str().into(),
                what: parts.what.into(),
                why: parts.why.into(),
                fix: parts.fix.into(),
                exit: failure.kind.row().exit,
            };
        }
        let exit = exit_code(error);
        let why = why(error);
        if exit == exit::UNREACHABLE {
            return Self::unreachable(why);
        }
        let (what, fix) = if exit == exit::NOT_ALLOWED {
            ("the bus does not allow this call", "ask as root, or have the bus policy changed")
        } else {
            (
                "onloadd's answer cannot be used",
                "see `journalctl -u onloadd`; onloadctl and onloadd may be of different versions",
            )
        };
        Self { name: name(error), what: what.into(), why, fix: fix.into(), exit }
    }
}

/// Name of an error that is not of our contract.
fn name(error: &zbus::Error) -> String {
    use zbus::DBusError as _;
    match error {
        zbus::Error::MethodError(name, ..) => name.as_str().into(),
        zbus::Error::FDO(error) => error.name().as_str().into(),
        _ => "Protocol".into(),
    }
}

/// The reason in plain words where the library's are for programmers.
fn why(error: &zbus::Error) -> String {
    use zbus::fdo::Error as Bus;
    match error {
        zbus::Error::InputOutput(error) if error.kind() == io::ErrorKind::TimedOut => {
            "it did not answer in time".into()
        }
        zbus::Error::InputOutput(error) => format!("the bus does not answer: {error}"),
        zbus::Error::Connection(_, error) => format!("the bus does not answer: {error}"),
        zbus::Error::FDO(error) => match error.as_ref() {
            Bus::ServiceUnknown(_) | Bus::NameHasNoOwner(_) | Bus::SpawnServiceNotFound(_) => {
                format!("nobody owns the name {} on this bus", onload_dbus::BUS_NAME)
            }
            other => other.to_string(),
        },
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)] // A failed test is what a panic is for.

    use super::*;

    #[test]
    fn an_unknown_error_still_has_three_lines() {
        let error = zbus::Error::from(zbus::fdo::Error::UnknownMethod("no such member".into()));
        let complaint = Complaint::from(&error);
        assert_eq!(complaint.exit, exit::FAILED);
        assert_eq!(complaint.name, "org.freedesktop.DBus.Error.UnknownMethod");
        assert!(!complaint.why.is_empty() && !complaint.fix.is_empty());
    }

    #[test]
    fn silence_is_unreachable() {
        let late = io::Error::from(io::ErrorKind::TimedOut);
        let complaint = Complaint::from(&zbus::Error::from(late));
        assert_eq!((complaint.exit, complaint.name.as_str()), (5, UNREACHABLE));
        assert_eq!(complaint.why, "it did not answer in time");
    }
}

//! Errors: the one table from name to D-Bus name, exit code and gRPC code, and the three lines that
//! every error has for people.

use std::fmt;

use zbus::message::{Header, Message};
use zbus::names::ErrorName;

/// Exit codes of `onloadctl`.
pub mod exit {
    /// As wanted.
    pub const AS_WANTED: u8 = 0;
    /// Failed.
    pub const FAILED: u8 = 1;
    /// Wrong usage.
    pub const USAGE: u8 = 2;
    /// Not allowed.
    pub const NOT_ALLOWED: u8 = 3;
    /// Nothing is wrong; something is in the way.
    pub const BLOCKED: u8 = 4;
    /// The daemon cannot be reached.
    pub const UNREACHABLE: u8 = 5;
    /// A command to be run is there and cannot be, as shells say it.
    pub const NOT_EXECUTABLE: u8 = 126;
    /// A command to be run is not there, as shells say it.
    pub const COMMAND_NOT_FOUND: u8 = 127;
}

/// Status codes of gRPC that an error becomes (numbers fixed by its protocol).
pub mod grpc {
    /// Cancelled by somebody.
    pub const CANCELLED: i32 = 1;
    /// The argument is wrong whatever the state.
    pub const INVALID_ARGUMENT: i32 = 3;
    /// No such thing.
    pub const NOT_FOUND: i32 = 5;
    /// The caller may not.
    pub const PERMISSION_DENIED: i32 = 7;
    /// A limit is reached.
    pub const RESOURCE_EXHAUSTED: i32 = 8;
    /// The state does not allow it.
    pub const FAILED_PRECONDITION: i32 = 9;
    /// Not possible here.
    pub const UNIMPLEMENTED: i32 = 12;
    /// A fault.
    pub const INTERNAL: i32 = 13;
    /// Not now; trying again may help.
    pub const UNAVAILABLE: i32 = 14;
}

/// What comes before the name on the bus.
const PREFIX: &str = "com.amd.Onload1.Error.";

/// Why a call failed, for programs. A stable name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The caller may not.
    NotAuthorized,
    /// Somebody holds it.
    InUse,
    /// Something stands in the way that an operator can remove.
    Blocked,
    /// An operator's hold.
    Held,
    /// There is no such thing.
    NotFound,
    /// The argument is not of the form it must have.
    InvalidArgument,
    /// Another order is under way.
    Busy,
    /// This host or version cannot.
    Unsupported,
    /// The daemon keeps its hands off.
    Degraded,
    /// A fault of the daemon.
    Internal,
    /// The caller has as many as allowed.
    LimitExceeded,
    /// The order was cancelled.
    Cancelled,
    /// The ledger cannot be written.
    LedgerUnavailable,
}

/// One line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The name.
    pub word: &'static str,
    /// The name on the bus.
    pub dbus: &'static str,
    /// Exit code of `onloadctl`.
    pub exit: u8,
    /// Status code of gRPC.
    pub grpc: i32,
}

macro_rules! row {
    ($word:literal, $exit:expr, $grpc:expr) => {
        Row {
            word: $word,
            dbus: concat!("com.amd.Onload1.Error.", $word),
            exit: $exit,
            grpc: $grpc,
        }
    };
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::NotAuthorized,
        Self::InUse,
        Self::Blocked,
        Self::Held,
        Self::NotFound,
        Self::InvalidArgument,
        Self::Busy,
        Self::Unsupported,
        Self::Degraded,
        Self::Internal,
        Self::LimitExceeded,
        Self::Cancelled,
        Self::LedgerUnavailable,
    ];

    /// The one table.
    pub const fn row(self) -> Row {
        match self {
            Self::NotAuthorized => {
                row!("NotAuthorized", exit::NOT_ALLOWED, grpc::PERMISSION_DENIED)
            }
            Self::InUse => row!("InUse", exit::BLOCKED, grpc::FAILED_PRECONDITION),
            Self::Blocked => row!("Blocked", exit::BLOCKED, grpc::FAILED_PRECONDITION),
            Self::Held => row!("Held", exit::BLOCKED, grpc::FAILED_PRECONDITION),
            Self::NotFound => row!("NotFound", exit::FAILED, grpc::NOT_FOUND),
            Self::InvalidArgument => row!("InvalidArgument", exit::USAGE, grpc::INVALID_ARGUMENT),
            Self::Busy => row!("Busy", exit::BLOCKED, grpc::UNAVAILABLE),
            Self::Unsupported => row!("Unsupported", exit::FAILED, grpc::UNIMPLEMENTED),
            Self::Degraded => row!("Degraded", exit::BLOCKED, grpc::FAILED_PRECONDITION),
            Self::Internal => row!("Internal", exit::FAILED, grpc::INTERNAL),
            Self::LimitExceeded => row!("LimitExceeded", exit::BLOCKED, grpc::RESOURCE_EXHAUSTED),
            Self::Cancelled => row!("Cancelled", exit::FAILED, grpc::CANCELLED),
            Self::LedgerUnavailable => row!("LedgerUnavailable", exit::BLOCKED, grpc::UNAVAILABLE),
        }
    }

    /// The name.
    pub const fn as_str(self) -> &'static str {
        self.row().word
    }

    /// The kind behind a D-Bus error name; none for errors that are not ours.
    pub fn from_dbus(name: &str) -> Option<Self> {
        let word = name.strip_prefix(PREFIX)?;
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Exit code of `onloadctl status` by node state.
pub const STATES: [(&str, u8); 6] = [
    ("ready", exit::AS_WANTED),
    ("idle", exit::AS_WANTED),
    ("converging", exit::BLOCKED),
    ("blocked", exit::BLOCKED),
    ("held", exit::BLOCKED),
    ("degraded", exit::FAILED),
];

/// Exit code of `onloadctl status` for a node state; a word from a newer daemon is no success.
pub fn state_exit_code(state: &str) -> u8 {
    STATES.iter().find(|(word, _)| *word == state).map_or(exit::FAILED, |(_, code)| *code)
}

/// A failed call: a kind for programs, three lines for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// For programs.
    pub kind: Kind,
    /// For people: what did not happen, and why and what to do on lines of their own.
    text: String,
}

/// The three lines of an error. A text from elsewhere has the first only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts<'a> {
    /// What did not happen.
    pub what: &'a str,
    /// Why; empty when the text does not say.
    pub why: &'a str,
    /// What to do; empty when the text does not say.
    pub fix: &'a str,
}

/// What the bus says when it would start the daemon and systemd does not: the unit is disabled,
/// masked, or fails.
const NOT_STARTED: [&str; 4] = [
    "org.freedesktop.systemd1.NoSuchUnit",
    "org.freedesktop.systemd1.UnitMasked",
    "org.freedesktop.systemd1.LoadFailed",
    "org.freedesktop.systemd1.TransactionJobFailed",
];

const WHY: &str = "\n  why: ";
const FIX: &str = "\n  fix: ";

impl<'a> Parts<'a> {
    /// Takes an error text apart. The marks are looked for from the end: what somebody typed may
    /// stand in the first part.
    pub fn of(text: &'a str) -> Self {
        let (rest, fix) = text.rsplit_once(FIX).unwrap_or((text, ""));
        let (what, why) = rest.rsplit_once(WHY).unwrap_or((rest, ""));
        Self { what, why, fix }
    }
}

impl fmt::Display for Parts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)?;
        for (mark, part) in [(WHY, self.why), (FIX, self.fix)] {
            if !part.is_empty() {
                write!(f, "{mark}{part}")?;
            }
        }
        Ok(())
    }
}

impl Failure {
    /// Puts the parts together.
    pub fn new(kind: Kind, what: &str, why: &str, fix: &str) -> Self {
        Self { kind, text: Parts { what, why, fix }.to_string() }
    }

    /// The three lines apart.
    pub fn parts(&self) -> Parts<'_> {
        Parts::of(&self.text)
    }

    /// What an error reply says, if it is one of ours.
    pub fn from_reply(error: &zbus::Error) -> Option<Self> {
        match error {
            zbus::Error::MethodError(name, text, _) => Some(Self {
                kind: Kind::from_dbus(name.as_str())?,
                text: text.clone().unwrap_or_default(),
            }),
            _ => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}

impl zbus::DBusError for Failure {
    fn create_reply(&self, call: &Header<'_>) -> zbus::Result<Message> {
        Message::error(call, self.name()).build(&(&self.text,))
    }

    fn name(&self) -> ErrorName<'_> {
        ErrorName::from_static_str_unchecked(self.kind.row().dbus)
    }

    fn description(&self) -> Option<&str> {
        Some(&self.text)
    }
}

/// Exit code of `onloadctl` for any failed call, ours or the bus's own.
pub fn exit_code(error: &zbus::Error) -> u8 {
    use zbus::fdo::Error as Bus;
    if let Some(failure) = Failure::from_reply(error) {
        return failure.kind.row().exit;
    }
    match error {
        zbus::Error::Connection(..)
        | zbus::Error::InputOutput(_)
        | zbus::Error::Handshake(_)
        | zbus::Error::Address(_) => exit::UNREACHABLE,
        zbus::Error::FDO(inner) => match inner.as_ref() {
            Bus::ZBus(inner) => exit_code(inner),
            Bus::ServiceUnknown(_)
            | Bus::NameHasNoOwner(_)
            | Bus::NoReply(_)
            | Bus::NoServer(_)
            | Bus::Timeout(_)
            | Bus::TimedOut(_)
            | Bus::Disconnected(_)
            | Bus::IOError(_)
            | Bus::SpawnFailed(_)
            | Bus::SpawnChildExited(_)
            | Bus::SpawnChildSignaled(_)
            | Bus::SpawnServiceNotFound(_) => exit::UNREACHABLE,
            Bus::AccessDenied(_)
            | Bus::AuthFailed(_)
            | Bus::InteractiveAuthorizationRequired(_) => exit::NOT_ALLOWED,
            Bus::InvalidArgs(_) => exit::USAGE,
            // Types and members that only another version of the daemon has.
            _ => exit::FAILED,
        },
        zbus::Error::MethodError(name, ..) if NOT_STARTED.contains(&name.as_str()) => {
            exit::UNREACHABLE
        }
        _ => exit::FAILED,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed test is what a panic is for.

    use super::*;

    #[test]
    fn names_are_told_apart_and_read_back() {
        for kind in Kind::ALL {
            let row = kind.row();
            assert_eq!(row.dbus, format!("{PREFIX}{}", row.word));
            assert!(ErrorName::try_from(row.dbus).is_ok(), "{kind}");
            assert_eq!(Kind::from_dbus(row.dbus), Some(kind));
            assert_ne!(row.exit, exit::AS_WANTED, "{kind}");
        }
        assert_eq!(Kind::from_dbus("org.freedesktop.DBus.Error.Failed"), None);
        assert_eq!(Kind::from_dbus("com.amd.Onload1.Error.Nonsense"), None);
    }

    #[test]
    fn three_lines_come_apart_as_they_were_put_together() {
        let failure = Failure::new(Kind::Held, "nothing was lent", "held: backup", "unhold");
        assert_eq!(failure.to_string(), "nothing was lent\n  why: held: backup\n  fix: unhold");
        assert_eq!(
            failure.parts(),
            Parts { what: "nothing was lent", why: "held: backup", fix: "unhold" }
        );
        let cases = [
            ("Connection refused", Parts { what: "Connection refused", why: "", fix: "" }),
            ("", Parts { what: "", why: "", fix: "" }),
            ("a\n  fix: c", Parts { what: "a", why: "", fix: "c" }),
            ("x\n  why: y\n  why: z\n  fix: f", Parts { what: "x\n  why: y", why: "z", fix: "f" }),
        ];
        for (text, parts) in cases {
            assert_eq!(Parts::of(text), parts, "{text}");
            assert_eq!(parts.to_string(), text);
        }
    }

    #[test]
    fn a_failure_arrives_typed() {
        let call = Message::method_call("/com/amd/Onload1", "Hold").build(&()).unwrap();
        let failure = Failure::new(Kind::Busy, "a", "b", "c");
        let reply = zbus::DBusError::create_reply(&failure, &call.header()).unwrap();
        let error = zbus::Error::from(reply);
        assert_eq!(Failure::from_reply(&error), Some(failure));
        assert_eq!(exit_code(&error), exit::BLOCKED);
    }

    #[test]
    fn a_missing_daemon_is_told_from_a_refusal() {
        let unknown = zbus::fdo::Error::ServiceUnknown(String::new());
        assert_eq!(exit_code(&unknown.into()), exit::UNREACHABLE);
        let denied = zbus::fdo::Error::AccessDenied(String::new());
        assert_eq!(exit_code(&denied.into()), exit::NOT_ALLOWED);
        assert_eq!(exit_code(&zbus::Error::IncorrectType), exit::FAILED);
        let call = Message::method_call("/com/amd/Onload1", "Hold").build(&()).unwrap();
        let disabled = Message::error(&call.header(), NOT_STARTED[0]);
        let disabled = disabled.build(&("no unit",)).unwrap();
        assert_eq!(exit_code(&zbus::Error::from(disabled)), exit::UNREACHABLE);
    }

    #[test]
    fn every_state_has_an_exit_code() {
        assert_eq!(state_exit_code("ready"), exit::AS_WANTED);
        assert_eq!(state_exit_code("blocked"), exit::BLOCKED);
        assert_eq!(state_exit_code("a word from the future"), exit::FAILED);
    }
}

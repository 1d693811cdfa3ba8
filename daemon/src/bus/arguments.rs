//! Arguments of calls: bounded, checked, and named in the refusal.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use onload_core::allocation::TenureWish;
use onload_core::change::{Holders, Manner};
use onload_core::clock::picture::Keeper;
use onload_core::secure_boot::certificate::Certificate;
use onload_core::secure_boot::request::{PasswordHash, crypt};
use onload_core::time::Span;
use onload_dbus::error::{Failure, Kind};
use zbus::{OwnedVariant, Variant};

/// The longest name or id anybody has to say: a release name has 63 bytes.
const LONGEST_NAME: usize = 64;
/// A reason is one line on a terminal or two.
const LONGEST_REASON: usize = 200;
/// Twice what any method knows; more is not a mistake but an attempt.
const MOST_OPTIONS: usize = 8;
/// As many devices as the largest pool has (DESIGN section 9).
const MOST_DEVICES: u32 = 10_000;

/// Certificates have one or two kilobytes.
const LONGEST_CERTIFICATE: usize = 64 << 10;

/// Options as they arrive.
pub(super) type Options = BTreeMap<String, OwnedVariant>;

fn refuse(argument: &str, why: impl Display, fix: &str) -> Failure {
    let what = format!("the call is refused: {argument} is not what it must be");
    Failure::new(Kind::InvalidArgument, &what, &why.to_string(), fix)
}

fn bounded<'a>(argument: &str, text: &'a str, longest: usize) -> Result<&'a str, Failure> {
    if text.is_empty() || text.len() > longest {
        let why = format!("{argument} has {} bytes, and 1 to {longest} are allowed", text.len());
        let fix =
            if text.is_empty() { "say it; it must not be empty" } else { "say it in fewer bytes" };
        return Err(refuse(argument, why, fix));
    }
    Ok(text)
}

/// A text as what it must be.
///
/// # Errors
/// `InvalidArgument`, naming the argument and its rule.
pub(super) fn name<T: FromStr<Err: Display>>(argument: &str, text: &str) -> Result<T, Failure> {
    let fix = match argument {
        "pool" => "see `onloadctl pools` for the names there are",
        "id" => "see `onloadctl allocations` for the ids there are",
        "release" | "Version" => "see `onloadctl release list` for the names there are",
        _ => "see `onloadctl status` for the names there are",
    };
    bounded(argument, text, LONGEST_NAME)?.parse().map_err(|error| refuse(argument, error, fix))
}

/// A subject of `Why`: any name.
///
/// # Errors
/// `InvalidArgument` when it is empty or too long.
pub(super) fn subject(text: &str) -> Result<&str, Failure> {
    bounded("subject", text, LONGEST_NAME)
}

/// How many devices.
///
/// # Errors
/// `InvalidArgument` for none and for more than any pool has.
pub(super) fn count(count: u32) -> Result<u32, Failure> {
    if (1..=MOST_DEVICES).contains(&count) {
        return Ok(count);
    }
    let why = format!("count is {count}, and 1 to {MOST_DEVICES} are allowed");
    Err(refuse("count", why, "ask for as many as you need"))
}

/// A certificate, DER or PEM, as DER.
///
/// # Errors
/// `InvalidArgument` when it is not one certificate.
pub(super) fn certificate(bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    let fix = "pass the certificate of whoever signed the modules, as DER or PEM (`onloadctl keys show FILE` reads it)";
    if bytes.len() > LONGEST_CERTIFICATE {
        let why = format!("it has {} bytes, and {LONGEST_CERTIFICATE} are allowed", bytes.len());
        return Err(refuse("certificate", why, fix));
    }
    Certificate::der(bytes).map_err(|damaged| refuse("certificate", damaged, fix))
}

/// The hash of a password. What it is stands in no message.
///
/// # Errors
/// `InvalidArgument` when shim could not check it.
pub(super) fn password_hash(text: &str) -> Result<PasswordHash, Failure> {
    crypt::parse(text).map_err(|unusable| refuse("hash", unusable, unusable.fix()))
}

/// To whom the system clock goes.
///
/// # Errors
/// `InvalidArgument` for another word.
pub(super) fn keeper(text: &str) -> Result<Keeper, Failure> {
    match text {
        "sfptpd" => Ok(Keeper::Sfptpd),
        "back" => Ok(Keeper::Former),
        _ => Err(refuse("to", "it is neither sfptpd nor back", "give one of the two")),
    }
}

/// How many changes back.
///
/// # Errors
/// `InvalidArgument` for none: that is where the node is.
pub(super) fn back(back: u32) -> Result<u32, Failure> {
    if back > 0 {
        return Ok(back);
    }
    let fix = "1 takes the last change back; see `onloadctl history`";
    Err(refuse("back", "it is 0, and changes are counted from 1", fix))
}

/// A reason, on one line: it is shown in tables and logs.
///
/// # Errors
/// `InvalidArgument` when it is empty, too long, or has control characters.
pub(super) fn reason(text: &str) -> Result<String, Failure> {
    if text.chars().any(char::is_control) {
        return Err(refuse("reason", "it has control characters", "write one line of text"));
    }
    bounded("reason", text, LONGEST_REASON).map(str::to_owned)
}

/// Takes known options out; what remains in the end is unknown.
#[derive(Debug)]
pub(super) struct Known(Options);

impl Known {
    /// Begins.
    ///
    /// # Errors
    /// `InvalidArgument` for more options than any method knows.
    pub(super) fn of(options: Options) -> Result<Self, Failure> {
        if options.len() > MOST_OPTIONS {
            let why = format!("{} options, and at most {MOST_OPTIONS} are allowed", options.len());
            return Err(refuse("options", why, "leave out what the method does not know"));
        }
        Ok(Self(options))
    }

    /// A switch; off unless given.
    ///
    /// # Errors
    /// `InvalidArgument` when it is not a boolean.
    pub(super) fn switch(&mut self, key: &str) -> Result<bool, Failure> {
        match self.0.remove(key).as_deref() {
            None => Ok(false),
            Some(Variant::Bool(on)) => Ok(*on),
            Some(_) => Err(refuse(key, "it is not a boolean (b)", "pass true or false")),
        }
    }

    /// A text, if given.
    ///
    /// # Errors
    /// `InvalidArgument` when it is not a text, or too long.
    pub(super) fn text(&mut self, key: &str) -> Result<Option<String>, Failure> {
        match self.0.remove(key).as_deref() {
            None => Ok(None),
            Some(Variant::Str(text)) => {
                bounded(key, text, LONGEST_NAME).map(|text| Some(text.to_owned()))
            }
            Some(_) => Err(refuse(key, "it is not a text (s)", "pass a text")),
        }
    }

    /// A duration, if given.
    ///
    /// # Errors
    /// `InvalidArgument` when it is not one.
    pub(super) fn span(&mut self, key: &str) -> Result<Option<Span>, Failure> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        let span: Span =
            text.parse().map_err(|error| refuse(key, error, "write it as 90s, 15m, 8h or 2d"))?;
        if span.0.is_zero() {
            return Err(refuse(key, "it is no time at all", "write it as 90s, 15m, 8h or 2d"));
        }
        Ok(Some(span))
    }

    /// How a driver is to be replaced.
    ///
    /// # Errors
    /// `InvalidArgument`, naming the option.
    pub(super) fn manner(&mut self) -> Result<Manner, Failure> {
        let (holders, limit) = (self.text("Holders")?, self.span("WaitFor")?);
        let holders = match (holders.as_deref(), limit) {
            (None | Some("refuse"), None) => Holders::Refuse,
            (Some("wait"), limit) => Holders::Wait(limit),
            (Some("stop"), None) => Holders::Stop,
            (None | Some("refuse" | "stop"), Some(_)) => {
                let fix = "leave it out, or give Holders as wait";
                return Err(refuse("WaitFor", "nobody is waited for", fix));
            }
            (Some(_), _) => {
                let why = "it is neither refuse nor wait nor stop";
                return Err(refuse("Holders", why, "give one of the three"));
            }
        };
        Ok(Manner { holders, confirm_within: self.span("ConfirmWithin")? })
    }

    /// Ends.
    ///
    /// # Errors
    /// `InvalidArgument`, naming the first option that the method does not know.
    pub(super) fn end(self) -> Result<(), Failure> {
        let Some(key) = self.0.keys().next() else { return Ok(()) };
        let shown: String = key.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect();
        let why = format!("the method does not know the option {shown}");
        Err(refuse("options", why, "see com.amd.Onload1.xml for the options of each method"))
    }
}

/// What an allocation shall end with, as the caller says it.
#[derive(Debug, PartialEq)]
pub(super) enum Until {
    /// As the loop takes it.
    Wish(TenureWish),
    /// With the unit that the caller is of.
    Unit,
}

/// What an allocation shall end with.
///
/// # Errors
/// `InvalidArgument`, naming the option.
pub(super) fn tenure(options: Options) -> Result<Until, Failure> {
    let mut known = Known::of(options)?;
    let (tenure, lease) = (known.text("Tenure")?, known.span("Lease")?);
    known.end()?;
    match (tenure.as_deref(), lease) {
        (None, Some(span)) => Ok(Until::Wish(TenureWish::Lease(span))),
        (None | Some("client"), None) => Ok(Until::Wish(TenureWish::Client)),
        (Some("process"), None) => Ok(Until::Wish(TenureWish::Process)),
        (Some("unit"), None) => Ok(Until::Unit),
        (Some("persistent"), None) => Ok(Until::Wish(TenureWish::Persistent)),
        (Some(_), Some(_)) => {
            Err(refuse("Lease", "a lease is a tenure of its own", "give Tenure or Lease"))
        }
        (Some(_), None) => {
            let why = "it is neither client nor process nor unit nor persistent";
            Err(refuse("Tenure", why, "give one of the four"))
        }
    }
}

/// How a driver is to be replaced, where nothing else can be said.
///
/// # Errors
/// `InvalidArgument`, naming the option.
pub(super) fn manner(options: Options) -> Result<Manner, Failure> {
    let mut known = Known::of(options)?;
    let manner = known.manner()?;
    known.end()?;
    Ok(manner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed test is what a panic is for.

    use super::*;

    fn options<const N: usize>(pairs: [(&str, Variant<'static>); N]) -> Options {
        pairs
            .into_iter()
            .map(|(key, value)| (key.to_owned(), OwnedVariant::try_from(value).unwrap()))
            .collect()
    }

    #[test]
    fn a_tenure_is_one_of_five() {
        let lease = Until::Wish(TenureWish::Lease("8h".parse().unwrap()));
        let good = [
            ("nothing said: with the client", options([]), Until::Wish(TenureWish::Client)),
            ("said", options([("Tenure", "client".into())]), Until::Wish(TenureWish::Client)),
            ("process", options([("Tenure", "process".into())]), Until::Wish(TenureWish::Process)),
            ("unit", options([("Tenure", "unit".into())]), Until::Unit),
            (
                "persistent",
                options([("Tenure", "persistent".into())]),
                Until::Wish(TenureWish::Persistent),
            ),
            ("a lease", options([("Lease", "8h".into())]), lease),
        ];
        for (why, given, wish) in good {
            assert_eq!(tenure(given).unwrap(), wish, "{why}");
        }
        let bad = [
            ("both", options([("Tenure", "client".into()), ("Lease", "8h".into())]), "Lease"),
            ("no tenure of ours", options([("Tenure", "kubelet".into())]), "Tenure"),
            ("not a text", options([("Tenure", 1u32.into())]), "Tenure"),
            ("not a duration", options([("Lease", "soon".into())]), "Lease"),
            ("no duration at all", options([("Lease", "0s".into())]), "Lease"),
            ("too long a text", options([("Lease", "8".repeat(65).into())]), "Lease"),
            ("an option of another method", options([("Force", true.into())]), "Force"),
        ];
        for (why, given, named) in bad {
            let failure = tenure(given).unwrap_err();
            assert_eq!(failure.kind, Kind::InvalidArgument, "{why}");
            assert!(failure.to_string().contains(named), "{why}: {failure}");
        }
    }

    #[test]
    fn a_manner_says_what_becomes_of_holders() {
        let minute: Span = "1m".parse().unwrap();
        let of = |holders| Manner { holders, confirm_within: None };
        let confirmed = Manner { confirm_within: Some(minute), ..Manner::default() };
        let good = [
            (options([]), Manner::default()),
            (options([("Holders", "refuse".into())]), Manner::default()),
            (options([("Holders", "wait".into())]), of(Holders::Wait(None))),
            (
                options([("Holders", "wait".into()), ("WaitFor", "1m".into())]),
                of(Holders::Wait(Some(minute))),
            ),
            (options([("Holders", "stop".into())]), of(Holders::Stop)),
            (options([("ConfirmWithin", "60s".into())]), confirmed),
        ];
        for (given, wanted) in good {
            assert_eq!(manner(given).unwrap(), wanted);
        }
        let bad = [
            (options([("Holders", "kill".into())]), "Holders"),
            (options([("Holders", true.into())]), "Holders"),
            (options([("WaitFor", "1m".into())]), "WaitFor"),
            (options([("Holders", "stop".into()), ("WaitFor", "1m".into())]), "WaitFor"),
            (options([("Holders", "wait".into()), ("WaitFor", "0s".into())]), "WaitFor"),
            (options([("ConfirmWithin", "soon".into())]), "ConfirmWithin"),
            (options([("Retry", true.into())]), "Retry"),
        ];
        for (given, named) in bad {
            let failure = manner(given).unwrap_err();
            assert_eq!(failure.kind, Kind::InvalidArgument, "{failure}");
            assert!(failure.to_string().contains(named), "{failure}");
        }
        assert!(back(0).is_err() && back(1).is_ok());
    }

    #[test]
    fn the_system_clock_goes_to_one_of_two() {
        assert_eq!(keeper("sfptpd").unwrap(), Keeper::Sfptpd);
        assert_eq!(keeper("back").unwrap(), Keeper::Former);
        for text in ["", "former", "Sfptpd", "chronyd"] {
            assert_eq!(keeper(text).unwrap_err().kind, Kind::InvalidArgument, "{text}");
        }
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let many: Options = (0..9)
            .map(|n| (n.to_string(), OwnedVariant::try_from(Variant::from(n)).unwrap()))
            .collect();
        assert!(Known::of(many).is_err());
        for text in ["", "two\nlines", &"x".repeat(201)] {
            assert!(reason(text).is_err(), "{text}");
        }
        assert!(reason(&"x".repeat(200)).is_ok());
        assert!(count(0).is_err() && count(10_001).is_err() && count(10_000).is_ok());
        assert!(name::<onload_core::names::PoolName>("pool", &"p".repeat(65)).is_err());
    }
}

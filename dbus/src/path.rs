//! Object paths: where an object is, and which one a path means.

use std::fmt::Write as _;

/// Path of the root object: the node itself, and the ObjectManager.
pub const ROOT: &str = "/com/amd/Onload1";

/// What an object stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A port, by PCI address.
    Port,
    /// A module, by name.
    Module,
    /// A release, by name.
    Release,
    /// A pool, by name.
    Pool,
    /// A clock, by name.
    Clock,
    /// An allocation, by id.
    Allocation,
    /// A job, by id.
    Job,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Port,
        Self::Module,
        Self::Release,
        Self::Pool,
        Self::Clock,
        Self::Allocation,
        Self::Job,
    ];

    /// The path component.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Port => "port",
            Self::Module => "module",
            Self::Release => "release",
            Self::Pool => "pool",
            Self::Clock => "clock",
            Self::Allocation => "allocation",
            Self::Job => "job",
        }
    }

    /// The interface of such an object.
    pub const fn interface(self) -> &'static str {
        match self {
            Self::Port => crate::interface::PORT,
            Self::Module => crate::interface::MODULE,
            Self::Release => crate::interface::RELEASE,
            Self::Pool => crate::interface::POOL,
            Self::Clock => crate::interface::CLOCK,
            Self::Allocation => crate::interface::ALLOCATION,
            Self::Job => crate::interface::JOB,
        }
    }
}

/// The path of an object.
pub fn of(kind: Kind, name: &str) -> String {
    format!("{ROOT}/{}/{}", kind.as_str(), escape(name))
}

/// The object a path means; none for the root, for nodes without an object and for paths that are
/// not ours.
pub fn parse(path: &str) -> Option<(Kind, String)> {
    let (kind, name) = path.strip_prefix(ROOT)?.strip_prefix('/')?.split_once('/')?;
    let kind = Kind::ALL.into_iter().find(|known| known.as_str() == kind)?;
    Some((kind, unescape(name)?))
}

/// A name as one path component: every byte outside `[A-Za-z0-9]` becomes `_` and two lower-case
/// hexadecimal digits. No name becomes no component: a path must not end so, and no object of ours
/// lacks a name.
pub fn escape(name: &str) -> String {
    let mut component = String::with_capacity(name.len() + 8);
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() {
            component.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(component, "_{byte:02x}");
        }
    }
    component
}

/// The name behind a path component; none when [`escape`] cannot have made it.
pub fn unescape(component: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(component.len());
    let mut rest = component.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'_' {
            let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
            bytes.push(digit(rest.next()?)? << 4 | digit(rest.next()?)?);
        } else {
            bytes.push(byte);
        }
    }
    let name = String::from_utf8(bytes).ok()?;
    (!name.is_empty() && escape(&name) == component).then_some(name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed test is what a panic is for.

    use super::*;

    #[test]
    fn every_name_survives_its_path() {
        for name in ["0000:3b:00.0", "sfc_resource", "9.2.1-1.el9", "a1", "größe", "_", "__5f"] {
            for kind in Kind::ALL {
                let path = of(kind, name);
                assert!(zbus::ObjectPath::try_from(path.as_str()).is_ok(), "{path}");
                assert_eq!(parse(&path), Some((kind, name.to_owned())), "{path}");
            }
        }
        assert_eq!(
            of(Kind::Port, "0000:3b:00.0"),
            "/com/amd/Onload1/port/0000_3a3b_3a00_2e0",
            "the escape is part of the contract"
        );
    }

    #[test]
    fn a_path_that_is_not_ours_is_nobody() {
        for path in [
            ROOT,
            "/com/amd/Onload1/port",
            "/com/amd/Onload1/port/",
            "/com/amd/Onload1/card/x",
            "/com/amd/Onload10/port/x",
            "/com/amd/Onload1/port/a_3A",
            "/com/amd/Onload1/port/a_3",
            "/com/amd/Onload1/port/_ff",
            "/com/amd/Onload1/port/_41",
            "/com/amd/Onload1/port/a/b",
        ] {
            assert_eq!(parse(path), None, "{path}");
        }
    }
}

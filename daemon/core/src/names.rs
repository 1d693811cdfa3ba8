//! Identifiers that cross a function: one type each, checked where they are made.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Why a text is not the identifier it was meant to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {kind}: {rule}")]
pub struct InvalidName {
    /// What it was meant to be, in words.
    pub kind: &'static str,
    /// The text, cut to what fits a message, control characters blanked.
    pub text: String,
    /// The rule it breaks.
    pub rule: &'static str,
}

impl InvalidName {
    fn new(kind: &'static str, text: &str, rule: &'static str) -> Self {
        // It ends up on terminals and in the status of pods.
        let shown = |c: char| if c.is_control() { ' ' } else { c };
        Self { kind, text: text.chars().take(80).map(shown).collect(), rule }
    }
}

/// A checked string identifier: newtype, `FromStr`, `Display`, serde through the check. Shared
/// text, because the picture of a thousand devices is copied at each change.
macro_rules! text_name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text of it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(InvalidName::new($kind, text, $rule))
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

fn all(text: &str, longest: usize, allowed: fn(u8) -> bool) -> bool {
    !text.is_empty() && text.len() <= longest && text.bytes().all(allowed)
}

text_name!(
    /// A network interface name as the kernel allows it (at most 15 bytes; `dev_valid_name`).
    InterfaceName, "network interface name", "1 to 15 bytes without `/`, `:` or white space",
    |text| text != "." && text != ".." && all(text, 15, |b| b > b' ' && b != b'/' && b != b':' && b != 0x7f)
);
text_name!(
    /// A kernel module name, with underscores as `/proc/modules` shows it.
    ModuleName, "kernel module name", "1 to 55 letters, digits or underscores",
    |text| all(text, 55, |b| b.is_ascii_alphanumeric() || b == b'_')
);
text_name!(
    /// One Onload version as a whole, or `host`, or `in-tree` (DESIGN section 2). A path component.
    ReleaseName, "release", "1 to 63 letters, digits or `.+~_-`, not beginning with a dot",
    |text| !text.starts_with('.')
        && all(text, 63, |b| b.is_ascii_alphanumeric() || b".+~_-".contains(&b))
);
text_name!(
    /// The name of a pool; also the second half of its resource name unless that is set.
    PoolName, "pool name", "1 to 40 lower-case letters, digits or dashes, beginning with a letter",
    |text| text.starts_with(|c: char| c.is_ascii_lowercase())
        && all(text, 40, |b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
);
text_name!(
    /// An extended resource of Kubernetes, `domain/name` (reference/kubelet-api.md section 3).
    ResourceName, "resource name", "`domain/name`, not in the kubernetes.io domain, name at most 63 of letters, digits or `._-`",
    |text| text.split_once('/').is_some_and(|(domain, name)| {
        all(domain, 253, |b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-".contains(&b))
            && domain.contains('.')
            && domain != "kubernetes.io" && !domain.ends_with(".kubernetes.io")
            && all(name, 63, |b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.ends_with(|c: char| c.is_ascii_alphanumeric())
    })
);
text_name!(
    /// What can be lent: `<pool>-<slot>`, at most 63 characters (reference/kubelet-api.md section 2).
    DeviceId, "device id", "1 to 63 letters, digits, dots or dashes",
    |text| all(text, 63, |b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
);
text_name!(
    /// The kernel's random id of this boot (`/proc/sys/kernel/random/boot_id`).
    BootId, "boot id", "1 to 64 hexadecimal digits or dashes",
    |text| all(text, 64, |b| b.is_ascii_hexdigit() || b == b'-')
);
text_name!(
    /// `uname -r`.
    KernelRelease, "kernel release", "1 to 64 printable characters without `/`",
    |text| all(text, 64, |b| b.is_ascii_graphic() && b != b'/')
);
text_name!(
    /// The hash of the interface between user library and driver (`uk_intf_ver`,
    /// reference/onload-modules.md section 4).
    InterfaceHash, "driver interface hash", "32 hexadecimal digits",
    |text| text.len() == 32 && all(text, 32, |b| b.is_ascii_hexdigit())
);

/// The number of an allocation, `a1` and up; never used twice on one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AllocationId(pub u64);

/// The number of a job, `j1` and up since the daemon started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub u64);

macro_rules! numbered {
    ($name:ident, $letter:literal, $kind:literal, $rule:literal) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($letter, "{}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                text.strip_prefix($letter)
                    .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
                    .and_then(|digits| digits.parse().ok())
                    .map(Self)
                    .ok_or_else(|| InvalidName::new($kind, text, $rule))
            }
        }
    };
}
numbered!(
    AllocationId,
    "a",
    "valid allocation id",
    "`a` and a number, as `onloadctl allocations` shows it"
);
numbered!(JobId, "j", "valid job id", "`j` and a number, as `onloadctl jobs` shows it");

/// Where a PCI function sits: domain, bus, device, function. Domains above 16 bits exist
/// (emulated and VMD buses), so the text may have more than four digits before the first colon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PciAddress {
    /// PCI domain (segment).
    pub domain: u32,
    /// Bus number.
    pub bus: u8,
    /// Device (slot), below 32.
    pub device: u8,
    /// Function, below 8.
    pub function: u8,
}

impl FromStr for PciAddress {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let refuse = || {
            InvalidName::new(
                "PCI address",
                text,
                "domain:bus:device.function, such as 0000:3b:00.0",
            )
        };
        let mut parts = text.split([':', '.']);
        let mut next = |width: std::ops::RangeInclusive<usize>| {
            parts
                .next()
                .filter(|part| width.contains(&part.len()))
                .filter(|part| part.bytes().all(|b| b.is_ascii_hexdigit()))
                .and_then(|part| u32::from_str_radix(part, 16).ok())
                .ok_or_else(refuse)
        };
        let (domain, bus, device, function) =
            (next(4..=8)?, next(2..=2)?, next(2..=2)?, next(1..=1)?);
        if parts.next().is_some() || device > 31 || function > 7 {
            return Err(refuse());
        }
        let narrow = |n: u32| u8::try_from(n).map_err(|_| refuse());
        let address = Self {
            domain,
            bus: narrow(bus)?,
            device: narrow(device)?,
            function: narrow(function)?,
        };
        if address.to_string() == text.to_ascii_lowercase() { Ok(address) } else { Err(refuse()) }
    }
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:02x}:{:02x}.{}", self.domain, self.bus, self.device, self.function)
    }
}

impl TryFrom<String> for PciAddress {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<PciAddress> for String {
    fn from(address: PciAddress) -> Self {
        address.to_string()
    }
}

/// A 48-bit hardware address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddress(pub [u8; 6]);

impl FromStr for MacAddress {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let refuse =
            || InvalidName::new("MAC address", text, "six hexadecimal pairs joined by colons");
        let mut octets = [0; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            let part = parts.next().filter(|part| part.len() == 2).ok_or_else(refuse)?;
            *octet = u8::from_str_radix(part, 16).map_err(|_| refuse())?;
        }
        if parts.next().is_some() { Err(refuse()) } else { Ok(Self(octets)) }
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl TryFrom<String> for MacAddress {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<MacAddress> for String {
    fn from(mac: MacAddress) -> Self {
        mac.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_back_as_the_kernel_writes_them() {
        for text in ["0000:3b:00.0", "10000:00:1f.7", "ffff:ff:00.1"] {
            assert_eq!(text.parse::<PciAddress>().unwrap().to_string(), text);
        }
        for text in
            ["", "3b:00.0", "0000:3b:20.0", "0000:3b:00.8", "0000:3b:00.0.1", "0000:+b:00.0"]
        {
            assert!(text.parse::<PciAddress>().is_err(), "{text}");
        }
        assert_eq!(
            "00:0F:53:00:00:01".parse::<MacAddress>().unwrap().to_string(),
            "00:0f:53:00:00:01"
        );
        for text in
            ["", "00:0f:53:00:00", "00:0f:53:00:00:01:02", "0:0f:53:00:00:01", "+0:0f:53:00:00:01x"]
        {
            assert!(text.parse::<MacAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_refused_does_not_command_a_terminal() {
        let refused = "x\u{1b}[2J\n\u{7}".parse::<DeviceId>().unwrap_err().to_string();
        assert!(refused.starts_with("`x [2J  ` is not a device id: "), "{refused:?}");
    }

    #[test]
    fn a_name_that_could_leave_its_directory_is_refused() {
        for text in ["..", ".hidden", "a/b", "", "x\0y", "9.2 1"] {
            assert!(text.parse::<ReleaseName>().is_err(), "{text}");
        }
        assert!("9.2.1-1.el9".parse::<ReleaseName>().is_ok());
        for text in ["amd.com/onload", "example.org/x-2"] {
            assert!(text.parse::<ResourceName>().is_ok(), "{text}");
        }
        for text in [
            "onload",
            "kubernetes.io/x",
            "a.kubernetes.io/x",
            "amd.com/",
            "amd.com/-x",
            "AMD.com/x",
        ] {
            assert!(text.parse::<ResourceName>().is_err(), "{text}");
        }
    }
}

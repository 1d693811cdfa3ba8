//! Who gives addresses to pods' interfaces.

use std::fs::File;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::str::FromStr;

use serde_json::{Map, Value, json};

use super::refuse;
use crate::ended::Complaint;
use crate::render::paint::plain;

/// More than any such object has; what is longer is refused by being cut.
const LONGEST_FILE: u64 = 64 * 1024;

/// Who gives them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ipam {
    /// One store for the whole cluster.
    Whereabouts(Range),
    /// A store on each node: nodes need ranges of their own.
    HostLocal(Range),
    /// The network's own server, through a daemon of the plugin's on each node.
    Dhcp,
    /// Nobody.
    None,
    /// As this file says.
    File(String),
}

/// Addresses of a network, all or from one to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// The network's first address, and the bits of its prefix.
    network: (IpAddr, u8),
    ends: Option<(IpAddr, IpAddr)>,
}

impl FromStr for Ipam {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("whereabouts", range)) => range.parse().map(Self::Whereabouts),
            Some(("host-local", range)) => range.parse().map(Self::HostLocal),
            _ if text == "dhcp" => Ok(Self::Dhcp),
            _ if text == "none" => Ok(Self::None),
            _ if text == "whereabouts" || text == "host-local" => {
                Err(format!("{text} needs a range: {text}:198.19.0.0/16"))
            }
            _ if text.is_empty() => Err("no file has an empty name".to_owned()),
            _ => Ok(Self::File(text.to_owned())),
        }
    }
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const RULE: &str = "a range is ADDRESS/BITS or FIRST-LAST/BITS";
        let (addresses, bits) = text.rsplit_once('/').ok_or(RULE)?;
        let address = |text: &str| {
            text.parse::<IpAddr>().map_err(|_| format!("`{text}` is no address: {RULE}"))
        };
        let (first, last) = match addresses.split_once('-') {
            Some((first, last)) => (address(first)?, Some(address(last)?)),
            None => (address(addresses)?, None),
        };
        let width: u8 = if first.is_ipv4() { 32 } else { 128 };
        let digits = !bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit());
        let bits = bits.parse::<u8>().ok().filter(|bits| digits && (1..=width).contains(bits));
        let bits = bits.ok_or_else(|| format!("a prefix has 1 to {width} bits"))?;
        // A network's own address and its broadcast address leave none with fewer.
        if bits > width - 2 {
            return Err(format!("a network of {bits} bits has no address to give"));
        }
        let network = masked(first, bits);
        let Some(last) = last else {
            if network != first {
                return Err(format!(
                    "{first} is within a network: the network is {network}/{bits}"
                ));
            }
            return Ok(Self { network: (network, bits), ends: None });
        };
        if last.is_ipv4() != first.is_ipv4() || masked(last, bits) != network {
            return Err(format!("{last} is not of {network}/{bits}, as {first} is"));
        }
        if last < first {
            return Err(format!("{last} comes before {first}"));
        }
        Ok(Self { network: (network, bits), ends: Some((first, last)) })
    }
}

/// The address with all but its first bits cleared.
fn masked(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            IpAddr::V4((u32::from(address) & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            IpAddr::V6((u128::from(address) & mask).into())
        }
    }
}

impl Ipam {
    /// The object for the plugin; none where nobody gives addresses.
    pub fn read(&self) -> Result<Option<Map<String, Value>>, Complaint> {
        let object = match self {
            Self::None => return Ok(None),
            Self::Dhcp => json!({"type": "dhcp"}),
            Self::Whereabouts(range) => {
                let (network, bits) = range.network;
                let range = match range.ends {
                    Some((first, last)) => format!("{first}-{last}/{bits}"),
                    None => format!("{network}/{bits}"),
                };
                json!({"type": "whereabouts", "range": range})
            }
            Self::HostLocal(range) => {
                let (network, bits) = range.network;
                let mut of = json!({"subnet": format!("{network}/{bits}")});
                if let Some((first, last)) = range.ends {
                    of["rangeStart"] = json!(first);
                    of["rangeEnd"] = json!(last);
                }
                json!({"type": "host-local", "ranges": [[of]]})
            }
            Self::File(path) => return of_file(path).map(Some),
        };
        Ok(object.as_object().cloned())
    }
}

fn of_file(path: &str) -> Result<Map<String, Value>, Complaint> {
    let shown = plain(path);
    let text = || -> io::Result<String> {
        let mut text = String::new();
        File::open(path)?.take(LONGEST_FILE).read_to_string(&mut text)?;
        Ok(text)
    };
    let text = text().map_err(|error| {
        let fix = "name a file, or one of whereabouts:RANGE, host-local:RANGE, dhcp and none";
        refuse(format!("--ipam {shown}: {error}"), fix)
    })?;
    let fix = "write an object such as {\"type\": \"static\", \"addresses\": [...]}";
    let object: Map<String, Value> = serde_json::from_str(&text)
        .map_err(|error| refuse(format!("{shown} is no JSON object: {error}"), fix))?;
    let plugin = object.get("type").and_then(Value::as_str);
    // It is the name of a program in the directory of plugins.
    match plugin.is_some_and(|name| !name.is_empty() && !name.contains(['/', '\0'])) {
        true => Ok(object),
        false => Err(refuse(format!("{shown} has no `type` that names a plugin"), fix)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed test is what a panic is for.

    use super::*;

    #[test]
    fn ranges_are_of_one_network() {
        let object = |text: &str| text.parse::<Ipam>().unwrap().read().unwrap().map(Value::Object);
        assert_eq!(
            object("whereabouts:198.19.0.0/16"),
            Some(json!({"type": "whereabouts", "range": "198.19.0.0/16"}))
        );
        assert_eq!(
            object("whereabouts:fd00::10-fd00::ff/64"),
            Some(json!({"type": "whereabouts", "range": "fd00::10-fd00::ff/64"}))
        );
        assert_eq!(
            object("host-local:198.19.0.16-198.19.0.31/16"),
            Some(json!({"type": "host-local", "ranges": [[{
                "subnet": "198.19.0.0/16", "rangeStart": "198.19.0.16", "rangeEnd": "198.19.0.31"
            }]]}))
        );
        assert_eq!(object("none"), None);
        for (text, why) in [
            ("whereabouts", "needs a range"),
            ("whereabouts:", "FIRST-LAST/BITS"),
            ("whereabouts:198.19.0.0", "FIRST-LAST/BITS"),
            ("whereabouts:198.19.0.1/16", "the network is 198.19.0.0/16"),
            ("host-local:198.19.0.0/33", "1 to 32 bits"),
            ("host-local:198.19.0.0/+8", "1 to 32 bits"),
            ("host-local:0.0.0.0/0", "1 to 32 bits"),
            ("host-local:198.19.0.0/31", "no address to give"),
            ("host-local:fd00::/127", "no address to give"),
            ("host-local:198.19.0.9-198.20.0.1/16", "is not of 198.19.0.0/16"),
            ("host-local:198.19.0.9-fd00::1/16", "is not of"),
            ("host-local:198.19.0.9-198.19.0.8/16", "comes before"),
            ("host-local:198.19/16", "no address"),
            ("", "empty"),
        ] {
            let error = text.parse::<Ipam>().unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}

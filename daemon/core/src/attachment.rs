//! Container networks, as far as they have to do with the host's interfaces: configurations of
//! plugins of the Container Network Interface, and what runtimes keep of those that are in use.
//!
//! Attachments that exist only as objects of Kubernetes are not on the node until a pod uses them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::base64;
use crate::inventory::Interface;
use crate::names::{InterfaceName, MacAddress, PciAddress};

/// What one plugin does with an interface of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Attachment {
    /// The plugin: `host-device`, `ipvlan` and so on.
    pub plugin: String,
    /// What becomes of the interface.
    pub fate: Fate,
    /// Names by which the interface is meant.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub names: BTreeSet<InterfaceName>,
    /// The address by which it is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddress>,
    /// Functions by which it is meant.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub functions: BTreeSet<PciAddress>,
}

/// What becomes of an interface of the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// It goes into the container, which may call it what it likes.
    #[default]
    Moved,
    /// It stays, and carries an interface that goes into the container.
    Carries,
}

/// One interface of a container that is in use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Attached {
    /// The container's id, as its runtime has it.
    pub container: String,
    /// What the interface is called in there.
    pub interface: String,
    /// What it was made by.
    pub by: Vec<Attachment>,
}

impl Attached {
    /// The container and its interface, for people.
    pub fn place(&self) -> String {
        let id = self.container.get(..12).unwrap_or(&self.container);
        match self.interface.as_str() {
            "" => format!("container {id}"),
            interface => format!("container {id}, {interface}"),
        }
    }
}

impl Attachment {
    /// Whether it means this interface.
    pub fn means(&self, name: &InterfaceName, interface: &Interface) -> bool {
        let by_name =
            |one: &InterfaceName| one == name || interface.altnames.contains(one.as_str());
        let macs = [&interface.mac, &interface.permanent_mac];
        self.names.iter().any(by_name)
            || self.mac.is_some_and(|own| macs.iter().any(|mac| mac.known() == Some(&own)))
            || interface.port.known().is_some_and(|port| self.functions.contains(port))
    }

    fn names_any(&self) -> bool {
        !self.names.is_empty() || self.mac.is_some() || !self.functions.is_empty()
    }
}

/// What a file of a runtime says of one interface of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cached {
    /// Container, interface and configuration.
    pub attached: Attached,
    /// Paths of the container's network namespace: what is left of a container that is gone, or of
    /// another boot, names one that is not there.
    pub namespaces: BTreeSet<String>,
}

/// Reads a configuration, a list of them or what Multus keeps of a container: every plugin in it
/// that means an interface of the host.
///
/// # Errors
/// It is not JSON.
pub fn parse(bytes: &[u8]) -> Result<Vec<Attachment>, serde_json::Error> {
    let mut found = Vec::new();
    collect(&serde_json::from_slice(bytes)?, NESTED, &mut found);
    found.sort();
    found.dedup();
    Ok(found)
}

/// Reads what the CNI library keeps of an attachment in use (its format `cniCacheV1`); none where
/// it is of an older format, which does not have the configuration.
///
/// # Errors
/// It is not JSON.
pub fn parse_cached(bytes: &[u8]) -> Result<Option<Cached>, serde_json::Error> {
    let value: Value = serde_json::from_slice(bytes)?;
    if text(&value, "kind") != Some("cniCacheV1") {
        return Ok(None);
    }
    let own = |key: &str| text(&value, key).unwrap_or_default().to_owned();
    let mut by = Vec::new();
    collect(&value, NESTED, &mut by);
    by.sort();
    by.dedup();
    let interfaces = value.pointer("/result/interfaces").and_then(Value::as_array);
    let sandboxes = interfaces.into_iter().flatten().filter_map(|one| text(one, "sandbox"));
    let namespaces = sandboxes.chain(text(&value, "netns")).filter(|path| !path.is_empty());
    Ok(Some(Cached {
        namespaces: namespaces.map(str::to_owned).collect(),
        attached: Attached { container: own("containerId"), interface: own("ifName"), by },
    }))
}

/// How often a configuration may stand inside another one: a delegate's in a list of Multus' in a
/// runtime's file.
const NESTED: usize = 4;

/// Keys whose values are configurations again: of a list, of Multus, and of what it keeps.
const INNER: [&str; 4] = ["plugins", "delegates", "Conf", "ConfList"];
/// Keys whose values are configurations as base64.
const ENCODED: [&str; 2] = ["config", "Bytes"];

fn collect(value: &Value, depth: usize, found: &mut Vec<Attachment>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    match value {
        Value::Array(all) => all.iter().for_each(|one| collect(one, depth + 1, found)),
        Value::Object(object) => {
            found.extend(attachment(object).filter(Attachment::names_any));
            for inner in INNER.iter().filter_map(|key| object.get(*key)) {
                collect(inner, depth, found);
            }
            for encoded in ENCODED.iter().filter_map(|key| object.get(*key)?.as_str()) {
                let inner = base64::decode(encoded.as_bytes()).ok();
                if let Some(inner) = inner.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
                    collect(&inner, depth, found);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The plugins that mean an interface of the host by what is written in their configuration.
/// `sriov` and the like are given a function by its device plugin, and move virtual ones.
fn attachment(object: &Map<String, Value>) -> Option<Attachment> {
    let own = |key: &str| object.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let is = |key: &str| object.get(key).and_then(Value::as_bool) == Some(true);
    let plugin = own("type")?;
    let mut found = Attachment { plugin: plugin.to_owned(), ..Attachment::default() };
    let name = |found: &mut Attachment, key: &str| {
        found.names.extend(own(key).and_then(|name| name.parse().ok()));
    };
    match plugin {
        "host-device" => {
            name(&mut found, "device");
            found.mac = own("hwaddr").and_then(|mac| mac.to_ascii_lowercase().parse().ok());
            let path = own("kernelpath").into_iter().flat_map(|path| path.split('/'));
            // The last function on the way is the one it belongs to.
            let mut on_the_way = path.filter_map(|part| part.parse::<PciAddress>().ok());
            found.functions.extend(on_the_way.next_back());
            let given = ["pciBusID", "deviceID"].into_iter().filter_map(own);
            found.functions.extend(given.filter_map(|one| one.parse::<PciAddress>().ok()));
        }
        // Its device plugin gives it an interface by name.
        "afxdp" => name(&mut found, "deviceID"),
        "bond" if !is("linksInContainer") => {
            let links = object.get("links").and_then(Value::as_array).into_iter().flatten();
            let names = links.filter_map(|link| text(link, "name")?.parse().ok());
            found.names.extend(names);
        }
        "macvlan" | "ipvlan" | "vlan" if !is("linkInContainer") => {
            found.fate = Fate::Carries;
            name(&mut found, "master");
        }
        _ => return None,
    }
    Some(found)
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str()
}

#[cfg(test)]
mod tests;

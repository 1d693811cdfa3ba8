//! What a CNI plugin is told, and what each of them would refuse.

use clap::ValueEnum;
use serde::Serialize;
use serde_json::{Map, Value};

use super::ipam::Ipam;
use super::master::Master;
use super::{Wanted, refuse};
use crate::ended::Complaint;

/// The plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// The pod's interface shares the port's hardware address
    Ipvlan,
    /// The pod's interface has a hardware address of its own
    Macvlan,
    /// The pod gets the port itself, and the node is without it meanwhile
    HostDevice,
}

/// How an interface works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // Their names say it, and help prints what stands here.
pub enum Mode {
    L2,
    L3,
    L3s,
    Bridge,
    Private,
    Vepa,
    Passthru,
}

/// A version of CNI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[allow(missing_docs)] // Their names say it, and help prints what stands here.
pub enum CniVersion {
    #[value(name = "0.3.1")]
    #[serde(rename = "0.3.1")]
    V0_3_1,
    #[value(name = "1.0.0")]
    #[serde(rename = "1.0.0")]
    V1_0_0,
}

impl Kind {
    /// The modes it has.
    fn modes(self) -> &'static [Mode] {
        match self {
            Self::Ipvlan => &[Mode::L2, Mode::L3, Mode::L3s],
            Self::Macvlan => &[Mode::Bridge, Mode::Private, Mode::Vepa, Mode::Passthru],
            Self::HostDevice => &[],
        }
    }
}

/// The word of a value on the command line.
pub fn word<V: ValueEnum>(value: V) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// The configuration, as the plugin reads it. Keys stand in this order.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    cni_version: CniVersion,
    name: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    master: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    #[serde(rename = "pciBusID", skip_serializing_if = "Option::is_none")]
    pci_bus_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<Mode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mtu: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ipam: Option<Map<String, Value>>,
}

impl Config {
    /// Of what is wanted, where the master is this.
    pub fn of(
        wanted: &Wanted,
        name: &str,
        master: &Master,
        ipam: Option<Map<String, Value>>,
    ) -> Self {
        let whole = wanted.kind == Kind::HostDevice;
        // The address outlives a rename.
        let address = master.pci.clone().filter(|_| whole);
        let interface = Some(master.interface.clone());
        Self {
            cni_version: wanted.cni_version,
            name: name.to_owned(),
            kind: word(wanted.kind),
            master: interface.clone().filter(|_| !whole),
            device: interface.filter(|_| whole && address.is_none()),
            pci_bus_id: address,
            mode: wanted.mode,
            mtu: wanted.mtu,
            // macvlan asks for the key, with nothing in it where there are to be no addresses.
            ipam: ipam.or_else(|| (wanted.kind == Kind::Macvlan).then(Map::new)),
        }
    }
}

/// What the plugin would refuse, or would take otherwise than it reads.
pub fn check(wanted: &Wanted) -> Result<(), Complaint> {
    let kind = wanted.kind;
    if let Some(mode) = wanted.mode
        && !kind.modes().contains(&mode)
    {
        let modes: Vec<_> = kind.modes().iter().copied().map(word).collect();
        let fix = match modes.is_empty() {
            true => "leave --mode out".to_owned(),
            false => format!("--mode is one of {}", modes.join(", ")),
        };
        return Err(refuse(format!("{} has no mode {}", word(kind), word(mode)), fix));
    }
    if kind == Kind::HostDevice && wanted.mtu.is_some() {
        let why = "host-device changes no MTU: the pod gets the port as it is";
        return Err(refuse(why, "set it on the port, and leave --mtu out"));
    }
    if kind == Kind::HostDevice && wanted.resource.is_some() {
        let why = "Multus would write the device's id where host-device looks for a PCI address";
        return Err(refuse(why, "leave --resource out, and ask for the resource in the pod"));
    }
    match (&wanted.ipam, kind) {
        (Ipam::Dhcp, Kind::Ipvlan) => {
            let why = "all interfaces of ipvlan have the port's hardware address, by which DHCP tells them apart";
            Err(refuse(why, "use macvlan, or whereabouts:RANGE"))
        }
        (Ipam::None, Kind::Ipvlan) => {
            let why = "ipvlan tells packets apart by address, so each interface needs one";
            Err(refuse(why, "use whereabouts:RANGE or host-local:RANGE"))
        }
        _ => Ok(()),
    }
}

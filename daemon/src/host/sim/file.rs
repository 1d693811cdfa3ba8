//! A world file as written: its sections and keys. Nothing here knows what a kernel does.

use std::collections::{BTreeMap, BTreeSet};

use onload_core::inventory::Link;
use onload_core::names::{
    BootId, InterfaceHash, InterfaceName, KernelRelease, MacAddress, ModuleName, PciAddress,
    ReleaseName,
};
use onload_core::others::Manager;
use onload_core::time::Span;
use serde::Deserialize;
use toml::{Spanned, Table};

use super::action::Action;

mod clocks;
mod secure_boot;

pub use clocks::ClockProgram;
pub use secure_boot::{Key, KeyName, RunTime, SecureBoot, Trusts};

/// A whole world file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WorldFile {
    /// `[node]`.
    pub node: Node,
    /// `[secure-boot]`.
    #[serde(default)]
    pub secure_boot: SecureBoot,
    /// `[[key]]`.
    #[serde(default, rename = "key")]
    pub keys: Vec<Key>,
    /// `[[clock]]`.
    #[serde(default, rename = "clock")]
    pub clocks: Vec<Clock>,
    /// `[[card]]`.
    #[serde(default, rename = "card")]
    pub cards: Vec<Card>,
    /// `[[interface]]`.
    #[serde(default, rename = "interface")]
    pub interfaces: Vec<OtherInterface>,
    /// `[[kernel]]`.
    #[serde(default, rename = "kernel")]
    pub kernels: Vec<KernelOnDisk>,
    /// `[[release]]`.
    #[serde(default, rename = "release")]
    pub releases: Vec<ReleaseOnDisk>,
    /// `[loaded]`: module to release; `in-tree` is a release here.
    #[serde(default)]
    pub loaded: BTreeMap<ModuleName, Spanned<ReleaseName>>,
    /// `[[other]]`: who else has to do with the modules.
    #[serde(default, rename = "other")]
    pub others: Vec<OtherOnDisk>,
    /// `[[clock-program]]`.
    #[serde(default, rename = "clock-program")]
    pub clock_programs: Vec<ClockProgram>,
    /// `[templates]`: operators' configurations of sfptpd, by path.
    #[serde(default)]
    pub templates: BTreeMap<String, String>,
    /// `[[event]]`.
    #[serde(default, rename = "event")]
    pub events: Vec<Event>,
    /// `[config]`: a fragment of `onloadd.toml`, judged by whoever reads configuration.
    pub config: Option<Table>,
}

/// The machine itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Node {
    /// `uname -r`.
    pub kernel: KernelRelease,
    /// The id of the first boot; each `reboot` counts on from it.
    pub boot_id: BootId,
    /// How many NUMA nodes there are, numbered from 0.
    pub numa_nodes: u32,
    /// Whether the kernel's own `sfc` is on disk.
    #[serde(default = "yes")]
    pub in_tree_sfc: bool,
}

/// A PTP hardware clock.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Clock {
    /// Index: `/dev/ptpINDEX`.
    pub index: Spanned<u32>,
    /// Name, as `/sys/class/ptp/ptpINDEX/clock_name` shows it.
    pub name: String,
}

/// A Solarflare card.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Card {
    /// Model, for people.
    pub model: String,
    /// Firmware version, for people.
    pub firmware: String,
    /// `[[card.port]]`.
    #[serde(rename = "port")]
    pub ports: Vec<CardPort>,
}

/// One port of a card.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CardPort {
    /// Where it sits.
    pub pci: Spanned<PciAddress>,
    /// PCI vendor and device; which driver binds it follows from `packaging/hw/families.toml`.
    pub id: PciId,
    /// PCI subsystem vendor and device.
    pub subsystem: Option<PciId>,
    /// NUMA node; left out where the firmware names none.
    pub numa: Option<Spanned<u32>>,
    /// Interface name without the suffix that the in-tree driver brings.
    pub netdev: Spanned<InterfaceName>,
    /// Permanent address.
    pub mac: Spanned<MacAddress>,
    /// Alternative names of the interface.
    #[serde(default)]
    pub altnames: BTreeSet<String>,
    /// Speed while the link is up, in Mbit/s.
    pub speed_mbps: u32,
    /// Whether the cable carries.
    #[serde(default = "up")]
    pub link: Link,
    /// Index of its `[[clock]]`.
    pub phc: Option<Spanned<u32>>,
    /// How many virtual functions it can have; left out where none.
    pub sriov_total: Option<u32>,
    /// What the in-tree driver calls the port; `p` and its number on the card unless set.
    pub phys_port_name: Option<String>,
    /// Kinds of auxiliary device the out-of-tree driver makes for it: `onload`, `llct`.
    #[serde(default = "onload_only")]
    pub auxiliary: BTreeSet<String>,
    /// Network addresses with prefix lengths that the node gives it at boot.
    #[serde(default)]
    pub addresses: Vec<Spanned<String>>,
    /// Whether the default route goes through it from boot.
    #[serde(default)]
    pub default_route: bool,
    /// Interfaces stacked on it from boot: see `upper` among the actions for their kinds.
    #[serde(default)]
    pub uppers: BTreeSet<InterfaceName>,
    /// Who sets it up at boot, and whenever it comes back under the same name.
    pub owner: Option<OwnerName>,
}

/// Who sets an interface up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OwnerName {
    /// NetworkManager.
    NetworkManager,
    /// systemd-networkd.
    Networkd,
}

/// An interface that is no Solarflare port: another card's, or virtual.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OtherInterface {
    /// Name.
    pub name: Spanned<InterfaceName>,
    /// Address.
    pub mac: Spanned<MacAddress>,
    /// The PCI function it belongs to; left out for a virtual interface.
    pub pci: Option<Spanned<PciAddress>>,
    /// PCI vendor and device; goes with `pci`.
    pub id: Option<PciId>,
    /// Driver of the function, built into the kernel; goes with `pci`.
    pub driver: Option<String>,
    /// NUMA node; goes with `pci`.
    pub numa: Option<Spanned<u32>>,
    /// Alternative names.
    #[serde(default)]
    pub altnames: BTreeSet<String>,
    /// Speed while the link is up, in Mbit/s; left out where the interface knows none.
    pub speed_mbps: Option<u32>,
    /// Whether the link carries.
    #[serde(default = "up")]
    pub link: Link,
    /// Network addresses with prefix lengths that the node gives it at boot.
    #[serde(default)]
    pub addresses: Vec<Spanned<String>>,
    /// Whether the default route goes through it from boot.
    #[serde(default)]
    pub default_route: bool,
    /// Interfaces stacked on it from boot.
    #[serde(default)]
    pub uppers: BTreeSet<InterfaceName>,
}

/// A kernel whose module tree is on the disk. The node's own needs no entry.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct KernelOnDisk {
    /// `uname -r` of it.
    pub release: Spanned<KernelRelease>,
    /// `vermagic` of its modules; made from its release unless set.
    pub vermagic: Option<String>,
    /// Modules it has, of those that a release names as a dependency.
    #[serde(default = "mtd")]
    pub available: BTreeSet<ModuleName>,
    /// Whether it has an `sfc` of its own.
    #[serde(default = "yes")]
    pub in_tree_sfc: bool,
    /// Checksums of the symbols it exports.
    #[serde(default)]
    pub symbols: BTreeMap<String, u32>,
    /// The release whose `sfc` its initramfs carries, `in-tree` among them; left out where it has no
    /// initramfs.
    pub initramfs_sfc: Option<Spanned<ReleaseName>>,
    /// Broken: why its initramfs cannot be read.
    pub initramfs_unreadable: Option<String>,
}

/// One Onload version as it lies on the disk.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ReleaseOnDisk {
    /// `host`, or a version.
    pub name: Spanned<ReleaseName>,
    /// `onload_version`.
    pub onload_version: String,
    /// Interface between driver and libraries.
    pub interface: InterfaceHash,
    /// The libraries' interface, where they do not match the driver; `interface` unless set.
    pub library_interface: Option<InterfaceHash>,
    /// Root of its tree.
    pub root: Spanned<String>,
    /// Directory of the libraries below the root.
    #[serde(default = "usr_lib64")]
    pub library_directory: Spanned<String>,
    /// Library files; none means that only modules are installed.
    #[serde(default = "none")]
    pub libraries: Spanned<BTreeSet<String>>,
    /// Whether the `onload` launcher is there.
    #[serde(default)]
    pub launcher: bool,
    /// Profiles.
    #[serde(default)]
    pub profiles: BTreeSet<String>,
    /// What profiles and fragments say, by file name.
    #[serde(default)]
    pub profile_files: BTreeMap<String, String>,
    /// Kernels its modules were built for.
    pub kernels: BTreeSet<KernelRelease>,
    /// Its control-plane server below the root; empty where it has none.
    #[serde(default = "cp_server")]
    pub server: Spanned<String>,
    /// Broken: its `sfc` makes no auxiliary device.
    #[serde(default)]
    pub no_aux: bool,
    /// `[[release.module]]`.
    #[serde(default, rename = "module")]
    pub modules: Vec<ModuleOnDisk>,
}

/// One module file of a release.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ModuleOnDisk {
    /// Name.
    pub name: Spanned<ModuleName>,
    /// `version`; left out where the module has none, as `sfc_resource` and `sfc_char`
    /// (reference/onload-measured.md section 1).
    pub version: Option<String>,
    /// `srcversion`.
    pub srcversion: Option<String>,
    /// Name of the `[[key]]` that signed it; left out when it is unsigned.
    pub signed_by: Option<Spanned<KeyName>>,
    /// Readable parameters.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// `vermagic`; that of the kernel it is for unless set.
    pub vermagic: Option<String>,
    /// Checksums of the symbols it imports.
    #[serde(default)]
    pub symbols: BTreeMap<String, u32>,
    /// Broken: its start fails.
    #[serde(default)]
    pub insert_fails: bool,
    /// Broken: it refuses to be unloaded though nobody uses it.
    #[serde(default)]
    pub stuck: bool,
}

/// Somebody else who has to do with the modules.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OtherOnDisk {
    /// Who.
    pub manager: Spanned<Manager>,
    /// What shows it.
    pub evidence: String,
    /// Its units that run when the world begins.
    #[serde(default)]
    pub units: BTreeSet<String>,
}

/// Something that happens at its time.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Event {
    /// How long after the start.
    pub after: Span,
    /// What happens.
    #[serde(rename = "do")]
    pub action: Spanned<Action>,
}

/// A PCI vendor and device id, `1924:0b03`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PciId {
    /// Vendor.
    pub vendor: u16,
    /// Device.
    pub device: u16,
}

impl TryFrom<String> for PciId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let half = |half: &str| {
            (half.len() == 4 && half.bytes().all(|b| b.is_ascii_hexdigit()))
                .then(|| u16::from_str_radix(half, 16).ok())
                .flatten()
        };
        text.split_once(':')
            .and_then(|(vendor, device)| {
                Some(Self { vendor: half(vendor)?, device: half(device)? })
            })
            .ok_or_else(|| {
                format!("`{text}` is not a PCI id: four hexadecimal digits, a colon, four more, such as 1924:0b03")
            })
    }
}

fn yes() -> bool {
    true
}

fn up() -> Link {
    Link::Up
}

fn onload_only() -> BTreeSet<String> {
    BTreeSet::from(["onload".to_owned()])
}

fn mtd() -> BTreeSet<ModuleName> {
    "mtd".parse().into_iter().collect()
}

fn cp_server() -> Spanned<String> {
    Spanned::new(0..0, "sbin/onload_cp_server".to_owned())
}

fn none() -> Spanned<BTreeSet<String>> {
    Spanned::new(0..0, BTreeSet::new())
}

fn usr_lib64() -> Spanned<String> {
    Spanned::new(0..0, "usr/lib64".to_owned())
}

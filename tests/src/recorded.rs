//! Machines of `tests/machines`, as recorded or put together from their manifests.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use onload_core::clock::ClockLook;
use onload_core::inventory::{Depth, Look, Snapshot};
use onload_core::names::MacAddress;
use onloadd::host::Host;
use onloadd::host::linux::{Linux, Places};
use serde::Deserialize;

/// Where they are.
pub fn machines() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("machines")
}

/// What they are called.
pub fn names() -> Vec<String> {
    let entries = fs::read_dir(machines()).unwrap().map(Result::unwrap);
    let directories = entries.filter(|entry| entry.file_type().unwrap().is_dir());
    let mut names: Vec<_> =
        directories.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Runs with the root of a machine.
pub fn with_root<T>(name: &str, run: impl FnOnce(&Path) -> T) -> T {
    let directory = machines().join(name);
    let manifest = directory.join("root.toml");
    if manifest.exists() {
        let manifest: Manifest = toml::from_str(&fs::read_to_string(&manifest).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", manifest.display()));
        let place = tempfile::tempdir().unwrap();
        manifest.build(place.path());
        run(place.path())
    } else {
        run(&directory.join("root"))
    }
}

/// The host that reads a machine.
pub fn open(root: &Path) -> Linux {
    Linux::open(Places {
        root: root.to_owned(),
        kubelet_directory: PathBuf::from("/var/lib/kubelet/device-plugins"),
        state_directory: PathBuf::from("/var/lib/onloadd"),
    })
    .unwrap()
}

/// Waits for something that needs nobody else.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// What a machine reads as.
pub fn look(root: &Path) -> Snapshot {
    let look = Look { depth: Depth::Usual, clocks: Some(ClockLook::default()) };
    block_on(open(root).observe(look))
}

/// A constructed machine.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Manifest {
    /// Whether ethtool netlink answers.
    ethtool: bool,
    /// By directory: file name and content.
    files: BTreeMap<String, BTreeMap<String, String>>,
    /// By directory: name and target of symbolic links.
    #[serde(default)]
    links: BTreeMap<String, BTreeMap<String, String>>,
    /// What files cannot hold: path, and what is there in the words of a capture.
    #[serde(default)]
    special: BTreeMap<String, String>,
    #[serde(default)]
    interface: Vec<Interface>,
}

/// An interface as rtnetlink and ethtool netlink tell of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Interface {
    index: u32,
    name: String,
    #[serde(default)]
    altnames: Vec<String>,
    mac: MacAddress,
    permanent_mac: Option<MacAddress>,
    #[serde(default)]
    carrier: bool,
    phys_port_name: Option<String>,
    /// Address of the PCI function.
    parent: Option<String>,
    /// Mbit/s.
    speed: Option<u32>,
    phc: Option<u32>,
}

/// The wire format of netlink, for building; numbers are those of `linux/if_link.h` and
/// `linux/ethtool_netlink.h`.
mod wire {
    use super::Interface;

    const RTM_NEWLINK: u16 = 16;
    /// The kernel numbers families as they register; readers must not care.
    const ETHTOOL_FAMILY: u16 = 21;
    const NESTED: u16 = 0x8000;
    const UP: u32 = 1;
    const LOWER_UP: u32 = 1 << 16;
    const SPEED_UNKNOWN: u32 = u32::MAX;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(4 + value.len()).unwrap();
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend_from_slice(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn string(kind: u16, text: &str) -> Vec<u8> {
        attribute(kind, &[text.as_bytes(), b"\0"].concat())
    }

    fn message(kind: u16, payload: &[u8]) -> Vec<u8> {
        const MULTI: u16 = 2;
        let length = u32::try_from(16 + payload.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend([kind.to_ne_bytes(), MULTI.to_ne_bytes()].concat());
        bytes.extend([0; 8]);
        bytes.extend_from_slice(payload);
        bytes
    }

    pub(super) fn link(interface: &Interface) -> Vec<u8> {
        let flags = if interface.carrier { UP | LOWER_UP } else { UP };
        let header = [1 << 16, interface.index, flags, 0];
        let mut payload: Vec<u8> = header.into_iter().flat_map(u32::to_ne_bytes).collect();
        payload.extend(string(3, &interface.name));
        payload.extend(attribute(1, &interface.mac.0));
        if let Some(mac) = interface.permanent_mac {
            payload.extend(attribute(54, &mac.0));
        }
        if !interface.altnames.is_empty() {
            let names: Vec<_> = interface.altnames.iter().map(|name| string(53, name)).collect();
            payload.extend(attribute(52 | NESTED, &names.concat()));
        }
        if let Some(name) = &interface.phys_port_name {
            payload.extend(string(38, name));
        }
        if let Some(parent) = &interface.parent {
            payload.extend([string(56, parent), string(57, "pci")].concat());
        }
        message(RTM_NEWLINK, &payload)
    }

    fn ethtool(command: u8, interface: &Interface, value: Option<u32>) -> Vec<u8> {
        let header = [attribute(1, &interface.index.to_ne_bytes()), string(2, &interface.name)];
        let mut payload = vec![command, 1, 0, 0];
        payload.extend(attribute(1 | NESTED, &header.concat()));
        if let Some(value) = value {
            payload.extend(attribute(5, &value.to_ne_bytes()));
        }
        message(ETHTOOL_FAMILY, &payload)
    }

    pub(super) fn link_modes(interface: &Interface) -> Vec<u8> {
        ethtool(4, interface, Some(interface.speed.unwrap_or(SPEED_UNKNOWN)))
    }

    pub(super) fn timestamping(interface: &Interface) -> Vec<u8> {
        ethtool(25, interface, interface.phc)
    }
}

impl Manifest {
    fn build(&self, into: &Path) {
        for (directory, files) in &self.files {
            let directory = into.join(directory);
            fs::create_dir_all(&directory).unwrap();
            for (name, content) in files {
                fs::write(directory.join(name), content).unwrap();
            }
        }
        for (directory, links) in &self.links {
            let directory = into.join(directory);
            fs::create_dir_all(&directory).unwrap();
            for (name, target) in links {
                symlink(target, directory.join(name)).unwrap();
            }
        }
        let special = self.special.iter().map(|(path, what)| format!("{path}\t{what}\n"));
        fs::write(into.join(".capture"), special.collect::<String>()).unwrap();
        let netlink = into.join(".netlink");
        fs::create_dir(&netlink).unwrap();
        let write = |name: &str, one: fn(&Interface) -> Vec<u8>| {
            let messages: Vec<_> = self.interface.iter().map(one).collect();
            fs::write(netlink.join(name), messages.concat()).unwrap();
        };
        write("links.bin", wire::link);
        if self.ethtool {
            write("ethtool-linkmodes.bin", wire::link_modes);
            write("ethtool-tsinfo.bin", wire::timestamping);
        }
    }
}

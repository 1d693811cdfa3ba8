//! A healthy node with two X2 ports, one on each NUMA node, for tests to spoil.

use std::collections::{BTreeMap, BTreeSet};

use crate::inventory::{
    DEVICE_NODES, DeviceNode, Interface, Link, Module, ModuleState, OnloadDriver, Port, STACK,
    Snapshot,
};
use crate::names::{ModuleName, PciAddress};
use crate::reading::Reading::{self, Absent, Known};
use crate::release::{Kernel, ModuleFile, Release};
use crate::userland::Userland;

/// Its ports.
pub(crate) const PORTS: [&str; 2] = ["0000:3b:00.0", "0000:af:00.0"];
/// The hash its driver and its libraries share.
pub(crate) const HASH: &str = "b1f7c0de4a5d2e90813c6f27d94ab065";

/// Its kernel.
pub(crate) const KERNEL: &str = "5.14.0-570.el9.x86_64";
const VERMAGIC: &str = "5.14.0-570.el9.x86_64 SMP mod_unload";
/// The ELF machine number of x86-64.
const X86_64: u16 = 62;

/// Module files for its kernel, with the version that each has.
pub(crate) fn files(versions: &[(&str, Option<&str>)]) -> BTreeMap<ModuleName, ModuleFile> {
    let file = |(name, version): &(&str, Option<&str>)| {
        let file = ModuleFile {
            path: format!("/lib/modules/{KERNEL}/extra/{name}.ko"),
            machine: X86_64,
            vermagic: VERMAGIC.to_owned(),
            version: version.map(str::to_owned),
            ..ModuleFile::default()
        };
        (name.parse().unwrap(), file)
    };
    versions.iter().map(file).collect()
}

fn kernel() -> Kernel {
    Kernel { machine: Known(X86_64), vermagic: Known(VERMAGIC.to_owned()), ..Kernel::default() }
}

/// The node.
pub(crate) fn node() -> Snapshot {
    let release = Release {
        root: "/".to_owned(),
        library_directory: "usr/lib64".to_owned(),
        libraries: BTreeSet::from(["libonload.so".to_owned()]),
        launcher: true,
        profiles: BTreeSet::new(),
        interfaces: Known(BTreeSet::from([HASH.parse().unwrap()])),
        modules: Known(BTreeMap::from([(
            KERNEL.parse().unwrap(),
            files(&[("sfc", None), ("sfc_resource", None), ("sfc_char", None), ("onload", None)]),
        )])),
        ..Release::default()
    };
    Snapshot {
        kernel: Known(KERNEL.parse().unwrap()),
        kernels: Known(BTreeMap::from([(KERNEL.parse().unwrap(), kernel())])),
        boot_id: Known("6f1c2a3e-5d74".parse().unwrap()),
        ports: Known(
            (0..).zip(PORTS).map(|(node, at)| (at.parse().unwrap(), port(node))).collect(),
        ),
        interfaces: Known(
            PORTS
                .iter()
                .enumerate()
                .map(|(at, address)| {
                    let port = Known(address.parse().unwrap());
                    let interface =
                        Interface { port, link: Known(Link::Up), ..Interface::default() };
                    (format!("ens{at}").parse().unwrap(), interface)
                })
                .collect(),
        ),
        modules: Known(STACK.iter().map(|name| (name.parse().unwrap(), module())).collect()),
        driver: OnloadDriver {
            version: Known("9.2.1".to_owned()),
            interface: Known(HASH.parse().unwrap()),
            ..OnloadDriver::default()
        },
        device_nodes: DEVICE_NODES
            .iter()
            .map(|path| {
                ((*path).to_owned(), Known(DeviceNode { major: 230, minor: 0, mode: 0o666 }))
            })
            .collect(),
        releases: Known(BTreeMap::from([("host".parse().unwrap(), release)])),
        userland: Known(userland(&["onload", "p"], "host")),
        ..Snapshot::default()
    }
}

/// A tree in place for these pools.
pub(crate) fn userland(pools: &[&str], tree: &str) -> Userland {
    let trees = pools.iter().map(|pool| (pool.parse().unwrap(), tree.to_owned())).collect();
    Userland { directory: "/var/lib/onloadd/pools".to_owned(), trees }
}

/// An X2 port that Onload accelerates.
pub(crate) fn port(numa_node: u32) -> Port {
    Port {
        vendor: Known(0x1924),
        device: Known(0x0b03),
        driver: Known("sfc".to_owned()),
        numa_node: Known(numa_node),
        auxiliary: Known(BTreeMap::from([(
            "sfc.onload.0".to_owned(),
            Known("sfc_resource.ef10".to_owned()),
        )])),
        ..Port::default()
    }
}

/// A module that is loaded, built apart from the kernel.
pub(crate) fn module() -> Module {
    Module {
        state: ModuleState::Live,
        refcount: Known(0),
        holders: BTreeSet::new(),
        version: Known("9.2.1".to_owned()),
        srcversion: Absent,
        taint: Known("O".to_owned()),
        parameters: BTreeMap::new(),
    }
}

/// The node, spoilt.
pub(crate) fn spoilt(spoil: impl FnOnce(&mut Snapshot)) -> Snapshot {
    let mut node = node();
    spoil(&mut node);
    node
}

/// What stands behind a reading that a test knows to be there.
pub(crate) fn inner<T>(reading: &mut Reading<T>) -> &mut T {
    match reading {
        Known(value) => value,
        Absent | Reading::Unreadable(_) => panic!("the sample has it"),
    }
}

/// A port of the node.
pub(crate) fn port_of(node: &mut Snapshot, number: usize) -> &mut Port {
    let address: PciAddress = PORTS[number].parse().unwrap();
    inner(&mut node.ports).get_mut(&address).unwrap()
}

/// A module of the node.
pub(crate) fn module_of<'a>(node: &'a mut Snapshot, name: &str) -> &'a mut Module {
    let name: ModuleName = name.parse().unwrap();
    inner(&mut node.modules).get_mut(&name).unwrap()
}

/// Takes a module away.
pub(crate) fn without(node: &mut Snapshot, name: &str) {
    let name: ModuleName = name.parse().unwrap();
    inner(&mut node.modules).remove(&name).unwrap();
}

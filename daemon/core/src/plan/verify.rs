//! Whether a release is in place: not what the loader said, but what the machine shows.

use crate::af_xdp::Chosen;
use crate::hardware::{Acceleration, Hardware};
use crate::inventory::{DEVICE_NODES, Snapshot};
use crate::names::ReleaseName;
use crate::pool::{self, Cause};
use crate::reading::Reading;
use crate::release::IN_TREE;

/// Everything that is not as the release makes it, once its modules are loaded: drivers bound to
/// the ports, auxiliary devices, registrations, device nodes. Empty: verified.
pub fn faults(
    release: &ReleaseName,
    snapshot: &Snapshot,
    hardware: &Hardware,
    chosen: &Chosen,
) -> Vec<Cause> {
    let in_tree = release.as_str() == IN_TREE;
    let ports = snapshot.ports.known().into_iter().flatten();
    let mut faults: Vec<Cause> = ports
        .filter_map(|(address, port)| {
            let family = hardware.family(port).filter(|one| one.onload != Acceleration::No)?;
            if in_tree && !family.in_tree {
                return None;
            }
            match pool::port_obstacle(*address, port, family, snapshot)? {
                // The kernel's own driver shows none, and is what is wanted.
                Cause::InTreeDriver { .. } | Cause::NoAuxiliaryDevice { .. } if in_tree => None,
                cause => Some(cause),
            }
        })
        .collect();
    if !in_tree {
        faults.extend(chosen.unregistered(snapshot).map(|(port, interface)| Cause::Unregistered {
            port: *port,
            interface: interface.clone(),
        }));
        faults.extend(DEVICE_NODES.iter().filter_map(
            |path| match snapshot.device_nodes.get(*path) {
                Some(Reading::Known(_)) => None,
                Some(Reading::Unreadable(_)) => {
                    Some(Cause::Unreadable { part: (*path).to_owned() })
                }
                Some(Reading::Absent) | None => {
                    Some(Cause::DeviceNodeMissing { path: (*path).to_owned() })
                }
            },
        ));
    }
    faults
}

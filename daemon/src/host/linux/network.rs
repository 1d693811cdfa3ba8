//! What interfaces carry, read; and what is put back, done by a run of our own program that may do what
//! the daemon may not.

use std::collections::BTreeMap;

use onload_core::inventory::Interface;
use onload_core::names::InterfaceName;
use onload_core::network::Network;
use onload_core::reading::Reading;

use super::root::Dir;
use super::source::Source;

mod owners;
mod write;

/// What every interface of the network namespace carries.
pub(super) async fn read(
    _root: &Dir,
    _source: &Source,
    _interfaces: &Reading<BTreeMap<InterfaceName, Interface>>,
) -> Reading<Network> {
    Reading::Absent
}

/// Whether the root file system comes over the network.
pub(super) fn root(_root: &Dir) -> Reading<bool> {
    Reading::Absent
}

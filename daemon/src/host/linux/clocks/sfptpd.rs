//! What sfptpd says of itself.

use onload_core::clock::sfptpd::Sfptpd;
use onload_core::reading::Reading;

use crate::host::linux::root::Dir;

/// What its files and sockets say.
pub(super) async fn read(_root: &Dir, _live: bool) -> Reading<Sfptpd> {
    Reading::Absent
}

//! What is kept against what is there: the gaps, in the order in which they can be filled, and what is
//! left that differs.

use std::collections::BTreeSet;

use super::{Deed, Kept, Network};
use crate::names::InterfaceName;
use crate::time::Moment;

/// Whether links that somebody owns are left to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// They are, for now.
    Owners,
    /// What they have not done is done for them.
    Nobody,
}

/// What fills the gaps, in order. Only adds: what is there beside is somebody's wish.
pub fn gaps(_kept: &Kept, _now: &Network, _at: Moment, _patience: Patience) -> Vec<Deed> {
    Vec::new()
}

/// Links that somebody owns and that are not as they were: their owner is asked to set them up again.
pub fn handed_back(_kept: &Kept, _now: &Network) -> BTreeSet<InterfaceName> {
    BTreeSet::new()
}

/// What is not as it was, for people: one line for each thing.
pub fn differences(_kept: &Kept, _now: &Network) -> Vec<String> {
    Vec::new()
}

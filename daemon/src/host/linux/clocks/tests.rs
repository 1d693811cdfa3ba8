//! Roots made by hand, and what stands in them.

use onload_core::clock::daemon::SYSTEM_CLOCK;

use super::super::root::tests::root_with;
use super::super::tests::runtime;
use super::*;

fn look(root: &Dir) -> Clocks {
    let programs = Programs::default();
    match runtime().block_on(read(
        root,
        false,
        &programs,
        &Followed::default(),
        &ClockLook::default(),
    )) {
        Reading::Known(clocks) => *clocks,
        gap => panic!("{gap:?}"),
    }
}

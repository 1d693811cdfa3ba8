//! Names and network of the small machine.

use super::*;

impl Lab {
    /// Pins, renames and restores as the machine does.
    pub(super) fn network_step(&mut self, step: &Step) {
        if let Step::PinNames(pins) = step {
            self.node.pins = Known(pins.clone());
        }
        if let Step::Rename(all) = step {
            self.rename(all);
        }
    }
}

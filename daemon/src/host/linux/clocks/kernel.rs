//! The system clock by the kernel's own word (adjtimex(2)), without changing it.

use onload_core::clock::kernel::KernelClock;
use onload_core::reading::Reading;

use super::Machine;
use crate::descriptor;

/// What the kernel says of it. A capture has it as the values that were made of it.
pub(super) async fn read(machine: &Machine<'_>) -> Reading<KernelClock> {
    let asked = async {
        match descriptor::system_clock() {
            Ok(clock) => serde_json::to_vec(&clock)
                .map_or_else(|error| Reading::Unreadable(error.to_string()), Reading::Known),
            Err(errno) => Reading::Unreadable(format!(
                "adjtimex: {}; see whether a drop-in of onloadd.service forbids it",
                errno.desc()
            )),
        }
    };
    machine.ask("adjtimex.json", asked).await.and_then(|bytes| {
        serde_json::from_slice(&bytes)
            .map_or_else(|error| Reading::Unreadable(error.to_string()), Reading::Known)
    })
}

//! `clock`: whether this node's time is disciplined, by whom, from what, and how well.

mod conflicts;
mod handover;
mod kept;
mod quantity;
mod remedy;
mod render;
mod status;
mod watch;
mod words;

use onload_dbus::error::exit;

use crate::bus::Bus;
use crate::ended::Ended;
use crate::live;
use crate::render::Output;

pub use conflicts::read as read_conflicts;
pub use kept::{Clock, SYSTEM, of};
pub use render::print as render;
pub use status::read as read_status;
pub use words::ClockVerb;

/// Does what was asked and gives the exit code.
pub async fn run(bus: &Bus, output: Output, verb: ClockVerb) -> Result<u8, Ended> {
    // Who watched has seen how it stands; who asked once is told by the code as well.
    let (watched, well) = match verb {
        ClockVerb::Status(how) => {
            (how.watch, live::show(bus, output, how.watch, status::read).await?.is_synchronised())
        }
        ClockVerb::Conflicts(how) => {
            let seen = live::show(bus, output, how.watch, conflicts::read).await?;
            (how.watch, seen.conflicts.is_empty())
        }
        ClockVerb::Watch => {
            watch::follow(bus, output).await?;
            (true, true)
        }
        ClockVerb::Handover(wanted) => {
            handover::run(bus, output, &wanted).await?;
            (true, true)
        }
        ClockVerb::Render(wanted) => {
            render::print(output, &wanted)?;
            (true, true)
        }
    };
    Ok(if watched || well { exit::AS_WANTED } else { exit::BLOCKED })
}

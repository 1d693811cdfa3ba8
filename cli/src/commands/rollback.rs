//! `rollback`: back to the release that was there before.

use crate::args::Manner;
use crate::bus::Bus;
use crate::commands::chosen;
use crate::ended::Ended;
use crate::follow;
use crate::render::Output;

/// Orders and follows.
pub async fn order(bus: &Bus, output: Output, back: u32, manner: &Manner) -> Result<(), Ended> {
    let words = manner.words();
    follow::order(bus, output, manner.until(), async |manager| {
        manager.rollback(back, chosen(&words)).await
    })
    .await
}

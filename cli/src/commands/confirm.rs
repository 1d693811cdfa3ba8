//! `confirm`: the change that waits for it stays.

use crate::bus::Bus;
use crate::commands::accepted;
use crate::ended::Ended;
use crate::render::Output;

/// Keeps it.
pub async fn order(bus: &Bus, output: Output) -> Result<(), Ended> {
    bus.manager().await?.confirm().await?;
    accepted(output, "confirmed: the change stays")
}

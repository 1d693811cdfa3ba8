//! `reload`: the configuration is read again.

use crate::bus::Bus;
use crate::commands::accepted;
use crate::ended::Ended;
use crate::render::Output;

/// Returns when the configuration is in force; fails when it does not hold.
pub async fn order(bus: &Bus, output: Output) -> Result<(), Ended> {
    bus.manager().await?.reload().await?;
    accepted(output, "the configuration on disk is in force")
}

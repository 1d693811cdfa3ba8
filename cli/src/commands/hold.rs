//! `hold` and `unhold`: an operator's freeze.

use zbus::Variant;

use crate::bus::Bus;
use crate::commands::{Options, accepted};
use crate::ended::Ended;
use crate::render::Output;

/// Freezes the node.
pub async fn order(
    bus: &Bus,
    output: Output,
    reason: &str,
    duration: Option<&str>,
) -> Result<(), Ended> {
    let duration = duration.map(Variant::from);
    let options: Options<'_> = duration.iter().map(|value| ("For", value)).collect();
    bus.manager().await?.hold(reason, options).await?;
    accepted(output, "held; `onloadctl unhold` ends it")
}

/// Ends the hold.
pub async fn end(bus: &Bus, output: Output) -> Result<(), Ended> {
    bus.manager().await?.unhold().await?;
    accepted(output, "not held")
}

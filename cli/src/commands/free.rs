//! `free`: a device goes back to its pool.

use zbus::Variant;

use crate::bus::Bus;
use crate::commands::{Options, accepted};
use crate::ended::Ended;
use crate::render::Output;
use crate::render::paint::plain;

/// Gives it back.
pub async fn order(bus: &Bus, output: Output, id: &str, force: bool) -> Result<(), Ended> {
    let yes = Variant::from(true);
    let options: Options<'_> = force.then_some(("Force", &yes)).into_iter().collect();
    bus.manager().await?.free(id, options).await?;
    accepted(output, &format!("{} is free", plain(id)))
}

//! `keys revoke-request`: shim shall not ask for what was asked for.

use zbus::Variant;

use crate::bus::Bus;
use crate::commands::chosen;
use crate::ended::Ended;
use crate::follow::{self, Until};
use crate::render::Output;

/// Orders and follows.
pub async fn order(bus: &Bus, output: Output, until: Until, all: bool) -> Result<(), Ended> {
    let words = [("All", Variant::from(all))];
    let job = follow::job(bus, output, until, async || {
        Ok(bus.secure_boot().await?.revoke_request(chosen(&words)).await?)
    })
    .await?;
    follow::done(output, until, &job)
}

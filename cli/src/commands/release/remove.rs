//! `release remove`: one that was taken in goes.

use crate::bus::Bus;
use crate::ended::Ended;
use crate::follow::{self, Until};
use crate::render::Output;

/// Orders and follows.
pub async fn order(bus: &Bus, output: Output, name: &str) -> Result<(), Ended> {
    follow::order(bus, output, Until::Ended, async |manager| manager.remove_release(name).await)
        .await
}

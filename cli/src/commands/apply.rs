//! `apply`: the node as the configuration wants it, now; or only what that would mean.

use zbus::Variant;

use crate::args::Manner;
use crate::bus::Bus;
use crate::commands::{chosen, plan};
use crate::ended::Ended;
use crate::follow;
use crate::render::Output;

/// Orders and follows.
pub async fn order(bus: &Bus, output: Output, retry: bool, manner: &Manner) -> Result<(), Ended> {
    let mut words = manner.words();
    words.extend(retry.then_some(("Retry", Variant::from(true))));
    follow::order(bus, output, manner.until(), async |manager| manager.apply(chosen(&words)).await)
        .await
}

/// Shows what would be done, and does nothing.
pub async fn dry_run(bus: &Bus, output: Output) -> Result<(), Ended> {
    Ok(output.page(&plan::read(bus).await?)?)
}

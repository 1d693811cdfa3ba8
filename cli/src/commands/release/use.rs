//! `release use`: the node shall have this one, whatever the configuration names.

use crate::args::Manner;
use crate::bus::Bus;
use crate::commands::chosen;
use crate::ended::Ended;
use crate::follow;
use crate::render::Output;

/// Orders and follows.
pub async fn order(bus: &Bus, output: Output, name: &str, manner: &Manner) -> Result<(), Ended> {
    let words = manner.words();
    follow::order(bus, output, manner.until(), async |manager| {
        manager.use_release(name, chosen(&words)).await
    })
    .await
}

//! `hold` and `unhold`: an operator's freeze.

use onload_dbus::error::Kind;
use zbus::Variant;

use crate::bus::Bus;
use crate::commands::{Options, accepted};
use crate::ended::{Complaint, Ended};
use crate::render::{Output, now};

/// When a hold ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// By `unhold` alone.
    ByHand,
    /// After a duration, as typed.
    After(String),
    /// At a point in time, in milliseconds since 1970 UTC.
    At(u64),
}

/// Freezes the node.
pub async fn order(bus: &Bus, output: Output, reason: &str, end: End) -> Result<(), Ended> {
    let duration = match end {
        End::ByHand => None,
        End::After(duration) => Some(duration),
        End::At(until) => Some(until_then(until, now())?),
    };
    let duration = duration.map(Variant::from);
    let options: Options<'_> = duration.iter().map(|value| ("For", value)).collect();
    bus.manager().await?.hold(reason, options).await?;
    accepted(output, "held; `onloadctl unhold` ends it")
}

/// How long that is from now: the bus is this machine's, and so is the clock.
fn until_then(until: u64, now: u64) -> Result<String, Complaint> {
    match until.checked_sub(now) {
        Some(left) if left > 0 => Ok(format!("{left}ms")),
        Some(_) | None => {
            let fix = "name a time to come, with its offset from UTC (`date --rfc-3339=seconds` shows now)";
            Err(Complaint::of(
                Kind::InvalidArgument,
                "the node is not held",
                "that time is over",
                fix,
            ))
        }
    }
}

/// Ends the hold.
pub async fn end(bus: &Bus, output: Output) -> Result<(), Ended> {
    bus.manager().await?.unhold().await?;
    accepted(output, "not held")
}

//! `nfd render`.

use clap::Subcommand;
use onload_dbus::error::Kind;

use crate::args::Bus;
use crate::ended::{Complaint, Ended};
use crate::render::Output;

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum NfdVerb {
    /// Print it
    Render,
}

/// Does it.
pub async fn run(_bus: &Bus, _output: Output, _verb: NfdVerb) -> Result<u8, Ended> {
    Err(Complaint::of(Kind::Unsupported, "nothing was done", "it is not built yet", "wait").into())
}

//! `pod render`.

use clap::Subcommand;
use onload_dbus::error::Kind;

use crate::ended::{Complaint, Ended};
use crate::render::Output;

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum PodVerb {
    /// Print it
    Render,
}

/// Does it.
pub fn run(_output: Output, _verb: PodVerb) -> Result<u8, Ended> {
    Err(Complaint::of(Kind::Unsupported, "nothing was done", "it is not built yet", "wait").into())
}

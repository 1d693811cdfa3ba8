//! `capture`.

use clap::Args as Group;
use onload_dbus::error::Kind;

use crate::args::Bus;
use crate::ended::{Complaint, Ended};
use crate::render::Output;

/// How.
#[derive(Clone, Debug, Group)]
pub struct CaptureArgs {}

/// Does it.
pub async fn run(_bus: &Bus, _output: Output, _how: CaptureArgs) -> Result<u8, Ended> {
    Err(Complaint::of(Kind::Unsupported, "nothing was done", "it is not built yet", "wait").into())
}

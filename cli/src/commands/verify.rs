//! `verify`.

use clap::Args as Group;
use onload_dbus::error::Kind;

use crate::args::Bus;
use crate::ended::{Complaint, Ended};
use crate::render::Output;

/// How.
#[derive(Clone, Debug, Group)]
pub struct VerifyArgs {}

/// Does it.
pub async fn run(_bus: &Bus, _output: Output, _how: VerifyArgs) -> Result<u8, Ended> {
    Err(Complaint::of(Kind::Unsupported, "nothing was done", "it is not built yet", "wait").into())
}

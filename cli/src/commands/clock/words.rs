//! The words of `clock` on the command line.

use clap::{Args, Subcommand};

use super::render::Wanted;
use crate::args::Read;

/// What to do with clocks.
#[derive(Clone, Debug, Subcommand)]
pub enum ClockVerb {
    /// Who keeps time here, from what, how well; ends with 4 unless the system clock is synchronised
    Status(Read),
    /// Draw the offset of each clock as it changes, until Ctrl-C; one line per change if not on a terminal
    Watch,
    /// What fights over clocks, and what to do about it; ends with 4 when something does
    Conflicts(Read),
    /// Have sfptpd steer the system clock, in place of who does; Ctrl-C asks the job to stop
    Handover(Handover),
    /// Print a configuration for sfptpd, checked; works without onloadd
    Render(Box<Wanted>),
}

/// To whom the system clock goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Args)]
pub struct Handover {
    /// Give it back: sfptpd is stopped, and what was stopped for it is started again
    #[arg(long)]
    pub back: bool,
    /// Only show which units would be stopped and started
    #[arg(long)]
    pub dry_run: bool,
    /// Return as soon as the order is taken
    #[arg(long, conflicts_with = "dry_run")]
    pub no_follow: bool,
}

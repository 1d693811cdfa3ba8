//! A stand-in for sfptpd that steers nothing: the command line, configuration, files, sockets, locks and
//! exit codes are those of the real one (reference/sfptpd.md sections 1 to 8), the numbers are made up.
//! What it is told beyond that comes in variables of its environment, see [`place::Place`], and in a
//! file of faults, see [`fault::Faults`].

use std::fmt;
use std::process::ExitCode;

mod arguments;
mod clocks;
mod configuration;
mod engine;
pub mod fault;
mod metrics;
mod options;
pub mod package;
pub mod place;
mod rivals;
mod samples;
mod service;
mod state;

/// What it calls itself: the stable release that the sheet describes.
pub const VERSION: &str = "3.9.0.1007";

/// Why it ends: with a raw errno (reference/sfptpd.md section 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The exit status.
    pub errno: u8,
    /// What it says.
    pub said: String,
}

impl Refused {
    const EPERM: u8 = 1;
    const ENOENT: u8 = 2;
    const EIO: u8 = 5;
    const EAGAIN: u8 = 11;
    const EBUSY: u8 = 16;
    const ENODEV: u8 = 19;
    const EINVAL: u8 = 22;
    const EPROTONOSUPPORT: u8 = 93;
    const EOPNOTSUPP: u8 = 95;

    fn new(errno: u8, said: impl Into<String>) -> Self {
        Self { errno, said: said.into() }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (errno {})", self.said, self.errno)
    }
}

/// Runs it with these arguments.
pub fn run(arguments: impl Iterator<Item = String>) -> ExitCode {
    match service::run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(refused) => {
            eprintln!("critical: {refused}");
            ExitCode::from(refused.errno)
        }
    }
}

//! The stand-in for sfptpd, under its name: `/proc/PID/comm` is how others know it.

use std::process::ExitCode;

fn main() -> ExitCode {
    onload_tests::sfptpd::run(std::env::args().skip(1))
}

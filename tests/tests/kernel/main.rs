//! Level 5: the project as it is installed, on a real kernel under a real systemd. Each theme has a
//! guest; `cargo test --test kernel -- NAME` runs the cases whose name has NAME in it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops where it broke"
)]

mod afxdp;
mod agent;
#[path = "../machineconfig/applier.rs"]
#[allow(dead_code, reason = "its other half is for the tests without a guest")]
mod applier;
mod boot;
mod clock;
mod firmware;
mod first_boot;
mod keys;
mod metrics;
mod modules;
mod naming;
mod node;
mod others;
mod packaging;
mod pull;
mod readme;
mod secure_boot;
mod service;
mod swap;

use std::process::ExitCode;

use onload_tests::guest::cases;

fn main() -> ExitCode {
    cases::main(vec![
        service::theme(),
        modules::theme(),
        swap::theme(),
        boot::theme(),
        others::theme(),
        afxdp::theme(),
        secure_boot::theme(),
        firmware::theme(),
        naming::theme(),
        clock::theme(),
        packaging::theme(),
        first_boot::theme(),
        pull::theme(),
    ])
}

//! Level 4: onloadctl as people and scripts meet it, against the real D-Bus edge on a real bus.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests stop where they fail.

#[path = "cli/clock.rs"]
mod clock;
#[path = "cli/errors.rs"]
mod errors;
#[path = "cli/keys.rs"]
mod keys;
#[path = "cli/live.rs"]
mod live;
#[path = "cli/naming.rs"]
mod naming;
#[path = "cli/orders.rs"]
mod orders;
#[path = "cli/pages.rs"]
mod pages;
#[path = "cli/password.rs"]
mod password;
#[path = "cli/profiles.rs"]
mod profiles;
#[path = "cli/releases.rs"]
mod releases;
#[allow(dead_code)] // Its other half is for the contract's tests.
#[path = "contract/rig.rs"]
mod rig;
#[path = "cli/run.rs"]
mod run;
#[path = "cli/run_command.rs"]
mod run_command;
#[path = "cli/run_profile.rs"]
mod run_profile;
#[path = "cli/schema.rs"]
mod schema;
#[path = "cli/terminal.rs"]
mod terminal;

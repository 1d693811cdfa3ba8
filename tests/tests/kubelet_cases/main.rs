//! What became of the kubelet's own end-to-end cases for device plugins, and of what its users filed
//! over the years, here: the real daemon on a simulated machine, a kubelet stand-in that speaks real
//! gRPC, and a table in which every such issue has a row (reference/kubelet-api.md section 13).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops where it broke"
)]

mod abuse;
mod assignments;
mod checkpoint;
mod counting;
mod health;
mod instances;
mod leaks;
mod reboot;
mod registration;
mod replay;
mod restart;
mod rig;
mod row;
mod rows;
mod taken;

use row::{Theme, play};

#[test]
fn kubelet_restart() {
    play(Theme::KubeletRestart);
}

#[test]
fn socket_and_registration_races() {
    play(Theme::Races);
}

#[test]
fn several_registrations_of_one_resource() {
    play(Theme::SeveralRegistrations);
}

#[test]
fn node_reboot() {
    play(Theme::Reboot);
}

#[test]
fn checkpoint_mismatch() {
    play(Theme::Checkpoint);
}

#[test]
fn leaks_stale_and_double_allocation() {
    play(Theme::Leaks);
}

#[test]
fn allocated_but_unused_and_counting_confusion() {
    play(Theme::Counting);
}

#[test]
fn unhealthy_and_hot_unplug() {
    play(Theme::Health);
}

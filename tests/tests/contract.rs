//! Level 4: the D-Bus contract, against a real bus. What is written in
//! `dbus/com.amd.Onload1.xml`, what is served, and what clients are given are one thing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests stop where they fail.

#[path = "contract/access.rs"]
mod access;
#[path = "contract/calls.rs"]
mod calls;
#[path = "contract/clock.rs"]
mod clock;
#[path = "contract/proxies.rs"]
mod proxies;
#[path = "contract/restart.rs"]
mod restart;
#[path = "contract/rig.rs"]
mod rig;
#[path = "contract/shape.rs"]
mod shape;
#[path = "contract/signals.rs"]
mod signals;

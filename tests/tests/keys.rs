//! Level 4: `onloadctl keys`, without a daemon: what it makes is read by openssl, kmod, the
//! compressors and the kernel's own sign-file.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops where it broke"
)]

#[path = "keys/bench.rs"]
mod bench;
#[path = "keys/compression.rs"]
mod compression;
#[path = "keys/foreign.rs"]
mod foreign;
#[path = "keys/generate.rs"]
mod generate;
#[path = "keys/secrets.rs"]
mod secrets;
#[path = "keys/show.rs"]
mod show;
#[path = "keys/sign.rs"]
mod sign;
#[path = "keys/unharmed.rs"]
mod unharmed;

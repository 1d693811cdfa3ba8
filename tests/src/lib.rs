//! What the tests of onloadd share: the stand-ins for what surrounds the daemon on a node.

// Test code: a broken assumption here must stop the test at once, where it broke.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod background;
pub mod bench;
pub mod binaries;
pub mod bus;
pub mod conformance;
pub mod datagram;
pub mod guest;
pub mod kubelet;
pub mod machine;
pub mod namespace;
pub mod node;
pub mod package;
pub mod readme;
pub mod recorded;
pub mod sfptpd;
pub mod skip;
pub mod tree;
pub mod world;

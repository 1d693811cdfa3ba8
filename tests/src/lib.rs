//! What the tests of onloadd share: stand-ins for the world around it.

pub mod bus;

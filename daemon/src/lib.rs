//! The daemon as a library: the host behind one trait, the edges around one loop.

pub mod bus;
pub mod host;
pub mod letterbox;

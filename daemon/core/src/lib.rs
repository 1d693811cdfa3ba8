//! The brain of onloadd: facts and wishes in, decisions out. No I/O, no clock, no unordered map.

pub mod hardware;
pub mod inventory;
pub mod names;
pub mod reading;
pub mod step;
pub mod time;

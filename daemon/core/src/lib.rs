//! The brain of onloadd: facts and wishes in, decisions out. No I/O, no clock, no unordered map.

pub mod af_xdp;
pub mod allocation;
pub mod attachment;
mod base64;
pub mod blocker;
pub mod cdi;
pub mod change;
pub mod command;
pub mod condition;
pub mod config;
pub mod hardware;
pub mod intent;
pub mod inventory;
pub mod job;
pub mod kubelet;
pub mod ledger;
pub mod local;
pub mod names;
pub mod others;
pub mod outlook;
pub mod parameters;
pub mod picture;
pub mod plan;
pub mod pods;
pub mod pool;
pub mod profile;
pub mod reading;
pub mod reconcile;
pub mod refusal;
pub mod release;
#[cfg(test)]
mod sample;
pub mod secure_boot;
pub mod step;
pub mod time;
pub mod userland;
pub mod why;

//! `make bench`: the budgets of DESIGN section 9, measured on the daemon as it ships.
//!
//! Everything is measured from outside, on a process of its own: what is here only starts it,
//! calls it and reads what the kernel knows of it. Ratios compare two calls of one run, made in
//! turns, so that a loaded machine weighs on both; times of the clock depend on the machine and
//! are told, not held.

pub mod awake;
pub mod calls;
pub mod clocks;
pub mod daemon;
pub mod echo;
pub mod exposure;
pub mod idle;
pub mod lists;
pub mod machine;
pub mod memory;
pub mod samples;
pub mod start;
pub mod swap;
pub mod table;

/// The resource of the pool that is measured.
pub const RESOURCE: &str = "amd.com/onload";

/// The pools whose size is told of, each with its number as people write it.
pub const LARGE_POOLS: [(usize, &str); 2] = [(1_000, "1,000"), (10_000, "10,000")];

//! A test that cannot run here says so, and `tests/run.sh` counts it.

use std::fs;
use std::io::Write as _;

/// Where the runner counts; without one there is nobody to tell but the reader.
const COUNT: &str = "ONLOADD_SKIPS";

/// Says that a test, or part of one, does not run here, and why.
pub fn skip(test: &str, reason: &str) {
    println!("skipped: {test}: {reason}");
    if let Some(path) = std::env::var_os(COUNT) {
        let mut file = fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        // At one go: tests run beside each other.
        file.write_all(format!("{test}: {reason}\n").as_bytes()).unwrap();
    }
}

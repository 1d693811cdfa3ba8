//! Processors kept awake while latencies are compared.
//!
//! A virtual processor that has nothing to do is put to sleep by its host, and waking it costs more
//! than a whole call. Which of two calls meets that is chance of the machine, not of the daemon: on
//! an idle machine the same Allocate took 45 µs, beside any other load 32 µs.

use std::process::{Child, Command, Stdio};

/// One loop per processor that runs only when nothing else does; ends when dropped.
#[derive(Debug)]
pub struct Awake(Vec<Child>);

impl Awake {
    /// Starts the loops. Where they cannot be started the figures are taken without.
    pub fn keep() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let spin = || {
            Command::new("chrt")
                .args(["--idle", "0", "sh", "-c", "while :; do :; done"])
                .stdin(Stdio::null())
                .spawn()
        };
        Self((0..processors).filter_map(|_| spin().ok()).collect())
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

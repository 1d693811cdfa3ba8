//! A runtime on a thread of its own, so that a test that blocks on a process does not stop the
//! stand-ins that the process talks to.

use std::future::{Future, pending};

use tokio::runtime::{Builder, Handle};

/// The runtime; ends with the program.
#[derive(Clone, Debug)]
pub struct Background(Handle);

impl Background {
    /// Starts one.
    ///
    /// # Errors
    /// No thread, or no descriptors for it.
    pub fn start() -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        std::thread::Builder::new()
            .name("background".to_owned())
            .spawn(move || runtime.block_on(pending::<()>()))?;
        Ok(Self(handle))
    }

    /// Runs a future to its end; what it spawns goes on.
    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.0.block_on(future)
    }
}

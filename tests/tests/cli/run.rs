//! Running onloadctl.

use std::process::{Output, Stdio};

use onload_tests::binaries::binary;
use tokio::process::Command;

use crate::rig::{PATIENCE, Rig};

/// onloadctl on a bus, with an environment in which nothing but the test decides about colours.
pub fn command(address: &str, words: &[&str]) -> Command {
    let mut command = Command::new(binary("onloadctl"));
    command.args(["--bus", address]).args(words).stdin(Stdio::null()).kill_on_drop(true);
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS"] {
        command.env_remove(name);
    }
    command
}

/// Runs it to its end.
pub async fn run(command: &mut Command) -> Ended {
    let output = tokio::time::timeout(PATIENCE, command.output());
    Ended::of(output.await.expect("onloadctl did not end").unwrap())
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ended {
    pub fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Rig {
    /// onloadctl on this bus.
    pub async fn ctl(&self, words: &[&str]) -> Ended {
        run(&mut command(&self.bus.address(), words)).await
    }
}

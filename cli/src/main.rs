//! `onloadctl`: what onloadd says and takes orders for, over D-Bus. It never looks at the host.

mod args;
mod bus;
mod commands;
mod ended;
mod live;
mod properties;
mod render;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Args;
use crate::ended::Ended;
use crate::render::Output;

/// One thread is plenty: the program waits for a bus.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    let output = Output::new(args.json);
    let code = match commands::run(args, output).await {
        Ok(code) => code,
        // The reader has had enough, as `head` does: no failure, and nobody to tell.
        Err(Ended::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => 0,
        Err(ended) => output.complain(&ended),
    };
    ExitCode::from(code)
}

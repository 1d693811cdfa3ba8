//! `onloadctl`: what onloadd says and takes orders for, over D-Bus. It looks at the host for
//! what only root may see: headers of encrypted disks, before a key is asked for.

mod args;
mod bus;
mod commands;
mod ended;
mod follow;
mod image;
mod kubernetes;
mod live;
mod point;
mod properties;
mod render;
mod stopped;

use std::process::ExitCode;

use clap::Parser as _;
use onload_dbus::error::exit;

use crate::args::Args;
use crate::ended::{Complaint, Ended};
use crate::render::Output;

/// One thread is plenty: the program waits for a bus.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return ExitCode::from(misunderstood(&error)),
    };
    let output = Output::new(args.json);
    let code = match commands::run(args, output).await {
        Ok(code) => code,
        // The reader has had enough, as `head` does: no failure, and nobody to tell.
        Err(Ended::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => 0,
        Err(ended) => output.complain(&ended),
    };
    ExitCode::from(code)
}

/// Help and version, which come by the same way, or three lines about a command line that is wrong.
fn misunderstood(error: &clap::Error) -> u8 {
    if !error.use_stderr() {
        // Nobody to tell when this cannot be written.
        drop(error.print());
        return exit::AS_WANTED;
    }
    // Of a line that is not understood, the wish for JSON is all that can be known.
    let json = std::env::args_os().any(|word| word == "--json");
    Output::new(json).complain(&Complaint::of_words(error).into())
}

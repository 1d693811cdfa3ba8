//! One file per verb.

mod adopt;
mod allocate;
mod allocations;
mod apply;
pub mod capture;
pub mod clock;
mod completion;
mod config;
mod confirm;
mod devices;
mod free;
pub mod history;
mod hold;
pub mod jobs;
pub mod keys;
pub mod machineconfig;
mod man;
mod modules;
pub mod nad;
pub mod naming;
pub mod nfd;
mod plan;
pub mod pod;
mod pools;
mod ports;
pub mod profile;
pub mod release;
mod reload;
mod rollback;
mod run;
pub mod status;
pub mod verify;
mod watch;
mod why;

use std::collections::HashMap;

use onload_dbus::error::{exit, state_exit_code};
use serde::Serialize;
use zbus::Variant;

use crate::args::{Args, Read, Verb};
use crate::bus::Bus;
use crate::commands::clock::ClockVerb;
use crate::commands::hold::End;
use crate::commands::naming::NamingVerb;
use crate::ended::Ended;
use crate::follow::Until;
use crate::live::show;
use crate::render::Output;

/// Options of a call.
type Options<'a> = HashMap<&'a str, &'a Variant<'a>>;

/// Options as a call takes them.
fn chosen<'a>(words: &'a [(&'static str, Variant<'static>)]) -> Options<'a> {
    words.iter().map(|(name, value)| (*name, value)).collect()
}

/// The answer to an order that answers nothing.
#[derive(Debug, Serialize)]
struct Accepted {
    accepted: bool,
}

/// Does what was asked and gives the exit code.
pub async fn run(args: Args, output: Output) -> Result<u8, Ended> {
    let verb = args.verb.unwrap_or(Verb::Status(Read::default()));
    // Not before it is known that it is needed: half of the verbs work on a desk.
    let onloadd = async || Bus::connect(&args.bus).await;
    match verb {
        Verb::Status(how) => {
            let status = show(&onloadd().await?, output, how.watch, status::read).await?;
            // Who watched has seen how it stands; who asked once is told by the code as well.
            return Ok(if how.watch { exit::AS_WANTED } else { state_exit_code(&status.state) });
        }
        Verb::Ports(how) => drop(show(&onloadd().await?, output, how.watch, ports::read).await?),
        Verb::Modules(how) => {
            drop(show(&onloadd().await?, output, how.watch, modules::read).await?)
        }
        Verb::Pools { name: None, read } => {
            drop(show(&onloadd().await?, output, read.watch, pools::read).await?);
        }
        Verb::Pools { name: Some(name), read } => {
            let devices = async |bus: &Bus| devices::read(bus, &name).await;
            drop(show(&onloadd().await?, output, read.watch, devices).await?);
        }
        Verb::Allocations(how) => {
            drop(show(&onloadd().await?, output, how.watch, allocations::read).await?)
        }
        Verb::Plan(how) => drop(show(&onloadd().await?, output, how.watch, plan::read).await?),
        Verb::Naming(NamingVerb::Plan(how)) => {
            drop(show(&onloadd().await?, output, how.watch, naming::read).await?);
        }
        Verb::Why { subject, read } => {
            let why = async |bus: &Bus| why::read(bus, &subject).await;
            drop(show(&onloadd().await?, output, read.watch, why).await?);
        }
        Verb::Jobs(how) => drop(show(&onloadd().await?, output, how.watch, jobs::read).await?),
        Verb::Config(how) => drop(show(&onloadd().await?, output, how.watch, config::read).await?),
        Verb::Watch => watch::follow(&onloadd().await?, output).await?,
        Verb::Allocate { pool, count, lease, unit } => {
            let until = allocate::until(lease.as_deref(), unit);
            allocate::order(&onloadd().await?, output, &pool, count, until).await?;
        }
        Verb::Run { pool, profiles, command } => {
            let wanted = run::Wanted { pool: &pool, profiles: &profiles, words: &command };
            return Err(run::take_over(&onloadd().await?, output, &wanted).await);
        }
        Verb::Free { id, force } => free::order(&onloadd().await?, output, &id, force).await?,
        Verb::Apply { dry_run: true, .. } => apply::dry_run(&onloadd().await?, output).await?,
        Verb::Apply { dry_run: false, retry, manner } => {
            apply::order(&onloadd().await?, output, retry, &manner).await?;
        }
        Verb::Release(verb) => return release::run(&onloadd().await?, output, verb).await,
        Verb::Clock { verb: Some(ClockVerb::Render(wanted)) } => clock::render(output, &wanted)?,
        Verb::Clock { verb } => {
            let verb = verb.unwrap_or(ClockVerb::Status(Read::default()));
            return clock::run(&onloadd().await?, output, verb).await;
        }
        Verb::Rollback { back, manner } => {
            rollback::order(&onloadd().await?, output, back, &manner).await?
        }
        Verb::Adopt { dry_run: true, .. } => adopt::dry_run(&onloadd().await?, output).await?,
        Verb::Adopt { dry_run: false, no_follow } => {
            let until = if no_follow { Until::Taken } else { Until::Ended };
            adopt::order(&onloadd().await?, output, until).await?;
        }
        Verb::Confirm => confirm::order(&onloadd().await?, output).await?,
        Verb::History(how) => {
            drop(show(&onloadd().await?, output, how.watch, history::read).await?)
        }
        Verb::Hold { reason, because, duration, until } => {
            let reason = reason.or(because).unwrap_or_default();
            let end = match (duration, until) {
                (Some(duration), _) => End::After(duration),
                (None, Some(until)) => End::At(until),
                (None, None) => End::ByHand,
            };
            hold::order(&onloadd().await?, output, &reason, end).await?;
        }
        Verb::Unhold => hold::end(&onloadd().await?, output).await?,
        Verb::Reload => reload::order(&onloadd().await?, output).await?,
        // What follows needs no onloadd, or sees by itself whether it is there.
        Verb::Profile(verb) => profile::run(output, verb)?,
        Verb::Keys(verb) => return keys::run(&args.bus, output, verb).await,
        Verb::Naming(NamingVerb::Render { config, output: directory }) => {
            naming::render(output, &config, directory.as_deref())?;
        }
        Verb::Completion { shell } => completion::print(shell)?,
        Verb::Man { directory } => man::write(&directory)?,
        Verb::Machineconfig(verb) => return machineconfig::run(output, verb).await,
        Verb::Pod(verb) => return pod::run(output, verb),
        Verb::Nad(verb) => return nad::run(&args.bus, output, verb).await,
        Verb::Nfd(verb) => return nfd::run(&args.bus, output, verb).await,
        Verb::Verify(how) => return verify::run(&args.bus, output, how).await,
        Verb::Capture(how) => return capture::run(&args.bus, output, how).await,
    }
    Ok(exit::AS_WANTED)
}

/// Says that an order was taken: in words for people, as JSON for programs.
fn accepted(output: Output, words: &str) -> Result<(), Ended> {
    if output.json() {
        output.document(&Accepted { accepted: true })?;
    } else {
        output.text(&format!("{words}\n"))?;
    }
    Ok(())
}

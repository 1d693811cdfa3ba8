//! `make bench`: every budget, what it is here, and the machine. `--check` fails on a missed one.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use onload_tests::background::Background;
use onload_tests::bench::{
    calls, clocks, echo, exposure, idle, lists, machine, memory, start, swap,
};
use tokio::runtime::{Builder, Runtime};

/// What can be measured by itself; all of it unless named.
const GROUPS: [&str; 8] = ["exposure", "memory", "clocks", "start", "calls", "bus", "swap", "idle"];
/// Exit status for words that make no sense.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let ended = match words.as_slice() {
        // Not for people: the process that D-Bus calls are compared with.
        ["--echo", address] => {
            runtime().and_then(|runtime| runtime.block_on(echo::serve(address))).map(|()| true)
        }
        ["--check", groups @ ..] if groups.iter().all(|group| GROUPS.contains(group)) => {
            bench(true, groups)
        }
        groups if groups.iter().all(|group| GROUPS.contains(group)) => bench(false, groups),
        _ => {
            eprintln!("usage: bench [--check] [{}]...", GROUPS.join("|"));
            return ExitCode::from(USAGE);
        }
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!(
                "error: the measurement did not end\n  why: {error:#}\n  fix: `make test` shows which part is broken"
            );
            ExitCode::FAILURE
        }
    }
}

fn runtime() -> anyhow::Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// Measures; returns whether a check passes.
fn bench(check: bool, groups: &[&str]) -> anyhow::Result<bool> {
    let began = Instant::now();
    let background = Background::start()?;
    let runtime = runtime()?;
    let machine = machine::describe(&std::env::temp_dir());
    for line in &machine {
        println!("{line}");
    }
    println!();
    let mut rows = Vec::new();
    for group in GROUPS.iter().filter(|group| groups.is_empty() || groups.contains(group)) {
        let measured = match *group {
            "exposure" => exposure::measure()?,
            "memory" => memory::measure(&background)?,
            "clocks" => clocks::measure(&runtime)?,
            "start" => start::measure(&background)?,
            "calls" => calls::measure(&background, &runtime)?,
            "bus" => [echo::measure(&runtime)?, lists::measure(&runtime)?].concat(),
            "swap" => swap::measure()?,
            _ => {
                println!("(two daemons are now watched for one idle minute)");
                idle::measure(&background)?
            }
        };
        for row in &measured {
            println!("{row}");
        }
        rows.extend(measured);
    }

    println!("\nFor the README:\n\n| What | Budget | Measured | |\n|---|---|---|---|");
    for row in &rows {
        println!("{}", row.markdown());
    }
    println!("\n{}.", machine.iter().map(|line| squeezed(line)).collect::<Vec<_>>().join("; "));
    println!(
        "Ratios, memory, switches and exposure are held by `make bench-check`; times of the clock are told, since they vary with the machine."
    );
    let missed = rows.iter().filter(|row| row.fails()).count();
    let took = Duration::from_secs(began.elapsed().as_secs());
    println!("{} figures in {took:?}; budgets missed that are held: {missed}", rows.len());
    Ok(!check || missed == 0)
}

fn squeezed(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

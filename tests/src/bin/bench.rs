//! `make bench`: every budget, what it is here, and the machine. `--check` fails on a missed one.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use onload_tests::background::Background;
use onload_tests::bench::table::Row;
use onload_tests::bench::{calls, echo, exposure, idle, machine, memory, start};
use tokio::runtime::{Builder, Runtime};

/// Exit status for words that make no sense.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let ended = match words[..] {
        [] => bench(false),
        ["--check"] => bench(true),
        // Not for people: the process that D-Bus calls are compared with.
        ["--echo", address] => {
            runtime().and_then(|runtime| runtime.block_on(echo::serve(address))).map(|()| true)
        }
        _ => {
            eprintln!("usage: bench [--check]");
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

/// Measures all; returns whether a check passes.
fn bench(check: bool) -> anyhow::Result<bool> {
    let began = Instant::now();
    let background = Background::start()?;
    let runtime = runtime()?;
    let machine = machine::describe(&std::env::temp_dir());
    for line in &machine {
        println!("{line}");
    }
    println!();
    let mut rows = Vec::new();
    show(&mut rows, exposure::measure()?);
    show(&mut rows, memory::measure(&background)?);
    show(&mut rows, start::measure(&background)?);
    show(&mut rows, calls::measure(&background, &runtime)?);
    show(&mut rows, echo::measure(&runtime)?);
    println!("(two daemons are now watched for one idle minute)");
    show(&mut rows, idle::measure(&background)?);

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

fn show(rows: &mut Vec<Row>, measured: Vec<Row>) {
    for row in &measured {
        println!("{row}");
    }
    rows.extend(measured);
}

fn squeezed(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

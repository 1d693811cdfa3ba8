//! Variables of the firmware, written: what a request to shim consists of, all of it or nothing. A
//! program of its own does it (`onloadd --write-variables`), which the daemon has systemd run: the
//! daemon itself sees `/sys` read-only and may not clear the flag that guards a variable.
//!
//! What is written may be the hash of a password. It comes by standard input alone, and no message
//! says any of it.

use std::io::{self, Read, Write as _};
use std::path::Path;
use std::process::ExitCode;

use onload_core::refusal::{Refusal, RefusalKind};
use onload_core::secure_boot::request::ListChange;
use onload_core::secure_boot::request::write::Write;
use onload_core::secure_boot::variable::Variable;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use self::efivarfs::Efivarfs;

mod efivarfs;
mod fault;
#[cfg(test)]
mod tests;
mod undo;

/// Where the kernel shows them, below the root.
pub const EFIVARS: &str = "/sys/firmware/efi/efivars";
/// The argument that makes this program the one that writes.
pub const ARGUMENT: &str = "--write-variables";
/// Most that the list of writes may take as JSON, in which a byte takes up to four: ten certificates
/// of a usual size, and more than any firmware takes in one variable.
pub const INPUT_BYTES: usize = 64 << 10;
/// How much of a name that is none is shown: more than any that is one.
const SHOWN_CHARS: usize = 40;
/// What did not happen.
pub const NOT_WRITTEN: &str = "no request to shim was written";

/// The writes as the program reads them.
///
/// # Errors
/// They are more than it reads, or none that may be written.
pub fn encode(writes: &[Write]) -> Result<Vec<u8>, Refusal> {
    check(writes)?;
    let text = serde_json::to_vec(writes).map_err(|error| {
        let fix = "report it with the log of onloadd (`journalctl -u onloadd`)";
        Refusal::new(RefusalKind::Internal, NOT_WRITTEN, error.to_string(), fix)
    })?;
    if text.len() > INPUT_BYTES {
        return Err(fault::too_much());
    }
    Ok(text)
}

/// The program: reads a list of [`Write`]s as JSON from standard input and carries it out below
/// `root`. On failure a line of JSON on standard output is the [`Refusal`].
pub fn run(root: &Path) -> ExitCode {
    // No image of this memory is kept, whatever happens. Where that cannot be had, the unit's own
    // limit on such images is left.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    match carry_out(root, io::stdin().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => {
            let line = serde_json::to_string(&refusal).unwrap_or_else(|_| refusal.to_string());
            // Nobody is there to be told that nobody is there.
            let _ = writeln!(io::stdout(), "{line}");
            ExitCode::FAILURE
        }
    }
}

/// What a run of the program that failed said; none for anything else than a [`Refusal`].
pub fn said(output: &str) -> Option<Refusal> {
    output.lines().rev().find_map(|line| serde_json::from_str(line).ok())
}

fn carry_out(root: &Path, input: impl Read) -> Result<(), Refusal> {
    let writes = decode(input)?;
    let place = root.join(EFIVARS.trim_start_matches('/'));
    let directory = Efivarfs::open(&place).map_err(|error| fault::closed(&place, &error))?;
    undo::all_or_nothing(&directory, &writes)
}

fn decode(input: impl Read) -> Result<Vec<Write>, Refusal> {
    let mut text = Vec::new();
    let most = u64::try_from(INPUT_BYTES).unwrap_or(u64::MAX);
    let read = input.take(most + 1).read_to_end(&mut text);
    read.map_err(|error| fault::unfit(format!("the writes cannot be read: {error}")))?;
    if text.len() > INPUT_BYTES {
        return Err(fault::too_much());
    }
    let writes: Vec<Write> = serde_json::from_slice(&text).map_err(|error| {
        // Not in its own words: they would quote what is there.
        let (line, column) = (error.line(), error.column());
        fault::unfit(format!("line {line}, column {column} of the writes is not as it must be"))
    })?;
    check(&writes)?;
    Ok(writes)
}

/// Only changes of shim's lists, and how long it waits for an answer. What turns validation off has
/// a password in the clear, and is not ours to ask for.
fn check(writes: &[Write]) -> Result<(), Refusal> {
    for Write { name, data } in writes {
        let asks =
            |change: &ListChange| [change.list_name(), change.auth_name()].contains(&&**name);
        if !ListChange::ALL.iter().any(asks) && name != Variable::MOK_TIMEOUT.name {
            let shown: String = name.chars().take(SHOWN_CHARS).collect();
            let why = format!("{shown:?} is no variable by which shim is asked");
            return Err(fault::unfit(why));
        }
        // The firmware deletes a variable that is written without data.
        if data.as_ref().is_some_and(Vec::is_empty) {
            return Err(fault::unfit(format!("{name} has nothing to hold")));
        }
    }
    Ok(())
}

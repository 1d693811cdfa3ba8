//! Programs that are asked for what they know, each with an end to its time and its words.

use std::ffi::OsStr;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

/// Longest answer that is taken: 20,000 lines of a journal have some 3 MB.
const MOST_BYTES: u64 = 16 << 20;

/// What a program printed; or why there is nothing, or that there is more.
pub(super) async fn ask<S: AsRef<OsStr>>(
    program: &OsStr,
    words: impl IntoIterator<Item = S>,
    limit: Duration,
) -> Result<Vec<u8>, String> {
    let name = program.to_string_lossy().into_owned();
    let mut command = Command::new(program);
    command.args(words).env("LC_ALL", "C").stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("there is no program {name}"),
        _ => format!("{name} cannot be run: {error}"),
    })?;
    let (Some(out), Some(said)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(format!("{name} cannot be heard"));
    };
    let (mut printed, mut complaint) = (Vec::new(), Vec::new());
    let answer = async {
        // Both at once: one that is not read would hold the program up.
        let (mut out, mut said) = (out.take(MOST_BYTES), said.take(MOST_BYTES));
        let (read, heard) =
            tokio::join!(out.read_to_end(&mut printed), said.read_to_end(&mut complaint));
        read?;
        heard?;
        // Beyond the bound it would wait for a reader.
        drop((out, said));
        child.wait().await
    };
    let ended = tokio::time::timeout(limit, answer).await;
    let ended = ended.map_err(|_| format!("{name} did not end within {} s", limit.as_secs()))?;
    let status = ended.map_err(|error| format!("{name}: {error}"))?;
    if status.success() || printed.len() as u64 == MOST_BYTES {
        return Ok(printed);
    }
    let said = String::from_utf8_lossy(&complaint);
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    Err(format!("{name} ended with {status}: {}", said.chars().take(300).collect::<String>()))
}

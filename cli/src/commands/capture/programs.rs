//! Programs that are asked for what they know, each with an end to its time and its words.

use std::ffi::OsStr;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

/// Longest answer that is taken: 20,000 lines of a journal have some 3 MB.
const MOST_BYTES: u64 = 16 << 20;

/// What a program printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Printed {
    pub(super) text: Vec<u8>,
    /// Why that is not all of it.
    pub(super) cut: Option<String>,
}

/// Why a program is heard no longer.
enum Unheard {
    TooMuch,
    Failed(io::Error),
}

/// What a program printed; or why there is nothing.
pub(super) async fn ask<S: AsRef<OsStr>>(
    program: &OsStr,
    words: impl IntoIterator<Item = S>,
    limit: Duration,
) -> Result<Printed, String> {
    ask_for(program, words, limit, MOST_BYTES).await
}

async fn ask_for<S: AsRef<OsStr>>(
    program: &OsStr,
    words: impl IntoIterator<Item = S>,
    limit: Duration,
    most: u64,
) -> Result<Printed, String> {
    let name = program.to_string_lossy().into_owned();
    let mut command = Command::new(program);
    command.args(words).env("LC_ALL", "C").stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!("there is no program {name}"),
        _ => format!("{name} cannot be run: {error}"),
    })?;
    let (Some(out), Some(said)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(format!("{name} cannot be heard"));
    };
    let (mut text, mut complaint) = (Vec::new(), Vec::new());
    let answer = async {
        // Both at once: one that is not read would hold the program up. The first that is too long
        // ends both, as the program would wait for a reader and never close the other.
        tokio::try_join!(hear(out, &mut text, most), hear(said, &mut complaint, most))?;
        child.wait().await.map_err(Unheard::Failed)
    };
    let ended = tokio::time::timeout(limit, answer).await;
    let ended = ended.map_err(|_| format!("{name} did not end within {} s", limit.as_secs()))?;
    let status = match ended {
        Ok(status) => status,
        Err(Unheard::TooMuch) => {
            // One that the kernel holds cannot be waited for; it is killed all the same.
            tokio::time::timeout(limit, child.kill()).await.ok();
            let cut = format!("{name} printed more than {} KiB: the rest is cut off", most >> 10);
            return Ok(Printed { text, cut: Some(cut) });
        }
        Err(Unheard::Failed(error)) => return Err(format!("{name}: {error}")),
    };
    if status.success() {
        return Ok(Printed { text, cut: None });
    }
    let said = String::from_utf8_lossy(&complaint);
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    Err(format!("{name} ended with {status}: {}", said.chars().take(300).collect::<String>()))
}

/// Reads all that comes, at most so much.
async fn hear(from: impl AsyncRead + Unpin, into: &mut Vec<u8>, most: u64) -> Result<(), Unheard> {
    // One byte more tells whether there is more.
    from.take(most + 1).read_to_end(into).await.map_err(Unheard::Failed)?;
    match usize::try_from(most) {
        Ok(most) if into.len() > most => {
            into.truncate(most);
            Err(Unheard::TooMuch)
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect ends there")]

    use std::path::Path;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);
    const MOST: u64 = 64 << 10;

    async fn shell(script: &str) -> Result<Printed, String> {
        ask_for(OsStr::new("sh"), ["-c", script], LIMIT, MOST).await
    }

    #[tokio::test]
    async fn a_program_that_prints_without_end_is_cut_and_killed() {
        let printed = shell("echo $$; while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; done").await;
        let printed = printed.unwrap();
        assert_eq!(printed.text.len() as u64, MOST);
        let cut = printed.cut.unwrap();
        assert_eq!(cut, "sh printed more than 64 KiB: the rest is cut off");
        let text = String::from_utf8(printed.text).unwrap();
        let (pid, rest) = text.split_once('\n').unwrap();
        assert!(rest.starts_with("yyyy"), "what it printed first is kept");
        assert!(!Path::new("/proc").join(pid).exists(), "{pid} runs on");
    }

    #[tokio::test]
    async fn one_that_complains_without_end_keeps_what_it_printed() {
        let printed = shell("echo first; while :; do echo no, no, no, no, no >&2; done").await;
        let printed = printed.unwrap();
        assert_eq!(printed.text, b"first\n");
        assert!(printed.cut.is_some());
    }

    #[tokio::test]
    async fn what_ends_by_itself_is_whole() {
        let exact = format!("head -c {MOST} /dev/zero");
        let printed = shell(&exact).await.unwrap();
        assert_eq!((printed.text.len() as u64, printed.cut), (MOST, None));
        let printed = shell("echo out; echo err >&2").await.unwrap();
        assert_eq!(printed, Printed { text: b"out\n".to_vec(), cut: None });
        let why = shell("echo too  bad >&2; exit 3").await.unwrap_err();
        assert_eq!(why, "sh ended with exit status: 3: too bad");
    }
}

//! podman, as far as an image needs it: fetched if it is not here, and written as an archive.

use std::io;
use std::os::fd::OwnedFd;
use std::process::{Output as Said, Stdio};
use std::time::Duration;

use onload_dbus::error::Kind;
use tokio::process::Command;
use tokio::task::JoinHandle;

use crate::ended::{Complaint, Ended};
use crate::render::Output;
use crate::render::paint::plain;

const PODMAN: &str = "podman";

/// podman ends with its reader; one that does not is not waited for.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// Lines of what podman says that are passed on: the last ones have the cause.
const LINES: usize = 3;

/// podman writing an image.
#[derive(Debug)]
pub struct Saving {
    reference: String,
    task: JoinHandle<io::Result<Said>>,
}

/// Fetches an image unless it is here, and begins to write it into a pipe.
///
/// # Errors
/// podman is missing, or cannot have the image.
pub async fn save(output: Output, reference: &str) -> Result<(OwnedFd, Saving), Ended> {
    let absent = |error: io::Error| missing(reference, &error);
    let here = podman(&["image", "exists", reference]).output().await.map_err(absent)?;
    if !here.status.success() {
        if !output.json() {
            output.note(&format!("podman fetches {}", plain(reference)))?;
        }
        let fetched = podman(&["pull", "--quiet", reference]).output().await.map_err(absent)?;
        if !fetched.status.success() {
            return Err(failed(reference, "podman cannot fetch it", &fetched).into());
        }
    }
    let (reader, writer) = io::pipe()?;
    // The command goes with this statement, and with it our hold on the pipe's writing end.
    let child = podman(&["save", "--format", "docker-archive", reference])
        .stdout(writer)
        .spawn()
        .map_err(absent)?;
    let task = tokio::spawn(child.wait_with_output());
    Ok((reader.into(), Saving { reference: reference.to_owned(), task }))
}

impl Saving {
    /// What podman itself failed at. None where it did well, or only lost its reader: then whoever
    /// read knows why.
    pub async fn fault(mut self) -> Option<Complaint> {
        let Ok(ended) = tokio::time::timeout(ENDS_WITHIN, &mut self.task).await else {
            self.task.abort();
            return None;
        };
        let said = ended.ok()?.ok()?;
        let lost = String::from_utf8_lossy(&said.stderr).to_lowercase().contains("broken pipe");
        if said.status.code().is_none_or(|code| code == 0) || lost {
            return None;
        }
        Some(failed(&self.reference, "podman cannot write it", &said))
    }
}

fn podman(words: &[&str]) -> Command {
    let mut command = Command::new(PODMAN);
    command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.kill_on_drop(true);
    command
}

fn missing(reference: &str, error: &io::Error) -> Complaint {
    let why = match error.kind() {
        io::ErrorKind::NotFound => "images come through podman, and it is not installed".to_owned(),
        _ => format!("podman cannot be run: {error}"),
    };
    let fix = "install podman; or `podman save --format docker-archive` the image where there is one, and import the file";
    Complaint::of(Kind::Unsupported, what(reference), why, fix)
}

fn failed(reference: &str, how: &str, said: &Said) -> Complaint {
    let text = String::from_utf8_lossy(&said.stderr);
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines[lines.len().saturating_sub(LINES)..].join("; ");
    let why = format!("{how}: {}", if last.is_empty() { "it does not say why" } else { &last });
    let fix = "see whether `podman pull` can have it; where a path is meant, begin it with ./";
    Complaint::of(Kind::Internal, what(reference), plain(&why), fix)
}

fn what(reference: &str) -> String {
    format!("image {} was not taken in", plain(reference))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::*;

    fn said(code: i32, words: &str) -> Said {
        // A wait status has the exit code in its second byte.
        let status = ExitStatus::from_raw(code << 8);
        Said { status, stdout: Vec::new(), stderr: words.into() }
    }

    #[test]
    fn what_podman_says_last_is_passed_on() {
        let complaint =
            failed("a/b:1", "podman cannot fetch it", &said(125, "1\n2\n\n3\nError: 4\n"));
        assert_eq!(complaint.what, "image a/b:1 was not taken in");
        assert_eq!(complaint.why, "podman cannot fetch it: 2; 3; Error: 4");
        let silent = failed("a/b:1", "podman cannot write it", &said(1, ""));
        assert_eq!(silent.why, "podman cannot write it: it does not say why");
    }

    #[tokio::test]
    async fn a_lost_reader_is_not_podmans_fault() {
        let cases = [
            (0, "", false),
            (125, "Error: write |1: broken pipe", false),
            (125, "Error: no space left on device", true),
        ];
        for (code, words, fault) in cases {
            let said = said(code, words);
            let task = tokio::spawn(async move { Ok(said) });
            let saving = Saving { reference: "a/b:1".into(), task };
            assert_eq!(saving.fault().await.is_some(), fault, "{code} {words}");
        }
    }
}

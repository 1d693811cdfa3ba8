//! Network state, written: interfaces renamed, and what went with a driver put back. A program of its
//! own does it (`onloadd --write-network`), which the daemon has systemd run: the daemon itself may
//! change no interface.

use std::fmt;
use std::io::{self, Read, Write as _};
use std::path::Path;
use std::process::ExitCode;

use onload_core::naming::Renaming;
use onload_core::network::Deed;
use serde::{Deserialize, Serialize};

mod attribute;
mod ethtool;
mod links;
mod netlink;
mod rename;
mod restore;

/// The argument that makes this program the one that writes.
pub const ARGUMENT: &str = "--write-network";
/// Most that a request may take as JSON: some 20,000 routes. A node with more of them has a router
/// that puts them back.
pub const INPUT_BYTES: usize = 8 << 20;
/// Exit status where nothing was tried.
const NOTHING_TRIED: u8 = 2;

/// What the program is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Rename interfaces: all of them or none.
    Rename(Vec<Renaming>),
    /// Put network state back, in order; what fails keeps nothing else from being tried.
    Restore(Vec<Deed>),
}

/// One thing that was not done. The program prints a line of JSON for each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Failure {
    /// What it was, in words.
    pub deed: String,
    /// Why it was not done.
    pub why: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.deed, self.why)
    }
}

/// A request as the program reads it.
///
/// # Errors
/// It is more than the program reads.
pub fn encode(request: &Request) -> Result<Vec<u8>, String> {
    let text = serde_json::to_vec(request).map_err(|error| error.to_string())?;
    if text.len() > INPUT_BYTES { Err(too_much()) } else { Ok(text) }
}

/// The program: reads a [`Request`] as JSON from standard input and carries it out, with the sysfs
/// below `root`. Ends with 0 if all of it was done, 1 if a [`Failure`] was printed for what was not,
/// and 2 where nothing was tried.
pub fn run(root: &Path) -> ExitCode {
    let failures = match carry_out(root, io::stdin().lock()) {
        Ok(failures) => failures,
        Err(why) => {
            let fix = "have onloadd run it, of the same version";
            let _ = writeln!(
                io::stderr(),
                "error: nothing was done to the network\n  why: {why}\n  fix: {fix}"
            );
            return ExitCode::from(NOTHING_TRIED);
        }
    };
    for failure in &failures {
        let line = serde_json::to_string(failure).unwrap_or_else(|_| failure.to_string());
        // Nobody is there to be told that nobody is there.
        let _ = writeln!(io::stdout(), "{line}");
    }
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What a run of the program said was not done.
pub fn said(output: &str) -> Vec<Failure> {
    output.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn carry_out(root: &Path, input: impl Read) -> Result<Vec<Failure>, String> {
    let request = decode(input)?;
    let mut links = links::Rtnetlink::open(root).map_err(|refused| refused.to_string())?;
    Ok(match request {
        Request::Rename(all) => rename::all_or_none(&mut links, &all).err().unwrap_or_default(),
        Request::Restore(deeds) => restore::each_deed(&mut links, &deeds),
    })
}

fn decode(input: impl Read) -> Result<Request, String> {
    let mut text = Vec::new();
    let most = u64::try_from(INPUT_BYTES).unwrap_or(u64::MAX);
    let read = input.take(most + 1).read_to_end(&mut text);
    read.map_err(|error| format!("the request cannot be read: {error}"))?;
    if text.len() > INPUT_BYTES {
        return Err(too_much());
    }
    serde_json::from_slice(&text).map_err(|error| format!("the request is none: {error}"))
}

fn too_much() -> String {
    format!("what is to be written takes more than {} MiB", INPUT_BYTES >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_it_was_written_and_nothing_else_is() {
        let text =
            br#"{"rename":[{"port":"0000:3b:00.0","from":"a","to":"b","may-go-down":true}]}"#;
        let request = decode(&text[..]).unwrap();
        assert_eq!(encode(&request).unwrap(), text);
        let restore = Request::Restore(vec![Deed::Up { link: "a".parse().unwrap(), up: true }]);
        assert_eq!(decode(&*encode(&restore).unwrap()), Ok(restore));
        for odd in ["", "[]", "{}", r#"{"rename":[],"restore":[]}"#, r#"{"remove":[]}"#] {
            assert!(
                decode(odd.as_bytes()).unwrap_err().starts_with("the request is none"),
                "{odd}"
            );
        }
        let huge = " ".repeat(INPUT_BYTES + 1);
        assert!(decode(huge.as_bytes()).unwrap_err().contains("more than 8 MiB"));
    }

    #[test]
    fn what_was_not_done_is_found_among_other_words() {
        let failure = Failure { deed: "set a up".to_owned(), why: "it burns".to_owned() };
        let line = serde_json::to_string(&failure).unwrap();
        assert_eq!(said(&format!("words\n{line}\n{{}}\n")), [failure]);
    }
}

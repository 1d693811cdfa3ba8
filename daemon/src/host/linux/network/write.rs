//! Network state written by a run of our own program that may do what the daemon may not: see
//! [`crate::network`]. And whoever owns a link, asked to set it up again.

use std::fs;
use std::path::Path;

use onload_core::names::InterfaceName;
use onload_core::naming::Renaming;
use onload_core::network::{Deed, Owner};
use onload_core::step::{Outcome, StepError};

use super::super::Linux;
use super::super::runner::{Confined, Ended, Program};
use super::super::variables::own_file;
use super::hand_back;
use crate::network::{ARGUMENT, Request, encode, said};

/// CAP_NET_ADMIN, a number of `linux/capability.h`.
const CAPABILITIES: u64 = 1 << 12;
/// Where the kernel shows interfaces.
const INTERFACES: &str = "/sys/class/net";
/// What virtual functions are enabled by, below the directory of the device.
const FUNCTIONS: &str = "device/sriov_numvfs";
/// What neither comes from the kernel nor from a deed.
const FIX: &str = "restart onloadd, if it was upgraded since it was started; else see \
                   `journalctl -u onloadd-write-network.service`";

impl Linux {
    /// Renames interfaces: all of them or none.
    pub(in super::super) async fn have_renamed(
        &self,
        all: &[Renaming],
    ) -> Result<Outcome, StepError> {
        let ended = self.write_network(Request::Rename(all.to_vec()), Vec::new()).await;
        renamed(ended?)
    }

    /// Has network state put back, as much of it as the kernel takes.
    pub(in super::super) async fn have_restored(
        &self,
        deeds: &[Deed],
    ) -> Result<Outcome, StepError> {
        let writable = writable(Path::new(INTERFACES), deeds);
        let ended = self.write_network(Request::Restore(deeds.to_vec()), writable).await;
        restored(ended?)
    }

    /// Asks the owner of an interface to set it up again.
    pub(in super::super) async fn hand_back(
        &self,
        interface: &InterfaceName,
        owner: &Owner,
    ) -> Result<Outcome, StepError> {
        hand_back::ask_owner(interface, owner).await
    }

    async fn write_network(
        &self,
        request: Request,
        writable: Vec<String>,
    ) -> Result<Ended, StepError> {
        let unsent = |why: String| StepError::Failed(format!("the network was left alone: {why}"));
        let confined = Confined {
            input: encode(&request).map_err(unsent)?,
            file: own_file().map_err(|error| unsent(error.to_string()))?,
            capabilities: CAPABILITIES,
            writable,
            network: true,
        };
        self.programs.run_confined(&program(), &confined).await
    }
}

fn program() -> Program {
    Program {
        unit: "onloadd-write-network.service".to_owned(),
        description: "Put interfaces in order for onloadd".to_owned(),
        name: "onloadd",
        arguments: vec![ARGUMENT.to_owned()],
        environment: Vec::new(),
        path: Vec::new(),
    }
}

/// What is written below sysfs: nothing but how many virtual functions a port has. What is not there
/// is the program's to tell.
fn writable(interfaces: &Path, deeds: &[Deed]) -> Vec<String> {
    let files = deeds.iter().filter_map(|deed| {
        let Deed::Functions { link, .. } = deed else { return None };
        let file = interfaces.join(link.as_str()).join(FUNCTIONS);
        Some(fs::canonicalize(file).ok()?.to_str()?.to_owned())
    });
    files.collect()
}

fn renamed(ended: Ended) -> Result<Outcome, StepError> {
    if ended.success {
        return Ok(Outcome::Changed);
    }
    let failures = said(&ended.output);
    let Some((first, left)) = failures.split_first() else { return Err(unknown(&ended.output)) };
    if left.is_empty() {
        return Err(StepError::Failed(format!("no interface was renamed: {first}")));
    }
    let left: Vec<_> = left.iter().map(ToString::to_string).collect();
    Err(StepError::Failed(format!(
        "interfaces were renamed in part: {first}; and what was not undone: {}",
        left.join("; ")
    )))
}

fn restored(ended: Ended) -> Result<Outcome, StepError> {
    let failures = said(&ended.output);
    if !ended.success && failures.is_empty() {
        return Err(unknown(&ended.output));
    }
    for failure in failures {
        tracing::warn!(
            what = "a piece of network state was not put back",
            deed = failure.deed,
            why = failure.why,
            fix = "where the next look does not show it as it was, set it by hand",
            "network state was not put back"
        );
    }
    Ok(Outcome::Changed)
}

/// The program did not get as far as to say what it did.
fn unknown(output: &str) -> StepError {
    let why = match output.trim() {
        "" => "the program that changes the network ended without a word",
        why => why,
    };
    StepError::Failed(format!("the network was not changed: {why}; {FIX}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Failure;

    fn ended(success: bool, output: &[&str]) -> Ended {
        Ended { success, output: output.join("\n") }
    }

    fn failure(deed: &str) -> String {
        let failure = Failure { deed: deed.to_owned(), why: "it is taken".to_owned() };
        serde_json::to_string(&failure).unwrap()
    }

    fn why(result: Result<Outcome, StepError>) -> String {
        let Err(StepError::Failed(why)) = result else { panic!("{result:?}") };
        why
    }

    #[test]
    fn a_renaming_that_fails_says_what_is_left_of_it() {
        assert_eq!(renamed(ended(true, &[])), Ok(Outcome::Changed));
        let (first, left) = (failure("rename a to b"), failure("call it c again"));
        let one = why(renamed(ended(false, &[&first])));
        assert_eq!(one, "no interface was renamed: rename a to b: it is taken");
        let two = why(renamed(ended(false, &[&first, &left])));
        assert!(two.contains("in part") && two.contains("not undone: call it c again"), "{two}");
        for output in ["", "error: unexpected argument"] {
            let none = why(renamed(ended(false, &[output])));
            assert!(none.contains("not changed") && none.contains("restart onloadd"), "{none}");
        }
    }

    #[test]
    fn what_is_put_back_in_part_is_put_back() {
        assert_eq!(restored(ended(true, &[])), Ok(Outcome::Changed));
        assert_eq!(restored(ended(false, &[&failure("set a up")])), Ok(Outcome::Changed));
        assert!(why(restored(ended(false, &["Killed"]))).contains("Killed"));
    }

    #[test]
    fn only_the_number_of_functions_is_written_below_sysfs() {
        let place = tempfile::tempdir().unwrap();
        let device = place.path().join("0000:3b:00.0");
        fs::create_dir_all(&device).unwrap();
        fs::write(device.join("sriov_numvfs"), "0\n").unwrap();
        fs::create_dir(place.path().join("a")).unwrap();
        std::os::unix::fs::symlink(&device, place.path().join("a/device")).unwrap();
        let link = |name: &str| name.parse::<InterfaceName>().unwrap();
        let deeds = [
            Deed::Functions { link: link("a"), count: 2 },
            Deed::Functions { link: link("gone"), count: 2 },
            Deed::Up { link: link("a"), up: true },
        ];
        let file = device.canonicalize().unwrap().join("sriov_numvfs");
        assert_eq!(writable(place.path(), &deeds), [file.to_str().unwrap()]);
    }
}

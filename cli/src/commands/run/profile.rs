//! The profiles that a command is run with, evaluated here and not by onloadd: what they come to
//! depends on the caller's environment and on the command's words, as with the `onload` launcher,
//! and a path names a file that the caller may read, which onloadd need not.
//!
//! Only the texts of the release in use are onloadd's to say: it knows which release that is.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use onload_core::profile::{Reason, Refused, Request, SUFFIX, evaluate};
use onload_dbus::proxies::ManagerProxy;

use super::{Environment, PRELOAD, environment};
use crate::commands::profile::{self, list};
use crate::ended::{Complaint, Ended};
use crate::render::Output;
use crate::render::paint::plain;

/// Where profiles come from for one command.
struct Shelf {
    /// The caller's own, looked at first, as the launcher does.
    own: Option<String>,
    /// Where the release in use has its own.
    directory: String,
    /// What lies there, by file name.
    files: BTreeMap<String, Result<String, String>>,
}

/// What profiles come to for a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// Variables that they set.
    pub(super) set: BTreeMap<String, String>,
    /// Variables that they take away, the caller's and the pool's.
    pub(super) removed: BTreeSet<String>,
}

/// What profiles change in the environment of a command.
pub(super) async fn changes(
    manager: &ManagerProxy<'_>,
    output: Output,
    wanted: &super::Wanted<'_>,
) -> Result<Changes, Ended> {
    let of_pool = environment(manager, wanted).await?;
    let (directory, files, unreadable) = manager.profiles().await?;
    let files = files.into_iter().map(|(name, text)| (name, Ok(text)));
    let unreadable = unreadable.into_iter().map(|(name, why)| (name, Err(why)));
    let files = files.chain(unreadable).collect();
    let shelf = Shelf { own: profile::of_user(), directory, files };
    let request = Request {
        profiles: wanted.profiles.to_vec(),
        directories: shelf.own.iter().chain([&shelf.directory]).cloned().collect(),
        environment: present(std::env::vars_os(), of_pool),
        arguments: wanted.words.iter().map(|word| word.to_string_lossy().into_owned()).collect(),
        ..Request::default()
    };
    let outcome = evaluate(&request, &|path: &str| shelf.read(path))
        .map_err(|refused| complaint(wanted, &shelf, &refused))?;
    if !output.json() {
        profile::tell(output, &profile::notes(&outcome))?;
    }
    let set = outcome.variables.into_iter().filter(|(_, one)| one.origin.is_some());
    let set = set.map(|(name, one)| (name, one.value)).collect();
    Ok(Changes { set, removed: outcome.removed })
}

/// The environment that profiles meet: the caller's, then the pool's own variables. The library to
/// preload is none of it: it comes before whatever a profile preloads.
fn present(
    own: impl Iterator<Item = (OsString, OsString)>,
    of_pool: Environment,
) -> BTreeMap<String, String> {
    // What is no text is passed on to the command untouched; profiles see it as near as text can.
    let text = |text: OsString| text.to_string_lossy().into_owned();
    let mut all: BTreeMap<_, _> = own.map(|(name, value)| (text(name), text(value))).collect();
    for (name, value) in of_pool.into_iter().filter(|(name, _)| name != PRELOAD) {
        let present = all.entry(name).or_default();
        if present.is_empty() {
            *present = value;
        }
    }
    all
}

impl Shelf {
    /// What a path holds: below the release's directory by onloadd's word, elsewhere what the caller
    /// may read.
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, String> {
        let below = path.strip_prefix(&self.directory).and_then(|rest| rest.strip_prefix('/'));
        match below {
            Some(name) => {
                let text = self.files.get(name).cloned().transpose()?;
                Ok(text.map(String::into_bytes))
            }
            None => profile::read(path),
        }
    }

    /// The names that can be given.
    fn names(&self) -> Vec<String> {
        let own = self.own.iter().flat_map(|directory| list::names(directory));
        let of_release = self.files.keys().filter_map(|name| name.strip_suffix(SUFFIX));
        let mut names: Vec<_> = own.chain(of_release.map(str::to_owned)).collect();
        names.sort();
        names.dedup();
        names
    }
}

fn complaint(wanted: &super::Wanted<'_>, shelf: &Shelf, refused: &Refused) -> Complaint {
    let program = wanted.words.first().map(|word| word.to_string_lossy()).unwrap_or_default();
    let profiles = wanted.profiles.join(",");
    let what = format!(
        "{} was not run, and nothing was lent: profile {} is not evaluated",
        plain(&program),
        plain(&profiles)
    );
    let fix = match (&refused.reason, refused.unless.first(), &shelf.names()[..]) {
        (Reason::NotFound { .. }, _, []) => {
            "give the path of a file: the release in use has no profiles".to_owned()
        }
        (Reason::NotFound { .. }, _, names) => {
            format!("give the path of a file, or one of {}", names.join(", "))
        }
        (_, Some(name), _) => format!("{} (here: {name}=VALUE onloadctl run …)", refused.fix()),
        (_, None, _) => refused.fix(),
    };
    profile::complaint_of(refused, &what, fix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_meet_the_callers_environment_before_the_pools() {
        let own = [("EF_A", "1"), ("EF_B", ""), (PRELOAD, "x.so")];
        let own = own.map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let pool = [("EF_A", "2"), ("EF_B", "2"), ("EF_C", "2"), (PRELOAD, "/lib/libonload.so")];
        let pool = pool.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let met = present(own.into_iter(), pool.into_iter().collect());
        let expected = [("EF_A", "1"), ("EF_B", "2"), ("EF_C", "2"), (PRELOAD, "x.so")];
        assert_eq!(met, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    }

    #[test]
    fn the_release_is_by_word_and_the_rest_by_file() {
        let files = [("a.opf", Ok("text")), ("b.opf", Err("EIO"))];
        let files = files
            .map(|(name, text)| (name.to_owned(), text.map(str::to_owned).map_err(str::to_owned)));
        let directory = env!("CARGO_MANIFEST_DIR").to_owned();
        let shelf = Shelf { own: None, directory, files: files.into() };
        let at = |name: &str| format!("{}/{name}", env!("CARGO_MANIFEST_DIR"));
        assert_eq!(shelf.read(&at("a.opf")), Ok(Some(b"text".to_vec())));
        assert_eq!(shelf.read(&at("b.opf")), Err("EIO".to_owned()));
        assert_eq!(shelf.read(&at("Cargo.toml")), Ok(None), "it is there, and no profile of it");
        assert!(shelf.read(&at("/../Cargo.toml")).is_ok_and(|held| held.is_none()));
        assert!(shelf.read(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml")).is_ok());
        assert_eq!(shelf.names(), ["a", "b"]);
    }
}

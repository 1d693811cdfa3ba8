//! `profile`: Onload profiles as files, what they come to, and ConfigMaps of them. The one verb that
//! reads files by itself: it must work where no onloadd runs, as on the desk of who writes a
//! profile. One file per verb below it.

mod configmap;
mod env;
pub(super) mod list;
mod show;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::path::Path;

use clap::{Args as Group, Subcommand};
use onload_core::profile::{
    Outcome, Precedence, Reason, Refused, Request, SUFFIX, candidates, evaluate,
};
use onload_dbus::error::Kind;
use serde::Serialize;

use crate::ended::{Complaint, Ended};
use crate::render::Output;
use crate::render::paint::plain;

/// Where the launcher looks below the home directory.
const OF_USER: &str = ".openonload/profiles";
/// The profiles of the release in use, where it was taken in by onloadd.
const OF_RELEASE: &str = "/var/lib/onloadd/releases/current/usr/libexec/onload/profiles";
/// The profiles of the host's own packages.
const OF_HOST: &str = "/usr/libexec/onload/profiles";
/// More than any profile has; what is longer is refused by its length.
const LONGEST_FILE: u64 = 65 * 1024;

/// What to do with profiles. None of it needs onloadd.
#[derive(Clone, Debug, Subcommand)]
pub enum ProfileVerb {
    /// Profiles that can be named, and where each is from
    List(Shelf),
    /// The text of one, where it is from, and what it imports
    Show {
        /// Its name, or the path of a file
        #[arg(value_name = "NAME|FILE")]
        profile: String,
        #[command(flatten)]
        shelf: Shelf,
    },
    /// The variables that profiles come to, one NAME=VALUE per line, quoted for a shell
    Env {
        /// Names or paths, from left to right; commas part them as well
        #[arg(value_name = "NAME|FILE", required = true, value_delimiter = ',')]
        profiles: Vec<String>,
        #[command(flatten)]
        given: Given,
        /// The program's command line, which some profiles look at
        #[arg(last = true, value_name = "COMMAND")]
        arguments: Vec<String>,
    },
    /// A ConfigMap of each profile, as YAML
    Configmap {
        /// Names or paths; commas part them as well
        #[arg(value_name = "NAME|FILE", required = true, value_delimiter = ',')]
        profiles: Vec<String>,
        /// Namespace to write into them
        #[arg(long, value_name = "NAME")]
        namespace: Option<String>,
        /// Name of the one that is made; onload-PROFILE-profile otherwise
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        #[command(flatten)]
        given: Given,
    },
}

/// Where profiles are looked for.
#[derive(Clone, Debug, Default, Group)]
pub struct Shelf {
    /// Look here and nowhere else; may be given several times, the first is looked at first
    #[arg(long, value_name = "DIR")]
    pub directory: Vec<String>,
}

/// What a profile meets.
#[derive(Clone, Debug, Default, Group)]
pub struct Given {
    /// A variable that the program's environment already has; it wins over profiles
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = variable)]
    pub set: Vec<(String, String)>,
    /// Let profiles win over the environment, and later ones over earlier ones
    #[arg(long)]
    pub force_profiles: bool,
    #[command(flatten)]
    pub shelf: Shelf,
}

fn variable(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').filter(|(name, _)| onload_core::profile::is_name(name));
    let parts = parts.filter(|(_, value)| !value.contains('\0'));
    parts
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| "not of the form NAME=VALUE".to_owned())
}

/// A directory with profiles.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Directory {
    path: String,
    /// In a word: user, release, host, or directory for one that was named.
    from: &'static str,
}

/// The word for a file that was named by its path.
const BY_PATH: &str = "file";

/// Something beside a profile's variables.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Note {
    file: String,
    line: usize,
    text: String,
}

/// Does what was asked.
pub fn run(output: Output, verb: ProfileVerb) -> Result<(), Ended> {
    match verb {
        ProfileVerb::List(shelf) => output.page(&list::read(&directories(&shelf))?)?,
        ProfileVerb::Show { profile, shelf } => {
            output.page(&show::read(&directories(&shelf), &profile)?)?;
        }
        ProfileVerb::Env { profiles, given, arguments } => {
            env::print(output, &profiles, &given, arguments)?;
        }
        ProfileVerb::Configmap { profiles, namespace, name, given } => {
            let of = configmap::Wanted { profiles: &profiles, namespace, name };
            configmap::print(output, of, &given)?;
        }
    }
    Ok(())
}

/// Where to look, the first first.
fn directories(shelf: &Shelf) -> Vec<Directory> {
    if !shelf.directory.is_empty() {
        let named = shelf.directory.iter().map(|path| path.trim_end_matches('/').to_owned());
        return named.map(|path| Directory { path, from: "directory" }).collect();
    }
    let user = of_user().map(|path| (path, "user"));
    let others = [(OF_RELEASE.to_owned(), "release"), (OF_HOST.to_owned(), "host")];
    let all = user.into_iter().chain(others);
    all.map(|(path, from)| Directory { path, from }).collect()
}

/// Where a user has profiles; none without a home directory.
pub(super) fn of_user() -> Option<String> {
    let home = std::env::var("HOME").ok().filter(|home| home.starts_with('/'))?;
    Some(format!("{}/{OF_USER}", home.trim_end_matches('/')))
}

/// What a path holds; none where there is no such file.
pub(super) fn read(path: &str) -> Result<Option<Vec<u8>>, String> {
    let read = || -> io::Result<Vec<u8>> {
        // Asked first: opening a pipe would wait for somebody to write.
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        let mut bytes = Vec::new();
        File::open(path)?.take(LONGEST_FILE).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match read() {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Finds a profile by name or path: where it is, where that is from, what it holds.
fn find(
    directories: &[Directory],
    name: &str,
    what: &str,
) -> Result<(String, &'static str, Vec<u8>), Complaint> {
    let paths: Vec<_> = directories.iter().map(|one| one.path.clone()).collect();
    let looked = candidates(name, &paths, false);
    let refused = |reason| {
        let refused = Refused { file: name.to_owned(), place: None, reason, unless: Vec::new() };
        complaint(what, &refused)
    };
    for path in &looked {
        let held = read(path);
        let held = held.map_err(|why| refused(Reason::Unreadable(format!("{path}: {why}"))))?;
        if let Some(bytes) = held {
            let from = directories.iter().find(|one| is_below(path, &one.path));
            return Ok((path.clone(), from.map_or(BY_PATH, |one| one.from), bytes));
        }
    }
    Err(refused(Reason::NotFound { name: name.to_owned(), looked }))
}

fn is_below(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
}

/// A profile's name: of a path, the file's without its end.
fn name_of(profile: &str) -> &str {
    let file = if profile.contains('/') {
        Path::new(profile).file_name().and_then(|name| name.to_str()).unwrap_or(profile)
    } else {
        profile
    };
    file.strip_suffix(SUFFIX).unwrap_or(file)
}

/// Evaluates profiles as one launch would.
fn outcome(
    profiles: &[String],
    given: &Given,
    arguments: Vec<String>,
) -> Result<Outcome, Complaint> {
    let request = Request {
        profiles: profiles.to_vec(),
        directories: directories(&given.shelf).into_iter().map(|one| one.path).collect(),
        environment: given.set.iter().cloned().collect::<BTreeMap<_, _>>(),
        arguments,
        precedence: match given.force_profiles {
            true => Precedence::Profiles,
            false => Precedence::Environment,
        },
    };
    let what = || format!("profile {} is not evaluated", plain(&profiles.join(",")));
    evaluate(&request, &read).map_err(|refused| complaint(&what(), &refused))
}

fn complaint(what: &str, refused: &Refused) -> Complaint {
    let fix = match refused.unless.first() {
        Some(_) => format!("{} (here: --set NAME=VALUE)", refused.fix()),
        None => refused.fix(),
    };
    complaint_of(refused, what, fix)
}

/// Why a profile has no value, where it is known what to do.
pub(super) fn complaint_of(refused: &Refused, what: &str, fix: String) -> Complaint {
    let kind = match refused.reason {
        Reason::NotFound { .. } | Reason::Unreadable(_) => Kind::NotFound,
        Reason::NeedsShell(_) => Kind::Unsupported,
        Reason::Syntax(_)
        | Reason::Cycle(_)
        | Reason::TooLarge(_)
        | Reason::Arithmetic(_)
        | Reason::Fails(_) => Kind::InvalidArgument,
    };
    let why = match refused.place {
        Some(_) => refused.to_string(),
        None => refused.reason.to_string(),
    };
    Complaint::of(kind, what, why, fix)
}

/// What deserves to be known of an outcome.
pub(super) fn notes(outcome: &Outcome) -> Vec<Note> {
    let each = outcome.notes.iter();
    each.map(|note| Note {
        file: note.origin.file.clone(),
        line: note.origin.line,
        text: note.text.clone(),
    })
    .collect()
}

/// Tells what deserves to be known, beside the answer.
pub(super) fn tell(output: Output, notes: &[Note]) -> io::Result<()> {
    notes.iter().try_for_each(|note| {
        output.note(&plain(&format!("{}:{}: {}", note.file, note.line, note.text)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_name_and_of_a_path_its_file() {
        let cases = [
            ("latency", "latency"),
            ("/a/b/latency.opf", "latency"),
            ("./my_own.opf", "my_own"),
            ("a/b", "b"),
        ];
        for (profile, name) in cases {
            assert_eq!(name_of(profile), name, "{profile}");
        }
    }

    #[test]
    fn a_pipe_or_a_directory_is_no_profile() {
        assert_eq!(read("/nonexistent/x"), Ok(None));
        assert!(read("/").is_err());
        assert!(read("/dev/null").is_err());
    }
}

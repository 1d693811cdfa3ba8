//! `naming render`: link files of a MachineConfig, from a configuration. It speaks to no onloadd: it is
//! for the desk where MachineConfigs are made. What the files say is decided by `onload-core`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, IsTerminal as _, Read as _};
use std::path::Path;

use onload_core::config::{Config, Fragment};
use onload_core::naming::{self, is_rendered};
use onload_dbus::error::Kind;
use serde::Serialize;

use crate::ended::{Complaint, Ended};
use crate::render::paint::plain;
use crate::render::{Output, Page};

/// The word for standard input, and what it is called in messages.
const INPUT: (&str, &str) = ("-", "standard input");
/// More than core accepts, so that core can say that it is too long.
const LONGEST_FILE: u64 = 1024 * 1024;
/// What does not happen.
const WHAT: &str = "no link file was rendered";

/// What was rendered.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Rendered {
    files: Vec<LinkFile>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct LinkFile {
    /// Where it belongs on the node.
    path: String,
    text: String,
    /// Where it was written here.
    written: Option<String>,
}

/// Renders the files and prints or writes them; nothing at all where one cannot be made.
pub fn run(output: Output, config: &[String], directory: Option<&str>) -> Result<(), Ended> {
    let fragments: Vec<_> = config.iter().map(|file| read(file)).collect::<Result<_, _>>()?;
    let merged = Config::merge(&fragments).map_err(|error| {
        let fix = "mend the configuration: the one that comes with onloadd has every setting";
        Complaint::of(Kind::InvalidArgument, WHAT, plain(&error.to_string()), fix)
    })?;
    let files = naming::render(&merged.settings.naming).map_err(|refusal| {
        Complaint::of(Kind::InvalidArgument, refusal.what, refusal.why, refusal.fix)
    })?;
    if files.is_empty() {
        let why = "[naming] names no port: only with `policy = \"explicit\"` are names the configuration's, otherwise they are the nodes' own";
        let fix =
            "write `policy = \"explicit\"`, and [[naming.ports]] with `mac` or `pci` and a name";
        return Err(Complaint::of(Kind::InvalidArgument, WHAT, why, fix).into());
    }
    let rendered = match directory {
        Some(directory) => written(output, files, Path::new(directory))?,
        None => Rendered {
            files: files
                .into_iter()
                .map(|(path, text)| LinkFile { path, text, written: None })
                .collect(),
        },
    };
    Ok(output.page(&rendered)?)
}

fn read(file: &str) -> Result<Fragment, Complaint> {
    let name = if file == INPUT.0 { INPUT.1 } else { file };
    let refuse = |why: String, fix: &str| Complaint::of(Kind::NotFound, WHAT, why, fix);
    let text = |source: &mut dyn io::Read| -> io::Result<String> {
        let mut text = String::new();
        source.take(LONGEST_FILE).read_to_string(&mut text)?;
        Ok(text)
    };
    let read = match file == INPUT.0 {
        true if io::stdin().is_terminal() => {
            let why = "no configuration was named, and nobody writes one to standard input";
            return Err(refuse(why.to_owned(), "name it: --config FILE"));
        }
        true => text(&mut io::stdin().lock()),
        false => File::open(file).and_then(|mut file| text(&mut file)),
    };
    match read {
        Ok(text) => Ok(Fragment { file: name.to_owned(), text }),
        Err(error) => {
            let why = format!("{} cannot be read: {error}", plain(name));
            Err(refuse(why, "name a file of onloadd's configuration: --config FILE"))
        }
    }
}

/// Writes the files. One of an earlier rendering is told, not removed: whose directory it is, is not known.
fn written(
    output: Output,
    files: BTreeMap<String, String>,
    directory: &Path,
) -> Result<Rendered, Ended> {
    let refuse = |path: &Path, error: io::Error| {
        let why = format!("{}: {error}", plain(&path.to_string_lossy()));
        let fix = "name a directory that can be written: --output DIR";
        Ended::from(Complaint::of(Kind::InvalidArgument, "not all files were written", why, fix))
    };
    fs::create_dir_all(directory).map_err(|error| refuse(directory, error))?;
    let mut all = Vec::new();
    for (path, text) in files {
        let place = directory.join(base(&path));
        fs::write(&place, &text).map_err(|error| refuse(&place, error))?;
        all.push(LinkFile { path, text, written: Some(place.to_string_lossy().into_owned()) });
    }
    let entries = fs::read_dir(directory).map_err(|error| refuse(directory, error))?;
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut left: Vec<_> = names
        .filter(|name| is_rendered(name) && !all.iter().any(|file| base(&file.path) == name))
        .collect();
    left.sort();
    for name in left {
        let path = directory.join(name);
        let path = plain(&path.to_string_lossy());
        output.note(&format!("{path} is of no port in this configuration: remove it"))?;
    }
    Ok(Rendered { files: all })
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

impl Page for Rendered {
    fn text(&self, _now: u64) -> String {
        let printed = |file: &LinkFile| match &file.written {
            Some(written) => format!("{}\n", plain(written)),
            None => format!("# {}\n{}", file.path, file.text),
        };
        let between = if self.files.iter().any(|file| file.written.is_some()) { "" } else { "\n" };
        self.files.iter().map(printed).collect::<Vec<_>>().join(between)
    }
}

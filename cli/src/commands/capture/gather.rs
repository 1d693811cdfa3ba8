//! Everything that is captured, as it is found.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::machine::{self, Private};
use super::programs::Printed;
use super::tree::{Tree, read};
use super::{CaptureArgs, WHAT, documents, programs};
use crate::args::Bus;
use crate::ended::{Complaint, Ended};
use crate::render::paint::{Paint, plain};
use onload_dbus::error::Kind;

/// Where the ledger is, and what it is called.
const STATE: &str = "var/lib/onloadd";
/// Where configuration is, and what its files are called.
const CONFIGURATION: [&str; 3] = ["usr/lib/onloadd", "run/onloadd", "etc/onloadd"];
const SETTINGS: [&str; 2] = ["onloadd.toml", "onloadd.toml.d"];
/// Newest lines of a journal that are taken: a daemon that says something every second for six hours.
const LINES: &str = "20000";
/// A journal of a year on a slow disk is searched in some ten seconds.
const LIMIT: Duration = Duration::from_secs(30);
/// Stacks are shown at once, or the driver is stuck.
const STACKS_LIMIT: Duration = Duration::from_secs(10);
/// Packages that Onload or onloadd may have come in.
const PACKAGES: [&str; 6] =
    ["onloadd", "onload", "onload-kmod", "kmod-onload", "sfc-kmod", "sfptpd"];

/// What could not be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Gap {
    pub(super) what: String,
    pub(super) why: String,
}

impl Gap {
    pub(super) fn line(&self) -> String {
        format!("{} {}: {}", Paint::Warn.on("missing"), plain(&self.what), plain(&self.why))
    }
}

/// What could, and what could not.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) tree: Tree,
    pub(super) gaps: Vec<Gap>,
}

impl Gathered {
    pub(super) fn missing(&mut self, what: &str, why: impl Into<String>) {
        self.gaps.push(Gap { what: what.to_owned(), why: why.into() });
    }

    fn put(&mut self, what: &str, path: &str, content: Result<Vec<u8>, String>) {
        match content {
            Ok(content) => self.tree.file(path, content),
            Err(why) => self.missing(what, why),
        }
    }

    fn put_printed(&mut self, what: &str, path: &str, said: Result<Printed, String>) {
        let said = said.map(|said| self.text(what, said));
        self.put(what, path, said);
    }

    /// What a program printed; that some of it is missing is told.
    fn text(&mut self, what: &str, Printed { text, cut }: Printed) -> Vec<u8> {
        if let Some(why) = cut {
            self.missing(what, why);
        }
        text
    }
}

/// Looks everywhere.
pub(super) async fn gather(bus: &Bus, how: &CaptureArgs, host: &str) -> Result<Gathered, Ended> {
    let mut all = Gathered::default();
    let node = format!("nodes/{}", machine::component(host));
    let ours = format!("{node}/onloadd");
    // First: it shows the machine before anybody was asked anything.
    record(&mut all, how, &format!("{node}/machine")).await?;
    documents::add(&mut all, &ours, bus).await;
    files(&mut all, &how.root, &ours);
    if how.root == Path::new("/") {
        said(&mut all, how, &ours).await;
    } else {
        all.missing("journals and versions", "the machine is not the one that this runs on");
    }
    Ok(all)
}

async fn record(all: &mut Gathered, how: &CaptureArgs, at: &str) -> Result<(), Ended> {
    let place = Private::new().map_err(|error| {
        let why = format!("no private directory can be made for it: {error}");
        Complaint::of(Kind::Internal, WHAT, why, "make room in TMPDIR, or name another one")
    })?;
    let into = place.path().join("machine");
    let recorded = match machine::onloadd(how.onloadd.as_deref()) {
        Ok(onloadd) => machine::record(&onloadd, &how.root, &into).await,
        Err(why) => Err(why),
    };
    let mut tree = all.tree.clone();
    let taken = recorded.and_then(|()| tree.take(at, &into).map_err(|error| error.to_string()));
    match taken {
        Ok(()) => all.tree = tree,
        Err(why) => all.missing("machine", why),
    }
    Ok(())
}

/// The ledger, and the configuration at the paths where it lies.
fn files(all: &mut Gathered, root: &Path, ours: &str) {
    let state = root.join(STATE);
    let names = match fs::read_dir(&state) {
        Ok(entries) => entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()),
        Err(error) => {
            all.missing("ledger", format!("/{STATE}: {error}"));
            return configuration(all, root, ours);
        }
    };
    let mut names: Vec<_> = names.filter(|name| name.starts_with("ledger")).collect();
    names.sort();
    for name in names {
        let content = read(&state.join(&name)).map_err(|error| error.to_string());
        all.put(&name, &format!("{ours}/{name}"), content);
    }
    configuration(all, root, ours);
}

fn configuration(all: &mut Gathered, root: &Path, ours: &str) {
    for directory in CONFIGURATION {
        for name in SETTINGS {
            let path = format!("{directory}/{name}");
            match all.tree.take(&format!("{ours}/configuration/{path}"), &root.join(&path)) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => all.missing(&format!("/{path}"), error.to_string()),
            }
        }
    }
}

/// What the system has written down, and what it is made of.
async fn said(all: &mut Gathered, how: &CaptureArgs, ours: &str) {
    let since = format!("--since=-{}s", how.since.0.as_secs());
    let journal = [since.as_str(), "-n", LINES, "-o", "short-iso", "--no-pager", "-q"];
    let program = OsStr::new("journalctl");
    let units = programs::ask(program, ["-u", "onloadd*"].iter().chain(&journal), LIMIT).await;
    all.put_printed("journal", &format!("{ours}/journal.log"), units);
    let kernel = programs::ask(program, ["-k"].iter().chain(&journal), LIMIT).await;
    all.put_printed("kernel messages", &format!("{ours}/kernel.log"), kernel);
    let stacks = programs::ask(OsStr::new("onload_stackdump"), ["lots"], STACKS_LIMIT).await;
    all.put_printed("stacks", &format!("{ours}/stackdump.txt"), stacks);
    let system = read(Path::new("/etc/os-release")).map_err(|error: io::Error| error.to_string());
    all.put("os-release", &format!("{ours}/os-release"), system);
    let versions = versions(all, how).await;
    all.tree.file(&format!("{ours}/versions.txt"), versions.into_bytes());
}

async fn versions(all: &mut Gathered, how: &CaptureArgs) -> String {
    let mut text = format!("onloadctl {}\n", env!("CARGO_PKG_VERSION"));
    let mut add = |what: &str, said: Result<Printed, String>| match said {
        Ok(said) => text += &String::from_utf8_lossy(&all.text(what, said)),
        Err(why) => all.missing(what, why),
    };
    match machine::onloadd(how.onloadd.as_deref()) {
        Ok(onloadd) => {
            let said = programs::ask(onloadd.as_os_str(), ["--version"], LIMIT).await;
            add("version of onloadd", said);
        }
        Err(why) => add("version of onloadd", Err(why)),
    }
    add("uname", programs::ask(OsStr::new("uname"), ["-a"], LIMIT).await);
    for package in PACKAGES {
        match programs::ask(OsStr::new("rpm"), ["-q", package], LIMIT).await {
            // One that is not installed says so, and ends badly.
            Err(why) if why.contains("ended with") => {}
            Err(why) => {
                add("packages", Err(why));
                break;
            }
            said => add("packages", said),
        }
    }
    text
}

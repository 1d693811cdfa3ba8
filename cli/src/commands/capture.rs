//! `capture`: what a bug report needs, in one archive: the machine as onloadd sees it, what onloadd says, and
//! what the system has written down about both. Secrets and what identifies are taken out by
//! `onload-core`; what could not be had is told, and keeps nothing else out. The tree is the one that
//! must-gather makes, and `onloadd --root` reads it back.

mod archive;
mod documents;
mod gather;
mod laid;
mod machine;
mod programs;
mod stamp;
mod tree;

use std::io;
use std::path::{Path, PathBuf};

use clap::Args as Group;
use onload_core::manifest::{self, Link, Listed};
use onload_core::scrub::{Found, Treatment};
use onload_core::time::Span;
use onload_dbus::error::{Kind, exit};
use serde::Serialize;

use crate::args::Bus;
use crate::ended::{Complaint, Ended};
use crate::render::paint::{Paint, plain};
use crate::render::{Output, Page, now};
use crate::stopped::stopped;
use archive::Target;
use gather::{Gap, Gathered};
use tree::Tree;

/// What does not happen.
const WHAT: &str = "nothing was captured";
/// The manifest, at the top of the tree; by it onloadd knows a capture.
const MANIFEST: &str = manifest::FILE;

/// How.
#[derive(Clone, Debug, Group)]
pub struct CaptureArgs {
    /// Write the archive here, - for standard output; otherwise onloadd-capture-NODE-TIME.tar.gz here
    #[arg(long, value_name = "FILE|-", conflicts_with = "directory")]
    output: Option<PathBuf>,
    /// Lay the files into this directory, which is there, instead of an archive: as must-gather has them
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// How far back the journal is taken
    #[arg(long, value_name = "DURATION", default_value = "1d")]
    since: Span,
    /// Leave addresses of the network as they are; secrets and names go all the same
    #[arg(long)]
    keep_addresses: bool,
    /// The onloadd that looks at the machine
    #[arg(long, value_name = "FILE", hide = true)]
    onloadd: Option<PathBuf>,
    /// The machine
    #[arg(long, value_name = "DIR", hide = true, default_value = "/")]
    root: PathBuf,
}

/// What was captured, and where it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Captured {
    /// Null for standard output.
    path: Option<String>,
    files: usize,
    bytes: u64,
    /// What could not be had, and why.
    gaps: Vec<Gap>,
}

/// The manifest.
#[derive(Debug, Serialize)]
struct Manifest<'a> {
    /// Of this file.
    schema: u32,
    onloadctl: &'static str,
    node: &'a str,
    /// Milliseconds since 1970 UTC.
    taken: u64,
    addresses: &'static str,
    /// By their sums a reader sees that they are what was captured.
    files: Vec<Listed>,
    links: Vec<Link>,
    /// Those without anything in them.
    directories: Vec<String>,
    gaps: &'a [Gap],
}

/// Does it.
pub async fn run(bus: &Bus, output: Output, how: CaptureArgs) -> Result<u8, Ended> {
    let stopped = stopped()?;
    // What was begun is removed when the work is dropped, which a signal's default would not do.
    tokio::select! {
        done = capture(bus, output, &how) => done,
        () = stopped => Err(cancelled().into()),
    }
}

fn cancelled() -> Complaint {
    Complaint::of(Kind::Cancelled, WHAT, "it was asked to stop", "run it again")
}

async fn capture(bus: &Bus, output: Output, how: &CaptureArgs) -> Result<u8, Ended> {
    let taken = now();
    let host = machine::host(&how.root);
    // Before anything is asked: a place that cannot be had is no news after a minute's work.
    let target = target(how)?;
    let Gathered { tree, gaps } = gather::gather(bus, how, &host).await?;
    if tree.is_empty() {
        let why = gaps.iter().map(|gap| format!("{}: {}", gap.what, gap.why));
        let why = why.collect::<Vec<_>>().join("; ");
        let fix = "run it as root on the node, where onloadd is installed";
        return Err(Complaint::of(Kind::Unsupported, WHAT, plain(&why), fix).into());
    }
    let captured = scrubbed(&tree, gaps, &host, taken, how.keep_addresses);
    let (name, tree, gaps) = captured?;
    let target = target.unwrap_or_else(|| Target::File(format!("{name}.tar.gz").into()));
    archive::write(&target, &name, &tree, taken)?;
    let path = match &target {
        Target::Standard => None,
        Target::File(path) | Target::Directory(path) => Some(path.to_string_lossy().into_owned()),
    };
    let page = Captured { path, files: tree.files().count(), bytes: tree.bytes(), gaps };
    match target {
        // The archive is there already.
        Target::Standard => page.gaps.iter().try_for_each(|gap| output.note(&gap.line()))?,
        Target::File(_) | Target::Directory(_) => output.page(&page)?,
    }
    Ok(exit::AS_WANTED)
}

/// Where to; none for a name that is not known before the node's pseudonym is.
fn target(how: &CaptureArgs) -> Result<Option<Target>, Complaint> {
    let refuse = |why: String, fix: &str| Complaint::of(Kind::InvalidArgument, WHAT, why, fix);
    let shown = |path: &Path| plain(&path.to_string_lossy());
    if let Some(directory) = &how.directory {
        if !directory.is_dir() {
            let why = format!("{} is no directory", shown(directory));
            return Err(refuse(why, "name one that is there: --directory DIR"));
        }
        if directory.join(MANIFEST).symlink_metadata().is_ok() {
            let why = format!("{} holds a capture already", shown(directory));
            return Err(refuse(why, "name another directory"));
        }
        return Ok(Some(Target::Directory(directory.clone())));
    }
    let Some(path) = &how.output else { return Ok(None) };
    if path == Path::new("-") {
        return Ok(Some(Target::Standard));
    }
    if path.symlink_metadata().is_ok() {
        let why = format!("{} is there already", shown(path));
        return Err(refuse(why, "name another file: --output FILE"));
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if parent.is_some_and(|parent| !parent.is_dir()) {
        let why = format!("there is no directory for {}", shown(path));
        return Err(refuse(why, "name a file in a directory that is there"));
    }
    Ok(Some(Target::File(path.clone())))
}

/// The tree as it may be given away, with its manifest, and the name of its top.
fn scrubbed(
    tree: &Tree,
    gaps: Vec<Gap>,
    host: &str,
    taken: u64,
    keep_addresses: bool,
) -> io::Result<(String, Tree, Vec<Gap>)> {
    let mut found = Found::default();
    found.host(host);
    tree.learn(&mut found);
    for gap in &gaps {
        found.learn("gaps", gap.why.as_bytes());
    }
    let treatment = if keep_addresses { Treatment::Keep } else { Treatment::Map };
    let mapping = found.mapping(treatment);
    let mut tree = tree.scrubbed(&mapping);
    let mut gaps: Vec<_> = gaps
        .into_iter()
        .map(|gap| Gap { what: mapping.text(&gap.what), why: mapping.text(&gap.why) })
        .collect();
    if host != machine::UNNAMED && mapping.text(host) == host {
        let why = "it is too short or too common a word to be told from others: the name stays";
        gaps.push(Gap { what: "pseudonym of the host".to_owned(), why: why.to_owned() });
    }
    let node = mapping.text(&machine::component(host));
    let version = env!("CARGO_PKG_VERSION");
    tree.file("version", format!("onloadd/must-gather\n{version}\n").into_bytes());
    tree.file("timestamp", format!("{}\n", stamp::long(taken)).into_bytes());
    let (files, links, directories) = tree.listed();
    let manifest = Manifest {
        schema: manifest::SCHEMA,
        onloadctl: version,
        node: &node,
        taken,
        addresses: if keep_addresses { "kept" } else { "mapped" },
        files,
        links,
        directories,
        gaps: &gaps,
    };
    let mut text = serde_json::to_vec_pretty(&manifest)?;
    text.push(b'\n');
    tree.file(MANIFEST, text);
    Ok((format!("onloadd-capture-{node}-{}", stamp::short(taken)), tree, gaps))
}

impl Page for Captured {
    fn text(&self, _now: u64) -> String {
        let place = self.path.as_deref().unwrap_or("-");
        let mut text = format!(
            "{}: {} files, {} KiB\n",
            Paint::Strong.on(&plain(place)),
            self.files,
            self.bytes.div_ceil(1024)
        );
        for gap in &self.gaps {
            text += &format!("{}\n", gap.line());
        }
        text += "Look through it before you give it away: names of pods, pools and interfaces are in it.\n";
        text
    }
}

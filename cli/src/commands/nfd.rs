//! `nfd render`: what this node has of Onload, as a file of Node Feature Discovery's local source.
//!
//! A line is `NAME=VALUE` and becomes the node's label `feature.node.kubernetes.io/NAME`. What is not
//! known has no line: to a scheduler a wrong label is worse than none.

mod features;
mod file;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use onload_dbus::error::exit;
use serde::Serialize;

use crate::args::Bus as Choice;
use crate::bus::Bus;
use crate::ended::Ended;
use crate::live;
use crate::render::paint::plain;
use crate::render::{Output, Page};
use crate::stopped::stopped;

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum NfdVerb {
    /// Print the node's features, or write them where Node Feature Discovery reads them
    Render(Wanted),
}

/// What is wanted.
#[derive(Clone, Debug, Args)]
pub struct Wanted {
    /// Write them into this file, as a whole and only when they have changed; one in
    /// /etc/kubernetes/node-feature-discovery/features.d
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Keep them as they are until Ctrl-C; a file that nobody keeps any more is removed then
    #[arg(long)]
    pub watch: bool,
}

/// The node's features, and where they stand.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
struct Features {
    features: BTreeMap<String, String>,
    /// The file; null where they are printed.
    file: Option<String>,
}

impl Page for Features {
    fn text(&self, _now: u64) -> String {
        match &self.file {
            None => features::lines(&self.features),
            Some(file) => {
                let all = self.features.iter().map(|(name, value)| format!("{name}={value}"));
                format!("{}: {}\n", plain(file), all.collect::<Vec<_>>().join(" "))
            }
        }
    }
}

/// Does it.
pub async fn run(bus: &Choice, output: Output, verb: NfdVerb) -> Result<u8, Ended> {
    let NfdVerb::Render(wanted) = verb;
    let place = wanted.output.as_deref();
    place.map(file::check).transpose()?;
    let shown = async {
        let read = async |bus: &Bus| features(bus, place).await;
        live::show(&Bus::connect(bus).await?, output, wanted.watch, read).await.map(drop)
    };
    if !wanted.watch {
        return shown.await.map(|()| exit::AS_WANTED);
    }
    // Heard from before the first look on: whoever stops this meanwhile finds no file either.
    let stopped = stopped()?;
    let kept = tokio::select! {
        kept = shown => kept,
        () = stopped => Ok(()),
    };
    if let Some(place) = place {
        // Whatever ended it: from now on nobody would put right what is in it.
        file::remove(place)?;
    }
    kept.map(|()| exit::AS_WANTED)
}

/// Reads them, and writes them where they are kept.
async fn features(bus: &Bus, place: Option<&Path>) -> Result<Features, Ended> {
    let features = features::read(bus).await?;
    if let Some(place) = place {
        file::keep(place, &features::lines(&features))?;
    }
    Ok(Features { features, file: place.map(|place| place.to_string_lossy().into_owned()) })
}

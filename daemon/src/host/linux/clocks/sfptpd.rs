//! What sfptpd says of itself: its state directory, and its newest statistics from its metrics socket or,
//! where it has none, from the file that it writes them to. Nothing is opened where it has left nothing.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use onload_core::clock::sfptpd::{Sfptpd, State, instances, interfaces, state, version};
use onload_core::reading::Reading;

use super::super::attribute;
use super::super::root::{Dir, Kind, Node};

mod paths;
mod statistics;
mod tail;

pub(in super::super) use self::statistics::Followed;

/// Most of a file of the state directory that is read. The largest, the tables, have a line for each
/// interface or instance.
const FILE_BYTES: usize = 64 << 10;
/// Most files `state-NAME` that are read: instances and clocks.
const STATES: usize = 64;
const STATE_PREFIX: &str = "state-";
/// The file of a capture that holds the mark of what had been said.
const RECORDED_PULSE: &str = ".clocks/sfptpd-pulse";

/// What it says; absent where it has no run-time files. What it left behind stays readable when it has
/// ended, so this is only asked while one runs. `configuration` is the file that it was started with.
pub(super) async fn read(
    root: &Dir,
    followed: &Followed,
    configuration: Option<&str>,
) -> Reading<Sfptpd> {
    let paths = paths::find(root, configuration);
    let directory = match root.directory(&paths.state) {
        Reading::Known(directory) => Some(directory),
        Reading::Absent => None,
        Reading::Unreadable(why) => return Reading::Unreadable(why),
    };
    if directory.is_none() && paths.control.is_absent() {
        return Reading::Absent;
    }
    let mut said = DefaultHasher::new();
    let mut found = Sfptpd { control: paths.control.clone(), ..Sfptpd::default() };
    if let Some(directory) = &directory {
        let text = |name: &str| directory.read(name, FILE_BYTES).and_then(attribute::text);
        found.version = text("version").and_then(|text| version::parse(&text).into());
        found.instances = text("sync-instances").map(|text| instances::parse(&text));
        found.interfaces = text("interfaces").map(|text| interfaces::parse(&text));
        found.topology = text("topology");
        found.states = states(directory, |name, text, node| {
            (name, text, node.inode, node.modified).hash(&mut said);
        });
    }
    let statistics = followed.read(root, &paths).await;
    (statistics.pulse).hash(&mut said);
    found.samples = statistics.samples;
    found.metrics = statistics.metrics;
    found.pulse = pulse(root, said.finish());
    Reading::Known(found)
}

/// The mark of what was said; that of the machine, where this is a capture of one: times of files are
/// not kept.
fn pulse(root: &Dir, said: u64) -> u64 {
    let recorded = root.line(RECORDED_PULSE).known().and_then(|mark| mark.parse().ok());
    let pulse = recorded.unwrap_or(said);
    root.keep(RECORDED_PULSE, &Reading::Known(format!("{pulse}\n").into_bytes()));
    pulse
}

/// What each `state-NAME` says; each that was there is `heard`.
fn states(
    directory: &Dir,
    mut heard: impl FnMut(&str, &str, Node),
) -> BTreeMap<String, Reading<State>> {
    let names = directory.list("").into_known().unwrap_or_default().into_iter();
    let files = names.filter(|(_, kind)| *kind == Kind::File).map(|(name, _)| name);
    let states = files.filter(|name| name.starts_with(STATE_PREFIX)).take(STATES);
    let read = |file: String| {
        let text = directory.read(&file, FILE_BYTES).and_then(attribute::text);
        let name = file.strip_prefix(STATE_PREFIX)?.to_owned();
        // One that goes away meanwhile is written anew, under the same name.
        if text.is_absent() {
            return None;
        }
        if let (Some(text), Reading::Known(node)) = (text.known(), directory.node(&file)) {
            heard(&name, text, node);
        }
        Some((name, text.map(|text| state::parse(&text))))
    };
    states.filter_map(read).collect()
}

#[cfg(test)]
mod tests;

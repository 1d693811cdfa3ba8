//! Clocks and those who steer them: one file below this for each place that tells of them. While no program
//! that steers a clock runs, nothing is asked that would have to be waited for.

use std::collections::{BTreeMap, BTreeSet};

use onload_core::clock::daemon::DaemonKind;
use onload_core::clock::sfptpd::USUAL_CONFIGURATION;
use onload_core::clock::{ClockLook, Clocks};
use onload_core::reading::Reading;

use self::daemons::Process;
pub(super) use self::sfptpd::Followed;
pub(super) use self::write::leave_below;
use super::attribute;
use super::root::Dir;
use super::runner::Programs;

mod chrony;
mod daemons;
mod hardware;
mod kernel;
mod locks;
mod ptp4l;
mod sfptpd;
mod units;
mod write;

/// Most that an answer may hold, and a configuration: those of sfptpd are some pages long.
const ANSWER_BYTES: usize = 1 << 20;
const TEMPLATE_BYTES: usize = 256 << 10;

/// What a look is to find of clocks.
pub(super) async fn read(
    root: &Dir,
    live: bool,
    programs: &Programs,
    followed: &Followed,
    look: &ClockLook,
) -> Reading<Box<Clocks>> {
    let machine = Machine { root, live, programs };
    let found = daemons::read(root, live).await;
    let processes = found.known();
    let none = BTreeMap::new();
    let running = processes.unwrap_or(&none);

    let mut hardware = hardware::read(&machine, !running.is_empty()).await;
    let locks = locks::read(&machine, hardware.keys().copied()).await;
    let by_name = |path: &str| locks::holder(path, &locks, running);
    for (index, clock) in &mut hardware {
        clock.lock = by_name(&locks::hardware(*index));
        let users = running.iter().filter(|(_, process)| process.clocks.contains(index));
        clock.users = users.map(|(pid, _)| *pid).collect();
    }
    let lock = by_name(locks::SYSTEM);

    let mut names: BTreeSet<String> = look.units.clone();
    names.extend(running.values().filter_map(|process| process.daemon.unit.clone()));
    let written = write::written(root);
    // What it left behind stays there when it has ended, and says nothing of now.
    let sfptpd = match of_kind(running, DaemonKind::Sfptpd).next() {
        Some(process) => {
            let daemon = &process.daemon;
            // Its own unit shows it what was written under another name.
            let ours =
                written.known().is_some_and(|written| daemon.unit.as_ref() == Some(&written.unit));
            let told = daemon.told.configuration.as_deref();
            let ours = ours && told.is_none_or(|told| told == USUAL_CONFIGURATION);
            let configuration = if ours { Some(write::CONFIGURATION) } else { told };
            sfptpd::read(root, followed, configuration).await
        }
        None => Reading::Absent,
    };
    Reading::Known(Box::new(Clocks {
        kernel: kernel::read(&machine).await,
        hardware,
        lock,
        units: machine.units(&names, &look.units).await,
        sfptpd,
        ptp4l: ptp4l::read(&machine, of_kind(running, DaemonKind::Ptp4l)).await,
        chrony: chrony::read(&machine, of_kind(running, DaemonKind::Chronyd)).await,
        template: template(root, look.template.as_deref()),
        written,
        daemons: found
            .map(|found| found.into_iter().map(|(pid, process)| (pid, process.daemon)).collect()),
    }))
}

fn of_kind(processes: &BTreeMap<u32, Process>, kind: DaemonKind) -> impl Iterator<Item = &Process> {
    processes.values().filter(move |process| process.daemon.kind == kind)
}

/// The operator's configuration.
fn template(root: &Dir, path: Option<&str>) -> Reading<String> {
    let Some(path) = path else { return Reading::Absent };
    // A recording has none of it: it may hold keys of NTP.
    root.unrecorded().read(path, TEMPLATE_BYTES).and_then(attribute::text)
}

/// The machine as clocks are asked for there.
struct Machine<'a> {
    root: &'a Dir,
    /// Whether it is the running one, and no capture.
    live: bool,
    programs: &'a Programs,
}

impl Machine<'_> {
    /// What no file of the machine holds: asked where it runs, and kept by a recording in a file from
    /// which it is read in a capture. Captures of older versions lack it.
    async fn ask(
        &self,
        file: &str,
        question: impl Future<Output = Reading<Vec<u8>>>,
    ) -> Reading<Vec<u8>> {
        let file = format!(".clocks/{file}");
        if !self.live {
            return self.root.read(&file, ANSWER_BYTES);
        }
        let answer = question.await;
        self.root.keep(&file, &answer);
        answer
    }

    /// Units by name. systemd is not asked where nothing is to be known.
    async fn units(
        &self,
        names: &BTreeSet<String>,
        asked: &BTreeSet<String>,
    ) -> Reading<BTreeMap<String, onload_core::clock::unit::Unit>> {
        if names.is_empty() {
            return Reading::Absent;
        }
        let asked = async {
            units::read(&self.programs.systemd, names, asked).await.and_then(|units| {
                serde_json::to_vec(&units)
                    .map_or_else(|error| Reading::Unreadable(error.to_string()), Reading::Known)
            })
        };
        self.ask("units.json", asked).await.and_then(|bytes| {
            serde_json::from_slice(&bytes)
                .map_or_else(|error| Reading::Unreadable(error.to_string()), Reading::Known)
        })
    }
}

#[cfg(test)]
mod tests;

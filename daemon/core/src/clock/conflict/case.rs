//! The case that conflicts are looked for in: whether there is an sfptpd, ours or another's, and what it is to
//! steer.

use std::collections::BTreeSet;

use super::{Conflict, ConflictContext, ConflictKind, Intended};
use crate::clock::Clocks;
use crate::clock::daemon::DaemonKind;
use crate::clock::unit::{Active, Ended, Unit};
use crate::clock::verdict::claim::{self, Program, Target};
use crate::config::ClockMode;

/// Exit statuses by which sfptpd says that another has the system clock: EBUSY, EPROTONOSUPPORT and EOPNOTSUPP
/// (reference/sfptpd.md section 2).
const REFUSALS: [i32; 3] = [16, 93, 95];
/// Units that run sfptpd: that of its package, and onloadd's own.
const UNITS: [&str; 2] = ["sfptpd.service", "onloadd-sfptpd.service"];

/// What there is.
pub(super) struct Case<'a> {
    pub(super) clocks: &'a Clocks,
    pub(super) mode: ClockMode,
    pub(super) configured: Option<&'a Intended>,
    /// Processes of sfptpd, those that onloadd may look after first.
    pub(super) running: Vec<Program<'a>>,
    /// How many of those onloadd may not look after: another manager runs them.
    pub(super) foreign: usize,
    /// Whether sfptpd runs or shall.
    pub(super) wanted: bool,
    /// Whether it steers the system clock or shall.
    pub(super) steers_system: bool,
    unit: Option<&'a str>,
}

impl<'a> Case<'a> {
    /// Makes it.
    pub(super) fn of(clocks: &'a Clocks, context: ConflictContext<'a>) -> Self {
        let ConflictContext { mode, configured, unit } = context;
        let mut running = each(claim::of_kind(clocks, DaemonKind::Sfptpd));
        running.sort_by_key(|one| foreign(*one, unit));
        let others = running.iter().filter(|one| foreign(**one, unit)).count();
        let ours = clocks.units.known().into_iter().flatten().filter(|(name, _)| {
            unit.map_or(UNITS.contains(&name.as_str()), |unit| unit == name.as_str())
        });
        let units: Vec<&Unit> = ours.map(|(_, unit)| unit).collect();
        let refused = units.iter().any(|unit| refused(unit));
        let on_its_way =
            units.iter().any(|unit| matches!(unit.active, Active::Active | Active::Activating));
        let manage = mode == ClockMode::Manage;
        let wanted = manage || !running.is_empty() || refused || on_its_way;
        let says = claim::steering(clocks, Target::System)
            .iter()
            .any(|one| one.daemon.kind == DaemonKind::Sfptpd);
        // One that runs says whether it steers it; of one that does not yet, it is what sfptpd does by default.
        let silent = running.is_empty() || clocks.sfptpd.known().is_none();
        let unasked = says || silent && (manage || refused);
        let steers = configured.map_or(unasked, |intended| intended.steers_system_clock);
        Self {
            clocks,
            mode,
            configured,
            running,
            foreign: others,
            wanted,
            steers_system: wanted && steers,
            unit,
        }
    }

    /// A conflict of some programs over a clock: `units` are those whose end is its end, where systemd
    /// of this node runs them.
    pub(super) fn conflict(
        &self,
        kind: ConflictKind,
        clock: Target,
        (message, fix): (String, String),
        bars_start: bool,
        others: &[Program<'_>],
    ) -> Conflict {
        let units: BTreeSet<&str> = others.iter().filter_map(|one| service(*one)).collect();
        let units = units
            .into_iter()
            .filter(|unit| Some(*unit) != self.unit || kind == ConflictKind::TwoOfAKind);
        Conflict {
            kind,
            clock: clock.name(),
            message,
            fix,
            bars_start,
            units: units.map(str::to_owned).collect(),
        }
    }

    /// How a program is ended that stands in sfptpd's way, or in another's.
    pub(super) fn end(&self, one: Program<'_>, for_sfptpd: bool) -> String {
        if let Some(container) = &one.daemon.container {
            return format!(
                "end it where container {container} is managed, or leave clocks to that manager \
                 (`[ptp] mode = \"observe\"`)"
            );
        }
        match (service(one), self.mode, for_sfptpd) {
            (Some(unit), ClockMode::Manage, true) => format!(
                "give the system clock to sfptpd with `onloadctl clock handover`: it stops {unit}, and \
                 `--back` starts it again"
            ),
            (Some(unit), ClockMode::Off | ClockMode::Observe | ClockMode::Manage, _) => {
                format!("stop it with `systemctl disable --now {unit}`")
            }
            (None, ClockMode::Off | ClockMode::Observe | ClockMode::Manage, _) => {
                format!("end process {} and whatever starts it", one.pid)
            }
        }
    }
}

/// The service of this node's systemd that a program is stopped with; none for one in a container, or in a
/// session, which is not ended for a clock.
pub(super) fn service<'a>(one: Program<'a>) -> Option<&'a str> {
    let unit = one.daemon.unit.as_deref()?;
    (one.daemon.container.is_none() && unit.ends_with(".service") && !unit.starts_with("user@"))
        .then_some(unit)
}

/// One process for each that runs: chronyd and ntpd keep a second process of their name for what needs
/// privileges, and every service has one main process.
pub(super) fn each<'a>(all: impl Iterator<Item = Program<'a>>) -> Vec<Program<'a>> {
    let mut seen = BTreeSet::new();
    all.filter(|one| {
        let Program { pid, daemon } = one;
        let splits = match daemon.kind {
            DaemonKind::Chronyd | DaemonKind::Ntpd => true,
            DaemonKind::Sfptpd
            | DaemonKind::Timesyncd
            | DaemonKind::Ptp4l
            | DaemonKind::Phc2sys
            | DaemonKind::Ts2phc => false,
        };
        let together = splits || service(*one).is_some();
        let alone = if together { None } else { Some(*pid) };
        seen.insert((daemon.kind, daemon.unit.as_deref(), daemon.container.as_deref(), alone))
    })
    .collect()
}

/// Whether an sfptpd is another manager's. Of one whose unit is not known that cannot be said.
fn foreign(one: Program<'_>, ours: Option<&str>) -> bool {
    let elsewhere = match (ours, one.daemon.unit.as_deref()) {
        (Some(ours), Some(unit)) => ours != unit,
        (None, _) | (_, None) => false,
    };
    one.daemon.container.is_some() || elsewhere
}

/// Whether sfptpd ended because another has the system clock.
fn refused(unit: &Unit) -> bool {
    match unit.ended {
        Some(Ended::Status(status)) => REFUSALS.contains(&status),
        Some(Ended::Signal(_)) | None => false,
    }
}

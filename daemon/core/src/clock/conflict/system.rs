//! Programs that steer the system clock beside its keeper (reference/sfptpd.md sections 8 and 12).

use super::case::{Case, each};
use super::{Conflict, ConflictKind};
use crate::clock::daemon::DaemonKind;
use crate::clock::unit::Active;
use crate::clock::verdict::claim::{self, Program, Target};

/// Services by which distributions run programs that steer the system clock.
const SERVICES: [(&str, DaemonKind); 8] = [
    ("chronyd.service", DaemonKind::Chronyd),
    ("chrony.service", DaemonKind::Chronyd),
    ("ntpd.service", DaemonKind::Ntpd),
    ("ntp.service", DaemonKind::Ntpd),
    ("ntpsec.service", DaemonKind::Ntpd),
    ("openntpd.service", DaemonKind::Ntpd),
    ("systemd-timesyncd.service", DaemonKind::Timesyncd),
    ("phc2sys.service", DaemonKind::Phc2sys),
];

/// Finds them.
pub(super) fn find(case: &Case<'_>) -> Vec<Conflict> {
    let all = claim::steering(case.clocks, Target::System);
    let others = all.into_iter().filter(|one| one.daemon.kind != DaemonKind::Sfptpd);
    let others = each(others);
    let keeper = if case.steers_system { None } else { others.first().copied() };
    let mut found = Vec::new();
    let mut kinds: Vec<DaemonKind> = keeper.iter().map(|one| one.daemon.kind).collect();
    for one in others.iter().copied().filter(|one| keeper.is_none_or(|it| it.pid != one.pid)) {
        if kinds.contains(&one.daemon.kind) {
            found.push(twin(case, one));
            continue;
        }
        kinds.push(one.daemon.kind);
        found.push(match keeper {
            None => before_sfptpd(case, one),
            Some(keeper) => beside(case, one, keeper),
        });
    }
    if case.wanted && !case.steers_system {
        found.extend(barring(case, keeper));
        found.extend(forced(case, &others));
    }
    if case.steers_system {
        found.extend(coming(case));
    }
    found
}

/// The kind of conflict that a program is.
fn kind(kind: DaemonKind) -> ConflictKind {
    match kind {
        DaemonKind::Chronyd => ConflictKind::Chronyd,
        DaemonKind::Ntpd => ConflictKind::Ntpd,
        DaemonKind::Timesyncd => ConflictKind::Timesyncd,
        DaemonKind::Phc2sys | DaemonKind::Ptp4l | DaemonKind::Ts2phc => ConflictKind::Phc2sys,
        DaemonKind::Sfptpd => ConflictKind::TwoOfAKind,
    }
}

/// What becomes of sfptpd beside a program.
fn consequence(kind: DaemonKind) -> &'static str {
    match kind {
        DaemonKind::Chronyd => "sfptpd ends with EOPNOTSUPP beside it, or has to follow it",
        DaemonKind::Ntpd => "sfptpd ends with EBUSY beside it",
        DaemonKind::Timesyncd => "sfptpd refuses to start beside it (EPROTONOSUPPORT)",
        DaemonKind::Phc2sys | DaemonKind::Ptp4l | DaemonKind::Ts2phc => {
            "sfptpd does not notice it, and the two pull the clock to and fro"
        }
        DaemonKind::Sfptpd => "two pull the clock to and fro",
    }
}

/// One that stands where sfptpd steers the system clock, or shall.
fn before_sfptpd(case: &Case<'_>, one: Program<'_>) -> Conflict {
    let shall = if case.running.is_empty() { "sfptpd is to steer it" } else { "so does sfptpd" };
    let message = format!(
        "{} steers the system clock, and {shall}: {}",
        one.spoken(),
        consequence(one.daemon.kind)
    );
    let instead = match one.daemon.kind {
        DaemonKind::Chronyd => {
            "; or run chronyd with -x; or set `clock_readonly system` for sfptpd"
        }
        DaemonKind::Ntpd | DaemonKind::Phc2sys | DaemonKind::Ptp4l | DaemonKind::Ts2phc => {
            "; or set `clock_readonly system` for sfptpd"
        }
        DaemonKind::Timesyncd | DaemonKind::Sfptpd => "",
    };
    let fix = format!("{}{instead}", case.end(one, true));
    case.conflict(kind(one.daemon.kind), Target::System, (message, fix), true, &[one])
}

/// One that steers the system clock beside another, without sfptpd.
fn beside(case: &Case<'_>, one: Program<'_>, keeper: Program<'_>) -> Conflict {
    let message = format!(
        "{} and {} both steer the system clock: each undoes what the other does",
        keeper.spoken(),
        one.spoken()
    );
    // As a reference clock it is no fight (reference/sfptpd.md section 12).
    let refclock =
        one.daemon.kind == DaemonKind::Chronyd && keeper.daemon.kind == DaemonKind::Phc2sys;
    let instead = if refclock {
        "; or run it with -x; or stop phc2sys and give chronyd the hardware clock as `refclock PHC`"
    } else {
        ""
    };
    let fix = format!("{}{instead}", case.end(one, false));
    case.conflict(kind(one.daemon.kind), Target::System, (message, fix), false, &[one])
}

/// A second of a kind.
fn twin(case: &Case<'_>, one: Program<'_>) -> Conflict {
    let message = format!(
        "{} steers the system clock, and another {} does: each undoes what the other does",
        one.spoken(),
        one.daemon.kind
    );
    let fix = case.end(one, case.steers_system);
    let bars = case.steers_system;
    case.conflict(ConflictKind::TwoOfAKind, Target::System, (message, fix), bars, &[one])
}

/// systemd-timesyncd beside an sfptpd that leaves the system clock alone: it refuses to start all the same.
fn barring(case: &Case<'_>, keeper: Option<Program<'_>>) -> Option<Conflict> {
    let one = keeper.filter(|one| one.daemon.kind == DaemonKind::Timesyncd)?;
    let message = format!(
        "{} runs: sfptpd refuses to start beside it (EPROTONOSUPPORT), and does so even where it \
         leaves the system clock alone",
        one.spoken()
    );
    let fix = case.end(one, true);
    Some(case.conflict(ConflictKind::Timesyncd, Target::System, (message, fix), true, &[one]))
}

/// A chronyd that makes sfptpd select it as its source in place of a better one (`must-be-selected`).
fn forced(case: &Case<'_>, others: &[Program<'_>]) -> Option<Conflict> {
    let one = *others.iter().find(|one| one.daemon.kind == DaemonKind::Chronyd)?;
    let instances = case.clocks.sfptpd.known()?.instances.known()?;
    let (name, _) = instances.iter().find(|(_, row)| {
        row.selected
            && row.constraint.as_deref().is_some_and(|why| why.contains("must-be-selected"))
    })?;
    let better = |state: &str| ["ptp-", "pps-", "gps-"].iter().any(|kind| state.starts_with(kind));
    let (idle, _) = instances.iter().find(|(_, row)| !row.selected && better(&row.state))?;
    let message = format!(
        "{} steers the system clock: sfptpd must follow it through {name}, and does not follow {idle}",
        one.spoken()
    );
    let fix = format!("run chronyd with -x; or {}", case.end(one, true));
    Some(case.conflict(ConflictKind::Chronyd, Target::System, (message, fix), false, &[one]))
}

/// Services that come up just now, or whose processes cannot be seen: sfptpd would end as soon as they are there.
fn coming(case: &Case<'_>) -> Vec<Conflict> {
    let blind = case.clocks.daemons.is_unreadable();
    let units = case.clocks.units.known().into_iter().flatten();
    let up = units.filter(|(_, unit)| match unit.active {
        Active::Activating => true,
        Active::Active => blind,
        Active::Deactivating | Active::Failed | Active::Inactive => false,
    });
    let known = up.filter_map(|(name, _)| {
        let (_, kind) = SERVICES.iter().find(|(service, _)| service == name)?;
        Some((name, *kind))
    });
    known
        .filter(|(_, one)| claim::of_kind(case.clocks, *one).next().is_none())
        .map(|(name, one)| Conflict {
            kind: kind(one),
            clock: Target::System.name(),
            message: format!("{name} is up or on its way up: {}", consequence(one)),
            fix: format!("stop it with `systemctl disable --now {name}`"),
            bars_start: true,
            units: vec![name.clone()],
        })
        .collect()
}

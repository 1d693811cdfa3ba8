//! Two programs with one hardware clock to steer (reference/sfptpd.md section 12: sfptpd does not notice the others).

use super::case::{Case, each};
use super::{Conflict, ConflictKind};
use crate::clock::daemon::DaemonKind;
use crate::clock::verdict::claim::{self, Program, Target};

/// What the driver of the cards that sfptpd steers by default (`non_solarflare_nics off`) calls its clocks.
const DRIVER: &str = "sfc";

/// Finds them.
pub(super) fn find(case: &Case<'_>) -> Vec<Conflict> {
    let indices = case.clocks.hardware.keys().copied();
    indices.filter_map(|index| of(case, index)).collect()
}

fn of(case: &Case<'_>, index: u32) -> Option<Conflict> {
    let target = Target::Hardware(index);
    let all = each(claim::steering(case.clocks, target).into_iter());
    let (sfptpd, others): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|one| one.daemon.kind == DaemonKind::Sfptpd);
    let clock = case.clocks.hardware.get(&index)?;
    let named = clock.name.known().is_some_and(|name| name.starts_with(DRIVER));
    // One that is not up yet will have every clock of its cards.
    let shall = case.wanted && case.running.is_empty() && named;
    let sfptpd_has_it = shall || !sfptpd.is_empty();
    let (keeper, rest) = if sfptpd_has_it {
        let keeper = sfptpd.first().map_or_else(|| "sfptpd".to_owned(), Program::spoken);
        (keeper, others.as_slice())
    } else {
        let (first, rest) = others.split_first()?;
        (first.spoken(), rest)
    };
    let one = *rest.first()?;
    let names: Vec<String> = rest.iter().map(Program::spoken).collect();
    let message = format!(
        "{keeper} and {} have /dev/ptp{index} to steer: each undoes what the other does",
        names.join(" and ")
    );
    let instead = if sfptpd_has_it {
        "; or keep sfptpd off that clock (`clock_list`, `clock_readonly`)"
    } else {
        "; or give each a clock of its own"
    };
    let fix = format!("{}{instead}", case.end(one, false));
    Some(case.conflict(ConflictKind::HardwareClock, target, (message, fix), sfptpd_has_it, rest))
}

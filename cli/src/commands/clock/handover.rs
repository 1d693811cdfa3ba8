//! `clock handover`: the system clock goes to sfptpd, or back to who had it. What that stops and starts is
//! shown first.

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;

use super::kept::{self, Kept};
use super::words::Handover;
use crate::bus::Bus;
use crate::ended::Ended;
use crate::follow::{self, Until};
use crate::render::paint::{Paint, plain};
use crate::render::{Output, Page};

/// What a hand-over stops and starts, as far as can be said before it is ordered.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Plan {
    /// sfptpd or back.
    pub to: &'static str,
    /// Who steers the system clock now.
    pub steered_by: Option<String>,
    /// Units.
    pub stops: Vec<String>,
    /// Units.
    pub starts: Vec<String>,
}

/// Shows the plan, orders it and follows. Programs get the job.
pub async fn run(bus: &Bus, output: Output, wanted: &Handover) -> Result<(), Ended> {
    let plan = async || Ok::<_, Ended>(Plan::of(&kept::read(bus).await?, wanted.back));
    if wanted.dry_run {
        return Ok(output.page(&plan().await?)?);
    }
    if !output.json() {
        let plan = plan().await?;
        // Where there is nothing to be done, the job or the refusal says so.
        if !(plan.stops.is_empty() && plan.starts.is_empty()) {
            output.page(&plan)?;
        }
    }
    let until = if wanted.no_follow { Until::Taken } else { Until::Ended };
    follow::order(bus, output, until, async |manager| {
        manager.hand_over_clock(word(wanted.back), HashMap::new()).await
    })
    .await
}

/// The word of the call.
fn word(back: bool) -> &'static str {
    if back { "back" } else { "sfptpd" }
}

impl Plan {
    fn of(kept: &Kept, back: bool) -> Self {
        let steered_by = kept.system().and_then(|clock| clock.steered_by.as_ref());
        let steered_by = steered_by.map(kept::Steerer::whole);
        let ours: Vec<_> = kept.supervision.unit.iter().cloned().collect();
        let (stops, starts) = if back {
            // With no order that stands there is nothing to take back.
            let order = kept.handover.as_ref().filter(|order| order.to == "sfptpd");
            order.map(|order| (ours, order.units.clone())).unwrap_or_default()
        } else {
            let others: BTreeSet<_> = kept.conflicts.iter().flat_map(|one| &one.units).collect();
            (others.into_iter().cloned().collect(), ours)
        };
        Self { to: word(back), steered_by, stops, starts }
    }
}

impl Page for Plan {
    fn text(&self, _now: u64) -> String {
        let line = |label: &str, names: &[String]| {
            let names = if names.is_empty() { "nothing".to_owned() } else { names.join(" ") };
            format!("{}  {}\n", Paint::Dim.on(label), plain(&names))
        };
        let now = self.steered_by.clone().unwrap_or_else(|| "nobody".to_owned());
        line("steered by", &[now])
            + &line("     stops", &self.stops)
            + &line("    starts", &self.starts)
    }
}

#[cfg(test)]
mod tests {
    use super::super::kept::sample;
    use super::*;
    use crate::render::paint::without;

    #[test]
    fn the_plan_says_what_is_stopped_and_started() {
        let conflicts = vec![sample::conflict(), sample::conflict()];
        let there = Plan::of(&Kept { conflicts, ..sample::kept() }, false);
        assert_eq!(
            without(&there.text(0)),
            "steered by  sfptpd (sfptpd.service)\n     stops  chronyd.service\n    starts  sfptpd.service\n"
        );
    }

    #[test]
    fn the_way_back_starts_what_was_stopped() {
        let order = |to: &str| kept::Handover {
            to: to.into(),
            units: vec!["chronyd.service".into()],
            ..kept::Handover::default()
        };
        let of = |to: &str| Plan::of(&Kept { handover: Some(order(to)), ..sample::kept() }, true);
        let back = of("sfptpd");
        assert_eq!(
            (back.to, &*back.starts[0], &*back.stops[0]),
            ("back", "chronyd.service", "sfptpd.service")
        );
        let done = of("former");
        assert!(done.stops.is_empty() && done.starts.is_empty(), "{done:?}");
    }
}

//! `clock watch`: the offset of each clock as it changes: a plot on a terminal, lines elsewhere.

mod frame;
mod plot;
mod screen;
mod trace;

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use onload_dbus::path::Kind;
use rustix::process::Signal as Number;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::signal::unix::{Signal as Heard, SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_stream::StreamExt as _;

use super::kept::{self, Clock};
use super::quantity::signed;
use crate::bus::{Bus, Objects, Signal, Subject};
use crate::ended::Ended;
use crate::render::paint::{Paint, plain};
use crate::render::phrase::time_of_day;
use crate::render::{Output, now};
use crate::stopped::stopped;
use screen::Screen;
use trace::{DOT, Trace};

/// How long changes are gathered before the plot is drawn anew: one look changes all clocks.
const GATHER: Duration = Duration::from_millis(50);

/// A change of a clock, as a line.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Seen {
    /// When it was heard of, in milliseconds since 1970 UTC.
    time: u64,
    /// appeared, changed or gone; all clocks appear at first.
    change: &'static str,
    /// As it is, or was last.
    clock: Clock,
}

/// What is known of clocks.
#[derive(Debug, Default)]
struct Watched {
    /// Properties as the bus has them, by name.
    known: BTreeMap<String, Map<String, Value>>,
    traces: Vec<Trace>,
    /// onloadd is on the bus.
    there: bool,
}

/// Follows clocks until Ctrl-C.
pub async fn follow(bus: &Bus, output: Output) -> Result<(), Ended> {
    // Listening comes first: a change during the first look is then seen.
    let mut signals = bus.signals().await?;
    let mut watched = Watched::default();
    let first = watched.look(bus.objects().await?, now());
    let screen = if output.json() { None } else { Screen::take()? };
    let mut stop = pin!(stopped()?);
    match &screen {
        Some(screen) => draw(output, screen, &watched)?,
        None => told(output, &first, watched.traces.is_empty())?,
    }
    let mut ticks = interval(DOT);
    // After a machine slept, the time it slept is not made up for dot by dot.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut resized = signal(SignalKind::window_change())?;
    let mut rests = rests(screen.is_some())?;
    let mut due: Option<Instant> = None;
    loop {
        tokio::select! {
            () = &mut stop => break,
            _ = ticks.tick(), if screen.is_some() => {
                watched.tick();
                due.get_or_insert_with(Instant::now);
            }
            _ = resized.recv(), if screen.is_some() => due = Some(Instant::now()),
            () = asked(&mut rests) => {
                if let Some(screen) = &screen {
                    screen.rest()?;
                }
                due = Some(Instant::now());
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                due = None;
                if let Some(screen) = &screen {
                    draw(output, screen, &watched)?;
                }
            }
            news = signals.next() => {
                let Some(news) = news.transpose()? else { break };
                let back = news == Signal::Daemon(true);
                let mut seen = watched.take(news, now());
                if back && let Ok(objects) = bus.objects().await {
                    // A new daemon announces nothing that was there before it.
                    seen.extend(watched.look(objects, now()));
                }
                match &screen {
                    Some(_) => drop(due.get_or_insert_with(|| Instant::now() + GATHER)),
                    None if watched.there => told(output, &seen, false)?,
                    None => output.note(LEFT)?,
                }
            }
        }
    }
    // What was on the screen goes with it; how it went stays to be read.
    if let Some(screen) = screen {
        drop(screen);
        let last = |trace| format!("{}\n", frame::fitted(&frame::title(trace, now()), usize::MAX));
        output.text(&watched.traces.iter().map(last).collect::<String>())?;
    }
    Ok(())
}

/// Said while onloadd is away.
const LEFT: &str = "onloadd left the bus; waiting for it";

/// Hears Ctrl-Z where there is a screen to give back; elsewhere it does what it always does.
fn rests(screen: bool) -> Result<Option<Heard>, Ended> {
    let number = SignalKind::from_raw(Number::TSTP.as_raw());
    Ok(screen.then(|| signal(number)).transpose()?)
}

async fn asked(rests: &mut Option<Heard>) {
    match rests {
        Some(heard) => drop(heard.recv().await),
        None => std::future::pending().await,
    }
}

fn draw(output: Output, screen: &Screen, watched: &Watched) -> Result<(), Ended> {
    let note = (!watched.there).then_some(LEFT);
    Ok(output.redraw(&frame::frame(&watched.traces, note, screen.size(), now()))?)
}

/// Lines for what was seen; `none`: there is no clock at all.
fn told(output: Output, seen: &[Seen], none: bool) -> Result<(), Ended> {
    for one in seen {
        if output.json() {
            output.line(one)?;
        } else {
            output.text(&one.line())?;
        }
    }
    if none && !output.json() {
        output.note("no clock is looked at yet; Ctrl-C ends this")?;
    }
    Ok(())
}

impl Watched {
    /// Takes a whole look.
    fn look(&mut self, objects: Objects, time: u64) -> Vec<Seen> {
        self.there = true;
        let clocks = objects.into_iter().filter_map(|(subject, values)| match subject {
            Subject::Object(Kind::Clock, name) => Some((name, values)),
            Subject::Node | Subject::SecureBoot | Subject::Object(..) => None,
        });
        let former = std::mem::replace(&mut self.known, clocks.collect());
        self.differences(&former, time)
    }

    /// Takes a signal.
    fn take(&mut self, signal: Signal, time: u64) -> Vec<Seen> {
        let former = self.known.clone();
        match signal {
            Signal::Changed(Subject::Object(Kind::Clock, name), values)
            | Signal::Appeared(Subject::Object(Kind::Clock, name), values) => {
                self.known.entry(name).or_default().extend(values);
            }
            Signal::Gone(Subject::Object(Kind::Clock, name)) => drop(self.known.remove(&name)),
            Signal::Daemon(there) => self.there = there,
            Signal::Changed(..) | Signal::Appeared(..) | Signal::Gone(_) => {}
        }
        self.differences(&former, time)
    }

    /// Brings traces up to date, and says what is new since.
    fn differences(
        &mut self,
        former: &BTreeMap<String, Map<String, Value>>,
        time: u64,
    ) -> Vec<Seen> {
        if *former == self.known {
            return Vec::new();
        }
        let subject = |name: &String| Subject::Object(Kind::Clock, name.clone());
        let mut objects: Objects =
            self.known.iter().map(|(name, values)| (subject(name), values.clone())).collect();
        let mut traces = std::mem::take(&mut self.traces);
        let mut seen = Vec::new();
        for clock in kept::of(&mut objects) {
            let change = match traces.iter().position(|trace| trace.clock.name == clock.name) {
                Some(at) => {
                    let former = traces.swap_remove(at);
                    let same = former.clock == clock;
                    self.traces.push(Trace { clock: clock.clone(), ..former });
                    (!same).then_some("changed")
                }
                None => {
                    self.traces.push(Trace::new(clock.clone()));
                    Some("appeared")
                }
            };
            seen.extend(change.map(|change| Seen { time, change, clock }));
        }
        seen.extend(traces.into_iter().map(|Trace { clock, .. }| Seen {
            time,
            change: "gone",
            clock,
        }));
        seen
    }

    /// One dot further.
    fn tick(&mut self) {
        self.traces.iter_mut().for_each(|trace| trace.sample(self.there));
    }
}

impl Seen {
    fn line(&self) -> String {
        let clock = &self.clock;
        let head = format!(
            "{}  {}  ",
            Paint::Dim.on(&time_of_day(self.time)),
            Paint::Strong.on(&format!("{:<6}", clock.name))
        );
        if self.change == "gone" {
            return format!("{head}{}\n", Paint::Warn.on("gone"));
        }
        let (word, paint) = clock.state();
        let offset = clock.offset_ns.map_or_else(|| "-".to_owned(), signed);
        let by = clock.steered_by.as_ref().map(|by| format!("by {}", by.kind));
        let from = clock.source.as_ref().map(|source| format!("from {source}"));
        let alarms = Some(clock.alarms.join(" ")).filter(|all| !all.is_empty());
        let rest: Vec<_> = [by, from, alarms].into_iter().flatten().collect();
        let rest = plain(&rest.join(" "));
        format!("{head}{offset:>9}  {}  {rest}", paint.on(word)).trim_end().to_owned() + "\n"
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed test is what a panic is for.

    use serde_json::json;

    use super::*;
    use crate::render::paint::without;

    fn object(name: &str, values: Value) -> (Subject, Map<String, Value>) {
        let mut values = values.as_object().unwrap().clone();
        values.insert("name".to_owned(), name.into());
        (Subject::Object(Kind::Clock, name.to_owned()), values)
    }

    fn good(offset: i64) -> Value {
        json!({"synchronised": "yes", "standing": "good", "offset": offset, "source": "ptp1",
            "steered_by": {"kind": "sfptpd", "pid": 1, "unit": "x"}, "alarms": []})
    }

    fn lines(seen: &[Seen]) -> String {
        without(&seen.iter().map(Seen::line).collect::<String>())
    }

    #[test]
    fn a_change_is_a_line_and_the_same_again_is_none() {
        let mut watched = Watched::default();
        let objects = || Objects::from([object("ptp0", json!({})), object("system", good(-12))]);
        let first = watched.look(objects(), 0);
        assert_eq!(
            lines(&first),
            "\
00:00:00Z  system     -12 ns  synchronised  by sfptpd from ptp1
00:00:00Z  ptp0            -  not known
"
        );
        assert!(watched.look(objects(), 0).is_empty(), "nothing is new");
        let (subject, _) = object("system", json!({}));
        let news =
            |values: Value| Signal::Changed(subject.clone(), values.as_object().unwrap().clone());
        let bad = json!({"synchronised": "no", "standing": "bad", "alarms": ["no-sync-pkts"]});
        let seen = watched.take(news(bad), 61_000);
        assert_eq!(
            lines(&seen),
            "00:01:01Z  system     -12 ns  not synchronised  by sfptpd from ptp1 no-sync-pkts\n"
        );
        assert!(watched.take(news(json!({"offset": -12})), 0).is_empty());
        let gone = watched.take(Signal::Gone(subject.clone()), 0);
        assert_eq!(lines(&gone), "00:00:00Z  system  gone\n");
        assert_eq!(watched.traces.len(), 1);
    }

    #[test]
    fn a_trace_goes_on_through_changes_and_has_a_gap_while_onloadd_is_away() {
        let mut watched = Watched::default();
        let objects = |offset| Objects::from([object("system", good(offset))]);
        watched.look(objects(5), 0);
        watched.tick();
        assert!(watched.take(Signal::Daemon(false), 0).is_empty());
        watched.tick();
        watched.look(objects(7), 0);
        watched.tick();
        let offsets: Vec<_> = watched.traces[0].samples.iter().map(|one| one.offset).collect();
        assert_eq!(offsets, [Some(5), None, Some(7)]);
    }

    #[test]
    fn other_objects_are_not_clocks() {
        let mut watched = Watched::default();
        let pool = Subject::Object(Kind::Pool, "onload".into());
        let objects = Objects::from([(pool.clone(), Map::new()), (Subject::Node, Map::new())]);
        assert!(watched.look(objects, 0).is_empty());
        assert!(watched.take(Signal::Appeared(pool, Map::new()), 0).is_empty());
        assert!(watched.traces.is_empty());
    }
}

//! `watch`: every change as it happens, one line each.

use std::collections::BTreeSet;

use onload_dbus::path::Kind;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio_stream::StreamExt as _;

use crate::bus::{Bus, Objects, SECURE_BOOT, Signal, Subject};
use crate::ended::Ended;
use crate::render::paint::{Paint, plain};
use crate::render::phrase::time_of_day;
use crate::render::{Output, now};

/// One change.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// When it was heard of, in milliseconds since 1970 UTC.
    pub time: u64,
    /// node, secure-boot, port, module, release, pool, allocation, job or daemon.
    pub kind: &'static str,
    /// Name of the object; null for node, secure-boot and daemon.
    pub name: Option<String>,
    /// changed, appeared or gone.
    pub change: &'static str,
    /// The property that changed.
    pub property: Option<String>,
    /// What it was.
    pub from: Value,
    /// What it is; the object's properties when it appeared.
    pub to: Value,
}

/// The property whose elements carry a time.
const CONDITIONS: &str = "conditions";

/// Prints changes until Ctrl-C.
pub async fn follow(bus: &Bus, output: Output) -> Result<(), Ended> {
    // Listening comes first; then the first look, so that a change can say what was before.
    let mut signals = bus.signals().await?;
    let mut known = everything(bus).await?;
    if !output.json() {
        output.note("watching; Ctrl-C ends it")?;
    }
    let stopped = tokio::signal::ctrl_c();
    tokio::pin!(stopped);
    loop {
        let signal = tokio::select! {
            _ = &mut stopped => return Ok(()),
            signal = signals.next() => match signal.transpose()? {
                Some(signal) => signal,
                None => return Ok(()),
            },
        };
        let back = signal == Signal::Daemon(true);
        for change in changes(signal, &mut known, now()) {
            if output.json() {
                output.line(&change)?;
            } else {
                output.text(&change.lines())?;
            }
        }
        if back {
            // A new daemon announces nothing that was there before it.
            let fresh = everything(bus).await?;
            for change in differences(&mut known, fresh, now()) {
                if output.json() {
                    output.line(&change)?;
                } else {
                    output.text(&change.lines())?;
                }
            }
        }
    }
}

/// All objects, and whom the node trusts, as far as this daemon tells it.
async fn everything(bus: &Bus) -> Result<Objects, Ended> {
    let mut objects = bus.objects().await?;
    objects.extend(bus.trust().await.ok().map(|trust| (Subject::SecureBoot, trust)));
    Ok(objects)
}

/// What a signal changes about what is known.
fn changes(signal: Signal, known: &mut Objects, time: u64) -> Vec<Change> {
    match signal {
        Signal::Changed(subject, values) => {
            let before = known.entry(subject.clone()).or_default();
            changed(&subject, before, values, time)
        }
        Signal::Appeared(subject, values) => match known.get_mut(&subject) {
            // Heard of already: it appeared between listening and the first look.
            Some(before) => changed(&subject, before, values, time),
            None => {
                known.insert(subject.clone(), values.clone());
                vec![Change { to: values.into(), ..Change::of(&subject, "appeared", time) }]
            }
        },
        Signal::Gone(subject) => match known.remove(&subject) {
            Some(before) => {
                vec![Change { from: before.into(), ..Change::of(&subject, "gone", time) }]
            }
            None => Vec::new(),
        },
        Signal::Daemon(there) => vec![Change {
            kind: "daemon",
            ..Change::of(&Subject::Node, if there { "appeared" } else { "gone" }, time)
        }],
    }
}

fn changed(
    subject: &Subject,
    before: &mut Map<String, Value>,
    values: Map<String, Value>,
    time: u64,
) -> Vec<Change> {
    let mut changes = Vec::new();
    for (name, to) in values {
        let from = before.insert(name.clone(), to.clone()).unwrap_or_default();
        if from != to {
            let property = Some(name);
            changes.push(Change { property, from, to, ..Change::of(subject, "changed", time) });
        }
    }
    changes
}

/// What is different in a fresh look.
fn differences(known: &mut Objects, fresh: Objects, time: u64) -> Vec<Change> {
    let gone: Vec<_> =
        known.keys().filter(|subject| !fresh.contains_key(subject)).cloned().collect();
    let gone = gone.into_iter().map(Signal::Gone);
    let there = fresh.into_iter().map(|(subject, values)| Signal::Appeared(subject, values));
    let signals: Vec<_> = gone.chain(there).collect();
    signals.into_iter().flat_map(|signal| changes(signal, known, time)).collect()
}

impl Change {
    fn of(subject: &Subject, change: &'static str, time: u64) -> Self {
        let (kind, name) = match subject {
            Subject::Node => ("node", None),
            Subject::SecureBoot => (SECURE_BOOT, None),
            Subject::Object(kind, name) => (Kind::as_str(*kind), Some(name.clone())),
        };
        Self { time, kind, name, change, property: None, from: Value::Null, to: Value::Null }
    }

    /// For people: a line, or one per element that came or went where a list changed.
    fn lines(&self) -> String {
        let subject = match &self.name {
            Some(name) => format!("{} {name}", self.kind),
            None => self.kind.to_owned(),
        };
        let head =
            format!("{}  {}  ", Paint::Dim.on(&time_of_day(self.time)), Paint::Strong.on(&subject));
        let whats = match (&self.property, &self.from, &self.to) {
            (None, ..) => vec![self.change.to_owned()],
            (Some(name), Value::Array(from), Value::Array(to)) => elements(name, from, to),
            (Some(name), Value::Object(from), Value::Object(to)) if is_of_lists(to) => {
                let none = Vec::new();
                let names: BTreeSet<_> = from.keys().chain(to.keys()).collect();
                let lines = names.into_iter().flat_map(|one| {
                    let [from, to] = [from, to].map(|all| all.get(one).and_then(Value::as_array));
                    let (from, to) = (from.unwrap_or(&none), to.unwrap_or(&none));
                    let news = (from != to).then(|| elements(&format!("{name} {one}"), from, to));
                    news.unwrap_or_default()
                });
                lines.collect()
            }
            (Some(name), from, to) => vec![format!("{name}: {} → {}", words(from), words(to))],
        };
        whats.iter().map(|what| format!("{head}{}\n", plain(what))).collect()
    }
}

/// Whether it has a list under each name, which is told element by element.
fn is_of_lists(map: &Map<String, Value>) -> bool {
    !map.is_empty() && map.values().all(Value::is_array)
}

/// Elements that came (`+`) and went (`-`); only the order changed when there are none.
fn elements(name: &str, from: &[Value], to: &[Value]) -> Vec<String> {
    let gone = from.iter().filter(|one| !to.contains(one)).map(|one| ('-', one));
    let come = to.iter().filter(|one| !from.contains(one)).map(|one| ('+', one));
    let element = |one: &Value| match one {
        // A condition ends with the time it changed, which the line begins with.
        Value::Array(fields) if name == CONDITIONS => {
            words(&fields.iter().filter(|field| field.is_string()).cloned().collect())
        }
        one => words(one),
    };
    let lines: Vec<_> =
        gone.chain(come).map(|(sign, one)| format!("{name}: {sign} {}", element(one))).collect();
    if lines.is_empty() { vec![format!("{name}: reordered")] } else { lines }
}

/// A value in words: no quotes, no brackets where there is one thing only.
fn words(value: &Value) -> String {
    match value {
        Value::Null => "?".into(),
        Value::String(text) if text.is_empty() => "-".into(),
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::Number(number) => number.to_string(),
        Value::Array(items) if items.is_empty() => "none".into(),
        Value::Array(items) => items.iter().map(words).collect::<Vec<_>>().join(" "),
        Value::Object(map) if map.is_empty() => "none".into(),
        Value::Object(map) => {
            let pair = |(key, value): (&String, &Value)| match (key.as_str(), value.as_u64()) {
                ("since" | "until", Some(0)) => format!("{key}=-"),
                ("since" | "until", Some(ms)) => format!("{key}={}", time_of_day(ms)),
                _ => format!("{key}={}", words(value)),
            };
            map.iter().map(pair).collect::<Vec<_>>().join(" ")
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed test is what a panic is for.

    use serde_json::json;

    use super::*;
    use crate::render::paint::without;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn text(changes: &[Change]) -> String {
        without(&changes.iter().map(Change::lines).collect::<String>())
    }

    #[test]
    fn a_line_says_when_who_and_what() {
        let pool = Subject::Object(Kind::Pool, "onload".into());
        let mut known =
            Objects::from([(pool.clone(), map(json!({"free": 8, "registered": true})))]);
        let news = map(json!({"free": 7, "registered": true}));
        let changes = changes(Signal::Changed(pool, news), &mut known, 3_600_000);
        assert_eq!(text(&changes), "01:00:00Z  pool onload  free: 8 → 7\n");
        assert_eq!((&changes[0].from, &changes[0].to), (&json!(8), &json!(7)));
    }

    #[test]
    fn lists_say_what_came_and_what_went() {
        let mut known = Objects::from([(
            Subject::Node,
            map(json!({"blockers": [["sfc", "Held"], ["x", "Y"]]})),
        )]);
        let news = map(json!({"blockers": [["x", "Y"], ["node", "Stopped"]]}));
        let changes = changes(Signal::Changed(Subject::Node, news), &mut known, 0);
        assert_eq!(
            text(&changes),
            "00:00:00Z  node  blockers: - sfc Held\n00:00:00Z  node  blockers: + node Stopped\n"
        );
    }

    #[test]
    fn lists_under_names_say_what_came_and_what_went_under_each() {
        let verdicts = |of| map(json!({"verdicts": {"9.1.0": [["sfc", of]], "host": []}}));
        let mut known = Objects::from([(Subject::SecureBoot, verdicts("refused"))]);
        let news = Signal::Changed(Subject::SecureBoot, verdicts("trusted"));
        assert_eq!(
            text(&changes(news, &mut known, 0)),
            "00:00:00Z  secure-boot  verdicts 9.1.0: - sfc refused
00:00:00Z  secure-boot  verdicts 9.1.0: + sfc trusted
"
        );
    }

    #[test]
    fn times_are_told_as_times() {
        let before = json!({"conditions": [["Ready", "False", "Held", "held", 5]], "held": {}});
        let mut known = Objects::from([(Subject::Node, map(before))]);
        let held = json!({"reason": "x", "since": 3_600_000, "until": 0});
        let news = json!({"conditions": [["Ready", "True", "AsWanted", "", 9]], "held": held});
        let changes = changes(Signal::Changed(Subject::Node, map(news)), &mut known, 0);
        assert_eq!(
            text(&changes),
            "00:00:00Z  node  conditions: - Ready False Held held
00:00:00Z  node  conditions: + Ready True AsWanted -
00:00:00Z  node  held: none → reason=x since=01:00:00Z until=-
"
        );
    }

    #[test]
    fn objects_come_and_go_once() {
        let job = Subject::Object(Kind::Job, "j1".into());
        let mut known = Objects::new();
        let come = || Signal::Appeared(job.clone(), map(json!({"state": "running"})));
        assert_eq!(text(&changes(come(), &mut known, 0)), "00:00:00Z  job j1  appeared\n");
        assert_eq!(changes(come(), &mut known, 0), []);
        let gone = || Signal::Gone(job.clone());
        assert_eq!(text(&changes(gone(), &mut known, 0)), "00:00:00Z  job j1  gone\n");
        assert_eq!(changes(gone(), &mut known, 0), []);
    }

    #[test]
    fn a_restart_shows_what_it_changed_and_nothing_else() {
        let job = Subject::Object(Kind::Job, "j1".into());
        let before = [(Subject::Node, map(json!({"state": "ready"}))), (job, Map::new())];
        let mut known = Objects::from(before);
        let fresh = Objects::from([(Subject::Node, map(json!({"state": "held"})))]);
        let text = text(&differences(&mut known, fresh.clone(), 0));
        assert_eq!(text, "00:00:00Z  job j1  gone\n00:00:00Z  node  state: ready → held\n");
        assert_eq!(known, fresh);
    }
}

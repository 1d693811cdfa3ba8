//! Orders that take time: each is followed to its end, and Ctrl-C asks it to stop.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use onload_dbus::error::{Kind as ErrorKind, Parts};
use onload_dbus::path::{Kind, parse};
use onload_dbus::proxies::ManagerProxy;
use serde_json::{Map, Value};
use tokio::signal::unix::{Signal as Interrupts, SignalKind, signal};
use tokio_stream::{Stream, StreamExt as _};
use zbus::OwnedObjectPath;

use crate::bus::{Bus, Signal, Subject};
use crate::commands::history::{Change, change};
use crate::commands::jobs::Job;
use crate::commands::status::{Blocker, blockers};
use crate::ended::{Complaint, Ended};
use crate::properties::Properties;
use crate::render::paint::plain;
use crate::render::{Output, now};

/// How often the spinner turns: often enough to be alive, seldom enough to cost nothing.
const SPIN: Duration = Duration::from_millis(120);

/// State of a job that has not ended.
const RUNNING: &str = "running";
/// State of a job that did not reach its end by itself.
const FAILED: &str = "failed";
/// State of a node on which something is in the way.
const BLOCKED: &str = "blocked";
/// Orders that bring the node to a state, and so are stopped by what is in its way.
const CHANGES: [&str; 4] = ["apply", "use", "rollback", "adopt"];

/// Whether somebody stays to see the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// The job's end.
    Ended,
    /// The order is taken.
    Taken,
}

/// Orders, follows the job, and tells how it ended. Fails when the job does.
pub async fn order(
    bus: &Bus,
    output: Output,
    until: Until,
    ask: impl AsyncFnOnce(&ManagerProxy<'_>) -> zbus::Result<OwnedObjectPath>,
) -> Result<(), Ended> {
    let job = job(bus, output, until, async || Ok(ask(&bus.manager().await?).await?)).await?;
    if output.json() {
        output.document(&job)?;
    }
    if until == Until::Taken {
        return tell(output, until, &job);
    }
    if let Err(complaint) = ended(&job) {
        return Err(in_the_way(bus, &job).await.unwrap_or(complaint).into());
    }
    tell(output, until, &job)?;
    if !output.json() {
        let awaited = change(&mut bus.node().await?).and_then(|change| change.awaits(now()));
        if let Some(awaited) = awaited {
            output.text(&format!("{}\n", plain(&awaited)))?;
        }
    }
    Ok(())
}

/// Orders and follows the job: what became of it, or that it runs, if nobody waits for its end.
pub async fn job(
    bus: &Bus,
    output: Output,
    until: Until,
    ask: impl AsyncFnOnce() -> Result<OwnedObjectPath, Ended>,
) -> Result<Job, Ended> {
    // Listening comes first: a short job may have ended before its name is here, and an interrupt
    // that comes before it is meant for the job as well.
    let mut signals = bus.signals().await?;
    let mut interrupts = signal(SignalKind::interrupt())?;
    let path = ask().await?;
    let Some((Kind::Job, name)) = parse(path.as_str()) else {
        return Err(Complaint::of(
            ErrorKind::Internal,
            "the order cannot be followed",
            format!("onloadd named {} as its job", plain(path.as_str())),
            "`onloadctl jobs` shows what runs",
        )
        .into());
    };
    if until == Until::Taken {
        return Ok(Job::of(Properties::new(bus.job_properties(&name).await?)));
    }
    let progress = Progress::new(output);
    follow(bus, &name, &mut signals, &mut interrupts, &progress).await
}

/// Tells how a job ended. Fails when it did.
pub fn done(output: Output, until: Until, job: &Job) -> Result<(), Ended> {
    if output.json() {
        output.document(job)?;
    }
    if until == Until::Ended {
        ended(job)?;
    }
    tell(output, until, job)
}

/// How a job ended that did well, for people: a line, and below it what else it has to say. One that
/// nobody waited for is ordered. Programs have the job itself.
pub fn tell(output: Output, until: Until, job: &Job) -> Result<(), Ended> {
    if output.json() {
        return Ok(());
    }
    if until == Until::Taken {
        let said = "ordered; `onloadctl jobs` shows how it goes";
        return Ok(output.text(&format!("{}: {said}\n", job.id))?);
    }
    let mut lines = job.message.lines();
    let first = plain(lines.next().unwrap_or_default());
    let more: String = lines.map(|line| format!("  {}\n", plain(line))).collect();
    Ok(output.text(&format!("{}: {first}\n{more}", job.id))?)
}

/// Follows a job by its signals until it is no longer running.
async fn follow(
    bus: &Bus,
    name: &str,
    signals: &mut (impl Stream<Item = Result<Signal, Ended>> + Unpin),
    interrupts: &mut Interrupts,
    progress: &Progress,
) -> Result<Job, Ended> {
    let subject = Subject::Object(Kind::Job, name.to_owned());
    let mut known = bus.job_properties(name).await?;
    let (mut asked, mut hinted) = (false, false);
    loop {
        let job = Job::of(Properties::new(known.clone()));
        progress.show(&job);
        if job.state != RUNNING {
            progress.end();
            return Ok(job);
        }
        tokio::select! {
            _ = interrupts.recv() => {
                // Asked once and pressed again: the person wants to leave, the job goes on.
                if asked {
                    return Err(lost(name, "you left before it ended"));
                }
                asked = true;
                progress.say("asking it to stop; Ctrl-C again leaves it");
                if let Err(error) = bus.job(name).await?.cancel().await {
                    progress.say(&format!("it goes on: {}", Complaint::from(&error).why));
                }
            }
            news = signals.next() => match news.transpose()? {
                Some(news) => {
                    let hint = awaited(&news).filter(|_| !hinted && !progress.output.json());
                    if let Some(hint) = hint {
                        hinted = true;
                        progress.say(&plain(&hint));
                    }
                    take(news, &subject, &mut known, name)?;
                }
                None => return Err(Complaint::unreachable("the bus went away").into()),
            }
        }
    }
}

/// What a signal says of a change that waits to be confirmed while its job still runs.
fn awaited(signal: &Signal) -> Option<String> {
    match signal {
        Signal::Changed(Subject::Node, values) => {
            let values = values.get("change")?.as_object()?;
            Change::of(values.clone())?.awaits(now())
        }
        Signal::Changed(Subject::Object(..) | Subject::SecureBoot, _)
        | Signal::Appeared(..)
        | Signal::Gone(_)
        | Signal::Daemon(_) => None,
    }
}

/// Brings what is known of the job up to date.
fn take(
    signal: Signal,
    subject: &Subject,
    known: &mut Map<String, Value>,
    name: &str,
) -> Result<(), Ended> {
    match signal {
        Signal::Changed(whose, values) | Signal::Appeared(whose, values) if whose == *subject => {
            known.extend(values);
        }
        Signal::Gone(whose) if whose == *subject => {
            return Err(lost(name, "onloadd no longer knows the job"));
        }
        Signal::Daemon(false) => return Err(lost(name, "onloadd left the bus")),
        Signal::Changed(..) | Signal::Appeared(..) | Signal::Gone(_) | Signal::Daemon(true) => {}
    }
    Ok(())
}

fn lost(name: &str, why: &str) -> Ended {
    let what = format!("the end of job {} was not seen", plain(name));
    let fix = "`onloadctl jobs` and `onloadctl status` show how it stands";
    Complaint::of(ErrorKind::Cancelled, what, why, fix).into()
}

/// A job that did not get to its end is a failure of the order. One that says itself what did not
/// happen, why, and what to do is not told in other words.
pub fn ended(job: &Job) -> Result<(), Complaint> {
    let (kind, how, fix) = match job.state.as_str() {
        "done" => return Ok(()),
        "cancelled" => (ErrorKind::Cancelled, "was stopped", "order it again to go on with it"),
        _ => (ErrorKind::Internal, "failed", "`onloadctl status` shows what is in the way"),
    };
    let parts = Parts::of(&job.message);
    if !parts.why.is_empty() {
        return Err(Complaint::of(kind, parts.what, parts.why, parts.fix));
    }
    let steps = match job.total {
        0 => "before any step".to_owned(),
        total => format!("after {} of {total} steps", job.done),
    };
    let what = format!("job {} ({}) {how} {steps}", job.id, job.kind);
    Err(Complaint::of(kind, what, &job.message, fix))
}

/// A job that could not begin, on a node where something is in the way: nothing failed, and what is
/// in the way says what to do. None where it is otherwise, or cannot be asked.
async fn in_the_way(bus: &Bus, job: &Job) -> Option<Complaint> {
    if job.state != FAILED || job.total != 0 || !CHANGES.contains(&job.kind.as_str()) {
        return None;
    }
    let mut node = bus.node().await.ok()?;
    let first = blockers(&mut node).into_iter().next()?;
    blocked(&job.id, &node.get::<String>("state"), &first)
}

fn blocked(job: &str, state: &str, first: &Blocker) -> Option<Complaint> {
    let what = format!("nothing is applied (job {job})");
    let why = format!("{}: {}", first.subject, first.why);
    (state == BLOCKED).then(|| Complaint::of(ErrorKind::Blocked, what, why, &first.fix))
}

/// What is seen of a running job: a bar on a terminal, a line per change elsewhere, both on the
/// standard error stream, so that the answer stays alone on the standard output.
struct Progress {
    bar: Option<ProgressBar>,
    output: Output,
    last: std::cell::RefCell<String>,
}

impl Progress {
    fn new(output: Output) -> Self {
        let seen = std::io::stderr().is_terminal() && !output.json();
        let bar = seen.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            // The template is a constant that a test draws; the default is no worse than none.
            if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
                bar.set_style(style);
            }
            bar.enable_steady_tick(SPIN);
            bar
        });
        Self { bar, output, last: std::cell::RefCell::default() }
    }

    fn show(&self, job: &Job) {
        if let Some(bar) = &self.bar {
            bar.set_length(job.total.into());
            bar.set_position(job.done.into());
            bar.set_message(plain(&job.told()));
            return;
        }
        let line = format!("{} {}/{} {}", job.id, job.done, job.total, plain(&job.told()));
        // How it ended is the answer, and said by whoever asked.
        let news = job.state == RUNNING && !self.output.json();
        if news && self.last.replace(line.clone()) != line {
            self.say(&line);
        }
    }

    /// Says something beside. A reader who is gone changes nothing about the job.
    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => drop(self.output.note(text)),
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

const TEMPLATE: &str = "{spinner} [{bar:24}] {pos}/{len} {wide_msg}";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed test is what a panic is for.

    use onload_dbus::error::exit;
    use serde_json::json;

    use super::*;

    fn job(state: &str) -> Job {
        Job {
            id: "j1".into(),
            kind: "apply".into(),
            state: state.into(),
            done: 1,
            total: 3,
            message: "could not load sfc".into(),
            ..Job::default()
        }
    }

    #[test]
    fn only_a_job_that_is_done_is_well() {
        assert!(ended(&job("done")).is_ok());
        let failed = ended(&job("failed")).unwrap_err();
        assert_eq!(failed.what, "job j1 (apply) failed after 1 of 3 steps");
        assert_eq!(failed.why, "could not load sfc");
        assert_eq!(failed.exit, exit::FAILED);
        assert_eq!(ended(&job("cancelled")).unwrap_err().name, "Cancelled");
    }

    #[test]
    fn a_job_that_brings_its_remedy_is_told_in_its_own_words() {
        let message = "no release was taken in\n  why: it has no sfc\n  fix: build it again";
        let failed = ended(&Job { message: message.into(), ..job("failed") }).unwrap_err();
        assert_eq!(
            (failed.what.as_str(), failed.why.as_str(), failed.fix.as_str()),
            ("no release was taken in", "it has no sfc", "build it again")
        );
    }

    #[test]
    fn what_is_in_the_way_is_no_failure_and_brings_its_remedy() {
        let first = Blocker {
            subject: "sfc".into(),
            why: "another is loaded".into(),
            fix: "unload it".into(),
            ..Blocker::default()
        };
        let complaint = blocked("j1", "blocked", &first).unwrap();
        assert_eq!(complaint.exit, exit::BLOCKED);
        assert_eq!(
            (complaint.why.as_str(), complaint.fix.as_str()),
            ("sfc: another is loaded", "unload it")
        );
        assert!(blocked("j1", "degraded", &first).is_none(), "that is a failure");
    }

    #[test]
    fn the_bar_can_be_drawn() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
    }

    #[test]
    fn a_daemon_that_goes_away_ends_the_following() {
        let subject = Subject::Object(Kind::Job, "j1".into());
        let mut known = Map::new();
        let news = Map::from_iter([("done".to_owned(), Value::from(2))]);
        let signal = Signal::Changed(subject.clone(), news.clone());
        assert!(take(signal, &subject, &mut known, "j1").is_ok());
        assert_eq!(known, news);
        let other = Subject::Object(Kind::Job, "j2".into());
        assert!(take(Signal::Gone(other), &subject, &mut known, "j1").is_ok());
        for end in [Signal::Daemon(false), Signal::Gone(subject.clone())] {
            assert!(take(end, &subject, &mut known, "j1").is_err());
        }
    }

    #[test]
    fn a_change_that_waits_is_said_while_the_job_runs() {
        let node = |confirm_by: u64| {
            let change = json!({"number": 3, "from": "host", "confirm_by": confirm_by});
            let values = Map::from_iter([("change".to_owned(), change)]);
            awaited(&Signal::Changed(Subject::Node, values))
        };
        assert_eq!(node(0), None);
        assert!(node(u64::MAX / 2).unwrap().contains("`onloadctl confirm`"));
    }
}

//! The loop: sources of events on one side, effects on the other, the reconciler between them.
//! Nothing is decided here, and nothing in the loop waits but for the next event.

use std::collections::BTreeMap;
use std::future::{Future, pending};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use onload_core::command::{Answer, RequestId};
use onload_core::inventory::Snapshot;
use onload_core::ledger::Entry;
use onload_core::picture::{NodeState, Picture};
use onload_core::reconcile::{Durability, Effect, Event, Reconciler, RecordId};
use onload_core::step::{Outcome, Step, StepError};
use onload_core::time::Moment;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use crate::host::Host;
use crate::ledger_file::LedgerFile;
use crate::letterbox::{Notice, Post};
use crate::settings_dir::Sources;
use crate::{clock, logging, processes, service};

/// The longest the loop sleeps, whatever the reconciler says: a bound on arithmetic, not a pace.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

type Task<'host, T> = Pin<Box<dyn Future<Output = T> + 'host>>;

/// The loop and all it owns.
#[derive(Debug)]
pub struct App<H> {
    host: H,
    sources: Sources,
    ledger: LedgerFile,
    reconciler: Reconciler,
    effects: Vec<Effect>,
    pictures: watch::Sender<Arc<Picture>>,
    posts: mpsc::UnboundedReceiver<Post>,
    /// What tasks report: syncs that ended, processes that are gone.
    reports: (mpsc::UnboundedSender<Event>, mpsc::UnboundedReceiver<Event>),
    waiting: BTreeMap<RequestId, oneshot::Sender<Answer>>,
    last_request: u64,
}

/// Signals that mean something to us.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// What the loop woke for.
enum Wake {
    Event(Event),
    Post(Post),
    Watchdog,
    Reload,
    Stop,
}

impl<H: Host> App<H> {
    /// Reads configuration and ledger, and starts the reconciler on them.
    pub fn new(
        host: H,
        sources: Sources,
        ledger: (LedgerFile, Result<onload_core::ledger::Ledger, String>),
        pictures: watch::Sender<Arc<Picture>>,
        posts: mpsc::UnboundedReceiver<Post>,
    ) -> Self {
        let config = sources.load();
        if let Err(error) = &config {
            tracing::error!(message_id = logging::CONFIGURATION_REFUSED, %error, "hands off");
        }
        let (ledger, read) = ledger;
        if let Err(why) = &read {
            tracing::error!(message_id = logging::DEGRADED, %why, "ledger unreadable, hands off");
        }
        let (reconciler, effects) = Reconciler::start(clock::now(), config, read);
        let (reports, waiting) = (mpsc::unbounded_channel(), BTreeMap::new());
        Self {
            host,
            sources,
            ledger,
            reconciler,
            effects,
            pictures,
            posts,
            reports,
            waiting,
            last_request: 0,
        }
    }

    /// Runs until a signal ends it.
    ///
    /// # Errors
    /// That signals cannot be had.
    pub async fn run(self) -> io::Result<()> {
        let Self {
            host,
            sources,
            mut ledger,
            mut reconciler,
            mut effects,
            pictures,
            mut posts,
            reports: (reporter, mut reports),
            mut waiting,
            mut last_request,
        } = self;
        let mut signals = Signals::new()?;
        let mut watchdog = service::watchdog_period().map(|period| {
            let mut watchdog = interval(period);
            watchdog.set_missed_tick_behavior(MissedTickBehavior::Delay);
            watchdog
        });
        let mut look: Option<Task<'_, Snapshot>> = None;
        let mut step: Option<Task<'_, Result<Outcome, StepError>>> = None;
        let mut changed: Task<'_, ()> = Box::pin(host.changed());
        let mut alarm = pin!(sleep_until(Instant::now()));
        let mut armed = None;
        loop {
            // Effects may bring events of their own at once; they are taken before anything new.
            while !effects.is_empty() {
                let mut next = Vec::new();
                for effect in std::mem::take(&mut effects) {
                    let event = match effect {
                        Effect::Look => {
                            look = Some(Box::pin(host.observe()));
                            None
                        }
                        Effect::Apply(order) => {
                            let limit = reconciler.settings().daemon.step_limit.0;
                            step = Some(Box::pin(apply(&host, order, limit)));
                            None
                        }
                        Effect::Record { id, entries, durability } => {
                            record(&mut ledger, id, &entries, durability, &reporter)
                        }
                        Effect::Rewrite(text) => Some(Event::Rewritten(ledger.replace(&text))),
                        Effect::Answer(request, answer) => {
                            // A caller that went away does not hear its answer.
                            if let Some(caller) = waiting.remove(&request) {
                                let _ = caller.send(answer);
                            }
                            None
                        }
                        Effect::Publish(picture) => {
                            publish(&pictures, picture);
                            None
                        }
                        Effect::ReadConfiguration(request) => {
                            let config = sources.load().map(Box::new);
                            if let Err(error) = &config {
                                tracing::error!(message_id = logging::CONFIGURATION_REFUSED, %error, "refused");
                            }
                            Some(Event::Configuration { request, config })
                        }
                        Effect::WatchProcess(process) => {
                            let reporter = reporter.clone();
                            tokio::spawn(async move {
                                processes::ended(&process).await;
                                let _ = reporter.send(Event::ProcessGone(process));
                            });
                            None
                        }
                    };
                    next.extend(
                        event
                            .map(|event| reconciler.handle(clock::now(), event))
                            .into_iter()
                            .flatten(),
                    );
                }
                effects = next;
            }
            // Set only when it changes: a time that is over comes up by itself, after what was
            // answered just now has left, and callers that never pause cannot put it off.
            let deadline = reconciler.deadline();
            if armed != Some(deadline) {
                armed = Some(deadline);
                alarm.as_mut().reset(instant(deadline));
            }
            let wake = tokio::select! {
                Some(post) = posts.recv() => Wake::Post(post),
                Some(event) = reports.recv() => Wake::Event(event),
                snapshot = ready(&mut look) => Wake::Event(Event::Looked(Box::new(snapshot))),
                result = ready(&mut step) => Wake::Event(Event::StepEnded(result)),
                () = &mut changed => {
                    changed = Box::pin(host.changed());
                    Wake::Event(Event::Changed)
                }
                () = &mut alarm => {
                    armed = None;
                    Wake::Event(Event::Deadline)
                }
                () = tick(&mut watchdog) => Wake::Watchdog,
                wake = signals.next() => wake,
            };
            let event = match wake {
                Wake::Event(event) => {
                    if let Event::StepEnded(Err(error)) = &event {
                        tracing::warn!(message_id = logging::STEP_FAILED, %error, "step failed");
                    }
                    event
                }
                Wake::Post(post) => {
                    last_request += 1;
                    from_post(post, RequestId(last_request), &mut waiting)
                }
                Wake::Reload => {
                    effects.push(Effect::ReadConfiguration(None));
                    continue;
                }
                Wake::Watchdog => {
                    service::feed_watchdog();
                    continue;
                }
                Wake::Stop => {
                    service::stopping();
                    return Ok(());
                }
            };
            effects = reconciler.handle(clock::now(), event);
        }
    }
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Wake {
        tokio::select! {
            _ = self.terminate.recv() => Wake::Stop,
            _ = self.interrupt.recv() => Wake::Stop,
            _ = self.hangup.recv() => Wake::Reload,
        }
    }
}

/// The result of a task, once; never resolves while there is none.
async fn ready<T>(task: &mut Option<Task<'_, T>>) -> T {
    match task {
        Some(running) => {
            let result = running.await;
            *task = None;
            result
        }
        None => pending().await,
    }
}

async fn tick(watchdog: &mut Option<tokio::time::Interval>) {
    match watchdog {
        Some(watchdog) => {
            watchdog.tick().await;
        }
        None => pending().await,
    }
}

/// One step with its deadline. What does not end in it cannot be ended by us either: it is left.
async fn apply<H: Host>(host: &H, step: Step, limit: Duration) -> Result<Outcome, StepError> {
    tracing::info!(message_id = logging::STEP, %step, "begin");
    let result = timeout(limit, host.apply(&step)).await;
    let result = result.unwrap_or(Err(StepError::Stuck { limit_secs: limit.as_secs() }));
    if let Ok(outcome) = &result {
        tracing::info!(message_id = logging::STEP, %step, ?outcome, "end");
    }
    result
}

/// Appends at once, so that a kill keeps it; waits for the disk elsewhere.
fn record(
    ledger: &mut LedgerFile,
    id: RecordId,
    entries: &[Entry],
    durability: Durability,
    reporter: &mpsc::UnboundedSender<Event>,
) -> Option<Event> {
    if let Err(why) = ledger.append(entries) {
        tracing::error!(message_id = logging::DEGRADED, %why, "ledger unwritable");
        return Some(Event::RecordFailed { record: id, why });
    }
    let sync = ledger.sync().filter(|_| durability == Durability::Synced)?;
    let reporter = reporter.clone();
    tokio::task::spawn_blocking(move || {
        let event = match sync() {
            Ok(()) => Event::Recorded(id),
            Err(error) => Event::RecordFailed { record: id, why: error.to_string() },
        };
        let _ = reporter.send(event);
    });
    None
}

fn from_post(
    post: Post,
    id: RequestId,
    waiting: &mut BTreeMap<RequestId, oneshot::Sender<Answer>>,
) -> Event {
    match post {
        Post::Request { caller, command, answer } => {
            waiting.insert(id, answer);
            Event::Request { id, caller, command }
        }
        Post::Notice(Notice::ClientGone { bus_name }) => Event::ClientGone(bus_name),
        Post::Notice(Notice::BusLost) => Event::BusLost,
        Post::Notice(Notice::ProcessGone(process)) => Event::ProcessGone(process),
        Post::Notice(Notice::Registered { pool, registered }) => {
            Event::Registered { pool, registered }
        }
    }
}

/// Shows the picture; says what changed of the node's state to the journal and to systemd.
fn publish(pictures: &watch::Sender<Arc<Picture>>, picture: Arc<Picture>) {
    let former = pictures.borrow().clone();
    if former.state != picture.state || former.summary != picture.summary {
        let (state, summary) = (picture.state, &picture.summary);
        let generation = picture.generation;
        if state == NodeState::Degraded && former.state != state {
            tracing::error!(message_id = logging::DEGRADED, %state, generation, "{summary}");
        } else {
            tracing::info!(message_id = logging::STATE_CHANGED, %state, generation, "{summary}");
        }
        service::status(state, summary);
    }
    pictures.send_replace(picture);
}

/// A moment on the runtime's clock. One millisecond late rather than early: both clocks count whole
/// ones, and to wake too soon is to wake twice.
fn instant(deadline: Moment) -> Instant {
    let pause = deadline.since(clock::now().boot).min(LONGEST_SLEEP);
    Instant::now() + pause + Duration::from_millis(u64::from(!pause.is_zero()))
}

//! The loop: sources of events on one side, effects on the other, the reconciler between them.
//! Nothing is decided here, and nothing in the loop waits but for the next event.

use std::future::{Future, pending, poll_fn};
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use onload_core::inventory::Snapshot;
use onload_core::ledger::Ledger;
use onload_core::picture::Picture;
use onload_core::reconcile::Event;
use onload_core::step::{Outcome, StepError};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::host::Host;
use crate::ledger_file::LedgerFile;
use crate::letterbox::Post;
use crate::metrics::Meters;
use crate::settings_dir::Sources;
use crate::{clock, service};

mod alarm;
mod desk;

use alarm::Alarm;
use desk::Desk;

type Task<'host, T> = Pin<Box<dyn Future<Output = T> + 'host>>;

/// The loop and all it owns.
#[derive(Debug)]
pub struct App<H> {
    host: H,
    desk: Desk,
    posts: mpsc::UnboundedReceiver<Post>,
    /// What tasks report: syncs that ended, processes that are gone.
    reports: mpsc::UnboundedReceiver<Event>,
}

/// What the host is at: at most one look and one step, and releases that come and go beside them.
struct Work<'host, H> {
    host: &'host H,
    look: Option<Task<'host, Snapshot>>,
    step: Option<Task<'host, Result<Outcome, StepError>>>,
    /// Releases that are taken in or removed.
    jobs: Vec<Task<'host, Event>>,
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
    Alarm,
    Reload,
    Stop,
}

impl<H: Host> App<H> {
    /// Reads the configuration, and starts the reconciler on it and the ledger.
    pub fn new(
        host: H,
        sources: Sources,
        ledger: (LedgerFile, Result<Ledger, String>),
        pictures: watch::Sender<Arc<Picture>>,
        posts: mpsc::UnboundedReceiver<Post>,
    ) -> Self {
        let (reporter, reports) = mpsc::unbounded_channel();
        let desk = Desk::new(sources, ledger, pictures, reporter);
        Self { host, desk, posts, reports }
    }

    /// Asks the kubelet behind this socket what its pods have; without, none is asked.
    #[must_use]
    pub fn with_pod_resources(mut self, socket: PathBuf) -> Self {
        self.desk.ask_kubelet_at(socket);
        self
    }

    /// Counts steps and changes on these meters; without, nobody reads them.
    #[must_use]
    pub fn with_meters(mut self, meters: Arc<Meters>) -> Self {
        self.desk.count_on(meters);
        self
    }

    /// Runs until a signal ends it.
    ///
    /// # Errors
    /// That signals or a timer cannot be had.
    pub async fn run(self) -> io::Result<()> {
        let Self { host, mut desk, mut posts, mut reports } = self;
        let mut signals = Signals::new()?;
        let mut alarm = Alarm::new()?;
        let mut watchdog = service::watchdog_period().map(|period| (period, clock::now().boot));
        let mut work = Work { host: &host, look: None, step: None, jobs: Vec::new() };
        let mut changed: Task<'_, ()> = Box::pin(host.changed());
        loop {
            desk.carry_out(&mut work);
            let next = desk.deadline();
            alarm.set(watchdog.map_or(next, |(_, feeding)| next.min(feeding)))?;
            let wake = tokio::select! {
                Some(post) = posts.recv() => Wake::Post(post),
                Some(event) = reports.recv() => Wake::Event(event),
                snapshot = ready(&mut work.look) => Wake::Event(Event::Looked(Box::new(snapshot))),
                result = ready(&mut work.step) => Wake::Event(Event::StepEnded(result)),
                event = first(&mut work.jobs) => Wake::Event(event),
                () = &mut changed => {
                    changed = Box::pin(host.changed());
                    Wake::Event(Event::Changed)
                }
                rung = alarm.rung() => {
                    rung?;
                    Wake::Alarm
                }
                wake = signals.next() => wake,
            };
            match wake {
                Wake::Event(event) => desk.take(event),
                Wake::Post(post) => desk.open(post),
                Wake::Reload => desk.reload(),
                Wake::Alarm => {
                    let now = clock::now().boot;
                    if let Some((period, feeding)) = &mut watchdog
                        && *feeding <= now
                    {
                        service::feed_watchdog();
                        *feeding = now + *period;
                    }
                    if desk.deadline() <= now {
                        desk.take(Event::Deadline);
                    }
                }
                Wake::Stop => {
                    service::stopping();
                    return Ok(());
                }
            }
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

/// The result of the first task of several that ends; never resolves while there is none.
async fn first<T>(tasks: &mut Vec<Task<'_, T>>) -> T {
    poll_fn(|context| {
        let ended =
            tasks.iter_mut().enumerate().find_map(|(at, task)| match task.as_mut().poll(context) {
                Poll::Ready(result) => Some((at, result)),
                Poll::Pending => None,
            });
        match ended {
            Some((at, result)) => {
                drop(tasks.swap_remove(at));
                Poll::Ready(result)
            }
            None => Poll::Pending,
        }
    })
    .await
}

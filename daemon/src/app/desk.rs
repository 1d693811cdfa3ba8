//! What the loop does with effects: each is carried out in order, and what comes of it at once is
//! an event again.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use onload_core::command::{Answer, RequestId};
use onload_core::config::{Config, ConfigError};
use onload_core::ledger::{Entry, Ledger};
use onload_core::picture::{NodeState, Picture};
use onload_core::reconcile::{Durability, Effect, Event, Reconciler, RecordId};
use onload_core::refusal::{Refusal, RefusalKind};
use onload_core::step::{Outcome, Step, StepError};
use onload_core::time::Moment;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::Work;
use crate::host::Host;
use crate::ledger_file::LedgerFile;
use crate::letterbox::{Notice, Post};
use crate::metrics::Meters;
use crate::settings_dir::Sources;
use crate::{clock, kubelet, logging, processes, service, units};

/// The reconciler, and all that its effects reach but the host.
#[derive(Debug)]
pub(super) struct Desk {
    sources: Sources,
    ledger: LedgerFile,
    reconciler: Reconciler,
    /// What is still to be carried out.
    effects: Vec<Effect>,
    pictures: watch::Sender<Arc<Picture>>,
    reporter: mpsc::UnboundedSender<Event>,
    waiting: BTreeMap<RequestId, oneshot::Sender<Answer>>,
    /// Files of releases that are to be taken in.
    files: BTreeMap<RequestId, OwnedFd>,
    last_request: u64,
    /// The kubelet's pod-resources socket.
    pod_resources: Option<PathBuf>,
    meters: Arc<Meters>,
}

impl Desk {
    pub(super) fn new(
        sources: Sources,
        (ledger, read): (LedgerFile, Result<Ledger, String>),
        pictures: watch::Sender<Arc<Picture>>,
        reporter: mpsc::UnboundedSender<Event>,
    ) -> Self {
        let config = load(&sources);
        if let Err(why) = &read {
            tracing::error!(message_id = logging::DEGRADED, %why, "ledger unreadable, hands off");
        }
        let (reconciler, effects) = Reconciler::start(clock::now(), config, read);
        Self {
            sources,
            ledger,
            reconciler,
            effects,
            pictures,
            reporter,
            waiting: BTreeMap::new(),
            files: BTreeMap::new(),
            last_request: 0,
            pod_resources: None,
            meters: Arc::default(),
        }
    }

    pub(super) fn ask_kubelet_at(&mut self, socket: PathBuf) {
        self.pod_resources = Some(socket);
    }

    pub(super) fn count_on(&mut self, meters: Arc<Meters>) {
        self.meters = meters;
    }

    pub(super) fn deadline(&self) -> Moment {
        self.reconciler.deadline()
    }

    /// Hands an event to the reconciler.
    pub(super) fn take(&mut self, event: Event) {
        if let Event::StepEnded(result) = &event {
            self.meters.step_ended(result);
            if let Err(error) = result {
                tracing::warn!(message_id = logging::STEP_FAILED, %error, "step failed");
            }
        }
        self.effects.extend(self.reconciler.handle(clock::now(), event));
    }

    /// Takes what an edge has posted.
    pub(super) fn open(&mut self, post: Post) {
        let event = match post {
            Post::Request { caller, command, files, answer } => {
                self.last_request += 1;
                let id = RequestId(self.last_request);
                self.waiting.insert(id, answer);
                self.files.extend(files.map(|files| (id, files)));
                Event::Request { id, caller, command }
            }
            Post::Notice(Notice::Changed) => Event::Changed,
            Post::Notice(Notice::TurnBack { why }) => Event::TurnBack { why },
            Post::Notice(Notice::ClientGone { bus_name }) => Event::ClientGone(bus_name),
            Post::Notice(Notice::BusLost) => Event::BusLost,
            Post::Notice(Notice::ProcessGone(process)) => Event::ProcessGone(process),
            Post::Notice(Notice::Registered { pool, registered }) => {
                Event::Registered { pool, registered }
            }
            Post::Notice(Notice::NotRegistered { pool, why }) => Event::NotRegistered { pool, why },
            Post::Notice(Notice::PluginSocket) => Event::PluginSocket,
        };
        self.take(event);
    }

    /// Reads the configuration without anybody waiting for it.
    pub(super) fn reload(&mut self) {
        self.effects.push(Effect::ReadConfiguration(None));
    }

    /// Carries out what is to be done, and what comes of it, until nothing is left.
    pub(super) fn carry_out<H: Host>(&mut self, work: &mut Work<'_, H>) {
        while !self.effects.is_empty() {
            for effect in std::mem::take(&mut self.effects) {
                if let Some(event) = self.carry_out_one(effect, work) {
                    self.take(event);
                }
            }
        }
    }

    /// One effect. Returns what came of it, where that is known at once.
    fn carry_out_one<H: Host>(&mut self, effect: Effect, work: &mut Work<'_, H>) -> Option<Event> {
        match effect {
            Effect::Look(look) => work.look = Some(Box::pin(work.host.observe(look))),
            Effect::Apply(step) => {
                let limit = self.reconciler.settings().daemon.step_limit.0;
                work.step = Some(Box::pin(apply(work.host, step, limit)));
            }
            Effect::Record { id, entries, durability } => {
                return self.record(id, &entries, durability);
            }
            Effect::Rewrite(text) => return Some(Event::Rewritten(self.ledger.replace(&text))),
            Effect::Import { job, request, version } => {
                let (host, files) = (work.host, self.files.remove(&request));
                work.jobs.push(Box::pin(async move {
                    let result = match files {
                        Some(files) => host.import(files, version).await,
                        None => Err(no_files()),
                    };
                    Event::Imported { job, result }
                }));
            }
            Effect::Remove { job, release } => {
                let host = work.host;
                work.jobs.push(Box::pin(async move {
                    Event::Removed { job, result: host.remove(&release).await }
                }));
            }
            Effect::WriteVariables { job, writes } => {
                let host = work.host;
                work.jobs.push(Box::pin(async move {
                    let result = host.write_variables(&writes).await;
                    Event::VariablesWritten { job, result }
                }));
            }
            Effect::Answer(request, answer) => {
                if answer.is_err() {
                    self.files.remove(&request);
                }
                // A caller that went away does not hear its answer.
                if let Some(caller) = self.waiting.remove(&request) {
                    let _ = caller.send(answer);
                }
            }
            Effect::Publish(picture) => {
                self.meters.published(&picture);
                publish(&self.pictures, picture);
            }
            Effect::ReadConfiguration(request) => {
                let config = load(&self.sources).map(Box::new);
                return Some(Event::Configuration { request, config });
            }
            Effect::AskKubelet => {
                let Some(socket) = self.pod_resources.clone() else {
                    let why = "this run of onloadd asks no kubelet".to_owned();
                    return Some(Event::KubeletSaid(Err(why)));
                };
                let reporter = self.reporter.clone();
                tokio::spawn(async move {
                    let said = kubelet::pods::list(&socket).await;
                    let said = said.map_err(|error| error.to_string());
                    let _ = reporter.send(Event::KubeletSaid(said));
                });
            }
            Effect::WatchUnit(unit) => {
                let reporter = self.reporter.clone();
                tokio::spawn(async move {
                    units::ended(&unit).await;
                    let _ = reporter.send(Event::UnitGone(unit));
                });
            }
            Effect::WatchProcess(process) => {
                let reporter = self.reporter.clone();
                tokio::spawn(async move {
                    processes::ended(&process).await;
                    let _ = reporter.send(Event::ProcessGone(process));
                });
            }
        }
        None
    }

    /// Appends at once, so that a kill keeps it; waits for the disk elsewhere.
    fn record(&mut self, id: RecordId, entries: &[Entry], durability: Durability) -> Option<Event> {
        if let Err(why) = self.ledger.append(entries) {
            tracing::error!(message_id = logging::DEGRADED, %why, "ledger unwritable");
            return Some(Event::RecordFailed { record: id, why });
        }
        let sync = self.ledger.sync().filter(|_| durability == Durability::Synced)?;
        let reporter = self.reporter.clone();
        tokio::task::spawn_blocking(move || {
            let event = match sync() {
                Ok(()) => Event::Recorded(id),
                Err(error) => Event::RecordFailed { record: id, why: error.to_string() },
            };
            let _ = reporter.send(event);
        });
        None
    }
}

fn load(sources: &Sources) -> Result<Config, ConfigError> {
    sources.load().inspect_err(|error| {
        tracing::error!(message_id = logging::CONFIGURATION_REFUSED, %error, "configuration refused");
    })
}

fn no_files() -> Refusal {
    Refusal::new(
        RefusalKind::InvalidArgument,
        "no release was taken in",
        "no files came with the order",
        "use `onloadctl release import`",
    )
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

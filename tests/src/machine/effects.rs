//! What the daemon orders, carried out on the node.

use std::fmt::Write as _;
use std::sync::Arc;

use onload_core::command::{Answer, Command, Reply, RequestId};
use onload_core::config::Config;
use onload_core::picture::Picture;
use onload_core::reconcile::{Durability, Effect, Event};
use onload_core::refusal::{Refusal, RefusalKind};
use onload_core::step::{Step, StepError};
use onload_core::time::{Moment, Now, Timestamp};

use super::promises::Promises;
use super::{Arrival, Machine};

impl Machine {
    /// Carries out what is ordered, until nothing is or the fuse has burnt.
    pub fn carry_out(&mut self) {
        while let Some(effect) = self.effects.pop_front() {
            match &mut self.fuse {
                Some(0) => return self.kill(),
                Some(left) => *left -= 1,
                None => {}
            }
            let event = self.carry_out_one(effect);
            let now = self.now();
            if let (Some(event), Some(brain)) = (event, &mut self.brain) {
                let effects = brain.handle(now, event);
                self.effects.extend(effects);
            }
        }
        if let Some(brain) = &self.brain {
            let now = Now { boot: Moment(self.boot), wall: Timestamp(self.wall) };
            self.promises.check(brain, &self.disk, &self.kubelet, &self.boot_id, now);
            self.promises.changes.check(brain.ledger());
        }
    }

    fn carry_out_one(&mut self, effect: Effect) -> Option<Event> {
        self.note_effect(&effect);
        match effect {
            Effect::Look(look) => {
                self.later(self.pace.look, Arrival::Looked(look));
                None
            }
            Effect::Import { job, .. } => Some(Event::Imported { job, result: Err(no_store()) }),
            Effect::WriteVariables { job, writes } => {
                let result = self.world.write_variables(&writes);
                self.world_moved();
                Some(Event::VariablesWritten { job, result })
            }
            Effect::Remove { job, .. } => Some(Event::Removed { job, result: Err(no_store()) }),
            Effect::Apply(step) => {
                self.apply(&step);
                None
            }
            Effect::Record { id, entries, durability } => {
                self.promises.recorded(&entries, self.brain.as_ref().unwrap());
                self.promises.network.recorded(&entries, &self.world);
                if let Err(why) = self.disk.append(&entries, &mut self.random) {
                    return Some(Event::RecordFailed { record: id, why });
                }
                if durability == Durability::Synced {
                    let sync = self.disk.sync();
                    self.later(self.pace.sync, Arrival::Synced(id, sync));
                }
                None
            }
            Effect::Rewrite(text) => Some(Event::Rewritten(self.disk.replace(&text))),
            Effect::Answer(id, answer) => {
                self.answered(id, answer);
                None
            }
            Effect::Publish(picture) => {
                self.publish(picture);
                None
            }
            Effect::ReadConfiguration(request) => {
                let config = Config::merge(&self.config).map(Box::new);
                Some(Event::Configuration { request, config })
            }
            Effect::AskKubelet => {
                self.ask_kubelet();
                None
            }
            // Nobody on this machine asks for a unit.
            Effect::WatchUnit(unit) => panic!("{unit:?} was never asked for"),
            Effect::WatchProcess(process) => {
                if self.living.contains(&process) {
                    self.watched.insert(process);
                } else {
                    self.later((0, 1), Arrival::Told(Event::ProcessGone(process)));
                }
                None
            }
        }
    }

    fn apply(&mut self, step: &Step) {
        let brain = self.brain.as_ref().unwrap();
        self.promises.step_begun(step, brain, &self.disk, self.now());
        let (ledger, grace) = (brain.ledger(), brain.settings().kubelet.release_grace);
        let now = self.now();
        let Promises { pods, changes, .. } = &mut self.promises;
        let containers = || pods.step_begun(step, ledger, &self.kubelet, grace, now);
        changes.step_begun(step, ledger, &self.picture, containers);
        let limit = brain.settings().daemon.step_limit.0;
        let ptp = &brain.settings().ptp;
        self.promises.clocks.step_begun(step, brain.ledger(), ptp, self.world.awake());
        self.promises.network.step_begun(step, &self.world);
        let before = self.world.clone();
        let answer = self.world.answer(step);
        self.promises.network.step_done(step, answer.as_ref(), &before, &self.world);
        let (took, result) = match answer {
            Some(result) => (self.pace.step, result),
            None => {
                let millis = u64::try_from(limit.as_millis()).unwrap();
                let stuck = StepError::Stuck { limit_secs: limit.as_secs() };
                ((millis, millis), Err(stuck))
            }
        };
        self.later(took, Arrival::Applied(result));
        self.world_moved();
    }

    fn answered(&mut self, id: RequestId, answer: Answer) {
        let Some((caller, command)) = self.asked.remove(&id) else {
            panic!("an answer to nobody, or a second one: {id:?} {answer:?}");
        };
        let (ledger, now) = (self.ledger(), self.now());
        self.promises.answered(&caller, &command, &answer, &ledger, now);
        if let Command::KubeletAllocate { pool, containers } = &command {
            let pod = self.promises.pod_of(id);
            if let (Ok(Reply::Containers(_)), Some(pod)) = (&answer, pod) {
                let devices = containers.iter().flatten().cloned().collect();
                self.kubelet.start(self.boot, pod, pool.clone(), devices);
            }
        }
        self.answers.insert(id, answer);
    }

    fn publish(&mut self, picture: Arc<Picture>) {
        let former = std::mem::replace(&mut self.picture, picture);
        self.promises.published(&self.picture);
        self.promises.changes.published(&self.picture);
        self.promises.clocks.published(&self.picture);
        let pools: Vec<_> = self.picture.pools.keys().cloned().collect();
        for pool in pools {
            let shown = &self.picture.pools[&pool];
            let changed = former.pools.get(&pool).map(|one| &one.devices) != Some(&shown.devices);
            if shown.registered && changed {
                self.send_list(&pool);
            }
        }
        // The edge ends the offer of a pool that is configured no more, and says so.
        for (pool, shown) in former.pools.iter() {
            if shown.registered && !self.picture.pools.contains_key(pool) {
                let ended = Event::Registered { pool: pool.clone(), registered: false };
                self.later(self.pace.hint, Arrival::Told(ended));
            }
        }
    }

    pub(super) fn note(&mut self, what: &str) {
        let _ = writeln!(self.journal, "{} {what}", self.boot);
    }

    fn note_effect(&mut self, effect: &Effect) {
        let boot = self.boot;
        let _ = match effect {
            Effect::Publish(picture) => {
                let lent = picture.pools.values().flat_map(|pool| pool.devices.iter());
                let devices: Vec<_> = lent.map(|one| (one.lent, one.cause.is_none())).collect();
                let (state, summary) = (picture.state, &picture.summary);
                writeln!(self.journal, "{boot} publish {state} {summary} {devices:?}")
            }
            Effect::Rewrite(text) => writeln!(self.journal, "{boot} rewrite {} bytes", text.len()),
            Effect::Apply(step) => writeln!(self.journal, "{boot} apply {step}"),
            other => writeln!(self.journal, "{boot} {other:?}"),
        };
    }
}

/// A schedule has the releases of its world, and no others.
fn no_store() -> Refusal {
    Refusal::new(RefusalKind::Unsupported, "nothing comes or goes", "no files", "none")
}

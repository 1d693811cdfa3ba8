//! Releases as things that come and go: who may be taken in, who must stay.

use super::{Effect, Reconciler};
use crate::command::{Caller, Reply, RequestId};
use crate::inventory::Snapshot;
use crate::job::{JobKind, JobState};
use crate::names::{JobId, ReleaseName};
use crate::pool;
use crate::reading::Reading;
use crate::refusal::{Refusal, RefusalKind};
use crate::release;
use crate::time::Now;

/// Releases that are taken in or removed at the same time: each reads and writes tens of megabytes.
const MOST_AT_ONCE: usize = 2;

impl Reconciler {
    pub(super) fn import(
        &mut self,
        now: Now,
        request: RequestId,
        caller: &Caller,
        version: Option<ReleaseName>,
    ) -> Result<(), Refusal> {
        let what = "no release was taken in";
        self.must_act(what)?;
        self.must_have_room(what)?;
        if let Some(name) = &version {
            self.must_be_new(what, name)?;
        }
        let job = self.new_job(now, caller, JobKind::Import);
        self.answer(request, Ok(Reply::Job(job)));
        self.effects.push(Effect::Import { job, request, version });
        self.publish_soon(now.boot);
        Ok(())
    }

    pub(super) fn remove(
        &mut self,
        now: Now,
        request: RequestId,
        caller: &Caller,
        name: ReleaseName,
    ) -> Result<(), Refusal> {
        let what = format!("release {name} was not removed");
        self.must_act(&what)?;
        self.must_have_room(&what)?;
        if !release::is_imported(&name) {
            let why = "it is the distribution's, not onloadd's";
            let fix = "remove its packages";
            return Err(Refusal::new(RefusalKind::InvalidArgument, what, why, fix));
        }
        let known = self.snapshot.as_ref().and_then(|snapshot| snapshot.releases.known());
        if known.is_none_or(|releases| !releases.contains_key(&name)) {
            let why = "there is no such release";
            return Err(Refusal::new(
                RefusalKind::NotFound,
                what,
                why,
                "see `onloadctl release list`",
            ));
        }
        if let Some(why) = self.need_of(&name) {
            let fix = "bring the node to another release first (`onloadctl release use`)";
            return Err(Refusal::new(RefusalKind::InUse, what, why, fix));
        }
        let job = self.new_job(now, caller, JobKind::Remove);
        self.answer(request, Ok(Reply::Job(job)));
        self.effects.push(Effect::Remove { job, release: name });
        self.publish_soon(now.boot);
        Ok(())
    }

    /// Ends the import of what a look shows.
    pub(super) fn note_arrivals(&mut self, snapshot: &Snapshot) {
        let there = |name: &ReleaseName| match &snapshot.releases {
            Reading::Known(releases) => releases.contains_key(name),
            Reading::Absent | Reading::Unreadable(_) => true,
        };
        let (seen, left) = std::mem::take(&mut self.arriving)
            .into_iter()
            .partition::<Vec<_>, _>(|(_, name)| there(name));
        self.arriving = left;
        for (job, name) in seen {
            self.end_job(job, JobState::Done, format!("release {name} is there"));
        }
    }

    pub(super) fn imported(&mut self, now: Now, job: JobId, result: Result<ReleaseName, Refusal>) {
        match result {
            // Done means seen: whoever waits for it uses it next.
            Ok(name) => self.arriving.push((job, name)),
            Err(refusal) => self.end_job(job, JobState::Failed, refusal.to_string()),
        }
        self.look();
        self.publish_soon(now.boot);
    }

    pub(super) fn removed(&mut self, now: Now, job: JobId, result: Result<(), Refusal>) {
        match result {
            Ok(()) => self.end_job(job, JobState::Done, "it is removed".to_owned()),
            Err(refusal) => self.end_job(job, JobState::Failed, refusal.to_string()),
        }
        self.look();
        self.publish_soon(now.boot);
    }

    /// Why a release must stay; none: it may go. Whether a program has its libraries mapped is
    /// told by the edge that removes it.
    fn need_of(&self, name: &ReleaseName) -> Option<String> {
        let change = self.ledger.change.as_ref();
        let changing = change.is_some_and(|one| one.to == *name || one.from.as_ref() == Some(name));
        if changing {
            Some("a change under way needs it".to_owned())
        } else if self.loaded_release().as_ref() == Some(name) {
            Some("its modules are loaded".to_owned())
        } else if self.target().as_ref() == Some(name) {
            Some("the node shall have it".to_owned())
        } else if self.is_given_to_containers(name) {
            Some("containers are given its libraries".to_owned())
        } else if self.config.settings.modules.names(name) {
            Some("the configuration names it".to_owned())
        } else {
            None
        }
    }

    /// Whether its libraries are those that fit the loaded driver, whoever brought that.
    fn is_given_to_containers(&self, name: &ReleaseName) -> bool {
        let snapshot = self.snapshot.as_ref();
        let fits = snapshot.and_then(|snapshot| pool::matching_release(snapshot).ok());
        fits.is_some_and(|(release, _)| release == name)
    }

    fn must_be_new(&self, what: &str, name: &ReleaseName) -> Result<(), Refusal> {
        let known = self.snapshot.as_ref().and_then(|snapshot| snapshot.releases.known());
        if !release::is_imported(name) {
            let why = format!("{name} is the name of what the distribution brings");
            return Err(Refusal::new(
                RefusalKind::InvalidArgument,
                what,
                why,
                "give it another --version",
            ));
        }
        if known.is_some_and(|releases| releases.contains_key(name)) {
            let why = format!("release {name} is there already, and none is overwritten");
            let fix = format!("give it another --version, or `onloadctl release remove {name}`");
            return Err(Refusal::new(RefusalKind::InvalidArgument, what, why, fix));
        }
        Ok(())
    }

    fn must_have_room(&self, what: &str) -> Result<(), Refusal> {
        let busy = self
            .picture
            .jobs
            .values()
            .filter(|job| job.state == JobState::Running && job.kind.is_of_releases());
        if busy.count() >= MOST_AT_ONCE {
            let why = "other releases are being taken in or removed";
            return Err(Refusal::new(RefusalKind::Busy, what, why, "try again when they are done"));
        }
        Ok(())
    }
}

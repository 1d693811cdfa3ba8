//! What boots prove: whether the node gets its network with what it came up with, and what the next
//! boot makes of one that did not (DESIGN section 10.3).

use super::Reconciler;
use super::choosing::Reach;
use super::failures::is_same;
use crate::change::{Change, Origin, Outcome, Past, Proven};
use crate::inventory::{Interface, Snapshot};
use crate::ledger::Entry;
use crate::names::{BootId, ReleaseName};
use crate::reading::Reading;
use crate::release;
use crate::time::Now;

/// How a change ends that the node's end cut off.
pub(super) const WENT_DOWN: &str = "the node went down";
/// So many boots in a row that went down under the same change make it the cause: the first may have
/// been a power loss, and a kernel that panics would go on for ever.
const MOST_CRASHES: usize = 2;

impl Reconciler {
    /// Notes that this boot has a default route with what is loaded now: never before a change, for
    /// the route of an early network says nothing about what comes after it.
    pub(super) fn prove_boot(&mut self) {
        let (Some(snapshot), Some(boot)) = (self.snapshot.clone(), self.boot()) else { return };
        if self.hands_off() || self.is_converging() || !has_default_route(&snapshot) {
            return;
        }
        let (kernel, release) = (self.kernel.clone(), self.loaded_release());
        let known = self.ledger.proven.as_ref().is_some_and(|proven| {
            proven.boot == boot && (release.is_none() || proven.release == release)
        });
        if !known {
            self.record(vec![Entry::BootProven(Proven { boot, kernel, release })], None);
        }
    }

    /// Judges the release that is asked for by what became of earlier boots with it. `former` is the
    /// boot before this one.
    pub(super) fn judge_former_boots(&mut self, former: Option<BootId>) {
        let Some(asked) = self.intent().release else { return };
        let crashed = self.crashed(&asked).map(|change| (change, TWICE_DOWN, Reach::Boot));
        // What left the node without its network does not come by itself with the next boot.
        let cut_off = || {
            let change = self.came_up_alone(&asked, former.as_ref()?)?;
            Some((change, NO_ROUTE, Reach::ForGood))
        };
        let Some((change, why, reach)) = crashed.or_else(cut_off) else { return };
        let from = change.from.clone();
        let proven = self.ledger.proven.as_ref().and_then(|proven| proven.release.clone());
        let fits = |one: &ReleaseName| *one != asked && self.must_be_loadable("", one).is_ok();
        let former = proven.filter(fits).or(from);
        self.reject(asked, former, why.to_owned(), reach);
    }

    /// The change to this release under which the node went down again and again.
    fn crashed(&self, asked: &ReleaseName) -> Option<&Change> {
        let went_down = |past: &&Past| {
            past.change.origin == Origin::Boot
                && past.change.to == *asked
                && is_same(past.change.kernel.as_ref(), self.kernel.as_ref())
                && past.outcome == Outcome::Failed(WENT_DOWN.to_owned())
        };
        let mut last = self.ledger.past.iter().rev().take_while(went_down).take(MOST_CRASHES);
        let change = last.next().map(|past| &past.change);
        change.filter(|_| last.count() + 1 == MOST_CRASHES)
    }

    /// The change to this release in the boot before, if the node never had a default route after
    /// it. One that has none in any boot is not told by that, nor is a release that had one in an
    /// earlier boot on the same kernel: then the network was down, and the node may stay as it is.
    fn came_up_alone(&self, asked: &ReleaseName, former: &BootId) -> Option<&Change> {
        let done = |past: &&Past| past.outcome == Outcome::Done;
        let change = &self.ledger.past.iter().rev().find(done)?.change;
        let in_question = change.origin == Origin::Boot
            && change.boot.as_ref() == Some(former)
            && change.to == *asked;
        let proven = self.ledger.proven.as_ref().filter(|_| in_question)?;
        let same_boot = proven.boot == *former;
        let with_it = proven.release.as_ref().map_or(same_boot, |release| release == asked);
        // The distribution's packages may have become others since.
        let before = release::is_imported(asked) && proven.kernel == change.kernel;
        let told = with_it && (same_boot || before);
        let readable = self.snapshot.as_ref().is_some_and(|snapshot| can_tell_routes(snapshot));
        (!told && readable).then_some(change)
    }

    /// Takes the change under way back, if it is one: whoever waited for it waits no longer. One that
    /// is done and awaits its confirmation goes on awaiting it.
    pub(super) fn turn_back(&mut self, now: Now, why: String) {
        let forward = |change: &Change| change.turned.is_none() && change.confirm_by.is_none();
        if self.ledger.change.as_ref().is_some_and(forward) {
            self.turn(now, why);
        }
    }
}

/// Why a release is not used in this boot.
const NO_ROUTE: &str = "the boot with it never got a default route";
const TWICE_DOWN: &str = "the node went down while it was loaded, twice";

fn interfaces(snapshot: &Snapshot) -> impl Iterator<Item = &Interface> {
    snapshot.interfaces.known().into_iter().flat_map(|all| all.values())
}

fn has_default_route(snapshot: &Snapshot) -> bool {
    interfaces(snapshot).any(|one| one.routes.known().is_some_and(|routes| routes.default))
}

fn can_tell_routes(snapshot: &Snapshot) -> bool {
    snapshot.interfaces.known().is_some()
        && interfaces(snapshot).all(|one| !matches!(one.routes, Reading::Unreadable(_)))
}

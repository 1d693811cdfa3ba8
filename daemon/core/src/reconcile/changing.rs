//! Changes as orders and as what is under way: which release the node shall have, and the way back.

use super::Reconciler;
use crate::change::Manner;
use crate::command::{Caller, RequestId};
use crate::inventory::Depth;
use crate::names::ReleaseName;
use crate::refusal::{Refusal, RefusalKind};
use crate::time::Now;

impl Reconciler {
    /// How far the next look must go.
    pub(super) fn depth(&self) -> Depth {
        Depth::Usual
    }

    /// The release the node shall have just now.
    pub(super) fn target(&self) -> Option<ReleaseName> {
        self.adopted().and_then(|modules| modules.release.clone())
    }

    /// The release the loaded stack is from.
    pub(super) fn loaded_release(&self) -> Option<ReleaseName> {
        None
    }

    pub(super) fn use_release(
        &mut self,
        _now: Now,
        _request: RequestId,
        _caller: &Caller,
        release: ReleaseName,
        _manner: Manner,
    ) -> Result<(), Refusal> {
        Err(unsupported(&format!("release {release} is not used")))
    }

    pub(super) fn roll_back(
        &mut self,
        _now: Now,
        _request: RequestId,
        _caller: &Caller,
        _back: u32,
        _manner: Manner,
    ) -> Result<(), Refusal> {
        Err(unsupported("nothing is rolled back"))
    }

    pub(super) fn confirm(&mut self, _now: Now, _request: RequestId) -> Result<(), Refusal> {
        Err(unsupported("nothing is confirmed"))
    }
}

fn unsupported(what: &str) -> Refusal {
    Refusal::new(RefusalKind::Unsupported, what, "changes are being built", "wait")
}

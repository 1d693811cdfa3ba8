//! What is promised of changes of drivers, each as one assertion.

use std::collections::BTreeSet;
use std::sync::Arc;

use onload_core::change::{self, Change, Holders, Outcome, Past};
use onload_core::inventory::{Autoload, Origin, Snapshot};
use onload_core::kubelet::device_list;
use onload_core::ledger::Ledger;
use onload_core::names::{DeviceId, ReleaseName};
use onload_core::network::Network;
use onload_core::picture::{Lent, NodeState, Picture};
use onload_core::reading::Reading;
use onload_core::release::{HOST, IN_TREE};
use onload_core::step::Step;

use super::network::leads_out;

/// What was seen of changes so far.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    look: Option<Arc<Snapshot>>,
    /// What the last look that went so far found interfaces to carry.
    network: Option<Network>,
    open: Option<Change>,
    /// Something was taken away for the change that is open, or may have been before a restart.
    touched: bool,
    /// The daemon has just begun, and the ledger tells it what is open.
    resumed: bool,
    past: usize,
    /// Changes that ended: a run in which none does proves nothing.
    pub ended: u32,
}

impl Changes {
    pub(super) fn looked(&mut self, look: &Arc<Snapshot>) {
        self.look = Some(Arc::clone(look));
        if let Some(network) = look.network.known() {
            self.network = Some(network.clone());
        }
    }

    /// The daemon or the boot is gone; what was noted of the change is read from the ledger again.
    pub(super) fn restarted(&mut self) {
        *self = Self { ended: self.ended, resumed: true, ..Self::default() };
    }

    /// What holds when a step begins, by the last look and the last picture before it.
    /// `containers` asserts what must be so of what containers have.
    pub(super) fn step_begun(
        &mut self,
        step: &Step,
        ledger: &Ledger,
        picture: &Picture,
        containers: impl FnOnce(),
    ) {
        match step {
            Step::StopControlPlane | Step::UnloadModule { .. } => {}
            Step::LoadModule { .. }
            | Step::StopUnit { .. }
            | Step::StartUnit { .. }
            | Step::RestartUnit { .. }
            | Step::ConfigureClock(_)
            | Step::LeaveClock
            | Step::BindDriver { .. }
            | Step::RegisterAfXdp { .. }
            | Step::WriteLoader(_)
            | Step::RestoreServer { .. }
            | Step::PlaceUserland { .. }
            | Step::PinNames(_)
            | Step::Rename(_)
            | Step::HandBack { .. }
            | Step::RestoreNetwork(_) => return,
        }
        let change = ledger.change.as_ref();
        let look = self.look.as_ref().unwrap_or_else(|| panic!("{step} before any look"));
        let Some(change) = change else {
            // Only what was loaded for AF_XDP choices that are gone goes by itself.
            assert!(!ledger.af_xdp.is_empty(), "{step} outside of any change");
            assert!(ledger.allocations.is_empty(), "{step} while something is lent");
            nobody_uses(step, look);
            return nothing_is_offered(step, picture);
        };
        // Once something has gone the change must come to an end, and the kernel refuses what is
        // in use.
        if !self.touched && change.turned.is_none() {
            nobody_uses(step, look);
            if change.manner.confirm_within.is_none() {
                nothing_protected_goes(step, look, self.network.as_ref());
            }
            // What was lent before this boot is lent to nobody.
            if change.origin != change::Origin::Boot {
                containers();
            }
        }
        nothing_is_offered(step, picture);
        self.touched = true;
    }

    /// What holds whenever the picture is shown.
    pub(super) fn published(&self, picture: &Picture) {
        // What is done and waits to be confirmed serves already.
        let under_way = self.open.as_ref().is_some_and(|change| change.confirm_by.is_none());
        if under_way && self.touched && picture.change.is_some() {
            nothing_is_offered(&"something else in a change", picture);
        }
    }

    /// What holds after every event.
    pub(super) fn check(&mut self, ledger: &Ledger) {
        let past = ledger.past.last().filter(|_| ledger.past.len() > self.past);
        let is_ours =
            |past: &&Past| self.open.as_ref().is_some_and(|open| open.number == past.change.number);
        if let Some(past) = past.filter(is_ours) {
            self.ended += 1;
            // What a reboot cut off has whatever the hardware loads.
            let boot = past.change.boot.as_ref();
            if let Some(look) = self.look.as_ref().filter(|look| look.boot_id.known() == boot) {
                it_ended_where_it_says(past, look);
            }
        }
        self.past = ledger.past.len();
        if let (Some(open), Some(next)) = (&self.open, &ledger.change) {
            let ended = ledger.past.iter().any(|past| past.change.number == open.number);
            assert!(open.number == next.number || ended, "{next:?} while {open:?} is under way");
        }
        if self.open.as_ref().map(|open| open.number)
            != ledger.change.as_ref().map(|one| one.number)
        {
            self.touched = false;
        }
        self.touched |= std::mem::take(&mut self.resumed) && ledger.change.is_some();
        self.open.clone_from(&ledger.change);
    }

    /// What holds once nothing is under way.
    pub fn settled(&self, ledger: &Ledger, picture: &Picture) {
        match &ledger.change {
            Some(change) => {
                let waits = matches!(change.manner.holders, Holders::Wait(_));
                let explained = picture.state == NodeState::Blocked
                    || picture.state == NodeState::Held
                    || picture.state == NodeState::Degraded;
                assert!(waits || explained || change.confirm_by.is_some(), "it hangs: {change:?}");
            }
            None => {
                let look = self.look.as_ref().and_then(|look| look.loader.known());
                let blocked = look.is_some_and(|loader| loader.autoload == Autoload::Blocked);
                assert!(!blocked, "no change is open, and the hardware may not load its driver");
            }
        }
    }
}

/// Nobody but the control plane uses the stack when the first of it goes, and somebody has looked.
/// The server goes last of all that can be asked to: without it the others would be stranded.
fn nobody_uses(step: &Step, look: &Snapshot) {
    let Some(users) = look.users.known() else {
        panic!("{step}, and nobody has looked for users: {:?}", look.users)
    };
    let server = look.driver.control_plane.known();
    for (pid, user) in users {
        let is_server = server.is_some_and(|server| server.contains(pid));
        let stack = user.uses.iter().any(|path| !path.starts_with("/dev/ptp"));
        assert!(is_server || !stack, "{step} under {pid}: {user:?}");
    }
}

/// An interface that carries something goes only where the change can be taken back by itself.
fn nothing_protected_goes(step: &Step, look: &Snapshot, network: Option<&Network>) {
    if !matches!(step, Step::UnloadModule { module } if module.as_str() == "sfc") {
        return;
    }
    let kept = network.filter(|_| look.network_root == Reading::Known(false));
    for (name, interface) in look.interfaces.known().into_iter().flatten() {
        let port = interface.port.known().and_then(|port| look.ports.known()?.get(port));
        if port.is_none_or(|port| port.driver.known().is_none_or(|driver| driver != "sfc")) {
            continue;
        }
        // What is kept and put back is no loss, but for the default route.
        let carries = match kept {
            Some(kept) => leads_out(name, kept),
            None => {
                interface.addresses.known().is_some_and(|all| !all.is_empty())
                    || interface.routes.known().is_some_and(|routes| routes.count > 0)
                    || interface.uppers.known().is_some_and(|all| !all.is_empty())
            }
        };
        let clock = interface.phc_index.known().map(|index| format!("/dev/ptp{index}"));
        let users = look.users.known().into_iter().flatten();
        let ticks =
            clock.is_some_and(|clock| users.into_iter().any(|(_, u)| u.uses.contains(&clock)));
        assert!(!carries && !ticks, "{name} goes without a way back: {interface:?}");
    }
}

fn nothing_is_offered(what: &impl std::fmt::Display, picture: &Picture) {
    for (name, pool) in picture.pools.iter() {
        // What a container holds goes by its own health: the kubelet gives it to nobody else.
        let held =
            |id: &DeviceId| pool.devices.iter().any(|one| one.id == *id && one.lent != Lent::No);
        let healthy = device_list(pool).into_iter().find(|one| one.healthy && !held(&one.id));
        assert!(healthy.is_none(), "{what} while pool {name} offers {healthy:?}");
    }
}

/// A change that ended well left what it says.
fn it_ended_where_it_says(past: &Past, look: &Snapshot) {
    let there = match &past.outcome {
        Outcome::Done => Some(&past.change.to),
        Outcome::RolledBack => past.change.from.as_ref(),
        Outcome::Failed(why) => {
            assert!(!why.is_empty(), "{past:?} failed for no reason");
            None
        }
    };
    if let Some(there) = there {
        assert!(is_loaded(there, look), "{past:?}, and {there} is not there: {:?}", look.modules);
    }
}

/// Whether what is loaded is a release: told from versions, where modules have them.
fn is_loaded(release: &ReleaseName, look: &Snapshot) -> bool {
    let sfc = look.module("sfc");
    if release.as_str() == IN_TREE {
        return sfc.known().is_none_or(|sfc| sfc.origin().known() != Some(&Origin::OutOfTree));
    }
    let (Some(kernel), Some(releases)) = (look.kernel.known(), look.releases.known()) else {
        return true;
    };
    let files = releases
        .get(release)
        .and_then(|found| found.modules.known()?.get(kernel))
        .into_iter()
        .flatten();
    let versions: BTreeSet<_> = files.map(|(name, file)| (name.as_str(), &file.version)).collect();
    // Where the files are gone meanwhile, there is nothing to compare with.
    versions.is_empty()
        || ["sfc", "onload"].iter().all(|name| {
            let seen = look.module(name).known().map(|module| module.version.known().cloned());
            seen.is_none_or(|seen| versions.contains(&(*name, &seen)) || release.as_str() == HOST)
        })
}

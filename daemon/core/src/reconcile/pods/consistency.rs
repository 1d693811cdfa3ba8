//! The condition `AllocationsConsistent`: whether ledger and kubelet agree on what containers hold,
//! and what is waited for.

use super::{Absence, Reconciler};
use crate::condition::Status;
use crate::time::Span;

/// What a message names one by one.
const NAMED: usize = 3;

/// What of an answer does not fit the ledger and is not for the daemon to decide.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Findings {
    /// Devices that more than one has.
    pub(super) contradictions: Vec<String>,
    /// Devices that no pool has.
    pub(super) unknown: Vec<String>,
    /// Devices whose grace is over, by the word of a kubelet that lists no pod at all.
    pub(super) leaked: Vec<String>,
}

impl Reconciler {
    /// Whether ledger and kubelet agree on what containers hold.
    pub(in crate::reconcile) fn consistency(&self) -> (Status, &'static str, String) {
        let Findings { contradictions, unknown, leaked } = &self.asking.findings;
        let held = self.ledger.containers();
        if self.hands_off() {
            let why = "nothing is decided while hands are off";
            (Status::Unknown, "HandsOff", why.to_owned())
        } else if !contradictions.is_empty() {
            let what = "the kubelet's word contradicts what is known";
            (Status::False, "Contradiction", told(what, contradictions))
        } else if !unknown.is_empty() {
            let what = "the kubelet says that pods have devices that no pool has";
            (Status::False, "UnknownDevice", told(what, unknown))
        } else if !leaked.is_empty() {
            let what = "the kubelet lists no pod at all, so nothing is freed (`onloadctl free --force` does, where a pod is gone for certain)";
            (Status::False, "Leaked", told(what, leaked))
        } else if let (Some(why), 1..) = (&self.asking.silence, held) {
            let message = format!(
                "the kubelet cannot be asked, so none of the {held} devices that containers have is freed by itself: {why}"
            );
            (Status::Unknown, "KubeletSilent", message)
        } else {
            self.awaited()
        }
    }

    /// What is waited for where nothing is wrong: the first that applies is the reason.
    fn awaited(&self) -> (Status, &'static str, String) {
        let missing = self.asking.missing.keys().filter_map(|id| self.ledger.allocations.get(id));
        let absences: Vec<_> = missing.map(|one| self.absence(one)).collect();
        let number = |of: Absence| absences.iter().filter(|one| **one == of).count();
        let long = self.config.settings.kubelet.unnamed_grace;
        let mut waits = Vec::new();
        if let unconfirmed @ 1.. = number(Absence::Unconfirmed) {
            let message = format!(
                "the kubelet has named none of its earlier pods since it took their pool or onloadd came, so that it may be cut off from its API server: {unconfirmed} of their devices are freed when it has not for {long} (kubelet.unnamed-grace), or a usual grace after it names one"
            );
            waits.push((Status::Unknown, "Unconfirmed", message));
        }
        if let never @ 1.. = number(Absence::NeverNamed) {
            waits.push((Status::True, "NeverNamed", never_named(never, long)));
        }
        if number(Absence::Ended) > 0 {
            let message = "devices of pods that have ended are freed when their grace is over";
            waits.push((Status::True, "Releasing", message.to_owned()));
        }
        let messages: Vec<_> = waits.iter().map(|(.., message)| message.as_str()).collect();
        let message = messages.join("; ");
        let (status, reason, _) =
            waits.first().cloned().unwrap_or((Status::True, "Consistent", String::new()));
        (status, reason, message)
    }
}

/// What so many devices are waited for, and for how long.
pub(super) fn never_named(number: usize, long: Span) -> String {
    let (are, each) = if number == 1 { ("device is", "it") } else { ("devices are", "each") };
    format!(
        "{number} {are} noted for containers the kubelet has never named, or only with the name of the pod before it; init containers never are named, nor are pods that were turned away: {each} is freed after {long} without a name (kubelet.unnamed-grace)"
    )
}

fn told(what: &str, found: &[String]) -> String {
    let named: Vec<_> = found.iter().take(NAMED).map(String::as_str).collect();
    let rest = match found.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    format!("{what}: {}{rest}", named.join("; "))
}

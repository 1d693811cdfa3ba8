//! A condition of the node as a check.

use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error, StrDeserializer};

use super::{Check, Verdict};
use crate::condition::ConditionKind;

/// A condition as it comes over the bus.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    /// Its type; a newer daemon may have others than are known here.
    pub kind: &'a str,
    /// True, False or Unknown.
    pub status: &'a str,
    /// One CamelCase word.
    pub reason: &'a str,
    /// For people.
    pub message: &'a str,
}

/// Something in the way, as it comes over the bus.
#[derive(Clone, Copy, Debug)]
pub struct InTheWay<'a> {
    /// One CamelCase word.
    pub reason: &'a str,
    /// Why.
    pub why: &'a str,
    /// What to do.
    pub fix: &'a str,
}

/// What a condition that does not hold means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weight {
    /// It does not work.
    Broken,
    /// It does not work, unless the node's state says that something is in the way, or that it is on
    /// its way.
    AsTheNode,
    /// It works. Where it does not for want of this, the node or its devices say so as well.
    Remark,
}

/// What a check of a condition is called, means, and advises where nobody has better advice.
struct About<'a> {
    id: &'static str,
    title: &'a str,
    weight: Weight,
    fix: &'static str,
}

/// Reasons for which a condition is unknown although it should be known.
const GAPS: [&str; 5] = ["Unreadable", "Unknown", "KernelUnknown", "KubeletSilent", "Unconfirmed"];

/// What parts the words of some messages from their remedy.
const REMEDY: &str = ". What to do: ";

fn kind(word: &str) -> Option<ConditionKind> {
    let word: StrDeserializer<'_, Error> = word.into_deserializer();
    ConditionKind::deserialize(word).ok()
}

fn about(kind: ConditionKind) -> About<'static> {
    use Weight::{AsTheNode, Broken, Remark};
    let (id, title, weight, fix) = match kind {
        ConditionKind::Ready => {
            ("ready", "node as wanted", AsTheNode, "`onloadctl status` names what is in the way")
        }
        ConditionKind::ConfigurationValid => (
            "configuration",
            "configuration",
            Broken,
            "correct the line it names, then `onloadctl reload`",
        ),
        ConditionKind::LedgerAvailable => (
            "ledger",
            "ledger",
            Broken,
            "see what `onloadctl why ledger` says; make room below /var/lib/onloadd",
        ),
        ConditionKind::ModulesLoaded => (
            "modules",
            "modules loaded",
            AsTheNode,
            "`onloadctl plan` shows what would load them; `onloadctl apply` does it",
        ),
        ConditionKind::ReleaseVerified => (
            "ports",
            "drivers bound to ports",
            AsTheNode,
            "`onloadctl ports` shows which; `onloadctl apply --retry` tries again",
        ),
        ConditionKind::ParametersAsAsked => (
            "parameters",
            "module parameters",
            Remark,
            "load the modules anew: `onloadctl apply` where the release changes, else at the next boot",
        ),
        ConditionKind::InitramfsMatches => {
            ("initramfs", "initramfs", Remark, "make it anew: `dracut -f` or `update-initramfs -u`")
        }
        ConditionKind::SoleManager => {
            ("managers", "no other manager", Remark, "`onloadctl adopt` takes over from them")
        }
        ConditionKind::ControlPlaneRunning => (
            "control-plane",
            "control plane",
            Broken,
            "see that cplane_server_path of the onload module names the server and that it can run: `dmesg` has its last words",
        ),
        ConditionKind::DevicesHealthy => {
            ("devices", "devices of pools", AsTheNode, "`onloadctl pools NAME` says why for each")
        }
        ConditionKind::KubeletRegistered => (
            "kubelet",
            "resource at the kubelet",
            Remark,
            "see that the kubelet runs here; where there is none, set `enabled = false` in [kubelet]",
        ),
        ConditionKind::AllocationsConsistent => (
            "allocations",
            "what containers hold",
            Remark,
            "`onloadctl allocations` shows it; root frees what is gone for certain by `onloadctl free --force`",
        ),
        ConditionKind::KeysEnrolled => {
            ("keys", "keys enrolled", Remark, "`onloadctl keys status` says what is to be done")
        }
        ConditionKind::NamesPinned => (
            "names",
            "names as configured",
            Remark,
            "`onloadctl naming plan` says why for each port",
        ),
        ConditionKind::NetworkRestored => (
            "network",
            "network restored",
            Broken,
            "put back by hand what it names; `onloadctl history` has the change",
        ),
        ConditionKind::ClockSynchronised => {
            ("clock", "clock synchronised", Remark, "`onloadctl clock` says what to do")
        }
        ConditionKind::ClockUndisputed => (
            "clock-undisputed",
            "clock undisputed",
            Remark,
            "`onloadctl clock conflicts` says what to do",
        ),
        ConditionKind::ClockSupervised => {
            ("clock-supervised", "clock supervised", Remark, "`onloadctl clock` says what to do")
        }
    };
    About { id, title, weight, fix }
}

/// Judges one. `blockers`: what the node says is in the way; `waits`: whether its state says that
/// something is.
pub fn judge(said: &Said<'_>, blockers: &[InTheWay<'_>], waits: bool) -> Check {
    let known = kind(said.kind).map(about);
    let newer = About {
        id: "condition",
        title: said.kind,
        weight: Weight::Remark,
        fix: "`onloadctl status` has it; onloadctl is older than onloadd",
    };
    judged(said, blockers, waits, known.as_ref().unwrap_or(&newer))
}

impl Said<'_> {
    /// What the check says was looked at where nothing else was.
    fn looked(&self) -> String {
        format!("{} is {} ({})", self.kind, self.status, self.reason)
    }

    fn why(&self) -> String {
        let why = self.message.split_once(REMEDY).map_or(self.message, |(why, _)| why);
        match (why, self.reason) {
            ("", reason) => reason.to_owned(),
            // Their names alone.
            (names, "Missing") if kind(self.kind) == Some(ConditionKind::ModulesLoaded) => {
                format!("not loaded: {names}")
            }
            (why, _) => why.to_owned(),
        }
    }
}

fn judged(said: &Said<'_>, blockers: &[InTheWay<'_>], waits: bool, about: &About<'_>) -> Check {
    let mut check = Check::new(about.id, about.title, said.looked());
    check.condition = Some(said.kind.to_owned());
    let why = said.why();
    match said.status {
        "True" => check,
        "False" => {
            let verdict = match about.weight {
                Weight::AsTheNode if waits => Verdict::Blocked,
                Weight::AsTheNode | Weight::Broken => Verdict::Fail,
                Weight::Remark => Verdict::Warn,
            };
            check.ended(verdict, why, fix(said, blockers, about))
        }
        _ if GAPS.contains(&said.reason) => check.warn(why, fix(said, blockers, about)),
        _ => check.skip(why),
    }
}

/// The best advice there is: the message's own, that of what is in the way for the same reason, that
/// of what keeps the whole node from being as wanted, or what helps with any such condition.
fn fix(said: &Said<'_>, blockers: &[InTheWay<'_>], about: &About<'_>) -> String {
    if let Some((_, fix)) = said.message.split_once(REMEDY) {
        return fix.to_owned();
    }
    let same = blockers.iter().find(|one| one.reason == said.reason);
    let first = || blockers.first().filter(|_| about.weight == Weight::AsTheNode);
    let fix = same.or_else(first).map(|one| one.fix).filter(|fix| !fix.is_empty());
    fix.unwrap_or(about.fix).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said<'a>(kind: &'a str, status: &'a str, reason: &'a str, message: &'a str) -> Said<'a> {
        Said { kind, status, reason, message }
    }

    const NO_KEY: InTheWay<'_> =
        InTheWay { reason: "KeyNotTrusted", why: "no key", fix: "enrol the key" };

    #[test]
    fn a_condition_is_judged_by_what_it_means_to_those_who_use_onload() {
        use Verdict::{Blocked, Fail, Pass, Skip, Warn};
        let cases = [
            ("it holds", said("Ready", "True", "AsWanted", ""), false, Pass),
            ("the node is broken", said("Ready", "False", "Degraded", "m"), false, Fail),
            (
                "something is in the way",
                said("Ready", "False", "KeyNotTrusted", "m"),
                true,
                Blocked,
            ),
            ("so are the modules", said("ModulesLoaded", "False", "Missing", "sfc"), true, Blocked),
            (
                "nothing is in the way",
                said("ModulesLoaded", "False", "Missing", "sfc"),
                false,
                Fail,
            ),
            (
                "no hold excuses it",
                said("ControlPlaneRunning", "False", "Missing", "m"),
                true,
                Fail,
            ),
            (
                "as the node, which is ready",
                said("ClockSynchronised", "False", "Settling", "m"),
                false,
                Warn,
            ),
            ("a key that nothing needs yet", said("KeysEnrolled", "False", "X", "m"), false, Warn),
            ("worth knowing", said("InitramfsMatches", "False", "OtherDriver", "m"), false, Warn),
            (
                "does not apply",
                said("ModulesLoaded", "Unknown", "NotNeeded", "no card"),
                true,
                Skip,
            ),
            (
                "should be known",
                said("InitramfsMatches", "Unknown", "Unreadable", "m"),
                false,
                Warn,
            ),
            ("a newer daemon's", said("Blessed", "False", "No", "m"), false, Warn),
            ("a newer daemon's word", said("Ready", "Perhaps", "No", "m"), false, Skip),
        ];
        for (why, said, waits, verdict) in cases {
            let check = judge(&said, &[NO_KEY], waits);
            assert_eq!(check.verdict, verdict, "{why}");
            assert_eq!(check.condition.as_deref(), Some(said.kind), "{why}");
            assert_eq!(check.why.is_some(), verdict != Pass, "{why}");
            let advised = check.fix.as_ref().is_some_and(|fix| !fix.is_empty());
            assert_eq!(advised, !matches!(verdict, Pass | Skip), "{why}");
        }
    }

    #[test]
    fn the_nearest_advice_is_given() {
        let fix = |said, blockers: &[InTheWay<'_>]| judge(&said, blockers, true).fix.unwrap();
        let told = "it carries 6.0. What to do: dracut -f";
        let check = judge(&said("InitramfsMatches", "False", "OtherDriver", told), &[NO_KEY], true);
        assert_eq!(check.why.as_deref(), Some("it carries 6.0"));
        assert_eq!(check.fix.as_deref(), Some("dracut -f"));
        let ready = said("Ready", "False", "KeyNotTrusted", "no key");
        assert_eq!(fix(ready, &[NO_KEY]), "enrol the key");
        let modules = said("ModulesLoaded", "False", "Missing", "sfc");
        assert_eq!(fix(modules, &[NO_KEY]), "enrol the key", "what keeps the node keeps them");
        assert!(fix(modules, &[]).contains("onloadctl apply"));
        let clock = said("ClockSynchronised", "False", "Settling", "m");
        assert!(fix(clock, &[NO_KEY]).contains("onloadctl clock"), "of another matter");
    }

    #[test]
    fn a_condition_without_words_says_its_reason() {
        let check = judge(&said("NetworkRestored", "False", "Lost", ""), &[], false);
        assert_eq!(check.why.as_deref(), Some("Lost"));
    }

    #[test]
    fn every_condition_has_a_check_of_its_own() {
        let kinds = [
            ConditionKind::Ready,
            ConditionKind::ConfigurationValid,
            ConditionKind::LedgerAvailable,
            ConditionKind::ModulesLoaded,
            ConditionKind::ReleaseVerified,
            ConditionKind::ParametersAsAsked,
            ConditionKind::InitramfsMatches,
            ConditionKind::SoleManager,
            ConditionKind::ControlPlaneRunning,
            ConditionKind::DevicesHealthy,
            ConditionKind::KubeletRegistered,
            ConditionKind::AllocationsConsistent,
            ConditionKind::KeysEnrolled,
            ConditionKind::NamesPinned,
            ConditionKind::NetworkRestored,
            ConditionKind::ClockSynchronised,
            ConditionKind::ClockUndisputed,
            ConditionKind::ClockSupervised,
        ];
        let ids: std::collections::BTreeSet<_> = kinds
            .iter()
            .map(|one| judge(&said(one.as_str(), "True", "R", ""), &[], false).id)
            .collect();
        assert_eq!(ids.len(), kinds.len());
        assert!(!ids.contains("condition"), "each is known by its word");
    }
}

//! Keys as the picture shows them: what the host saw, what the configuration names, what the ledger
//! remembers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::{Reconciler, view};
use crate::condition::Status;
use crate::inventory::Snapshot;
use crate::reading::Reading;
use crate::refusal::Refusal;
use crate::secure_boot::certificate::Certificate;
use crate::secure_boot::enrolment::Enrolment;
use crate::secure_boot::picture::{KeyPicture, Remembered, SecureBootPicture, State};
use crate::secure_boot::trust::Trust;

impl Reconciler {
    /// The trust that decisions are made from: what the host saw, and what the configuration names.
    pub(in crate::reconcile) fn name_certificates(&mut self, snapshot: &mut Snapshot) {
        let paths: BTreeSet<_> = self.config.settings.secure_boot.named().collect();
        if paths.is_empty() && snapshot.trust.named.is_empty() {
            return;
        }
        let named: BTreeMap<_, _> =
            paths.into_iter().map(|path| (path.clone(), self.certificate(path))).collect();
        if let Some((seen, with)) = &self.keys.trust
            && Arc::ptr_eq(seen, &snapshot.trust)
            && with.named == named
        {
            snapshot.trust = with.clone();
            return;
        }
        let with = Arc::new(Trust { named, ..(*snapshot.trust).clone() });
        let seen = std::mem::replace(&mut snapshot.trust, with.clone());
        self.keys.trust = Some((seen, with));
    }

    fn certificate(&self, path: &str) -> Reading<Certificate> {
        match self.config.files.get(path) {
            None => Reading::Absent,
            Some(Err(why)) => Reading::Unreadable(why.clone()),
            Some(Ok(bytes)) => Certificate::parse(bytes).map_or_else(
                |damaged| Reading::Unreadable(format!("it is no certificate: {damaged}")),
                Reading::Known,
            ),
        }
    }

    /// Brings the picture of keys up to date.
    pub(in crate::reconcile) fn show_keys(&mut self) {
        let Some(snapshot) = self.snapshot.clone() else { return };
        let none = BTreeMap::new();
        let releases = snapshot.releases.known().unwrap_or(&none);
        // A simulated machine starts again below a daemon that goes on.
        let boot = match &snapshot.boot_id {
            Reading::Known(boot) => Reading::Known(boot.clone()),
            Reading::Absent | Reading::Unreadable(_) => self.boot.clone().into(),
        };
        let remembered = Remembered { asked: &self.ledger.asked, boot: &boot };
        let seen = SecureBootPicture::of(&snapshot.trust, remembered, releases, &snapshot.volumes);
        view::replace(&mut self.picture.secure_boot, seen);
    }

    /// Whether the keys that the configuration names, and those asked for, are enrolled.
    pub(in crate::reconcile) fn keys_enrolled(&self) -> (Status, &'static str, String) {
        let picture = &self.picture.secure_boot;
        let ours = |key: &&KeyPicture| {
            let asked = key.fingerprint.is_some_and(|one| self.ledger.asked.contains_key(&one));
            key.path.is_some() || asked
        };
        let mut ours = picture.keys.iter().filter(ours).peekable();
        if ours.peek().is_none() {
            let why = "the configuration names no certificate, and none was asked for".to_owned();
            return (Status::Unknown, "NoneNamed", why);
        }
        if picture.state == State::NotApplicable {
            return (Status::Unknown, "NotNeeded", "this machine has no Secure Boot".to_owned());
        }
        let faults: Vec<_> = ours.filter_map(|key| self.fault(key)).collect();
        match faults.first() {
            None => (Status::True, "Enrolled", String::new()),
            Some((status, reason, _)) => {
                let all: Vec<_> = faults.iter().map(|(_, _, said)| said.as_str()).collect();
                (*status, reason, all.join("; "))
            }
        }
    }

    /// What is not as it should be with a key.
    fn fault(&self, key: &KeyPicture) -> Option<(Status, &'static str, String)> {
        let status = match &key.enrolment {
            Ok(Enrolment::Enrolled { .. }) => return None,
            Ok(Enrolment::Unknown { .. }) => Status::Unknown,
            Ok(
                Enrolment::EnrolledNotLoaded
                | Enrolment::Pending { .. }
                | Enrolment::Incomplete
                | Enrolment::Overlooked { .. }
                | Enrolment::Lost { .. }
                | Enrolment::Withdrawn { .. }
                | Enrolment::Unwritten { .. }
                | Enrolment::NotAsked
                | Enrolment::Blocked { .. },
            )
            | Err(_) => Status::False,
        };
        let (mut reason, mut said, mut fix) = key.said();
        let unmet = key.path.as_deref().and_then(|path| self.unmet(path));
        if let Some(Refusal { why, fix: remedy, .. }) = unmet {
            reason = "RequestImpossible";
            said = format!("{said}; the configuration asks for it, and that cannot be: {why}");
            fix = remedy;
        }
        let fix = if fix.is_empty() { fix } else { format!("; {fix}") };
        Some((status, reason, format!("{}: {said}{fix}", key.name)))
    }
}

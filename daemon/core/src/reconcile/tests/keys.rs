//! Keys that shim is asked for: what is remembered before anything is written, what a reboot makes of
//! it, and that nothing is asked for again by itself.

use super::lab::Lab;
use super::*;
use crate::condition::{Condition, ConditionKind, Status};
use crate::job::{Job, JobState};
use crate::reading::Reading::{self, Known};
use crate::refusal::{Refusal, RefusalKind};
use crate::secure_boot::enrolment::bench::{
    LEAF, MODULE, RHEL, bytes, certificate, lists, machine, ring,
};
use crate::secure_boot::keyring::SystemRing;
use crate::secure_boot::request::Requests;
use crate::secure_boot::request::write::Write;
use crate::secure_boot::request::{PasswordHash, crypt};
use crate::secure_boot::sealed::volume::{self, Luks, Volume};
use crate::secure_boot::trust::{RunTime, Trust};

mod wishes;

/// As `openssl passwd -6` prints one.
const HASH: &str = "$6$saltsaltsaltsalt$nozu4aSZ9tvfyqr8kV.PwuNYpJaa6RCOb1XRcivY.S4HEWnm/pcZbgbhIR2EeRNbUrMigQuyF/KzM9qzoEvpz0";

impl Lab {
    /// Writes variables, unless there is no room.
    pub(super) fn write(&mut self, writes: Vec<Write>) -> Result<(), Refusal> {
        if self.faults.no_room {
            let why = "the firmware has no room";
            let fix = "make some";
            return Err(Refusal::new(RefusalKind::Internal, "nothing was written", why, fix));
        }
        for Write { name, data } in writes {
            match data {
                Some(data) => drop(self.variables.insert(name, data)),
                None => drop(self.variables.remove(&name)),
            }
        }
        self.show_variables();
        Ok(())
    }

    /// What shim is asked for shows.
    pub fn show_variables(&mut self) {
        let variables = self.variables.iter();
        let raw = variables.map(|(name, data)| (name.as_str(), data.as_slice())).collect();
        let requests = if self.faults.blind {
            Reading::Unreadable("denied".to_owned())
        } else {
            Known(Requests::parse(&raw))
        };
        self.node.trust = Arc::new(Trust { requests, ..(*self.node.trust).clone() });
    }
}

fn hash() -> PasswordHash {
    crypt::parse(HASH).unwrap()
}

/// A node with shim on which variables can be written.
fn lab(config: &str) -> Lab {
    let mut lab = Lab::new(config, "in-tree");
    lab.node.trust = Arc::new(shim());
    lab.touch();
    lab.run(2_000);
    lab
}

fn shim() -> Trust {
    machine(RHEL)
}

fn import(lab: &mut Lab, certificate: &[u8]) -> RequestId {
    let certificate = certificate.to_vec();
    let order = Command::ImportKey { certificate, hash: hash(), despite_sealed: false };
    let id = lab.ask(order);
    lab.run(2_000);
    id
}

fn job(lab: &Lab, id: RequestId) -> Job {
    let Ok(Reply::Job(job)) = lab.answers[&id] else { panic!("{:?}", lab.answers[&id]) };
    lab.picture.jobs[&job].clone()
}

fn refused(lab: &Lab, id: RequestId) -> (RefusalKind, String) {
    let refusal = lab.answers[&id].clone().unwrap_err();
    (refusal.kind, refusal.why)
}

fn condition(lab: &Lab) -> &Condition {
    lab.picture.conditions.iter().find(|one| one.kind == ConditionKind::KeysEnrolled).unwrap()
}

/// The machine starts again. Shim has forgotten what it was asked for, and has taken `enrolled`.
fn reboot(lab: &mut Lab, boot: &str, enrolled: &[&[u8]]) {
    lab.variables.clear();
    let mut trust = shim();
    trust.mok = lists(&bytes(enrolled));
    trust.rings.insert(SystemRing::Platform, ring(enrolled));
    lab.node.trust = Arc::new(trust);
    lab.show_variables();
    lab.node.boot_id = Known(boot.parse().unwrap());
    lab.restart();
    lab.run(2_000);
}

#[test]
fn a_request_is_remembered_until_the_key_is_enrolled() {
    let mut lab = lab("");
    assert_eq!(condition(&lab).reason, "NoneNamed");
    let asked = import(&mut lab, MODULE);
    let done = job(&lab, asked);
    assert_eq!(done.state, JobState::Done, "{}", done.message);
    assert!(done.message.starts_with("asked for: reboot with somebody at the console within 5m"));
    let names: Vec<_> = lab.variables.keys().map(String::as_str).collect();
    assert_eq!(names, ["MokAuth", "MokNew", "MokTimeout"]);
    assert_eq!(lab.variables["MokTimeout"], 300i32.to_le_bytes());
    assert_eq!(lab.variables["MokNew"], bytes(&[MODULE]));
    let (status, reason) = (condition(&lab).status, condition(&lab).reason.clone());
    assert_eq!((status, reason.as_str()), (Status::False, "EnrolmentPending"));

    let again = import(&mut lab, MODULE);
    let (kind, why) = refused(&lab, again);
    assert!(kind == RefusalKind::Blocked && why.contains("asked for already"), "{why}");

    reboot(&mut lab, "b2", &[MODULE]);
    assert!(lab.brain.ledger().asked.is_empty(), "it is there, and nothing is left to be known");
    assert_eq!(condition(&lab).reason, "NoneNamed");
    let again = import(&mut lab, MODULE);
    let (kind, why) = refused(&lab, again);
    assert!(kind == RefusalKind::Blocked && why.contains("it is enrolled"), "{why}");
}

#[test]
fn a_prompt_that_was_missed_is_told_and_not_repeated() {
    let mut lab = lab("");
    import(&mut lab, MODULE);
    reboot(&mut lab, "b2", &[]);
    let Condition { status, reason, message, .. } = condition(&lab).clone();
    assert_eq!((status, reason.as_str()), (Status::False, "RequestLost"));
    let said = "asked on 1970-01-01 00:16 UTC, not enrolled: the prompt was missed or refused; \
                `onloadctl keys import FILE` asks again";
    assert!(message.contains(said), "{message}");
    lab.run(600_000);
    assert!(lab.variables.is_empty(), "nothing asks again by itself");
    reboot(&mut lab, "b3", &[]);
    assert_eq!(condition(&lab).reason, "RequestLost", "until somebody does something about it");

    let revoked = lab.ask(Command::RevokeRequest { all: false });
    lab.run(2_000);
    assert_eq!(job(&lab, revoked).state, JobState::Done);
    assert_eq!(condition(&lab).reason, "NoneNamed", "or wants it no more");
    let nothing = lab.ask(Command::RevokeRequest { all: false });
    lab.run(2_000);
    assert_eq!(refused(&lab, nothing).0, RefusalKind::NotFound);
}

#[test]
fn a_request_is_taken_back_without_that_of_others() {
    let mut lab = lab("");
    import(&mut lab, MODULE);
    // By mokutil, which writes its own first.
    let joined = [bytes(&[LEAF]), lab.variables["MokNew"].clone()].concat();
    lab.variables.insert("MokNew".to_owned(), joined);
    lab.show_variables();
    lab.touch();
    lab.run(2_000);
    let revoked = lab.ask(Command::RevokeRequest { all: false });
    lab.run(2_000);
    let done = job(&lab, revoked);
    assert_eq!(done.state, JobState::Done, "{}", done.message);
    assert!(done.message.contains("still asked for"), "{}", done.message);
    assert_eq!(lab.variables["MokNew"], bytes(&[LEAF]));
    assert!(lab.brain.ledger().asked.is_empty());
    let all = lab.ask(Command::RevokeRequest { all: true });
    lab.run(2_000);
    assert_eq!(job(&lab, all).state, JobState::Done);
    assert!(!lab.variables.contains_key("MokNew") && !lab.variables.contains_key("MokAuth"));
}

#[test]
fn what_is_not_written_was_not_asked_for() {
    let mut lab = lab("");
    lab.faults.no_room = true;
    let asked = import(&mut lab, MODULE);
    let failed = job(&lab, asked);
    assert_eq!(failed.state, JobState::Failed);
    assert!(failed.message.contains("the firmware has no room"), "{}", failed.message);
    assert!(lab.brain.ledger().asked.is_empty() && lab.variables.is_empty());
    lab.faults.no_room = false;
    let asked = import(&mut lab, MODULE);
    assert_eq!(job(&lab, asked).state, JobState::Done);
}

#[test]
fn a_look_that_cannot_see_requests_forgets_none() {
    let mut lab = lab("");
    import(&mut lab, MODULE);
    // From the write on: the order was prepared by a look that saw them.
    let revoked = lab.ask(Command::RevokeRequest { all: false });
    lab.faults.blind = true;
    lab.run(2_000);
    let failed = job(&lab, revoked);
    assert_eq!(failed.state, JobState::Failed);
    assert!(failed.message.starts_with("nothing that shim is asked for"), "{}", failed.message);
    assert_eq!(lab.brain.ledger().asked.len(), 1, "whether it was taken back is not known");

    let mut lab = self::lab("");
    let certificate = MODULE.to_vec();
    let asked = lab.ask(Command::ImportKey { certificate, hash: hash(), despite_sealed: false });
    lab.faults.blind = true;
    lab.run(2_000);
    assert_eq!(job(&lab, asked).state, JobState::Failed);
    assert_eq!(lab.brain.ledger().asked.len(), 1, "nor whether it is asked for");
    lab.faults.blind = false;
    lab.show_variables();
    lab.touch();
    lab.run(2_000);
    assert_eq!(condition(&lab).reason, "EnrolmentPending");
}

#[test]
fn a_kill_at_any_point_leaves_a_request_that_is_known_of() {
    let mut cut = 0;
    for fuse in 1.. {
        let mut lab = lab("");
        lab.fuse = Some(fuse);
        let certificate = MODULE.to_vec();
        lab.ask(Command::ImportKey { certificate, hash: hash(), despite_sealed: false });
        lab.run(2_000);
        if lab.fuse.is_some_and(|left| left > 0) {
            break;
        }
        cut += 1;
        lab.restart();
        lab.run(5_000);
        let known = lab.brain.ledger().asked.len();
        assert!(lab.variables.is_empty() || known == 1, "after {fuse} effects");
        // Written or not, a second order ends where the first would have ended.
        if lab.variables.is_empty() {
            let again = import(&mut lab, MODULE);
            assert_eq!(job(&lab, again).state, JobState::Done, "after {fuse} effects");
        }
        assert_eq!(condition(&lab).reason, "EnrolmentPending", "after {fuse} effects");
    }
    assert!(cut > 4, "{cut}");
}

#[test]
fn disks_that_would_stay_closed_are_asked_about() {
    let mut lab = lab("");
    let asked = Some(volume::Asked { pcrs: Some([7].into()) });
    let volume = Volume { luks: Luks::Two, uuid: "1".to_owned(), devices: BTreeSet::new(), asked };
    lab.node.volumes = Known([("data".to_owned(), volume)].into());
    lab.touch();
    lab.run(2_000);
    let asked = import(&mut lab, MODULE);
    let (kind, why) = refused(&lab, asked);
    assert!(kind == RefusalKind::Blocked && why.contains("volume data"), "{why}");
    let certificate = MODULE.to_vec();
    let despite = lab.ask(Command::ImportKey { certificate, hash: hash(), despite_sealed: true });
    lab.run(2_000);
    assert_eq!(job(&lab, despite).state, JobState::Done);
}

#[test]
fn a_named_certificate_is_judged_and_its_file_told() {
    const CONFIG: &str = "[secure-boot]\ncertificates = [\"/etc/keys/site.der\"]\n";
    let mut lab = lab(CONFIG);
    let message = &condition(&lab).message;
    assert_eq!(condition(&lab).reason, "CertificateUnreadable", "{message}");
    assert!(message.contains("there is no such file"), "{message}");

    let file = Fragment { file: "onloadd.toml".to_owned(), text: CONFIG.to_owned() };
    let mut config = Config::merge(&[file]).unwrap();
    config.files.insert("/etc/keys/site.der".to_owned(), Ok(MODULE.to_vec()));
    lab.configure(config);
    let Condition { reason, message, .. } = condition(&lab).clone();
    assert_eq!(reason, "NotEnrolled");
    assert!(message.contains("`onloadctl keys import /etc/keys/site.der`"), "{message}");
    let key = &lab.picture.secure_boot.keys[0];
    assert_eq!(key.name, certificate(MODULE).subject.to_string());

    let mut trust = shim();
    trust.mok = lists(&bytes(&[MODULE]));
    trust.rings.insert(SystemRing::Platform, ring(&[MODULE]));
    lab.node.trust = Arc::new(trust);
    lab.touch();
    lab.run(2_000);
    assert_eq!(
        (condition(&lab).status, condition(&lab).reason.as_str()),
        (Status::True, "Enrolled")
    );
}

#[test]
fn a_kill_at_any_point_leaves_nothing_taken_back_that_is_still_asked_for() {
    for fuse in 1.. {
        let mut lab = lab("");
        import(&mut lab, MODULE);
        lab.fuse = Some(fuse);
        lab.ask(Command::RevokeRequest { all: false });
        lab.run(2_000);
        if lab.fuse.is_some_and(|left| left > 0) {
            break;
        }
        lab.restart();
        lab.run(5_000);
        let known = !lab.brain.ledger().asked.is_empty();
        assert!(known || lab.variables.is_empty(), "after {fuse} effects");
        if known {
            let again = lab.ask(Command::RevokeRequest { all: false });
            lab.run(2_000);
            assert_eq!(job(&lab, again).state, JobState::Done, "after {fuse} effects");
        }
        assert!(lab.variables.is_empty(), "after {fuse} effects");
    }
}

#[test]
fn what_others_wrote_since_the_last_look_is_kept() {
    let mut lab = lab("");
    lab.variables.insert("MokNew".to_owned(), bytes(&[LEAF]));
    lab.variables.insert("MokAuth".to_owned(), hash().to_bytes());
    lab.show_variables();
    let asked = import(&mut lab, MODULE);
    assert_eq!(job(&lab, asked).state, JobState::Done);
    assert_eq!(lab.variables["MokNew"], bytes(&[MODULE, LEAF]));
}

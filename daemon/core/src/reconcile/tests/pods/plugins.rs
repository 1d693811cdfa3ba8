//! Another plugin under a pool's resource: told after two answers, and why no kubelet listens at all.

use super::*;
use crate::pods::Offered;

/// An answer by which the kubelet has these devices of the pool, and no pod has any.
fn offering(ids: &[&str]) -> PodList {
    let devices = ids.iter().map(|id| (*id).to_owned()).collect();
    let offered = Some(vec![Offered { resource: "amd.com/p".to_owned(), devices }]);
    PodList { offered, ..list(&[]) }
}

const OURS: &[&str] = &["p-0", "p-1", "p-2", "p-3"];
const SOON: u64 = 5_000;

impl Bench {
    fn registered(&self) -> (Status, String, String) {
        let mut all = self.picture.conditions.iter();
        let found = all.find(|one| one.kind == ConditionKind::KubeletRegistered).unwrap();
        (found.status, found.reason.clone(), found.message.clone())
    }

    /// Whether the kubelet is asked for its own sake within the time.
    fn is_asked_within(&mut self, millis: u64) -> bool {
        let (before, until) = (self.asked, self.at + millis);
        while self.brain.deadline().0 <= until && self.asked == before {
            self.at = self.at.max(self.brain.deadline().0);
            self.handle(Event::Deadline);
            self.handle(Event::Looked(Box::new(node())));
        }
        self.asked > before
    }
}

#[test]
fn another_plugin_is_told_after_two_answers_and_until_it_has_gone() {
    let mut bench = Bench::new(FOUR, node());
    bench.until_asked(SOON, Ok(offering(OURS)));
    assert_eq!(bench.registered().1, "Registered");
    assert!(!bench.is_asked_within(10 * 60_000), "nobody wakes up while all is well");

    // Its socket comes; the kubelet has its devices by then.
    bench.handle(Event::PluginSocket);
    bench.until_asked(SOON, Ok(offering(&["sfc-0"])));
    assert_eq!(bench.registered().1, "Registered", "a list may be on its way");
    bench.until_asked(SOON, Ok(offering(&["sfc-0"])));
    let (status, reason, message) = bench.registered();
    assert_eq!((status, &*reason), (Status::False, "OtherPlugin"), "{message}");
    for part in ["amd.com/p of pool p", "sfc-0", "sfc-deviceplugin", "restart onloadd"] {
        assert!(message.contains(part), "{message}");
    }

    // A kubelet that does not say clears nothing, one that has ours does; it is asked for as long.
    bench.until_asked(61_000, Ok(list(&[])));
    assert_eq!(bench.registered().1, "OtherPlugin");
    bench.until_asked(61_000, Ok(offering(OURS)));
    assert_eq!(bench.registered().1, "Registered");
    assert!(!bench.is_asked_within(10 * 60_000));
}

#[test]
fn one_odd_answer_shows_nothing() {
    let mut bench = Bench::new(FOUR, node());
    bench.until_asked(SOON, Ok(offering(&[])));
    bench.until_asked(SOON, Ok(offering(OURS)));
    bench.handle(Event::PluginSocket);
    bench.until_asked(SOON, Ok(offering(&[])));
    assert_eq!(bench.registered().1, "Registered");
    bench.until_asked(SOON, Ok(offering(&[])));
    let (_, reason, message) = bench.registered();
    assert_eq!(reason, "OtherPlugin");
    assert!(message.contains("no device of pool p under amd.com/p"), "{message}");

    // Registered anew, the newest wins.
    bench.kubelet_again();
    assert_eq!(bench.registered().1, "Registered");
}

#[test]
fn a_kubelet_that_does_not_say_what_it_has_shows_nothing() {
    let mut bench = Bench::new(FOUR, node());
    bench.until_asked(SOON, Ok(list(&[])));
    assert_eq!(bench.registered().1, "Registered");
    assert!(!bench.is_asked_within(10 * 60_000));
}

#[test]
fn the_condition_says_why_no_kubelet_listens() {
    let mut bench = Bench::new(FOUR, node());
    let pool = || "p".parse().unwrap();
    bench.handle(Event::Registered { pool: pool(), registered: false });
    assert_eq!(bench.registered(), (Status::False, "NotRegistered".into(), "p".into()));
    let why = "the kubelet refused: no".to_owned();
    bench.handle(Event::NotRegistered { pool: pool(), why });
    assert_eq!(bench.registered().2, "p: the kubelet refused: no");
    bench.handle(Event::Registered { pool: pool(), registered: true });
    assert_eq!(bench.registered().1, "Registered");
    bench.handle(Event::Registered { pool: pool(), registered: false });
    assert_eq!(bench.registered().2, "p", "what was wrong before is not what is wrong now");
}

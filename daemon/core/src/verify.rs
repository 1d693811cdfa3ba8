//! Whether Onload works on this node, check by check: what a look found, judged. What onloadd has a
//! condition for is judged by that, so that there is no second truth beside it; the rest by what the
//! caller has read of the machine.

pub mod condition;
pub mod container;
pub mod host;
pub mod mounts;
pub mod node;
pub mod stack;

use serde::Serialize;

/// How a check ended, from the best to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As it should be.
    Pass,
    /// Nothing was found out, or there is nothing to find out here.
    Skip,
    /// It works; somebody should know all the same.
    Warn,
    /// Nothing is broken; something is in the way.
    Blocked,
    /// It does not work.
    Fail,
}

impl Verdict {
    /// All of them, the worst first.
    pub const ALL: [Self; 5] = [Self::Fail, Self::Blocked, Self::Warn, Self::Skip, Self::Pass];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Skip => "skip",
            Self::Warn => "warn",
            Self::Blocked => "blocked",
            Self::Fail => "fail",
        }
    }
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// For programs; several containers have a check of the same id.
    pub id: String,
    /// For people.
    pub title: String,
    /// How it ended.
    pub verdict: Verdict,
    /// What was looked at, and what it said.
    pub looked: String,
    /// Why it is not `pass`.
    pub why: Option<String>,
    /// What to do; none where nothing is to be done.
    pub fix: Option<String>,
    /// The condition of the node it was judged by.
    pub condition: Option<String>,
}

impl Check {
    /// One that passed, for all that is known so far.
    pub fn new(id: &str, title: &str, looked: impl Into<String>) -> Self {
        Self {
            id: id.to_owned(),
            title: title.to_owned(),
            verdict: Verdict::Pass,
            looked: looked.into(),
            why: None,
            fix: None,
            condition: None,
        }
    }

    /// Nothing is to be found out, for this reason.
    #[must_use]
    pub fn skip(self, why: impl Into<String>) -> Self {
        Self { verdict: Verdict::Skip, why: Some(why.into()), fix: None, ..self }
    }

    /// It ended otherwise than well.
    #[must_use]
    pub fn ended(self, verdict: Verdict, why: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { verdict, why: Some(why.into()), fix: Some(fix.into()), ..self }
    }

    /// It does not work.
    #[must_use]
    pub fn fail(self, why: impl Into<String>, fix: impl Into<String>) -> Self {
        self.ended(Verdict::Fail, why, fix)
    }

    /// It works, but.
    #[must_use]
    pub fn warn(self, why: impl Into<String>, fix: impl Into<String>) -> Self {
        self.ended(Verdict::Warn, why, fix)
    }

    /// Something is in the way.
    #[must_use]
    pub fn blocked(self, why: impl Into<String>, fix: impl Into<String>) -> Self {
        self.ended(Verdict::Blocked, why, fix)
    }

    /// Says of a check what its condition does not: what else was looked at. A worse verdict of that
    /// counts; of two alike the condition's stays.
    #[must_use]
    pub fn beside(self, seen: Self) -> Self {
        let looked = seen.looked.clone();
        let own = Self { id: self.id, title: self.title, condition: self.condition, ..seen };
        if own.verdict > self.verdict && own.verdict != Verdict::Skip {
            return own;
        }
        Self {
            id: own.id,
            title: own.title,
            condition: own.condition,
            looked: if looked.is_empty() { self.looked } else { looked },
            verdict: self.verdict,
            why: self.why,
            fix: self.fix,
        }
    }
}

/// All of them in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The worst verdict.
    pub verdict: Option<Verdict>,
    /// Whether onloadd answered.
    pub reached: bool,
    /// As it should be.
    pub pass: usize,
    /// Not looked into.
    pub skip: usize,
    /// Worth knowing.
    pub warn: usize,
    /// In the way.
    pub blocked: usize,
    /// Broken.
    pub fail: usize,
}

impl Summary {
    /// Counts.
    pub fn of(checks: &[Check], reached: bool) -> Self {
        let number = |verdict| checks.iter().filter(|one| one.verdict == verdict).count();
        Self {
            verdict: checks.iter().map(|one| one.verdict).max(),
            reached,
            pass: number(Verdict::Pass),
            skip: number(Verdict::Skip),
            warn: number(Verdict::Warn),
            blocked: number(Verdict::Blocked),
            fail: number(Verdict::Fail),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_verdict_counts_and_none_is_lost() {
        let check = Check::new("a", "A", "looked");
        let all = [
            check.clone(),
            check.clone().skip("no card"),
            check.clone().warn("w", "f"),
            check.clone(),
        ];
        let summary = Summary::of(&all, true);
        assert_eq!(summary.verdict, Some(Verdict::Warn));
        assert_eq!((summary.pass, summary.skip, summary.warn), (2, 1, 1));
        assert_eq!(Summary::of(&[], false).verdict, None);
        let mut worst = Verdict::ALL;
        worst.sort();
        worst.reverse();
        assert_eq!(worst, Verdict::ALL, "the worst first");
    }

    #[test]
    fn what_is_seen_beside_a_condition_makes_it_worse_and_never_better() {
        let good = Check { condition: Some("C".to_owned()), ..Check::new("a", "A", "C is True") };
        let bad = good.clone().fail("down", "start it");
        let seen = Check::new("b", "B", "pid 7");
        let cases = [
            ("both well", good.clone(), seen.clone(), Verdict::Pass, None),
            (
                "seen is worse",
                good.clone(),
                seen.clone().fail("dead", "f"),
                Verdict::Fail,
                Some("dead"),
            ),
            ("the condition is worse", bad.clone(), seen.clone(), Verdict::Fail, Some("down")),
            ("both fail", bad, seen.clone().fail("dead", "f"), Verdict::Fail, Some("down")),
            ("seen was not looked at", good, seen.skip("root only"), Verdict::Pass, None),
        ];
        for (why, condition, seen, verdict, reason) in cases {
            let both = condition.beside(seen);
            assert_eq!((both.verdict, both.why.as_deref()), (verdict, reason), "{why}");
            assert_eq!((both.id.as_str(), both.looked.as_str()), ("a", "pid 7"), "{why}");
            assert_eq!(both.condition.as_deref(), Some("C"), "{why}");
        }
    }
}

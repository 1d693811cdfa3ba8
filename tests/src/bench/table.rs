//! The rows of the report: budget, what was measured, and whether that is within.

use std::fmt;

/// Widths of the columns while rows come in one by one; longer texts push the rest aside.
const WHAT_WIDTH: usize = 58;
const BUDGET_WIDTH: usize = 14;
const MEASURED_WIDTH: usize = 52;

/// What a missed budget means for `make bench-check`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// It fails.
    Held,
    /// It is told: a time of the clock says as much of the machine as of the daemon.
    Told,
}

/// Whether the budget was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was.
    Met,
    /// It was not.
    Missed,
    /// It could not be measured here.
    Skipped,
}

/// One row.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// What it may be.
    pub budget: String,
    /// What it is.
    pub measured: String,
    /// Whether that is within.
    pub verdict: Verdict,
    /// What it means if not.
    pub weight: Weight,
}

impl Row {
    /// A row of something that was measured.
    pub fn new(
        weight: Weight,
        what: impl Into<String>,
        budget: impl Into<String>,
        measured: impl Into<String>,
        met: bool,
    ) -> Self {
        let verdict = if met { Verdict::Met } else { Verdict::Missed };
        let (what, budget, measured) = (what.into(), budget.into(), measured.into());
        Self { what, budget, measured, verdict, weight }
    }

    /// A row of something that cannot be measured here.
    pub fn skipped(
        what: impl Into<String>,
        budget: impl Into<String>,
        why: impl fmt::Display,
    ) -> Self {
        Self {
            what: what.into(),
            budget: budget.into(),
            measured: format!("skipped: {why}"),
            verdict: Verdict::Skipped,
            weight: Weight::Held,
        }
    }

    /// Whether `make bench-check` fails by it. What could not be measured was not kept either.
    pub fn fails(&self) -> bool {
        self.verdict != Verdict::Met && self.weight == Weight::Held
    }

    fn verdict(&self) -> &'static str {
        match (self.verdict, self.weight) {
            (Verdict::Met, _) => "met",
            (Verdict::Missed, Weight::Held) => "MISSED",
            (Verdict::Missed, Weight::Told) => "missed (told only)",
            (Verdict::Skipped, _) => "skipped",
        }
    }

    /// The row in a table for the README.
    pub fn markdown(&self) -> String {
        let Self { what, budget, measured, .. } = self;
        format!("| {what} | {budget} | {measured} | {} |", self.verdict())
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, budget, measured, .. } = self;
        write!(f, "{what:WHAT_WIDTH$}  {budget:BUDGET_WIDTH$}  {measured:MEASURED_WIDTH$}  ")?;
        f.write_str(self.verdict())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_held_and_not_met_fails() {
        let row = |weight, met| Row::new(weight, "w", "b", "m", met).fails();
        assert!(row(Weight::Held, false));
        assert!(!row(Weight::Held, true));
        assert!(!row(Weight::Told, false));
        assert!(Row::skipped("w", "b", "no such program").fails());
    }
}

//! The page: a line for each check, three lines for what is not as it should be, and the sum.

use onload_core::verify::{Check, Summary, Verdict};
use serde::Serialize;

use crate::render::Page;
use crate::render::paint::{Paint, plain};
use crate::render::table::{Cell, table};

/// All checks, and how they end.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    pub checks: Vec<Check>,
    pub summary: Summary,
    /// Exit code.
    pub exit: u8,
}

fn mark(verdict: Verdict) -> (&'static str, Paint) {
    match verdict {
        Verdict::Pass => ("✓", Paint::Good),
        Verdict::Skip => ("-", Paint::Dim),
        Verdict::Warn => ("!", Paint::Warn),
        Verdict::Blocked => ("●", Paint::Warn),
        Verdict::Fail => ("✗", Paint::Bad),
    }
}

fn cells(check: &Check) -> Vec<Cell> {
    let (mark, paint) = mark(check.verdict);
    let looked = match (&check.why, check.verdict) {
        (Some(why), Verdict::Skip) => Cell::painted(format!("skipped: {why}"), Paint::Dim),
        (_, _) => Cell::new(&check.looked),
    };
    vec![Cell::painted(mark, paint), Cell::new(&check.title), looked]
}

fn lines(check: &Check) -> String {
    let (_, paint) = mark(check.verdict);
    let mut text =
        format!("\n{}: {}\n", Paint::Strong.on(&check.title), paint.on(check.verdict.as_str()));
    for (mark, part) in [("why:", &check.why), ("fix:", &check.fix)] {
        if let Some(part) = part {
            text += &format!("  {} {}\n", Paint::Dim.on(mark), plain(part));
        }
    }
    text
}

impl Page for Report {
    fn text(&self, _now: u64) -> String {
        let rows: Vec<_> = self.checks.iter().map(cells).collect();
        let mut text = table(&[], &rows);
        let told = |one: &&Check| match one.verdict {
            Verdict::Warn | Verdict::Blocked | Verdict::Fail => true,
            Verdict::Pass | Verdict::Skip => false,
        };
        text.extend(self.checks.iter().filter(told).map(lines));
        text + &format!("\n{}\n", self.sum())
    }
}

impl Report {
    fn sum(&self) -> String {
        let Summary { pass, skip, warn, blocked, fail, reached, .. } = self.summary;
        let numbers = [
            (fail, "failed"),
            (blocked, "blocked"),
            (warn, "with a warning"),
            (skip, "skipped"),
            (pass, "passed"),
        ];
        let told = numbers.iter().filter(|(number, _)| *number > 0);
        let told: Vec<_> = told.map(|(number, word)| format!("{number} {word}")).collect();
        let (words, paint) = match self.summary.verdict {
            _ if !reached => ("onloadd cannot be reached", Paint::Bad),
            Some(Verdict::Fail) => ("something does not work", Paint::Bad),
            Some(Verdict::Blocked) => ("something is in the way", Paint::Warn),
            Some(Verdict::Warn) => ("it works, with something to know", Paint::Warn),
            Some(Verdict::Skip | Verdict::Pass) | None => ("it works", Paint::Good),
        };
        format!("{}: {}", paint.on(words), told.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::paint::without;

    #[test]
    fn a_line_each_and_three_for_what_is_not_well() {
        let checks = vec![
            Check::new("bus", "onloadd answers", "version 1.0, node ready"),
            Check::new("stack", "a program gets a stack", "").skip("no library"),
            Check::new("clock", "clock synchronised", "it is \u{1b}[2Jnot")
                .blocked("nobody", "chronyd"),
            Check::new("nodes", "device nodes", "/dev/onload 666").fail("gone", "load"),
        ];
        let report = Report { summary: Summary::of(&checks, true), checks, exit: 1 };
        assert_eq!(
            without(&report.text(0)),
            "\
✓  onloadd answers         version 1.0, node ready
-  a program gets a stack  skipped: no library
●  clock synchronised      it is \u{fffd}[2Jnot
✗  device nodes            /dev/onload 666

clock synchronised: blocked
  why: nobody
  fix: chronyd

device nodes: fail
  why: gone
  fix: load

something does not work: 1 failed, 1 blocked, 1 skipped, 1 passed
"
        );
    }

    #[test]
    fn the_sum_tells_the_worst() {
        let check = Check::new("a", "A", "");
        let sum = |check: Check, reached| {
            let checks = vec![check];
            let report = Report { summary: Summary::of(&checks, reached), checks, exit: 0 };
            without(&report.sum())
        };
        assert_eq!(sum(check.clone(), true), "it works: 1 passed");
        assert_eq!(
            sum(check.clone().warn("w", "f"), true),
            "it works, with something to know: 1 with a warning"
        );
        assert_eq!(
            sum(check.clone().blocked("w", "f"), true),
            "something is in the way: 1 blocked"
        );
        assert_eq!(sum(check.fail("w", "f"), false), "onloadd cannot be reached: 1 failed");
    }
}

//! What a row of the table says, and how the rows of a theme are played.

use std::collections::BTreeMap;
use std::fs;
use std::panic::catch_unwind;

use onload_tests::node::Node;

use crate::rows::ROWS;

/// The headings under which the sheet has its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    KubeletRestart,
    Races,
    SeveralRegistrations,
    Reboot,
    Checkpoint,
    Leaks,
    Counting,
    Health,
}

/// One row of the sheet.
pub struct Row {
    pub theme: Theme,
    /// The issues, as the sheet names them.
    pub references: &'static [&'static str],
    /// What it means for onloadd, in one sentence.
    pub means: &'static str,
    pub verdict: Verdict,
}

/// What shows it.
pub enum Verdict {
    /// A case of this suite, by its path.
    Case { name: &'static str, run: fn() },
    /// A test of another file, `FILE::NAME`, the file below the root of this repository.
    Proven { elsewhere: &'static str },
}

/// A case of this suite.
macro_rules! case {
    ($theme:ident :: $name:ident) => {
        $crate::row::Verdict::Case {
            name: concat!(stringify!($theme), "::", stringify!($name)),
            run: $crate::$theme::$name,
        }
    };
}
pub(crate) use case;

impl Row {
    fn name(&self) -> String {
        self.references.join(", ")
    }
}

/// Plays the rows of a theme, each case once, and fails with the names of those that do not hold.
pub fn play(theme: Theme) {
    // By case: several rows may have the same one.
    let mut played: BTreeMap<&str, bool> = BTreeMap::new();
    let mut failed = Vec::new();
    for row in ROWS.iter().filter(|row| row.theme == theme) {
        println!("row {}: {}", row.name(), row.means);
        let (shown_by, holds) = match &row.verdict {
            Verdict::Case { name, run } => {
                let holds = *played.entry(name).or_insert_with(|| catch_unwind(*run).is_ok());
                ((*name).to_owned(), holds)
            }
            Verdict::Proven { elsewhere } => ((*elsewhere).to_owned(), is_a_test(elsewhere)),
        };
        println!("    {} {shown_by}", if holds { "holds:" } else { "DOES NOT HOLD:" });
        if !holds {
            failed.push(format!("{} ({shown_by})", row.name()));
        }
    }
    assert!(failed.is_empty(), "rows that do not hold: {failed:#?}");
}

/// Whether there is a test of this name that a plain run does not leave out.
fn is_a_test(elsewhere: &str) -> bool {
    let Some((file, name)) = elsewhere.rsplit_once("::") else { return false };
    let Ok(text) = fs::read_to_string(Node::repository(file)) else { return false };
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let begins = |line: &&str| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        line.strip_prefix("fn ").is_some_and(|rest| rest.starts_with(&format!("{name}(")))
    };
    let Some(at) = lines.iter().position(begins) else { return false };
    let attributes = lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
    let attributes: Vec<_> = attributes.collect();
    let test = attributes.iter().any(|line| **line == "#[test]" || **line == "#[tokio::test]");
    test && !attributes.iter().any(|line| line.starts_with("#[ignore"))
}

/// Rows of the sheet under each heading.
const IN_THE_SHEET: [(Theme, usize); 8] = [
    (Theme::KubeletRestart, 6),
    (Theme::Races, 7),
    (Theme::SeveralRegistrations, 4),
    (Theme::Reboot, 7),
    (Theme::Checkpoint, 6),
    (Theme::Leaks, 6),
    (Theme::Counting, 2),
    (Theme::Health, 5),
];

#[test]
fn the_table_has_every_row_of_the_sheet_once() {
    for (theme, count) in IN_THE_SHEET {
        let rows = ROWS.iter().filter(|row| row.theme == theme).count();
        assert_eq!(rows, count, "{theme:?}");
    }
    let mut names: Vec<_> = ROWS.iter().map(Row::name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), ROWS.len(), "a row is there twice");
    for row in ROWS {
        let is_named = |name: &&str| name.split_once('#').is_some_and(|(_, n)| !n.is_empty());
        assert!(
            !row.references.is_empty() && row.references.iter().all(is_named),
            "{}",
            row.name()
        );
        assert!(row.means.ends_with('.') && row.means.len() > 40, "{}: {}", row.name(), row.means);
    }
}

#[test]
fn what_is_no_test_proves_nothing() {
    for (elsewhere, holds) in [
        ("tests/tests/restarts.rs::node_reboots", true),
        ("tests/tests/plugin/lists.rs::a_list_is_sent_while_register_hangs", true),
        ("tests/tests/restarts.rs::holders", false),
        ("tests/tests/restarts.rs::node_reboot", false),
        ("tests/tests/plugin/place.rs::in_mounts_of_its_own", false),
        ("tests/tests/nowhere.rs::node_reboots", false),
    ] {
        assert_eq!(is_a_test(elsewhere), holds, "{elsewhere}");
    }
}

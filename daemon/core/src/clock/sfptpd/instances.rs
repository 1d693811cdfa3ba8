//! `sync-instances`: which instances there are, and which one is followed.

use std::collections::BTreeMap;

use super::table::{Row, rows};
use super::{Instance, bounded};

/// The rows of the file, by instance. Nothing else is read of it: the key and the policy below the table
/// are the same whatever happens.
///
/// Releases draw it in two ways: each column by itself, or a mark in the cell of what it marks
/// (`instance S`, `MX`, `state O`).
pub fn parse(text: &str) -> BTreeMap<String, Instance> {
    let mut found = BTreeMap::new();
    rows(text, "instance", |row| {
        if let Some((name, instance)) = instance(row) {
            found.insert(name, instance);
        }
    });
    found
}

fn instance(row: &Row<'_>) -> Option<(String, Instance)> {
    let (name, marked) = pair(row, "instance", "S");
    let (state, order) = pair(row, "state", "O");
    let name = bounded::some(name?)?;
    let state = bounded::word(state.unwrap_or_default());
    let constraint = row.under("X").or_else(|| row.under("MX")).and_then(constraint);
    let instance = Instance {
        selected: marked.is_some_and(is_mark),
        operational: operational(&state).unwrap_or_else(|| order.is_some_and(is_mark)),
        alarmed: row.under("A").is_some_and(is_mark),
        state,
        constraint,
    };
    Some((name, instance))
}

/// The word under `header`, and the mark under `mark`: in a column of its own, or behind the word.
fn pair<'a>(row: &Row<'a>, header: &str, mark: &str) -> (Option<&'a str>, Option<&'a str>) {
    let Some((above, cell)) = row.find(|one| one.split_whitespace().next() == Some(header)) else {
        return (None, row.under(mark));
    };
    if above.split_whitespace().nth(1) != Some(mark) {
        return (Some(cell), row.under(mark));
    }
    let mut words = cell.split_whitespace();
    (words.next(), words.next())
}

/// Whether a cell marks its row.
fn is_mark(cell: &str) -> bool {
    !matches!(cell, "" | "-" | "." | "0" | "no" | "n")
}

/// The constraint that a cell of `X`, or the last letter of one of `MX`, stands for.
fn constraint(cell: &str) -> Option<String> {
    match cell.chars().last()? {
        'm' if cell.len() <= 2 => Some("must-be-selected".to_owned()),
        'c' if cell.len() <= 2 => Some("cannot-be-selected".to_owned()),
        _ if cell.len() <= 2 => None,
        _ => bounded::some(cell),
    }
}

/// Whether an instance in this state has time to give; none for a state that is not known here. What
/// stands under `O` does not say: releases put there the state's place in an order, from 0.
fn operational(state: &str) -> Option<bool> {
    match state.rsplit('-').next().unwrap_or(state) {
        "slave" | "master" | "passive" | "clock" => Some(true),
        // As in `ptp-slave-alarm`.
        "alarm" => Some(true),
        "listening" | "selection" | "settling" | "disabled" | "faulty" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(selected: bool, state: &str, operational: bool, alarmed: bool) -> Instance {
        Instance { selected, state: state.to_owned(), operational, alarmed, constraint: None }
    }

    #[test]
    fn marks_are_found_where_releases_put_them() {
        let merged = "\
|  R | instance    S | MX |state     O | A | priority | C | gm class    | accuracy | allan var | steps |
---------------------------------------------------------------------------------------------------------
|  1 | ptp1        * | -- |slave     0 |   |      128 | 0 | locked      |     1.25 |       inf |     1 |
|  2 | crny0         | Mm |selection 1 | A |      128 | 0 | unknown     |      inf |       inf |     0 |

Key: R = rank  S = selected  M = manual  O = state order  A = alarms  C = clustering score
     X = external constraint (m = must-be-selected  c = cannot-be-selected) | not a row

Selection policy:
 0 : manual
";
        let plain = "\
R | instance | S | M | X | state | O | A | priority
--+----------+---+---+---+-------+---+---+---------
1 | ptp1 | * | - | - | slave | 0 |  | 128
2 | crny0 |  | M | m | selection | 1 | A | 128
";
        let drawn = "\
┌───────────┬───────────┬───┬──────────┬───┐
│ state     │ A         │ S │ instance │ X │
├───────────┼───────────┼───┼──────────┼───┤
│ slave     │           │ * │ ptp1     │   │
│ selection │ A         │   │ crny0    │ m │
└───────────┴───────────┴───┴──────────┴───┘
";
        let bound = Instance {
            constraint: Some("must-be-selected".to_owned()),
            ..row(false, "selection", false, true)
        };
        let expected = BTreeMap::from([
            ("ptp1".to_owned(), row(true, "slave", true, false)),
            ("crny0".to_owned(), bound),
        ]);
        for text in [plain, drawn] {
            assert_eq!(parse(text), expected, "{text}");
        }
        let mut merged = parse(merged);
        merged.retain(|name, _| expected.contains_key(name));
        assert_eq!(merged, expected);
    }

    #[test]
    fn what_is_not_there_is_not_made_up() {
        assert_eq!(parse(""), BTreeMap::new());
        assert_eq!(parse("| R | name |\n| 1 | ptp1 |"), BTreeMap::new());
        let only = parse("| instance |\n| ptp1 |\n| |");
        assert_eq!(only, BTreeMap::from([("ptp1".to_owned(), Instance::default())]));
        // A word of another release is taken by its mark.
        let odd = parse(
            "instance | state | O | X\ngps1 | ptp-slave-alarm | | cannot-be-selected\na | new | * | -",
        );
        assert!(odd["gps1"].operational && odd["a"].operational);
        assert_eq!(odd["gps1"].constraint.as_deref(), Some("cannot-be-selected"));
        assert_eq!(odd["a"].constraint, None);
    }
}

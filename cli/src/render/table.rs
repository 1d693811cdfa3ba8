//! Tables: aligned columns two blanks apart, no lines.
//!
//! The layout counts every character of a cell, so colours cannot be in it: a cell's text stands
//! between two characters without width, which become a colour once all is in place.

use std::io::IsTerminal as _;

use comfy_table::{CellAlignment, ContentArrangement, Table};

use crate::render::paint::{Paint, plain};

/// The first of the characters without width (Unicode tags) that begin a colour.
const BEGIN: u32 = 0xe0061;
/// The one that ends it.
const END: char = '\u{e007f}';

/// One field of a table.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    text: String,
    paint: Paint,
    right: bool,
}

impl Cell {
    /// A field without a colour.
    pub fn new(text: impl AsRef<str>) -> Self {
        Self { text: plain(text.as_ref()), ..Self::default() }
    }

    /// A field in a colour.
    pub fn painted(text: impl AsRef<str>, paint: Paint) -> Self {
        Self { paint, ..Self::new(text) }
    }

    /// A number, ending where the others end.
    pub fn number(number: impl ToString) -> Self {
        Self { right: true, ..Self::new(number.to_string()) }
    }

    /// The same in a colour.
    pub fn paint(self, paint: Paint) -> Self {
        Self { paint, ..self }
    }

    fn marked(&self) -> String {
        let index = Paint::ALL.iter().position(|paint| *paint == self.paint).unwrap_or_default();
        let begin = u32::try_from(index).ok().and_then(|index| char::from_u32(BEGIN + index));
        match (self.paint, begin) {
            (Paint::Plain, _) | (_, None) => self.text.clone(),
            (_, Some(begin)) => format!("{begin}{}{END}", self.text),
        }
    }
}

/// Lays a table out, below its header if it has one; no rows, no table.
pub fn table(header: &[&str], rows: &[Vec<Cell>]) -> String {
    laid_out(header, rows, width())
}

/// Columns of the terminal where the environment tells them; elsewhere the terminal wraps.
fn width() -> Option<u16> {
    let told = std::env::var("COLUMNS").ok()?.parse().ok();
    told.filter(|_| std::io::stdout().is_terminal())
}

fn laid_out(header: &[&str], rows: &[Vec<Cell>], width: Option<u16>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut table = Table::new();
    table.load_style(comfy_table::TableStyle::default());
    if let Some(width) = width {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    } else {
        table.set_content_arrangement(ContentArrangement::Disabled);
    }
    if !header.is_empty() {
        let heads = header.iter().map(|name| Cell::painted(name, Paint::Dim).marked());
        table.set_header(heads.collect::<Vec<_>>());
    }
    for row in rows {
        table.add_row(row.iter().map(Cell::marked).collect::<Vec<_>>());
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if rows.iter().any(|row| row.get(index).is_some_and(|cell| cell.right)) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut text = coloured(&table.trim_fmt());
    text.push('\n');
    text
}

fn coloured(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut open = Paint::Plain;
    for letter in text.chars() {
        let index = u32::from(letter).checked_sub(BEGIN).and_then(|at| usize::try_from(at).ok());
        if letter == END {
            out += &open.style().suffix_formatter().to_string();
        } else if let Some(paint) = index.and_then(|index| Paint::ALL.get(index)) {
            open = *paint;
            out += &open.style().prefix_formatter().to_string();
        } else {
            out.push(letter);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::paint::without;

    fn rows() -> Vec<Vec<Cell>> {
        vec![
            vec![Cell::painted("größe", Paint::Good), Cell::number(7), Cell::new("a b c d")],
            vec![Cell::new("x"), Cell::number(12), Cell::painted("漢字", Paint::Bad)],
        ]
    }

    #[test]
    fn colours_do_not_move_columns() {
        let text = laid_out(&["NAME", "N", "TEXT"], &rows(), None);
        assert!(text.contains("\x1b[32mgröße\x1b[0m"), "{text:?}");
        assert_eq!(without(&text), "NAME    N  TEXT\ngröße   7  a b c d\nx      12  漢字\n");
    }

    #[test]
    fn a_narrow_terminal_wraps_inside_the_column() {
        let text = laid_out(&["NAME", "N", "TEXT"], &rows(), Some(16));
        for line in without(&text).lines() {
            assert!(line.chars().count() <= 16, "{line:?}");
        }
        assert!(without(&text).contains("a b"), "{text}");
    }

    #[test]
    fn no_rows_no_table() {
        assert_eq!(table(&["NAME"], &[]), "");
    }
}

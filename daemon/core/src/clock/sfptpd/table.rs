//! Tables that sfptpd draws for people: a header, then rows, parted by `|`.
//!
//! Which columns there are and in which order differs between releases, so cells go by what stands above
//! them; lines that only rule, and what is said below the table, are left out.

/// The most rows read: hundreds of interfaces fit, and a file that never ends does not.
const ROWS: usize = 1024;

/// A row, with the cells under their headers.
#[derive(Debug)]
pub(super) struct Row<'a> {
    headers: &'a [&'a str],
    cells: Vec<&'a str>,
}

impl<'a> Row<'a> {
    /// The header and the cell under it, for the first column whose header `wanted` takes.
    pub(super) fn find(&self, wanted: impl Fn(&str) -> bool) -> Option<(&'a str, &'a str)> {
        let at = self.headers.iter().position(|header| wanted(header))?;
        Some((self.headers[at], self.cells.get(at).copied().unwrap_or_default()))
    }

    /// The cell under this header.
    pub(super) fn under(&self, header: &str) -> Option<&'a str> {
        self.find(|one| one == header).map(|(_, cell)| cell)
    }
}

/// Calls `take` with each row below the first line whose first cell in some column begins with `mark`.
pub(super) fn rows(text: &str, mark: &str, mut take: impl FnMut(&Row<'_>)) {
    let mut lines = text.lines().filter_map(cells);
    let begins = |cell: &&str| cell.split_whitespace().next() == Some(mark);
    let Some(headers) = lines.find(|cells| cells.iter().any(begins)) else { return };
    for cells in lines.take(ROWS) {
        take(&Row { headers: &headers, cells });
    }
}

/// The cells of a line; none for a line that is no row, or that only rules.
fn cells(line: &str) -> Option<Vec<&str>> {
    let bar = |c: char| matches!(c, '|' | '│' | '║' | '┃');
    let rules =
        |c: char| c.is_whitespace() || bar(c) || matches!(c, '-' | '=' | '+' | '_' | '─'..='╿');
    let line = line.trim();
    if !line.contains(bar) || line.chars().all(rules) {
        return None;
    }
    let line = line.strip_prefix(bar).unwrap_or(line);
    let line = line.strip_suffix(bar).unwrap_or(line);
    Some(line.split(bar).map(str::trim).collect())
}

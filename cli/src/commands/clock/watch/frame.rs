//! One picture of all traces, as large as the terminal.

use super::super::quantity::{signed, time};
use super::plot::{self, bound};
use super::trace::{DOT, Trace};
use crate::render::paint::{Paint, plain};
use crate::render::phrase::{age, span};

/// Columns to the left of a plot: the longest number with its unit, and a mark.
const MARGIN: usize = 10;
/// Rows of a plot, where there is room: more show no more.
const TALLEST: usize = 12;
/// Rows that a plot needs to be one.
const LOWEST: usize = 3;
/// What is on no plot: the line at the top.
const HEAD: usize = 1;

/// A piece of a line, in a colour.
type Piece = (String, Paint);

/// All of it: as many lines as the terminal has or fewer, each as long as it is wide or shorter.
pub fn frame(
    traces: &[Trace],
    note: Option<&str>,
    (columns, rows): (usize, usize),
    now: u64,
) -> String {
    let mut lines = vec![head(traces, note, columns)];
    let (shown, height) = layout(traces, rows);
    for trace in traces.iter().take(shown) {
        lines.push(title(trace, now));
        if trace.is_drawn() {
            lines.extend(drawn(trace, columns, height));
        }
    }
    if shown < traces.len() {
        let more = format!("and {} more: a taller terminal shows them", traces.len() - shown);
        lines.push(vec![(more, Paint::Dim)]);
    }
    lines.truncate(rows);
    // The line below the last would move all of it up.
    lines.iter().map(|line| fitted(line, columns)).collect::<Vec<_>>().join("\n")
}

/// How many clocks are shown, and how many rows each plot has.
fn layout(traces: &[Trace], rows: usize) -> (usize, usize) {
    let room = rows.saturating_sub(HEAD);
    let needs = |shown: usize| {
        let plots = traces.iter().take(shown).filter(|trace| trace.is_drawn()).count();
        let more = usize::from(shown < traces.len());
        (plots, shown + more)
    };
    let fits = |shown: &usize| {
        let (plots, titles) = needs(*shown);
        titles + plots * LOWEST <= room
    };
    let shown = (1..=traces.len()).rev().find(fits).unwrap_or(traces.len().min(1));
    let (plots, titles) = needs(shown);
    let height = room.saturating_sub(titles).checked_div(plots).unwrap_or_default();
    (shown, height.min(TALLEST))
}

fn head(traces: &[Trace], note: Option<&str>, columns: usize) -> Vec<Piece> {
    if let Some(note) = note {
        return vec![(note.to_owned(), Paint::Warn)];
    }
    if traces.is_empty() {
        return vec![("no clock is looked at; Ctrl-C ends this".to_owned(), Paint::Warn)];
    }
    let dots = u64::try_from(columns.saturating_sub(MARGIN) * 2).unwrap_or_default();
    let wide = span(dots * u64::try_from(DOT.as_millis()).unwrap_or_default());
    vec![(format!("offset of each clock, the last {wide}; Ctrl-C ends this"), Paint::Dim)]
}

/// Name, offset, how it stands, who steers it, and how far the offset went.
pub fn title(trace: &Trace, now: u64) -> Vec<Piece> {
    let clock = &trace.clock;
    let (word, paint) = clock.state();
    let mut line = vec![
        (format!("{:<7}", clock.name), Paint::Strong),
        (format!(" {:>9}  ", clock.offset_ns.map_or_else(|| "-".to_owned(), signed)), Paint::Plain),
        (word.to_owned(), paint),
        (format!(" {}", age(now, clock.since)), Paint::Plain),
    ];
    let by = clock.steered_by.as_ref().map(|by| by.kind.clone());
    let by = [by, clock.source.clone()].into_iter().flatten().collect::<Vec<_>>().join(" ← ");
    if !by.is_empty() {
        line.push((format!("  {by}"), Paint::Plain));
    }
    if let Some(spread) = &trace.spread {
        let (least, largest) = (signed(spread.least), signed(spread.largest));
        let said = format!("  {least} to {largest}, rms {}", time(spread.rms()));
        line.push((said, Paint::Dim));
    }
    if !clock.alarms.is_empty() {
        line.push((format!("  {}", clock.alarms.join(" ")), Paint::Bad));
    } else if let Some(message) = clock.message.as_ref().filter(|_| !clock.is_synchronised()) {
        line.push((format!("  {message}"), Paint::Warn));
    }
    line
}

fn drawn(trace: &Trace, columns: usize, height: usize) -> Vec<Vec<Piece>> {
    let width = columns.saturating_sub(MARGIN);
    let first = trace.samples.len().saturating_sub(width * 2);
    let samples: Vec<_> = trace.samples.range(first..).copied().collect();
    let bound = bound(&samples);
    let top = i64::try_from(bound).unwrap_or(i64::MAX);
    let rows = plot::rows(&samples, width, height, bound);
    let last = rows.len().saturating_sub(1);
    let label = |at: usize| match at {
        0 => signed(top),
        at if at == last => signed(-top),
        _ => String::new(),
    };
    let line = |(at, row): (usize, Vec<Piece>)| {
        let mark = if at == 0 || at == last { '┤' } else { '│' };
        let margin = (format!("{:>width$}{mark}", label(at), width = MARGIN - 1), Paint::Dim);
        std::iter::once(margin).chain(row).collect()
    };
    rows.into_iter().enumerate().map(line).collect()
}

/// The line in its colours, cut where the terminal ends: what wraps moves everything below.
pub fn fitted(line: &[Piece], columns: usize) -> String {
    let (mut text, mut room) = (String::new(), columns);
    for (piece, paint) in line {
        let piece: String = plain(piece).chars().take(room).collect();
        room -= piece.chars().count();
        text += &paint.on(&piece);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::super::kept::sample;
    use super::*;
    use crate::render::paint::without;

    /// A clock that was near for a while, and one without offsets.
    fn traces() -> Vec<Trace> {
        let mut system = Trace::new(sample::system());
        for offset in [80, 40, -20, -12] {
            system.clock.offset_ns = Some(offset);
            for _ in 0..4 {
                system.sample(true);
            }
        }
        let mut hardware = Trace::new(sample::hardware());
        hardware.sample(true);
        vec![system, hardware]
    }

    fn lines(size: (usize, usize)) -> Vec<String> {
        let text = without(&frame(&traces(), None, size, 61_000));
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_frame_has_a_line_through_offsets_below_each_title() {
        assert_eq!(
            lines((70, 7)),
            [
                "offset of each clock, the last 2m; Ctrl-C ends this",
                "system     -12 ns  synchronised 1m  sfptpd ← ptp1  -20 ns to +80 ns, r",
                "  +100 ns┤                                                    ⠤⠤⡄     ",
                "         │                                                      ⠓⠒⡆   ",
                "         │┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈⠓⠒⠋⠉",
                "  -100 ns┤                                                            ",
                "ptp0            -  free-running 1m 1s  nobody steers it",
            ]
        );
    }

    #[test]
    fn a_frame_fits_every_terminal() {
        for rows in 0..40 {
            for columns in [0, 1, 9, 10, 11, 40, 80, 300] {
                let lines = lines((columns, rows));
                assert!(lines.len() <= rows, "{rows}: {lines:?}");
                let wide = lines.iter().map(|line| line.chars().count()).max();
                assert!(wide.unwrap_or_default() <= columns, "{columns}: {lines:?}");
            }
        }
    }

    #[test]
    fn what_has_no_room_is_counted() {
        let lines = lines((60, 5));
        assert_eq!(lines.len(), 5, "{lines:?}");
        assert_eq!(lines[4], "and 1 more: a taller terminal shows them");
        assert!(lines[1].starts_with("system "), "{lines:?}");
    }

    #[test]
    fn the_head_says_when_nobody_is_there() {
        let gone = frame(&traces(), Some("onloadd left the bus"), (60, 9), 0);
        assert!(without(&gone).starts_with("onloadd left the bus\n"), "{gone}");
        let none = without(&frame(&[], None, (60, 9), 0));
        assert_eq!(none, "no clock is looked at; Ctrl-C ends this");
    }

    #[test]
    fn nothing_that_a_daemon_says_steers_the_terminal() {
        let mut trace = Trace::new(sample::system());
        trace.clock.alarms = vec!["\x1b[2Jx".into()];
        trace.clock.source = Some("\u{9b}1A".into());
        let text = without(&frame(&[trace], None, (120, 9), 0));
        assert!(!text.contains(['\x1b', '\u{9b}']), "{text:?}");
    }
}

//! A line through points, of braille dots: two beside and four above each other in a character.

use crate::render::paint::Paint;

/// Dots of a character, by column and row.
const DOTS: [[u32; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
/// The character without a dot.
const BLANK: u32 = 0x2800;
/// What the line of nought is drawn with where nothing else is.
const NOUGHT: char = '┈';
/// Nothing is drawn larger than this, in nanoseconds: below, it is the reading that jumps.
const CLOSEST: u64 = 10;

/// One point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The offset, in nanoseconds; none where it is not known.
    pub offset: Option<i64>,
    /// Whether the clock counts as synchronised.
    pub good: bool,
}

/// The largest offset that a plot shows above nought and below: one, two or five and noughts, so that it
/// can be read, and seldom changes.
pub fn bound(samples: &[Sample]) -> u64 {
    let offsets = samples.iter().filter_map(|one| one.offset).map(i64::unsigned_abs);
    let largest = offsets.max().unwrap_or_default().max(CLOSEST);
    let power = 10_u64.pow(largest.ilog10());
    let steps = [1, 2, 5, 10].map(|step| power.saturating_mul(step));
    steps.into_iter().find(|step| *step >= largest).unwrap_or(u64::MAX)
}

/// Rows of text, each in pieces of one colour. The last sample is at the right edge.
pub fn rows(
    samples: &[Sample],
    columns: usize,
    rows: usize,
    bound: u64,
) -> Vec<Vec<(String, Paint)>> {
    let mut cells = vec![vec![(BLANK, Paint::Plain); columns]; rows];
    let shown = samples.len().min(columns * 2);
    let first = columns * 2 - shown;
    let mut former = None;
    for (at, sample) in (first..).zip(&samples[samples.len() - shown..]) {
        let height = sample.offset.map(|offset| level(offset, rows * 4, bound));
        if let Some(height) = height {
            // A step is drawn as one, from where the line was.
            let from = former.unwrap_or(height);
            for level in height.min(from)..=height.max(from) {
                let cell = cells.get_mut(level / 4).and_then(|row| row.get_mut(at / 2));
                if let Some((dots, paint)) = cell {
                    *dots |= DOTS[at % 2][level % 4];
                    let bad = !sample.good || *paint == Paint::Bad;
                    *paint = if bad { Paint::Bad } else { Paint::Good };
                }
            }
        }
        former = height;
    }
    let middle = level(0, rows * 4, bound) / 4;
    cells.iter().enumerate().map(|(at, row)| pieces(row, at == middle)).collect()
}

/// How far from the top an offset is, in dots.
fn level(offset: i64, dots: usize, bound: u64) -> usize {
    let (offset, bound) = (i128::from(offset), i128::from(bound.max(1)));
    let last = i128::try_from(dots.saturating_sub(1)).unwrap_or_default();
    let level = ((bound - offset) * last + bound) / (2 * bound);
    usize::try_from(level.clamp(0, last)).unwrap_or_default()
}

/// Neighbours of one colour together, since each colour costs a terminal ten characters.
fn pieces(row: &[(u32, Paint)], is_nought: bool) -> Vec<(String, Paint)> {
    let mut pieces: Vec<(String, Paint)> = Vec::new();
    for &(dots, paint) in row {
        let (letter, paint) = match dots {
            BLANK if is_nought => (NOUGHT, Paint::Dim),
            BLANK => (' ', Paint::Plain),
            dots => (char::from_u32(BLANK | dots).unwrap_or(' '), paint),
        };
        match pieces.last_mut() {
            Some((text, of)) if *of == paint => text.push(letter),
            _ => pieces.push((letter.into(), paint)),
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(offsets: &[i64]) -> Vec<Sample> {
        offsets.iter().map(|offset| Sample { offset: Some(*offset), good: true }).collect()
    }

    fn drawn(samples: &[Sample], columns: usize, height: usize) -> Vec<String> {
        let rows = rows(samples, columns, height, bound(samples));
        let text = |row: &Vec<(String, Paint)>| row.iter().map(|(text, _)| text.as_str()).collect();
        rows.iter().map(text).collect()
    }

    #[test]
    fn a_bound_is_a_round_number() {
        for (largest, wanted) in [
            (0, 10),
            (10, 10),
            (11, 20),
            (-21, 50),
            (99, 100),
            (100, 100),
            (101, 200),
            (-1_234, 2_000),
            (37_000_000_000, 50_000_000_000),
            (i64::MIN, 10_000_000_000_000_000_000),
        ] {
            assert_eq!(bound(&samples(&[largest])), wanted, "{largest}");
        }
        assert_eq!(bound(&[]), 10);
    }

    #[test]
    fn a_line_goes_where_the_offset_goes() {
        assert_eq!(drawn(&samples(&[10, 10, -10, -10]), 2, 1), ["⠉⣇"], "a step is one stroke");
        assert_eq!(drawn(&samples(&[10]), 2, 1), ["┈⠈"], "the newest is at the right edge");
        assert_eq!(drawn(&samples(&[3, 3, 10]), 1, 1), ["⠚"], "what does not fit is left out");
        assert_eq!(drawn(&[], 3, 3), ["   ", "┈┈┈", "   "], "nought is in the middle");
    }

    #[test]
    fn a_gap_is_no_line_and_what_is_not_good_is_red() {
        let at = |offset, good| Sample { offset, good };
        let gap = [at(Some(10), true), at(None, true), at(Some(-10), true), at(Some(-10), false)];
        assert_eq!(drawn(&gap, 2, 1), ["⠁⣀"], "no stroke across a gap");
        let paints: Vec<_> = rows(&gap, 2, 1, 10)[0].iter().map(|(_, paint)| *paint).collect();
        assert_eq!(paints, [Paint::Good, Paint::Bad]);
    }

    #[test]
    fn no_offset_and_no_size_is_too_much() {
        let wild = samples(&[i64::MIN, i64::MAX, 0, -1]);
        for (columns, height) in [(0, 0), (1, 1), (0, 5), (5, 0), (200, 50)] {
            let drawn = drawn(&wild, columns, height);
            assert_eq!(drawn.len(), height);
            assert!(drawn.iter().all(|row| row.chars().count() == columns), "{drawn:?}");
        }
    }
}

//! Bounds on what another program's text may take: it is shown to people and kept in the picture.

/// The longest word kept; the longest that sfptpd writes are clock and grandmaster ids, far below.
const LONGEST: usize = 128;
/// The most words of a list kept: sfptpd knows eighteen alarms and five flags.
const MOST: usize = 64;

/// A word as it may be shown: cut, control characters blanked, no white space around it.
pub(super) fn word(text: &str) -> String {
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    text.trim().chars().take(LONGEST).map(shown).collect::<String>().trim().to_owned()
}

/// The same, or none where nothing but a dash or nothing at all is written.
pub(super) fn some(text: &str) -> Option<String> {
    Some(word(text)).filter(|word| !matches!(word.as_str(), "" | "-"))
}

/// Words of a list parted by commas or white space; neither what stands for an empty list nor what
/// stands for the rest of a long one is a word.
pub(super) fn words<C: FromIterator<String>>(text: &str) -> C {
    text.split(|c: char| c == ',' || c.is_whitespace())
        .filter_map(some)
        .filter(|word| !matches!(word.as_str(), "none" | "..."))
        .take(MOST)
        .collect()
}

/// `0`/`1` and the words for them; none for anything else.
pub(super) fn flag(text: &str) -> Option<bool> {
    Some(match text.trim() {
        "1" | "yes" | "true" | "on" => true,
        "0" | "no" | "false" | "off" => false,
        _ => return None,
    })
}

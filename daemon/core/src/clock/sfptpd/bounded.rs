//! Bounds on what another program's text may take: it is shown to people and kept in the picture.

/// The longest word kept; the longest that sfptpd writes are clock and grandmaster ids, far below.
const LONGEST: usize = 128;
/// The most words of a list kept: sfptpd knows eighteen alarms and five flags.
const MOST: usize = 64;

/// A word as it may be shown: cut, without white space around it, and blanks for what cannot be seen:
/// control characters, and those that turn or hide the text beside them.
pub(super) fn word(text: &str) -> String {
    let seen = |c: char| matches!(c, '"' | '\'' | '\\') || c.escape_debug().len() == 1;
    let shown = |c: char| if seen(c) { c } else { ' ' };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_blank() {
        assert_eq!(word("\u{feff} a\u{202e}b\u{1b}[2J\t\n"), "a b [2J");
        assert_eq!(word("it's \"\u{fc}\" \\"), "it's \"\u{fc}\" \\");
        assert_eq!(words::<Vec<_>>("a, b  - none c ..."), ["a", "b", "c"]);
    }
}

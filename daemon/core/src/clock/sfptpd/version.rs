//! `version`: which release runs.

use super::bounded;

/// The version in the file, or in what `sfptpd --version` prints: the first word of digits and dots, with
/// whatever hangs on it. None where there is none.
pub fn parse(text: &str) -> Option<String> {
    let is_version = |word: &&str| {
        let word = word.trim_start_matches('v');
        word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.')
    };
    let found = text.split(|c: char| c.is_whitespace() || ",()".contains(c)).find(is_version)?;
    bounded::some(found.trim_start_matches('v'))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn the_version_is_found_among_other_words() {
        let cases = [
            ("3.9.0.1007\n", Some("3.9.0.1007")),
            ("Solarflare Enhanced PTP Daemon, version 3.9.0.1007", Some("3.9.0.1007")),
            ("sfptpd v3.10.0.1000-dev (2026)", Some("3.10.0.1000-dev")),
            ("", None),
            ("version 2026", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text).as_deref(), expected, "{text}");
        }
    }
}

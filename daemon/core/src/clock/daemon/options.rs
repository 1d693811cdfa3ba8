//! Command lines as getopt_long(3) reads them.

/// One option, as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Given<'a> {
    /// A letter, or the name of a long one without its dashes.
    pub(super) name: &'a str,
    /// What came with it; empty where nothing did.
    pub(super) value: &'a str,
}

/// What takes what, in a program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Syntax {
    /// Letters that take a value, which may be the next word.
    pub(super) values: &'static str,
    /// Letters that take one only if it follows at once.
    pub(super) attached: &'static str,
    /// Whether long options take the next word where they have no `=`.
    pub(super) long_values: bool,
}

/// Every option. What is no option is left out, as is everything behind `--`.
pub(super) fn options<'a>(syntax: Syntax, arguments: &[&'a str]) -> Vec<Given<'a>> {
    let mut given = Vec::new();
    let mut left = arguments.iter().copied();
    while let Some(word) = left.next() {
        if word == "--" {
            break;
        }
        if let Some(long) = word.strip_prefix("--") {
            let (name, value) = match long.split_once('=') {
                Some(pair) => pair,
                None if syntax.long_values => (long, left.next().unwrap_or_default()),
                None => (long, ""),
            };
            given.push(Given { name, value });
        } else if let Some(letters) = word.strip_prefix('-') {
            for (at, letter) in letters.char_indices() {
                let next = at + letter.len_utf8();
                let (name, rest) = (letters.get(at..next).unwrap_or_default(), letters.get(next..));
                let rest = rest.unwrap_or_default();
                if syntax.attached.contains(letter) {
                    given.push(Given { name, value: rest });
                    break;
                }
                if syntax.values.contains(letter) {
                    let value =
                        if rest.is_empty() { left.next().unwrap_or_default() } else { rest };
                    given.push(Given { name, value });
                    break;
                }
                given.push(Given { name, value: "" });
            }
        }
    }
    given
}

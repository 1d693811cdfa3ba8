//! Which names an interface may be given.

/// Most bytes of a name (`IFNAMSIZ` without its end).
pub const LONGEST: usize = 15;

/// Most bytes of an alternative name (the kernel's `ALTIFNAMSIZ` without its end).
pub const LONGEST_ALTERNATIVE: usize = 127;

/// Words that are no interface: two directories of `/proc/sys/net`, and the loopback.
const WORDS: [&str; 3] = ["all", "default", "lo"];

/// What the kernel and udev number names with themselves: one of theirs may be in the way, or come
/// later (reference/interface-naming.md section 1).
const NUMBERED: [&str; 13] = [
    "eth", "wlan", "wwan", "ib", "usb", "bond", "team", "dummy", "ifb", "tun", "tap", "veth",
    "rename",
];

/// What speaks against a name, whoever has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Objection {
    /// More than [`LONGEST`] bytes.
    TooLong,
    /// Not what the kernel and systemd take.
    Malformed,
    /// Means something else.
    Reserved,
}

impl Objection {
    /// In words.
    pub fn why(self) -> &'static str {
        match self {
            Self::TooLong => "a name has at most 15 bytes",
            Self::Malformed => {
                "a name has letters, digits and signs other than `/`, `:` and `%`, not only digits"
            }
            Self::Reserved => "the kernel gives such names itself, or means something else by it",
        }
    }
}

/// What speaks against a name for a port.
pub fn objection(name: &str) -> Option<Objection> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"/:%".contains(&byte);
    let malformed = name.is_empty() || [".", ".."].contains(&name) || digits(name);
    let numbered = |prefix: &&str| name.strip_prefix(*prefix).is_some_and(digits);
    if name.len() > LONGEST {
        Some(Objection::TooLong)
    } else if malformed || !name.bytes().all(plain) {
        Some(Objection::Malformed)
    } else if WORDS.contains(&name) || NUMBERED.iter().any(numbered) {
        Some(Objection::Reserved)
    } else {
        None
    }
}

/// Whether udev takes a text as one name, an alternative one among them, and as it is written in a file
/// (`ifname_valid_full` of systemd; quotes and backslashes are its parser's).
pub fn is_word(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b":/%\\\"'".contains(&byte);
    let number = name.bytes().all(|byte| byte.is_ascii_digit());
    !number
        && ![".", ".."].contains(&name)
        && name.len() <= LONGEST_ALTERNATIVE
        && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        let cases = [
            ("ens1f0np0", None),
            ("fifteen-bytes-0", None),
            ("ethos0", None),
            ("eth", None),
            ("sixteen-bytes-00", Some(Objection::TooLong)),
            ("", Some(Objection::Malformed)),
            ("..", Some(Objection::Malformed)),
            ("42", Some(Objection::Malformed)),
            ("a/b", Some(Objection::Malformed)),
            ("a:b", Some(Objection::Malformed)),
            ("a%d", Some(Objection::Malformed)),
            ("a b", Some(Objection::Malformed)),
            ("é", Some(Objection::Malformed)),
            ("eth0", Some(Objection::Reserved)),
            ("lo", Some(Objection::Reserved)),
            ("all", Some(Objection::Reserved)),
            ("default", Some(Objection::Reserved)),
            ("rename3", Some(Objection::Reserved)),
        ];
        for (name, expected) in cases {
            assert_eq!(objection(name), expected, "{name}");
        }
    }
}

//! Texts as the kernel writes them into files. Parsing only: what a byte string means, and when it
//! means nothing.

use std::str::FromStr;

use onload_core::reading::Reading;

/// One line of text: what a sysfs or procfs attribute holds. The kernel ends each with a line feed,
/// so a text without one was cut off. The line itself may be empty.
pub(super) fn line(bytes: Vec<u8>) -> Reading<String> {
    if bytes.is_empty() {
        return Reading::Unreadable("the file is empty".to_owned());
    }
    text(bytes).and_then(|mut text| {
        if text.pop() != Some('\n') {
            return Reading::Unreadable("the text ends in the middle of a line".to_owned());
        }
        Reading::Known(text)
    })
}

/// Text of any number of lines, none among them.
pub(super) fn text(bytes: Vec<u8>) -> Reading<String> {
    if bytes.contains(&0) {
        return Reading::Unreadable("the text holds a NUL byte".to_owned());
    }
    match String::from_utf8(bytes) {
        Ok(text) => Reading::Known(text),
        Err(_) => Reading::Unreadable("the text is not UTF-8".to_owned()),
    }
}

/// A module parameter: a line as a rule, but the function that prints it may leave out the line
/// feed, or print nothing.
pub(super) fn parameter(bytes: Vec<u8>) -> Reading<String> {
    text(bytes).map(|mut text| {
        if text.ends_with('\n') {
            text.pop();
        }
        text
    })
}

/// Anything that reads itself from text: numbers, checked names.
pub(super) fn value<T: FromStr>(text: String) -> Reading<T> {
    text.parse().map_or_else(|_| unexpected(&text), Reading::Known)
}

/// A 16-bit number as PCI ids are written: `0x1924`.
pub(super) fn pci_id(text: String) -> Reading<u16> {
    hexadecimal(&text, 4)
        .and_then(|number| u16::try_from(number).ok())
        .map_or_else(|| unexpected(&text), Reading::Known)
}

/// The 24-bit class of a PCI function: `0x020000`.
pub(super) fn pci_class(text: String) -> Reading<u32> {
    hexadecimal(&text, 6).map_or_else(|| unexpected(&text), Reading::Known)
}

/// A NUMA node; the kernel writes -1 where the firmware names none.
pub(super) fn numa_node(text: String) -> Reading<u32> {
    if text == "-1" { Reading::Absent } else { value(text) }
}

/// A reference count; negative while the module is on its way in or out.
pub(super) fn refcount(text: String) -> Reading<u32> {
    value::<i64>(text).and_then(|count| u32::try_from(count).ok().into())
}

/// The last component of what a symbolic link points at.
pub(super) fn last_component(target: String) -> Reading<String> {
    match target.rsplit('/').next() {
        Some(last) if !last.is_empty() => Reading::Known(last.to_owned()),
        Some(_) | None => unexpected(&target),
    }
}

/// An unreadable value that shows the text, cut to what fits a message.
pub(super) fn unexpected<T>(text: &str) -> Reading<T> {
    const SHOWN: usize = 60;
    let shown: String = text.chars().take(SHOWN).collect();
    Reading::Unreadable(format!("the kernel's text `{}` is not understood", shown.escape_debug()))
}

fn hexadecimal(text: &str, digits: usize) -> Option<u32> {
    let number = text.strip_prefix("0x")?;
    let exact = number.len() == digits && number.bytes().all(|b| b.is_ascii_hexdigit());
    exact.then(|| u32::from_str_radix(number, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_whole_or_unreadable() {
        assert_eq!(line(b"sfc\n".to_vec()), Reading::Known("sfc".to_owned()));
        assert_eq!(line(b"\n".to_vec()), Reading::Known(String::new()));
        for odd in [&b""[..], b"0x19", b"a\0\n", b"\xff\xfe\n"] {
            assert!(line(odd.to_vec()).is_unreadable(), "{odd:?}");
        }
    }

    #[test]
    fn a_parameter_may_lack_its_line_feed() {
        for bytes in [&b"Y\n"[..], b"Y"] {
            assert_eq!(parameter(bytes.to_vec()), Reading::Known("Y".to_owned()));
        }
        assert_eq!(parameter(Vec::new()), Reading::Known(String::new()));
        assert!(parameter(b"a\0b\n".to_vec()).is_unreadable());
    }

    #[test]
    fn numbers_are_whole_or_unreadable() {
        assert_eq!(pci_id("0x1924".to_owned()), Reading::Known(0x1924));
        for odd in ["", "0x", "0x192", "1924", "0x19245", "0x+924", "0x192g", "0x1924 "] {
            assert!(pci_id(odd.to_owned()).is_unreadable(), "{odd}");
        }
        assert_eq!(pci_class("0x020000".to_owned()), Reading::Known(0x02_0000));
        assert_eq!(numa_node("1".to_owned()), Reading::Known(1));
        assert_eq!(numa_node("-1".to_owned()), Reading::Absent);
        assert!(numa_node(String::new()).is_unreadable());
        assert_eq!(refcount("-2".to_owned()), Reading::Absent);
        assert_eq!(refcount("4".to_owned()), Reading::Known(4));
        assert!(refcount("4 4".to_owned()).is_unreadable());
    }

    #[test]
    fn a_message_never_carries_a_page_of_kernel_text() {
        let Reading::Unreadable(why) = pci_id("\u{1b}[31m".repeat(4096)) else {
            panic!("that is no number")
        };
        assert!(why.len() < 700 && !why.contains('\u{1b}'), "{why}");
    }

    #[test]
    fn a_link_names_its_last_component() {
        let driver = last_component("../../../bus/pci/drivers/sfc".to_owned());
        assert_eq!(driver, Reading::Known("sfc".to_owned()));
        assert!(last_component("drivers/".to_owned()).is_unreadable());
        assert!(last_component(String::new()).is_unreadable());
    }
}

//! What names may be: of the object, of a pool, of units and of files on a node.

use crate::ended::Complaint;
use crate::image::Image;
use crate::render::paint::plain;

use super::refuse;

/// Longest name of a Kubernetes object, and of a label's value (DNS subdomain, RFC 1123 label).
const LONGEST_OBJECT: usize = 253;
const LONGEST_ROLE: usize = 63;
/// Longest name of a unit in systemd, its ending included (systemd.unit(5)).
const LONGEST_UNIT: usize = 255;
/// Longest path, and part of one, in Linux.
const LONGEST_PATH: usize = 4095;
const LONGEST_PART: usize = 255;
/// Kinds of units that may be written (systemd.unit(5)); not those that systemd makes itself.
const KINDS: [&str; 7] = ["service", "socket", "target", "timer", "path", "mount", "automount"];
/// Where a node of OpenShift can be written; everything else is the OS image's. `/run` is gone at the
/// next boot, and Ignition runs before it is there.
const WRITABLE: [&str; 4] = ["/etc/", "/var/", "/usr/local/", "/opt/"];

/// The name of a pool of nodes, which is a label's value.
pub fn check_role(role: &str) -> Result<(), Complaint> {
    let good = is_label(role) && role.len() <= LONGEST_ROLE;
    let why = || format!("{} is no name of a pool of nodes", plain(role));
    let fix = "use up to 63 lower-case letters, digits and dashes, such as worker or master";
    good.then_some(()).ok_or_else(|| refuse(why(), fix))
}

/// The name of an object.
pub fn check_object(name: &str) -> Result<(), Complaint> {
    let good = name.split('.').all(is_label) && name.len() <= LONGEST_OBJECT;
    let why = || format!("{} is no name of a Kubernetes object", plain(name));
    let fix = "use up to 253 lower-case letters, digits, dashes and dots: --name 99-worker-onloadd";
    good.then_some(()).ok_or_else(|| refuse(why(), fix))
}

fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// The name of a unit.
pub fn check_unit(name: &str) -> Result<(), Complaint> {
    let shown = || plain(&name.chars().take(60).collect::<String>());
    if name.len() > LONGEST_UNIT {
        let why = format!(
            "the unit {}… has a name of {} bytes, and systemd takes {LONGEST_UNIT}",
            shown(),
            name.len()
        );
        return Err(refuse(why, "shorten the name"));
    }
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
    let known = name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty());
    if !known.is_some_and(|(_, kind)| KINDS.contains(&kind)) || !name.bytes().all(letters) {
        let why = format!("{} is no name of a unit", shown());
        let fix = "use letters, digits and :-_.@ and an ending such as .service";
        return Err(refuse(why, fix));
    }
    Ok(())
}

/// Where a file lies on a node.
pub fn check_path(path: &str) -> Result<(), Complaint> {
    let shown = plain(path);
    let parts: Vec<_> = path.split('/').skip(1).collect();
    let plain_parts = parts.iter().all(|part| !matches!(*part, "" | "." | ".."));
    let short = path.len() <= LONGEST_PATH && parts.iter().all(|part| part.len() <= LONGEST_PART);
    if !path.starts_with('/') || !plain_parts || !short || path.chars().any(char::is_control) {
        let why = format!("{shown} is no path of a file on a node");
        return Err(refuse(why, "write it from / on, without . and .., such as /etc/x.conf"));
    }
    if !WRITABLE.iter().any(|start| path.starts_with(start)) {
        let why = format!(
            "{shown} is the OS image's: nodes can write below {} only",
            WRITABLE.join(", ")
        );
        return Err(refuse(why, "choose a place there, or put the file into the OS image"));
    }
    Ok(())
}

/// Words of the kernel's command line.
pub fn check_arguments(all: &[String]) -> Result<(), Complaint> {
    for (place, word) in all.iter().enumerate() {
        let shown = plain(word);
        // Quotes are the kernel's own; white space outside of them would make two words of one.
        if word.is_empty() || word.chars().any(|c| c.is_whitespace() || c.is_control()) {
            let why = format!("`{shown}` is not one word of the kernel's command line");
            return Err(refuse(
                why,
                "give each word by an option of its own: --kernel-argument WORD",
            ));
        }
        if all.iter().take(place).any(|earlier| earlier == word) {
            let why = format!("{shown} is given twice for the kernel's command line");
            return Err(refuse(why, "give it once"));
        }
    }
    Ok(())
}

/// A reference to an image, such as registry.example/onload:9.1.0: it also stands in units and scripts. Short
/// names are no such thing there: which registry they mean is each node's own matter.
pub fn check_image(reference: &str) -> Result<(), Complaint> {
    let refused = |why: &str| {
        let why = format!("{} is no reference to an image: {why}", plain(reference));
        let fix = "name registry, repository and tag or digest: registry.example/onload:9.1.0";
        Err(refuse(why, fix))
    };
    match reference.parse::<Image>() {
        Ok(image) if image.registry().is_some() => Ok(()),
        Ok(_) => refused("it names no registry"),
        Err(why) => refused(&why),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed test is what a panic is for.

    use super::*;

    #[test]
    fn names_that_hold_and_names_that_do_not() {
        let long = "a".repeat(64);
        let digest = format!("r.example:5000/a/b@sha256:{}", "0a".repeat(32));
        type Check = fn(&str) -> Result<(), Complaint>;
        let cases: [(Check, &[&str], &[&str]); 5] = [
            (check_role, &["worker", "w-1"], &["", "Worker", "-w", "w-", "a.b", &long, "a b"]),
            (check_object, &["99-worker-onloadd", "a.b"], &["", "a_b", "a..b", ".a", "A"]),
            (
                check_unit,
                &["a.service", "a@b.timer", "a\\x2db.mount"],
                &["", "a", ".service", "a.slice", "a b.service", "a/b.service", "x.device"],
            ),
            (
                check_path,
                &["/etc/a", "/usr/local/bin/x", "/var/lib/x/y"],
                &[
                    "",
                    "etc/a",
                    "/etc/",
                    "/etc//a",
                    "/etc/../a",
                    "/usr/bin/x",
                    "/run/x",
                    "/etc/a\nb",
                ],
            ),
            (
                check_image,
                &["r.example/onload:9", "localhost/a", &digest],
                &["onload", "a b/c", "/x/y", "-a/b", "a.b/c;d", "a.b/c@sha256:00", "a/b", "a.b/C"],
            ),
        ];
        for (check, good, wrong) in cases {
            for name in good {
                assert_eq!(check(name), Ok(()), "{name}");
            }
            for name in wrong {
                let complaint = check(name).unwrap_err();
                assert!(!complaint.why.is_empty() && !complaint.fix.is_empty(), "{name}");
            }
        }
    }

    #[test]
    fn a_unit_whose_name_is_too_long_is_told_so() {
        let name = |length: usize| format!("{}.service", "u".repeat(length - ".service".len()));
        assert_eq!(check_unit(&name(255)), Ok(()));
        let complaint = check_unit(&name(256)).unwrap_err();
        assert!(complaint.why.contains("256 bytes") && complaint.fix.contains("shorten"));
    }

    #[test]
    fn a_word_of_the_command_line_is_one_word() {
        let check = |words: &[&str]| {
            check_arguments(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(check(&["iommu=pt", "a=\"b\""]), Ok(()));
        for wrong in [&["a b"][..], &[""], &["a", "a"]] {
            assert!(check(wrong).is_err(), "{wrong:?}");
        }
    }
}

//! Whether a program that is run with Onload's library gets a stack.

use std::collections::BTreeMap;

use super::Check;
use crate::inventory::LIBRARY;
use crate::reading::Reading;

/// What descriptors of accelerated sockets are called (reference/onload-modules.md section 11).
const ONLOAD_FILE: &str = "onload:[";

/// A library as a process has it mapped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapped {
    /// Its path, as the process sees it.
    pub path: String,
    /// Whether another file has taken that path since, or none.
    pub deleted: bool,
}

/// What was seen of a child that has sockets open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Child {
    /// Its process id.
    pub pid: u32,
    /// The library it was started with.
    pub library: String,
    /// That library in it.
    pub mapped: Reading<Mapped>,
    /// What its descriptors are.
    pub descriptors: Reading<Vec<String>>,
    /// Process ids by stack.
    pub stacks: Reading<BTreeMap<u32, u32>>,
    /// Whether it did not end when it was asked to, and was killed.
    pub killed: bool,
}

/// Reads `/proc/driver/onload/stacks`: a line for each, `ID: PID UID` and counters
/// (reference/onload-modules.md section 10). None for what does not read so.
pub fn parse(text: &str) -> Option<BTreeMap<u32, u32>> {
    let line = |line: &str| {
        let (id, rest) = line.split_once(':')?;
        Some((id.trim().parse().ok()?, rest.split_whitespace().next()?.parse().ok()?))
    };
    text.lines().map(line).collect()
}

/// What a line of `/proc/PID/maps` says is mapped: ADDRESS PERMISSIONS OFFSET DEVICE INODE NAME, with spaces
/// before the name (proc_pid_maps(5)).
pub fn mapping(line: &str) -> Option<&str> {
    Some(line.trim_end().splitn(6, ' ').nth(5)?.trim_start())
}

/// Onload's library among the mappings of a process, by the text of `/proc/PID/maps`.
pub fn mapped(maps: &str) -> Option<Mapped> {
    maps.lines().find_map(|line| {
        let name = mapping(line)?;
        let (path, deleted) = match name.strip_suffix(" (deleted)") {
            Some(path) => (path, true),
            None => (name, false),
        };
        path.rsplit('/').next().filter(|file| file.starts_with(LIBRARY))?;
        Some(Mapped { path: path.to_owned(), deleted })
    })
}

/// Judges it.
pub fn judge(child: &Child) -> Check {
    let Child { pid, library, .. } = child;
    let check = |looked: String| Check::new("stack", "a program gets a stack", looked);
    let looked = format!("a child, pid {pid}, with {library}");
    match &child.mapped {
        Reading::Unreadable(why) => return check(looked).skip(why),
        Reading::Absent => {
            return check(looked).fail(
                "LD_PRELOAD names the library, and the child has not mapped it",
                format!("`LD_PRELOAD={library} true` prints what the loader says against it"),
            );
        }
        Reading::Known(_) => {}
    }
    let stack = child.stacks.known().and_then(|all| all.iter().find(|(_, owner)| *owner == pid));
    let socket = child.descriptors.known().and_then(|all| {
        // A stack alone is no socket, but nobody has one without the library at work.
        all.iter().find(|one| one.starts_with(ONLOAD_FILE))
    });
    let unread = child.stacks.why_not().or(child.descriptors.why_not());
    match (stack, socket, unread) {
        _ if child.killed => check(looked).fail(
            "it did not end once its input was closed, and was killed",
            "`dmesg` says what Onload has to say; `onloadctl run -- cat` shows it by hand",
        ),
        (Some((id, _)), ..) => check(format!("{looked}, has stack {id}")),
        // What was not read lacks nobody.
        (None, socket, Some(why)) => check(match socket {
            Some(socket) => format!("{looked}, has {socket}"),
            None => looked,
        })
        .skip(why),
        (None, Some(socket), None) => check(format!("{looked}, has {socket}")).warn(
            "its socket is Onload's, and the list of stacks does not name the child",
            "see /proc/driver/onload/stacks; in a container of its own process ids that is to be expected",
        ),
        (None, None, None) => check(looked).fail(
            "its sockets are the kernel's own: it runs unaccelerated",
            "`dmesg` says why, most often that no interface is up (`onloadctl ports`)",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict::{Fail, Pass, Skip, Warn};
    use super::*;

    #[test]
    fn stacks_are_read_with_their_owners() {
        let two = "0: 191 0 95 188 0 1\n12: 0 0 1 2\n";
        assert_eq!(parse(two), Some(BTreeMap::from([(0, 191), (12, 0)])));
        assert_eq!(parse(""), Some(BTreeMap::new()));
        for wrong in ["what is this", "0:", "0: x", ": 1", "x: 1", "-1: 2"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_library_is_found_by_its_name_wherever_it_lies() {
        let line = |name: &str| format!("7f00-7f01 r-xp 00000000 fd:01 1234    {name}\n");
        let found = |path: &str, deleted| Some(Mapped { path: path.to_owned(), deleted });
        let cases = [
            (
                line("/opt/onload/usr/lib64/libonload.so"),
                found("/opt/onload/usr/lib64/libonload.so", false),
            ),
            (line("/usr/lib64/libonload.so.9 (deleted)"), found("/usr/lib64/libonload.so.9", true)),
            (line("/usr/lib64/libc.so.6"), None),
            (line("/libonload.so/other"), None),
            ("7f00-7f01 rw-p 00000000 00:00 0\n".to_owned(), None),
            (String::new(), None),
        ];
        for (maps, expected) in cases {
            assert_eq!(mapped(&maps), expected, "{maps}");
        }
    }

    #[test]
    fn a_stack_is_proof_and_a_plain_socket_is_none() {
        let child = Child {
            pid: 191,
            library: "/usr/lib64/libonload.so".to_owned(),
            mapped: Reading::Known(Mapped::default()),
            descriptors: Reading::Known(vec!["socket:[77]".to_owned()]),
            stacks: Reading::Known(BTreeMap::from([(3, 190)])),
            killed: false,
        };
        let with = |spoil: &dyn Fn(&mut Child)| {
            let mut child = child.clone();
            spoil(&mut child);
            judge(&child)
        };
        let own = with(&|child| child.stacks = Reading::Known(BTreeMap::from([(4, 191)])));
        assert_eq!(own.verdict, Pass);
        assert!(own.looked.ends_with("has stack 4"), "{own:?}");
        let socket = vec!["onload:[udp:4:1]".to_owned()];
        let socket = with(&|child| child.descriptors = Reading::Known(socket.clone()));
        assert_eq!(socket.verdict, Warn);
        let others = with(&|_| {});
        assert!(others.verdict == Fail && others.why.unwrap().contains("unaccelerated"));
        let refused = with(&|child| child.mapped = Reading::Absent);
        assert!(refused.verdict == Fail && refused.fix.unwrap().contains("LD_PRELOAD="));
        let hidden = with(&|child| child.mapped = Reading::Unreadable("EACCES".to_owned()));
        assert_eq!(hidden.verdict, Skip);
        let unread = with(&|child| child.stacks = Reading::Unreadable("EIO".to_owned()));
        assert_eq!((unread.verdict, unread.why.as_deref()), (Skip, Some("EIO")));
        let unread = with(&|child| child.descriptors = Reading::Unreadable("EIO".to_owned()));
        assert_eq!((unread.verdict, unread.why.as_deref()), (Skip, Some("EIO")));
        let stuck = with(&|child| {
            (child.stacks, child.killed) = (Reading::Known(BTreeMap::from([(4, 191)])), true);
        });
        assert!(stuck.verdict == Fail && stuck.why.unwrap().contains("was killed"));
    }
}

//! What the host tells modprobe: the files of `modprobe.d(5)` that count, in their order.

use std::collections::BTreeMap;

use onload_core::reading::Reading;

use super::root::Dir;

/// Of two files with a name that of the earlier directory counts, whatever is in it.
pub(super) const DIRECTORIES: [&str; 5] = [
    "etc/modprobe.d",
    "run/modprobe.d",
    "usr/local/lib/modprobe.d",
    "usr/lib/modprobe.d",
    "lib/modprobe.d",
];
const SUFFIX: &str = ".conf";
/// A hundred times the longest of distributions, a list of what is not loaded by itself.
const FILE_BYTES: usize = 1 << 20;
/// Links to it mask a file.
const NOWHERE: &str = "/dev/null";

/// Path and text of each file, with the lines joined that a backslash continues.
pub(super) fn files(root: &Dir) -> Reading<Vec<(String, String)>> {
    let mut paths = BTreeMap::new();
    for directory in DIRECTORIES {
        match root.list(directory) {
            Reading::Known(entries) => {
                for name in entries.into_keys().filter(|name| name.ends_with(SUFFIX)) {
                    let path = format!("{directory}/{name}");
                    paths.entry(name).or_insert(path);
                }
            }
            Reading::Absent => {}
            Reading::Unreadable(why) => return Reading::Unreadable(format!("/{directory}: {why}")),
        }
    }
    let mut files = Vec::new();
    // By name, whichever directory they are in.
    for path in paths.into_values() {
        match root.read(&path, FILE_BYTES) {
            // modprobe does not mind bytes; what is looked for is ASCII.
            Reading::Known(bytes) => {
                let text = String::from_utf8_lossy(&bytes).replace("\\\n", "");
                files.push((path, text));
            }
            // A dangling link has nothing.
            Reading::Absent => {}
            Reading::Unreadable(_) if root.link(&path).known().is_some_and(|to| to == NOWHERE) => {}
            Reading::Unreadable(why) => return Reading::Unreadable(format!("/{path}: {why}")),
        }
    }
    Reading::Known(files)
}

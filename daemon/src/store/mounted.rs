//! Whether a directory is mounted anywhere, as a container has what it is given: told by the tables
//! of mounts of all processes (proc_pid_mountinfo(5)).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A directory as every namespace sees it: its file system, and its path on that.
#[derive(Debug)]
pub(super) struct Place {
    device: String,
    path: PathBuf,
}

/// One mount.
struct Mount<'a> {
    device: &'a str,
    root: PathBuf,
    point: PathBuf,
}

impl Place {
    /// The place of a directory; none where the table does not tell.
    pub(super) fn of(at: &Path, processes: &Path) -> io::Result<Option<Self>> {
        let table = match fs::read_to_string(processes.join("self/mountinfo")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            table => table?,
        };
        let at = fs::canonicalize(at)?;
        // Of several over one another, the last counts.
        let over = table.lines().filter_map(mount).filter(|mount| at.starts_with(&mount.point));
        let nearest = over.max_by_key(|mount| mount.point.as_os_str().len());
        Ok(nearest.and_then(|mount| {
            let below = at.strip_prefix(&mount.point).ok()?;
            Some(Self { device: mount.device.to_owned(), path: mount.root.join(below) })
        }))
    }

    /// Whether a table has it mounted, or part of it.
    pub(super) fn is_in(&self, table: &str) -> bool {
        let is_ours =
            |mount: Mount<'_>| mount.device == self.device && mount.root.starts_with(&self.path);
        table.lines().filter_map(mount).any(is_ours)
    }
}

/// `id parent major:minor root point …`.
fn mount(line: &str) -> Option<Mount<'_>> {
    let mut fields = line.split(' ').skip(2);
    let (device, root, point) = (fields.next()?, fields.next()?, fields.next()?);
    Some(Mount { device, root: plain(root), point: plain(point) })
}

/// A path without the kernel's escapes (`\040` for a blank).
fn plain(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if *first == b'\\' => {
                bytes.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            Some(_) | None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    PathBuf::from(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot set up must fail")]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_place_is_told_by_file_system_and_path_on_it() {
        let place = Place { device: "8:2".to_owned(), path: PathBuf::from("/lib/onloadd/a b") };
        let cases = [
            ("itself", "9 1 8:2 /lib/onloadd/a\\040b /opt rw - ext4 x rw", true),
            ("a part", "9 1 8:2 /lib/onloadd/a\\040b/lib64 /opt rw - ext4 x rw", true),
            ("what is above", "9 1 8:2 /lib/onloadd /opt rw - ext4 x rw", false),
            (
                "a name that begins alike",
                "9 1 8:2 /lib/onloadd/a\\040bc /opt rw - ext4 x rw",
                false,
            ),
            ("another file system", "9 1 8:3 /lib/onloadd/a\\040b /opt rw - ext4 x rw", false),
            ("half a line", "9 1 8:2", false),
        ];
        for (why, table, expected) in cases {
            assert_eq!(place.is_in(table), expected, "{why}");
        }
    }

    #[test]
    fn the_place_of_a_directory_is_found_through_the_nearest_mount() {
        let proc = tempfile::tempdir().unwrap();
        let at = tempfile::tempdir().unwrap();
        let at = fs::canonicalize(at.path()).unwrap();
        fs::create_dir_all(proc.path().join("self")).unwrap();
        assert!(Place::of(&at, proc.path()).unwrap().is_none(), "no table");
        let above = at.parent().unwrap().display();
        let table = format!("1 0 8:1 / / rw - ext4 x rw\n2 1 8:2 /sub {above} rw - ext4 x rw\n");
        fs::write(proc.path().join("self/mountinfo"), table).unwrap();
        let place = Place::of(&at, proc.path()).unwrap().unwrap();
        assert_eq!(place.device, "8:2");
        assert_eq!(place.path, Path::new("/sub").join(at.file_name().unwrap()));
    }
}

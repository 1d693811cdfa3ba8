//! Whether the running system can write the firmware's variables. The sandbox of the daemon's own
//! unit shows efivarfs read-only whatever it is, so the first process's table of mounts is asked;
//! that is long on a node with many containers, and not read again while all is well.

use onload_core::reading::Reading;
use onload_core::secure_boot::trust::RunTime;

use super::super::attribute;
use super::super::root::{Dir, Node};
use super::variables::EFIVARFS;

/// The table of mounts outside of every sandbox (proc_pid_mountinfo(5)).
const MOUNTS: &str = "proc/1/mountinfo";
/// A node with ten thousand mounts of 300 bytes.
const MOUNTS_BYTES: usize = 4 << 20;
const COMMAND_LINE: &str = "proc/cmdline";
/// The kernel takes 2 KiB on x86-64, and up to 64 KiB elsewhere.
const COMMAND_LINE_BYTES: usize = 64 << 10;

/// What was read of the mounts.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    /// The directory of efivarfs when it could be written.
    writable: Option<Node>,
}

/// How efivarfs is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mounted {
    Writable,
    ReadOnly,
    Not,
}

impl Mounts {
    /// Where there is EFI. `shown` is whether efivarfs shows variables.
    pub(super) fn run_time(&mut self, root: &Dir, shown: bool) -> Reading<RunTime> {
        if !shown && turned_off(root) {
            return Reading::Known(RunTime::NoRunTime);
        }
        self.mounted(root).and_then(|mounted| match (shown, mounted) {
            (true, Mounted::Writable) => Reading::Known(RunTime::Writable),
            (true, Mounted::ReadOnly) | (false, Mounted::Not) => Reading::Known(RunTime::ReadOnly),
            (false, Mounted::Writable | Mounted::ReadOnly) => Reading::Known(RunTime::NoRunTime),
            (true, Mounted::Not) => {
                Reading::Unreadable(format!("/{MOUNTS} does not show how efivarfs is mounted"))
            }
        })
    }

    fn mounted(&mut self, root: &Dir) -> Reading<Mounted> {
        let directory = root.unrecorded().node(EFIVARFS).into_known();
        // Its content may come and go.
        let directory = directory.map(|node| Node { size: 0, modified: (0, 0), ..node });
        if directory.is_some() && self.writable == directory {
            return Reading::Known(Mounted::Writable);
        }
        self.writable = None;
        let mounted = mounted(root);
        if mounted == Reading::Known(Mounted::Writable) {
            self.writable = directory;
        }
        mounted
    }
}

/// Of several mounts at one place the last is seen.
fn mounted(root: &Dir) -> Reading<Mounted> {
    let (mut line, mut kept) = (Vec::new(), Vec::new());
    let mut found = Mounted::Not;
    let read = root.unrecorded().read_by(MOUNTS, MOUNTS_BYTES, |piece| {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                if let Some(mounted) = one_mount(&line) {
                    found = mounted;
                    kept.extend_from_slice(&line);
                }
                line.clear();
            }
        }
    });
    root.keep(MOUNTS, &read.clone().map(|()| kept));
    match read {
        Reading::Known(()) => Reading::Known(found),
        Reading::Absent => Reading::Unreadable(format!("/{MOUNTS} is not there")),
        Reading::Unreadable(why) => Reading::Unreadable(format!("/{MOUNTS}: {why}")),
    }
}

/// What a line says of efivarfs: both the mount and the file system may be read-only.
fn one_mount(line: &[u8]) -> Option<Mounted> {
    let line = str::from_utf8(line).ok()?.trim_end();
    let (mount, of) = line.split_once(" - ")?;
    let mut mount = mount.split(' ').skip(4);
    let (place, options) = (mount.next()?, mount.next()?);
    if place.strip_prefix('/')? != EFIVARFS {
        return None;
    }
    let mut of = of.split(' ');
    if of.next()? != "efivarfs" {
        return Some(Mounted::Not);
    }
    let read_only = |options: &str| options.split(',').any(|option| option == "ro");
    let read_only = read_only(options) || of.nth(1).is_some_and(read_only);
    Some(if read_only { Mounted::ReadOnly } else { Mounted::Writable })
}

/// Whether the kernel was told not to call the firmware, or is one for real time that was not told
/// to (`CONFIG_EFI_DISABLE_RUNTIME`).
fn turned_off(root: &Dir) -> bool {
    let line = root.read(COMMAND_LINE, COMMAND_LINE_BYTES).and_then(attribute::text);
    let words = line.known().map_or("", String::as_str).split_ascii_whitespace();
    let mut off = root.line("sys/kernel/realtime").known().is_some_and(|line| line == "1");
    for word in words {
        for option in word.strip_prefix("efi=").unwrap_or_default().split(',') {
            match option {
                "noruntime" => off = true,
                "runtime" => off = false,
                _ => {}
            }
        }
        if word == "noefi" {
            return true;
        }
    }
    off
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::super::root::tests::root_with;
    use super::*;

    const OTHER: &str = "22 1 0:20 / /sys rw shared:7 - sysfs sysfs rw\n";

    fn table(options: &str, kind: &str, file_system: &str) -> String {
        format!(
            "{OTHER}29 22 0:25 / /sys/firmware/efi/efivars {options},nosuid shared:12 \
             - {kind} efivarfs {file_system}\n{OTHER}"
        )
    }

    #[test]
    fn how_variables_can_be_written() {
        let read_only = Reading::Known(RunTime::ReadOnly);
        let none = Reading::Known(RunTime::NoRunTime);
        let gap = |why: &str| Reading::Unreadable(why.to_owned());
        let writable = table("rw", "efivarfs", "rw");
        for (shown, command_line, table, expected) in [
            (true, "quiet", Some(writable.clone()), Reading::Known(RunTime::Writable)),
            (true, "", Some(table("ro", "efivarfs", "rw")), read_only.clone()),
            (true, "", Some(table("rw", "efivarfs", "ro,x")), read_only.clone()),
            (true, "", Some(writable.clone() + &table("ro", "efivarfs", "rw")), read_only.clone()),
            (
                true,
                "",
                Some(OTHER.to_owned()),
                gap("/proc/1/mountinfo does not show how efivarfs is mounted"),
            ),
            (true, "", None, gap("/proc/1/mountinfo is not there")),
            (false, "quiet efi=debug,noruntime", None, none.clone()),
            (false, "noefi", None, none.clone()),
            (false, "efi=noruntime efi=runtime", Some(OTHER.to_owned()), read_only.clone()),
            (false, "xefi=noruntime", Some(OTHER.to_owned()), read_only.clone()),
            (false, "", Some(table("rw", "tmpfs", "rw")), read_only),
            (false, "", Some(writable), none.clone()),
            (false, "", Some(table("rw", "efivarfs", "ro")), none),
        ] {
            let line = format!("{command_line}\n");
            let (place, root) = root_with(&[(COMMAND_LINE, &line), ("sys/firmware/efi/x", "")]);
            if let Some(table) = &table {
                fs::create_dir_all(place.path().join("proc/1")).unwrap();
                fs::write(place.path().join(MOUNTS), table).unwrap();
            }
            let found = Mounts::default().run_time(&root, shown);
            assert_eq!(found, expected, "{shown} {command_line} {table:?}");
        }
    }

    #[test]
    fn a_kernel_for_real_time_calls_no_firmware_unless_told() {
        let files = [("sys/kernel/realtime", "1\n"), (COMMAND_LINE, "\n"), (MOUNTS, OTHER)];
        let (place, root) = root_with(&files);
        let mut mounts = Mounts::default();
        assert_eq!(mounts.run_time(&root, false), Reading::Known(RunTime::NoRunTime));
        fs::write(place.path().join(COMMAND_LINE), "efi=runtime\n").unwrap();
        assert_eq!(mounts.run_time(&root, false), Reading::Known(RunTime::ReadOnly));
    }

    #[test]
    fn the_table_is_read_again_until_variables_can_be_written() {
        let read_only = table("ro", "efivarfs", "rw");
        let (place, root) = root_with(&[(MOUNTS, &read_only), ("sys/firmware/efi/efivars/x", "")]);
        let mut mounts = Mounts::default();
        assert_eq!(mounts.run_time(&root, true), Reading::Known(RunTime::ReadOnly));
        fs::write(place.path().join(MOUNTS), table("rw", "efivarfs", "rw")).unwrap();
        assert_eq!(mounts.run_time(&root, true), Reading::Known(RunTime::Writable));
        fs::write(place.path().join(MOUNTS), OTHER).unwrap();
        assert_eq!(mounts.run_time(&root, true), Reading::Known(RunTime::Writable));
        let efivarfs = place.path().join(EFIVARFS);
        fs::rename(&efivarfs, place.path().join("old")).unwrap();
        fs::create_dir(&efivarfs).unwrap();
        assert!(mounts.run_time(&root, true).is_unreadable(), "another directory");
    }
}

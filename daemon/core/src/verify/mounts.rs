//! Where a process has its files from: what somebody else answers for may never be answered.

/// Types of file systems on which a lookup or a read waits for a program or another machine, and for ever
/// where that does not answer (the `fuse` ones also as `fuse.NAME`).
const OTHERS: [&str; 18] = [
    "9p", "afs", "autofs", "beegfs", "ceph", "cifs", "coda", "fuse", "fuseblk", "gfs2", "gpfs",
    "lustre", "nfs", "nfs4", "ocfs2", "orangefs", "smb3", "virtiofs",
];

/// Why a path is not looked at, in the mounts of a process (`/proc/PID/mountinfo`, proc_pid_mountinfo(5)):
/// a mount on the way is one that may not answer. Nothing is asked of it to find that.
pub fn waits(mountinfo: &str, path: &str) -> Option<String> {
    let on_the_way = |point: &str| {
        let below = path.strip_prefix(point.trim_end_matches('/'));
        below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let mounts = mountinfo.lines().filter_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let (point, kind) = (place.split(' ').nth(4)?, kind.split(' ').next()?);
        Some((plain(point), kind))
    });
    // The deepest holds it; of two at one place the later lies above.
    let holder = mounts.filter(|(point, _)| on_the_way(point)).max_by_key(|(point, _)| point.len());
    let (point, kind) = holder?;
    let family = kind.split_once('.').map_or(kind, |(family, _)| family);
    OTHERS.contains(&family).then(|| {
        format!(
            "it lies on {kind} ({point}), which may never answer and is not asked; see by hand, or have it on a file \
             system of this machine"
        )
    })
}

/// A place as it is: blanks and their like stand in the list as three octal digits.
fn plain(point: &str) -> String {
    let mut rest = point;
    let mut plain = String::new();
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        let digits = after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        plain.push(digits.map_or('\\', char::from));
        rest = if digits.is_some() { after.get(3..).unwrap_or_default() } else { after };
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_another_is_told_by_the_mount_that_holds_it() {
        let mounts = "\
            800 700 0:55 / / rw,relatime master:1 - overlay overlay rw\n\
            801 800 0:56 / /opt rw - fuse.sshfs ann@host:/ rw\n\
            802 801 253:0 /x /opt/onload ro shared:7 master:2 - xfs /dev/mapper/root rw\n\
            803 800 0:57 / /mnt/a\\040b rw - nfs4 server:/x rw\n\
            804 800 0:58 / /twice rw - nfs server:/x rw\n\
            805 804 0:59 / /twice rw - tmpfs tmpfs rw\n\
            broken\n";
        for (path, kind) in [
            ("/usr/lib64/libonload.so", None),
            ("/opt/onload/libonload.so", None),
            ("/opt/libonload.so", Some("fuse.sshfs (/opt)")),
            ("/opt", Some("fuse.sshfs")),
            ("/optical/libonload.so", None),
            ("/mnt/a b/libonload.so", Some("nfs4 (/mnt/a b)")),
            ("/twice/x", None),
        ] {
            let why = waits(mounts, path);
            assert_eq!(why.is_some(), kind.is_some(), "{path}: {why:?}");
            assert!(why.unwrap_or_default().contains(kind.unwrap_or_default()), "{path}");
        }
        let rootless = "1 0 0:5 / / rw - fuse.fuse-overlayfs fuse-overlayfs rw\n";
        assert!(waits(rootless, "/usr/lib64/libonload.so").is_some());
        assert_eq!(waits("", "/usr/lib64/libonload.so"), None);
        assert_eq!(plain("/a\\"), "/a\\");
        assert_eq!(plain("/a\\\\134"), "/a\\\\");
    }
}

//! A directory as a source, walked by descriptors: whoever may write there cannot lead the walk
//! out of it.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{Mode, SFlag, fstatat};
use onload_core::refusal::Refusal;

use super::budget::{Budget, Counted};
use super::collect::Collector;
use super::tarball::{self, Bits, Member, MemberKind};
use super::{fault, image, place};

/// Hands every file that may be of a release to the collector.
pub(super) fn walk(top: OwnedFd, collector: &mut Collector<'_>) -> Result<(), Refusal> {
    // A descriptor may be for the path only, or its position be anywhere.
    let top = openat(&top, c".", DIRECTORY, Mode::empty()).map_err(|errno| unread("", errno))?;
    // Archives lie about in many directories; in one that is an image they are layers.
    let listed = |list| fstatat(&top, list, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok();
    let is_image = image::LISTS.into_iter().any(listed);
    let mut waiting = vec![(String::new(), top)];
    while let Some((path, directory)) = waiting.pop() {
        let mut names = Vec::new();
        let mut entries = Dir::from_fd(directory).map_err(|errno| unread(&path, errno))?;
        for entry in entries.iter() {
            let entry = entry.map_err(|errno| unread(&path, errno))?;
            let name = entry.file_name();
            if name != c"." && name != c".." {
                collector.budget.member()?;
                names.push(name.to_owned());
            }
        }
        // The same order on every machine.
        names.sort();
        for name in names {
            let mut full = path.clone().into_bytes();
            full.extend(if path.is_empty() { None } else { Some(b'/') });
            full.extend_from_slice(name.to_bytes());
            let Some(full) = tarball::clean(&full)? else { continue };
            if let Some(directory) = visit(&entries, &name, &full, is_image, collector)? {
                waiting.push((full, directory));
            }
        }
    }
    Ok(())
}

const DIRECTORY: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);
/// Without waiting, should the file turn out to be a fifo.
const FILE: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_NONBLOCK).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// One entry. Returns the directory, where it is one that may hold files of a release.
fn visit(
    parent: &Dir,
    name: &CStr,
    path: &str,
    is_image: bool,
    collector: &mut Collector<'_>,
) -> Result<Option<OwnedFd>, Refusal> {
    let refuse = |errno: Errno| unread(path, errno);
    let stat = fstatat(parent.as_fd(), name, AtFlags::AT_SYMLINK_NOFOLLOW).map_err(refuse)?;
    let kind = SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits());
    if kind == SFlag::S_IFDIR {
        let wanted = place::may_hold(path) || (is_image && image::may_hold_layers(path));
        let open = || openat(parent.as_fd(), name, DIRECTORY, Mode::empty()).map_err(refuse);
        return wanted.then(open).transpose();
    }
    let part = is_image && (image::may_be_layer(path) || image::may_be_list(path));
    let wanted = part || place::of(path).is_some();
    if !wanted {
        collector.collected.skipped += 1;
        return Ok(None);
    }
    let kind = match kind {
        SFlag::S_IFREG => MemberKind::File(Bits::of(stat.st_mode)),
        SFlag::S_IFLNK => {
            let target = readlinkat(parent.as_fd(), name).map_err(refuse)?;
            let Ok(target) = target.into_string() else {
                return Err(fault::forbidden(path, "is a link to a name that is not UTF-8"));
            };
            MemberKind::Symlink(target)
        }
        SFlag::S_IFIFO => MemberKind::Special("a fifo"),
        SFlag::S_IFSOCK => MemberKind::Special("a socket"),
        _ => MemberKind::Special("a device"),
    };
    let mut reader: Box<dyn Read> = Box::new(io::empty());
    let budget: &Budget = collector.budget;
    if matches!(kind, MemberKind::File(_)) {
        let file = openat(parent.as_fd(), name, FILE, Mode::empty()).map_err(refuse)?;
        reader = Box::new(Counted { reader: File::from(file), budget });
    }
    collector.take(Member { path: path.to_owned(), kind }, &mut reader)?;
    Ok(None)
}

fn unread(path: &str, errno: Errno) -> Refusal {
    let path = if path.is_empty() { "the directory" } else { path };
    if errno == Errno::EACCES || errno == Errno::EPERM {
        return fault::unfit(
            format!("{} is not for onloadd to read: {}", fault::shown(path), errno.desc()),
            "make it readable for root's daemon, or hand over an archive (`tar c DIR | …`)",
        );
    }
    fault::broken(path, &errno.desc())
}

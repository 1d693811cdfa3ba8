//! Why variables are not written: which one, in words, and what to do. Says nothing of what they
//! hold.

use std::io;
use std::path::Path;

use nix::errno::Errno;
use onload_core::refusal::{Refusal, RefusalKind};

use super::undo::Fault;
use super::{INPUT_BYTES, NOT_WRITTEN};

/// Where there is no way to write: the firmware's own screens need no running system.
const OTHER_WAY: &str =
    "enrol the key from the firmware's setup or from MokManager (`Enroll key from disk`)";

/// What is to be written is nothing that may be.
pub(super) fn unfit(why: String) -> Refusal {
    let fix = "order it with onloadctl, of the same version as onloadd";
    Refusal::new(RefusalKind::InvalidArgument, NOT_WRITTEN, why, fix)
}

/// What is to be written is more than is taken.
pub(super) fn too_much() -> Refusal {
    let why = format!("what is to be written takes more than {} KiB", INPUT_BYTES >> 10);
    let fix =
        "ask for fewer keys at a time; see what is asked for already (`onloadctl keys status`)";
    Refusal::new(RefusalKind::LimitExceeded, NOT_WRITTEN, why, fix)
}

/// There is no place with variables.
pub(super) fn closed(place: &Path, error: &io::Error) -> Refusal {
    let place = place.display();
    match Errno::from_raw(error.raw_os_error().unwrap_or_default()) {
        Errno::ENOENT | Errno::ENOTDIR => Refusal::new(
            RefusalKind::Unsupported,
            NOT_WRITTEN,
            format!("the firmware's variables are not shown in {place}"),
            format!(
                "mount them (`mount -t efivarfs efivarfs {place}`); with `efi=noruntime`, as real-time \
                 kernels have it, or without UEFI there are none: then {OTHER_WAY}"
            ),
        ),
        errno => {
            let (kind, fix) = remedy(errno);
            let why = format!("{place} cannot be opened: {}", words(error));
            Refusal::new(kind, NOT_WRITTEN, why, fix)
        }
    }
}

/// One variable is not as wanted; `left` is what could not be put back as it was.
pub(super) fn unwritten(name: &str, fault: &Fault, left: &[(&str, Fault)]) -> Refusal {
    let why = format!("{name} {}", describe(fault));
    let (kind, fix) = match fault {
        Fault::Read(error) | Fault::Write(error) | Fault::Delete(error) => {
            remedy(Errno::from_raw(error.raw_os_error().unwrap_or_default()))
        }
        Fault::Differs => remedy(Errno::EIO),
    };
    if left.is_empty() {
        return Refusal::new(kind, NOT_WRITTEN, why, fix);
    }
    let left: Vec<_> =
        left.iter().map(|(name, fault)| format!("{name} {}", describe(fault))).collect();
    Refusal::new(
        kind,
        "a request to shim was written in part",
        format!("{why}; and what stood there before was not put back: {}", left.join("; ")),
        format!(
            "see what shim would be asked now (`onloadctl keys status`) and take it back before the next \
             boot (`onloadctl keys revoke-request`); {fix}"
        ),
    )
}

fn describe(fault: &Fault) -> String {
    match fault {
        Fault::Read(error) => format!("cannot be read: {}", words(error)),
        Fault::Write(error) => format!("was not written: {}", words(error)),
        Fault::Delete(error) => format!("was not deleted: {}", words(error)),
        Fault::Differs => "holds something else than was written".to_owned(),
    }
}

/// Without the number that the library adds.
fn words(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(errno) => Errno::from_raw(errno).desc().to_owned(),
        None => error.to_string(),
    }
}

/// What the answers of efivarfs mean (`reference/secure-boot-mok.md` section 10).
fn remedy(errno: Errno) -> (RefusalKind, String) {
    match errno {
        Errno::ENOSPC => (
            RefusalKind::Blocked,
            "the firmware has no room left: remove crash dumps (`dump-*` in efivars) and keys that \
             nobody needs (`mokutil --list-enrolled`, `mokutil --delete`), then ask again; it is never \
             filled to its end, since some machines do not start any more then"
                .to_owned(),
        ),
        Errno::EROFS => (
            RefusalKind::Unsupported,
            format!(
                "mount efivarfs to be written (`mount -o remount,rw /sys/firmware/efi/efivars`); where \
                 that is refused, firmware or kernel (`efi=noruntime`) let nothing be asked from the \
                 running system: then {OTHER_WAY}"
            ),
        ),
        Errno::EPERM | Errno::EACCES => (
            RefusalKind::Blocked,
            "see that nothing forbids it: a security module (`ausearch -m avc`), a container, or the \
             variable's flag (`lsattr`), which takes CAP_LINUX_IMMUTABLE to clear"
                .to_owned(),
        ),
        _ => (
            RefusalKind::Blocked,
            format!(
                "the firmware refuses it: see the kernel's log (`journalctl -k`), restart the machine and \
                 ask once more; where that does not help, update the firmware, or {OTHER_WAY}"
            ),
        ),
    }
}

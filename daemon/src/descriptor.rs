//! What cannot be asked for without `unsafe`: descriptors that tell when they can be read, because
//! the runtime cannot check that one stays open while it is registered (an [`OwnedFd`] that we own
//! does), and the kernel's keys, for which no library has a call that is sound.

use std::io;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::libc;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Registers a descriptor for reading with the runtime.
///
/// # Errors
/// The kernel's answer; regular files, for one, cannot be waited for.
pub fn readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd is open, always gives the same descriptor, and closes it only when
    // dropped; the AsyncFd owns it and hands out nothing but shared borrows.
    #[allow(
        unsafe_code,
        reason = "the safe constructors are deprecated as unsound for other types"
    )]
    let registered = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
    registered.map_err(|error| error.into_parts().1)
}

/// What a key is asked (keyctl(2)); the numbers are those of `linux/keyctl.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyQuestion {
    /// Type, owner, permissions and description (KEYCTL_DESCRIBE), with a NUL at the end.
    Describe,
    /// What it holds; of a ring the numbers of its keys (KEYCTL_READ).
    Read,
}

/// Asks the kernel about a key by its number. What it answers is written to the beginning of `into`.
/// Gives how many bytes the answer has: if that is more than there is room, what was written is of
/// no use.
///
/// # Errors
/// The kernel's answer: there is no such key, it has been revoked, or it is not for us.
pub fn ask_key(question: KeyQuestion, serial: u32, into: &mut [u8]) -> Result<usize, Errno> {
    let operation: libc::c_ulong = match question {
        KeyQuestion::Describe => 6,
        KeyQuestion::Read => 11,
    };
    // SAFETY: both operations write at most as many bytes as they are told there is room for, behind
    // a pointer to as many that nobody else can see meanwhile, and keep neither.
    #[allow(unsafe_code, reason = "the call has no wrapper in the libraries that are used")]
    let answer = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            operation,
            libc::c_ulong::from(serial),
            into.as_mut_ptr(),
            into.len(),
        )
    };
    Errno::result(answer).map(|length| usize::try_from(length).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_only_counted() {
        // Our own session's ring, by the number that every process may use for it.
        let session = -3_i32 as u32;
        let ask = |room: &mut [u8]| ask_key(KeyQuestion::Describe, session, room);
        let mut room = [0; 4096];
        let length = match ask(&mut room) {
            Ok(length) => length,
            Err(errno) => return println!("skipped: keyctl: {errno}"),
        };
        assert!(room.starts_with(b"keyring;") && room[..length].ends_with(b"\0"), "{length}");
        let mut little = [1; 4];
        assert_eq!(ask(&mut little), Ok(length));
        assert_eq!(little, [1; 4]);
        let held = ask_key(KeyQuestion::Read, session, &mut room);
        assert!(held.is_ok_and(|length| length % 4 == 0), "numbers of keys: {held:?}");
        let gone = ask_key(KeyQuestion::Read, 0, &mut room);
        assert!(gone.is_err(), "no key has that number");
    }
}

//! Descriptors that tell when they can be read: with `unsafe`, because the runtime
//! cannot check that a descriptor stays open while it is registered. An [`OwnedFd`] that we own
//! does.

use std::io;
use std::os::fd::OwnedFd;

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

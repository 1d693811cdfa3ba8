//! What cannot be asked for without `unsafe`: descriptors that tell when they can be read, because
//! the runtime cannot check that one stays open while it is registered (an [`OwnedFd`] that we own
//! does), the kernel's keys and what it says of clocks, for which no library has a call that is sound.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use onload_core::clock::kernel::KernelClock;
use onload_core::clock::offset::Between;
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

/// What the kernel says of the system clock. Nothing is changed (adjtimex(2), `modes` 0).
///
/// # Errors
/// The kernel's answer: a filter of system calls, for one.
pub fn system_clock() -> Result<KernelClock, Errno> {
    // SAFETY: zero is a value of each of its members, all of which are numbers.
    #[allow(unsafe_code, reason = "the type has no value of its own")]
    let mut numbers: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the call writes one such structure, which nobody else can see meanwhile, and keeps none.
    // Called by its number, because the library's function of that name makes another call.
    #[allow(unsafe_code, reason = "the call has no wrapper in the libraries that are used")]
    let answer = unsafe { libc::syscall(libc::SYS_adjtimex, &raw mut numbers) };
    Errno::result(answer)?;
    Ok(KernelClock::of(
        numbers.status,
        numbers.freq,
        numbers.esterror,
        numbers.maxerror,
        numbers.tai,
    ))
}

/// Readings of a hardware clock that one question brings: each may wait for the card.
const READINGS: usize = 5;
/// Room that the kernel's structures have for them (`linux/ptp_clock.h`, `PTP_MAX_SAMPLES`).
const ROOM: usize = 25;

/// `struct ptp_clock_time`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct ClockTime {
    seconds: i64,
    nanoseconds: u32,
    reserved: u32,
}

/// `struct ptp_sys_offset_precise`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Precise {
    device: ClockTime,
    system: ClockTime,
    raw: ClockTime,
    reserved: [u32; 4],
}

/// `struct ptp_sys_offset_extended`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Extended {
    samples: u32,
    reserved: [u32; 3],
    times: [[ClockTime; 3]; ROOM],
}

/// `struct ptp_sys_offset`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Plain {
    samples: u32,
    reserved: [u32; 3],
    times: [ClockTime; 2 * ROOM + 1],
}

impl ClockTime {
    fn ns(self) -> i64 {
        self.seconds.saturating_mul(1_000_000_000).saturating_add(self.nanoseconds.into())
    }
}

/// Reads a hardware clock together with the system clock, in the best way that its driver has:
/// PTP_SYS_OFFSET_PRECISE, _EXTENDED, or PTP_SYS_OFFSET. None of them changes anything.
///
/// # Errors
/// The kernel's answer: it is no such clock, or it has gone.
pub fn read_clock(clock: BorrowedFd<'_>) -> Result<Vec<Between>, Errno> {
    const READ: u32 = 2;
    const WRITE: u32 = 1;
    let samples = u32::try_from(READINGS).unwrap_or(1);

    let mut precise = Precise::default();
    match ask_clock(clock, READ | WRITE, 8, &mut precise) {
        Ok(()) => {
            let system = precise.system.ns();
            let clock_ns = precise.device.ns();
            return Ok(vec![Between { before_ns: system, clock_ns, after_ns: system }]);
        }
        Err(errno) if is_unknown(errno) => {}
        Err(errno) => return Err(errno),
    }
    let times = [[ClockTime::default(); 3]; ROOM];
    let mut extended = Extended { samples, reserved: [0; 3], times };
    match ask_clock(clock, READ | WRITE, 9, &mut extended) {
        Ok(()) => {
            let times = extended.times.iter().take(READINGS);
            return Ok(times
                .map(|[before, clock, after]| Between {
                    before_ns: before.ns(),
                    clock_ns: clock.ns(),
                    after_ns: after.ns(),
                })
                .collect());
        }
        Err(errno) if is_unknown(errno) => {}
        Err(errno) => return Err(errno),
    }
    let times = [ClockTime::default(); 2 * ROOM + 1];
    let mut plain = Plain { samples, reserved: [0; 3], times };
    ask_clock(clock, WRITE, 5, &mut plain)?;
    // The system clock, the clock, the system clock, the clock, …
    let windows = plain.times.windows(3).step_by(2).take(READINGS);
    Ok(windows
        .filter_map(|window| match window {
            [before, clock, after] => {
                Some(Between { before_ns: before.ns(), clock_ns: clock.ns(), after_ns: after.ns() })
            }
            _ => None,
        })
        .collect())
}

/// How drivers and kernels say that they do not have a way of reading.
fn is_unknown(errno: Errno) -> bool {
    matches!(errno, Errno::EOPNOTSUPP | Errno::ENOTTY | Errno::EINVAL | Errno::ENOSYS)
}

/// One question to a hardware clock; `number` is that of `linux/ptp_clock.h`, the direction as it has it.
fn ask_clock<T: Copy>(
    clock: BorrowedFd<'_>,
    direction: u32,
    number: u32,
    structure: &mut T,
) -> Result<(), Errno> {
    const KIND: u32 = b'=' as u32;
    let size = u32::try_from(size_of::<T>()).map_err(|_| Errno::EINVAL)?;
    let request = direction << 30 | size << 16 | KIND << 8 | number;
    // SAFETY: the request says how large the structure is, which is how much the kernel reads and writes; nobody
    // else can see it meanwhile, any bytes make a value of it, and the descriptor is open while it is borrowed.
    #[allow(unsafe_code, reason = "the call has no wrapper in the libraries that are used")]
    let answer = unsafe {
        libc::ioctl(clock.as_raw_fd(), libc::Ioctl::from(request), std::ptr::from_mut(structure))
    };
    Errno::result(answer).map(drop)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot set up must fail")]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn the_structures_are_as_large_as_the_kernels() {
        // The sizes are part of the requests' numbers: linux/ptp_clock.h, as strace prints them.
        assert_eq!(size_of::<Precise>(), 0x40);
        assert_eq!(size_of::<Extended>(), 0x4c0);
        assert_eq!(size_of::<Plain>(), 0x340);
    }

    #[test]
    fn what_is_no_clock_says_so() {
        let null = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(read_clock(null.as_fd()), Err(Errno::ENOTTY));
    }

    #[test]
    fn the_system_clock_tells_of_itself_and_is_left_as_it_is() {
        let (one, other) = match (system_clock(), system_clock()) {
            (Ok(one), Ok(other)) => (one, other),
            (Err(errno), _) | (_, Err(errno)) => return println!("skipped: adjtimex: {errno}"),
        };
        assert_eq!((one.leap, one.tai_offset), (other.leap, other.tai_offset));
        assert!(one.maximum_error_ns <= other.maximum_error_ns || !other.unsynchronised);
    }

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

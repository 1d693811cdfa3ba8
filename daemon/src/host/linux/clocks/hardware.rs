//! PTP hardware clocks: what sysfs lists, and how far each is ahead of the system clock.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use onload_core::clock::HardwareClock;
use onload_core::clock::offset::{Ahead, narrowest};
use onload_core::reading::Reading;

use super::Machine;
use crate::descriptor;

/// Where the kernel lists them.
const CLASS: &str = "sys/class/ptp";
/// A clock is read within microseconds, or within milliseconds where the card's firmware does it; one
/// that takes this long has a card that does not answer.
const LIMIT: Duration = Duration::from_millis(500);
/// Clocks that were asked and have not answered, a bit for each.
static ASKED: AtomicU64 = AtomicU64::new(0);

/// Every clock; only if `steered` are they read as well. Nobody steers one while no such program runs, and a
/// question may have to wait for the card.
pub(super) async fn read(machine: &Machine<'_>, steered: bool) -> BTreeMap<u32, HardwareClock> {
    let mut clocks = BTreeMap::new();
    for name in machine.root.list(CLASS).into_known().into_iter().flatten().map(|(name, _)| name) {
        let Some(index) = index(&name) else { continue };
        let driver_name = machine.root.line(&format!("{CLASS}/{name}/clock_name"));
        let ahead = if steered { ahead(machine, index).await } else { Reading::Absent };
        let clock = HardwareClock {
            name: driver_name,
            ahead_ns: ahead.as_ref().map(|ahead| ahead.ns),
            window_ns: ahead.map(|ahead| ahead.window_ns),
            ..HardwareClock::default()
        };
        clocks.insert(index, clock);
    }
    clocks
}

/// The index of a clock by the name of its device.
pub(super) fn index(name: &str) -> Option<u32> {
    name.strip_prefix("ptp")?.parse().ok()
}

/// A capture has it as `NANOSECONDS WINDOW`.
async fn ahead(machine: &Machine<'_>, index: u32) -> Reading<Ahead> {
    let asked = async {
        // Beside the loop: a card that does not answer would stop it, and is not asked again while it does
        // not, or all threads would wait for it.
        let bit = 1_u64 << (index % u64::BITS);
        if ASKED.fetch_or(bit, Ordering::Relaxed) & bit != 0 {
            return Reading::Unreadable(format!(
                "/dev/ptp{index} has not answered since it was asked"
            ));
        }
        let read = tokio::task::spawn_blocking(move || {
            let read = ask(index);
            ASKED.fetch_and(!bit, Ordering::Relaxed);
            read
        });
        match tokio::time::timeout(LIMIT, read).await {
            Ok(Ok(read)) => read.map(|ahead| format!("{} {}", ahead.ns, ahead.window_ns).into()),
            Ok(Err(error)) => Reading::Unreadable(error.to_string()),
            Err(_) => Reading::Unreadable(format!(
                "/dev/ptp{index} did not answer within {} ms: look for its card in the kernel's log",
                LIMIT.as_millis()
            )),
        }
    };
    machine.ask(&format!("ptp{index}"), asked).await.and_then(|bytes| parse(&bytes))
}

fn parse(bytes: &[u8]) -> Reading<Ahead> {
    let numbers = std::str::from_utf8(bytes).ok().and_then(|text| text.split_once(' '));
    let ahead = numbers.and_then(|(ns, window_ns)| {
        Some(Ahead { ns: ns.parse().ok()?, window_ns: window_ns.parse().ok()? })
    });
    ahead.map_or_else(
        || Reading::Unreadable("the capture does not have two numbers of it".to_owned()),
        Reading::Known,
    )
}

/// Never opened for writing: that would be leave to set it.
fn ask(index: u32) -> Reading<Ahead> {
    let path = format!("/dev/ptp{index}");
    let read = File::open(&path)
        .map_err(|error| error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw));
    match read.and_then(|clock| descriptor::read_clock(clock.as_fd())) {
        Ok(readings) => narrowest(&readings).map_or_else(
            || Reading::Unreadable(format!("{path}: the system clock went back meanwhile")),
            Reading::Known,
        ),
        // It went with its driver.
        Err(Errno::ENOENT | Errno::ENODEV | Errno::ENXIO) => Reading::Absent,
        Err(Errno::EPERM) => Reading::Unreadable(format!(
            "{path}: it came after the daemon started, whose unit then knew no such devices; \
             `systemctl restart onloadd` lets it be read"
        )),
        Err(errno) => Reading::Unreadable(format!("{path}: {}", errno.desc())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capture_has_two_numbers() {
        assert_eq!(parse(b"-5 7"), Reading::Known(Ahead { ns: -5, window_ns: 7 }));
        for odd in [&b""[..], b"5", b"5 -7", b"\xff 1"] {
            assert!(parse(odd).is_unreadable(), "{odd:?}");
        }
    }

    #[test]
    fn one_that_is_not_there_is_absent() {
        assert_eq!(ask(u32::MAX), Reading::Absent);
    }
}

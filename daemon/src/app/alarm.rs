//! When the loop wakes though nothing happened.
//!
//! Not a timer of the runtime, for two reasons. Its wheel wakes once for each of its levels, three times
//! for half a minute, and what idles counts its wake-ups. And it stands still while the machine sleeps:
//! a lease that ended meanwhile would go on by as much.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use onload_core::time::Moment;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;

use crate::descriptor::readable;

/// Unset once it has rung.
const ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// One alarm clock on CLOCK_BOOTTIME.
#[derive(Debug)]
pub(super) struct Alarm {
    timer: AsyncFd<OwnedFd>,
    set_for: Option<Moment>,
}

impl Alarm {
    /// One that is not set. Within a runtime only.
    ///
    /// # Errors
    /// The system's, timerfd_create(2).
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Boottime, flags)?;
        Ok(Self { timer: readable(timer)?, set_for: None })
    }

    /// Sets it for a moment, in place of the former. One that is over rings at once, though not before
    /// what is ready already had its turn; so it is set only when it changes, and callers that never pause
    /// cannot put it off.
    ///
    /// # Errors
    /// The system's, timerfd_settime(2).
    pub(super) fn set(&mut self, moment: Moment) -> io::Result<()> {
        if self.set_for == Some(moment) {
            return Ok(());
        }
        // Zero would unset it.
        let at = Timespec::try_from(Duration::from_millis(moment.0.max(1)));
        let at = Itimerspec { it_interval: ONCE, it_value: at.map_err(io::Error::other)? };
        timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::ABSTIME, &at)?;
        self.set_for = Some(moment);
        Ok(())
    }

    /// Resolves when the moment has come, once. May be dropped before.
    ///
    /// # Errors
    /// The system's.
    pub(super) async fn rung(&mut self) -> io::Result<()> {
        loop {
            let mut ready = self.timer.readable().await?;
            let mut times = [0; size_of::<u64>()];
            if let Ok(read) = ready.try_io(|timer| Ok(rustix::io::read(timer, &mut times)?)) {
                self.set_for = None;
                return read.map(drop);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops where it broke")]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::clock;

    const SOON: Duration = Duration::from_millis(30);
    const PATIENCE: Duration = Duration::from_secs(20);

    fn now() -> Moment {
        clock::now().boot
    }

    #[tokio::test]
    async fn it_rings_once_and_not_before_its_moment() {
        let mut alarm = Alarm::new().unwrap();
        let at = now() + SOON;
        alarm.set(at).unwrap();
        timeout(PATIENCE, alarm.rung()).await.unwrap().unwrap();
        assert!(now() >= at, "to wake too soon is to wake twice");
        assert!(timeout(SOON, alarm.rung()).await.is_err(), "it rang already");
        alarm.set(at).unwrap();
        timeout(PATIENCE, alarm.rung()).await.expect("the same moment again").unwrap();
    }

    #[tokio::test]
    async fn what_is_over_rings_at_once_and_what_is_put_off_does_not() {
        let mut alarm = Alarm::new().unwrap();
        for over in [Moment(0), Moment(1), now()] {
            alarm.set(over).unwrap();
            timeout(PATIENCE, alarm.rung()).await.expect("it is over").unwrap();
        }
        alarm.set(now()).unwrap();
        alarm.set(Moment(u64::MAX)).expect("the end of time is one");
        assert!(timeout(SOON, alarm.rung()).await.is_err(), "put off before it was heard");
    }
}

//! What systemd hears of us, without which all of it does nothing, and what we hear of it.

use std::io;
use std::time::Duration;

use onload_core::picture::NodeState;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};

/// The daemon serves.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The daemon is about to end.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// One line for `systemctl status`.
pub fn status(state: NodeState, summary: &str) {
    tell(&[NotifyState::Status(&format!("{state}: {summary}"))]);
}

/// The loop is alive.
pub fn feed_watchdog() {
    tell(&[NotifyState::Watchdog]);
}

/// How often to feed the watchdog: twice in its time, as sd_watchdog_enabled(3) advises.
pub fn watchdog_period() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2).filter(|period| !period.is_zero())
}

/// Resolves when somebody asks us to end, or hangs up. From the call on it is heard.
///
/// # Errors
/// The system's.
pub fn stopped() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut quit = signal(SignalKind::quit())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
            _ = quit.recv() => {}
        }
    })
}

/// A service manager that does not listen is its own affair.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "service manager not told");
    }
}

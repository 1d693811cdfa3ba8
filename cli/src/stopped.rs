//! Being asked to stop.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Resolves when somebody wants this to end: an interrupt, or what ends a program. From the call on it is heard.
pub fn stopped() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let ended = ended()?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            () = ended => {}
        }
    })
}

/// Resolves when somebody wants this to end, where an interrupt is meant for something else. From the call
/// on it is heard.
pub fn ended() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut quit = signal(SignalKind::quit())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
            _ = quit.recv() => {}
        }
    })
}

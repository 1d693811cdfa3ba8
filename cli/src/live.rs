//! A page once, or again at every change.

use std::time::Duration;

use tokio_stream::StreamExt as _;

use crate::bus::{Bus, Signal};
use crate::ended::{Complaint, Ended};
use crate::render::{Output, Page};

/// How long changes are gathered before a page is read anew: they come in groups, and faster than
/// people read.
const GATHER: Duration = Duration::from_millis(50);

/// How long after a call that failed the bus may take to say that its receiver left.
const FAREWELL: Duration = Duration::from_secs(1);

/// How often the ages on a page are written anew. Nothing is asked for that.
const AGES: Duration = Duration::from_secs(30);

/// Shows a page; with `watch`, until Ctrl-C and whenever it has changed.
pub async fn show<P: Page>(
    bus: &Bus,
    output: Output,
    watch: bool,
    read: impl AsyncFn(&Bus) -> Result<P, Ended>,
) -> Result<P, Ended> {
    if !watch {
        let page = read(bus).await?;
        output.page(&page)?;
        return Ok(page);
    }
    // Listening comes first: a change during the first look is then seen.
    let mut signals = bus.signals().await?;
    let mut page = read(bus).await?;
    output.live(&page)?;
    let stopped = tokio::signal::ctrl_c();
    tokio::pin!(stopped);
    loop {
        let signal = tokio::select! {
            _ = &mut stopped => return Ok(page),
            () = tokio::time::sleep(AGES), if output.has_ages() => {
                output.live(&page)?;
                continue;
            }
            signal = signals.next() => signal,
        };
        let mut there = gather(signal, &mut signals).await?;
        let next = loop {
            if !there {
                output.note("onloadd left the bus; waiting for it")?;
                tokio::select! {
                    _ = &mut stopped => return Ok(page),
                    back = returned(&mut signals) => back?,
                }
            }
            match read(bus).await {
                Ok(next) => break next,
                // It changed something and left before we could look: the bus says so just now.
                Err(ended) => match tokio::time::timeout(FAREWELL, departed(&mut signals)).await {
                    Ok(gone) => gone?,
                    Err(_) => return Err(ended),
                },
            }
            there = false;
        };
        if next != page {
            page = next;
            output.live(&page)?;
        }
    }
}

/// Takes what comes with a signal; whether onloadd is still there.
async fn gather(
    first: Option<Result<Signal, Ended>>,
    signals: &mut (impl tokio_stream::Stream<Item = Result<Signal, Ended>> + Unpin),
) -> Result<bool, Ended> {
    let mut there = true;
    let mut next = first;
    let end = tokio::time::Instant::now() + GATHER;
    loop {
        match next.transpose()? {
            Some(Signal::Daemon(now)) => there = now,
            Some(Signal::Changed(..) | Signal::Appeared(..) | Signal::Gone(..)) => {}
            None => return Ok(there),
        }
        match tokio::time::timeout_at(end, signals.next()).await {
            Ok(more) => next = more,
            Err(_) => return Ok(there),
        }
    }
}

/// Resolves when onloadd is on the bus again.
async fn returned(
    signals: &mut (impl tokio_stream::Stream<Item = Result<Signal, Ended>> + Unpin),
) -> Result<(), Ended> {
    heard(signals, &Signal::Daemon(true)).await
}

/// Resolves when onloadd leaves the bus.
async fn departed(
    signals: &mut (impl tokio_stream::Stream<Item = Result<Signal, Ended>> + Unpin),
) -> Result<(), Ended> {
    heard(signals, &Signal::Daemon(false)).await
}

async fn heard(
    signals: &mut (impl tokio_stream::Stream<Item = Result<Signal, Ended>> + Unpin),
    wanted: &Signal,
) -> Result<(), Ended> {
    while let Some(signal) = signals.next().await {
        if signal? == *wanted {
            return Ok(());
        }
    }
    Err(Complaint::unreachable("the bus went away").into())
}

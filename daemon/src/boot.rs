//! `onloadd --boot`: the modules before the network, on the first boot and after a kernel update.
//!
//! The same loop as the daemon's, without bus and kubelet, for as long as it takes and no longer. It
//! never fails: what did not come up is a condition in the ledger, and the node boots with the driver
//! that it has.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use onload_core::change::{Origin, Outcome, Past};
use onload_core::outlook::Outlook;
use onload_core::picture::{NodeState, Picture};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::app::App;
use crate::host::Host;
use crate::ledger_file::LedgerFile;
use crate::letterbox::{Letterbox, Notice};
use crate::logging;
use crate::settings_dir::{Secrets, Sources};

/// How long the network may wait for the right driver. A swap takes some two seconds; a card that
/// resets its firmware, tens (reference/onload-measured.md section 1).
pub const LIMIT: Duration = Duration::from_secs(60);
/// What the way back then has: as many steps as the way there, and ten seconds to see the driver at
/// work. units/onloadd-boot.service allows for both times.
pub const WAY_BACK: Duration = Duration::from_secs(25);
/// How long what may pass by itself is waited for: udev opens each new clock to name it, and then
/// looks like somebody who uses it.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pace of looks meanwhile: nothing tells of a file that was closed.
const PACE: Duration = Duration::from_millis(500);

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Settled,
    /// The time was over.
    Late,
}

/// Brings the node to what is wanted, as far as that goes within `limit`. Says in one line of the
/// log what came of it.
pub async fn run<H: Host>(host: H, sources: Sources, state: PathBuf, limit: Duration) {
    let ledger = match LedgerFile::open(&state) {
        Ok(ledger) => ledger,
        Err(error) => return leave(&format!("{error}, which sees to the modules itself")),
    };
    let (letterbox, pictures, posts) = Letterbox::new();
    let sources = Sources { secrets: Secrets::Left, ..sources };
    let app = App::new(host, sources, ledger, pictures, posts);
    let end = tokio::select! {
        ended = app.run() => {
            let why = ended.err().map(|error| error.to_string());
            return leave(why.as_deref().unwrap_or("it was told to stop"));
        }
        end = wait(&letterbox, limit) => end,
    };
    report(&letterbox.picture(), end, limit);
}

/// Nothing was done, or nothing more.
fn leave(why: &str) {
    tracing::warn!(message_id = logging::BOOT, "the modules are left as they are: {why}");
}

/// Waits for the end of it, at most so long, and turns back what is under way then.
async fn wait(letterbox: &Letterbox, limit: Duration) -> End {
    if timeout(limit, settled(letterbox)).await.is_ok() {
        return End::Settled;
    }
    let why = format!("it was not done within the {} s that a boot waits", limit.as_secs());
    letterbox.notify(Notice::TurnBack { why });
    let is_over = |picture: &Arc<Picture>| {
        picture.change.as_ref().is_none_or(|change| change.confirm_by.is_some())
    };
    // What does not end in that time goes on under the daemon: the ledger knows how far it is.
    let _ = timeout(WAY_BACK, letterbox.watch().wait_for(is_over)).await;
    End::Late
}

/// Resolves when nothing more will come of it.
async fn settled(letterbox: &Letterbox) {
    let mut pictures = letterbox.watch();
    loop {
        let outlook = Outlook::of(&pictures.borrow_and_update());
        match outlook {
            Outlook::Settled => return,
            Outlook::GoesOn => {
                if pictures.changed().await.is_err() {
                    return;
                }
            }
            Outlook::MayPass => {
                if timeout(PATIENCE, passes(letterbox, &mut pictures)).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Looks again and again, until what may pass has passed.
async fn passes(letterbox: &Letterbox, pictures: &mut watch::Receiver<Arc<Picture>>) {
    // Each look is shown as being under way, and has not passed by that.
    let passed =
        |picture: &Arc<Picture>| !picture.probing && Outlook::of(picture) != Outlook::MayPass;
    let passed = pictures.wait_for(passed);
    tokio::select! {
        _ = passed => {}
        () = async {
            loop {
                letterbox.notify(Notice::Changed);
                sleep(PACE).await;
            }
        } => {}
    }
}

/// One line of what happened.
fn report(picture: &Picture, end: End, limit: Duration) {
    let (state, summary) = (picture.state, &picture.summary);
    let change = this_boots(picture).map(in_words).map_or_else(String::new, |text| text + "; ");
    match (end, state) {
        (End::Late, _) => {
            let limit = limit.as_secs();
            tracing::warn!(
                message_id = logging::BOOT,
                %state,
                "{change}the boot goes on after {limit} s: {summary}"
            );
        }
        (End::Settled, NodeState::Ready | NodeState::Idle) => {
            tracing::info!(message_id = logging::BOOT, %state, "{change}{summary}");
        }
        (
            End::Settled,
            NodeState::Converging | NodeState::Blocked | NodeState::Held | NodeState::Degraded,
        ) => {
            tracing::warn!(message_id = logging::BOOT, %state, "{change}{summary}");
        }
    }
}

/// The last change that was made for this boot.
fn this_boots(picture: &Picture) -> Option<&Past> {
    let past = picture.history.last()?;
    let boot = past.change.boot.as_ref();
    let here = boot.is_some() && boot == picture.boot_id.known();
    (here && past.change.origin == Origin::Boot).then_some(past)
}

fn in_words(past: &Past) -> String {
    let to = &past.change.to;
    let from = past.change.from.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string);
    match &past.outcome {
        Outcome::Done => format!("release {to} is in the place of {from}"),
        Outcome::RolledBack => format!("back to {from} from release {to}"),
        Outcome::Failed(_) => format!("release {to} could not be brought about"),
    }
}

#[cfg(test)]
mod tests;

//! The D-Bus edge: objects that are windows on the picture and letterboxes for orders. It decides
//! nothing, reaches neither host nor ledger, and survives its bus.

mod allocation;
mod arguments;
pub mod bouncer;
pub mod caller;
mod clients;
mod clock;
mod desk;
pub mod errors;
mod files;
mod job;
mod module;
mod node;
mod objects;
mod polkit;
mod pool;
mod port;
mod release;
mod secure_boot;
mod session;
mod turn;
mod view;
mod wire;

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use zbus::connection::Builder;

use caller::{Kernel, Processes};
use session::{End, Session};

use crate::letterbox::{Letterbox, Notice};

/// The first wait before the bus is tried again: a bus that restarts is back within this.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The longest wait: a person who starts the bus again looks for the daemon after about so long.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// A bus that takes longer to let a service in is stuck.
const OPEN_WITHIN: Duration = Duration::from_secs(20);

/// Which bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// The system's.
    System,
    /// The login session's.
    Session,
    /// The one at this D-Bus address, such as `unix:path=/tmp/bus`.
    Other(String),
}

impl FromStr for Address {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "system" => Self::System,
            "session" => Self::Session,
            address => Self::Other(address.to_owned()),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "system",
            Self::Session => "session",
            Self::Other(address) => address,
        })
    }
}

impl Address {
    fn builder(&self) -> Builder<'_> {
        match self {
            Self::System => Builder::system(),
            Self::Session => Builder::session(),
            Self::Other(address) => Builder::address(address.as_str()),
        }
    }
}

/// What the edge is given besides its letterbox.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where callers are looked up.
    pub processes: Arc<dyn Processes>,
    /// Told whether the name is ours and the objects are there.
    pub serving: watch::Sender<bool>,
}

impl Default for Options {
    fn default() -> Self {
        Self { processes: Arc::new(Kernel), serving: watch::Sender::new(false) }
    }
}

/// Why the bus is not served at all.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Two daemons must not share a node.
    #[error("another onloadd runs: {name} is taken on the bus {0}", name = onload_dbus::BUS_NAME)]
    AnotherRuns(Address),
}

/// Serves the bus until the loop ends. A bus that cannot be reached, at start or later, is tried
/// again without end: the kubelet is served meanwhile.
///
/// # Errors
/// At the first connection, when another daemon has the name.
pub async fn serve(letterbox: Letterbox, address: Address) -> Result<(), ServeError> {
    serve_with(letterbox, address, Options::default()).await
}

/// [`serve`], with something to look callers up in and somebody to tell.
///
/// # Errors
/// As [`serve`].
pub async fn serve_with(
    letterbox: Letterbox,
    address: Address,
    options: Options,
) -> Result<(), ServeError> {
    let mut pictures = letterbox.watch();
    let mut wait = FIRST_WAIT;
    let mut served_before = false;
    loop {
        let opening = Session::open(address.builder(), &letterbox, &options);
        let trouble = match tokio::time::timeout(OPEN_WITHIN, opening).await {
            Ok(Ok(session)) => {
                (wait, served_before) = (FIRST_WAIT, true);
                match attend(session, &options).await {
                    Ok(End::LoopEnded) => return Ok(()),
                    ended => {
                        letterbox.notify(Notice::BusLost);
                        ended
                            .err()
                            .map_or_else(|| "the bus went away".to_owned(), |e| e.to_string())
                    }
                }
            }
            Ok(Err(zbus::Error::NameTaken)) if !served_before => {
                return Err(ServeError::AnotherRuns(address));
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the bus does not answer".to_owned(),
        };
        tracing::warn!(bus = %address, error = %trouble, retry = ?wait, "the bus is not served");
        // Only the loop's end cuts the wait short: every picture in between is caught up at once.
        let over = tokio::time::timeout(wait, async { while pictures.changed().await.is_ok() {} });
        if over.await.is_ok() {
            return Ok(());
        }
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

async fn attend(mut session: Session, options: &Options) -> zbus::Result<End> {
    options.serving.send_replace(true);
    let end = session.follow().await;
    options.serving.send_replace(false);
    session.close().await;
    end
}

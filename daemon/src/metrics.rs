//! Figures for monitoring: one page of OpenMetrics text over HTTP, on a Unix socket and, where asked
//! for, at an address.
//!
//! The page is made of the picture as it is when somebody asks, and of what was counted where it
//! happened. While nobody asks nothing is worked out and nothing wakes up; whoever asks without end,
//! or never finishes, costs a bounded part of memory and has to make way for others.

mod answer;
mod door;
mod exposition;
mod kept;
mod meters;
mod page;

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use onload_core::config::MetricsSettings;
use tokio::net::{TcpListener, UnixListener};

use crate::letterbox::Letterbox;
use crate::socket::{BindError, Socket};
use kept::Pages;

pub use meters::{Meters, Source};

/// The directory of this boot as the configuration knows it.
const REAL_RUNTIME: &str = "/run/onloadd";
/// Of the socket: there is nothing in the page that the bus does not tell everybody.
const MODE: u32 = 0o666;
/// Whom onloadd.service hears as it is shipped (`IPAddressAllow=`).
const HEARD: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Between two tries at an address that this node does not have yet: no scrape is missed for long, and two
/// calls a minute are nothing.
const ADDRESS_PACE: Duration = Duration::from_secs(30);

/// Where the page is served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// On this socket.
    pub socket: Option<PathBuf>,
    /// At this address.
    pub listen: Option<SocketAddr>,
}

impl Places {
    /// What the configuration says, with the directory of this boot in place of its usual one where this
    /// run has another. A machine that is not this one has none but that.
    pub fn of(settings: &MetricsSettings, is_here: bool, runtime: Option<&Path>) -> Self {
        let path = Some(PathBuf::from(&settings.socket)).filter(|path| path.has_root());
        let socket = path.and_then(|path| match path.strip_prefix(REAL_RUNTIME) {
            Ok(name) => runtime.map(|own| own.join(name)).or(is_here.then_some(path)),
            Err(_) => Some(path),
        });
        Self { socket, listen: settings.address() }
    }
}

/// Serves the page at both places, as far as they can be had. Goes on until dropped.
pub async fn serve(letterbox: Letterbox, places: Places) -> Infallible {
    let pages = Arc::new(Pages::of(letterbox));
    let on_socket = async {
        if let Some(path) = &places.socket {
            serve_socket(&pages, path).await;
        }
        pending::<()>().await;
    };
    let at_address = async {
        if let Some(address) = places.listen {
            serve_address(&pages, address).await;
        }
        pending::<()>().await;
    };
    tokio::join!(on_socket, at_address);
    pending().await
}

async fn serve_socket(pages: &Arc<Pages>, path: &Path) {
    match bind_socket(path).await {
        Ok((_socket, listener)) => {
            tracing::info!(socket = %path.display(), "metrics are served");
            door::attend(async || Ok(listener.accept().await?.0), pages).await;
        }
        Err(error) => tracing::error!(
            socket = %path.display(), why = %error,
            fix = "see to the path, or set another in [metrics] socket, and restart onloadd",
            "metrics are not served on their socket",
        ),
    }
}

async fn bind_socket(path: &Path) -> Result<(Socket, UnixListener), BindError> {
    let bound = Socket::bind(path).await?;
    bound.0.set_mode(MODE)?;
    Ok(bound)
}

async fn serve_address(pages: &Arc<Pages>, address: SocketAddr) {
    let bind = async || TcpListener::bind(address).await;
    let Some(listener) = bind_address(pages.letterbox(), address, ADDRESS_PACE, bind).await else {
        return;
    };
    tracing::info!(%address, "metrics are served");
    if address.ip() != HEARD {
        // What a cgroup drops shows nowhere, least of all here.
        tracing::info!(
            %address,
            "who asks from elsewhere than {HEARD} must be in IPAddressAllow= of onloadd.service",
        );
    }
    door::attend(async || Ok(listener.accept().await?.0), pages).await;
}

/// An address that this node does not have yet may come up after us. It is tried again with each picture, as
/// a look that finds a port makes another one, and at a slow pace, as not every address is a port's.
async fn bind_address<L>(
    letterbox: &Letterbox,
    address: SocketAddr,
    pace: Duration,
    mut bind: impl AsyncFnMut() -> io::Result<L>,
) -> Option<L> {
    let mut pictures = letterbox.watch();
    let mut told = false;
    loop {
        pictures.mark_unchanged();
        let error = match bind().await {
            Ok(listener) => return Some(listener),
            Err(error) => error,
        };
        if !told {
            tell_unbound(address, &error);
            told = true;
        }
        if error.kind() != io::ErrorKind::AddrNotAvailable {
            return None;
        }
        tokio::select! {
            changed = pictures.changed() => changed.ok()?,
            () = tokio::time::sleep(pace) => {}
        }
    }
}

fn tell_unbound(address: SocketAddr, error: &io::Error) {
    let fix = match error.kind() {
        io::ErrorKind::AddrNotAvailable => {
            "see [metrics] listen if this node is not to have the address; else nothing, it is waited for"
        }
        io::ErrorKind::AddrInUse => {
            "end who has the port or set another in [metrics] listen, and restart onloadd"
        }
        io::ErrorKind::PermissionDenied => {
            "set a port of 1024 or above in [metrics] listen, and restart onloadd"
        }
        _ => {
            "see whether RestrictAddressFamilies= of onloadd.service allows the kind of address, and restart it"
        }
    };
    tracing::error!(%address, why = %error, fix, "metrics are not served at their address");
}

#[cfg(test)]
// Test code: a broken assumption must stop the test where it broke.
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;

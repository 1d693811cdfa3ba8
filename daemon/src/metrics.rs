//! Figures for monitoring: one page of OpenMetrics text over HTTP, on a Unix socket and, where asked
//! for, at an address.
//!
//! The page is made of the picture as it is when somebody asks, and of what was counted where it
//! happened. While nobody asks nothing is worked out and nothing wakes up; whoever asks without end,
//! or never finishes, costs a bounded part of memory and has to make way for others.

mod answer;
mod door;
mod exposition;
mod meters;
mod page;

use std::convert::Infallible;
use std::fs::{self, Permissions};
use std::future::pending;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use onload_core::config::MetricsSettings;
use tokio::net::{TcpListener, UnixListener};

use crate::letterbox::Letterbox;
use crate::socket::{BindError, Socket};

pub use meters::{Meters, Source};

/// The directory of this boot as the configuration knows it.
const REAL_RUNTIME: &str = "/run/onloadd";
/// Of the socket: there is nothing in the page that the bus does not tell everybody.
const MODE: u32 = 0o666;
/// Whom onloadd.service hears as it is shipped (`IPAddressAllow=`).
const HEARD: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

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
    let on_socket = async {
        if let Some(path) = &places.socket {
            serve_socket(&letterbox, path).await;
        }
        pending::<()>().await;
    };
    let at_address = async {
        if let Some(address) = places.listen {
            serve_address(&letterbox, address).await;
        }
        pending::<()>().await;
    };
    tokio::join!(on_socket, at_address);
    pending().await
}

async fn serve_socket(letterbox: &Letterbox, path: &Path) {
    match bind_socket(path).await {
        Ok((_socket, listener)) => {
            tracing::info!(socket = %path.display(), "metrics are served");
            door::attend(async || Ok(listener.accept().await?.0), letterbox).await;
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
    fs::set_permissions(path, Permissions::from_mode(MODE))?;
    Ok(bound)
}

/// An address that this node does not have yet is tried again with each picture: it may come up after
/// us, and a look that finds one makes another picture.
async fn serve_address(letterbox: &Letterbox, address: SocketAddr) {
    let mut pictures = letterbox.watch();
    let mut told = false;
    let listener = loop {
        pictures.mark_unchanged();
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(error) => {
                let waits = error.kind() == io::ErrorKind::AddrNotAvailable;
                if !told {
                    tell_unbound(address, &error);
                    told = true;
                }
                if !waits || pictures.changed().await.is_err() {
                    return;
                }
            }
        }
    };
    tracing::info!(%address, "metrics are served");
    if address.ip() != HEARD {
        // What a cgroup drops shows nowhere, least of all here.
        tracing::info!(
            %address,
            "who asks from elsewhere than {HEARD} must be in IPAddressAllow= of onloadd.service",
        );
    }
    door::attend(async || Ok(listener.accept().await?.0), letterbox).await;
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

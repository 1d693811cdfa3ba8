//! How a pool becomes known: one call of Register, and all that may go wrong in either way.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tonic::transport::{Channel, Endpoint, Uri};

use super::Terms;
use super::api::registration_client::RegistrationClient;
use super::api::{DevicePluginOptions, RegisterRequest};

/// The only version kubelets accept (reference/kubelet-api.md section 3).
pub(super) const API_VERSION: &str = "v1beta1";
/// What Go clients send; a socket's path is no valid authority.
const AUTHORITY: &str = "http://localhost";

/// Why a kubelet has not accepted a pool.
#[derive(Debug, thiserror::Error)]
pub(super) enum RegisterError {
    /// It was not reached, or broke off.
    #[error("the kubelet was not reached: {0}")]
    Unreached(String),
    /// It said no, or something that is no answer.
    #[error("the kubelet refused: {0}")]
    Refused(String),
    /// It said nothing.
    #[error("the kubelet did not answer within {0:?}")]
    Silent(Duration),
    /// It said yes and did not act on it.
    #[error("the kubelet accepted and did not ask for the list within {0:?}")]
    NotListening(Duration),
    /// It watches its registry and has not come to this socket.
    #[error(
        "the kubelet has not asked who serves {} within {limit:?}; \
         see whether `plugins-registry` in [kubelet] is where it looks", socket.display()
    )]
    NotFound {
        /// Where it was awaited.
        socket: PathBuf,
        /// For how long.
        limit: Duration,
    },
    /// It has asked who serves there and not gone on.
    #[error("the kubelet asked who serves the socket, and not for the list within {0:?}")]
    NotTaken(Duration),
    /// It said yes and has gone away again.
    #[error("the kubelet has stopped listening")]
    StoppedListening,
}

/// What is asked of a pool's socket and what not.
pub(super) fn options(check_at_start: bool) -> DevicePluginOptions {
    DevicePluginOptions {
        pre_start_required: check_at_start,
        get_preferred_allocation_available: true,
    }
}

/// Asks the kubelet behind `socket` to take the resource from the socket of that name beside it.
pub(super) async fn register(
    socket: &Path,
    endpoint: &str,
    terms: &Terms,
    limit: Duration,
) -> Result<(), RegisterError> {
    let call = async {
        let channel = connect(socket).await.map_err(RegisterError::Unreached)?;
        let request = RegisterRequest {
            version: API_VERSION.to_owned(),
            endpoint: endpoint.to_owned(),
            resource_name: terms.resource.clone(),
            options: Some(options(terms.check_at_start)),
        };
        let answer = RegistrationClient::new(channel).register(request).await;
        answer.map_err(|status| {
            RegisterError::Refused(format!("{}: {}", status.code(), status.message()))
        })?;
        Ok(())
    };
    tokio::time::timeout(limit, call).await.map_err(|_| RegisterError::Silent(limit))?
}

/// A connection to a socket of the kubelet's; else the error, with what lies behind it.
pub(super) async fn connect(socket: &Path) -> Result<Channel, String> {
    let kubelet = Endpoint::try_from(format!("unix://{}", socket.display()))
        .map_err(|error| with_sources(&error))?
        .origin(Uri::from_static(AUTHORITY));
    kubelet.connect().await.map_err(|error| with_sources(&error))
}

/// An error with what lies behind it: tonic's own text is only `transport error`.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(deeper) = source {
        text = format!("{text}: {deeper}");
        source = deeper.source();
    }
    text
}

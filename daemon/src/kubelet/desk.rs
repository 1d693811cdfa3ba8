//! Where a kubelet that watches its registry of plugins asks who serves a socket, and leaves word of
//! what has become of it; and the way there, beside the device plugin on the same socket.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::watch;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::{Request, Response, Status};

use super::api::device_plugin_server::DevicePluginServer;
use super::connection::Peer;
use super::link::Link;
use super::plugin::Plugin;
use super::registration::API_VERSION;
use super::watcher_api::registration_server::{
    Registration, RegistrationServer, SERVICE_NAME as REGISTRATION,
};
use super::watcher_api::{InfoRequest, PluginInfo, RegistrationStatus, RegistrationStatusResponse};

/// What device plugins call themselves there (reference/kubelet-api.md section 9).
const KIND: &str = "DevicePlugin";

/// What a kubelet has said about a socket so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// It has asked who serves there.
    pub(super) asked: bool,
    /// Its last word is that it did not take the plugin, for this reason.
    pub(super) refused: Option<String>,
}

/// One socket's answers to a kubelet that watches.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    resource: String,
    said: Arc<watch::Sender<Said>>,
    link: Link,
}

impl Desk {
    /// For the socket of a resource whose streams are counted on `link`.
    pub(super) fn new(resource: String, link: Link) -> Self {
        Self { resource, said: Arc::default(), link }
    }

    /// Follows what is said.
    pub(super) fn watch(&self) -> watch::Receiver<Said> {
        self.said.subscribe()
    }
}

#[tonic::async_trait]
impl Registration for Desk {
    async fn get_info(
        &self,
        request: Request<InfoRequest>,
    ) -> Result<Response<PluginInfo>, Status> {
        self.link.kubelet_called(Peer::of_request(&request));
        // A kubelet that asks again has begun anew: its former word is void.
        self.said.send_replace(Said { asked: true, refused: None });
        Ok(Response::new(PluginInfo {
            kind: KIND.to_owned(),
            name: self.resource.clone(),
            // None: the device plugin is behind this very socket.
            endpoint: String::new(),
            supported_versions: vec![API_VERSION.to_owned()],
        }))
    }

    async fn notify_registration_status(
        &self,
        request: Request<RegistrationStatus>,
    ) -> Result<Response<RegistrationStatusResponse>, Status> {
        self.link.kubelet_called(Peer::of_request(&request));
        let RegistrationStatus { plugin_registered, error } = request.into_inner();
        let refused = (!plugin_registered).then_some(error);
        self.said.send_modify(|said| said.refused = refused);
        Ok(Response::new(RegistrationStatusResponse {}))
    }
}

/// All that one socket serves: calls go to the service that their path names.
#[derive(Clone, Debug)]
pub(super) struct Services {
    plugin: DevicePluginServer<Plugin>,
    desk: Option<RegistrationServer<Desk>>,
}

impl Services {
    /// The plugin, and the desk where there is one.
    pub(super) fn new(plugin: Plugin, desk: Option<Desk>) -> Self {
        // The limit of a message stays at gRPC's usual 4 MiB: ten thousand ids are a sixth of that.
        Self { plugin: DevicePluginServer::new(plugin), desk: desk.map(RegistrationServer::new) }
    }
}

impl Service<http::Request<Body>> for Services {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    /// Both are ready at any time.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let service = request.uri().path().trim_start_matches('/').split('/').next();
        match &mut self.desk {
            Some(desk) if service == Some(REGISTRATION) => desk.call(request),
            Some(_) | None => self.plugin.call(request),
        }
    }
}

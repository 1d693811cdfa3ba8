//! The smallest plugin: it lists what it is told to and answers Allocate with the ids it was given.

use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use onloadd::kubelet::api::device_plugin_server::{DevicePlugin, DevicePluginServer};
use onloadd::kubelet::api::registration_client::RegistrationClient;
use onloadd::kubelet::api::*;
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio_stream::wrappers::{UnixListenerStream, WatchStream};
use tokio_stream::{Stream, StreamExt};
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Response, Status};

pub const RESOURCE: &str = "amd.com/onload";
pub const ECHO_SOCKET: &str = "echo.sock";

/// The plugin's other end: what it shall do, and what it was asked.
pub struct Echo {
    wants: Arc<Mutex<Wants>>,
    ended: watch::Sender<usize>,
}

/// What the plugin shall do.
struct Wants {
    list: watch::Sender<Vec<Device>>,
    preferred: Vec<String>,
    refusal: Option<String>,
    hang: bool,
    silent_stream: bool,
    authorities: Vec<String>,
    started: Vec<Vec<String>>,
}

pub fn device(id: &str, health: &str, numa: i64) -> Device {
    let topology = Some(TopologyInfo { nodes: vec![NumaNode { id: numa }] });
    Device { id: id.to_owned(), health: health.to_owned(), topology }
}

pub fn three_devices() -> Vec<Device> {
    vec![device("a", "Healthy", 0), device("b", "Healthy", 1), device("c", "Healthy", 0)]
}

/// Registers the plugin the usual way.
pub async fn register(dir: &Path) -> Result<(), Status> {
    register_as(dir, "v1beta1", ECHO_SOCKET, RESOURCE).await
}

pub async fn register_as(
    dir: &Path,
    version: &str,
    endpoint: &str,
    resource: &str,
) -> Result<(), Status> {
    let socket = format!("unix://{}", dir.join("kubelet.sock").display());
    let channel = Endpoint::try_from(socket).unwrap().connect().await;
    let channel = channel.map_err(|error| Status::unavailable(error.to_string()))?;
    let request = RegisterRequest {
        version: version.to_owned(),
        endpoint: endpoint.to_owned(),
        resource_name: resource.to_owned(),
        options: None,
    };
    RegistrationClient::new(channel).register(request).await.map(drop)
}

impl Echo {
    /// Serves on a socket in the directory until the test ends.
    pub fn serve(dir: &Path, socket: &str) -> Self {
        let wants = Arc::new(Mutex::new(Wants {
            list: watch::Sender::new(three_devices()),
            preferred: Vec::new(),
            refusal: None,
            hang: false,
            silent_stream: false,
            authorities: Vec::new(),
            started: Vec::new(),
        }));
        let ended = watch::Sender::new(0);
        let listener = UnixListener::bind(dir.join(socket)).unwrap();
        let plugin = Plugin { wants: Arc::clone(&wants), ended: ended.clone() };
        let service =
            Overhear { inner: DevicePluginServer::new(plugin), wants: Arc::clone(&wants) };
        let incoming = UnixListenerStream::new(listener);
        tokio::spawn(Server::builder().serve_with_incoming(service, incoming));
        Self { wants, ended }
    }

    pub fn list(&self, devices: Vec<Device>) {
        self.wants.lock().unwrap().list.send_replace(devices);
    }

    pub fn prefer(&self, ids: &[&str]) {
        self.wants.lock().unwrap().preferred = ids.iter().map(|id| (*id).to_owned()).collect();
    }

    pub fn refuse(&self, text: Option<&str>) {
        self.wants.lock().unwrap().refusal = text.map(str::to_owned);
    }

    pub fn hang(&self, hang: bool) {
        self.wants.lock().unwrap().hang = hang;
    }

    /// The next stream opened neither lists nor ends.
    pub fn hold_back_next_stream(&self) {
        self.wants.lock().unwrap().silent_stream = true;
    }

    /// Ends the streams that list; new ones list the same devices.
    pub fn end_streams(&self) {
        let mut wants = self.wants.lock().unwrap();
        let list = wants.list.borrow().clone();
        wants.list = watch::Sender::new(list);
    }

    /// Waits until so many streams have ended, whoever ended them.
    pub async fn wait_streams_ended(&self, count: usize) {
        let mut ended = self.ended.subscribe();
        let reached = ended.wait_for(|ended| *ended >= count);
        tokio::time::timeout(super::SOON, reached).await.expect("the streams end").unwrap();
    }

    /// The `:authority` of each call, in order.
    pub fn authorities(&self) -> Vec<String> {
        self.wants.lock().unwrap().authorities.clone()
    }

    /// The ids of each PreStartContainer call, in order.
    pub fn started(&self) -> Vec<Vec<String>> {
        self.wants.lock().unwrap().started.clone()
    }
}

struct Plugin {
    wants: Arc<Mutex<Wants>>,
    ended: watch::Sender<usize>,
}

/// Counts the end of the stream that owns it.
struct EndOfStream(watch::Sender<usize>);

impl Drop for EndOfStream {
    fn drop(&mut self) {
        self.0.send_modify(|ended| *ended += 1);
    }
}

#[tonic::async_trait]
impl DevicePlugin for Plugin {
    async fn get_device_plugin_options(
        &self,
        _: Request<Empty>,
    ) -> Result<Response<DevicePluginOptions>, Status> {
        Ok(Response::new(DevicePluginOptions {
            pre_start_required: true,
            get_preferred_allocation_available: true,
        }))
    }

    type ListAndWatchStream =
        Pin<Box<dyn Stream<Item = Result<ListAndWatchResponse, Status>> + Send>>;

    async fn list_and_watch(
        &self,
        _: Request<Empty>,
    ) -> Result<Response<Self::ListAndWatchStream>, Status> {
        let mut wants = self.wants.lock().unwrap();
        if std::mem::take(&mut wants.silent_stream) {
            return Ok(Response::new(Box::pin(tokio_stream::pending())));
        }
        let end = EndOfStream(self.ended.clone());
        let lists = WatchStream::new(wants.list.subscribe()).map(move |devices| {
            let _owned = &end;
            Ok(ListAndWatchResponse { devices })
        });
        Ok(Response::new(Box::pin(lists)))
    }

    async fn get_preferred_allocation(
        &self,
        _: Request<PreferredAllocationRequest>,
    ) -> Result<Response<PreferredAllocationResponse>, Status> {
        let device_ids = self.wants.lock().unwrap().preferred.clone();
        let container_responses = vec![ContainerPreferredAllocationResponse { device_ids }];
        Ok(Response::new(PreferredAllocationResponse { container_responses }))
    }

    async fn allocate(
        &self,
        request: Request<AllocateRequest>,
    ) -> Result<Response<AllocateResponse>, Status> {
        if let Some(text) = &self.wants.lock().unwrap().refusal {
            return Err(Status::failed_precondition(text.clone()));
        }
        if self.wants.lock().unwrap().hang {
            std::future::pending::<()>().await;
        }
        let echo = |container: ContainerAllocateRequest| ContainerAllocateResponse {
            envs: [("IDS".to_owned(), container.devices_ids.join(","))].into(),
            ..Default::default()
        };
        let container_responses =
            request.into_inner().container_requests.into_iter().map(echo).collect();
        Ok(Response::new(AllocateResponse { container_responses }))
    }

    async fn pre_start_container(
        &self,
        request: Request<PreStartContainerRequest>,
    ) -> Result<Response<PreStartContainerResponse>, Status> {
        self.wants.lock().unwrap().started.push(request.into_inner().devices_ids);
        Ok(Response::new(PreStartContainerResponse {}))
    }
}

/// Notes the `:authority` of every call, which no gRPC method gets to see.
#[derive(Clone)]
struct Overhear {
    inner: DevicePluginServer<Plugin>,
    wants: Arc<Mutex<Wants>>,
}

impl Service<http::Request<Body>> for Overhear {
    type Response = http::Response<Body>;
    type Error = std::convert::Infallible;
    type Future = <DevicePluginServer<Plugin> as Service<http::Request<Body>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Service::<http::Request<Body>>::poll_ready(&mut self.inner, cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let authority = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        self.wants.lock().unwrap().authorities.push(authority);
        self.inner.call(request)
    }
}

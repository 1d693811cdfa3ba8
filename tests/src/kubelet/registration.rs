//! Register, the call back to the plugin, and the stream of lists that follows.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use onloadd::kubelet::api::device_plugin_client::DevicePluginClient;
use onloadd::kubelet::api::registration_server::Registration;
use onloadd::kubelet::api::{Empty, RegisterRequest};
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Request, Response, Status};

use super::{API_VERSION, Fault, Node, PluginEndpoint, RegistrationSeen};

/// The pause between two attempts to reach a plugin: the first step of gRPC's usual back-off.
const DIAL_PAUSE: Duration = Duration::from_secs(1);
/// What kubelets since 1.26 send as `:authority`. A socket's path there is no valid one and makes
/// HTTP/2 servers reset the stream.
const AUTHORITY: &str = "http://localhost";
/// Longest name after the slash; Kubernetes' limit for qualified names.
const NAME_MAX: usize = 63;
/// Longest domain before the slash, `requests.` included.
const DOMAIN_MAX: usize = 253;

/// The service `v1beta1.Registration` during one life of the kubelet.
#[derive(Debug)]
pub(super) struct Desk {
    node: Arc<Node>,
    life: u64,
}

impl Desk {
    pub(super) fn new(node: Arc<Node>, life: u64) -> Self {
        Self { node, life }
    }

    /// Accepts a registration whose plugin answers. Errors have the code Unknown, as they have when
    /// Go code returns a plain error.
    async fn accept(&self, request: RegisterRequest, called: Instant) -> Result<(), Status> {
        validate(&request).map_err(Status::unknown)?;
        let RegisterRequest { endpoint, resource_name: resource, .. } = request;
        let seen = |accepted| RegistrationSeen {
            resource: resource.clone(),
            endpoint: endpoint.clone(),
            called,
            accepted,
        };
        if *self.node.fault.borrow() == Some(Fault::NeverDialBack) {
            self.node.seen.send_modify(|all| all.registrations.push(seen(Instant::now())));
            return Ok(());
        }
        let socket = self.node.dir.join(&endpoint);
        take(&self.node, self.life, &resource, socket).await?;
        self.node.seen.send_modify(|all| all.registrations.push(seen(Instant::now())));
        Ok(())
    }
}

/// Takes the plugin behind a socket for the one of its resource, and reads its lists from then on:
/// what follows upon Register and upon the finding of a plugin alike.
pub(super) async fn take(
    node: &Arc<Node>,
    life: u64,
    resource: &str,
    socket: PathBuf,
) -> Result<(), Status> {
    let limit = node.process().dial_limit;
    let mut client = DevicePluginClient::new(dial(&socket, limit).await?);
    let options = client.get_device_plugin_options(Empty {}).await?.into_inner();
    // Between here and the end nothing is awaited, so the life cannot end in between.
    if *node.life.borrow() != life {
        return Err(Status::unavailable("the kubelet has stopped"));
    }
    let mut process = node.process();
    let streams = match process.endpoints.iter().position(|old| old.resource == resource) {
        Some(old) => process.endpoints.swap_remove(old).streams,
        None => Vec::new(),
    };
    let mut streams: Vec<_> = streams.into_iter().filter(|old| !old.is_finished()).collect();
    let stream = Stream { resource: resource.to_owned(), socket: socket.clone(), life };
    streams.push(tokio::spawn(stream.follow(Arc::clone(node), client.clone())));
    let resource = resource.to_owned();
    let endpoint = PluginEndpoint { resource: resource.clone(), socket, client, options, streams };
    process.endpoints.push(endpoint);
    drop(process);
    node.seen.send_modify(|all| {
        all.resources.entry(resource).or_default();
    });
    Ok(())
}

#[tonic::async_trait]
impl Registration for Desk {
    async fn register(&self, request: Request<RegisterRequest>) -> Result<Response<Empty>, Status> {
        let called = Instant::now();
        self.node.seen.send_modify(|seen| seen.register_calls += 1);
        if let Some(Fault::RefuseRegister(text)) = &*self.node.fault.borrow() {
            return Err(Status::unknown(text.clone()));
        }
        let mut fault = self.node.fault.subscribe();
        let lifted = fault.wait_for(|fault| *fault != Some(Fault::HangInRegister)).await.is_ok();
        debug_assert!(lifted, "the node, which holds the sender, outlives its desk");
        self.accept(request.into_inner(), called).await?;
        Ok(Response::new(Empty {}))
    }
}

/// One stream of lists from one plugin.
struct Stream {
    resource: String,
    socket: PathBuf,
    life: u64,
}

impl Stream {
    async fn follow(self, node: Arc<Node>, mut client: DevicePluginClient<Channel>) {
        if let Ok(lists) = client.list_and_watch(Empty {}).await {
            let mut lists = lists.into_inner();
            while let Ok(Some(list)) = lists.message().await {
                if self.counts(&node) {
                    node.seen.send_modify(|seen| seen.take_list(&self.resource, list.devices));
                }
            }
        }
        if self.counts(&node) {
            node.seen.send_modify(|seen| seen.mark_unhealthy(&self.resource));
        }
    }

    /// Whether this stream speaks for its resource: a plugin is known by its socket's path, so the
    /// belated end of a predecessor with another socket does no harm, one with the same does.
    fn counts(&self, node: &Node) -> bool {
        *node.life.borrow() == self.life
            && node.process().endpoint(&self.resource).is_some_and(|now| now.socket == self.socket)
    }
}

/// Connects to a plugin's socket, trying again until the limit: gRPC's blocking dial, which waits
/// for a plugin that is not serving yet.
pub(super) async fn dial(socket: &Path, limit: Duration) -> Result<Channel, Status> {
    let endpoint = Endpoint::try_from(format!("unix://{}", socket.display()))
        .map_err(|error| Status::unknown(format!("{}: {error}", socket.display())))?
        .origin(Uri::from_static(AUTHORITY));
    let attempts = async {
        loop {
            match endpoint.connect().await {
                Ok(channel) => return channel,
                Err(_) => tokio::time::sleep(DIAL_PAUSE).await,
            }
        }
    };
    tokio::time::timeout(limit, attempts).await.map_err(|_| {
        Status::unknown(format!("failed to dial the plugin at {} in {limit:?}", socket.display()))
    })
}

/// What the kubelet refuses before it dials.
fn validate(request: &RegisterRequest) -> Result<(), String> {
    let RegisterRequest { version, resource_name, .. } = request;
    if version != API_VERSION {
        return Err(format!("version {version:?} is not supported, only {API_VERSION}"));
    }
    if !is_extended_resource(resource_name) {
        return Err(format!("the resource name {resource_name:?} is invalid"));
    }
    Ok(())
}

/// Whether pods can ask for a resource of this name: `domain/name`, not one of Kubernetes' own, and
/// `requests.domain/name` is a qualified name.
pub(super) fn is_extended_resource(name: &str) -> bool {
    let Some((domain, rest)) = name.split_once('/') else { return false };
    let own = domain == "kubernetes.io" || domain.ends_with(".kubernetes.io");
    let label = |label: &str| {
        is_framed(label, |c| c.is_ascii_lowercase() || c.is_ascii_digit(), |c| c == '-')
    };
    !own && !domain.starts_with("requests.")
        && "requests.".len() + domain.len() <= DOMAIN_MAX
        && domain.split('.').all(label)
        && rest.len() <= NAME_MAX
        && is_framed(rest, |c| c.is_ascii_alphanumeric(), |c| matches!(c, '-' | '_' | '.'))
}

/// Whether a text begins and ends with `outer` characters and has `inner` ones at most between.
fn is_framed(text: &str, outer: impl Fn(char) -> bool, inner: impl Fn(char) -> bool) -> bool {
    text.starts_with(&outer) && text.ends_with(&outer) && text.chars().all(|c| outer(c) || inner(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resource_names() {
        let long = format!("amd.com/{}", "x".repeat(NAME_MAX + 1));
        let cases = [
            ("ours", "amd.com/onload", true),
            ("capital letters in the name", "amd.com/Onload_2.x", true),
            ("no domain", "onload", false),
            ("Kubernetes' own", "kubernetes.io/onload", false),
            ("Kubernetes' own, below", "net.kubernetes.io/onload", false),
            ("looks like a quota", "requests.amd.com/onload", false),
            ("capital letters in the domain", "AMD.com/onload", false),
            ("two slashes", "amd.com/on/load", false),
            ("empty name", "amd.com/", false),
            ("ends in a dash", "amd.com/onload-", false),
            ("too long", &long, false),
        ];
        for (why, name, valid) in cases {
            assert_eq!(is_extended_resource(name), valid, "{why}: {name}");
        }
    }
}

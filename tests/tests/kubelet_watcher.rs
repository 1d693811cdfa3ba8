//! The stand-in's registry of plugins keeps its promises, shown against the smallest plugin, which
//! says who it is on one socket and serves on another.

// Test code: a broken assumption must stop the test where it broke.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use onload_tests::kubelet::{Fault, Kubelet, Seen, healthy};
use onloadd::kubelet::watcher_api::registration_server::{Registration, RegistrationServer};
use onloadd::kubelet::watcher_api::{
    InfoRequest, PluginInfo, RegistrationStatus, RegistrationStatusResponse,
};
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

#[allow(dead_code, reason = "this file needs less of the plugin than others do")]
mod echo;
use echo::{ECHO_SOCKET, Echo, RESOURCE, register};

/// Long enough for a loaded machine; nothing waits that long unless something is broken.
const SOON: Duration = Duration::from_secs(20);
/// Between two turns, short of the real second.
const TURN: Duration = Duration::from_millis(20);

/// Who says what it is, and what it was told.
#[derive(Clone)]
struct Who {
    info: PluginInfo,
    delay: Duration,
    asked: Arc<Mutex<Vec<Instant>>>,
    told: Arc<Mutex<Vec<RegistrationStatus>>>,
}

impl Who {
    /// The plugin that serves on this socket.
    fn behind(endpoint: &Path) -> Self {
        let info = PluginInfo {
            kind: "DevicePlugin".to_owned(),
            name: RESOURCE.to_owned(),
            endpoint: endpoint.display().to_string(),
            supported_versions: vec!["v1".to_owned(), "v1beta1".to_owned()],
        };
        Self { info, delay: Duration::ZERO, asked: Arc::default(), told: Arc::default() }
    }

    /// Listens at a path until the test ends.
    fn listen(&self, path: &Path) {
        let incoming = UnixListenerStream::new(UnixListener::bind(path).unwrap());
        let service = RegistrationServer::new(self.clone());
        tokio::spawn(Server::builder().serve_with_incoming(service, incoming));
    }

    fn told(&self) -> Vec<(bool, String)> {
        let told = self.told.lock().unwrap();
        told.iter().map(|one| (one.plugin_registered, one.error.clone())).collect()
    }
}

#[tonic::async_trait]
impl Registration for Who {
    async fn get_info(&self, _: Request<InfoRequest>) -> Result<Response<PluginInfo>, Status> {
        self.asked.lock().unwrap().push(Instant::now());
        tokio::time::sleep(self.delay).await;
        Ok(Response::new(self.info.clone()))
    }

    async fn notify_registration_status(
        &self,
        request: Request<RegistrationStatus>,
    ) -> Result<Response<RegistrationStatusResponse>, Status> {
        self.told.lock().unwrap().push(request.into_inner());
        Ok(Response::new(RegistrationStatusResponse {}))
    }
}

/// A kubelet that watches, and a plugin that serves and has not said who it is.
async fn watching() -> (tempfile::TempDir, Kubelet, Echo, Who) {
    let root = tempfile::tempdir().unwrap();
    let kubelet = Kubelet::start(root.path().join("device-plugins")).await.unwrap();
    kubelet.watch_plugins_each(TURN, root.path().join("registry")).unwrap();
    let echo = Echo::serve(root.path(), ECHO_SOCKET);
    let who = Who::behind(&root.path().join(ECHO_SOCKET));
    (root, kubelet, echo, who)
}

async fn healthy_are(kubelet: &Kubelet, count: usize) {
    let as_many = |devices: &_| healthy(devices) == count;
    kubelet.wait_for(RESOURCE, SOON, as_many).await.unwrap();
}

async fn attempts(kubelet: &Kubelet, count: usize) -> Seen {
    let enough = |seen: &Seen| seen.plugins.len() >= count;
    kubelet.wait_until("attempts", SOON, enough).await.unwrap()
}

#[tokio::test]
async fn what_is_found_is_asked_taken_and_told() {
    let (root, kubelet, echo, who) = watching().await;
    // Also below a directory of its own.
    fs::create_dir(root.path().join("registry/echo")).unwrap();
    let socket = root.path().join("registry/echo/who.sock");
    who.listen(&socket);
    healthy_are(&kubelet, 3).await;
    let seen = attempts(&kubelet, 1).await;
    assert_eq!((seen.register_calls, seen.registrations.len()), (0, 1));
    assert_eq!((&seen.plugins[0].socket, &seen.plugins[0].outcome), (&socket, &Ok(())));
    assert_eq!(who.told(), [(true, String::new())]);
    let pod = kubelet.allocate(RESOURCE, 1).await.unwrap();
    kubelet.start_container(&pod).await.unwrap();
    assert_eq!(echo.started(), [pod.ids], "as the plugin asks for");
    tokio::time::sleep(TURN * 5).await;
    assert_eq!(who.asked.lock().unwrap().len(), 1, "once is enough");
}

#[tokio::test]
async fn what_does_not_fit_is_refused_and_told_why() {
    let (root, kubelet, _echo, fit) = watching().await;
    let change = |change: fn(&mut Who)| {
        let mut who = Who::behind(Path::new(&fit.info.endpoint));
        change(&mut who);
        who
    };
    kubelet.set_dial_limit(Duration::from_millis(100));
    let cases = [
        ("type", change(|who| who.info.kind = "DRAPlugin".to_owned()), "of type \"DRAPlugin\""),
        ("version", change(|who| who.info.supported_versions = vec!["v1".into()]), "[\"v1\"]"),
        ("name", change(|who| who.info.name = "onload".to_owned()), "name \"onload\" is invalid"),
        ("endpoint", change(|who| who.info.endpoint = "/nowhere".to_owned()), "failed to dial"),
        ("slow", change(|who| who.delay = Duration::from_millis(1_200)), "within 1s"),
    ];
    for (name, who, part) in cases {
        let socket = root.path().join(format!("registry/{name}.sock"));
        who.listen(&socket);
        let of = |seen: &Seen| seen.plugins.iter().any(|plugin| plugin.socket == socket);
        let seen = kubelet.wait_until(name, SOON, of).await.unwrap();
        let plugin = seen.plugins.iter().find(|plugin| plugin.socket == socket).unwrap();
        let why = plugin.outcome.clone().unwrap_err();
        assert!(why.contains(part), "{name}: {why}");
        assert_eq!(who.told()[0], (false, why), "{name}");
        fs::remove_file(socket).unwrap();
    }
    assert!(kubelet.seen().registrations.is_empty());
}

#[tokio::test]
async fn what_failed_is_tried_again_with_back_off() {
    let (root, kubelet, _echo, who) = watching().await;
    kubelet.set_fault(Some(Fault::RefuseRegister("not today".to_owned())));
    who.listen(&root.path().join("registry/who.sock"));
    attempts(&kubelet, 3).await;
    let asked = who.asked.lock().unwrap().clone();
    let [first, second] = [asked[1] - asked[0], asked[2] - asked[1]];
    assert!(first >= Duration::from_millis(500) && second >= Duration::from_secs(1));
    assert_eq!(who.told()[0], (false, "not today".to_owned()));
    kubelet.set_fault(None);
    healthy_are(&kubelet, 3).await;
}

#[tokio::test]
async fn what_vanishes_is_forgotten_and_what_is_made_anew_is_taken() {
    let (root, kubelet, _echo, who) = watching().await;
    let socket = root.path().join("registry/who.sock");
    who.listen(&socket);
    healthy_are(&kubelet, 3).await;
    fs::remove_file(&socket).unwrap();
    healthy_are(&kubelet, 0).await;
    assert_eq!(kubelet.devices(RESOURCE).len(), 3, "capacity stays");
    who.listen(&socket);
    healthy_are(&kubelet, 3).await;

    // Within one turn or less.
    fs::remove_file(&socket).unwrap();
    who.listen(&socket);
    attempts(&kubelet, 3).await;
    healthy_are(&kubelet, 3).await;

    // By name: who registers in the other way while it is still known here is cut off with it.
    let _other = Echo::serve(kubelet.dir(), ECHO_SOCKET);
    register(kubelet.dir()).await.unwrap();
    healthy_are(&kubelet, 3).await;
    fs::remove_file(&socket).unwrap();
    healthy_are(&kubelet, 0).await;
}

#[tokio::test]
async fn a_restart_deletes_nothing_there_and_finds_what_there_is() {
    let (root, kubelet, _echo, who) = watching().await;
    let registry = root.path().join("registry");
    who.listen(&registry.join("who.sock"));
    who.listen(&registry.join(".hidden.sock"));
    fs::write(registry.join("file.sock"), "no socket").unwrap();
    healthy_are(&kubelet, 3).await;
    kubelet.allocate(RESOURCE, 1).await.unwrap();
    kubelet.stop().await;
    assert!(kubelet.devices(RESOURCE).is_empty());
    kubelet.restart().await.unwrap();
    healthy_are(&kubelet, 3).await;
    assert_eq!((kubelet.held().len(), fs::read_dir(&registry).unwrap().count()), (1, 3));
    assert_eq!(who.told().len(), 2, "the hidden one is nobody's");
}

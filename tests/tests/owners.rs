//! Owners of links asked over a real bus, by stand-ins for NetworkManager and systemd-networkd that answer
//! as those do and keep what they were asked.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that meets what it does not expect ends there"
)]

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};

use onload_core::network::Owner;
use onload_core::step::{Outcome, Step, StepError};
use onload_tests::bus::Bus;
use onload_tests::skip::skip;
use onloadd::host::Host as _;
use onloadd::host::linux::{Linux, Places};
use zbus::{Connection, ObjectPath, OwnedObjectPath};

/// Set for a test that runs with a system bus of its own.
const INSIDE: &str = "ONLOADD_TEST_INSIDE";

/// A connection of NetworkManager, and one that it does not have.
const KNOWN: &str = "5a5c6d8e-0000-4000-8000-00000000000a";
const UNKNOWN: &str = "5a5c6d8e-0000-4000-8000-00000000000b";

type Asked = Arc<Mutex<Vec<String>>>;

#[derive(Debug, zbus::DBusError)]
#[zbus(prefix = "org.freedesktop.NetworkManager")]
enum Refusal {
    UnknownDevice(String),
    #[zbus(error)]
    Zbus(zbus::Error),
}

struct Settings;

#[zbus::interface(name = "org.freedesktop.NetworkManager.Settings")]
impl Settings {
    fn get_connection_by_uuid(&self, uuid: &str) -> zbus::fdo::Result<OwnedObjectPath> {
        match uuid {
            KNOWN => Ok(path("/connection/7")),
            _ => Err(zbus::fdo::Error::Failed("no connection has that UUID".to_owned())),
        }
    }
}

struct Manager(Asked);

#[zbus::interface(name = "org.freedesktop.NetworkManager")]
impl Manager {
    fn get_device_by_ip_iface(&self, name: &str) -> Result<OwnedObjectPath, Refusal> {
        match name {
            "ens1f0" => Ok(path("/device/3")),
            _ => Err(Refusal::UnknownDevice("no device has that name".to_owned())),
        }
    }

    fn activate_connection(
        &self,
        connection: OwnedObjectPath,
        device: OwnedObjectPath,
        specific: OwnedObjectPath,
    ) -> OwnedObjectPath {
        self.0.lock().unwrap().push(format!("{connection} {device} {specific}"));
        path("/active/1")
    }
}

struct Networkd(Asked);

#[zbus::interface(name = "org.freedesktop.network1.Manager")]
impl Networkd {
    fn get_link_by_name(&self, name: &str) -> zbus::fdo::Result<(i32, OwnedObjectPath)> {
        match name {
            "ens1f0" => Ok((7, path("/link/_37"))),
            _ => Err(zbus::fdo::Error::Failed(format!("Link {name} not known"))),
        }
    }

    fn reconfigure_link(&self, index: i32) {
        self.0.lock().unwrap().push(format!("link {index}"));
    }
}

fn path(text: &str) -> OwnedObjectPath {
    ObjectPath::try_from(text.to_owned()).unwrap().into()
}

/// Runs a test of this file with a system bus of its own.
fn with_a_bus<F: Future<Output = ()>>(test: &str, run: impl FnOnce(Connection) -> F) {
    if std::env::var_os(INSIDE).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(async { run(Connection::system().await.unwrap()).await });
    }
    let bus = match Bus::running() {
        Ok(bus) => bus,
        Err(error) => return skip(test, &format!("{error:#}")),
    };
    let out = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .env("DBUS_SYSTEM_BUS_ADDRESS", bus.address())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
    println!("{said}");
    assert!(out.status.success() && said.contains("1 passed"), "it failed inside");
}

/// Asks the owner of a link, as the step does.
async fn ask(interface: &str, owner: Owner) -> Result<Outcome, StepError> {
    let host = Linux::open(Places {
        root: PathBuf::from("/"),
        kubelet_directory: PathBuf::from("/var/lib/kubelet/device-plugins"),
        state_directory: PathBuf::from("/var/lib/onloadd"),
    });
    host.unwrap().apply(&Step::HandBack { interface: interface.parse().unwrap(), owner }).await
}

fn why(result: Result<Outcome, StepError>) -> String {
    let Err(StepError::Failed(why)) = result else { panic!("{result:?}") };
    why
}

#[test]
fn networkmanager_activates_the_connection_on_its_device() {
    with_a_bus("networkmanager_activates_the_connection_on_its_device", async |bus| {
        let asked = Asked::default();
        let server = bus.object_server();
        server.at("/org/freedesktop/NetworkManager/Settings", Settings).await.unwrap();
        server.at("/org/freedesktop/NetworkManager", Manager(asked.clone())).await.unwrap();
        let known = || Owner::NetworkManager(KNOWN.to_owned());
        let nobody = why(ask("ens1f0", known()).await);
        assert!(nobody.starts_with("NetworkManager was not asked to set ens1f0 up again: "));
        bus.request_name("org.freedesktop.NetworkManager").await.unwrap();
        assert_eq!(ask("ens1f0", known()).await, Ok(Outcome::Changed));
        // A device that has not appeared to it, or that it makes itself.
        assert_eq!(ask("bond0", known()).await, Ok(Outcome::Changed));
        let refused = why(ask("ens1f0", Owner::NetworkManager(UNKNOWN.to_owned())).await);
        assert!(refused.contains("no connection has that UUID"), "{refused}");
        let calls = asked.lock().unwrap().clone();
        assert_eq!(calls, ["/connection/7 /device/3 /", "/connection/7 / /"]);
    });
}

#[test]
fn networkd_is_told_the_number_that_it_knows_the_link_by() {
    with_a_bus("networkd_is_told_the_number_that_it_knows_the_link_by", async |bus| {
        let asked = Asked::default();
        let server = bus.object_server();
        server.at("/org/freedesktop/network1", Networkd(asked.clone())).await.unwrap();
        bus.request_name("org.freedesktop.network1").await.unwrap();
        assert_eq!(ask("ens1f0", Owner::Networkd).await, Ok(Outcome::Changed));
        let refused = why(ask("gone", Owner::Networkd).await);
        assert!(refused.contains("Link gone not known"), "{refused}");
        assert_eq!(*asked.lock().unwrap(), ["link 7"]);
    });
}

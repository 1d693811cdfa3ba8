//! Whoever owns a link, asked over the bus to set it up again: NetworkManager, systemd-networkd. Neither
//! is started for it.

use std::time::Duration;

use onload_core::names::InterfaceName;
use onload_core::network::Owner;
use onload_core::step::{Outcome, StepError};
use zbus::proxy::MethodFlags;
use zbus::wire::DynamicDeserialize;
use zbus::{Connection, DynamicType, ObjectPath, OwnedObjectPath, Proxy};

const NETWORK_MANAGER: &str = "org.freedesktop.NetworkManager";
const NETWORK_MANAGER_PATH: &str = "/org/freedesktop/NetworkManager";
const SETTINGS: &str = "org.freedesktop.NetworkManager.Settings";
const SETTINGS_PATH: &str = "/org/freedesktop/NetworkManager/Settings";
const UNKNOWN_DEVICE: &str = "org.freedesktop.NetworkManager.UnknownDevice";
/// What stands for nothing in particular.
const NONE: &str = "/";
const NETWORKD: &str = "org.freedesktop.network1";
const NETWORKD_PATH: &str = "/org/freedesktop/network1";
const NETWORKD_MANAGER: &str = "org.freedesktop.network1.Manager";
/// How long the bus, and each call, may take. Both answer when what is asked has begun.
const ANSWER: Duration = Duration::from_secs(10);

/// Asks the owner of an interface to set it up again, over the system bus.
///
/// # Errors
/// The bus or the owner is not there, or it refuses.
pub(super) async fn hand_back(
    interface: &InterfaceName,
    owner: &Owner,
) -> Result<Outcome, StepError> {
    let asked = async {
        let bus = in_time(Connection::system()).await?;
        ask(&bus, interface, owner).await
    };
    asked.await.map_err(|error| {
        let who = match owner {
            Owner::Nobody => "nobody",
            Owner::NetworkManager(_) => "NetworkManager",
            Owner::Networkd => "systemd-networkd",
        };
        StepError::Failed(format!("{who} was not asked to set {interface} up again: {error}"))
    })
}

async fn ask(bus: &Connection, interface: &InterfaceName, owner: &Owner) -> zbus::Result<Outcome> {
    match owner {
        Owner::Nobody => Ok(Outcome::Unchanged),
        Owner::NetworkManager(uuid) => {
            let settings = proxy(bus, NETWORK_MANAGER, SETTINGS_PATH, SETTINGS).await?;
            let connection: OwnedObjectPath =
                call(&settings, "GetConnectionByUuid", &uuid.as_str()).await?;
            let manager =
                proxy(bus, NETWORK_MANAGER, NETWORK_MANAGER_PATH, NETWORK_MANAGER).await?;
            let device = call(&manager, "GetDeviceByIpIface", &interface.as_str()).await;
            let none = || ObjectPath::try_from(NONE);
            let device: OwnedObjectPath = match device {
                // One that it is to make itself, or that has not appeared to it yet.
                Err(zbus::Error::MethodError(name, ..)) if name.as_str() == UNKNOWN_DEVICE => {
                    none()?.into()
                }
                device => device?,
            };
            let body = (&connection, &device, &none()?);
            let _: OwnedObjectPath = call(&manager, "ActivateConnection", &body).await?;
            Ok(Outcome::Changed)
        }
        Owner::Networkd => {
            let manager = proxy(bus, NETWORKD, NETWORKD_PATH, NETWORKD_MANAGER).await?;
            let (index, _): (i32, OwnedObjectPath) =
                call(&manager, "GetLinkByName", &interface.as_str()).await?;
            let () = call(&manager, "ReconfigureLink", &index).await?;
            Ok(Outcome::Changed)
        }
    }
}

/// A service that is only called: no signal of it is waited for, no property kept.
async fn proxy(
    bus: &Connection,
    service: &'static str,
    path: &'static str,
    interface: &'static str,
) -> zbus::Result<Proxy<'static>> {
    zbus::proxy::Builder::new(bus)
        .destination(service)
        .path(path)
        .interface(interface)
        .cache_properties(zbus::proxy::CacheProperties::No)
        .build()
        .await
}

async fn call<B, R>(proxy: &Proxy<'_>, method: &'static str, body: &B) -> zbus::Result<R>
where
    B: serde::Serialize + DynamicType,
    R: for<'d> DynamicDeserialize<'d>,
{
    let flags = MethodFlags::NO_AUTO_START;
    let answer = in_time(proxy.call_with_flags(method, flags, body)).await?;
    answer.ok_or_else(|| zbus::Error::Failure("it gave no answer".to_owned()))
}

async fn in_time<T>(call: impl Future<Output = zbus::Result<T>>) -> zbus::Result<T> {
    tokio::time::timeout(ANSWER, call).await.unwrap_or_else(|_| {
        Err(zbus::Error::Failure(format!("there was no answer within {} s", ANSWER.as_secs())))
    })
}

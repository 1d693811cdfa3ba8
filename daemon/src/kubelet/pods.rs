//! The kubelet's pod-resources as a client: one question, one connection, nothing kept. The
//! kubelet's directory is never made or watched here; a socket that is not there is an answer.

use std::path::{Path, PathBuf};
use std::time::Duration;

use onload_core::allocation::PodContainer;
use onload_core::pods::{Held, Offered, PodList};

use super::pods_api::pod_resources_lister_client::PodResourcesListerClient;
use super::pods_api::{
    AllocatableResourcesRequest, ContainerDevices, ListPodResourcesRequest, PodResources,
};
use super::registration::connect;

/// For the whole question. The kubelet answers from memory; a node that is so busy is asked again.
const LIMIT: Duration = Duration::from_secs(10);
/// The largest answer, as the kubelet's own clients bound it: gRPC's usual 4 MiB is too little for
/// many containers that each have many CPUs.
const LARGEST: usize = 16 * 1024 * 1024;

/// Why the kubelet has not said what its pods have.
#[derive(Debug, thiserror::Error)]
pub enum PodsError {
    /// There is no such socket.
    #[error("{} is not there", path.display())]
    Absent {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Nobody was reached through it.
    #[error("{}: {why}", path.display())]
    Unreached {
        /// The socket.
        path: PathBuf,
        /// The error, with what lies behind it.
        why: String,
    },
    /// An error came back, or what is no answer.
    #[error("the kubelet's pod-resources: {0}")]
    Refused(String),
    /// Nothing came back.
    #[error("the kubelet's pod-resources did not answer within {0:?}")]
    Silent(Duration),
}

/// Asks the kubelet behind `socket` what all its pods have, and what it has for them.
///
/// # Errors
/// It cannot be asked, or says what does not read.
pub async fn list(socket: &Path) -> Result<PodList, PodsError> {
    list_within(socket, LIMIT).await
}

/// [`list`] with another limit of time; for tests, which cannot wait as long.
///
/// # Errors
/// As [`list`].
pub async fn list_within(socket: &Path, limit: Duration) -> Result<PodList, PodsError> {
    let path = || socket.to_owned();
    // Spares a node without one all the machinery of a connection.
    if !socket.exists() {
        return Err(PodsError::Absent { path: path() });
    }
    let call = async {
        let channel =
            connect(socket).await.map_err(|why| PodsError::Unreached { path: path(), why })?;
        let mut client = PodResourcesListerClient::new(channel).max_decoding_message_size(LARGEST);
        let mut second = client.clone();
        // Both at once, so that they cost hardly more than one.
        let (answer, offered) = tokio::join!(
            client.list(ListPodResourcesRequest {}),
            // An older kubelet does not know the question; a reason to know less, not nothing.
            tokio::time::timeout(
                limit / 2,
                second.get_allocatable_resources(AllocatableResourcesRequest {})
            ),
        );
        let answer = answer.map_err(|status| {
            PodsError::Refused(format!("{}: {}", status.code(), status.message()))
        })?;
        let mut list = read(answer.into_inner().pod_resources)?;
        list.offered = offered.ok().and_then(Result::ok).map(|offered| {
            let devices = offered.into_inner().devices.into_iter();
            let of_one = |one: ContainerDevices| Offered {
                resource: one.resource_name,
                devices: one.device_ids,
            };
            devices.map(of_one).collect()
        });
        Ok(list)
    };
    tokio::time::timeout(limit, call).await.map_err(|_| PodsError::Silent(limit))?
}

fn read(pods: Vec<PodResources>) -> Result<PodList, PodsError> {
    let mut list = PodList { pods: pods.len(), held: Vec::new(), offered: None };
    for pod in pods {
        for container in pod.containers {
            for devices in container.devices {
                let (namespace, name) = (pod.namespace.clone(), pod.name.clone());
                let holder = PodContainer::new(namespace, name, container.name.clone());
                let holder = holder.ok_or_else(|| {
                    PodsError::Refused("a container bears a name that is none".to_owned())
                })?;
                list.held.push(Held {
                    container: holder,
                    resource: devices.resource_name,
                    devices: devices.device_ids,
                });
            }
        }
    }
    Ok(list)
}

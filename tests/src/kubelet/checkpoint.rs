//! What the kubelet makes of the answers it keeps: it admits pods anew after a restart or a reboot,
//! and repeats the answer at each start of a container without ever calling Allocate again
//! (reference/kubelet-api.md sections 5 to 7).

use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;

use onloadd::kubelet::api::ContainerAllocateResponse;

use super::{Holding, Kubelet, Rejected, Seen};

/// Why a pod that had its devices is not started with them any more. The real kubelet fails the
/// pod, for good, in each case, and with these words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// The plugin has not registered yet.
    Unregistered,
    /// The plugin lists nothing that is healthy.
    NoneHealthy,
    /// These of the pod's devices are unhealthy, or not listed any more.
    Unhealthy(Vec<String>),
    /// The checkpoint does not know the pod, which is then started without any device.
    Unknown,
}

impl Kubelet {
    /// A container of the pod starts again after the kubelet or the node did: the pod is admitted
    /// anew by what the plugin lists now, and the container gets the answer of the first time.
    ///
    /// # Errors
    /// Why the pod fails instead.
    pub fn replay(&self, pod: u64) -> Result<ContainerAllocateResponse, Unfit> {
        let seen = self.seen();
        let held: Vec<_> = seen.held.iter().filter(|held| held.pod == pod).collect();
        let last = held.last().ok_or(Unfit::Unknown)?;
        held.iter().try_for_each(|held| seen.admits_anew(held))?;
        Ok(last.response.clone())
    }

    /// A container crashes and starts again while its pod stays: nothing is asked, nobody is told.
    pub fn restart_container(&self, pod: u64) -> Option<ContainerAllocateResponse> {
        self.held().into_iter().rfind(|held| held.pod == pod).map(|held| held.response)
    }

    /// The pod's init container has ended and its next one starts, with `count` of the devices that
    /// the former had. The rest stay blocked while the pod lives, and pod-resources, which name no
    /// init containers, do not show them.
    ///
    /// # Errors
    /// As [`Kubelet::allocate`].
    pub async fn next_container(&self, init: &Holding, count: usize) -> Result<Holding, Rejected> {
        let reusable = init.ids.iter().cloned().collect();
        let mut plugin = self.plugin(&init.resource)?;
        let preferred = plugin.preferred(self, &reusable, &reusable, count).await?;
        let ids: Vec<_> = preferred.intersection(&reusable).take(count).cloned().collect();
        let answer = self.call_allocate(&init.resource, super::admission::request(ids.clone()));
        let response = answer.await?.container_responses.pop().ok_or(Rejected::EmptyAnswer)?;
        let next = Holding { ids, response, ..init.clone() };
        self.node.seen.send_modify(|seen| {
            for held in seen.held.iter_mut().filter(|held| held.pod == init.pod) {
                held.admitted = false;
            }
            seen.held.push(next.clone());
        });
        Ok(next)
    }

    /// The pod has ended, and its devices can be had, but its object is still there and pod-resources
    /// go on listing it, as those of older kubelets do.
    pub fn finish(&self, pod: u64) {
        self.node.seen.send_modify(|seen| {
            let (finished, held) =
                std::mem::take(&mut seen.held).into_iter().partition(|held| held.pod == pod);
            seen.held = held;
            seen.finished.extend::<Vec<_>>(finished);
        });
    }

    /// The objects of pods that have ended are deleted.
    pub fn forget_finished(&self) {
        self.node.seen.send_modify(|seen| seen.finished.clear());
    }

    /// Somebody deletes the checkpoint. A kubelet that runs goes on; to be done while it is stopped.
    pub fn lose_checkpoint(&self) {
        self.node.seen.send_modify(|seen| seen.held.clear());
    }
}

impl Seen {
    fn admits_anew(&self, held: &Holding) -> Result<(), Unfit> {
        let Some(devices) = self.resources.get(&held.resource) else {
            return Err(Unfit::Unregistered);
        };
        if !devices.values().any(super::DeviceSeen::is_healthy) {
            return Err(Unfit::NoneHealthy);
        }
        let is_sick = |id: &&String| !devices.get(*id).is_some_and(super::DeviceSeen::is_healthy);
        let sick: Vec<_> = held.ids.iter().filter(is_sick).cloned().collect();
        if sick.is_empty() { Ok(()) } else { Err(Unfit::Unhealthy(sick)) }
    }
}

/// Where an answer's mounts lead at this moment, as a runtime finds out when it starts a container:
/// the path in the container and the directory of the host, links followed.
///
/// # Errors
/// A path leads nowhere, and the container would not start.
pub fn resolve(answer: &ContainerAllocateResponse) -> io::Result<Vec<(String, PathBuf)>> {
    let mounts = answer.mounts.iter();
    mounts
        .map(|mount| Ok((mount.container_path.clone(), fs::canonicalize(&mount.host_path)?)))
        .collect()
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unregistered => write!(f, "cannot allocate unregistered device"),
            Self::NoneHealthy => write!(f, "no healthy devices present"),
            Self::Unhealthy(ids) => {
                write!(f, "previously allocated devices are no longer healthy: {}", ids.join(", "))
            }
            Self::Unknown => write!(f, "not known: the pod starts without any device"),
        }
    }
}

impl std::error::Error for Unfit {}

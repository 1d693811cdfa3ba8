//! The stand-in for the kubelet as a service of a guest: the agent's program runs it, and keeps what
//! plugins have told it in a file that cases read.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::runtime;

use super::{Guest, Options};
use crate::kubelet::{Kubelet, Seen};

/// The word on the agent's command line.
pub const WORD: &str = "kubelet";
/// Where kubelets have it (`reference/kubelet-api.md` section 1).
const DIRECTORY: &str = "/var/lib/kubelet/device-plugins";
/// What was told in this boot.
pub const TOLD: &str = "/run/kubelet.json";

/// What plugins have told it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Resource and socket of each accepted registration, in order.
    pub registrations: Vec<(String, String)>,
    /// The health of each device, by resource and id.
    pub devices: BTreeMap<String, BTreeMap<String, String>>,
}

impl Told {
    fn of(seen: &Seen) -> Self {
        let registrations =
            seen.registrations.iter().map(|one| (one.resource.clone(), one.endpoint.clone()));
        let devices = seen.resources.iter().map(|(resource, devices)| {
            let health = devices.iter().map(|(id, device)| (id.clone(), device.health.clone()));
            (resource.clone(), health.collect())
        });
        Self { registrations: registrations.collect(), devices: devices.collect() }
    }
}

/// Runs it, as long as nobody ends it.
///
/// # Errors
/// Its directory cannot be made, or the file not be written.
pub fn run() -> anyhow::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let kubelet = Kubelet::start(DIRECTORY).await?;
        let mut told = Told::of(&kubelet.seen());
        loop {
            keep(&told)?;
            let news = |seen: &Seen| Told::of(seen) != told;
            told = Told::of(&kubelet.wait_until("news", Duration::MAX, news).await?);
        }
    })
}

/// Whole or not at all, for it is read meanwhile.
fn keep(told: &Told) -> anyhow::Result<()> {
    let next = Path::new(TOLD).with_extension("next");
    fs::write(&next, serde_json::to_vec(told)?)?;
    Ok(fs::rename(next, TOLD)?)
}

impl Options {
    /// Adds a kubelet, which starts after the network.
    #[must_use]
    pub fn kubelet(self) -> Self {
        let unit = format!(
            "[Unit]\nAfter=network.target\n[Service]\nExecStart=/usr/lib/guest/agent {WORD}\n"
        );
        // Not by a link, which is no file.
        let wanted = "[Unit]\nWants=kubelet.service\n";
        self.file("/etc/systemd/system/kubelet.service", unit, 0o644).file(
            "/etc/systemd/system/multi-user.target.d/kubelet.conf",
            wanted,
            0o644,
        )
    }
}

impl Guest {
    /// What its kubelet was told in this boot.
    ///
    /// # Errors
    /// It has none, or that has not started yet.
    pub fn kubelet(&self) -> anyhow::Result<Told> {
        Ok(serde_json::from_slice(&self.get(TOLD)?)?)
    }
}

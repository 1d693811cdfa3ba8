//! What onloadd says of the node, as checks: every condition, and what stands beside it.

use std::collections::BTreeMap;

use onload_core::verify::condition::{InTheWay, Said, judge};
use onload_core::verify::container::Container;
use onload_core::verify::node::{self as other, Signature};
use onload_core::verify::{Check, Verdict, host as machine};
use onload_dbus::error::{exit, state_exit_code};

use super::host::Host;
use super::pods;
use crate::bus::Bus;
use crate::commands::allocations::{self, Allocations};
use crate::commands::config::{self, Config};
use crate::commands::keys::secure_boot::{self, SecureBoot};
use crate::commands::modules::{self, Modules};
use crate::commands::naming::{self, Names};
use crate::commands::ports::{self, Ports};
use crate::commands::release::{self, Releases};
use crate::commands::status::{self, Status};
use crate::ended::Ended;

/// Everything that onloadd says.
#[derive(Debug)]
pub struct Seen {
    pub status: Status,
    ports: Ports,
    modules: Modules,
    releases: Releases,
    trust: SecureBoot,
    names: Names,
    allocations: Allocations,
    config: Config,
}

/// Reads it.
pub async fn read(bus: &Bus) -> Result<Seen, Ended> {
    Ok(Seen {
        status: status::read(bus).await?,
        ports: ports::read(bus).await?,
        modules: modules::read(bus).await?,
        releases: release::read(bus).await?,
        trust: secure_boot::read(bus).await?,
        names: naming::read(bus).await?,
        allocations: allocations::read(bus).await?,
        config: config::read(bus).await?,
    })
}

impl Seen {
    /// All checks, in the order in which one needs the other. `here`: the machine, or why it is not
    /// looked at; `stack`: how a program of ours fared.
    pub fn checks(&self, here: Result<&Host, &str>, stack: Check) -> Vec<Check> {
        let mut left = self.conditions();
        // A daemon that lacks one is told by the check that goes without.
        let mut of = |id: &str| left.iter().position(|one| one.id == id).map(|at| left.remove(at));
        let beside = |condition: Option<Check>, seen: Check| match condition {
            Some(condition) => condition.beside(seen),
            None => seen,
        };
        let mut checks = vec![self.answers()];
        checks.extend(of("ready"));
        checks.push(beside(of("modules"), self.loaded()));
        checks.push(match of("ports") {
            // Whether a driver is as wanted is the condition's to say, where it says it.
            Some(told) if told.verdict != Verdict::Skip => {
                Check { looked: self.drivers().looked, ..told }
            }
            told => beside(told, self.drivers()),
        });
        checks.push(self.signatures());
        checks.extend(of("keys"));
        checks.push(self.nodes(here));
        checks.push(self.libraries());
        let servers = here.map(|host| machine::control_plane(&host.servers()));
        checks.extend(match (of("control-plane"), servers) {
            (Some(told), Ok(seen)) if told.verdict != Verdict::Skip => Some(told.beside(seen)),
            (told, _) => told,
        });
        checks.push(stack);
        checks.extend(["parameters", "initramfs", "managers"].into_iter().filter_map(&mut of));
        checks.push(beside(of("names"), self.named()));
        let rest = ["network", "clock", "clock-undisputed", "clock-supervised", "devices"];
        checks.extend(rest.into_iter().filter_map(&mut of));
        let has_kubelet = here.is_ok_and(Host::has_kubelet);
        checks.extend(of("kubelet").map(|told| self.registered(told, has_kubelet)));
        checks.extend(of("allocations"));
        checks.extend(self.containers(None, here).iter().map(Container::preload));
        checks.extend(left);
        let mut unsaid = self.unsaid(&checks);
        checks.append(&mut unsaid);
        checks
    }

    fn conditions(&self) -> Vec<Check> {
        let blockers: Vec<_> = self
            .status
            .blockers
            .iter()
            .map(|one| InTheWay { reason: &one.reason, why: &one.why, fix: &one.fix })
            .collect();
        let waits = state_exit_code(&self.status.state) == exit::BLOCKED;
        let check = |one: &status::Condition| {
            let (kind, status) = (one.kind.as_str(), one.status.as_str());
            let said = Said { kind, status, reason: &one.reason, message: &one.message };
            judge(&said, &blockers, waits)
        };
        self.status.conditions.iter().map(check).collect()
    }

    fn answers(&self) -> Check {
        let version = self.status.version.as_deref().unwrap_or("?");
        let looked = format!("version {version}, node {}", self.status.state);
        Check::new("bus", "onloadd answers", looked)
    }

    fn loaded(&self) -> Check {
        let told: Vec<_> = self
            .modules
            .modules
            .iter()
            .filter(|one| one.wanted || one.loaded == Some(true))
            .map(|one| format!("{} {}", one.name, one.state.as_deref().unwrap_or("?")))
            .collect();
        Check::new("modules", "modules loaded", told.join(", "))
    }

    fn drivers(&self) -> Check {
        let port = |one: &ports::Port| {
            let driver = match (&one.driver, &one.driver_origin) {
                (Some(driver), Some(origin)) => format!("{driver} ({origin})"),
                (Some(driver), None) => driver.clone(),
                (None, _) => "no driver".to_owned(),
            };
            (one.address.clone(), driver, one.obstacle.clone())
        };
        let ports: Vec<_> = self.ports.ports.iter().map(port).collect();
        other::ports(&ports)
    }

    fn signatures(&self) -> Check {
        let loaded = self.status.loaded_release.as_deref();
        let release = loaded.or(self.status.wanted_release.as_deref());
        let verdicts = release.and_then(|release| self.trust.verdicts.get(release));
        let signature = |one: &secure_boot::Verdict| Signature {
            module: one.module.clone(),
            verdict: one.verdict.clone(),
            why: one.why.clone(),
            fix: one.fix.clone().unwrap_or_default(),
        };
        let all: Vec<_> = verdicts.into_iter().flatten().map(signature).collect();
        other::signatures(&self.trust.state, release, loaded.is_some(), &all)
    }

    fn nodes(&self, here: Result<&Host, &str>) -> Check {
        let host = match here {
            Ok(host) => host,
            Err(why) => return Check::new("nodes", "device nodes", "").skip(why),
        };
        let onload = self.modules.modules.iter().find(|one| one.name == "onload");
        let loaded = onload.map_or(Some(false), |one| one.loaded);
        machine::nodes(&host.device_nodes(), loaded)
    }

    fn libraries(&self) -> Check {
        let fits = self.releases.releases.iter().filter(|one| !one.libraries.is_empty());
        let fits: Vec<_> = fits.map(|one| (one.name.clone(), one.matches_driver.clone())).collect();
        other::libraries(self.status.loaded_release.as_deref(), &fits)
    }

    fn named(&self) -> Check {
        let conflicts = |port: &naming::Port| {
            let all = port.conflicts.iter();
            let conflicts = all
                .map(|one| (format!("{}: {}: {}", port.port, one.what, one.why), one.fix.clone()));
            let troubles = port
                .troubles
                .iter()
                .map(|one| (format!("{}: {}", port.port, one.why), one.fix.clone()));
            conflicts.chain(troubles).collect::<Vec<_>>()
        };
        let against: Vec<_> = self.names.ports.iter().flat_map(conflicts).collect();
        other::names(self.names.ports.len(), &against)
    }

    fn registered(&self, told: Check, has_kubelet: bool) -> Check {
        let pool = |one: &crate::commands::pools::Pool| {
            let resource = one.resource.as_deref().unwrap_or("?");
            format!("{resource} {}", if one.registered { "registered" } else { "not registered" })
        };
        let looked: Vec<_> = self.status.pools.iter().map(pool).collect();
        let told = told.beside(Check::new("kubelet", "", looked.join(", ")));
        other::kubelet(told, has_kubelet)
    }

    /// Containers that hold devices, of a pod or all.
    pub fn containers(
        &self,
        pod: Option<(&str, &str)>,
        here: Result<&Host, &str>,
    ) -> Vec<Container> {
        let settings: BTreeMap<_, _> =
            self.config.settings.iter().map(|one| (one.key.as_str(), one.value.as_str())).collect();
        let preloads = |pool: &str| {
            let key = format!("pools.{pool}.preload");
            settings.get(key.as_str()).is_none_or(|value| *value != "false")
        };
        pods::containers(&self.allocations.allocations, pod, &preloads, here)
    }

    /// What `status` says is in the way and no check has said.
    fn unsaid(&self, checks: &[Check]) -> Vec<Check> {
        let said = |why: &str| {
            checks.iter().any(|one| one.why.as_ref().is_some_and(|text| text.contains(why)))
        };
        let unsaid = self.status.blockers.iter().filter(|one| !said(&one.why));
        let check = |one: &status::Blocker| {
            let check = Check::new("blocker", &one.subject, one.reason.clone());
            check.blocked(one.why.clone(), one.fix.clone())
        };
        unsaid.map(check).collect()
    }
}

//! The conformance suite on every host there is.

// A test that cannot unwrap has failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use onload_core::inventory::{Look, Snapshot};
use onload_core::names::ReleaseName;
use onload_core::reading::Reading;
use onload_core::refusal::{Refusal, RefusalKind};
use onload_core::secure_boot::keyring::SystemRing;
use onload_core::secure_boot::request::write::Write;
use onload_tests::conformance;
use onloadd::host::Host;
use onloadd::host::linux::{Linux, Places};
use onloadd::host::sim::{Sim, World};

/// Runs the suite, prints each case, and fails with all that failed.
async fn conforms<H: Host>(name: &str, host: &H) {
    let mut failed = Vec::new();
    for (case, verdict) in conformance::run(host).await {
        match verdict {
            Ok(()) => println!("{name}: {case}: ok"),
            Err(error) => {
                println!("{name}: {case}: FAILED: {error:#}");
                failed.push(format!("{case}: {error:#}"));
            }
        }
    }
    assert!(failed.is_empty(), "{name} breaks its promises:\n{}", failed.join("\n"));
}

fn shipped(name: &str) -> Sim {
    Sim::new(World::parse(World::shipped(name).unwrap()).unwrap())
}

#[tokio::test]
async fn the_simulated_host_keeps_its_promises_in_every_shipped_world() {
    for name in World::shipped_names() {
        conforms(name, &shipped(name)).await;
    }
}

/// The moments a host is likeliest to be wrong in: after each of these lines it must still conform.
#[tokio::test]
async fn the_simulated_host_keeps_its_promises_in_the_middle_of_trouble() {
    let moments = [
        "control-plane dies",
        "open /dev/sfc_char 4711",
        "link 0000:3b:00.0 down",
        "rename ens1f0 fast0",
        "unplug 0000:3b:00.1",
        "fault unreadable ports",
        "fault unreadable modules",
        "fault unreadable 0000:af:00.0",
        "clear faults",
        "fault storm 5",
        "driver gone sfc_char",
        "fault load onload hang times 1",
        "load onload",
        "reboot",
        "load onload",
        "run 7 as trader in trader.service",
        "clock ens1f0 8 in container c1",
        "address ens1f0 192.0.2.1/24",
        "driver gone sfc",
        "coldplug",
        "fault unload sfc hang times 1",
        "unload sfc",
        "fault unreadable trust",
        "clear faults",
        "attend",
        "revoke site-modules",
        "reboot",
    ];
    let sim = shipped("two-x2522");
    for line in moments {
        sim.act(&line.parse().unwrap()).unwrap_or_else(|error| panic!("{line}: {error}"));
        conforms(&format!("two-x2522 after `{line}`"), &sim).await;
    }
    let moments = [
        "clockd chronyd.service run",
        "clockd 9c1f7f3d0a52 run",
        "clockd sfptpd.service hang",
        "clockd sfptpd.service crash 19",
        "clockd sfptpd.service fails 16",
        "driver gone sfc",
        "template gone",
        "fault unreadable clocks",
    ];
    let sim = shipped("clocks");
    for line in moments {
        // Refused is as good as done: what it was started into has ended it.
        let _ = sim.act(&line.parse().unwrap());
        conforms(&format!("clocks after `{line}`"), &sim).await;
    }
}

/// A host that forgets one promise, so that the suite is known to notice.
struct Broken(Sim);

impl Host for Broken {
    async fn observe(&self, look: impl Into<Look>) -> Snapshot {
        let look = look.into();
        let mut snapshot = self.0.observe(look).await;
        if let Reading::Known(modules) = &mut snapshot.modules {
            modules.remove(&"onload".parse().unwrap());
        }
        let trust = Arc::make_mut(&mut snapshot.trust);
        let kernel = trust.kernel.clone().into_known().unwrap();
        trust.configs.insert("0.0.1".parse().unwrap(), Reading::Absent);
        trust.secure_boot = Reading::Absent;
        trust.sig_enforce = Reading::Absent;
        assert!(trust.configs[&kernel].known().is_some() && trust.mok.known().is_some());
        let Some(Reading::Known(builtin)) = trust.rings.get_mut(&SystemRing::Builtin) else {
            panic!("the world has keys built in");
        };
        builtin.rings.insert(SystemRing::Machine);
        snapshot
    }

    async fn apply(
        &self,
        _: &onload_core::step::Step,
    ) -> Result<onload_core::step::Outcome, onload_core::step::StepError> {
        Ok(onload_core::step::Outcome::Changed)
    }

    async fn import(&self, _: OwnedFd, _: Option<ReleaseName>) -> Result<ReleaseName, Refusal> {
        Err(Refusal::new(RefusalKind::Internal, "", "", ""))
    }

    async fn remove(&self, _: &ReleaseName) -> Result<(), Refusal> {
        Ok(())
    }

    async fn write_variables(&self, _: &[Write]) -> Result<(), Refusal> {
        Ok(())
    }

    async fn changed(&self) {}
}

#[tokio::test]
async fn the_suite_notices_what_is_broken() {
    let broken: Vec<&str> = conformance::run(&Broken(shipped("two-x2522")))
        .await
        .into_iter()
        .filter(|(_, verdict)| verdict.is_err())
        .map(|(case, _)| case)
        .collect();
    let expected = [
        "a step that holds is unchanged",
        "a step on an absent module changes nothing",
        "whatever else holds is unchanged",
        "a look at clocks finds what it was asked for",
        "no hint comes while nothing happens",
        "holders of a loaded module are loaded",
        "what the driver says is absent exactly when onload is",
        "trust is of the kernel that runs",
        "rings hold what such rings hold",
        "what the kernel enforces is what it was built for",
        "nothing is read of shim where there is no EFI",
    ];
    assert_eq!(broken, expected);
}

#[tokio::test]
async fn the_linux_host_keeps_its_promises_on_the_real_root() {
    let host = Linux::open(Places {
        root: PathBuf::from("/"),
        kubelet_directory: PathBuf::from("/var/lib/kubelet/device-plugins"),
        state_directory: PathBuf::from("/var/lib/onloadd"),
    });
    conforms("the real root", &host.unwrap()).await;
}

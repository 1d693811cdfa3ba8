//! The features themselves, from what every other verb reads.

use std::collections::BTreeMap;

use onload_dbus::path::Kind;

use crate::bus::{Bus, Subject, of_kind};
use crate::commands::clock::{self, Clock};
use crate::commands::ports::{Port, Ports};
use crate::ended::Ended;
use crate::kubernetes::label_value;
use crate::properties::Properties;

/// What the bus says of a driver that came with the kernel, and does not carry Onload.
const IN_TREE: &str = "in-tree";
/// What it says of a port that Onload reaches by no driver, and of one that it reaches by any.
const UNREACHED: &str = "none";
const ANY_DRIVER: &str = "af_xdp";

/// The facts that features are made of.
#[derive(Clone, Debug, Default)]
struct Facts {
    ports: Vec<Port>,
    version: Option<String>,
    release: Option<String>,
    secure_boot: Option<String>,
    clock: Option<Clock>,
}

/// Reads them.
pub async fn read(bus: &Bus) -> Result<BTreeMap<String, String>, Ended> {
    let (objects, trust) = tokio::join!(bus.objects(), bus.trust());
    let mut objects = objects?;
    let mut node = Properties::new(objects.remove(&Subject::Node).unwrap_or_default());
    let state: Option<String> = Properties::new(trust?).readable("state");
    let facts = Facts {
        ports: Ports::of(of_kind(&mut objects, Kind::Port)).ports,
        version: node.text("loaded_version"),
        release: node.text("loaded_release"),
        secure_boot: state.filter(|state| !state.is_empty() && state != "unknown"),
        clock: clock::of(&mut objects).into_iter().find(|clock| clock.name == clock::SYSTEM),
    };
    Ok(facts.features())
}

/// As the file has them.
pub fn lines(features: &BTreeMap<String, String>) -> String {
    features.iter().map(|(name, value)| format!("{name}={value}\n")).collect()
}

impl Facts {
    fn features(&self) -> BTreeMap<String, String> {
        // Ports of cards that Onload has left behind are no ports of Onload's.
        let reached = |port: &&Port| port.datapath.as_deref().is_some_and(|path| path != UNREACHED);
        let ports: Vec<_> = self.ports.iter().filter(reached).collect();
        let mut features = BTreeMap::new();
        let mut say = |name: &str, value: Option<String>| {
            if let Some(value) = value.as_deref().and_then(label_value) {
                features.insert(name.to_owned(), value);
            }
        };
        let truth = |truth: bool| Some(truth.to_string());
        say("onload-card.present", truth(!ports.is_empty()));
        for family in ports.iter().filter_map(|port| label_value(port.family.as_deref()?)) {
            say(&format!("onload-card-{family}.present"), truth(true));
        }
        if !ports.is_empty() {
            let bound: Vec<_> = ports.iter().map(|port| is_bound(port)).collect();
            say("onload-driver.bound", any(bound.iter().copied()).and_then(truth));
            let free = any(bound.iter().map(|bound| bound.map(|bound| !bound)));
            say("onload-driver.all-bound", free.and_then(|free| truth(!free)));
            let ready = ports.iter().filter(|port| is_ready(port)).count();
            say("onload-ports.ready", Some(ready.to_string()));
        }
        say("onload-version", self.version.clone());
        say("onload-release", self.release.clone());
        say("onload-secure-boot", self.secure_boot.clone());
        let clock = self.clock.as_ref().map(|clock| clock.synchronised.as_str());
        say(
            "onload-clock.synchronised",
            match clock {
                Some("yes") => truth(true),
                Some("no") => truth(false),
                Some(_) | None => None,
            },
        );
        features
    }
}

/// Whether a driver is bound to it by which Onload could reach it; none where that could not be read.
fn is_bound(port: &Port) -> Option<bool> {
    if port.datapath.as_deref() == Some(ANY_DRIVER) {
        return Some(port.driver.is_some());
    }
    let unknown =
        ["driver", "driver_origin"].iter().any(|name| port.unreadable.contains_key(*name));
    (!unknown).then(|| {
        port.driver.is_some() && port.driver_origin.as_deref().is_some_and(|from| from != IN_TREE)
    })
}

/// Whether Onload accelerates it just now.
fn is_ready(port: &Port) -> bool {
    port.obstacle.is_none() && !port.unreadable.contains_key("obstacle")
}

/// Whether one of them is so; none where no known one is and others are not known.
fn any(truths: impl Iterator<Item = Option<bool>> + Clone) -> Option<bool> {
    match truths.clone().any(|one| one == Some(true)) {
        true => Some(true),
        false => truths.clone().all(|one| one.is_some()).then_some(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(driver: Option<&str>, origin: Option<&str>) -> Port {
        Port {
            family: Some("X2".into()),
            datapath: Some("native".into()),
            driver: driver.map(str::to_owned),
            driver_origin: origin.map(str::to_owned),
            obstacle: (origin != Some("out-of-tree")).then(|| "no".into()),
            ..Port::default()
        }
    }

    fn of(ports: Vec<Port>) -> String {
        lines(&Facts { ports, ..Facts::default() }.features())
    }

    #[test]
    fn a_whole_node_in_lines() {
        let clock = Clock { synchronised: "no".into(), ..Clock::default() };
        let facts = Facts {
            ports: vec![port(Some("sfc"), Some("out-of-tree")), port(Some("sfc"), Some("in-tree"))],
            version: Some("9.2.1".into()),
            release: Some("host".into()),
            secure_boot: Some("enabled".into()),
            clock: Some(clock),
        };
        assert_eq!(
            lines(&facts.features()),
            "\
onload-card-X2.present=true
onload-card.present=true
onload-clock.synchronised=false
onload-driver.all-bound=false
onload-driver.bound=true
onload-ports.ready=1
onload-release=host
onload-secure-boot=enabled
onload-version=9.2.1
"
        );
    }

    #[test]
    fn what_is_not_known_has_no_line() {
        assert_eq!(of(Vec::new()), "onload-card.present=false\n");
        let mut old = port(Some("sfc"), Some("out-of-tree"));
        old.datapath = Some("none".into());
        assert_eq!(of(vec![old]), "onload-card.present=false\n");
        let mut blind = port(None, None);
        blind.unreadable = BTreeMap::from([("driver".into(), "EACCES".into())]);
        let alone = of(vec![blind.clone()]);
        assert!(!alone.contains("driver"), "{alone}");
        let beside = of(vec![blind.clone(), port(Some("sfc"), Some("out-of-tree"))]);
        assert!(beside.contains("driver.bound=true") && !beside.contains("all-bound"), "{beside}");
        let beside = of(vec![blind, port(None, None)]);
        assert!(beside.contains("all-bound=false") && !beside.contains("driver.bound"), "{beside}");
        let clock = Clock { synchronised: "unknown".into(), ..Clock::default() };
        let facts = Facts { clock: Some(clock), version: Some(String::new()), ..Facts::default() };
        assert_eq!(lines(&facts.features()), "onload-card.present=false\n");
    }
}

//! A pool with a profile, from its file to a container: real daemon, simulated machine, stand-in
//! kubelet.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops where it broke"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use onload_tests::background::Background;
use onload_tests::kubelet::Kubelet;
use onload_tests::node::{Node, PATIENCE};
use onload_tests::world;
use serde_json::Value;
use tempfile::NamedTempFile;

const RESOURCE: &str = "amd.com/onload";

/// A node whose release has the profiles of the tests, its kubelet, and where its CDI files are.
struct Stage {
    node: Node,
    background: Background,
    kubelet: Kubelet,
    cdi: PathBuf,
    _world: NamedTempFile,
}

impl Stage {
    fn new(pool: &str) -> Self {
        let names = ["latency.opf", "latency-best.opf", "safe.opf"];
        let texts = names.map(|name| (name, world::profile(name).unwrap()));
        let files = texts.each_ref().map(|(name, text)| (*name, text.as_str()));
        let world = world::with_profiles(&files).unwrap();
        let mut node = Node::stopped(world.path().to_str().unwrap()).unwrap();
        // What is there already, as /run is.
        fs::create_dir(node.config_root()).unwrap();
        let cdi = node.config_root().join("cdi");
        let stage = |node: &Node| configure(node, &cdi, pool);
        stage(&node);
        node.start().unwrap();
        let background = Background::start().unwrap();
        let kubelet = background.run(Kubelet::start(node.kubelet_directory())).unwrap();
        Self { node, background, kubelet, cdi, _world: world }
    }

    /// Waits until so many devices are healthy.
    fn until_healthy(&self, count: usize) {
        let are = |devices: &onload_tests::kubelet::Devices| {
            devices.len() == 4 && onload_tests::kubelet::healthy(devices) == count
        };
        self.background.run(self.kubelet.wait_for(RESOURCE, PATIENCE, are)).unwrap();
    }

    /// What a container that begins now has in its environment.
    fn environment(&self) -> BTreeMap<String, String> {
        let pod = self.background.run(self.kubelet.allocate(RESOURCE, 1)).unwrap();
        pod.response.envs.into_iter().collect()
    }

    fn file(&self) -> Option<Value> {
        let text = fs::read_to_string(self.cdi.join("amd.com-onload_onloadd.json")).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// The same by the CDI file.
    fn environment_by_name(&self) -> BTreeMap<String, String> {
        let file = self.file().unwrap();
        let each = file["containerEdits"]["env"].as_array().unwrap().iter();
        let each = each.map(|pair| pair.as_str().unwrap().split_once('=').unwrap());
        each.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// What `onloadctl profile env` prints for a profile of the tests, and the library.
    fn expected(&self, profile: &str) -> BTreeMap<String, String> {
        let directory = Node::repository("tests/profiles");
        let words = ["profile", "env", profile, "--directory", directory.to_str().unwrap()];
        let printed = self.node.ctl_ok(words).unwrap();
        let lines = printed.lines().map(|line| line.split_once('=').unwrap());
        let mut all: BTreeMap<_, _> =
            lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        assert!(all.len() > 2, "{printed}");
        let library = "/opt/onload/usr/lib64/libonload.so".to_owned();
        all.insert("LD_PRELOAD".to_owned(), library);
        all
    }
}

fn configure(node: &Node, cdi: &std::path::Path, pool: &str) {
    let text = format!("[cdi]\ndirectory = {cdi:?}\n[pools.onload]\nslots = 4\n{pool}\n");
    node.configure("test.toml", &text).unwrap();
}

#[test]
fn a_container_has_what_the_profile_comes_to_by_answer_and_by_name() {
    let mut stage = Stage::new("profile = \"latency\"");
    stage.until_healthy(4);
    let expected = stage.expected("latency");
    assert_eq!(stage.environment(), expected);
    assert_eq!(stage.environment_by_name(), expected);
    // Another profile is another answer, for who begins then.
    configure(&stage.node, &stage.cdi, "profile = \"safe\"");
    stage.node.ctl_ok(["reload"]).unwrap();
    let expected = stage.expected("safe");
    assert_eq!(stage.environment(), expected);
    let begun = std::time::Instant::now();
    while stage.environment_by_name() != expected {
        assert!(begun.elapsed() < PATIENCE, "{:?}", stage.environment_by_name());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    // A restart evaluates it anew.
    stage.node.kill().unwrap();
    stage.node.start().unwrap();
    stage.until_healthy(4);
    assert_eq!(stage.environment(), expected);
}

#[test]
fn a_profile_that_needs_a_shell_is_why_devices_are_not_to_be_had() {
    let stage = Stage::new("profile = \"latency-best\"");
    stage.until_healthy(0);
    assert!(stage.file().is_none(), "what cannot be served has no file");
    let refused = stage.background.run(stage.kubelet.allocate_ids(RESOURCE, &["onload-0"]));
    let place = "/usr/libexec/onload/profiles/latency-best.opf:6:15: ";
    let said = format!("{refused:?}");
    assert!(refused.is_err() && said.contains(place), "{said}");
    let devices = stage.node.json(&["pools", "onload"]).unwrap();
    let first = &devices["devices"][0];
    assert!(
        first.to_string().contains("\"Profile\"") && first.to_string().contains(place),
        "{first}"
    );
    for subject in ["onload-0", "amd.com/onload"] {
        let why = stage.node.ctl_ok(["why", subject]).unwrap();
        assert!(why.contains(place) && why.contains("needs a shell"), "{why}");
    }
    let output = stage.node.ctl_command(["run", "--", "true"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(4) && said.contains(place), "{said}");

    // The remedy that is told is a profile of one's own; a file that needs no shell is served.
    let own = stage.node.state_directory().join("own.opf");
    fs::write(&own, "onload_set EF_CTPIO_MODE ct\nonload_import latency-best\n").unwrap();
    // It is read below the daemon's own root.
    let root = stage.node.config_root();
    fs::create_dir_all(root.join("srv")).unwrap();
    fs::copy(&own, root.join("srv/own.opf")).unwrap();
    configure(&stage.node, &stage.cdi, "profile = \"/srv/own.opf\"");
    stage.node.ctl_ok(["reload"]).unwrap();
    stage.until_healthy(4);
    let environment = stage.environment();
    assert_eq!((&*environment["EF_CTPIO_MODE"], &*environment["EF_TPH_MODE"]), ("ct", "2"));
}

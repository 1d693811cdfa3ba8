//! The bus policy on a bus of its own, and the polkit actions.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio_stream::StreamExt as _;

use crate::{BUS_NAME, installed, is_root, read, repository, runs, skip, text};

/// A private bus starts in milliseconds; this is for a machine under load.
const BUS_START: Duration = Duration::from_secs(10);

/// `nobody`, on every distribution with systemd.
const NOBODY: &str = "65534";

/// A private bus with the rules of a system bus and our policy.
struct Bus {
    process: Child,
    address: String,
    _directory: TempDir,
}

impl Bus {
    fn start(policy: &Path) -> Self {
        let directory = TempDir::new().unwrap();
        // Other users must reach the socket.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let address = format!("unix:path={}/bus", directory.path().display());
        let config = format!(
            "<busconfig><type>system</type><listen>{address}</listen><auth>EXTERNAL</auth>\
             <policy context=\"default\"><allow user=\"*\"/><deny own=\"*\"/>\
             <deny send_type=\"method_call\"/><allow send_type=\"method_return\"/>\
             <allow send_type=\"error\"/><allow receive_type=\"method_call\"/>\
             <allow receive_type=\"method_return\"/><allow receive_type=\"error\"/>\
             <allow send_destination=\"org.freedesktop.DBus\"/></policy>\
             <include>{}</include></busconfig>",
            policy.display()
        );
        let file = directory.path().join("bus.conf");
        fs::write(&file, config).unwrap();
        let mut process = Command::new("dbus-daemon")
            .arg(format!("--config-file={}", file.display()))
            .args(["--nofork", "--nopidfile"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let started = Instant::now();
        while !directory.path().join("bus").exists() {
            if process.try_wait().unwrap().is_some() {
                panic!("the bus refuses: {}", text(&process.wait_with_output().unwrap()));
            }
            assert!(started.elapsed() < BUS_START, "no bus after {BUS_START:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { process, address, _directory: directory }
    }

    /// `busctl call` as nobody.
    fn nobody_calls(&self, arguments: &[&str]) -> Output {
        Command::new("setpriv")
            .args([
                "--reuid",
                NOBODY,
                "--clear-groups",
                "busctl",
                "--address",
                &self.address,
                "call",
            ])
            .args(arguments)
            .output()
            .unwrap()
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn the_bus_lets_root_be_onloadd_and_everybody_call() {
    const TEST: &str = "the_bus_lets_root_be_onloadd_and_everybody_call";
    if !runs("dbus-daemon") || !runs("busctl") || !runs("setpriv") || !is_root() {
        return skip(TEST, "needs dbus-daemon, busctl, setpriv and root, to be two users");
    }
    let (_scratch, root) = installed();
    let bus = Bus::start(&root.join(format!("usr/share/dbus-1/system.d/{BUS_NAME}.conf")));
    let driver = ["org.freedesktop.DBus", "/", "org.freedesktop.DBus"];
    let out = bus.nobody_calls(&[&driver[..], &["GetId"]].concat());
    assert!(out.status.success(), "nobody may speak to the bus itself: {}", text(&out));
    let out = bus.nobody_calls(&[&driver[..], &["RequestName", "su", BUS_NAME, "0"]].concat());
    assert!(!out.status.success() && text(&out).contains("Access denied"), "{}", text(&out));

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let out = runtime.block_on(async {
        let address = bus.address.as_str();
        let root = zbus::connection::Builder::address(address).build().await.unwrap();
        let mut arriving = zbus::MessageStream::from(&root);
        root.request_name(BUS_NAME).await.expect("root may be onloadd");
        let caller = tokio::task::spawn_blocking(move || {
            bus.nobody_calls(&[BUS_NAME, "/com/amd/Onload1", "com.amd.Onload1.Manager", "Ping"])
        });
        // Ends with the bus, which goes with the caller: a call that never arrives hangs nothing.
        while let Some(Ok(message)) = arriving.next().await {
            if message.header().member().is_some_and(|member| member == "Ping") {
                root.reply(&message.header(), &()).await.unwrap();
                break;
            }
        }
        caller.await.unwrap()
    });
    assert!(out.status.success(), "{}", text(&out));
}

/// Tags and the text between them, in order; fails where a tag is closed that was not open last.
fn xml(file: &Path) -> Vec<(String, String)> {
    let whole = read(file);
    let mut seen: Vec<(String, String)> = Vec::new();
    let mut open: Vec<&str> = Vec::new();
    let mut rest = whole.as_str();
    while let Some((before, after)) = rest.split_once('<') {
        if let Some(last) = seen.last_mut() {
            last.1 += before.trim();
        }
        let end = if after.starts_with("!--") { "-->" } else { ">" };
        let (tag, following) = after.split_once(end).expect("every tag ends");
        rest = following;
        if tag.starts_with(['?', '!']) {
            continue;
        }
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{}", file.display());
            continue;
        }
        if !tag.ends_with('/') {
            open.push(tag.split_whitespace().next().unwrap());
        }
        seen.push((tag.to_owned(), String::new()));
    }
    assert_eq!(open, Vec::<&str>::new(), "{}", file.display());
    seen
}

#[test]
fn polkit_knows_the_five_actions_and_only_borrowing_is_free() {
    let file = repository().join("dbus/policy/com.amd.onload1.policy");
    let mut actions: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    let mut current = String::new();
    for (tag, content) in xml(&file) {
        if let Some(id) = tag.strip_prefix("action id=\"com.amd.onload1.") {
            current = id.trim_end_matches('"').to_owned();
            assert!(actions.insert(current.clone(), Vec::new()).is_none(), "{current} twice");
        } else if let Some(action) = actions.get_mut(&current) {
            action.push((tag, content));
        }
    }
    let names: Vec<&str> = actions.keys().map(String::as_str).collect();
    assert_eq!(names, ["allocate", "hold", "manage-clock", "manage-keys", "manage-modules"]);
    for (name, members) in &actions {
        let tags: Vec<&str> = members.iter().map(|(tag, _)| tag.as_str()).collect();
        let wanted =
            ["description", "message", "defaults", "allow_any", "allow_inactive", "allow_active"];
        assert_eq!(tags, wanted, "{name}");
        assert!(members[..2].iter().all(|(_, said)| !said.is_empty()), "{name} says what it asks");
        let answers: Vec<&str> = members[3..].iter().map(|(_, answer)| answer.as_str()).collect();
        let expected = match name.as_str() {
            "allocate" => ["auth_admin", "auth_admin", "yes"],
            _ => ["auth_admin_keep"; 3],
        };
        assert_eq!(answers, expected, "{name}");
    }
}

#[test]
fn the_policies_are_well_formed() {
    let directory = repository().join("dbus/policy");
    let files: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.iter().all(|file| !xml(file).is_empty()));
    assert_eq!(files.len(), 2, "a new policy needs a test of its own");
}

//! What Ignition makes of it: a tree that onloadd, systemd and udev take.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use onload_tests::binaries::binary;
use onload_tests::node::Node;
use onload_tests::skip::skip;

use crate::applier::{Laid, Tree};
use crate::{IMAGE, exists, full, input, pull, render, tree, words};

/// Checks the configuration below a root as the daemon would read it.
fn check_config(root: &Path) -> (bool, String) {
    let mut command = Command::new(binary("onloadd"));
    let out = command.arg("--check-config").arg("--config-root").arg(root).output().unwrap();
    let said = [out.stdout, out.stderr].concat();
    (out.status.success(), String::from_utf8(said).unwrap())
}

#[test]
fn each_file_has_the_mode_it_is_meant_to_have() {
    let expected = |words: &[(&'static str, u32)]| -> BTreeMap<&'static str, u32> {
        words.iter().copied().collect()
    };
    let all = full();
    let laid = tree(&words(&all));
    let modes = expected(&[
        ("/etc/modprobe.d/onload.conf", 0o644),
        ("/etc/onloadd/keys/machineconfig.hash", 0o600),
        ("/etc/onloadd/keys/module.der", 0o644),
        ("/etc/onloadd/onloadd.toml.d/20-names.toml", 0o644),
        ("/etc/onloadd/onloadd.toml.d/50-site.toml", 0o644),
        ("/etc/onloadd/onloadd.toml.d/90-machineconfig.toml", 0o644),
        ("/etc/onloadd/sfptpd.cfg", 0o644),
        ("/etc/systemd/network/05-onload-000f53a10000.link", 0o644),
        ("/etc/systemd/network/05-onload-pci-0000-3b-00-1.link", 0o644),
    ]);
    assert_eq!(laid.modes(), modes);
    let all = pull();
    let fetched = tree(&words(&all));
    for (path, mode) in fetched.modes() {
        let intent = if path == "/usr/local/bin/onloadd-fetch" { 0o755 } else { 0o644 };
        assert_eq!(mode, intent, "{path}");
    }
}

#[test]
fn onloadd_takes_the_configuration_with_all_that_it_names() {
    for all in [full(), pull(), vec![]] {
        let root = tempfile::tempdir().unwrap();
        let laid = tree(&words(&all));
        laid.lay(root.path()).unwrap();
        let (holds, said) = check_config(root.path());
        assert!(holds, "{all:?}: {said}");
        // Laid again it is the same: what is there is written over.
        laid.lay(root.path()).unwrap();
        for (path, mode) in laid.modes() {
            let about = fs::metadata(root.path().join(&path[1..])).unwrap();
            assert_eq!(about.permissions().mode() & 0o7777, mode, "{path}");
        }
    }
    let root = tempfile::tempdir().unwrap();
    let all = full();
    tree(&words(&all)).lay(root.path()).unwrap();
    let der = fs::read(root.path().join("etc/onloadd/keys/module.der")).unwrap();
    assert_eq!(der, fs::read(Node::repository("tests/secure-boot/module.der")).unwrap());
    // The check can fail.
    let broken = root.path().join("etc/onloadd/onloadd.toml.d/91-x.toml");
    fs::write(broken, "[modules]\nrelaese = \"9.1.0\"\n").unwrap();
    assert!(!check_config(root.path()).0);
}

#[test]
fn a_layered_node_uses_the_drivers_of_its_image_unless_told_otherwise() {
    let own = "/etc/onloadd/onloadd.toml.d/90-machineconfig.toml";
    assert!(tree(&[]).text(own).contains("release = \"host\""));
    let site = tree(&["--config", &input("50-site.toml")]);
    assert!(!site.0.contains_key(own), "the site says which release for which kernel");
}

#[test]
fn a_node_that_fetches_has_the_units_of_the_package_with_other_places() {
    let all = pull();
    let laid = tree(&words(&all));
    for name in ["onloadd.service", "onloadd-boot.service"] {
        let shipped = fs::read_to_string(Node::repository("units").join(name)).unwrap();
        let text = laid.text(&format!("/etc/systemd/system/{name}"));
        let other: Vec<_> =
            text.lines().zip(shipped.lines()).filter(|(one, other)| one != other).collect();
        let [(ours, theirs)] = other[..] else { panic!("{name}: {other:?}") };
        assert_eq!(ours.replace("/usr/local/sbin/", "/usr/sbin/"), theirs);
        assert_eq!(text.lines().count(), shipped.lines().count());
        let drop_in = format!("/etc/systemd/system/{name}.d/10-fetched.conf");
        assert!(laid.text(&drop_in).contains("ConditionFileIsExecutable=/usr/local/sbin/onloadd"));
        let wants = format!("/etc/systemd/system/multi-user.target.wants/{name}");
        assert!(matches!(&laid.0[&wants], Laid::Link { .. }), "{name} starts at boot");
    }
    for (path, shipped) in [
        ("/etc/dbus-1/system.d/com.amd.Onload1.conf", "dbus/policy/com.amd.Onload1.conf"),
        ("/etc/udev/rules.d/60-onloadd.rules", "udev-rules/60-onloadd.rules"),
        ("/etc/sysusers.d/onloadd.conf", "units/onloadd.sysusers.conf"),
        ("/etc/tmpfiles.d/onloadd.conf", "units/onloadd.tmpfiles.conf"),
        ("/usr/local/bin/onloadd-fetch", "packaging/rhcos/onloadd-fetch"),
    ] {
        assert_eq!(
            laid.text(path),
            fs::read_to_string(Node::repository(shipped)).unwrap(),
            "{path}"
        );
    }
}

#[test]
fn a_release_is_not_called_off_by_what_fails_at_first_and_comes_later() {
    let unit = "/etc/systemd/system/onloadd-release.service";
    let left_out = format!("{unit}.d/10-fetched.conf");
    let release = ["--release", IMAGE, "--config", &input("50-site.toml")];
    for (laid, needs, after, fetched) in [
        (tree(&release), "onloadd.service", "onloadd.service", false),
        (
            tree(&words(&pull())),
            "onloadd-fetch.service",
            "onloadd-fetch.service onloadd.service",
            true,
        ),
    ] {
        let text = laid.text(unit);
        let says = |line: &str| text.lines().any(|one| one == line);
        assert!(says(&format!("Wants={needs}")) && says(&format!("After={after}")), "{text}");
        // With these the first failure of the other is the end of this one's start (systemd.unit(5)).
        for bad in ["Requires=", "Requisite=", "BindsTo=", "PartOf="] {
            assert!(!text.lines().any(|line| line.starts_with(bad)), "{text}");
        }
        // Its tries begin once there is a program to run, and the fetch begins them again: it fails
        // loudly, and for nothing but its own work.
        assert_eq!(laid.0.contains_key(&left_out), fetched, "{needs}");
        if fetched {
            let condition = "ConditionFileIsExecutable=/usr/local/sbin/onloadd";
            assert!(laid.text(&left_out).lines().any(|line| line == condition));
            let fetch = laid.text("/usr/local/bin/onloadd-fetch");
            let start = "systemctl start --no-block onloadd-release.service";
            let at = |line: &str| fetch.lines().position(|one| one == line).unwrap();
            assert!(at("systemctl restart onloadd.service") < at(start), "{fetch}");
        }
    }
}

#[test]
fn nothing_that_is_rendered_reboots_or_always_succeeds() {
    let release = ["--release", IMAGE, "--config", &input("50-site.toml")];
    for laid in [tree(&words(&pull())), tree(&release)] {
        for (path, text) in &laid.0 {
            let Laid::File { content, .. } = text else { continue };
            let text = String::from_utf8_lossy(content);
            let words = text.lines().filter(|line| !line.trim_start().starts_with('#'));
            for line in words {
                for bad in ["reboot", "poweroff", "podman run", "|| true", "SuccessExitStatus"] {
                    assert!(!line.contains(bad), "{path}: {line}");
                }
                assert!(!line.starts_with("ExecStart=-"), "{path}: {line}");
            }
        }
        for name in ["onloadd-fetch.service", "onloadd-release.service"] {
            let path = format!("/etc/systemd/system/{name}");
            if !laid.0.contains_key(&path) {
                continue;
            }
            let text = laid.text(&path);
            assert!(!text.contains('@'), "everything is filled in: {text}");
            for line in ["StartLimitBurst=5", "Restart=on-failure", "After=network-online.target"] {
                assert!(text.lines().any(|one| one == line), "{name}: {line}");
            }
        }
    }
}

/// Stands for programs that units run and that are not in the tree.
fn programs(root: &Path) {
    for path in [
        "usr/sbin/onloadd",
        "usr/bin/onloadctl",
        "usr/local/sbin/onloadd",
        "usr/local/bin/onloadctl",
        "usr/bin/busctl",
        "usr/sbin/sfptpd",
        "bin/sh",
    ] {
        let path = root.join(path);
        if !exists(&path) {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "#!/bin/sh\n").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
}

#[test]
fn systemd_takes_each_unit() {
    let runs = Command::new("systemd-analyze").arg("--version").output();
    if !runs.is_ok_and(|out| out.status.success()) {
        return skip("machineconfig: systemd-analyze verify", "there is no systemd-analyze");
    }
    let site = input("50-site.toml");
    let release = ["--release", IMAGE, "--config", &site];
    for (laid, shipped) in [(tree(&words(&pull())), false), (tree(&release), true)] {
        let root = tempfile::tempdir().unwrap();
        laid.lay(root.path()).unwrap();
        programs(root.path());
        let units = root.path().join("usr/lib/systemd/system");
        fs::create_dir_all(&units).unwrap();
        if shipped {
            fs::copy(Node::repository("units/onloadd.service"), units.join("onloadd.service"))
                .unwrap();
        }
        let faults = verify(root.path(), &laid);
        assert_eq!(faults, Vec::<String>::new());
        // It can fail: for a word, for a unit that is nowhere, and for a program that is.
        let path = root.path().join("etc/systemd/system/onloadd-release.service");
        let text = fs::read_to_string(&path).unwrap();
        for (good, wrong) in [
            ("Type=", "Typo="),
            ("Wants=onloadd", "Wants=onlaodd"),
            ("Wants=onloadd", "Requires=onlaodd"),
            ("bin/onloadctl release import", "bin/onlaodctl release import"),
        ] {
            assert!(text.contains(good), "{good}: {text}");
            fs::write(&path, text.replace(good, wrong)).unwrap();
            assert!(!verify(root.path(), &laid).is_empty(), "{wrong}");
        }
    }
}

/// Units of the OS that those of ours may name.
const FOREIGN: [&str; 17] = [
    "NetworkManager.service",
    "basic.target",
    "dbus.service",
    "kubelet.service",
    "modprobe@ptp.service",
    "multi-user.target",
    "network-online.target",
    "network-pre.target",
    "networking.service",
    "sfptpd.service",
    "shutdown.target",
    "sysinit.target",
    "systemd-modules-load.service",
    "systemd-networkd.service",
    "systemd-timesyncd.service",
    "systemd-udev-trigger.service",
    "systemd-udevd.service",
];
/// Settings that name units.
const NAMING: [&str; 9] = [
    "After",
    "Before",
    "BindsTo",
    "Conflicts",
    "PartOf",
    "Requires",
    "Requisite",
    "WantedBy",
    "Wants",
];

/// What systemd has against units of ours, and which they name that are neither there nor the OS's: of those
/// that are only wanted, or waited for, systemd says nothing.
fn verify(root: &Path, laid: &Tree) -> Vec<String> {
    let units: Vec<_> = laid
        .0
        .iter()
        .filter(|(path, what)| path.ends_with(".service") && matches!(what, Laid::File { .. }))
        .map(|(path, _)| path.rsplit('/').next().unwrap())
        .collect();
    assert!(!units.is_empty());
    let shipped = root.join("usr/lib/systemd/system");
    let mut faults = Vec::new();
    for unit in &units {
        let text = fs::read_to_string(root.join("etc/systemd/system").join(unit)).unwrap();
        let settings = text.lines().filter_map(|line| line.split_once('='));
        let named = settings
            .filter(|(key, _)| NAMING.contains(key))
            .flat_map(|(_, names)| names.split_whitespace());
        let unknown = named.filter(|name| {
            !FOREIGN.contains(name) && !units.contains(name) && !exists(&shipped.join(name))
        });
        faults.extend(unknown.map(|name| format!("{unit} names {name}")));
    }
    // Such as are required without being named stand there empty.
    for name in FOREIGN.iter().filter(|name| name.ends_with(".target")) {
        fs::write(shipped.join(name), "[Unit]\nDefaultDependencies=no\n").unwrap();
    }
    let out = Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=yes", "--root"])
        .arg(root)
        .args(&units)
        .output()
        .unwrap();
    faults.extend(String::from_utf8_lossy(&out.stderr).lines().map(str::to_owned));
    faults
}

/// A directory with the files of a small release.
fn small(root: &Path) {
    let modules = root.join("lib/modules/5.14.0-1.el9.x86_64/extra");
    fs::create_dir_all(&modules).unwrap();
    fs::write(modules.join("sfc.ko"), b"\x7fELF of no kernel").unwrap();
    fs::create_dir_all(root.join("usr/bin")).unwrap();
    fs::write(root.join("usr/bin/onload"), "#!/bin/sh\n").unwrap();
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(root.join("usr/bin/onload"), mode).unwrap();
    std::os::unix::fs::symlink("onload", root.join("usr/bin/link")).unwrap();
}

#[test]
fn a_small_release_travels_and_is_the_same_whoever_packs_it() {
    let places = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let archive = "/usr/local/share/onloadd/release.tar.gz";
    let packed = places.each_ref().map(|place| {
        small(place.path());
        let directory = place.path().display().to_string();
        let laid = tree(&["--release", &directory, "--config", &input("50-site.toml")]);
        let unit = laid.text("/etc/systemd/system/onloadd-release.service");
        let import = format!("release import --version 9.1.0 {archive}");
        assert!(unit.contains(&import) && !unit.contains("network-online"), "{unit}");
        laid.0[archive].clone()
    });
    assert_eq!(packed[0], packed[1]);
    let Laid::File { content, .. } = &packed[0] else { panic!("no file") };
    let out = places[0].path().join("packed.tar.gz");
    fs::write(&out, content).unwrap();
    let listed =
        Command::new("tar").arg("-tzvf").arg(&out).arg("--numeric-owner").output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let lines: Vec<Vec<_>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
    let seen: Vec<_> = lines.iter().map(|line| (line[0], line[1], line[5])).collect();
    assert_eq!(
        seen,
        [
            ("-rw-r--r--", "0/0", "lib/modules/5.14.0-1.el9.x86_64/extra/sfc.ko"),
            ("lrwxr-xr-x", "0/0", "usr/bin/link"),
            ("-rwxr-xr-x", "0/0", "usr/bin/onload"),
        ],
        "{listed}"
    );
}

#[test]
fn a_release_that_is_too_large_to_travel_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let file = fs::File::create(place.path().join("large.ko")).unwrap();
    file.set_len(17 * 1024 * 1024).unwrap();
    let directory = place.path().display().to_string();
    let ran = render(&["--release", &directory, "--config", &input("50-site.toml")]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{ran:?}");
    assert!(ran.err.contains("17825792 bytes") && ran.err.contains("--release IMAGE"), "{ran:?}");
}

//! What becomes of keys and requests over a start of the machine, and that verdicts say beforehand what
//! the simulated kernel does.

// A test that cannot unwrap has failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use onload_core::reading::Reading;
use onload_core::refusal::RefusalKind;
use onload_core::secure_boot::keyring::SystemRing;
use onload_core::secure_boot::request::ListChange;
use onload_core::secure_boot::request::write::Write;
use onload_core::secure_boot::trust::{Switch, Trust};
use onload_core::secure_boot::verdict::{Outcome, Verdict, verdict};
use onload_core::step::{Step, StepError};

use super::super::world::World;

/// A certificate that no world has.
const FOREIGN: &[u8] = include_bytes!("../../../../../tests/secure-boot/module.der");
/// What `mokutil --import` leaves in MokAuth.
const AUTH: &[u8] = include_bytes!("../../../../../tests/secure-boot/auth.bin");
/// Another certificate, and the same with a module signed by it.
const FOREIGN_PEM: &str = include_str!("../../../../../tests/secure-boot/module.pem");

const SITE: &str = "site-modules";

fn world(name: &str) -> World {
    World::parse(World::shipped(name).unwrap()).unwrap()
}

/// `unenrolled-key` with something else in it.
fn with(changes: &[(&str, &str)]) -> World {
    let mut text = World::shipped("unenrolled-key").unwrap().to_owned();
    for (old, new) in changes {
        assert!(text.contains(old), "{old}");
        text = text.replace(old, new);
    }
    World::parse(&text).unwrap()
}

fn act(world: &mut World, lines: &[&str]) {
    for line in lines {
        world.act(&line.parse().unwrap()).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

fn trust(world: &World) -> Arc<Trust> {
    world.snapshot().trust
}

fn site(world: &World) -> Vec<u8> {
    world.firmware.keys[&SITE.parse().unwrap()].0.clone()
}

/// A list with one certificate, as a variable holds it.
fn listed(der: &[u8]) -> Vec<u8> {
    let x509 = [
        0xa1, 0x59, 0xc0, 0xa5, 0xe4, 0x94, 0xa7, 0x4a, 0x87, 0xb5, 0xab, 0x15, 0x5c, 0x2b, 0xf0,
        0x72,
    ];
    let size = |bytes: usize| u32::try_from(bytes).unwrap().to_le_bytes();
    let head = [size(44 + der.len()), size(0), size(16 + der.len())].concat();
    [&x509[..], &head, &[7; 16], der].concat()
}

fn write(name: &str, data: &[u8]) -> Write {
    Write { name: name.to_owned(), data: Some(data.to_vec()) }
}

fn delete(name: &str) -> Write {
    Write { name: name.to_owned(), data: None }
}

fn import(der: &[u8]) -> [Write; 2] {
    [write("MokNew", &listed(der)), write("MokAuth", AUTH)]
}

/// The certificates that shim has, as this boot's kernel was told.
fn enrolled(world: &World) -> Vec<Vec<u8>> {
    let lists = trust(world).mok.clone().into_known().unwrap();
    lists.into_iter().flat_map(|list| list.entries).map(|entry| entry.data).collect()
}

fn in_ring(world: &World, ring: SystemRing) -> Option<usize> {
    trust(world).rings[&ring].known().map(|ring| ring.keys.len())
}

fn sfc(world: &mut World) -> Result<(), StepError> {
    let (module, release) = ("sfc".parse().unwrap(), "host".parse().unwrap());
    let loaded = world.apply(&Step::LoadModule { module, release }).map(drop);
    act(world, &["reboot"]);
    loaded
}

/// Compares, for each module file for the running kernel, what is said of it with what the kernel does
/// in a boot in which nothing else is loaded.
fn agree(what: &str, world: &mut World) -> usize {
    let snapshot = world.snapshot();
    let kernel = snapshot.kernel.known().unwrap();
    let mut compared = 0;
    for (release, found) in snapshot.releases.known().unwrap() {
        let files = found.modules.known().unwrap().get(kernel);
        for (module, file) in files.into_iter().flatten() {
            let said = verdict(file.signed.data(), &snapshot.trust, kernel);
            world.boot();
            let done = world.insert_alone(module, release);
            let taint = world.modules.get(module).map(|loaded| loaded.taint);
            let Verdict { outcome, .. } = &said;
            let as_said = match (outcome, &done, taint) {
                (Outcome::Refused { .. }, Err(StepError::KeyRejected { .. }), None)
                | (Outcome::Accepted { .. }, Ok(()), Some("" | "O"))
                | (Outcome::Tainted { .. }, Ok(()), Some("OE")) => true,
                // What the kernel looks at after the signature.
                (Outcome::Accepted { .. } | Outcome::Tainted { .. }, Err(error), None) => {
                    !matches!(error, StepError::KeyRejected { .. })
                }
                _ => false,
            };
            let signed = &file.signed;
            assert!(
                as_said,
                "{what}, {module} of {release}: {said:?}\n{done:?} {taint:?} {signed:?}"
            );
            compared += 1;
        }
    }
    compared
}

#[test]
fn verdicts_say_what_the_kernel_does() {
    let texts: Vec<(&str, String)> = World::shipped_names()
        .map(|name| (name, World::shipped(name).unwrap().to_owned()))
        .collect();
    let mut compared = 0;
    for (name, shipped) in &texts {
        let usual = [
            "shim = true\n",
            "run-time = \"writable\"\n",
            "run-time = \"none\"\n",
            "trusts = \"platform\"\n",
        ];
        let bare = usual.iter().fold(shipped.clone(), |text, line| text.replace(line, ""));
        let off = bare.replace("[secure-boot]\nenabled = true", "[secure-boot]\nenabled = false");
        let (kernel, own) = shipped.split_once("kernel = \"").unwrap().1.split_once('"').unwrap();
        assert!(own.contains("boot-id"));
        let upstream = |text: &str| text.replace(kernel, "6.12.0");
        let no_shim = bare.replace("enabled = true", "enabled = true\nshim = false");
        let unread = bare.replace("enabled = true", "enabled = true\nrun-time = \"none\"");
        for (how, text) in [
            ("as shipped", shipped.clone()),
            ("without Secure Boot", off.clone()),
            ("a kernel as kernel.org has it", upstream(&bare)),
            ("the same without Secure Boot", upstream(&off)),
            ("without shim", no_shim.clone()),
            ("a kernel as kernel.org has it without shim", upstream(&no_shim)),
            ("without run time", unread),
        ] {
            // What cannot be loaded any more need not be.
            let (head, tail) = text.split_once("[loaded]").unwrap_or((&text, ""));
            let kept = tail.find("\n[").and_then(|at| tail.get(at..)).unwrap_or_default();
            let text = format!("{head}{kept}");
            let mut world = World::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            let keyed = !world.firmware.keys.is_empty();
            let what = format!("{name}, {how}");
            compared += agree(&what, &mut world);
            for line in ["enrol site-modules", "revoke site-modules"].iter().filter(|_| keyed) {
                act(&mut world, &[line, "reboot"]);
                compared += agree(&format!("{what}, after {line}"), &mut world);
            }
        }
    }
    assert!(compared > 300, "{compared}");
}

#[test]
fn whom_each_kernel_trusts_shows() {
    let mut world = world("unenrolled-key");
    let before = trust(&world);
    assert_eq!(before.effective(), Reading::Known(Switch::On));
    assert!(enrolled(&world).is_empty());
    act(&mut world, &["enrol site-modules"]);
    assert!(Arc::ptr_eq(&before, &trust(&world)), "this kernel came up without it");
    act(&mut world, &["reboot"]);
    assert_eq!(enrolled(&world), [site(&world)]);
    let platform = (in_ring(&world, SystemRing::Platform), in_ring(&world, SystemRing::Machine));
    assert_eq!(platform, (Some(1), None));
    assert!(Arc::ptr_eq(&trust(&world), &trust(&world)), "it is told, not made");

    let mut world = with(&[("5.14.0-570.35.1.el9_6.x86_64", "6.12.0")]);
    act(&mut world, &["enrol site-modules", "reboot"]);
    let machine = (in_ring(&world, SystemRing::Platform), in_ring(&world, SystemRing::Machine));
    assert_eq!(machine, (Some(0), Some(1)));
    let trusted = trust(&world);
    assert!(trusted.mok_trusted.known().is_some());
    assert!(
        trusted.rings[&SystemRing::Secondary].known().unwrap().rings.contains(&SystemRing::Machine)
    );

    let mut world = with(&[("enabled = true", "enabled = true\nshim = false")]);
    act(&mut world, &["enrol site-modules", "reboot"]);
    assert!(trust(&world).mok.is_absent() && !world.has_shim());
    assert_eq!(trust(&world).db.known().unwrap().len(), 1, "the firmware's own then");
    assert_eq!(in_ring(&world, SystemRing::Platform), Some(1));
    let error = world.act(&"attend".parse().unwrap()).unwrap_err();
    assert!(error.to_string().contains("no shim"), "{error}");
    act(&mut world, &["fault unreadable trust"]);
    assert!(trust(&world).secure_boot.is_unreadable());
}

#[test]
fn a_request_waits_for_somebody_at_the_console_and_for_no_second_boot() {
    let mut world = world("unenrolled-key");
    let changes = world.changes();
    world.write_variables(&import(&site(&world))).unwrap();
    assert_eq!(world.changes(), changes + 1, "it is told");
    let asked = |world: &World| trust(world).requests.known().unwrap().any();
    assert!(asked(&world) && enrolled(&world).is_empty());
    world.write_variables(&import(&site(&world))).unwrap();
    assert_eq!(world.changes(), changes + 1, "nothing is new");

    act(&mut world, &["reboot"]);
    assert!(!asked(&world), "deleted before anybody was asked");
    assert!(enrolled(&world).is_empty() && world.variable("MokNew").is_none());
    act(&mut world, &["attend", "reboot"]);
    assert!(enrolled(&world).is_empty(), "whoever came was asked nothing");

    world.write_variables(&import(&site(&world))).unwrap();
    act(&mut world, &["reboot"]);
    world.write_variables(&import(&site(&world))).unwrap();
    assert!(matches!(sfc(&mut world), Err(StepError::KeyRejected { .. })));
    world.write_variables(&import(&site(&world))).unwrap();
    act(&mut world, &["attend", "reboot"]);
    assert_eq!(enrolled(&world), [site(&world)]);
    assert_eq!(sfc(&mut world), Ok(()));
    assert!(world.loaded_from("sfc").is_some(), "udev loads it from then on");
}

#[test]
fn what_shim_is_asked_for_is_done_as_it_does() {
    let timeout = |seconds: i32| write("MokTimeout", &seconds.to_le_bytes());
    let list = |name| write(name, &listed(FOREIGN));
    let auth = |name| write(name, AUTH);
    let damaged = || write("MokNew", &[0; 40]);
    let (new, agreed) = (|| list("MokNew"), || auth("MokAuth"));
    for (why, writes, attended, taken) in [
        ("asked and answered", vec![new(), agreed()], true, true),
        ("nobody there", vec![new(), agreed()], false, false),
        ("a long time, nobody there", vec![new(), agreed(), timeout(300)], false, false),
        ("a long time", vec![new(), agreed(), timeout(300)], true, true),
        ("no prompt at all", vec![new(), agreed(), timeout(0)], true, false),
        ("until somebody comes", vec![new(), agreed(), timeout(-1)], false, true),
        ("no password", vec![new()], true, false),
        ("a password that is none", vec![new(), write("MokAuth", &[0; 172])], true, false),
        ("no list", vec![agreed()], true, false),
        ("a list that does not read", vec![damaged(), agreed()], true, false),
        ("taken back", vec![new(), agreed(), delete("MokNew"), delete("MokAuth")], true, false),
    ] {
        let mut world = world("unenrolled-key");
        world.write_variables(&writes).unwrap();
        if attended {
            act(&mut world, &["attend"]);
        }
        act(&mut world, &["reboot"]);
        let expected: &[&[u8]] = if taken { &[FOREIGN] } else { &[] };
        assert_eq!(enrolled(&world), expected, "{why}");
        assert_eq!(in_ring(&world, SystemRing::Platform), Some(expected.len()), "{why}");
        assert!(world.firmware.variables.is_empty(), "{why}");
    }

    let mut world = world("unenrolled-key");
    let ask = |world: &mut World, change: ListChange| {
        let writes = [list(change.list_name()), auth(change.auth_name())];
        world.write_variables(&writes).unwrap();
        act(world, &["attend", "reboot"]);
        let rings = [SystemRing::Platform, SystemRing::Blacklist];
        rings.map(|ring| in_ring(world, ring).unwrap())
    };
    assert_eq!(ask(&mut world, ListChange::Enrol), [1, 0]);
    assert_eq!(ask(&mut world, ListChange::Forbid), [1, 1]);
    assert_eq!(ask(&mut world, ListChange::Remove), [0, 1]);
    assert_eq!(ask(&mut world, ListChange::Permit), [0, 0]);
}

#[test]
fn a_certificate_that_is_no_key_of_the_world_is_trusted_by_what_it_is() {
    // The same certificate, by a request and by what a module is signed with.
    let pem = FOREIGN_PEM.replace('\n', "\\n");
    let key = format!(
        "[[key]]\nname = \"foreign\"\ncertificate = \"{pem}\"\nenrolled = false\n\n[[clock]]"
    );
    let mut world =
        with(&[("[[clock]]", &key), ("signed-by = \"site-modules\"", "signed-by = \"foreign\"")]);
    assert!(sfc(&mut world).is_err());
    world.write_variables(&import(FOREIGN)).unwrap();
    act(&mut world, &["attend", "reboot"]);
    assert_eq!(sfc(&mut world), Ok(()));
    act(&mut world, &["revoke foreign"]);
    assert_eq!(sfc(&mut world), Ok(()), "from the next boot");
    assert!(matches!(sfc(&mut world), Err(StepError::KeyRejected { .. })));
}

#[test]
fn variables_are_written_whole_or_not_at_all() {
    let run_time =
        |how: &str| with(&[("enabled = true", &format!("enabled = true\nrun-time = \"{how}\""))]);
    for (mut world, kind, said) in [
        (run_time("read-only"), RefusalKind::Unsupported, "Read-only file system"),
        (run_time("none"), RefusalKind::Unsupported, "efi=noruntime"),
        (
            {
                let mut world = world("unenrolled-key");
                act(&mut world, &["fault no-room"]);
                world
            },
            RefusalKind::Blocked,
            "MokNew was not written: No space left on device",
        ),
    ] {
        let before = world.snapshot();
        let refused = world.write_variables(&import(FOREIGN)).unwrap_err();
        assert_eq!(refused.kind, kind);
        assert!(refused.why.contains(said), "{refused}");
        assert!(!refused.what.is_empty() && !refused.fix.is_empty());
        assert_eq!(world.snapshot(), before);
        assert!(world.variable("MokNew").is_none());
    }
    let mut world = world("unenrolled-key");
    act(&mut world, &["fault no-room"]);
    assert_eq!(world.write_variables(&[delete("MokNew")]), Ok(()), "what goes needs no room");
    let mixed = [delete("MokNew"), write("MokAuth", AUTH)];
    act(&mut world, &["clear faults"]);
    world.write_variables(&import(FOREIGN)).unwrap();
    act(&mut world, &["fault no-room"]);
    world.write_variables(&mixed).unwrap_err();
    assert_eq!(world.variable("MokNew"), Some(&*listed(FOREIGN)), "the deletion is undone");
}

#[test]
fn a_kernel_that_calls_no_firmware_reads_no_keys() {
    let key = ("enabled = true", "enabled = true\nrun-time = \"none\"");
    let mut world = with(&[key, ("enrolled = false", "enrolled = true")]);
    assert_eq!(enrolled(&world), [site(&world)], "shim's copies are there");
    assert_eq!(in_ring(&world, SystemRing::Platform), Some(0));
    assert!(trust(&world).requests.is_unreadable());
    assert!(matches!(sfc(&mut world), Err(StepError::KeyRejected { .. })));
}

//! What a world is refused for, each by a sentence that names it.

// A test that cannot unwrap has failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::super::world::World;
use super::WorldError;

/// Stands for this wherever a world holds `PEM`, in one line.
const MODULE: &str = include_str!("../../../../../tests/secure-boot/module.pem");

fn parse(text: &str) -> Result<World, WorldError> {
    World::parse(&text.replace("PEM", &MODULE.replace('\n', "\\n")))
}

/// A world that holds, in as few lines as it can; the cases below break it.
const GOOD: &str = r#"
[node]
kernel = "6.1.0"
boot-id = "0b8d7e64-91c3"
numa-nodes = 1
[[key]]
name = "k1"
certificate = "PEM"
enrolled = false
[[clock]]
index = 0
name = "sfc"
[[card]]
model = "X2522"
firmware = "1"
[[card.port]]
pci = "0000:3b:00.0"
id = "1924:0b03"
numa = 0
netdev = "ens1f0"
mac = "00:0f:53:00:00:00"
altnames = ["alt0"]
speed-mbps = 25000
phc = 0
[[interface]]
name = "eno1"
pci = "0000:01:00.0"
id = "8086:1521"
mac = "00:0f:53:00:00:01"
[[release]]
name = "host"
onload-version = "9.2.1"
interface = "b1f7c0de4a5d2e90813c6f27d94ab065"
root = "/"
libraries = ["libonload.so"]
kernels = ["6.1.0"]
[[release.module]]
name = "sfc"
[[release.module]]
name = "sfc_resource"
signed-by = "k1"
[loaded]
sfc = "host"
[[event]]
after = "2s"
do = "link 0000:3b:00.0 down"
"#;

#[test]
fn a_contradictory_world_is_refused_with_line_key_and_what_is_right() {
    parse(GOOD).unwrap();
    // What it is, what is replaced, by what, and what the error must say.
    let cases = [
        ("no TOML", "[node]", "[node", &["line 2"][..]),
        ("unknown section", "[node]", "[nodes]", &["nodes", "expected one of"]),
        (
            "unknown key",
            "numa = 0",
            "numa-node = 0",
            &["line 19", "numa-node", "expected one of", "netdev"],
        ),
        ("missing key", "kernel = \"6.1.0\"\n", "", &["kernel"]),
        ("wrong type", "enrolled = false", "enrolled = \"no\"", &["line 9", "enrolled", "boolean"]),
        ("bad address", "0000:3b:00.0\"\nid", "3b:00.0\"\nid", &["line 17", "pci", "domain:bus"]),
        ("bad id", "1924:0b03", "1924", &["line 18", "`1924` is not a PCI id"]),
        ("bad mac", "00:0f:53:00:00:00", "00:0f", &["line 21", "MAC address"]),
        ("bad link", "phc = 0", "link = \"maybe\"", &["line 24", "maybe", "up", "down"]),
        ("bad hash", "b1f7c0de", "b1f7", &["interface", "32 hexadecimal digits"]),
        (
            "no NUMA node at all",
            "numa-nodes = 1",
            "numa-nodes = 0",
            &["node.numa-nodes", "1 and up"],
        ),
        ("a NUMA node too far", "numa = 0", "numa = 1", &["line 19", "NUMA node 1", "0 to 0"]),
        (
            "one address twice",
            "0000:01:00.0",
            "0000:3b:00.0",
            &["line 27", "0000:3b:00.0 is there twice", "line 17"],
        ),
        ("one MAC twice", "00:0f:53:00:00:01", "00:0f:53:00:00:00", &["line 29", "twice"]),
        ("one name twice", "\"eno1\"", "\"ens1f0\"", &["line 26", "ens1f0 is there twice"]),
        ("lo written", "\"eno1\"", "\"lo\"", &["line 26", "lo"]),
        ("altname is a name", "\"alt0\"", "\"eno1\"", &["altnames", "`eno1` names two interfaces"]),
        ("no such clock", "phc = 0", "phc = 7", &["line 24", "no clock 7", "[[clock]]"]),
        ("pci without id", "id = \"8086:1521\"\n", "", &["interface.id", "eno1"]),
        ("id without pci", "pci = \"0000:01:00.0\"\n", "", &["interface.pci", "eno1"]),
        (
            "no certificate",
            "certificate = \"PEM\"\n",
            "",
            &["line 6", "[[key]]", "missing field `certificate`"],
        ),
        (
            "an empty certificate",
            "PEM",
            "",
            &["line 8", "key.certificate", "no certificate", "as PEM"],
        ),
        (
            "a certificate that was cut off",
            "PEM",
            "-----BEGIN CERTIFICATE-----\\nMIID\\n-----END CERTIFICATE-----\\n",
            &["line 8", "key.certificate", "byte 2: expected a whole length"],
        ),
        (
            "one certificate twice",
            "[[clock]]",
            "[[key]]\nname = \"k2\"\ncertificate = \"PEM\"\nenrolled = false\n[[clock]]",
            &["line 12", "key.certificate", "twice", "line 8"],
        ),
        (
            "a ring that this kernel does not trust",
            "[[key]]",
            "[secure-boot]\nenabled = true\ntrusts = \"platform\"\n[[key]]",
            &["line 8", "secure-boot.trusts", "6.1.0", "allowed: machine"],
        ),
        (
            "a state of variables that there is not",
            "[[key]]",
            "[secure-boot]\nenabled = true\nrun-time = \"no\"\n[[key]]",
            &["line 8", "run-time", "read-only"],
        ),
        (
            "key with a space",
            "name = \"k1\"",
            "name = \"k 1\"",
            &["line 7", "k 1", "without spaces"],
        ),
        (
            "in-tree as a release",
            "name = \"host\"",
            "name = \"in-tree\"",
            &["release.name", "node.in-tree-sfc"],
        ),
        ("host elsewhere", "root = \"/\"", "root = \"/opt\"", &["line 34", "release.root", "host"]),
        (
            "libraries of others",
            "libonload.so",
            "libc.so",
            &["line 35", "libc.so", "libonload_ext.so"],
        ),
        ("unknown signer", "signed-by = \"k1\"", "signed-by = \"k2\"", &["line 41", "no key k2"]),
        (
            "a need not met",
            "\"sfc_resource\"",
            "\"sfc_char\"",
            &["line 40", "sfc_char needs sfc_resource"],
        ),
        (
            "one module twice",
            "\"sfc_resource\"",
            "\"sfc\"",
            &["line 40", "module sfc is there twice"],
        ),
        (
            "loaded from nowhere",
            "sfc = \"host\"",
            "sfc = \"9.9\"",
            &["line 43", "loaded.sfc", "host, in-tree"],
        ),
        (
            "loaded and not there",
            "sfc = \"host\"",
            "onload = \"host\"",
            &["line 43", "loaded.onload", "not found"],
        ),
        (
            "loaded for no kernel",
            "kernels = [\"6.1.0\"]",
            "kernels = []",
            &["loaded.sfc", "not found"],
        ),
        (
            "an address without its length",
            "pci = \"0000:01:00.0\"",
            "addresses = [\"192.0.2.1\"]\npci = \"0000:01:00.0\"",
            &["line 27", "addresses", "192.0.2.1/24"],
        ),
        (
            "a card on top",
            "speed-mbps = 25000\nphc",
            "uppers = [\"ens1f0\"]\nspeed-mbps = 25000\nphc",
            &["line 20", "uppers", "ens1f0 is no bond"],
        ),
        (
            "two bonds on one port",
            "speed-mbps = 25000\nphc",
            "uppers = [\"bond0\", \"br0\", \"ens1f0.5\"]\nspeed-mbps = 25000\nphc",
            &["line 20", "uppers", "under 2 bonds or bridges"],
        ),
        (
            "an owner that is none",
            "speed-mbps = 25000\nphc",
            "owner = \"ifupdown\"\nspeed-mbps = 25000\nphc",
            &["owner", "network-manager"],
        ),
        (
            "a server that is not below the root",
            "root = \"/\"",
            "root = \"/\"\nserver = \"/sbin/x\"",
            &["line 35", "release.server", "sbin/onload_cp_server"],
        ),
        (
            "one kernel twice",
            "[[release]]",
            "[[kernel]]\nrelease = \"6.2.0\"\n[[kernel]]\nrelease = \"6.2.0\"\n[[release]]",
            &["line 33", "kernel 6.2.0 is there twice", "line 31"],
        ),
        (
            "a fault of no release",
            "link 0000:3b:00.0 down",
            "fault load sfc from 9.9 error",
            &["line 46", "no release 9.9", "host, in-tree"],
        ),
        ("bad span", "\"2s\"", "\"2 s\"", &["line 45", "not a duration"]),
        ("bad action", "link 0000:3b:00.0 down", "explode", &["line 46", "begin with one of"]),
        (
            "action on nothing",
            "link 0000:3b",
            "link 0000:3c",
            &["line 46", "no PCI function 0000:3c:00.0"],
        ),
    ];
    for (why, old, new, expected) in cases {
        assert!(GOOD.contains(old), "{why}: the case no longer breaks the world");
        let error = parse(&GOOD.replacen(old, new, 1)).unwrap_err().to_string();
        for part in expected {
            assert!(error.contains(part), "{why}: `{part}` is missing in: {error}");
        }
        assert!(!error.contains('\n'), "{why}: one line: {error}");
    }
}

#[test]
fn a_module_that_secure_boot_rejects_cannot_be_loaded_at_the_start() {
    let text = GOOD.replace("[[key]]", "[secure-boot]\nenabled = true\n[[key]]");
    let error = parse(&text).unwrap_err();
    assert_eq!(error.key, "loaded.sfc");
    assert!(error.why.contains("rejected the signature"), "{error}");
}

#[test]
fn the_configuration_goes_through_as_it_is() {
    let text = format!("{GOOD}[config.kubelet]\nno-such-key = 3\n");
    let config = parse(&text).unwrap().config().unwrap();
    assert_eq!(config.trim(), "[kubelet]\nno-such-key = 3");
    assert_eq!(parse(GOOD).unwrap().config(), None);
}

#[test]
fn every_shipped_world_holds() {
    assert_eq!(World::shipped_names().count(), 9);
    for name in World::shipped_names() {
        if let Err(error) = World::parse(World::shipped(name).unwrap()) {
            panic!("{name}: {error}");
        }
    }
    assert_eq!(World::shipped("none such"), None);
}

//! Bad input never panics: every text that comes from outside, broken at random with fixed seeds.
//! What is found here becomes a case beside the parser it was found in.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops where it broke"
)]

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use onload_core::af_xdp::{self, Profile};
use onload_core::attachment;
use onload_core::config::{Config, Fragment};
use onload_core::hardware::Hardware;
use onload_core::inventory::Interface;
use onload_core::ledger::Ledger;
use onload_core::names::{DeviceId, MacAddress, PciAddress};
use onload_core::naming::UdevNames;
use onload_core::profile;
use onload_core::release::ModuleFile;
use onload_core::release::signing::Signing;
use onload_core::time::Span;
use onload_tests::node::Node;
use onload_tests::skip::skip;
use onloadd::host::sim::World;
use onloadd::host::sim::action::Action;
use onloadd::module_file;

#[path = "fuzz/clock_programs.rs"]
mod clock_programs;
#[path = "fuzz/secure_boot.rs"]
mod secure_boot;
#[path = "fuzz/sfptpd.rs"]
mod sfptpd;
#[path = "fuzz/variables.rs"]
mod variables;

/// Rounds for each input; enough to break every line of the largest in several ways.
const ROUNDS: u32 = 3_000;
/// Longer than any of them takes on a busy machine: what takes more hangs.
const LONGEST: Duration = Duration::from_secs(60);

/// One to four breakages: flipped bits, cut, doubled, spliced and foreign bytes.
fn broken(random: &mut Rng, seed: &[u8]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..random.u8(1..=4) {
        let at = random.usize(..=bytes.len());
        let to = random.usize(at..=bytes.len().min(at + 64));
        match random.u8(..6) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..to)),
            2 => {
                let piece = bytes[at..to].to_vec();
                bytes.splice(at..at, piece);
            }
            3 if at < bytes.len() => bytes[at] ^= 1 << random.u8(..8),
            4 => {
                let foreign = random.choice([
                    "\0",
                    "\u{feff}",
                    "[[",
                    "\"\"\"",
                    "-1",
                    "9999999999999999999",
                    "\n",
                ]);
                bytes.splice(at..at, foreign.unwrap().bytes());
            }
            _ => bytes.extend_from_slice(&seed[..seed.len() / 2]),
        }
    }
    bytes
}

fn survives(name: &str, seed: &[u8], parse: impl Fn(&[u8])) {
    survives_rounds(name, seed, ROUNDS, parse);
}

/// The same where each round costs more.
fn survives_rounds(name: &str, seed: &[u8], rounds: u32, parse: impl Fn(&[u8])) {
    let start = Instant::now();
    let mut random = Rng::with_seed(seed.len() as u64);
    parse(seed);
    for _ in 0..rounds {
        parse(&broken(&mut random, seed));
    }
    assert!(start.elapsed() < LONGEST, "{name} took {:?}", start.elapsed());
}

fn file(path: &str) -> Vec<u8> {
    fs::read(Node::repository(path)).unwrap()
}

#[test]
fn ledgers() {
    survives("ledger", &file("tests/formats/ledger-1.json"), |bytes| {
        if let Ok(replay) = Ledger::parse(bytes) {
            // What was accepted is whole: it reads back as it is.
            let again = Ledger::parse(replay.ledger.to_text().as_bytes()).unwrap();
            assert_eq!(again.ledger, replay.ledger);
        }
    });
}

#[test]
fn configurations() {
    survives("configuration", &file("packaging/config/onloadd.toml"), |bytes| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        if let Err(error) = Config::merge(&[Fragment { file: "x.toml".to_owned(), text }]) {
            assert!(error.file == "x.toml" && error.line >= 1, "{error}");
        }
    });
}

#[test]
fn worlds_and_actions() {
    survives("world", &file("packaging/worlds/two-x2522.toml"), |bytes| {
        if let Ok(world) = World::parse(&String::from_utf8_lossy(bytes)) {
            let _ = world.snapshot();
        }
    });
    for seed in ["fault load onload error times 2", "rename ens1f0 eth7", "link 0000:3b:00.0 down"]
    {
        survives("action", seed.as_bytes(), |bytes| {
            if let Ok(action) = String::from_utf8_lossy(bytes).parse::<Action>() {
                assert_eq!(action.to_string().parse::<Action>().unwrap(), action);
            }
        });
    }
}

#[test]
fn tables_and_names() {
    survives("families", &file("packaging/hw/families.toml"), |bytes| {
        let _ = Hardware::parse(&String::from_utf8_lossy(bytes));
    });
    survives("names", b"10000:3b:00.1", |bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let Ok(address) = text.parse::<PciAddress>() {
            assert_eq!(address.to_string().parse::<PciAddress>().unwrap(), address);
        }
        let _ = (text.parse::<MacAddress>(), text.parse::<DeviceId>());
    });
    survives("span", b"86400s", |bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let Ok(span) = text.parse::<Span>() {
            assert_eq!(span.to_string().parse::<Span>().unwrap(), span);
        }
    });
}

#[test]
fn udev_databases() {
    let record = b"S:disk\nI:2174\nE:ID_NET_NAME=ens1f0np0\nE:ID_NET_NAME_SLOT=ens1f0np0\n\
        E:ID_NET_NAME_PATH=enp59s0f0np0\nE:ID_NET_LINK_FILE=/usr/lib/systemd/network/99-default.link\n\
        E:ID_PATH=pci-0000:3b:00.0\nE:ID_RENAMING=1\nG:systemd\n";
    survives("udev database", record, |bytes| {
        let names = UdevNames::parse(bytes);
        let said = names.policies().map(|(_, name)| name).chain(names.name.as_deref());
        // What is kept can be shown to people.
        for name in said {
            assert!(!name.is_empty() && !name.chars().any(char::is_control), "{name:?}");
        }
    });
}

#[test]
fn profiles_and_container_networks() {
    let keyfile = "[connection]\nid=p\ntype=ethernet\ncontroller=bond0\n[ethernet]\n\
        mac-address=00:0F:53:00:00:01\n[match]\ninterface-name=ens*;!ens\\;5;&e?s[12];\ndriver=sfc;\n";
    let ifcfg = "DEVICE=\"ens5\"\nHWADDR=00:0f:53:00:00:01\nMASTER='bond0'\n";
    let interface = Interface::default();
    let name = "ens5".parse().unwrap();
    for seed in [keyfile, ifcfg] {
        survives("profile", seed.as_bytes(), |bytes| {
            let text = String::from_utf8_lossy(bytes);
            for read in [Profile::keyfile, Profile::ifcfg] {
                let profile = read(&text);
                let _ =
                    (profile.puts_under(&name, &interface), profile.new_name(&name, &interface));
                assert_eq!(read(&af_xdp::kept(&text)), profile, "{text:?}");
            }
        });
    }
    let cached = r#"{"kind":"cniCacheV1","containerId":"0123456789ab","ifName":"net1","netns":"/run/netns/a",
        "config":"eyJ0eXBlIjoiaXB2bGFuIiwibWFzdGVyIjoiZW5zNSJ9",
        "plugins":[{"type":"host-device","kernelpath":"/sys/devices/pci0000:00/0000:00:05.0"},
                   {"type":"bond","links":[{"name":"ens5"}]}],
        "result":{"interfaces":[{"name":"net1","sandbox":"/run/netns/a"}]}}"#;
    survives("container network", cached.as_bytes(), |bytes| {
        let _ = (attachment::parse(bytes), attachment::parse_cached(bytes));
    });
}

#[test]
fn profiles() {
    let request =
        profile::Request { profiles: vec!["/p".to_owned()], ..profile::Request::default() };
    for name in [
        "node-js.opf",
        "latency-best.opf",
        "throughput.opf-fragment",
        "haproxy-parse-config.opf-fragment",
        "nginx-parse-config.opf-fragment",
        "wait-old-cluster-exit.opf-fragment",
    ] {
        survives(name, &file(&format!("tests/profiles/{name}")), |bytes| {
            let _ = profile::imports("/p", bytes);
            let files = |path: &str| Ok((path == "/p").then(|| bytes.to_vec()));
            match profile::evaluate(&request, &files) {
                // What is accepted can stand in an environment.
                Ok(outcome) => {
                    assert!(
                        outcome.variables.iter().all(|(name, variable)| profile::is_name(name)
                            && !variable.value.contains('\0'))
                    )
                }
                Err(refused) => {
                    let told = refused.to_string();
                    assert!(told.starts_with("/p:") && !refused.fix().is_empty(), "{told}");
                }
            }
        });
    }
}

/// As the kernel's build compresses modules.
const PACKERS: [&[&str]; 3] =
    [&["xz", "--check=crc32", "-c"], &["zstd", "-q", "-c"], &["gzip", "-n", "-c"]];

/// What a program makes of a whole module with a signature; none where it is not here.
fn packed(words: &[&str], module: &[u8]) -> Option<Vec<u8>> {
    let mut command = Command::new(words[0]);
    let pipes = command.args(&words[1..]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let Ok(mut child) = pipes.spawn() else {
        skip("module_files", &format!("no program `{}` here", words[0]));
        return None;
    };
    child.stdin.take().unwrap().write_all(module).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{words:?}: {output:?}");
    let seen = module_file::parse(&output.stdout, "").unwrap();
    assert!(matches!(seen.signed, Signing::Signed(_)), "{:?}", seen.signed);
    Some(output.stdout)
}

#[test]
fn module_files() {
    let symbols = [("module_layout", 1), ("printk", 2), (["long"; 20].concat().leak(), 3)];
    let module = ModuleFile {
        machine: 62,
        vermagic: "6.1.0 SMP mod_unload modversions ".to_owned(),
        depends: ["mtd".parse().unwrap()].into(),
        version: Some("6.4.0.1003".to_owned()),
        signed: Signing::of(include_bytes!("../secure-boot/rsa.ko")),
        interfaces: ["0123456789abcdef0123456789abcdef".parse().unwrap()].into(),
        symbols: Arc::new(symbols.map(|(name, sum)| (name.to_owned(), sum)).into()),
        ..ModuleFile::default()
    };
    let whole = module_file::stand_in::write(&module);
    // What `xz --check=crc32`, `zstd` and `gzip -n` make of one short line.
    let xz = b"\xfd7zXZ\0\0\x01i\"\xde6\x02\0!\x01\x16\0\0\0t/\xe5\xa3\x01\0\x04\x7fELF\n\0\0\0\0\
        5]\x1c.\0\x01\x19\x05\xbc\xe8\xec\xcb\x90B\x99\r\x01\0\0\0\0\x01YZ";
    let zstd = b"(\xb5/\xfd\x04X)\0\0\x7fELF\nGe\x85\xd4";
    let gzip = b"\x1f\x8b\x08\0\0\0\0\0\x02\x03\xabw\xf5q\xe3\x02\x005]\x1c.\x05\0\0\0";
    let mut seeds = vec![whole.clone(), xz.to_vec(), zstd.to_vec(), gzip.to_vec()];
    seeds.extend(PACKERS.iter().filter_map(|words| packed(words, &whole)));
    for seed in &seeds {
        survives("module file", seed, |bytes| {
            match module_file::parse(bytes, "") {
                Ok(seen) => {
                    // What was accepted is whole: it reads back as it is.
                    let again = module_file::stand_in::write(&seen);
                    let mut again = module_file::parse(&again, "").unwrap();
                    // But for a signature that does not: that it is there is kept, not where it breaks.
                    if let (Signing::Damaged(_), Signing::Damaged(_)) =
                        (&again.signed, &seen.signed)
                    {
                        again.signed.clone_from(&seen.signed);
                    }
                    assert_eq!(again, seen);
                }
                Err(error) => assert!(error.to_string().len() < 300, "{error}"),
            }
        });
    }
}

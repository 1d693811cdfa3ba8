//! Level 4: requests to shim equal those of mokutil, byte for byte, and mokutil reads ours. libefivar
//! takes any directory for efivarfs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops where it broke"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use onload_core::reading::Reading;
use onload_core::secure_boot::certificate::Certificate;
use onload_core::secure_boot::request::Requests;
use onload_core::secure_boot::request::crypt;
use onload_core::secure_boot::request::enrol::{Wish, enrol};
use onload_core::secure_boot::request::prompt::PromptTimeout;
use onload_core::secure_boot::request::withdraw::{Scope, withdraw};
use onload_core::secure_boot::request::write::Write;
use onload_core::secure_boot::trust::{RunTime, Switch, Trust};
use onload_core::secure_boot::variable::{self, Attributes, SHIM_LOCK, Variable};
use onload_core::time::Timestamp;
use onload_tests::node::Node;
use onload_tests::skip::skip;
use tempfile::TempDir;

/// By `openssl passwd` and crypt(3): the usual one, with rounds, and by SHA-256 in both ways.
const HASHES: [&str; 4] = [
    include_str!("../secure-boot/auth.txt"),
    "$6$rounds=7000$abcdefghijkl$fWCLQOvkUBgBrIs31jhgO5YxYJ/kwCzjuHPDg9r7hhhC1QrMqBv5Yd6SvnGF2rJ2UjiER3hu.NAUiA5FvL7xW1\n",
    "$5$saltsalt$0rl.MZtoLLPP3X0Rdl8riRnphIcAXJY27/aOAyK2hB5",
    "$5$rounds=1000$abcdefghijkl$DFL32L8LAN9G2V5eZOSdE2s/rj1u/qrUo18LRiLlq3/\n",
];

/// A machine's variables in a directory, which mokutil and we write.
struct Machine {
    directory: TempDir,
}

impl Machine {
    /// With Secure Boot on; none where mokutil cannot be used for this.
    fn new(test: &str) -> Option<Self> {
        let machine = Self { directory: tempfile::tempdir().unwrap() };
        fs::create_dir(machine.path("efivars")).unwrap();
        for (variable, is) in [(Variable::SECURE_BOOT, 1), (Variable::SETUP_MODE, 0)] {
            let data = [&6_u32.to_le_bytes()[..], &[is]].concat();
            fs::write(machine.path("efivars").join(variable.file_name()), data).unwrap();
        }
        let state = machine.command("--sb-state").output();
        let reason = match state {
            Err(error) => format!("no mokutil: {error}"),
            Ok(output) if output.stdout.starts_with(b"SecureBoot enabled") => return Some(machine),
            Ok(output) => format!("mokutil takes no directory: {output:?}"),
        };
        skip(test, &reason);
        None
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, word: &str) -> Command {
        let mut command = Command::new("mokutil");
        // With the slash: names are put right behind it.
        let path = format!("{}/", self.path("efivars").display());
        command.arg(word).env("EFIVARFS_PATH", path).env("LC_ALL", "C");
        command
    }

    /// What mokutil says, which ends well.
    fn mokutil(&self, words: &[&str]) -> String {
        let output = self.command(words[0]).args(&words[1..]).output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn import(&self, name: &str, hash: &str) -> String {
        fs::write(self.path("hash"), hash).unwrap();
        let (file, hash) = (certificate_path(name), self.path("hash"));
        self.mokutil(&["--import", &file, "--hash-file", hash.to_str().unwrap()])
    }

    /// All of shim's variables by name, without attributes, which are those of a request.
    fn variables(&self) -> BTreeMap<String, Vec<u8>> {
        let mut variables = BTreeMap::new();
        for entry in fs::read_dir(self.path("efivars")).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let (name, vendor) = variable::file_name(&name).unwrap();
            if vendor == SHIM_LOCK {
                let file = fs::read(entry.path()).unwrap();
                let (attributes, data) = variable::efivarfs(&file).unwrap();
                assert_eq!(attributes, Attributes::REQUEST, "{name}");
                variables.insert(name.to_owned(), data.to_vec());
            }
        }
        variables
    }

    fn write(&self, writes: &[Write]) {
        for Write { name, data } in writes {
            let path = self.path("efivars").join(format!("{name}-{SHIM_LOCK}"));
            match data {
                Some(data) => {
                    let attributes = Attributes::REQUEST.0.to_le_bytes();
                    fs::write(path, [&attributes[..], data].concat()).unwrap();
                }
                None if path.exists() => fs::remove_file(path).unwrap(),
                None => {}
            }
        }
    }

    fn trust(&self) -> Trust {
        let variables = self.variables();
        let variables =
            variables.iter().map(|(name, data)| (name.as_str(), data.as_slice())).collect();
        Trust {
            secure_boot: Reading::Known(Switch::On),
            shim: Reading::Known(()),
            runtime: Reading::Known(RunTime::Writable),
            requests: Reading::Known(Requests::parse(&variables)),
            mok: Reading::Known(Vec::new()),
            ..Trust::unread("not looked at")
        }
    }

    /// Asks for a certificate as onloadd does, on top of what is there.
    fn enrol(&self, name: &str, hash: &str, prompt: PromptTimeout) {
        let hash = crypt::parse(hash).unwrap();
        let wish = Wish { certificate: &certificate(name), hash: &hash, prompt };
        self.write(&enrol(&wish, &self.trust(), Timestamp(0)).unwrap().writes);
    }
}

fn certificate_path(name: &str) -> String {
    Node::repository(&format!("tests/secure-boot/{name}")).to_str().unwrap().to_owned()
}

fn certificate(name: &str) -> Vec<u8> {
    fs::read(certificate_path(name)).unwrap()
}

#[test]
fn requests_are_those_of_mokutil() {
    const TEST: &str = "requests_are_those_of_mokutil";
    for hash in HASHES {
        let (Some(theirs), Some(ours)) = (Machine::new(TEST), Machine::new(TEST)) else { return };
        assert_eq!(theirs.import("module.der", hash), "");
        ours.enrol("module.der", hash, PromptTimeout::SHIMS_OWN);
        let names: Vec<_> = theirs.variables().into_keys().collect();
        assert_eq!(names, ["MokAuth", "MokNew"]);
        assert_eq!(ours.variables(), theirs.variables(), "one key, {hash}");

        // Another on top of it, under another password, and with a time.
        assert_eq!(theirs.import("leaf.der", HASHES[0]), "");
        theirs.mokutil(&["--timeout", "300"]);
        ours.enrol("leaf.der", HASHES[0], PromptTimeout::DEFAULT);
        assert_eq!(theirs.variables().len(), 3);
        assert_eq!(ours.variables(), theirs.variables(), "two keys, {hash}");
    }
}

#[test]
fn mokutil_reads_what_is_written() {
    let Some(machine) = Machine::new("mokutil_reads_what_is_written") else { return };
    machine.enrol("module.der", HASHES[0], PromptTimeout::DEFAULT);
    machine.enrol("authority.der", HASHES[2], PromptTimeout::DEFAULT);
    let listed = machine.mokutil(&["--list-new"]);
    let subjects: Vec<_> = listed.lines().filter(|line| line.contains(" Subject: ")).collect();
    let [authority, module] = subjects[..] else { panic!("{listed}") };
    assert!(authority.contains("CN=Example Authority"), "the last one is the first: {authority}");
    assert!(module.contains("CN=Modules: first key"), "{module}");
    assert_eq!(
        machine.import("module.der", HASHES[0]),
        format!("SKIP: {} is already in the enrollment request\n", certificate_path("module.der"))
    );
}

#[test]
fn times_and_withdrawals_are_those_of_mokutil() {
    const TEST: &str = "times_and_withdrawals_are_those_of_mokutil";
    let (Some(theirs), Some(ours)) = (Machine::new(TEST), Machine::new(TEST)) else { return };
    for secs in [11, 300, 32767, 10] {
        theirs.mokutil(&["--timeout", &secs.to_string()]);
        ours.write(&[PromptTimeout::new(secs).unwrap().write()]);
        assert_eq!(ours.variables(), theirs.variables(), "{secs} seconds");
        assert_eq!(theirs.variables().is_empty(), secs == 10);
    }
    for machine in [&theirs, &ours] {
        machine.enrol("module.der", HASHES[0], PromptTimeout::DEFAULT);
    }
    theirs.mokutil(&["--revoke-import"]);
    ours.write(&withdraw(Scope::All, &ours.trust()).unwrap().writes);
    // mokutil leaves the time, which is then for whoever asks next.
    assert_eq!(theirs.variables().into_keys().collect::<Vec<_>>(), ["MokTimeout"]);
    assert!(ours.variables().is_empty());

    // One of two: what is left is what mokutil would have asked for alone.
    let Some(alone) = Machine::new(TEST) else { return };
    alone.import("leaf.der", HASHES[0]);
    for first in ["leaf.der", "module.der"] {
        let second = if first == "leaf.der" { "module.der" } else { "leaf.der" };
        ours.enrol(first, HASHES[0], PromptTimeout::SHIMS_OWN);
        ours.enrol(second, HASHES[0], PromptTimeout::SHIMS_OWN);
        let keys = [Certificate::parse(&certificate("module.der")).unwrap()];
        ours.write(&withdraw(Scope::Keys(&keys), &ours.trust()).unwrap().writes);
        assert_eq!(ours.variables(), alone.variables(), "{first} first");
        ours.write(&withdraw(Scope::All, &ours.trust()).unwrap().writes);
    }
}

#[test]
fn what_is_refused_of_hashes_is_what_mokutil_refuses_and_what_is_weak() {
    const TEST: &str = "what_is_refused_of_hashes_is_what_mokutil_refuses_and_what_is_weak";
    for (hash, taken) in [
        ("$y$j9T$F5Jx5fExrKuPp53xLKQ..1$tnSYvahCwPBHKZUspmcxMfb0.WiB9W.zEaKlOBL35rC", false),
        // By MD5 and DES: shim knows them, and nobody should.
        ("$1$abcdefgh$0123456789abcdefghijk.", true),
        ("ab0123456789.", true),
        (&HASHES[2][..HASHES[2].len() - 1], false),
        (&HASHES[2].replace("0rl", "0-l"), false),
        ("a password in the clear", false),
    ] {
        assert!(crypt::parse(hash).is_err(), "{hash}");
        let Some(machine) = Machine::new(TEST) else { return };
        fs::write(machine.path("hash"), hash).unwrap();
        let mut command = machine.command("--import");
        command.arg(certificate_path("module.der")).arg("--hash-file").arg(machine.path("hash"));
        let output = command.output().unwrap();
        assert_eq!(output.status.success(), taken, "{hash}: {output:?}");
        assert_eq!(machine.variables().is_empty(), !taken, "{hash}");
    }
}

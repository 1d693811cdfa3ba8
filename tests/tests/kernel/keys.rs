//! The daemon on a machine with Secure Boot: what it says of it beside the distribution's own tools, what
//! it foretells of a module beside what the kernel then says, and a key that it has shim ask for.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use onload_tests::guest::Guest;
use onload_tests::guest::mok_manager::Answer;
use onload_tests::guest::variables::{SHIM, signature_lists};
use onload_tests::readme::lines;
use serde_json::Value;

use crate::firmware::{ENROLLED, Signer, Signers, loads, signers, test_key};
use crate::node::{condition, configure, json, until_condition, until_state};
use crate::secure_boot::MODULE;
use crate::swap::CHANGE;

/// What is typed at the console.
const PASSWORD: &str = "at-the-console-7";
/// A key that is asked for here.
const ASKED: &str = "Asked for at the console";
/// A release of the guest, with modules that nobody has signed.
const RELEASE: &str = "9.2.1";
/// The modules of a release, in the order of loading.
pub const STACK: [&str; 4] = ["sfc", "sfc_resource", "sfc_char", "onload"];

fn text<'a>(value: &'a Value, key: &str) -> anyhow::Result<&'a str> {
    value[key].as_str().with_context(|| format!("no {key} in {value}"))
}

/// Keys with a name on this node, as `onloadctl` lists them.
fn keys(guest: &Guest) -> anyhow::Result<Vec<Value>> {
    let list = json(guest, "keys list")?;
    list["keys"].as_array().cloned().with_context(|| format!("{list}"))
}

/// Fingerprints of those that are in a place.
fn within(keys: &[Value], place: &str) -> anyhow::Result<BTreeSet<String>> {
    let there = keys.iter().filter(|key| {
        key["places"].as_array().is_some_and(|places| places.iter().any(|one| one == place))
    });
    there.map(|key| Ok(text(key, "fingerprint")?.to_owned())).collect()
}

/// Waits until a key is where it should be, which the first look after a boot shows.
pub fn until_key(guest: &Guest, name: &str, state: &str) -> anyhow::Result<()> {
    let is = format!(r#"'"name": "CN={name}", *"state": "{state}"'"#);
    let list = "onloadctl --json keys list | tr -d '\n'";
    guest.until(&format!("{name} {state}"), &format!("{list} | grep -q {is}")).map(drop)
}

/// SHA-256 of the certificates that `mokutil` exports.
fn exported(guest: &Guest, what: &str) -> anyhow::Result<BTreeSet<String>> {
    let sums = guest.ok(&format!(
        "rm -rf /tmp/export && mkdir /tmp/export && cd /tmp/export && mokutil {what} --export >&2
         sha256sum *.der"
    ))?;
    Ok(sums.lines().filter_map(|line| Some(line.split(' ').next()?.to_owned())).collect())
}

pub fn onloadd_reads_what_mokutil_and_keyctl_do(guest: &mut Guest) -> anyhow::Result<()> {
    let property = |name: &str| {
        guest.ok(&format!(
            "busctl get-property com.amd.Onload1 /com/amd/Onload1 com.amd.Onload1.SecureBoot {name}"
        ))
    };
    until_key(guest, ENROLLED, "Enrolled")?;
    for (name, said) in [
        ("State", "s \"enabled\""),
        ("Shim", "b true"),
        ("Variables", "s \"writable\""),
        ("Enforcement", "s \"refused\""),
        ("Lockdown", "s \"integrity\""),
        ("Requests", "a(sass) 0"),
        ("Unreadable", "a{ss} 0"),
    ] {
        assert_eq!(property(name)?.trim(), said, "{name}");
    }
    let keys = keys(guest)?;
    assert_eq!(within(&keys, "mok")?, exported(guest, "")?, "as mokutil exports them");
    assert_eq!(within(&keys, "db")?, exported(guest, "--db")?, "and the firmware's");
    for (ring, place) in [("machine", ".machine"), ("platform", ".platform")] {
        let there = within(&keys, place)?.len();
        let listed = guest.ok(&format!("keyctl rlist %:.{ring} | wc -w"))?;
        assert_eq!(listed.trim(), there.to_string(), "{place}");
    }
    let status = json(guest, "status")?;
    assert_eq!(condition(&status, "KeysEnrolled")?["reason"], "NoneNamed");
    Ok(())
}

/// What is foretold of a module of a release: the verdict, and why in a word.
fn verdict(guest: &Guest, release: &str, module: &str) -> anyhow::Result<(String, String)> {
    let status = json(guest, "keys status")?;
    let modules = status["verdicts"][release].as_array().with_context(|| status.to_string())?;
    let found = modules.iter().find(|one| one["module"] == module).context(module.to_owned())?;
    let reason = found["reason"].as_str().unwrap_or_default();
    Ok((text(found, "verdict")?.to_owned(), reason.to_owned()))
}

/// The release with its modules signed by somebody, imported by that name.
fn import(guest: &Guest, name: &str, signer: Option<&Signer>) -> anyhow::Result<String> {
    let extra = format!("lib/modules/{}/extra", guest.kernel_version()?);
    guest.ok(&format!("rm -rf /tmp/{name} && cp -a /opt/releases/{RELEASE} /tmp/{name}"))?;
    for module in STACK {
        let path = format!("/tmp/{name}/{extra}/{module}.ko");
        if let Some(signer) = signer {
            guest.put(&path, &signer.sign(&guest.get(&path)?)?, 0o644)?;
        }
    }
    guest.ok(&format!("onloadctl release import /tmp/{name} --version {name}"))?;
    Ok(format!("/tmp/{name}/{extra}"))
}

pub fn verdicts_are_what_the_kernel_then_says(guest: &mut Guest) -> anyhow::Result<()> {
    let Signers { enrolled, missed } = signers()?;
    for (name, signer, reason, kernel) in [
        ("unsigned", None, "Unsigned", "Loading of unsigned module is rejected"),
        (
            "stranger",
            Some(missed),
            "UnknownSigner",
            "Loading of module with unavailable key is rejected",
        ),
    ] {
        let modules = import(guest, name, signer)?;
        let foretold = verdict(guest, name, "sfc_resource")?;
        assert_eq!(foretold, ("refused".to_owned(), reason.to_owned()));
        let used = guest.run(&format!("onloadctl release use {name}"))?;
        ensure!(!used.ok() && used.stderr.contains("would refuse"), "{name}: {used:?}");
        let before = guest.ok("dmesg | wc -l")?;
        let loaded = guest.run(&format!("insmod {modules}/sfc_resource.ko"))?;
        ensure!(!loaded.ok(), "{name}: {loaded:?}");
        let said = guest.ok(&format!("dmesg | tail -n +$(({} + 1))", before.trim()))?;
        ensure!(said.contains(kernel), "{name}: {said}");
        guest.ok(&format!("rm -r /tmp/{name}"))?;
    }
    import(guest, "signed", Some(enrolled))?;
    for module in STACK {
        assert_eq!(verdict(guest, "signed", module)?.0, "trusted", "{module}");
    }
    guest.put("/tmp/card.ko", &enrolled.sign(&guest.get(MODULE)?)?, 0o644)?;
    guest.ok("insmod /tmp/card.ko && udevadm settle")?;
    guest.until("the card in onloadctl", "onloadctl ports | grep -q 10000:00:00.0")?;
    let used = guest.run_within("onloadctl release use signed", CHANGE)?;
    ensure!(used.ok(), "{used:?}\n{}", guest.journal("-u onloadd -b -o cat -n 60")?);
    until_state(guest, "ready")?;
    for module in STACK {
        let taint = guest.ok(&format!("cat /sys/module/{module}/taint"))?;
        assert_eq!(taint.trim(), "O", "{module}");
    }
    // As it was found, but for the kernel's taint. The stand-in for the kernel's own driver bears no
    // signature, so that the node is not brought back to it here.
    guest
        .ok("systemctl stop onloadd; kill $(cat /proc/driver/onload/cp_server_pids)
             until rmmod onload 2>&-; do :; done
             rmmod sfc_char sfc_resource sfc onloadd_card || exit
             rm -r /var/lib/onloadd /tmp/signed /tmp/card.ko; systemctl start onloadd")
        .map(drop)
}

/// Has the configuration ask, as a node does that is installed with its wish.
fn wish(guest: &Guest, signer: &Signer) -> anyhow::Result<()> {
    guest.put("/etc/onloadd/keys/asked.der", &signer.der, 0o644)?;
    guest.ok(&format!(
        "umask 077 && mokutil --generate-hash={PASSWORD} >/etc/onloadd/keys/asked.hash"
    ))?;
    let wish = "[[secure-boot.requests]]\ncertificate = \"/etc/onloadd/keys/asked.der\"\n\
                password-hash = \"/etc/onloadd/keys/asked.hash\"\n";
    configure(guest, wish)?;
    until_key(guest, ASKED, "EnrolmentPending")?;
    // Neither log nor ledger nor a unit's properties have what the password was made into.
    let made = "cut -d'$' -f4 /etc/onloadd/keys/asked.hash";
    let found = guest.run(&format!(
        "journalctl -b -o export >/run/told; systemctl show '*' >>/run/told
         grep -r -F -e \"$({made})\" /run/told /var/lib/onloadd"
    ))?;
    ensure!(found.status == Some(1), "{found:?}");
    guest.ok("rm /run/told").map(drop)
}

pub fn a_key_is_asked_for_missed_and_enrolled(guest: &mut Guest) -> anyhow::Result<()> {
    let signer = Signer::generate(ASKED)?;
    let [import] = &lines("onloadctl keys import")[..] else { panic!("one line") };
    let ask = |guest: &Guest| -> anyhow::Result<()> {
        guest.put("/tmp/mok.der", &signer.der, 0o644)?;
        guest.ok(&format!("mokutil --generate-hash={PASSWORD} >/tmp/hash"))?;
        guest.ok(&format!("cd /tmp && {import} --hash-file /tmp/hash")).map(drop)
    };
    let written = |guest: &Guest, name: &str| -> anyhow::Result<_> {
        let variable = guest.efi_variable(name, SHIM)?;
        Ok(variable.map(|variable| (variable.attributes, variable.data)))
    };
    ask(guest)?;
    let [revoke] = &lines("onloadctl keys revoke-request")[..] else { panic!("one line") };
    guest.ok(revoke)?;
    ensure!(written(guest, "MokNew")?.is_none(), "nothing is asked for any more");
    ask(guest)?;
    let ours = [written(guest, "MokNew")?, written(guest, "MokAuth")?];
    ensure!(ours.iter().all(Option::is_some), "{ours:?}");
    assert_eq!(written(guest, "MokTimeout")?.context("MokTimeout")?.1, 300_i32.to_le_bytes());
    let listed = guest.ok("mokutil --list-new")?;
    ensure!(listed.contains(ASKED), "{listed}");
    let again = guest.run("onloadctl keys import /tmp/mok.der --hash-file /tmp/hash")?;
    ensure!(!again.ok() && again.stderr.contains("asked for already"), "{again:?}");
    guest.ok("mokutil --revoke-import && mokutil --import /tmp/mok.der --hash-file /tmp/hash")?;
    let theirs = [written(guest, "MokNew")?, written(guest, "MokAuth")?];
    assert!(ours == theirs, "byte for byte what mokutil writes");

    guest.reboot_through_mok_manager(&Answer::Refuse)?;
    ensure!(guest.efi_variable("MokNew", SHIM)?.is_none(), "a refused request is gone");
    until_key(guest, ASKED, "RequestLost")?;
    let lost = "onloadctl --json status | grep -o 'asked on [^,]*, not enrolled: the prompt was missed or refused'";
    guest.until("the condition", lost)?;

    wish(guest, &signer)?;
    let status = json(guest, "keys status")?;
    assert_eq!(status["requests"][0]["variable"], "MokNew", "{status}");
    let asked = written(guest, "MokNew")?.context("MokNew")?;
    ensure!(asked.1 == signature_lists(&[&signer.der]), "nothing else is asked for");
    guest.reboot_through_mok_manager(&Answer::Enrol { password: PASSWORD.to_owned() })?;
    until_key(guest, ASKED, "Enrolled")?;
    for signer in [&signer, &signers()?.enrolled] {
        let said = test_key(guest, signer)?;
        ensure!(said.contains("is already enrolled"), "{said}");
    }
    guest.put("/etc/onloadd/keys/asked.der", &signer.der, 0o644)?;
    configure(guest, "[secure-boot]\ncertificates = [\"/etc/onloadd/keys/asked.der\"]\n")?;
    until_condition(guest, "KeysEnrolled", "Enrolled")?;
    let refused = ask(guest).err().context("it is asked for again")?.to_string();
    ensure!(refused.contains("it is enrolled"), "{refused}");
    loads(guest, &signer)
}

//! A kernel that takes signed modules only. Its keyrings are Debian's: a key of ours gets into them
//! by Secure Boot alone, so here it is one that the kernel does not know.

use std::fs;
use std::process::Command;

use anyhow::ensure;
use onload_tests::binaries::binary;
use onload_tests::cases;
use onload_tests::guest::cases::Theme;
use onload_tests::guest::{Guest, Options};

/// A module that needs no other, unsigned.
pub const MODULE: &str = "/opt/card/onloadd_card.ko";

pub fn theme() -> Theme {
    Theme {
        name: "secure-boot",
        options: Options::new().append("module.sig_enforce=1"),
        cases: cases![a_module_signed_by_an_unknown_key_is_refused_for_its_key],
    }
}

/// What the kernel says about its refusal to load a module.
pub fn refusal(guest: &Guest, path: &str) -> anyhow::Result<String> {
    let before = guest.ok("dmesg | wc -l")?;
    let loaded = guest.run(&format!("insmod {path}"))?;
    ensure!(!loaded.ok() && !guest.run("test -d /sys/module/onloadd_card")?.ok(), "{loaded:?}");
    assert!(loaded.stderr.contains("Key was rejected by service"), "{loaded:?}");
    guest.ok(&format!("dmesg | tail -n +$(({} + 1))", before.trim()))
}

fn a_module_signed_by_an_unknown_key_is_refused_for_its_key(
    guest: &mut Guest,
) -> anyhow::Result<()> {
    let enforced = guest.ok("cat /sys/module/module/parameters/sig_enforce")?;
    assert_eq!(enforced.trim(), "Y");
    let place = tempfile::tempdir()?;
    let keys = |words: &[&str]| -> anyhow::Result<()> {
        let mut command = Command::new(binary("onloadctl"));
        let output = command.arg("keys").args(words).current_dir(place.path()).output()?;
        ensure!(output.status.success(), "{words:?}: {output:?}");
        Ok(())
    };
    let unsigned = guest.get(MODULE)?;
    fs::write(place.path().join("card.ko"), &unsigned)?;
    guest.put("/tmp/unsigned.ko", &unsigned, 0o644)?;
    let said = refusal(guest, "/tmp/unsigned.ko")?;
    assert!(said.contains("Loading of unsigned module is rejected"), "{said}");

    // Found to be a signature, read, and looked up: only the key is missing.
    for algorithm in ["rsa2048", "ecdsa-p384"] {
        keys(&["generate", "--out", algorithm, "--algorithm", algorithm])?;
        let (key, certificate) = (format!("{algorithm}.key"), format!("{algorithm}.crt"));
        keys(&["sign", "card.ko", "--replace", "--key", &key, "--cert", &certificate])?;
        guest.put("/tmp/signed.ko", &fs::read(place.path().join("card.ko"))?, 0o644)?;
        guest.ok("xz -k -f --check=crc32 --lzma2=dict=1MiB /tmp/signed.ko")?;
        for path in ["/tmp/signed.ko", "/tmp/signed.ko.xz"] {
            let said = refusal(guest, path)?;
            let expected = "Loading of module with unavailable key is rejected";
            assert!(said.contains(expected), "{algorithm} {path}: {said}");
        }
    }
    guest.ok("rm /tmp/unsigned.ko /tmp/signed.ko*").map(drop)
}

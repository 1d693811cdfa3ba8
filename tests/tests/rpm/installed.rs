//! The package in a root of its own, as rpm puts it there; its scriptlets run in the guest of level 5.

use std::fs;
use std::path::Path;

use onload_tests::skip::skip;
use tempfile::TempDir;

use super::{ok, packages, run, text};

const SETTINGS: &str = "etc/onloadd/onloadd.toml.d/50-local.toml";

#[test]
fn what_was_packed_is_what_is_installed_and_settings_outlive_an_upgrade() {
    let test = "what_was_packed_is_what_is_installed_and_settings_outlive_an_upgrade";
    if !nix::unistd::geteuid().is_root() {
        return skip(test, "rpm installs below another root as root only");
    }
    let Some([one, two]) = packages(test) else { return };
    let place = TempDir::new().unwrap();
    let root = place.path().to_str().unwrap();
    let rpm = |words: &[&str], package: &Path| {
        let all = ["--root", root, "--nodeps", "--noscripts", "--notriggers"];
        let all = [&all[..], words, &[package.to_str().unwrap()]].concat();
        ok("rpm", &all)
    };
    rpm(&["-i"], &one.main);
    let verify =
        || text(&run("rpm", &["--root", root, "-V", "--nodeps", "--noscripts", "onloadd"]));
    assert_eq!(verify(), "", "every file is as it was packed");

    let settings = place.path().join(SETTINGS);
    fs::write(&settings, "[pools.onload]\nslots = 7\n").unwrap();
    fs::write(place.path().join("usr/lib/onloadd/onloadd.toml"), "# spoilt\n").unwrap();
    let told = verify();
    assert!(
        told.lines().any(|line| line.starts_with("S.5")
            && line.ends_with(" c /etc/onloadd/onloadd.toml.d/50-local.toml")),
        "{told}"
    );
    assert!(told.contains("/usr/lib/onloadd/onloadd.toml"), "{told}");

    rpm(&["-U"], &two.main);
    assert_eq!(fs::read_to_string(&settings).unwrap(), "[pools.onload]\nslots = 7\n");
    let vendor = fs::read_to_string(place.path().join("usr/lib/onloadd/onloadd.toml")).unwrap();
    assert_eq!(vendor, super::read("packaging/config/onloadd.toml"), "the new one's");
    rpm(&["-U", "--oldpackage"], &one.main);
    assert_eq!(fs::read_to_string(&settings).unwrap(), "[pools.onload]\nslots = 7\n");

    ok("rpm", &["--root", root, "-e", "--nodeps", "--noscripts", "onloadd"]);
    assert!(!settings.exists() && settings.with_extension("toml.rpmsave").exists());
    assert!(!place.path().join("usr/sbin/onloadd").exists());
}

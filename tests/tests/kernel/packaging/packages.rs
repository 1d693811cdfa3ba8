//! The packages in the guest: two releases of the binaries under test, made once for a run.

use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::anyhow;
use onload_tests::guest::{Guest, image};
use onload_tests::package;

/// Where they lie in the guest.
pub const ONE: &str = "/opt/rpm/onloadd-1.rpm";
pub const TWO: &str = "/opt/rpm/onloadd-2.rpm";

static BUILT: OnceLock<Result<[PathBuf; 2], String>> = OnceLock::new();

pub fn lacking() -> Option<String> {
    package::lacking()
}

/// Puts them there, unless they are.
pub fn bring(guest: &Guest) -> anyhow::Result<()> {
    let built = BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    let built = built.as_ref().map_err(|error| anyhow!("no packages: {error}"))?;
    for (package, path) in built.iter().zip([ONE, TWO]) {
        if !guest.run(&format!("test -e {path}"))?.ok() {
            guest.ok("mkdir -p /opt/rpm")?;
            guest.put(path, &std::fs::read(package)?, 0o644)?;
        }
    }
    Ok(())
}

fn build() -> anyhow::Result<[PathBuf; 2]> {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("guest-packages");
    let binaries = target.join("bin");
    package::stripped(Some(&image::binaries()?), &binaries)?;
    let build = |release| package::build(&target, &binaries, release, "").map(|built| built.main);
    Ok([build(1)?, build(2)?])
}

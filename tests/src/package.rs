//! The RPM packages, built as `make rpm` does, of binaries that are there already.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::binaries::binary;

/// What was built.
#[derive(Debug, Clone)]
pub struct Packages {
    /// `onloadd`.
    pub main: PathBuf,
    /// `onloadd-selinux`.
    pub selinux: PathBuf,
    /// The source.
    pub source: PathBuf,
}

/// Why none can be built here, or `None`.
pub fn lacking() -> Option<String> {
    let missing = ["rpmbuild", "rpm", "make", "strip"].into_iter().find(|name| !runs(name));
    missing.map(|name| format!("{name} is not installed"))
}

/// Whether a program is there.
pub fn runs(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|out| out.status.success())
}

/// Copies the binaries to be packaged into a directory, as small as those that ship: from `given`, or
/// those beside this program.
///
/// # Errors
/// They cannot be copied.
pub fn stripped(given: Option<&Path>, into: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(into)?;
    for name in ["onloadd", "onloadctl"] {
        let from = given.map_or_else(|| binary(name), |directory| directory.join(name));
        let out = Command::new("strip").arg("-o").arg(into.join(name)).arg(&from).output()?;
        ensure!(out.status.success(), "strip {}: {out:?}", from.display());
    }
    Ok(())
}

/// Builds the packages of a release from binaries, with more words for rpmbuild, below `target`.
///
/// # Errors
/// They are not built; the text has what was said.
pub fn build(
    target: &Path,
    binaries: &Path,
    release: u32,
    flags: &str,
) -> anyhow::Result<Packages> {
    let out = Command::new("make")
        .arg("--silent")
        .arg("rpm")
        .arg(format!("BIN_DIR={}", binaries.display()))
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .env("CARGO_TARGET_DIR", target)
        .env("RPM_RELEASE", release.to_string())
        .env("RPM_FLAGS", flags)
        // Under `make test` these would make this a part of that run.
        .env_remove("MAKEFLAGS")
        .env_remove("MAKELEVEL")
        .output()?;
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    ensure!(out.status.success(), "make rpm: {said}{}", String::from_utf8_lossy(&out.stderr));
    let find = |is: &dyn Fn(&str) -> bool| {
        let found = said.lines().find(|line| is(line)).map(PathBuf::from);
        found.with_context(|| format!("make rpm did not tell of all packages:\n{said}"))
    };
    Ok(Packages {
        source: find(&|path| path.ends_with(".src.rpm"))?,
        selinux: find(&|path| path.contains("/onloadd-selinux-"))?,
        main: find(&|path| !path.ends_with(".src.rpm") && !path.contains("/onloadd-selinux-"))?,
    })
}

/// What rpm or a scriptlet complained of, but for Debian's advice to use another program.
pub fn complaints(said: &str) -> Vec<&str> {
    let advice = ["rpm: RPM should not be used directly", "rpm: However assuming you know"];
    let is_advice = |line: &str| line.is_empty() || advice.iter().any(|one| line.starts_with(one));
    said.lines().filter(|line| !is_advice(line)).collect()
}

/// The digest (SHA-256) of a file of a package, by its path.
///
/// # Errors
/// The package cannot be read, or has no such file.
pub fn digest(package: &Path, path: &str) -> anyhow::Result<String> {
    let mut rpm = Command::new("rpm");
    rpm.args(["-qp", "--qf", "[%{FILEDIGESTS} %{FILENAMES}\n]"]).arg(package);
    let listed = String::from_utf8(rpm.output()?.stdout)?;
    let found = listed.lines().find_map(|line| line.strip_suffix(path)?.strip_suffix(' '));
    found
        .map(str::to_owned)
        .with_context(|| format!("no {path} in {}: {listed}", package.display()))
}

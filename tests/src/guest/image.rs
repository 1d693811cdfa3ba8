//! What guests are made from: the Debian root, and the project that is laid over it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use tempfile::TempDir;

use crate::binaries::binary;

/// A directory with the binaries to install, in place of those beside this one.
const BINARIES: &str = "ONLOADD_GUEST_BIN";

/// The parts of all guests of one run.
#[derive(Debug)]
pub struct Image {
    root: PathBuf,
    /// Everything of this run, gone after it.
    run: TempDir,
}

/// What lies over the Debian root.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Overlay {
    /// The project, installed, and releases for it.
    #[default]
    Installed,
    /// Neither; podman, and a registry that has an image of both.
    Bare,
}

impl Overlay {
    /// Why this machine has no such guests, or `None`.
    pub fn lacking(self) -> Option<String> {
        let podman = || Command::new("podman").arg("--version").output();
        (self == Self::Bare && podman().is_err()).then(|| "podman is not installed".to_owned())
    }
}

/// A file laid into the root of one guest before it boots.
#[derive(Debug, Clone)]
pub struct Extra {
    /// From the root on.
    pub path: String,
    /// What is in it.
    pub content: Vec<u8>,
    /// Its permissions; [`LINK`] for one that leads to what is in it.
    pub mode: u32,
}

/// As archives have links (cpio(5)).
pub const LINK: u32 = 0o120_777;

/// Why this machine cannot have guests, or `None`.
///
/// # Errors
/// It cannot be found out.
pub fn lacking() -> anyhow::Result<Option<String>> {
    let output = script("root.sh").arg("--check").output()?;
    let why = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() {
        bail!("tests/guest/root.sh --check: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok((!why.is_empty()).then_some(why))
}

/// Where the binaries lie that guests get. What is installed is better what ships, where it was built:
/// a debug build takes several times as long on an emulated processor.
///
/// # Errors
/// This program is in no directory.
pub fn binaries() -> anyhow::Result<PathBuf> {
    if let Some(given) = std::env::var_os(BINARIES) {
        return Ok(given.into());
    }
    let agent = binary("guest-agent");
    Ok(agent.parent().context("binaries are in a directory")?.to_owned())
}

impl Image {
    /// Builds what is not there yet: for the root that takes a minute and a network.
    ///
    /// # Errors
    /// A script failed; what it said has gone to stderr.
    pub fn prepare() -> anyhow::Result<Self> {
        let mut build = script("root.sh");
        let output = build.stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            bail!("tests/guest/root.sh failed ({}); what it said is above", output.status);
        }
        let root = PathBuf::from(String::from_utf8(output.stdout)?.trim());
        let cache = root.parent().context("the root is in a directory")?;
        forget_ended(cache)?;
        let prefix = format!("run-{}-", std::process::id());
        let run = tempfile::Builder::new().prefix(&prefix).tempdir_in(cache)?;
        let image = Self { root, run };
        image.pack(&image.overlay(), "installed")?;
        Ok(image)
    }

    /// Packs what lies over the root.
    fn pack(&self, to: &Path, kind: &str) -> anyhow::Result<()> {
        let mut pack = script("overlay.sh");
        pack.arg(&self.root).arg(binaries()?).arg(to).arg(kind);
        let status = pack.stdout(io::stderr()).status()?;
        if !status.success() {
            bail!("tests/guest/overlay.sh failed ({status}); what it said is above");
        }
        Ok(())
    }

    /// Removes what is of this run only.
    pub fn forget(&self) {
        // What stays is removed by a later run.
        let _ = fs::remove_dir_all(self.run.path());
    }

    fn overlay(&self) -> PathBuf {
        self.run.path().join("overlay.cpio")
    }

    /// The other one, packed when the first guest of this run asks for it.
    fn bare(&self) -> anyhow::Result<PathBuf> {
        let packed = self.run.path().join("bare.cpio");
        if !packed.exists() {
            let new = packed.with_extension("new");
            self.pack(&new, "bare")?;
            fs::rename(new, &packed)?;
        }
        Ok(packed)
    }

    /// The kernel.
    pub fn kernel(&self) -> PathBuf {
        self.root.join("vmlinuz")
    }

    /// The kernel's version.
    ///
    /// # Errors
    /// The root is damaged.
    pub fn kernel_version(&self) -> anyhow::Result<String> {
        Ok(fs::read_to_string(self.root.join("kver"))?.trim().to_owned())
    }

    /// A file of the project's that is laid over Debian, by its path in the guest.
    ///
    /// # Errors
    /// It is not there.
    pub fn overlaid(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let mut unpack = Command::new("cpio");
        unpack.args(["--quiet", "--extract", "--to-stdout", path.trim_start_matches('/')]);
        unpack.stdin(File::open(self.overlay())?);
        let content = succeed(unpack)?;
        // What is not in an archive is no error to cpio.
        ensure!(!content.is_empty(), "no {path} is laid over the root");
        Ok(content)
    }

    /// A directory for one guest, in this run's.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn directory(&self) -> anyhow::Result<TempDir> {
        Ok(tempfile::Builder::new().prefix("guest-").tempdir_in(self.run.path())?)
    }

    /// A fresh `/var`.
    ///
    /// # Errors
    /// The disk is full.
    pub fn var(&self, to: &Path) -> anyhow::Result<()> {
        let mut copy = Command::new("cp");
        copy.args(["--sparse=always", "--reflink=auto"]).arg(self.root.join("var.ext4")).arg(to);
        succeed(copy).map(drop)
    }

    /// Writes the whole root: Debian, the project, the extra files; later ones win.
    ///
    /// # Errors
    /// The disk is full, or a file has no place in a root.
    pub fn initrd(&self, overlay: Overlay, extra: &[Extra], to: &Path) -> anyhow::Result<()> {
        let overlay = match overlay {
            Overlay::Installed => self.overlay(),
            Overlay::Bare => self.bare()?,
        };
        let mut parts = vec![self.root.join("root.cpio"), overlay];
        let stage = tempfile::tempdir_in(self.run.path())?;
        if !extra.is_empty() {
            let packed = self.run.path().join("extra.cpio");
            for file in extra {
                let path = stage.path().join(file.path.trim_start_matches('/'));
                fs::create_dir_all(path.parent().context("a file is in a directory")?)?;
                if file.mode == LINK {
                    symlink(OsStr::from_bytes(&file.content), &path)?;
                    continue;
                }
                fs::write(&path, &file.content)?;
                fs::set_permissions(&path, fs::Permissions::from_mode(file.mode))?;
            }
            let mut pack = script("pack.sh");
            pack.arg(stage.path()).arg(&packed);
            succeed(pack)?;
            parts.push(packed);
        }
        let mut whole = File::create(to)?;
        for part in parts {
            io::copy(
                &mut File::open(&part).with_context(|| part.display().to_string())?,
                &mut whole,
            )?;
        }
        Ok(())
    }
}

/// A script of `tests/guest`.
pub(super) fn script(name: &str) -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("guest").join(name));
    // The target directory this program lies in, whatever cargo was told.
    let this = std::env::current_exe().unwrap_or_default();
    if let Some(target) = this.ancestors().find(|path| path.join("CACHEDIR.TAG").exists()) {
        command.env("CARGO_TARGET_DIR", target);
    }
    command.stdin(Stdio::null());
    command
}

/// Runs a command that must succeed; what it printed.
pub(super) fn succeed(mut command: Command) -> anyhow::Result<Vec<u8>> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(output.stdout)
}

/// Removes what runs that were killed have left.
fn forget_ended(cache: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(cache)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix("run-").and_then(|rest| rest.split('-').next());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            // Another run may be at the same.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

//! How a guest comes to its kernel: handed to it by QEMU, or, as on real machines with Secure Boot,
//! through firmware, shim and GRUB, each of which checks the next.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, bail};

use super::Guest;
use super::esp::Esp;
use super::image::{Image, script};
use super::machine::{APPEND, Start};
use super::mok_manager::Answer;
use super::variables::{self, Variable};

/// How a guest comes to its kernel.
#[derive(Debug, Clone, Copy, Default)]
pub enum Firmware {
    /// QEMU puts it into memory; there is no EFI.
    #[default]
    None,
    /// OVMF with Secure Boot and Microsoft's keys, the distribution's signed shim, GRUB and kernel.
    /// The variables are kept from boot to boot.
    SecureBoot {
        /// What has been set before the first boot, beyond what is delivered (see
        /// [`Variable::mok_list`]). Asked for when a guest is made.
        variables: fn() -> anyhow::Result<Vec<Variable>>,
    },
}

impl Firmware {
    /// Why this machine has no such guests, or `None`.
    ///
    /// # Errors
    /// It cannot be found out.
    pub fn lacking(self) -> anyhow::Result<Option<String>> {
        match self {
            Self::None => Ok(None),
            Self::SecureBoot { .. } => {
                let output = script("firmware.sh").arg("--check").output()?;
                if !output.status.success() {
                    bail!("firmware.sh --check: {}", String::from_utf8_lossy(&output.stderr));
                }
                let why = String::from_utf8_lossy(&output.stdout).trim().to_owned();
                Ok((!why.is_empty()).then_some(why))
            }
        }
    }

    /// Makes what a guest is started from, in its directory; takes the initramfs away from there
    /// when it is on a disk.
    pub(super) fn prepare(
        self,
        image: &Image,
        directory: &Path,
        initrd: PathBuf,
        append: &str,
    ) -> anyhow::Result<Start> {
        let words = format!("{APPEND} {append}");
        let Self::SecureBoot { variables } = self else {
            return Ok(Start::Kernel { kernel: image.kernel(), initrd, words });
        };
        let kit = kit()?;
        let store = directory.join("variables.fd");
        if !store.exists() {
            let mut content = fs::read(kit.join("variables.fd"))?;
            variables::add(&mut content, &variables()?)?;
            fs::write(&store, content)?;
        }
        let disk = directory.join("esp.img");
        let kernel = image.kernel();
        let loaders = kit.join("esp");
        Esp { loaders: &loaders, kernel: &kernel, initrd: &initrd, words: &words }.write(&disk)?;
        fs::remove_file(initrd)?;
        Ok(Start::Firmware { code: kit.join("code.fd"), variables: store, disk })
    }
}

/// The directory with firmware and loaders; fetches them when they are not there yet.
fn kit() -> anyhow::Result<PathBuf> {
    let output = script("firmware.sh").stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("tests/guest/firmware.sh failed ({}); what it said is above", output.status);
    }
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}

impl Guest {
    /// A variable of the firmware as the guest's efivarfs shows it, or `None` when there is none.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn efi_variable(&self, name: &str, owner: &str) -> anyhow::Result<Option<Variable>> {
        let path = format!("/sys/firmware/efi/efivars/{name}-{owner}");
        if !self.run(&format!("test -e {path}"))?.ok() {
            return Ok(None);
        }
        let content = self.get(&path)?;
        let (attributes, data) = content.split_first_chunk().context("no attributes")?;
        Ok(Some(Variable {
            name: name.to_owned(),
            owner: owner.to_owned(),
            attributes: u32::from_le_bytes(*attributes),
            data: data.to_vec(),
        }))
    }

    /// Reboots in good order where a request to shim is pending, and answers MokManager, which
    /// asks before the next boot. After it the request is gone, whatever the answer.
    ///
    /// # Errors
    /// As [`Guest::reboot`]; MokManager did not ask, or not what was expected. The text has what
    /// the console showed.
    pub fn reboot_through_mok_manager(&mut self, answer: &Answer) -> anyhow::Result<()> {
        self.power_off()?;
        self.come_up(Some(answer))
    }
}

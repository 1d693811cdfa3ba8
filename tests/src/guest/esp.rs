//! The disk that a guest's firmware boots from: a FAT file system with shim, GRUB, the kernel and
//! the root.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use super::image::succeed;

/// Sectors of a cluster, the largest there is: GRUB reads one cluster at a time, and a processor
/// that is emulated pays for each.
const CLUSTER: &str = "64";
/// What the file system takes beyond the files in it, generously.
const OVERHEAD_BYTES: u64 = 16 << 20;

/// What is on the disk.
#[derive(Debug)]
pub struct Esp<'a> {
    /// A directory whose `EFI` is copied.
    pub loaders: &'a Path,
    /// The kernel.
    pub kernel: &'a Path,
    /// Its initramfs.
    pub initrd: &'a Path,
    /// Its command line.
    pub words: &'a str,
}

impl Esp<'_> {
    /// Writes the disk.
    ///
    /// # Errors
    /// The disk of this machine is full.
    pub fn write(&self, to: &Path) -> anyhow::Result<()> {
        let size = fs::metadata(self.kernel)?.len() + fs::metadata(self.initrd)?.len();
        File::create(to)?.set_len((size + OVERHEAD_BYTES).next_multiple_of(1 << 20))?;
        let menu = to.with_extension("cfg");
        fs::write(
            &menu,
            format!("linux /vmlinuz {}\ninitrd /initrd\nboot\n", self.words.replace('\n', " ")),
        )?;
        let mut format = Command::new("mformat");
        format.arg("-i").arg(to).args(["-c", CLUSTER, "::"]);
        succeed(format)?;
        copy(to, &self.loaders.join("EFI"), "::/")?;
        // Where Debian's GRUB looks.
        copy(to, &menu, "::/EFI/debian/grub.cfg")?;
        copy(to, self.kernel, "::/vmlinuz")?;
        copy(to, self.initrd, "::/initrd")?;
        Ok(fs::remove_file(menu)?)
    }
}

fn copy(disk: &Path, from: &Path, to: &str) -> anyhow::Result<()> {
    let mut copy = Command::new("mcopy");
    copy.arg("-s").arg("-i").arg(disk).arg(from).arg(to);
    succeed(copy).map(drop)
}

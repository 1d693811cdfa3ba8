//! How the kernels on the disk were built, from the first of the places where a configuration may
//! lie. Of a quarter of a megabyte each, the options that matter are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::sync::Arc;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use onload_core::names::KernelRelease;
use onload_core::reading::Reading;
use onload_core::secure_boot::Damaged;
use onload_core::secure_boot::kernel::config::{KernelConfig, Pieces};
use onload_core::secure_boot::trust::Trust;

use super::super::root::{Dir, Kind, Node};
use super::reading;

/// The running kernel's own word, where it has one (`CONFIG_IKCONFIG_PROC`).
const RUNNING: &str = "proc/config.gz";
/// Distributions' have 300 KB.
const CONFIG_BYTES: usize = 4 << 20;

/// Where each configuration was read, and what the file system said of it then.
#[derive(Debug, Default)]
pub(super) struct Configurations(BTreeMap<KernelRelease, (String, Node)>);

impl Configurations {
    /// Looks at each kernel's.
    pub(super) fn read<'a>(
        &mut self,
        root: &Dir,
        running: Option<&'a KernelRelease>,
        kernels: impl Iterator<Item = &'a KernelRelease>,
        trust: &mut Arc<Trust>,
    ) {
        let kernels: BTreeSet<_> = kernels.chain(running).collect();
        self.0.retain(|kernel, _| kernels.contains(kernel));
        if trust.configs.keys().any(|kernel| !kernels.contains(kernel)) {
            Arc::make_mut(trust).configs.retain(|kernel, _| kernels.contains(kernel));
        }
        for kernel in kernels {
            let found = lies_at(root, kernel, running == Some(kernel));
            if found.known().is_some_and(|found| self.0.get(kernel) == Some(found)) {
                continue;
            }
            self.0.remove(kernel);
            let read = found.and_then(|(path, node)| {
                let read = config(root, &path);
                self.0.insert(kernel.clone(), (path, node));
                read
            });
            if trust.configs.get(kernel) != Some(&read) {
                Arc::make_mut(trust).configs.insert(kernel.clone(), read);
            }
        }
    }
}

/// The running kernel's own, Debian's and the Fedora family's, that of image-based hosts, and the
/// one in the tree for building modules.
fn lies_at(root: &Dir, kernel: &KernelRelease, running: bool) -> Reading<(String, Node)> {
    let places = [
        format!("boot/config-{kernel}"),
        format!("lib/modules/{kernel}/config"),
        format!("usr/lib/modules/{kernel}/config"),
        format!("lib/modules/{kernel}/build/.config"),
    ];
    for place in running.then(|| RUNNING.to_owned()).into_iter().chain(places) {
        match root.unrecorded().node(&place) {
            Reading::Known(mut node) if node.kind == Kind::File => {
                if place == RUNNING {
                    // It is what it is until the next boot; procfs makes up all but the size.
                    (node.inode, node.modified) = (0, (0, 0));
                }
                return Reading::Known((place, node));
            }
            Reading::Known(_) | Reading::Absent => {}
            Reading::Unreadable(why) => return Reading::Unreadable(format!("/{place}: {why}")),
        }
    }
    Reading::Absent
}

fn config(root: &Dir, path: &str) -> Reading<KernelConfig> {
    let read = if path == RUNNING { compressed(root) } else { plain(root, path) };
    let options = read.as_ref().map(KernelConfig::to_string);
    let kept = options.map(|text| if path == RUNNING { gzip(&text) } else { text.into_bytes() });
    root.keep(path, &kept);
    match read {
        Reading::Unreadable(why) => Reading::Unreadable(format!("/{path}: {why}")),
        read => read,
    }
}

fn plain(root: &Dir, path: &str) -> Reading<KernelConfig> {
    let (mut pieces, mut damaged) = (Pieces::default(), Ok(()));
    let read = root.unrecorded().read_by(path, CONFIG_BYTES, |piece| {
        if damaged.is_ok() {
            damaged = pieces.push(piece);
        }
    });
    read.and_then(|()| reading(damaged.and_then(|()| pieces.end())))
}

fn compressed(root: &Dir) -> Reading<KernelConfig> {
    root.unrecorded().file(RUNNING).and_then(|file| {
        let limit = u64::try_from(CONFIG_BYTES).unwrap_or(u64::MAX);
        // One byte more, so that a text that is too long ends in the middle and not at the limit.
        let mut text = GzDecoder::new(file).take(limit.saturating_add(1));
        let (mut pieces, mut buffer, mut total) = (Pieces::default(), [0; 8 << 10], 0_usize);
        loop {
            let length = match text.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) => return Reading::Unreadable(error.to_string()),
            };
            total = total.saturating_add(length);
            if total > CONFIG_BYTES {
                return Reading::Unreadable(format!("it is larger than {CONFIG_BYTES} bytes"));
            }
            let pushed: Result<(), Damaged> = pieces.push(buffer.get(..length).unwrap_or_default());
            if let Err(damaged) = pushed {
                return Reading::Unreadable(damaged.to_string());
            }
        }
        reading(pieces.end())
    })
}

/// As a kernel shows its own.
pub(super) fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // A vector takes whatever is written to it.
    let written = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish());
    written.unwrap_or_default()
}

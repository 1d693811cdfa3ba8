//! Which resources a kubelet may have found in its registry during this boot. It forgets one by name a
//! little after its socket has gone, so who registers it in the other way waits for that, also where
//! it was another process of ours that offered it before.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;

/// The file in the run-time directory; a resource a line. It goes with the boot, as a kubelet does.
const FILE: &str = "kubelet-registry";

/// The marked resources. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Marks {
    file: Option<PathBuf>,
    resources: Arc<watch::Sender<BTreeSet<String>>>,
}

impl Marks {
    /// What former processes have marked; none is known without a directory, and kept for later ones.
    pub(super) fn open(runtime: Option<&Path>) -> Self {
        let file = runtime.map(|directory| directory.join(FILE));
        let text = match file.as_deref().map(fs::read_to_string) {
            None => String::new(),
            Some(Ok(text)) => text,
            Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Some(Err(error)) => {
                tracing::warn!(
                    file = %file.as_deref().unwrap_or(Path::new("")).display(), %error,
                    "which resources were in the kubelet's registry is not known; one that is \
                     registered in the other way now may be lost once more",
                );
                String::new()
            }
        };
        let resources = text.lines().map(str::to_owned).collect();
        Self { file, resources: Arc::new(watch::Sender::new(resources)) }
    }

    /// Whether a kubelet may have found the resource.
    pub(super) fn has(&self, resource: &str) -> bool {
        self.resources.borrow().contains(resource)
    }

    /// A kubelet may find the resource from now on.
    pub(super) fn set(&self, resource: &str) {
        self.change(|resources| resources.insert(resource.to_owned()));
    }

    /// No kubelet remembers it as found.
    pub(super) fn clear(&self, resource: &str) {
        self.change(|resources| resources.remove(resource));
    }

    fn change(&self, change: impl FnOnce(&mut BTreeSet<String>) -> bool) {
        let changed = self.resources.send_if_modified(change);
        let Some(file) = self.file.as_deref().filter(|_| changed) else { return };
        if let Err(error) = write(file, &self.resources.borrow()) {
            tracing::warn!(
                file = %file.display(), %error,
                "a later process will not know which resources are in the kubelet's registry",
            );
        }
    }
}

/// At one go: a kill leaves the former file or this one.
fn write(file: &Path, resources: &BTreeSet<String>) -> io::Result<()> {
    if resources.is_empty() {
        let removed = fs::remove_file(file);
        return removed.or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        });
    }
    let text: String = resources.iter().flat_map(|resource| [resource, "\n"]).collect();
    let fresh = file.with_extension("new");
    fs::write(&fresh, text)?;
    fs::rename(fresh, file)
}

#[cfg(test)]
// Test code: a broken assumption must stop the test where it broke.
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn marks_outlive_a_process_and_none_leaves_no_file() {
        let root = tempfile::tempdir().unwrap();
        let marks = Marks::open(Some(root.path()));
        marks.set("amd.com/onload");
        marks.clone().set("amd.com/fast");
        let later = Marks::open(Some(root.path()));
        assert!(later.has("amd.com/onload") && later.has("amd.com/fast") && !later.has("amd.com/"));
        later.clear("amd.com/onload");
        assert!(!Marks::open(Some(root.path())).has("amd.com/onload"));
        later.clear("amd.com/fast");
        later.clear("amd.com/fast");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn without_a_directory_they_are_of_this_process() {
        let marks = Marks::open(None);
        marks.set("amd.com/onload");
        assert!(marks.has("amd.com/onload") && !Marks::open(None).has("amd.com/onload"));
    }
}

//! SELinux labels of a release: `modprobe` may load only modules labelled as such, containers may
//! map only libraries that are theirs to read. Set and verified where SELinux is on.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{XattrFlags, lgetxattr, lsetxattr};
use rustix::io::Errno;

use super::place::MODULE_TREES;

/// There while SELinux is on, whether it enforces or not.
const SELINUX: &str = "/sys/fs/selinux/enforce";
/// Where the kernel keeps a label.
const ATTRIBUTE: &str = "security.selinux";
/// Longest label read: contexts have some forty bytes, with categories some hundred.
const MOST_BYTES: usize = 4096;
/// What a file without a label gets, but for the type.
const UNLABELLED: &str = "system_u:object_r:unlabeled_t:s0";
/// What containers may map. It comes with the policy of containers, the others are in every policy.
const OF_CONTAINERS: &str = "container_ro_file_t";

/// How labels are kept.
#[derive(Clone, Debug)]
pub(super) struct Labels {
    attribute: &'static str,
    /// Whether it has been said that the policy knows nothing of containers.
    said: Arc<AtomicBool>,
}

impl Labels {
    /// None while SELinux is off.
    pub(super) fn of_the_machine() -> Option<Self> {
        Path::new(SELINUX).exists().then(|| Self::kept_in(ATTRIBUTE))
    }

    fn kept_in(attribute: &'static str) -> Self {
        Self { attribute, said: Arc::default() }
    }

    /// Labels one file of a release, not following links, and looks whether it is so. `path` is
    /// the one in the release. Where the policy has no type for containers, what is theirs keeps
    /// the label that its directory gave it.
    pub(super) fn set(&self, file: &Path, path: &str) -> io::Result<()> {
        let Some(kind) = kind_of(path) else { return Ok(()) };
        let now = self.get(file)?.unwrap_or_else(|| UNLABELLED.to_owned());
        let label = with_type(&now, kind).ok_or_else(|| {
            io::Error::other(format!("its SELinux label `{now}` has no type to set"))
        })?;
        if label != now {
            match lsetxattr(file, self.attribute, label.as_bytes(), XattrFlags::empty()) {
                // The kernel's answer to a type that its policy lacks. No container is confined by a
                // policy without one, and a release is of use to the host all the same.
                Err(Errno::INVAL) if kind == OF_CONTAINERS => {
                    self.say(&now);
                    return Ok(());
                }
                result => result?,
            }
        }
        match self.get(file)? {
            Some(found) if found == label => Ok(()),
            found => Err(io::Error::other(format!(
                "its SELinux label is `{}` and not `{label}`",
                found.unwrap_or_default()
            ))),
        }
    }

    /// Once, and not for each file of each release.
    fn say(&self, kept: &str) {
        if !self.said.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                lacking = OF_CONTAINERS,
                kept,
                "the SELinux policy has no type for what containers map: where containers run, install \
                 container-selinux and onloadd-selinux, and import the release again"
            );
        }
    }

    fn get(&self, file: &Path) -> io::Result<Option<String>> {
        let mut bytes = vec![0; MOST_BYTES];
        match lgetxattr(file, self.attribute, &mut bytes) {
            Ok(length) => {
                let text = String::from_utf8_lossy(&bytes[..length]);
                Ok(Some(text.trim_end_matches('\0').to_owned()))
            }
            Err(Errno::NODATA) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// The type a file of a release has (DESIGN section 10.5); none: what its directory gives it.
/// Programs that the kernel starts are labelled as those in `/sbin` are.
fn kind_of(path: &str) -> Option<&'static str> {
    let below = |directory: &str| {
        path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if below(MODULE_TREES) {
        Some("modules_object_t")
    } else if below("usr") {
        Some(OF_CONTAINERS)
    } else if below("sbin") {
        Some("bin_t")
    } else {
        None
    }
}

/// A label with another type: `user:role:type:level`, where the level may have colons.
fn with_type(label: &str, kind: &str) -> Option<String> {
    let mut parts = label.splitn(4, ':');
    let (user, role, _) = (parts.next()?, parts.next()?, parts.next()?);
    let level = parts.next().map(|level| format!(":{level}")).unwrap_or_default();
    Some(format!("{user}:{role}:{kind}{level}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot set up must fail")]
mod tests {
    use super::*;

    #[test]
    fn only_the_type_of_a_label_changes() {
        let label = with_type("system_u:object_r:var_lib_t:s0-s15:c0.c1023", "bin_t").unwrap();
        assert_eq!(label, "system_u:object_r:bin_t:s0-s15:c0.c1023");
        assert_eq!(with_type("u:r:t", "bin_t").unwrap(), "u:r:bin_t");
        assert_eq!(with_type("kernel", "bin_t"), None);
    }

    #[test]
    fn modules_are_for_modprobe_and_libraries_for_containers() {
        assert_eq!(kind_of("lib/modules/5.14.0/extra/sfc.ko"), Some("modules_object_t"));
        assert_eq!(kind_of("lib/modules"), Some("modules_object_t"));
        assert_eq!(kind_of("usr/lib64/libonload.so"), Some("container_ro_file_t"));
        assert_eq!(kind_of("sbin/onload_cp_server"), Some("bin_t"));
        assert_eq!((kind_of(""), kind_of("lib"), kind_of("usrlocal")), (None, None, None));
    }

    #[test]
    fn a_label_is_set_and_read_back() {
        let file = tempfile::NamedTempFile::new().unwrap();
        // A label of our own making, since this machine may have no SELinux.
        let labels = Labels::kept_in("user.onloadd.label");
        match labels.set(file.path(), "usr/bin/onload") {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                println!("skipped: the file system of temporary files has no attributes");
                return;
            }
            Err(error) => panic!("{error}"),
        }
        let now = labels.get(file.path()).unwrap().unwrap();
        assert_eq!(now, "system_u:object_r:container_ro_file_t:s0");
        let missing = labels.set(&file.path().join("missing"), "usr").unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotADirectory);
    }

    #[test]
    fn a_policy_without_containers_keeps_no_release_away_and_is_told_once() {
        let file = tempfile::NamedTempFile::new().unwrap();
        // Capabilities of a file: of what is none the kernel says EINVAL, as of a type it does not know.
        let labels = Labels::kept_in("security.capability");
        let log = tempfile::NamedTempFile::new().unwrap();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(Arc::new(log.reopen().unwrap()))
            .with_ansi(false)
            .finish();
        let (library, again, module) = tracing::subscriber::with_default(subscriber, || {
            let set = |path| labels.clone().set(file.path(), path);
            (set("usr/lib64/libonload.so"), set("usr/bin/onload"), set("lib/modules/6.1/sfc.ko"))
        });
        match &library {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                println!("skipped: the file system of temporary files has no attributes");
                return;
            }
            Ok(()) | Err(_) => assert!(library.is_ok() && again.is_ok(), "{library:?} {again:?}"),
        }
        assert_eq!(labels.get(file.path()).unwrap(), None, "it is left as it is");
        // modprobe would not load it: that is no matter of containers.
        assert_eq!(module.unwrap_err().raw_os_error(), Some(Errno::INVAL.raw_os_error()));
        let log = std::fs::read_to_string(log.path()).unwrap();
        assert_eq!(log.matches(OF_CONTAINERS).count(), 1, "{log}");
        assert!(log.contains(UNLABELLED) && log.contains("container-selinux"), "{log}");
    }
}

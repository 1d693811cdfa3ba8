//! SELinux labels of a release: `modprobe` may load only modules labelled as such, containers may
//! map only libraries that are theirs to read. Set and verified where SELinux is on.

use std::io;
use std::path::Path;

use rustix::fs::{XattrFlags, lgetxattr, lsetxattr};

use super::place::MODULE_TREES;

/// There while SELinux is on, whether it enforces or not.
const SELINUX: &str = "/sys/fs/selinux/enforce";
/// Where the kernel keeps a label.
const ATTRIBUTE: &str = "security.selinux";
/// Longest label read: contexts have some forty bytes, with categories some hundred.
const MOST_BYTES: usize = 4096;
/// What a file without a label gets, but for the type.
const UNLABELLED: &str = "system_u:object_r:unlabeled_t:s0";

/// How labels are kept.
#[derive(Clone, Debug)]
pub(super) struct Labels {
    attribute: &'static str,
}

impl Labels {
    /// None while SELinux is off.
    pub(super) fn of_the_machine() -> Option<Self> {
        Path::new(SELINUX).exists().then_some(Self { attribute: ATTRIBUTE })
    }

    /// Labels one file of a release, not following links, and looks whether it is so. `path` is
    /// the one in the release.
    pub(super) fn set(&self, file: &Path, path: &str) -> io::Result<()> {
        let Some(kind) = kind_of(path) else { return Ok(()) };
        let now = self.get(file)?.unwrap_or_else(|| UNLABELLED.to_owned());
        let label = with_type(&now, kind).ok_or_else(|| {
            io::Error::other(format!("its SELinux label `{now}` has no type to set"))
        })?;
        if label != now {
            lsetxattr(file, self.attribute, label.as_bytes(), XattrFlags::empty())?;
        }
        match self.get(file)? {
            Some(found) if found == label => Ok(()),
            found => Err(io::Error::other(format!(
                "its SELinux label is `{}` and not `{label}`",
                found.unwrap_or_default()
            ))),
        }
    }

    fn get(&self, file: &Path) -> io::Result<Option<String>> {
        let mut bytes = vec![0; MOST_BYTES];
        match lgetxattr(file, self.attribute, &mut bytes) {
            Ok(length) => {
                let text = String::from_utf8_lossy(&bytes[..length]);
                Ok(Some(text.trim_end_matches('\0').to_owned()))
            }
            Err(rustix::io::Errno::NODATA) => Ok(None),
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
        Some("container_ro_file_t")
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
        let labels = Labels { attribute: "user.onloadd.label" };
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
}

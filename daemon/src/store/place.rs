//! Where the files of a release lie in what people hand over, and where they lie in the store: a
//! list of places that are taken, nothing else is.

/// Modules of Onload: out-of-tree `sfc` with its driverlink of 8.x, and the stack
/// (reference/kubernetes-onload.md section 4.5).
const MODULES: [&str; 5] = ["sfc_driverlink", "sfc", "sfc_resource", "sfc_char", "onload"];
/// How module files end, packed or not.
const MODULE_ENDINGS: [&str; 4] = [".ko", ".ko.gz", ".ko.xz", ".ko.zst"];
/// Of a kernel's module directory: what the kernel itself brings, links into sources, and links
/// to modules of another kernel.
const NOT_OURS: [&str; 4] = ["kernel", "build", "source", "weak-updates"];
/// Libraries by how their names begin (reference/onload-modules.md section 7).
const LIBRARIES: [&str; 4] =
    ["libonload.so", "libonload_ext.so", "libefcp.so", "libsfcaffinity.so"];
/// Where 64-bit libraries lie, and where they are kept: merged `/usr` or not.
const LIBRARY_DIRECTORIES: [(&str, &str); 6] = [
    ("usr/lib64/", "usr/lib64/"),
    ("lib64/", "usr/lib64/"),
    ("usr/lib/x86_64-linux-gnu/", "usr/lib/x86_64-linux-gnu/"),
    ("lib/x86_64-linux-gnu/", "usr/lib/x86_64-linux-gnu/"),
    ("usr/lib/aarch64-linux-gnu/", "usr/lib/aarch64-linux-gnu/"),
    ("lib/aarch64-linux-gnu/", "usr/lib/aarch64-linux-gnu/"),
];
/// Where programs lie; distributions differ in what they merge with what.
const PROGRAM_DIRECTORIES: [&str; 4] = ["usr/bin/", "bin/", "usr/sbin/", "sbin/"];
/// Programs that `onload_install` puts into `/sbin`.
const SYSTEM_PROGRAMS: [&str; 5] =
    ["onload_cp_server", "onload_tool", "shrub_controller", "sfcirqaffinity", "sfcaffinity_config"];
/// Programs for everybody that do not begin with `onload`.
const PROGRAMS: [&str; 2] = ["orm_json", "orm_webserver"];
/// Removes what the distribution's packages installed, and knows nothing of the store.
const UNINSTALLER: &str = "onload_uninstall";
const LIBEXEC: &str = "usr/libexec/onload/";
/// List for the uninstaller.
const UNINSTALL_MANIFEST: &str = "uninstall_manifest";
/// Below these the layout of a machine begins anew (the images of kubernetes-onload).
const PREFIXES: [&str; 2] = ["opt/onload/", "opt/"];

/// Where modules of a kernel are kept.
pub(super) const MODULE_TREES: &str = "lib/modules";

/// A place of the store, and how it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The one directory that everything lies below, if it does.
    pub(super) top: Option<String>,
    /// Path in the release.
    pub(super) path: String,
    /// Whether it is a module, which is kept unpacked.
    pub(super) module: bool,
}

/// The place of a cleaned path; none where it is of no release.
pub(super) fn of(path: &str) -> Option<Place> {
    if let Some((path, module)) = direct(path) {
        return Some(Place { top: None, path, module });
    }
    let (top, rest) = path.split_once('/')?;
    let (path, module) = direct(rest)?;
    Some(Place { top: Some(top.to_owned()), path, module })
}

/// Whether a directory of that path may hold files of a release.
pub(super) fn may_hold(directory: &str) -> bool {
    let leads = |path: &str| {
        let path = format!("{path}/");
        let flat = LIBRARY_DIRECTORIES.iter().map(|(from, _)| *from).chain(PROGRAM_DIRECTORIES);
        let deep = [format!("{MODULE_TREES}/"), format!("usr/{MODULE_TREES}/"), LIBEXEC.to_owned()];
        flat.into_iter().any(|place| place.starts_with(&path))
            || deep.iter().any(|place| {
                place.starts_with(&path)
                    || (path.starts_with(place) && !in_kernels_own(&path, place))
            })
    };
    let within = |path: &str| {
        leads(path)
            || PREFIXES.iter().any(|prefix| {
                prefix.starts_with(&format!("{path}/"))
                    || path.strip_prefix(prefix).is_some_and(leads)
            })
    };
    within(directory) || directory.split_once('/').is_none_or(|(_, rest)| within(rest))
}

fn in_kernels_own(path: &str, modules: &str) -> bool {
    let below = path.strip_prefix(modules).and_then(|rest| rest.split_once('/'));
    below.is_some_and(|(_, rest)| NOT_OURS.iter().any(|own| rest.starts_with(&format!("{own}/"))))
}

fn direct(path: &str) -> Option<(String, bool)> {
    plain(path)
        .or_else(|| PREFIXES.iter().find_map(|prefix| path.strip_prefix(prefix).and_then(plain)))
}

fn plain(path: &str) -> Option<(String, bool)> {
    if let Some(kept) = module(path) {
        return Some((kept, true));
    }
    let kept = library(path).or_else(|| program(path)).or_else(|| {
        let name = path.strip_prefix(LIBEXEC)?;
        (name != UNINSTALL_MANIFEST).then(|| path.to_owned())
    })?;
    Some((kept, false))
}

fn module(path: &str) -> Option<String> {
    let rest = path.strip_prefix("usr/").unwrap_or(path);
    let (kernel, rest) = rest.strip_prefix(MODULE_TREES)?.strip_prefix('/')?.split_once('/')?;
    let own = rest.split('/').next().is_some_and(|first| NOT_OURS.contains(&first));
    let file = rest.rsplit('/').next()?;
    let name = MODULE_ENDINGS.iter().find_map(|ending| file.strip_suffix(ending))?;
    // As the kernel and modprobe do, which take both for one.
    let name = name.replace('-', "_");
    let ours = MODULES.contains(&name.as_str()) && !own && is_kernel(kernel);
    ours.then(|| format!("{MODULE_TREES}/{kernel}/extra/{name}.ko"))
}

/// `depmod` takes only what begins as a version does.
fn is_kernel(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_digit())
        && name.parse::<onload_core::names::KernelRelease>().is_ok()
}

fn library(path: &str) -> Option<String> {
    LIBRARY_DIRECTORIES.iter().find_map(|(from, to)| {
        let name = path.strip_prefix(from)?;
        let ours = LIBRARIES.iter().any(|library| {
            name.strip_prefix(library).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        });
        (ours && !name.contains('/')).then(|| format!("{to}{name}"))
    })
}

fn program(path: &str) -> Option<String> {
    PROGRAM_DIRECTORIES.iter().find_map(|directory| {
        let name = path.strip_prefix(directory)?;
        if name.contains('/') || name == UNINSTALLER {
            None
        } else if SYSTEM_PROGRAMS.contains(&name) {
            Some(format!("sbin/{name}"))
        } else if name.starts_with("onload") || PROGRAMS.contains(&name) {
            Some(format!("usr/bin/{name}"))
        } else {
            None
        }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a place that is missing must fail")]
mod tests {
    use super::*;

    fn kept(path: &str) -> Option<String> {
        of(path).filter(|place| place.top.is_none()).map(|place| place.path)
    }

    #[test]
    fn every_place_of_every_layout_has_one_place_in_the_store() {
        let kernel = "5.14.0-427.el9.x86_64";
        let onload = format!("lib/modules/{kernel}/extra/onload.ko");
        for path in [
            format!("lib/modules/{kernel}/extra/onload.ko"),
            format!("usr/lib/modules/{kernel}/extra/onload.ko.xz"),
            format!("opt/lib/modules/{kernel}/extra/onload.ko"),
            format!("opt/onload/lib/modules/{kernel}/updates/dkms/onload.ko.zst"),
            format!("lib/modules/{kernel}/onload.ko.gz"),
        ] {
            assert_eq!(kept(&path).as_deref(), Some(onload.as_str()), "{path}");
            assert!(of(&path).unwrap().module);
        }
        for (path, place) in [
            ("usr/lib64/libonload.so", "usr/lib64/libonload.so"),
            ("lib64/libonload.so", "usr/lib64/libonload.so"),
            (
                "usr/lib/x86_64-linux-gnu/libonload_ext.so.2",
                "usr/lib/x86_64-linux-gnu/libonload_ext.so.2",
            ),
            ("usr/bin/onload", "usr/bin/onload"),
            ("bin/onload_stackdump", "usr/bin/onload_stackdump"),
            ("usr/sbin/onload_cp_server", "sbin/onload_cp_server"),
            ("usr/bin/onload_tool", "sbin/onload_tool"),
            (
                "opt/onload/usr/libexec/onload/profiles/latency.opf",
                "usr/libexec/onload/profiles/latency.opf",
            ),
        ] {
            assert_eq!(kept(path).as_deref(), Some(place), "{path}");
        }
        let below = of("onload-9.2.1/sbin/onload_cp_server").unwrap();
        assert_eq!(below.top.as_deref(), Some("onload-9.2.1"));
        assert_eq!(below.path, "sbin/onload_cp_server");
    }

    #[test]
    fn what_no_release_has_has_no_place() {
        for path in [
            "lib/modules/5.14.0/kernel/drivers/net/ethernet/sfc/sfc.ko.xz",
            "lib/modules/5.14.0/weak-updates/onload/onload.ko",
            "lib/modules/5.14.0/build/sfc.ko",
            "lib/modules/5.14.0/extra/mlx5_core.ko",
            "lib/modules/-b/extra/onload.ko",
            "lib/modules/5.14.0/modules.dep",
            "lib/modules/onload.ko",
            "usr/lib/libonload.so",
            "usr/lib64/libonload.sock",
            "usr/lib64/deep/libonload.so",
            "usr/lib64/libc.so.6",
            "usr/bin/bash",
            "usr/sbin/onload_uninstall",
            "usr/libexec/onload/uninstall_manifest",
            "a/b/usr/bin/onload",
            "etc/modprobe.d/onload.conf",
        ] {
            assert_eq!(of(path), None, "{path}");
        }
    }

    #[test]
    fn only_directories_on_the_way_are_looked_into() {
        for path in ["usr", "opt", "opt/onload", "opt/lib/modules", "any", "any/opt/onload/usr"] {
            assert!(may_hold(path), "{path}");
        }
        for path in [
            "proc/1",
            "usr/share",
            "usr/lib64/libc.so.6",
            "lib/modules/5.14.0/kernel",
            "opt/other/thing",
        ] {
            assert!(!may_hold(path), "{path}");
        }
        for path in ["lib/modules/5.14.0/extra/deep", "usr/libexec/onload/apps/deep"] {
            assert!(may_hold(path), "{path}");
        }
    }
}

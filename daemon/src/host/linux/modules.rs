//! Kernel modules, from `/proc/modules` and `/sys/module`. `/proc/modules` says which there are: a
//! directory in `/sys/module` alone is built into the kernel, and one on its way in may not have a
//! directory yet (reference/onload-measured.md section 1).

use std::collections::{BTreeMap, BTreeSet};

use onload_core::inventory::{COMPANIONS, Module, ModuleState, STACK};
use onload_core::names::ModuleName;
use onload_core::reading::Reading;

use super::attribute;
use super::capture::READABLE;
use super::root::{Dir, Kind};

/// A module's line has about 100 bytes, and a machine a few hundred modules.
const MODULES_BYTES: usize = 1 << 20;
/// A parameter fills at most one page.
const PARAMETER_BYTES: usize = 64 << 10;

/// One line of `/proc/modules`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Listed {
    state: ModuleState,
    refcount: Reading<u32>,
    holders: BTreeSet<ModuleName>,
    taint: String,
}

/// The modules of [`STACK`] and [`COMPANIONS`] that there are. Absent on a kernel that has no
/// loadable modules.
pub(super) fn read(root: &Dir) -> Reading<BTreeMap<ModuleName, Module>> {
    root.read("proc/modules", MODULES_BYTES).and_then(attribute::text).and_then(|text| {
        listed(&text).map(|modules| {
            let seen = modules.into_iter().filter_map(|(name, listed)| {
                let module = module(root, &name, listed)?;
                Some((name, module))
            });
            seen.collect()
        })
    })
}

/// What `/proc/modules` says of the modules that matter here.
fn listed(text: &str) -> Reading<BTreeMap<ModuleName, Listed>> {
    if !text.is_empty() && !text.ends_with('\n') {
        return Reading::Unreadable("/proc/modules ends in the middle of a line".to_owned());
    }
    let mut modules = BTreeMap::new();
    for line in text.lines() {
        let name = line.split(' ').next().unwrap_or_default();
        if !STACK.contains(&name) && !COMPANIONS.contains(&name) {
            continue;
        }
        match name.parse().ok().zip(one_line(line)) {
            Some((name, listed)) => modules.insert(name, listed),
            None => return attribute::unexpected(line),
        };
    }
    Reading::Known(modules)
}

/// `NAME SIZE REFCOUNT HOLDERS STATE ADDRESS [(TAINT)]`, as `m_show` of the kernel writes it.
fn one_line(line: &str) -> Option<Listed> {
    let mut fields = line.split(' ').skip(2);
    let refcount = match fields.next()? {
        // A kernel that cannot unload modules does not count.
        "-" => None,
        count => Some(count.parse::<i64>().ok()?),
    };
    // `-` for none; `[permanent]` stands among them for a module that cannot be unloaded.
    let holders = fields.next()?.split(',').filter_map(|name| name.parse().ok()).collect();
    let state = match fields.next()? {
        "Unloading" => ModuleState::Going,
        "Loading" => ModuleState::Coming,
        "Live" if refcount.is_some_and(i64::is_negative) => ModuleState::Coming,
        "Live" => ModuleState::Live,
        _ => return None,
    };
    let _address = fields.next()?;
    let taint = fields.next().unwrap_or_default().trim_matches(['(', ')']).to_owned();
    let refcount = refcount.and_then(|count| u32::try_from(count).ok()).into();
    Some(Listed { state, refcount, holders, taint })
}

/// Joins a line with the module's directory. None if the module is gone by now.
fn module(root: &Dir, name: &ModuleName, listed: Listed) -> Option<Module> {
    let from_list = Module {
        state: listed.state,
        refcount: listed.refcount,
        holders: listed.holders,
        version: Reading::Absent,
        srcversion: Reading::Absent,
        taint: Reading::Known(listed.taint),
        parameters: BTreeMap::new(),
    };
    match root.subject(&format!("sys/module/{name}"), |dir| in_directory(dir, &from_list)) {
        Reading::Known(module) => Some(module),
        Reading::Absent => match from_list.state {
            ModuleState::Live => None,
            ModuleState::Coming | ModuleState::Going => Some(from_list),
        },
        Reading::Unreadable(why) => Some(Module {
            version: Reading::Unreadable(why.clone()),
            srcversion: Reading::Unreadable(why),
            ..from_list
        }),
    }
}

/// What the directory says, which is younger than the list.
fn in_directory(dir: &Dir, from_list: &Module) -> Module {
    let state = match dir.line("initstate").known().map(String::as_str) {
        Some("live") => ModuleState::Live,
        Some("coming") => ModuleState::Coming,
        Some("going") => ModuleState::Going,
        Some(_) | None => from_list.state,
    };
    let holders = match dir.names("holders", |_| true) {
        Reading::Known(names) => names.iter().filter_map(|name| name.parse().ok()).collect(),
        Reading::Absent | Reading::Unreadable(_) => from_list.holders.clone(),
    };
    let taint = match dir.line("taint") {
        // The file came after the list had it.
        Reading::Absent => from_list.taint.clone(),
        taint => taint,
    };
    Module {
        state,
        refcount: dir.line("refcnt").and_then(attribute::refcount),
        holders,
        version: dir.line("version"),
        srcversion: dir.line("srcversion"),
        taint,
        parameters: parameters(dir),
    }
}

fn parameters(dir: &Dir) -> BTreeMap<String, Reading<String>> {
    let names = dir.list("parameters").into_known().unwrap_or_default();
    let paths = names.into_keys().map(|name| (format!("parameters/{name}"), name));
    paths
        // Without any read permission a parameter can only be written.
        .filter(|(path, _)| match dir.node(path) {
            Reading::Known(node) => node.kind == Kind::File && node.mode & READABLE != 0,
            Reading::Absent => false,
            Reading::Unreadable(_) => true,
        })
        .map(|(path, name)| (name, dir.read(&path, PARAMETER_BYTES).and_then(attribute::parameter)))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::root::tests::{before, root_with};
    use super::*;

    const LIST: &str = "mtd 90112 1 sfc, Live 0x0000000000000000\n\
        sfc_resource 400 2 onload,sfc_char, Live 0x0 (OE)\n\
        nf_tables 1 1 x, Live 0x0\n\
        sfc 700 0 - Live 0x0 (OE)\n";

    fn of(root: &Dir, name: &str) -> Option<Module> {
        read(root).known().unwrap().get(&name.parse().unwrap()).cloned()
    }

    #[test]
    fn the_list_gives_state_holders_and_taint() {
        let modules = listed(LIST).into_known().unwrap();
        assert_eq!(modules.len(), 3, "nf_tables is none of ours");
        let resource = &modules[&"sfc_resource".parse().unwrap()];
        assert_eq!((resource.refcount.clone(), resource.holders.len()), (Reading::Known(2), 2));
        assert_eq!(resource.taint, "OE");
        let permanent = listed("sfc 1 0 [permanent], Live 0x0\n").into_known().unwrap();
        assert!(permanent.values().all(|listed| listed.holders.is_empty()));
        assert_eq!(listed(""), Reading::Known(BTreeMap::new()));
    }

    #[test]
    fn an_odd_list_is_unreadable() {
        for odd in [
            "sfc 700 0 - Live 0x0",
            "sfc\n",
            "sfc 700 x - Live 0x0\n",
            "sfc 700 0 - Limbo 0x0\n",
            "sfc 700 0 - Live\n",
        ] {
            assert!(listed(odd).is_unreadable(), "{odd:?}");
        }
    }

    #[test]
    fn a_module_in_flight_needs_no_directory() {
        for (line, state) in [
            ("onload 1 -2 - Loading 0x0 (OE)\n", ModuleState::Coming),
            ("onload 1 -2 - Live 0x0 (OE)\n", ModuleState::Coming),
            ("onload 1 -1 - Unloading 0x0 (OE)\n", ModuleState::Going),
        ] {
            let (_place, root) = root_with(&[("proc/modules", line)]);
            let module = of(&root, "onload").unwrap();
            assert_eq!((module.state, module.refcount.clone()), (state, Reading::Absent), "{line}");
        }
    }

    #[test]
    fn the_directory_is_believed_over_the_older_list() {
        let (place, root) = root_with(&[
            ("proc/modules", "sfc 700 0 - Live 0x0 (OE)\n"),
            ("sys/module/sfc/initstate", "going\n"),
            ("sys/module/sfc/refcnt", "-1\n"),
            ("sys/module/sfc/version", "\n"),
            ("sys/module/sfc/taint", ""),
            ("sys/module/sfc/parameters/num_vis", "4"),
            ("sys/module/sfc/parameters/secret", "x\n"),
        ]);
        let secret = place.path().join("sys/module/sfc/parameters/secret");
        let mut mode = fs::metadata(&secret).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o200);
        fs::set_permissions(&secret, mode).unwrap();
        let module = of(&root, "sfc").unwrap();
        assert_eq!(module.state, ModuleState::Going);
        assert_eq!(module.refcount, Reading::Absent);
        assert_eq!(module.version, Reading::Known(String::new()), "an unstamped build");
        assert_eq!(module.srcversion, Reading::Absent);
        assert!(module.taint.is_unreadable(), "an empty file is no empty line");
        let parameters: Vec<_> = module.parameters.into_iter().collect();
        assert_eq!(parameters, [("num_vis".to_owned(), Reading::Known("4".to_owned()))]);
    }

    #[test]
    fn a_module_that_goes_away_while_it_is_read_is_left_out() {
        let (place, root) = root_with(&[
            ("proc/modules", "sfc 700 0 - Live 0x0 (OE)\n"),
            ("sys/module/sfc/initstate", "live\n"),
        ]);
        assert!(of(&root, "sfc").is_some());
        let gone = place.path().join("sys/module/sfc");
        before(&root, "sys/module/sfc/refcnt", 1, move || fs::remove_dir_all(gone).unwrap());
        assert_eq!(of(&root, "sfc"), None);
        assert_eq!(of(&root, "sfc"), None, "listed as live, but without a directory");
    }

    #[test]
    fn built_in_is_not_loaded_and_no_list_is_no_modules() {
        let (_place, root) =
            root_with(&[("sys/module/hwmon/parameters/x", "1\n"), ("proc/modules", "")]);
        assert_eq!(of(&root, "hwmon"), None);
        let (_place, root) = root_with(&[]);
        assert_eq!(read(&root), Reading::Absent);
    }
}

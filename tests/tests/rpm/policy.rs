//! The SELinux policy modules, built by the tools of the policy that is installed here.

use std::fs;
use std::path::Path;
use std::process::Command;

use onload_tests::skip::skip;
use tempfile::TempDir;

use super::{read, repository, text};

const DEVELOPMENT: &str = "/usr/share/selinux/devel/Makefile";
const MODULES: [&str; 2] = ["onloadd", "onloadd_containers"];

/// Why none can be built here, or `None`.
pub fn lacking() -> Option<String> {
    let places = ["/usr/bin", "/usr/sbin"];
    let is_there = |name: &&str| places.iter().any(|place| Path::new(place).join(name).exists());
    let tools = ["checkmodule", "semodule_package", "m4", "bzip2"];
    let missing = tools.iter().find(|name| !is_there(name));
    match missing {
        Some(tool) => Some(format!("{tool} is not installed")),
        None if !Path::new(DEVELOPMENT).exists() => Some(format!("no {DEVELOPMENT}")),
        None => None,
    }
}

#[test]
fn the_policy_modules_are_made_of_their_source() {
    if let Some(why) = lacking() {
        return skip("the_policy_modules_are_made_of_their_source", &why);
    }
    let place = TempDir::new().unwrap();
    for entry in fs::read_dir(repository().join("packaging/selinux")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), place.path().join(entry.file_name())).unwrap();
    }
    let make = || {
        let mut make = Command::new("make");
        make.args(["-f", DEVELOPMENT]).args(MODULES.map(|name| format!("{name}.pp")));
        make.current_dir(place.path()).env_remove("MAKEFLAGS").env_remove("MAKELEVEL");
        make.output().unwrap()
    };
    let out = make();
    assert!(out.status.success(), "{}", text(&out));
    for name in MODULES {
        assert!(fs::metadata(place.path().join(format!("{name}.pp"))).unwrap().len() > 0);
    }
    // That this means something: a type that nobody has is told.
    let wrong = read("packaging/selinux/onloadd.te") + "allow nobody_t bin_t:file read;\n";
    fs::write(place.path().join("onloadd.te"), wrong).unwrap();
    let out = make();
    assert!(!out.status.success() && text(&out).contains("nobody_t"), "{}", text(&out));
}

/// What the modules say of a path is what onloadd itself sets (daemon/src/store/label.rs), so that a
/// relabelling does not take it away.
#[test]
fn contexts_are_those_that_onloadd_sets() {
    let contexts = MODULES.map(|name| read(&format!("packaging/selinux/{name}.fc"))).concat();
    let source = read("daemon/src/store/label.rs");
    for (path, kind) in [
        ("/var/lib/onloadd/releases/[^/]+/lib/modules(/.*)?", "modules_object_t"),
        ("/var/lib/onloadd/releases/[^/]+/sbin(/.*)?", "bin_t"),
        ("/var/lib/onloadd/releases/[^/]+/usr(/.*)?", "container_ro_file_t"),
        ("/var/lib/onloadd/trees/[^/]+(/.*)?", "container_ro_file_t"),
    ] {
        let line = format!("{path}\tgen_context(system_u:object_r:{kind},s0)");
        assert!(contexts.lines().any(|one| one == line), "{line}");
        let set = [format!("Some(\"{kind}\")"), format!("OF_CONTAINERS: &str = \"{kind}\"")];
        assert!(set.iter().any(|one| source.contains(one)), "{kind}");
    }
}

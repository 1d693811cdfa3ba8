//! What runs on a node when the package comes, is replaced, or goes.

use std::path::Path;
use std::process::Command;

use super::{packages, tag};

const SCRIPTLETS: [&str; 4] = ["PREIN", "POSTIN", "PREUN", "POSTUN"];

fn scriptlet(package: &Path, name: &str) -> String {
    tag(package, &format!("%|{name}?{{%{{{name}}}}}|")).join("\n")
}

#[test]
fn every_macro_was_known_where_it_was_built() {
    let Some(built) = packages("every_macro_was_known_where_it_was_built") else { return };
    let mut seen = 0;
    for package in built.iter().flat_map(|one| [&one.main, &one.selinux]) {
        let scripts = SCRIPTLETS.map(|name| (name, scriptlet(package, name)));
        let triggers = tag(package, "[%{TRIGGERSCRIPTS}\\n-- \n]").join("\n");
        let triggers = triggers.split("-- \n").map(|one| ("TRIGGER", one.to_owned()));
        for (name, script) in scripts.into_iter().chain(triggers) {
            let package = package.display();
            assert!(!script.contains('%'), "{package}: {name}: {script}");
            let checked = Command::new("sh").args(["-n", "-c", &script]).output().unwrap();
            assert!(checked.status.success(), "{package}: {name}: {checked:?}");
            seen += usize::from(!script.is_empty());
        }
    }
    assert!(seen >= 6, "the scriptlets of two builds: {seen}");
}

/// Lines that run something, without those that only say when.
fn lines(script: &str) -> Vec<&str> {
    let lines = script.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

#[test]
fn each_step_of_a_package_does_what_it_has_to() {
    let Some([one, _]) = packages("each_step_of_a_package_does_what_it_has_to") else { return };
    let has = |name: &str, wanted: &str| {
        let script = scriptlet(&one.main, name);
        assert!(
            lines(&script).iter().any(|line| line.contains(wanted)),
            "{name}: {wanted}\n{script}"
        );
    };
    has("POSTIN", "systemd-sysusers /usr/lib/sysusers.d/onloadd.conf");
    has("POSTIN", "systemd-tmpfiles --create /usr/lib/tmpfiles.d/onloadd.conf");
    has("POSTIN", "ReloadConfig");
    has("POSTIN", "udevadm control --reload");
    has("PREUN", "onloadd --restore");
    has("POSTUN", "ReloadConfig");
    for name in SCRIPTLETS {
        let script = scriptlet(&one.main, name);
        let restarts = lines(&script).into_iter().filter(|line| line.contains("restart"));
        for line in restarts {
            assert!(!line.contains("onloadd-boot") && !line.contains("sfptpd"), "{name}: {line}");
        }
        // A scriptlet that fails leaves two packages, or one that cannot be removed.
        for line in lines(&script).iter().filter(|line| line.contains("/usr/")) {
            let tested = line.starts_with("if ") || line.starts_with("for ");
            assert!(tested || line.ends_with("|| :"), "{name}: {line}");
        }
    }
}

/// Run as rpm runs them, with programs that only write down what they are asked.
#[test]
fn only_the_last_package_takes_back_what_was_changed() {
    let Some([one, _]) = packages("only_the_last_package_takes_back_what_was_changed") else {
        return;
    };
    let script = scriptlet(&one.main, "PREUN");
    let runs = |left: &str| {
        // Whatever of systemd is here is neither asked nor told.
        let told =
            script.replace("/usr/sbin/onloadd", "echo restored").replace("/usr/bin/", "true ");
        let told = told.replace("[ -x true systemctl ]", "true");
        let out = Command::new("sh").args(["-c", &told, "sh", left]).output().unwrap();
        assert!(out.status.success(), "{out:?}");
        String::from_utf8(out.stdout).unwrap()
    };
    assert_eq!(runs("0"), "restored --restore\n", "the package goes");
    assert_eq!(runs("1"), "", "another release takes its place");
}

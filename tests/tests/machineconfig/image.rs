//! Containerfiles of `packaging/rhcos`, held to their grammar and to what else names what is in them. They are
//! built in `images.rs`.

use std::fs;
use std::path::Path;
use std::process::Command;

use onload_tests::node::Node;
use onload_tests::skip::skip;

/// Instructions and their words, lines that go on joined.
fn instructions(name: &str) -> Vec<(String, String)> {
    let text = fs::read_to_string(Node::repository("packaging/rhcos").join(name)).unwrap();
    let text: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let whole = text.join("\n").replace("\\\n", " ");
    let lines = whole.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| {
            let (word, rest) = line.split_once(' ').unwrap_or_else(|| panic!("{name}: {line}"));
            (word.to_owned(), rest.split_whitespace().collect::<Vec<_>>().join(" "))
        })
        .collect()
}

#[test]
fn each_line_is_an_instruction_and_each_argument_is_declared() {
    for name in ["Containerfile", "Containerfile.pull"] {
        let all = instructions(name);
        let known = ["ARG", "FROM", "COPY", "RUN"];
        let unknown: Vec<_> = all.iter().filter(|(word, _)| !known.contains(&&**word)).collect();
        assert!(unknown.is_empty(), "{name}: {unknown:?}");
        let words = |which: &str| -> Vec<String> {
            all.iter().filter(|(word, _)| word == which).map(|(_, rest)| rest.clone()).collect()
        };
        for from in words("FROM") {
            let used =
                from.split(' ').next().unwrap().trim_start_matches("${").trim_end_matches('}');
            assert!(words("ARG").iter().any(|argument| argument == used), "{name}: {from}");
        }
        let stages: Vec<_> = words("FROM")
            .iter()
            .filter_map(|from| from.split_once(" AS ").map(|(_, stage)| stage.to_owned()))
            .collect();
        for copy in words("COPY") {
            match copy.split_once("--from=") {
                Some((_, rest)) => {
                    let stage = rest.split(' ').next().unwrap();
                    assert!(stages.iter().any(|one| one == stage), "{name}: {copy}");
                }
                None => assert!(copy.starts_with("rpms/ "), "{name}: {copy}"),
            }
        }
        for run in words("RUN") {
            let out = Command::new("sh").args(["-n", "-c", &run]).output().unwrap();
            assert!(out.status.success(), "{name}: {run}");
        }
    }
}

#[test]
fn the_os_image_is_committed_with_its_units_enabled() {
    let all = instructions("Containerfile");
    let run = &all.iter().find(|(word, _)| word == "RUN").unwrap().1;
    let steps: Vec<_> = run.split(" && ").collect();
    assert_eq!(steps.last(), Some(&"ostree container commit"));
    let preset = steps.iter().find_map(|step| step.strip_prefix("systemctl preset ")).unwrap();
    let shipped = fs::read_to_string(Node::repository("units/90-onloadd.preset")).unwrap();
    for unit in preset.split(' ') {
        assert!(shipped.contains(&format!("enable {unit}")), "{unit} is in the preset");
    }
}

#[test]
fn the_image_to_fetch_has_what_the_fetch_looks_for() {
    let all = instructions("Containerfile.pull");
    let fetch = fs::read_to_string(Node::repository("packaging/rhcos/onloadd-fetch")).unwrap();
    let programs = fetch.lines().find_map(|line| line.strip_prefix("programs=\"")).unwrap();
    for program in programs.trim_end_matches('"').split(' ') {
        let copied = all
            .iter()
            .any(|(word, rest)| word == "COPY" && rest.ends_with(&format!(" /usr/{program}")));
        assert!(copied, "{program}");
    }
}

fn there(program: &str) -> bool {
    // Not every one of them knows --version.
    Command::new(program).arg("--help").output().is_ok()
}

/// Builds a package of both programs, as small as one can be, into a directory.
fn package(place: &Path) {
    let spec = place.join("onloadd.spec");
    let text = "\
Name: onloadd
Version: 1
Release: 1
Summary: Two programs
License: MIT
BuildArch: noarch
%description
Two programs.
%install
mkdir -p %{buildroot}/usr/sbin %{buildroot}/usr/bin
for name in sbin/onloadd bin/onloadctl; do
    echo $name >%{buildroot}/usr/$name
    chmod 0755 %{buildroot}/usr/$name
done
%files
/usr/sbin/onloadd
/usr/bin/onloadctl
";
    fs::write(&spec, text).unwrap();
    let define = |name: &str, path: &str| format!("{name} {}", place.join(path).display());
    let out = Command::new("rpmbuild")
        .args(["-bb", "--quiet", "--define", &define("_topdir", "top")])
        .args(["--define", &define("_rpmdir", "rpms"), "--define", "_rpmfilename a.rpm"])
        .arg(&spec)
        .output()
        .unwrap();
    assert!(out.status.success(), "{out:?}");
    fs::rename(place.join("rpms/a.rpm"), place.join("rpms/onloadd-1-1.rpm")).unwrap();
}

#[test]
fn the_programs_are_taken_out_of_a_package_as_it_says() {
    const TEST: &str = "machineconfig: programs out of a package";
    let lacking = ["rpmbuild", "rpm2archive", "tar"].into_iter().find(|name| !there(name));
    if let Some(name) = lacking {
        return skip(TEST, &format!("{name} is not installed"));
    }
    let place = tempfile::tempdir().unwrap();
    package(place.path());
    let all = instructions("Containerfile.pull");
    let run = &all.iter().find(|(word, _)| word == "RUN").unwrap().1;
    let (rpms, node) = (place.path().join("rpms"), place.path().join("node"));
    let line = run
        .replace("/tmp/rpms", &rpms.display().to_string())
        .replace("/root/node", &node.display().to_string());
    assert!(!line.contains("/root/") && line.contains("rpm2archive"), "{line}");
    let shell = || Command::new("sh").args(["-c", &line]).output().unwrap();
    let out = shell();
    assert!(out.status.success(), "{line}: {out:?}");
    let taken = all.iter().filter_map(|(word, rest)| {
        let from = rest.strip_prefix("--from=unpacked /root/node/").filter(|_| word == "COPY");
        from.and_then(|rest| rest.split(' ').next())
    });
    let taken: Vec<_> = taken.collect();
    assert_eq!(taken, ["usr/sbin/onloadd", "usr/bin/onloadctl"]);
    for program in taken {
        let text = fs::read_to_string(node.join(program)).unwrap();
        assert_eq!(format!("usr/{text}"), format!("{program}\n"));
    }
    // What is no package ends the build.
    fs::remove_dir_all(&node).unwrap();
    fs::write(rpms.join("onloadd-2-1.rpm"), "no package").unwrap();
    assert!(!shell().status.success(), "{line}");
}

#[test]
fn the_fetch_is_a_program_of_the_shell() {
    let path = Node::repository("packaging/rhcos/onloadd-fetch");
    let out = Command::new("sh").arg("-n").arg(&path).output().unwrap();
    assert!(out.status.success(), "{out:?}");
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o111, 0o111);
}

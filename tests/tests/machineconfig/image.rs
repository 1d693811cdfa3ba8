//! Containerfiles of `packaging/rhcos`, held to their grammar: building them takes images that a test has not.

use std::fs;

use onload_tests::node::Node;

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
            let out = std::process::Command::new("sh").args(["-n", "-c", &run]).output().unwrap();
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

#[test]
fn the_fetch_is_a_program_of_the_shell() {
    let path = Node::repository("packaging/rhcos/onloadd-fetch");
    let out = std::process::Command::new("sh").arg("-n").arg(&path).output().unwrap();
    assert!(out.status.success(), "{out:?}");
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o111, 0o111);
}

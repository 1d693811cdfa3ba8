//! `onloadctl run --profile`: what the command's environment is then, and when it is not run.

use std::fs;
use std::process::{Output, Stdio};

use onload_dbus::error::exit;
use onload_tests::node::Node;
use onload_tests::world;
use tempfile::NamedTempFile;

/// A daemon whose release has these profiles, on a machine of its own.
fn node(configuration: &str) -> (Node, NamedTempFile) {
    let latency = world::profile("latency.opf").unwrap();
    let best = world::profile("latency-best.opf").unwrap();
    let files = [
        ("latency.opf", latency.as_str()),
        ("latency-best.opf", best.as_str()),
        ("wide.opf", "onload_set EF_WIDE 1\nonload_set EF_POLL_USEC 3\n"),
        ("part.opf-fragment", "onload_set EF_PART 1\n"),
        ("words.opf", "onload_set EF_NAME \"$3\"\nonload_import part\n"),
    ];
    let world = world::with_profiles(&files).unwrap();
    let mut node = Node::stopped(world.path().to_str().unwrap()).unwrap();
    node.configure("test.toml", configuration).unwrap();
    node.start().unwrap();
    (node, world)
}

/// Runs a command that prints its `EF_` variables.
fn run(node: &Node, words: &[&str], present: &[(&str, &str)]) -> Output {
    let script = "env | grep ^EF_ | sort | tr '\\n' ' '";
    let mut command = node.ctl_command([&["run"], words, &["--", "sh", "-c", script]].concat());
    command.env("HOME", node.state_directory()).env_remove("LD_PRELOAD");
    command.envs(present.iter().copied()).stdin(Stdio::null()).output().unwrap()
}

fn shown(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap().trim().to_owned()
}

const LATENCY: &str = "EF_POLL_USEC=100000 EF_TCP_FASTSTART_IDLE=0 EF_TCP_FASTSTART_INIT=0";

#[test]
fn the_profile_takes_the_place_of_the_pools_and_yields_to_the_environment() {
    let (node, _world) = node("[pools.onload]\nprofile = \"wide\"\n");
    assert_eq!(shown(&run(&node, &[], &[])), "EF_POLL_USEC=3 EF_WIDE=1", "the pool's");
    let latency = ["--profile", "latency"];
    assert_eq!(shown(&run(&node, &latency, &[])), LATENCY, "nothing is left of the pool's");
    let five = [("EF_POLL_USEC", "5")];
    assert_eq!(shown(&run(&node, &latency, &five)), LATENCY.replace("100000", "5"));
    let empty = [("EF_POLL_USEC", "")];
    assert_eq!(shown(&run(&node, &latency, &empty)), LATENCY, "empty counts as unset");
    let both = shown(&run(&node, &["--profile", "wide,latency"], &[]));
    assert_eq!(both, format!("{} EF_WIDE=1", LATENCY.replace("100000", "3")), "the first wins");
    // Where the profile looks at the environment, it sees the command's.
    let ct = [("EF_CTPIO_MODE", "ct")];
    let best = shown(&run(&node, &["--profile", "latency-best"], &ct));
    assert!(best.contains("EF_TPH_MODE=2") && best.contains("EF_CTPIO_MODE=ct"), "{best}");
    // And the command's words: sh, -c, and what follows.
    let words = shown(&run(&node, &["--profile", "words"], &[]));
    assert!(words.starts_with("EF_NAME=env | grep ^EF_ | sort"), "{words}");
    assert!(words.ends_with("EF_PART=1"), "a fragment of the release is imported: {words}");
}

#[test]
fn what_a_profile_takes_away_the_command_does_not_have() {
    let (node, _world) =
        node("[pools.onload]\nenvironment = { EF_OF_POOL = \"1\", EF_KEPT = \"1\" }\n");
    let file = node.state_directory().join("less.opf");
    let text = "onload_set EF_A 1\nunset EF_A EF_MINE EF_OF_POOL EF_NOBODYS\nonload_set EF_B 1\n";
    fs::write(&file, text).unwrap();
    let less = ["--profile", file.to_str().unwrap()];
    let mine = [("EF_MINE", "1"), ("EF_OTHER", "1"), ("EF_A", "2")];
    let with = shown(&run(&node, &less, &mine));
    assert_eq!(with, "EF_B=1 EF_KEPT=1 EF_OTHER=1", "as after the launcher");
    let without = shown(&run(&node, &[], &mine));
    assert_eq!(without, "EF_A=2 EF_KEPT=1 EF_MINE=1 EF_OF_POOL=1 EF_OTHER=1");
}

#[test]
fn a_file_is_read_by_the_caller_and_the_callers_own_names_come_first() {
    let (node, _world) = node("");
    let home = node.state_directory();
    let file = home.join("mine.opf");
    fs::write(&file, "onload_set EF_MINE 1\nonload_import latency\n").unwrap();
    let mine = shown(&run(&node, &["--profile", file.to_str().unwrap()], &[]));
    let expected = LATENCY.replacen("EF_P", "EF_MINE=1 EF_P", 1);
    assert_eq!(mine, expected, "a file may import what the release in use has");
    let own = home.join(".openonload/profiles");
    fs::create_dir_all(&own).unwrap();
    fs::write(own.join("latency.opf"), "onload_set EF_POLL_USEC 9\n").unwrap();
    assert_eq!(shown(&run(&node, &["--profile", "latency"], &[])), "EF_POLL_USEC=9");
    // What a profile preloads comes after the library, as what the user preloads.
    fs::write(&file, "onload_set LD_PRELOAD /nonexistent/x.so\n").unwrap();
    let words = ["run", "--profile", file.to_str().unwrap(), "--", "printenv", "LD_PRELOAD"];
    let output = node.ctl_command(words).env_remove("LD_PRELOAD").output().unwrap();
    assert_eq!(shown(&output), "/usr/lib64/libonload.so:/nonexistent/x.so");
}

#[test]
fn a_profile_without_a_value_is_told_before_anything_is_lent() {
    let (node, _world) = node("");
    let file = node.state_directory().join("odd.opf");
    fs::write(&file, "\nonload_set EF_A $(hostname)\n").unwrap();
    let odd = file.to_str().unwrap();
    let missing = node.state_directory().join("none.opf");
    let missing = missing.to_str().unwrap();
    let at = format!("{odd}:2:");
    let best = "/usr/libexec/onload/profiles/latency-best.opf:6:15: ";
    let cases = [
        ("tepid", "there is no profile tepid", "latency, latency-best, wide, words", exit::FAILED),
        ("part", "there is no profile part", "latency, latency-best, wide, words", exit::FAILED),
        (missing, "there is no profile", "give the path of a file, or one of", exit::FAILED),
        ("latency-best", best, "EF_CTPIO_MODE=VALUE onloadctl run", exit::FAILED),
        (odd, &at, "write the result into a profile of your own", exit::FAILED),
        ("/dev/null", "no file", "make it readable", exit::FAILED),
    ];
    for (profile, why, fix, code) in cases {
        let output = run(&node, &["--profile", profile], &[]);
        let said = String::from_utf8(output.stderr).unwrap();
        let lines: Vec<_> = said.lines().collect();
        let [what, told, remedy] = lines[..] else { panic!("{profile}: {said}") };
        let expected = format!(
            "error: sh was not run, and nothing was lent: profile {profile} is not evaluated"
        );
        assert_eq!((what, output.status.code()), (&*expected, Some(code.into())), "{said}");
        assert!(told.starts_with("  why: ") && told.contains(why), "{profile}: {said}");
        assert!(remedy.starts_with("  fix: ") && remedy.contains(fix), "{profile}: {said}");
        assert!(output.stdout.is_empty(), "{profile}: it was run");
    }
    let first = node.ctl_ok(["allocate", "onload"]).unwrap();
    assert!(first.starts_with("a1\t"), "nothing was ever lent before: {first}");
    let output = run(&node, &["--pool", "none", "--profile", "latency"], &[]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("there is no pool none"), "{said}");
}

//! Manual pages say what the programs do: options and keys are all there and no others, groff finds no
//! fault, and every command in them is run on a simulated node.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops where it broke"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use onload_tests::binaries::binary;
use onload_tests::node::Node;
use onload_tests::skip::skip;

/// What keeps a page from being formatted without a warning, where groff is there.
const GROFF: [&str; 4] = ["-man", "-Tutf8", "-ww", "-z"];

/// Text of a page without roff's own spellings.
fn bare(text: &str) -> String {
    let pairs =
        [("\\-", "-"), ("\\(dq", "\""), ("\\fB", ""), ("\\fI", ""), ("\\fR", ""), ("\\e", "\\")];
    pairs.iter().fold(text.to_owned(), |text, (roff, plain)| text.replace(roff, plain))
}

/// A page that was written by hand.
fn written(name: &str) -> String {
    bare(&fs::read_to_string(Node::repository("packaging/man").join(name)).unwrap())
}

/// The pages that onloadctl writes, by name.
fn generated(directory: &Path) -> BTreeMap<String, String> {
    let status = Command::new(binary("onloadctl")).arg("man").arg(directory).status().unwrap();
    assert!(status.success());
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let page = |path: std::path::PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(&path).unwrap())
    };
    files.map(page).collect()
}

fn help(program: &str, words: &[&str]) -> String {
    let output = Command::new(binary(program)).args(words).arg("--help").output().unwrap();
    assert!(output.status.success(), "{program} {words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Options as a help text lists them, at the beginning of its lines.
fn options(help: &str) -> BTreeSet<String> {
    let words = |line: &str| {
        let line = line.trim_start().to_owned();
        let line = line.starts_with('-').then_some(line);
        line.map(|line| {
            let words = line.split([' ', ',', '[', '=']).filter(|word| word.starts_with("--"));
            words.take(1).map(str::to_owned).collect::<Vec<_>>()
        })
    };
    help.lines().filter_map(words).flatten().collect()
}

#[test]
fn every_option_of_the_daemon_is_in_its_page_and_no_other() {
    let page = written("onloadd.8");
    let (_, section) = page.split_once(".SH OPTIONS\n").unwrap();
    let (section, _) = section.split_once("\n.SH ").unwrap();
    let lines: Vec<_> = section.lines().collect();
    let named = lines.windows(2).filter(|pair| pair[0] == ".TP").flat_map(|pair| {
        let words = pair[1].split([' ', '"', ',']).filter(|word| word.starts_with("--"));
        words.map(str::to_owned).collect::<Vec<_>>()
    });
    let named: BTreeSet<_> = named.collect();
    let asked = options(&help("onloadd", &[]));
    assert!(asked.len() > 10, "{asked:?}");
    assert_eq!(named, asked);
}

/// Keys by section, with the value where one is set.
type Keys = BTreeSet<(String, String, Option<String>)>;

/// Those of the shipped file, among them keys that only stand in comments.
fn shipped() -> Keys {
    let text = fs::read_to_string(Node::repository("packaging/config/onloadd.toml")).unwrap();
    let mut section = String::new();
    let mut keys = Keys::new();
    for line in text.lines() {
        let (is_set, line) = match line.strip_prefix("# ") {
            Some(line) => (false, line),
            None => (true, line),
        };
        if line.starts_with('[') && line.ends_with(']') {
            section = line.trim_matches(['[', ']']).to_owned();
        } else if let Some((key, value)) = line.split_once(" = ")
            && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
        {
            keys.insert((section.clone(), key.to_owned(), is_set.then(|| value.to_owned())));
        }
    }
    keys
}

#[test]
fn every_key_of_the_configuration_is_in_its_page_and_no_other() {
    let page = written("onloadd.toml.5");
    let (_, keys) = page.split_once(".SH KEYS\n").unwrap();
    let (keys, _) = keys.split_once("\n.SH ").unwrap();
    let lines: Vec<_> = keys.lines().collect();
    let mut section = String::new();
    let mut named = Keys::new();
    for pair in lines.windows(2) {
        if let Some(name) = pair[0].strip_prefix(".SS ") {
            section = name.trim_matches(['[', ']']).to_owned();
        } else if pair[0] == ".TP" {
            let key = pair[1].strip_prefix(".BI ").or_else(|| pair[1].strip_prefix(".B ")).unwrap();
            let (key, value) = match key.split_once(" \" = ") {
                Some((key, value)) => (key, Some(value.strip_suffix('"').unwrap().to_owned())),
                None => (key, None),
            };
            named.insert((section.clone(), key.to_owned(), value));
        }
    }
    let shipped = shipped();
    assert!(shipped.len() > 50, "{shipped:?}");
    assert_eq!(named, shipped);
}

#[test]
fn every_verb_has_a_page_with_its_options_and_the_pages_are_always_the_same() {
    let place = tempfile::tempdir().unwrap();
    let pages = generated(&place.path().join("new/man1"));
    assert_eq!(pages, generated(&place.path().join("again")));
    for (name, page) in &pages {
        let page = bare(page);
        // `onloadctl keys revoke-request [OPTIONS]`: a page's name does not tell where a verb ends.
        let (_, synopsis) = page.split_once(".SH SYNOPSIS\n").unwrap();
        let words = synopsis.split_whitespace().skip(1);
        let verb = |word: &&str| word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        let words: Vec<_> = words.take_while(verb).collect();
        assert_eq!(
            *name,
            format!(
                "{}.1",
                ["onloadctl"].iter().chain(&words).copied().collect::<Vec<_>>().join("-")
            )
        );
        let asked = options(&help("onloadctl", &words));
        for option in asked {
            assert!(page.contains(&option), "{name} has no {option}");
        }
        assert!(page.contains(".TH "), "{name}");
        assert!(
            page.contains(".SH \"SEE ALSO\"") || page.contains(".SH SEE ALSO"),
            "{name}: {page}"
        );
    }
    // What help lists has a page.
    let listed = help("onloadctl", &[]);
    let (_, verbs) = listed.split_once("Commands:\n").unwrap();
    let (verbs, _) = verbs.split_once("\n\n").unwrap();
    let verbs: Vec<_> = verbs
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .map(|line| line.split_whitespace().next().unwrap())
        .filter(|verb| *verb != "help")
        .collect();
    assert!(verbs.len() > 25, "{verbs:?}");
    for verb in verbs {
        assert!(pages.contains_key(&format!("onloadctl-{verb}.1")), "{verb}");
    }
    for below in ["nad-render", "keys-import", "clock-render"] {
        assert!(pages.contains_key(&format!("onloadctl-{below}.1")), "{below}");
    }
    assert!(!pages.contains_key("onloadctl-man.1"), "a hidden verb");
}

#[test]
fn groff_finds_no_fault_with_the_pages() {
    if !Command::new("groff").arg("--version").output().is_ok_and(|out| out.status.success()) {
        return skip("groff_finds_no_fault_with_the_pages", "no program `groff` here");
    }
    let place = tempfile::tempdir().unwrap();
    generated(place.path());
    for page in ["onloadd.8", "onloadd.toml.5"] {
        fs::copy(Node::repository("packaging/man").join(page), place.path().join(page)).unwrap();
    }
    let format = |path: &Path| {
        let output = Command::new("groff").args(GROFF).arg(path).output().unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    for entry in fs::read_dir(place.path()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(format(&path), "", "{}", path.display());
    }
    // That silence means something.
    let wrong = place.path().join("wrong.1");
    fs::write(&wrong, ".TH WRONG 1\n.SH NAME\nwrong \\- \\*[none]\n").unwrap();
    assert!(format(&wrong).contains("none"), "{}", format(&wrong));
}

/// Commands of the example sections.
fn commands(page: &str) -> Vec<String> {
    let page = bare(page);
    let Some((_, examples)) = page.split_once(".SH EXAMPLES\n") else { return Vec::new() };
    let examples = examples.split("\n.SH ").next().unwrap();
    let lines = examples.lines().map(str::trim);
    let program = |line: &&str| {
        ["onloadctl", "onloadd"]
            .iter()
            .any(|name| *line == *name || line.starts_with(&format!("{name} ")))
    };
    lines.filter(program).map(str::to_owned).collect()
}

#[test]
fn every_command_in_the_pages_does_what_it_says() {
    let place = tempfile::tempdir().unwrap();
    let mut pages = generated(place.path());
    for name in ["onloadd.8", "onloadd.toml.5"] {
        let text = fs::read_to_string(Node::repository("packaging/man").join(name)).unwrap();
        pages.insert(name.to_owned(), text);
    }
    let node = Node::simulated("two-x2522").unwrap();
    let mut ran = 0;
    for (page, text) in &pages {
        for line in commands(text) {
            let mut words = line.split_whitespace();
            let mut command = match words.next().unwrap() {
                "onloadctl" => node.ctl_command(words),
                // The daemon's own examples only look.
                _ => {
                    let mut command = Command::new(binary("onloadd"));
                    command.args(words).arg("--config-root").arg(node.config_root());
                    command
                }
            };
            let output = command.stdin(Stdio::null()).output().unwrap();
            // That of `status` tells the state, that of `clock status` whether time is kept.
            let tells = [
                "onloadctl",
                "onloadctl status",
                "onloadctl --json status",
                "onloadctl clock status",
            ];
            let blocked = output.status.code() == Some(onload_dbus::error::exit::BLOCKED.into());
            let well = output.status.success() || blocked && tells.contains(&line.as_str());
            assert!(well, "{page}: {line}: {}", String::from_utf8_lossy(&output.stderr));
            assert!(!output.stdout.is_empty() || !output.stderr.is_empty(), "{line} says nothing");
            ran += 1;
        }
    }
    assert!(ran > 25, "{ran} commands were run");
}

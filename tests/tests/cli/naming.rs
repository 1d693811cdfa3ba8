//! `onloadctl naming render`: without a daemon, without a bus.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use onload_dbus::error::exit;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use crate::run::{Ended, command, run};

/// Two ports that a configuration alone tells apart, among other settings.
pub const CONFIGURATION: &str = r#"
[modules]
release = "9.1.0"
[naming]
policy = "explicit"
[[naming.ports]]
mac = "00:0f:53:a1:00:00"
name = "fast0"
[[naming.ports]]
pci = "0000:3b:00.1"
name = "fast1"
"#;
const BY_MAC: &str = "05-onload-000f53a10000.link";
const BY_PCI: &str = "05-onload-pci-0000-3b-00-1.link";

async fn render(words: &[&str]) -> Ended {
    let words = [&["naming", "render"], words].concat();
    run(&mut command("unix:path=/nonexistent/bus", &words)).await
}

async fn render_input(text: &str, words: &[&str]) -> Ended {
    let words = [&["naming", "render"], words].concat();
    let mut command = command("unix:path=/nonexistent/bus", &words);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(text.as_bytes()).await.unwrap();
    drop(input);
    Ended::of(child.wait_with_output().await.unwrap())
}

fn written(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn what_is_printed_is_what_is_written_and_always_the_same() {
    let place = tempfile::tempdir().unwrap();
    let (config, out) = (place.path().join("onloadd.toml"), place.path().join("a/b"));
    let (config, out) = (config.to_str().unwrap(), out.to_str().unwrap());
    fs::write(config, CONFIGURATION).unwrap();
    let printed = render(&["--config", config]).await;
    assert_eq!(printed.code, Some(exit::AS_WANTED.into()), "{printed:?}");
    for words in [&[][..], &["--config", "-"]] {
        assert_eq!(render_input(CONFIGURATION, words).await.out, printed.out);
    }
    let ended = render(&["--config", config, "--output", out]).await;
    assert_eq!((ended.err.as_str(), ended.out), ("", format!("{out}/{BY_MAC}\n{out}/{BY_PCI}\n")));
    assert_eq!(written(Path::new(out)), [BY_MAC, BY_PCI]);
    let text = |name| fs::read_to_string(format!("{out}/{name}")).unwrap();
    let both =
        [BY_MAC, BY_PCI].map(|name| format!("# /etc/systemd/network/{name}\n{}", text(name)));
    assert_eq!(printed.out, both.join("\n"));
    let header = "# onloadd never writes, edits or removes this file";
    assert!(text(BY_MAC).contains(header) && text(BY_PCI).contains("\nName=fast1\n"));

    // What an earlier rendering left is told, and anything else is not looked at.
    let later = CONFIGURATION.replace("a1:00:00", "a1:00:07");
    fs::write(format!("{out}/10-own.link"), "x").unwrap();
    let ended = render_input(&later, &["--output", out, "--json"]).await;
    assert!(ended.err.contains(&format!("{out}/{BY_MAC} is of no port")), "{ended:?}");
    assert!(!ended.err.contains("own") && !ended.err.contains(BY_PCI), "{ended:?}");
    let all: Value = serde_json::from_str(&ended.out).unwrap();
    let new = "05-onload-000f53a10007.link";
    assert_eq!(all["files"][0]["written"], format!("{out}/{new}"));
    assert_eq!(written(Path::new(out)), [BY_MAC, new, BY_PCI, "10-own.link"]);
}

#[tokio::test]
async fn of_several_files_later_ones_win() {
    let place = tempfile::tempdir().unwrap();
    let paths = ["a.toml", "b.toml"].map(|name| place.path().join(name));
    let paths = paths.each_ref().map(|path| path.to_str().unwrap());
    fs::write(paths[0], CONFIGURATION).unwrap();
    fs::write(paths[1], "[[naming.ports]]\nmac = \"00:0f:53:a1:00:09\"\nname = \"only0\"\n")
        .unwrap();
    let ended = render(&["--config", paths[0], "--config", paths[1]]).await;
    // On its own the second does not hold: a list needs the policy.
    let alone = render(&["--config", paths[1]]).await;
    assert!(alone.err.contains("b.toml:1: "), "{alone:?}");
    assert_eq!(ended.code, Some(exit::AS_WANTED.into()), "{ended:?}");
    assert!(ended.out.contains("Name=only0") && !ended.out.contains("fast"), "{ended:?}");
}

#[tokio::test]
async fn what_cannot_be_rendered_says_why_and_what_to_do() {
    let numbered = CONFIGURATION.replace("pci = \"0000:3b:00.1\"", "port-number = 1");
    let keep = "[naming]\npolicy = \"keep\"\n";
    let odd = CONFIGURATION.replace("fast1", "sixteen-letters-");
    let cases = [
        (numbered.as_str(), "only the machine tells which port that is"),
        (keep, "names no port"),
        ("", "names no port"),
        (odd.as_str(), "standard input:11: "),
        ("[naming\n", "standard input:1: "),
    ];
    for (text, why) in cases {
        let place = tempfile::tempdir().unwrap();
        let ended = render_input(text, &["--output", place.path().to_str().unwrap()]).await;
        assert_eq!((ended.code, ended.out.as_str()), (Some(exit::USAGE.into()), ""), "{ended:?}");
        let lines: Vec<_> = ended.err.lines().collect();
        assert!(lines.len() == 3 && lines[0].starts_with("error: no link file"), "{ended:?}");
        assert!(lines[1].starts_with("  why: ") && lines[1].contains(why), "{why}: {ended:?}");
        assert!(lines[2].starts_with("  fix: "), "{ended:?}");
        assert_eq!(written(place.path()), [""; 0], "nothing by halves");
    }
    let ended = render(&["--config", "/nonexistent/x.toml"]).await;
    assert_ne!(ended.code, Some(0));
    assert!(ended.err.contains("/nonexistent/x.toml cannot be read"), "{ended:?}");
    let ended = render_input(CONFIGURATION, &["--output", "/proc/self/task"]).await;
    assert!(ended.err.contains("not all files were written"), "{ended:?}");
}

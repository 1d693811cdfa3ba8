//! `onloadctl profile`: without a daemon, without a bus.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use onload_dbus::error::exit;
use serde_json::Value;

use crate::run::{Ended, command, run};

/// The profiles of the tests.
pub const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/profiles");

/// onloadctl with a home directory of its own, and no bus to reach.
async fn at_home(home: &Path, words: &[&str]) -> Ended {
    let mut command = command("unix:path=/nonexistent/bus", words);
    run(command.env("HOME", home)).await
}

/// With the profiles of the tests, and no others.
async fn profile(words: &[&str]) -> Ended {
    let words = [&["profile"], words, &["--directory", DIRECTORY]].concat();
    at_home(Path::new("/nonexistent"), &words).await
}

fn good(ended: &Ended) -> &str {
    assert_eq!(ended.code, Some(exit::AS_WANTED.into()), "{ended:?}");
    &ended.out
}

/// The three lines of an error.
fn three_lines(ended: &Ended, code: u8) -> [&str; 3] {
    assert_eq!((ended.code, ended.out.as_str()), (Some(code.into()), ""), "{ended:?}");
    let lines: Vec<_> = ended.err.lines().collect();
    let [what, why, fix] = lines[..] else { panic!("{ended:?}") };
    assert!(what.starts_with("error: "), "{ended:?}");
    assert!(why.starts_with("  why: ") && fix.starts_with("  fix: "), "{ended:?}");
    [what, why, fix]
}

#[tokio::test]
async fn a_list_has_what_can_be_named_and_where_it_is_from() {
    let ended = profile(&["list"]).await;
    let lines: Vec<_> = good(&ended).lines().collect();
    assert_eq!(lines.len(), 1 + 17, "{ended:?}");
    assert!(lines[0].starts_with("PROFILE"), "{ended:?}");
    assert!(!ended.out.contains("fragment") && !ended.out.contains("throughput"), "{ended:?}");

    let home = tempfile::tempdir().unwrap();
    let own = home.path().join(".openonload/profiles");
    fs::create_dir_all(own.join("directory.opf")).unwrap();
    fs::write(own.join("mine.opf"), "onload_set EF_UDP 0\n").unwrap();
    symlink("mine.opf", own.join("link.opf")).unwrap();
    symlink("nowhere", own.join("dangling.opf")).unwrap();
    let ended = at_home(home.path(), &["--json", "profile", "list"]).await;
    let list: Value = serde_json::from_str(good(&ended)).unwrap();
    let of_user = list["profiles"].as_array().unwrap().iter().filter(|one| one["from"] == "user");
    let names: Vec<_> = of_user.map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["link", "mine"]);
    let looked: Vec<_> =
        list["directories"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    let expected = [
        own.to_str().unwrap(),
        "/var/lib/onloadd/releases/current/usr/libexec/onload/profiles",
        "/usr/libexec/onload/profiles",
    ];
    assert_eq!(looked, expected);

    // What stands first wins, and says what it stands before.
    fs::write(own.join("latency.opf"), "onload_set EF_POLL_USEC 1\n").unwrap();
    let two = [
        "--json",
        "profile",
        "list",
        "--directory",
        own.to_str().unwrap(),
        "--directory",
        DIRECTORY,
    ];
    let ended = at_home(home.path(), &two).await;
    let list: Value = serde_json::from_str(good(&ended)).unwrap();
    let latency = list["profiles"].as_array().unwrap().iter().find(|one| one["name"] == "latency");
    assert_eq!(latency.unwrap()["masks"][0], format!("{DIRECTORY}/latency.opf"));
    let words = [
        "profile",
        "env",
        "latency",
        "--directory",
        own.to_str().unwrap(),
        "--directory",
        DIRECTORY,
    ];
    assert_eq!(good(&at_home(home.path(), &words).await), "EF_POLL_USEC=1\n");
    assert_eq!(good(&at_home(home.path(), &["profile", "env", "mine"]).await), "EF_UDP=0\n");
}

#[tokio::test]
async fn a_profile_is_shown_as_it_is_written() {
    let ended = profile(&["show", "nginx-like-st"]).await;
    let head = format!(
        "# {DIRECTORY}/nginx-like-st.opf (directory)\n# imports throughput_base, wan-traffic\n\n"
    );
    let text = fs::read_to_string(format!("{DIRECTORY}/nginx-like-st.opf")).unwrap();
    assert_eq!(good(&ended), head + &text);
    // What does not read is shown all the same, and says so.
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("odd.opf");
    fs::write(&file, "if [ a ]\n\tonload_set \x1b[2J").unwrap();
    let ended = profile(&["show", file.to_str().unwrap()]).await;
    assert!(good(&ended).contains("has no `then`"), "{ended:?}");
    assert!(ended.out.ends_with("if [ a ]\n\tonload_set \u{fffd}[2J\n"), "{ended:?}");
    let [what, why, fix] =
        &three_lines(&profile(&["show", "throughput"]).await, exit::FAILED).map(str::to_owned);
    assert_eq!(what, "error: profile throughput is not shown");
    assert!(why.contains("throughput.opf") && fix.contains("profile list"), "{why} {fix}");
}

#[tokio::test]
async fn variables_are_lines_for_a_shell() {
    let ended = profile(&["env", "latency"]).await;
    let expected = "EF_POLL_USEC=100000\nEF_TCP_FASTSTART_IDLE=0\nEF_TCP_FASTSTART_INIT=0\n";
    assert_eq!((good(&ended), ended.err.as_str()), (expected, ""));
    let both = ["env", "latency,redis-balanced", "--set", "EF_POLL_USEC=5"];
    assert!(good(&profile(&both).await).contains("EF_POLL_USEC=5\n"));
    let forced = [&both[..], &["--force-profiles"]].concat();
    assert!(good(&profile(&forced).await).contains("EF_POLL_USEC=20\n"));
    // What the environment of onloadctl holds is nobody's business here.
    let words = ["--json", "profile", "env", "latency", "--directory", DIRECTORY];
    let mut command = command("unix:path=/nonexistent/bus", &words);
    let ended = run(command.env("EF_POLL_USEC", "7")).await;
    let json: Value = serde_json::from_str(good(&ended)).unwrap();
    assert_eq!(json["variables"][0]["value"], "100000");
    assert_eq!(json["variables"][0]["line"], 2);
    // What was passed over is told beside.
    let ended = profile(&["env", "nginx-proxy-balanced", "--set", "NGINX_NUM_WORKERS=4"]).await;
    assert!(good(&ended).contains("EF_MAX_PACKETS=720000\n"), "{ended:?}");
    assert!(ended.err.contains("wait-old-cluster-exit.opf-fragment:2: passed over"), "{ended:?}");
    // A path, and a value that a shell must not touch.
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("my.opf");
    fs::write(&file, "onload_set EF_NAME \"it's \\$HOME\"\n").unwrap();
    let ended = profile(&["env", file.to_str().unwrap()]).await;
    let line = format!("export {}; printf %s \"$EF_NAME\"", good(&ended).trim_end());
    let read = std::process::Command::new("sh").args(["-c", &line]).output().unwrap();
    assert_eq!(String::from_utf8(read.stdout).unwrap(), "it's $HOME");
}

#[tokio::test]
async fn what_needs_a_shell_is_refused_with_line_and_remedy() {
    let ended = profile(&["env", "latency-best"]).await;
    let [what, why, fix] = three_lines(&ended, exit::FAILED);
    assert_eq!(what, "error: profile latency-best is not evaluated");
    assert!(why.contains("/latency-best.opf:6:15: ") && why.ends_with("needs a shell"), "{why}");
    assert!(fix.contains("EF_CTPIO_MODE") && fix.contains("--set"), "{fix}");
    let ended = profile(&["env", "latency-best", "--set", "EF_CTPIO_MODE=ct"]).await;
    assert!(good(&ended).contains("EF_CTPIO_MODE=ct\n"), "the remedy is part of the result");
    let words = ["profile", "env", "haproxy-balanced", "--directory", DIRECTORY];
    let words = [&words[..], &["--", "haproxy", "-f", "/etc/haproxy.cfg"]].concat();
    let ended = at_home(Path::new("/"), &words).await;
    assert!(three_lines(&ended, exit::FAILED)[1].contains("`perl` needs a shell"), "{ended:?}");
    let ended = profile(&["env", "node-js", "--set", "NODEJS_MODE=9"]).await;
    assert!(three_lines(&ended, exit::USAGE)[1].contains("/node-js.opf:"), "{ended:?}");
    let ended = profile(&["env", "latency", "--set", "1=2"]).await;
    three_lines(&ended, exit::USAGE);
    let ended = profile(&["env", "/dev/null"]).await;
    assert!(three_lines(&ended, exit::FAILED)[1].contains("no file"), "{ended:?}");
}

#[tokio::test]
async fn a_config_map_is_made_of_each_profile() {
    let ended = profile(&["configmap", "latency", "zeromq", "--namespace", "trading"]).await;
    let expected = r#"apiVersion: v1
kind: ConfigMap
metadata:
  name: onload-latency-profile
  namespace: trading
  labels:
    app.kubernetes.io/part-of: onload
data:
  EF_POLL_USEC: "100000"
  EF_TCP_FASTSTART_IDLE: "0"
  EF_TCP_FASTSTART_INIT: "0"
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: onload-zeromq-profile
  namespace: trading
  labels:
    app.kubernetes.io/part-of: onload
data:
  EF_POLL_FAST_USEC: "0"
  EF_POLL_NONBLOCK_FAST_USEC: "0"
"#;
    assert_eq!(good(&ended), expected);
    // Where the existing tool gives a key twice, or loses it, or names the variable.
    let ended = profile(&["configmap", "haproxy-performance"]).await;
    let line = |name: &str| {
        let lines: Vec<_> = ended
            .out
            .lines()
            .filter(|line| line.trim_start().starts_with(&format!("{name}:")))
            .collect();
        lines.join("\n")
    };
    assert_eq!(line("EF_TX_PUSH"), "  EF_TX_PUSH: \"1\"", "{ended:?}");
    assert_eq!(line("EF_SOCKET_CACHE_MAX"), "  EF_SOCKET_CACHE_MAX: \"250000\"");
    assert_eq!(
        line("EF_TCP_SHARED_LOCAL_PORTS_MAX"),
        "  EF_TCP_SHARED_LOCAL_PORTS_MAX: \"570000\""
    );
    assert!(!ended.out.contains("namespace"), "none that nobody asked for");
}

#[tokio::test]
async fn a_name_that_kubernetes_would_refuse_is_refused_here() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("My_profile.opf");
    fs::write(&file, "onload_set EF_UDP 0\n").unwrap();
    let file = file.to_str().unwrap();
    let ended = profile(&["configmap", "latency", file]).await;
    let [what, why, fix] = three_lines(&ended, exit::USAGE);
    assert_eq!(what, "error: no ConfigMap is made");
    assert!(why.contains("onload-My_profile-profile"), "{why}");
    assert!(fix.ends_with("--name onload-my-profile-profile"), "{fix}");
    let named = ["configmap", file, "--name", "onload-my-profile-profile"];
    assert!(good(&profile(&named).await).contains("name: onload-my-profile-profile\n"));
    for wrong in [
        &["configmap", "latency", "--namespace", "a.b"][..],
        &["configmap", "latency", "--name", "-"],
        &["configmap", "latency", "safe", "--name", "a"],
        &["configmap", "latency", "latency"],
        &["configmap"],
    ] {
        three_lines(&profile(wrong).await, exit::USAGE);
    }
    let ended = profile(&["configmap", "latency", "latency-best"]).await;
    three_lines(&ended, exit::FAILED);
}

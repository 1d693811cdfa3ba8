//! What goes wrong: three lines and the exit code of the table.

use onload_dbus::error::{Kind, exit};
use onload_tests::bus::Bus;
use serde_json::{Value, json};

use crate::rig::{KINDS, Rig, node};
use crate::run::{command, run};

#[tokio::test]
async fn every_error_name_has_its_exit_code_and_three_lines() {
    let rig = Rig::new(node()).await;
    let mut codes = Vec::new();
    for (number, kind) in (1..).zip(KINDS) {
        let name = format!("{kind:?}");
        let expected = Kind::ALL.into_iter().find(|kind| kind.as_str() == name).unwrap().row();
        let count = number.to_string();
        let words = ["allocate", "full", "--count", &count];
        let ended = rig.ctl(&words).await;
        assert_eq!(ended.code, Some(expected.exit.into()), "{name}: {ended:?}");
        assert_eq!(ended.out, "", "{name}");
        assert_eq!(ended.err, "error: nothing was lent\n  why: the pool is full\n  fix: wait\n");
        let ended = rig.ctl(&[&["--json"], &words[..]].concat()).await;
        let error: Value = serde_json::from_str(&ended.err).unwrap();
        assert_eq!(
            error,
            json!({"schema": 1, "error": {
                "name": name, "what": "nothing was lent", "why": "the pool is full",
                "fix": "wait", "exit": expected.exit
            }})
        );
        codes.push(expected.exit);
    }
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes, [exit::FAILED, exit::USAGE, exit::NOT_ALLOWED, exit::BLOCKED]);
}

#[tokio::test]
async fn without_a_daemon_every_verb_says_where_to_look() {
    let bus = Bus::running().unwrap();
    let (empty, missing) = (bus.address(), "unix:path=/nonexistent/bus".to_owned());
    let verbs: [&[&str]; 16] = [
        &[],
        &["ports", "--watch"],
        &["pools", "onload"],
        &["watch"],
        &["config"],
        &["allocate", "onload"],
        &["run", "true"],
        &["apply"],
        &["rollback"],
        &["history"],
        &["release", "list"],
        &["release", "import", "/"],
        &["unhold"],
        &["keys", "list"],
        &["keys", "status", "--watch"],
        &["keys", "revoke-request"],
    ];
    for (address, why) in [(&empty, "nobody owns the name"), (&missing, "no bus")] {
        for verb in verbs {
            let ended = run(&mut command(address, verb)).await;
            assert_eq!(ended.code, Some(exit::UNREACHABLE.into()), "{verb:?}: {ended:?}");
            let lines: Vec<_> = ended.err.lines().collect();
            assert_eq!(lines.len(), 3, "{verb:?}: {ended:?}");
            assert_eq!(lines[0], "error: onloadd cannot be reached");
            assert!(lines[1].starts_with(&format!("  why: {why}")), "{verb:?}: {ended:?}");
            assert!(lines[2].contains("systemctl status onloadd"), "{ended:?}");
        }
    }
}

#[tokio::test]
async fn a_bus_that_says_nothing_is_not_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("bus");
    let _deaf = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let ended = run(&mut command(&format!("unix:path={}", socket.display()), &["status"])).await;
    assert_eq!(ended.code, Some(exit::UNREACHABLE.into()), "{ended:?}");
    assert!(ended.err.contains("the bus does not answer"), "{ended:?}");
}

#[tokio::test]
async fn wrong_usage_is_told_before_any_bus_is_asked() {
    let nowhere = "unix:path=/nonexistent/bus";
    let wrong: [&[&str]; 18] = [
        &["run"],
        &["allocate", "onload", "--unit", "--lease", "8h"],
        &["stats"],
        &["allocate"],
        &["free", "a1", "--watch"],
        &["completion", "tcsh"],
        &["release"],
        &["rollback", "0"],
        &["hold"],
        &["hold", "x", "--until", "18:00"],
        &["hold", "x", "--reason", "x"],
        &["hold", "x", "--until", "2126-01-01T00:00Z", "--for", "8h"],
        &["apply", "--wait", "--stop-holders"],
        &["release", "check", "9.1.0", "--kernel"],
        &["allocate", "onload", "--count", "many"],
        &["keys", "import", "a.der", "--hash-file", "h", "--generate-password"],
        &["keys", "import", "a.der", "b.der"],
        &["keys", "revoke-request", "a.der"],
    ];
    for words in wrong {
        let ended = run(&mut command(nowhere, words)).await;
        assert_eq!(ended.code, Some(exit::USAGE.into()), "{words:?}: {ended:?}");
        let lines: Vec<_> = ended.err.lines().collect();
        let [what, why, fix] = lines[..] else { panic!("{words:?}: {ended:?}") };
        assert_eq!(what, "error: the command line is not understood");
        assert!(why.starts_with("  why: ") && fix.starts_with("  fix: "), "{words:?}: {ended:?}");
        let ended = run(&mut command(nowhere, &[&["--json"], words].concat())).await;
        let error: Value = serde_json::from_str(&ended.err).unwrap();
        assert_eq!(error["error"]["exit"], exit::USAGE, "{words:?}");
    }
    let help = run(&mut command(nowhere, &["--help"])).await;
    assert_eq!((help.code, help.err.as_str()), (Some(0), ""), "help is no error");
    let ended = run(&mut command("sytem", &["status"])).await;
    assert_eq!(ended.code, Some(exit::USAGE.into()), "{ended:?}");
}

#[tokio::test]
async fn a_refused_reload_names_file_and_line() {
    let rig = Rig::new(node()).await;
    let ended = rig.ctl(&["reload"]).await;
    assert_eq!(ended.code, Some(exit::USAGE.into()));
    assert!(ended.err.contains("  why: /etc/onloadd/onloadd.toml:3: "), "{ended:?}");
}

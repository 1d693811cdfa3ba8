//! Releases: what is shown of them, and how their files reach the daemon.

use std::fs::{self, File};
use std::io::Read as _;
use std::process::{Command as Program, Stdio};

use onload_core::command::Command as Order;
use onload_core::job::JobState;
use onload_core::reading::Reading;
use onload_tests::skip::skip;

use crate::orders::{end, end_job, ordering};
use crate::rig::{KERNELS, PATIENCE, Rig, changing, node};
use crate::run::{Ended, command, run};

/// What the runner counts where there is no podman.
const TEST: &str = "an_image_comes_through_podman";

#[tokio::test]
async fn a_check_says_by_its_code_what_it_says_in_words() {
    let mut picture = node();
    picture.kernel = Reading::Known(KERNELS[0].parse().unwrap());
    let rig = Rig::new(picture).await;
    let good = rig.ctl(&["release", "check", "9.1.0"]).await;
    let text = format!("9.1.0 on {}: nothing speaks against it\n", KERNELS[0]);
    assert_eq!((good.code, good.out), (Some(0), text));
    let bad = rig.ctl(&["release", "check", "9.1.0", "--kernel", KERNELS[1]]).await;
    assert_eq!((bad.code, bad.err.as_str()), (Some(4), ""), "{bad:?}");
    for (number, reason) in [(2, "  Incomplete"), (6, "  Unsigned")] {
        let lines: Vec<_> = bad.out.lines().skip(number).take(3).collect();
        let [first, why, fix] = lines[..] else { panic!("{bad:?}") };
        assert_eq!(first, reason, "{bad:?}");
        assert!(why.starts_with("    why: ") && fix.starts_with("    fix: "), "{bad:?}");
    }
    let wrong: [(&[&str], &str); 3] = [
        (&["check", "9.1.0", "--kernel", "5.4"], "kernel 5.4 is not known, but 6.1.0-40-amd64, 6"),
        (&["check", "9.9.9"], "this node has 9.1.0, host"),
        (&["show", "9.9.9"], "this node has 9.1.0, host"),
    ];
    for (words, why) in wrong {
        let ended = rig.ctl(&[&["release"], words].concat()).await;
        assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{ended:?}");
        assert!(ended.err.contains(&format!("  why: {why}")), "{ended:?}");
        assert!(ended.err.contains("\n  fix: "), "{ended:?}");
    }
    let list = rig.ctl(&["release", "list"]).await;
    let lines: Vec<_> = list.out.lines().collect();
    assert!(lines[1].starts_with("9.1.0") && lines[1].contains("fits"), "{list:?}");
    let show = rig.ctl(&["release", "show", "9.1.0"]).await;
    assert!(show.out.contains("2 objections: `onloadctl release check`"), "{show:?}");
}

#[tokio::test]
async fn a_change_and_its_past_are_told() {
    let mut picture = node();
    changing(&mut picture);
    picture.kernel = Reading::Known(KERNELS[0].parse().unwrap());
    let rig = Rig::new(picture).await;
    let status = rig.ctl(&["status"]).await;
    let release = "release  9.1.0 wanted (an order of uid 1000), 9.1.0 loaded\n";
    assert!(status.out.contains(release), "{status:?}");
    assert!(status.out.contains("change  3: host → 9.1.0 (order of uid 1000, "), "{status:?}");
    assert!(
        status.out.contains("users  trader (4711, trader.service)  /dev/onload\n"),
        "{status:?}"
    );
    let history = rig.ctl(&["history"]).await;
    assert!(history.out.starts_with("under way  3: host → 9.1.0"), "{history:?}");
    let last: Vec<Vec<_>> =
        history.out.lines().rev().take(2).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(last[1][..5], ["2", "host", "→", "9.0.0", "rolled-back"], "newest first");
    assert_eq!(last[0][..5], ["1", "in-tree", "→", "host", "failed"]);
    assert!(rig.ctl(&["plan"]).await.out.contains("`onloadctl confirm`"));
    let modules = rig.ctl(&["--json", "modules"]).await;
    assert!(modules.out.contains("\"release\": null"), "the release has no sfc: {modules:?}");
}

/// Waits until files have been handed over and takes them.
async fn handed_over(rig: &Rig) -> File {
    let files = async {
        loop {
            let files = rig.posted.lock().unwrap().files.pop();
            if let Some(files) = files {
                return files.into();
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, files).await.expect("nothing was handed over")
}

fn text(mut file: File) -> String {
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    text
}

#[tokio::test]
async fn files_are_opened_by_whoever_asks_and_handed_over() {
    let rig = Rig::new(node()).await;
    let place = tempfile::tempdir().unwrap();
    let archive = place.path().join("onload.tar");
    fs::write(&archive, "an archive").unwrap();
    let (path, directory) = (archive.to_str().unwrap(), place.path().to_str().unwrap());
    for (source, version) in [(path, Some("9.2.0")), ("-", None), (directory, None)] {
        let mut words = vec!["release", "import", source];
        words.extend(version.into_iter().flat_map(|version| ["--version", version]));
        let mut command = command(&rig.bus.address(), &words);
        if source == "-" {
            command.stdin(File::open(&archive).unwrap());
        }
        let child = ordering(&rig, &mut command).await;
        let file = handed_over(&rig).await;
        if source == directory {
            assert!(file.metadata().unwrap().is_dir());
        } else {
            assert_eq!(text(file), "an archive", "{source}");
        }
        rig.alter(|picture| end_job(picture, JobState::Done, "release 9.2.0 is there"));
        let ended = end(child).await;
        assert_eq!((ended.code, ended.out.as_str()), (Some(0), "j7: release 9.2.0 is there\n"));
        let version = version.map(|version| version.parse().unwrap());
        assert_eq!(rig.commands().pop(), Some(Order::Import { version }));
        rig.alter(|picture| std::sync::Arc::make_mut(&mut picture.jobs).clear());
    }
    let refused = rig.ctl(&["release", "import", "/dev/null"]).await;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.err.contains("neither a directory nor a file nor a pipe"), "{refused:?}");
    let missing = rig.ctl(&["release", "import", "onload.tar"]).await;
    assert_eq!(missing.code, Some(1), "{missing:?}");
    assert!(missing.err.contains("onload.tar cannot be opened: No such file"), "{missing:?}");
}

fn three_lines(ended: &Ended) {
    let lines: Vec<_> = ended.err.lines().rev().take(3).collect();
    let [fix, why, what] = lines[..] else { panic!("{ended:?}") };
    assert!(fix.starts_with("  fix: ") && why.starts_with("  why: "), "{ended:?}");
    assert!(what.starts_with("error: image localhost/"), "{ended:?}");
}

#[tokio::test]
async fn an_image_needs_podman() {
    let rig = Rig::new(node()).await;
    let empty = tempfile::tempdir().unwrap();
    let words = ["release", "import", "localhost/onload:9.1.0"];
    let mut command = command(&rig.bus.address(), &words);
    let ended = run(command.env("PATH", empty.path())).await;
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{ended:?}");
    assert!(ended.err.contains("podman, and it is not installed"), "{ended:?}");
    three_lines(&ended);
    assert_eq!(rig.commands(), [], "nothing was ordered");
}

/// Makes an image of one file; none where podman is missing or cannot.
fn image(name: &str) -> Option<()> {
    let podman = |words: &[&str]| Program::new("podman").args(words).stdin(Stdio::null()).output();
    if podman(&["--version"]).is_err() {
        skip(TEST, "podman is not installed");
        return None;
    }
    let place = tempfile::tempdir().unwrap();
    let archive = place.path().join("root.tar");
    fs::write(place.path().join("release"), "9.1.0").unwrap();
    let tar = Program::new("tar")
        .args(["-cf", archive.to_str().unwrap(), "-C", place.path().to_str().unwrap(), "release"])
        .status();
    assert!(tar.unwrap().success());
    let made = podman(&["import", archive.to_str().unwrap(), name]).unwrap();
    if !made.status.success() {
        let said = String::from_utf8_lossy(&made.stderr);
        skip(TEST, &format!("podman makes no image here: {}", said.trim()));
        return None;
    }
    Some(())
}

#[tokio::test]
async fn an_image_comes_through_podman() {
    let name = "localhost/onloadd-test:1";
    let Some(()) = image(name) else { return };
    let rig = Rig::new(node()).await;
    let words = ["release", "import", name];
    let child = ordering(&rig, &mut command(&rig.bus.address(), &words)).await;
    let mut file = handed_over(&rig).await;
    let read = tokio::task::spawn_blocking(move || {
        let mut archive = Vec::new();
        file.read_to_end(&mut archive).map(|_| archive)
    });
    let archive = tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap().unwrap();
    let manifest = b"manifest.json";
    assert!(archive.windows(manifest.len()).any(|window| window == manifest), "an archive");
    rig.alter(|picture| end_job(picture, JobState::Done, "release 9.1.0 is there"));
    assert_eq!(end(child).await.code, Some(0));
    drop(Program::new("podman").args(["rmi", name]).output());
    // One that nobody has: podman's own words come through.
    let ended = rig.ctl(&["release", "import", "localhost/onloadd-nobody:1"]).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    three_lines(&ended);
    assert!(ended.err.contains("podman cannot fetch it: "), "{ended:?}");
}

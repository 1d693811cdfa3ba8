//! Releases through the whole loop: ordered at the letterbox, taken in by the Linux host on this
//! machine's root, seen in the picture, removed again.

// Test code: a broken assumption here must stop the test at once, where it broke.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::io::{Seek, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use onload_core::command::{Caller, Command, Reply};
use onload_core::job::{Job, JobState};
use onload_core::names::JobId;
use onload_core::refusal::RefusalKind;
use onload_core::release::ModuleFile;
use onload_tests::node::Node;
use onload_tests::skip::skip;
use onloadd::app::App;
use onloadd::host::Host;
use onloadd::host::linux::{Linux, Places};
use onloadd::ledger_file::LedgerFile;
use onloadd::letterbox::Letterbox;
use onloadd::module_file::{hashes, stand_in};
use onloadd::settings_dir::Sources;
use tempfile::TempDir;

/// How long a loaded machine may take for anything here.
const PATIENCE: Duration = Duration::from_secs(30);
const HASH: &str = "0123456789abcdef0123456789abcdef";
const KERNEL: &str = "5.14.0-427.el9.x86_64";

fn places(root: &Path, state: &Path) -> Places {
    Places {
        root: root.to_owned(),
        kubelet_directory: state.join("no-kubelet"),
        state_directory: state.to_owned(),
    }
}

/// An archive of a release.
fn archive(version: &str) -> OwnedFd {
    let interfaces = BTreeSet::from([HASH.parse().unwrap()]);
    let module = |interfaces: &BTreeSet<_>| {
        stand_in::write(&ModuleFile {
            machine: 62,
            vermagic: format!("{KERNEL} SMP mod_unload "),
            version: Some(version.to_owned()),
            interfaces: interfaces.clone(),
            ..ModuleFile::default()
        })
    };
    let mut files: Vec<(String, Vec<u8>)> = ["sfc", "sfc_resource", "sfc_char"]
        .map(|name| (format!("lib/modules/{KERNEL}/extra/{name}.ko"), module(&BTreeSet::new())))
        .into();
    files.push((format!("lib/modules/{KERNEL}/extra/onload.ko"), module(&interfaces)));
    files.push(("usr/lib64/libonload.so".to_owned(), hashes::stand_in(&interfaces)));
    files.push(("usr/bin/onload".to_owned(), b"#!/bin/sh\n".to_vec()));
    let mut builder = tar::Builder::new(tempfile::tempfile().unwrap());
    for (path, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, path, bytes.as_slice()).unwrap();
    }
    let mut file = builder.into_inner().unwrap();
    file.flush().unwrap();
    file.rewind().unwrap();
    file.into()
}

struct Daemon {
    letterbox: Letterbox,
    state: TempDir,
}

impl Daemon {
    /// Runs `test` beside the loop of a daemon on this machine's root.
    fn run<F: Future<Output = ()>>(test: impl FnOnce(Self) -> F) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let state = tempfile::tempdir().unwrap();
        let kept = state.path().to_owned();
        runtime.block_on(async {
            let host = Linux::open(places(Path::new("/"), state.path())).unwrap();
            let ledger = LedgerFile::open(state.path()).unwrap();
            let (letterbox, pictures, posts) = Letterbox::new();
            let app = App::new(host, Sources::default(), ledger, pictures, posts);
            tokio::select! {
                ended = app.run() => panic!("the loop ended: {ended:?}"),
                () = test(Self { letterbox, state }) => {}
            }
        });
        assert!(!kept.exists());
    }

    async fn order(&self, command: Command, files: Option<OwnedFd>) -> JobId {
        let caller = Caller { uid: 0, process: None, bus_name: None, privileged: true };
        match self.letterbox.submit_with(caller, command, files).await.unwrap() {
            Reply::Job(job) => job,
            other => panic!("{other:?}"),
        }
    }

    async fn ended(&self, job: JobId) -> Job {
        let mut pictures = self.letterbox.watch();
        let ended = pictures.wait_for(|picture| {
            picture.jobs.get(&job).is_some_and(|job| job.state != JobState::Running)
        });
        let picture = tokio::time::timeout(PATIENCE, ended).await.unwrap().unwrap().clone();
        picture.jobs[&job].clone()
    }

    fn release(&self, name: &str) -> PathBuf {
        self.state.path().join("releases").join(name)
    }

    /// What is read-only does not go by itself where tests run without privileges.
    fn tidy(self) {
        let mut program = std::process::Command::new("chmod");
        let _ = program.args(["-R", "u+w"]).arg(self.state.path()).status();
    }
}

#[test]
fn a_release_comes_and_goes_by_order() {
    Daemon::run(async |daemon| {
        let import = |version: Option<&str>| Command::Import {
            version: version.map(|name| name.parse().unwrap()),
        };
        let job = daemon.order(import(None), Some(archive("9.2.1"))).await;
        let job = daemon.ended(job).await;
        assert_eq!(job.state, JobState::Done, "{}", job.message);
        assert!(job.message.contains("9.2.1"), "{}", job.message);
        assert!(daemon.release("9.2.1/usr/lib64/libonload.so").is_file());
        let mut pictures = daemon.letterbox.watch();
        let seen = pictures
            .wait_for(|picture| picture.releases.keys().any(|name| name.as_str() == "9.2.1"));
        tokio::time::timeout(PATIENCE, seen).await.unwrap().unwrap();
        let job = daemon.order(import(Some("other")), Some(archive("9.2.1"))).await;
        assert_eq!(daemon.ended(job).await.state, JobState::Done);
        let again = daemon.order(import(None), Some(archive("9.2.1"))).await;
        let again = daemon.ended(again).await;
        assert_eq!(again.state, JobState::Failed);
        assert!(again.message.contains("is there already"), "{}", again.message);
        let remove = Command::Remove { release: "other".parse().unwrap() };
        let removed = daemon.order(remove, None).await;
        let removed = daemon.ended(removed).await;
        if removed.message.contains("CAP_SYS_PTRACE") {
            skip("removing a release", "this machine hides processes from root");
        } else {
            assert_eq!(removed.state, JobState::Done, "{}", removed.message);
            assert!(!daemon.release("other").exists());
        }
        daemon.tidy();
    });
}

#[test]
fn a_release_is_taken_in_over_the_bus() {
    let node = Node::real().unwrap();
    let path = node.config_root().join("release.tar");
    fs::create_dir_all(node.config_root()).unwrap();
    std::io::copy(&mut fs::File::from(archive("9.2.1")), &mut fs::File::create(&path).unwrap())
        .unwrap();
    let text = path.to_str().unwrap();
    let said = node.ctl_ok(["release", "import", text]).unwrap();
    assert!(said.contains("9.2.1"), "{said}");
    let tree = node.state_directory().join("releases/9.2.1");
    assert!(tree.join("usr/lib64/libonload.so").is_file());
    let again = node.ctl(["release", "import", text]).unwrap();
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(!again.status.success() && said.contains("is there already"), "{said}");
    let _ = std::process::Command::new("chmod").arg("-R").arg("u+w").arg(tree).status();
}

#[test]
fn files_that_never_end_stop_no_daemon() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&[b'x'; 100]).unwrap();
    Daemon::run(async |daemon| {
        let job = daemon.order(Command::Import { version: None }, Some(reader.into())).await;
        let releases = daemon.state.path().join("releases");
        while !releases.is_dir() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(daemon.letterbox.picture().jobs[&job].state, JobState::Running);
        daemon.tidy();
    });
    // The pipe is still open: what has ended is the loop, and the thread with it.
    drop(writer);
}

#[test]
fn another_root_is_left_alone() {
    let (root, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let linux = Linux::open(places(root.path(), state.path())).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let refused = linux.import(archive("9.2.1"), None).await.unwrap_err();
        assert_eq!(refused.kind, RefusalKind::Unsupported, "{refused}");
        assert!(refused.why.contains(root.path().to_str().unwrap()), "{refused}");
        let refused = linux.remove(&"9.2.1".parse().unwrap()).await.unwrap_err();
        assert_eq!(refused.kind, RefusalKind::Unsupported, "{refused}");
    });
    assert_eq!(fs::read_dir(state.path()).unwrap().count(), 0);
}

/// A file system of one megabyte; unmounted when it is dropped.
struct Small(TempDir);

impl Small {
    fn mounted() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
            .arg(directory.path())
            .output()
            .is_ok_and(|output| output.status.success());
        mounted.then_some(Self(directory))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_is_said_and_nothing_stays() {
    let Some(small) = Small::mounted() else {
        return skip(
            "a_full_disk_is_said_and_nothing_stays",
            "nobody may mount a file system here",
        );
    };
    fs::write(small.0.path().join("ballast"), vec![1; (1 << 20) - (64 << 10)]).unwrap();
    let linux = Linux::open(places(Path::new("/"), small.0.path())).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut builder = tar::Builder::new(tempfile::tempfile().unwrap());
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        header.set_size(1 << 20);
        let bytes = vec![7; 1 << 20];
        builder.append_data(&mut header, "usr/bin/onload", bytes.as_slice()).unwrap();
        let mut file = builder.into_inner().unwrap();
        file.rewind().unwrap();
        let refused = linux.import(file.into(), None).await.unwrap_err();
        assert_eq!(refused.kind, RefusalKind::Blocked, "{refused}");
        assert!(refused.fix.contains("make room"), "{refused}");
        let left = fs::read_dir(small.0.path().join("releases")).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [".lock"]);
    });
}

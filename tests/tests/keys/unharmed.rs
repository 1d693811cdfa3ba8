//! Whatever goes wrong, the file is what it was, and what it is besides its content stays.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use onload_tests::binaries::binary;
use onload_tests::skip::skip;

use crate::bench::{Bench, Ended, onpath, parts, with_path};

/// How long anything here may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn what_is_no_module_stays_what_it_is() {
    let bench = Bench::new();
    bench.key("mok", "ecdsa-p256");
    let module = bench.module("good.ko");
    let mark = b"~Module signature appended~\n";
    let trailer = |size: u32| [&[0, 0, 2, 0, 0, 0, 0, 0][..], &size.to_be_bytes(), mark].concat();
    let end = |end: &[u8]| [&module, end].concat();
    let program = fs::read("/proc/self/exe").unwrap();
    let cases: [(&str, Vec<u8>, &str); 8] = [
        ("empty", Vec::new(), "is no kernel module"),
        ("text", b"text".to_vec(), "is no kernel module"),
        ("a program", program, "is no kernel module"),
        ("the head of an ELF file", module[..17].to_vec(), "is no kernel module"),
        ("a mark alone", end(mark), "is none"),
        ("a length beyond the file", end(&trailer(u32::MAX)), "is none"),
        ("no length", end(&trailer(0)), "is none"),
        ("somebody unknown", end(&[b"junk", &trailer(4)[..]].concat()), "not named by issuer"),
    ];
    for (why, bytes, expected) in cases {
        fs::write(bench.path("a.ko"), &bytes).unwrap();
        let ended = bench.sign("mok", &["a.ko"]);
        let code = if expected.starts_with("not named") { 4 } else { 2 };
        assert!(ended.three_lines(code)[1].contains(expected), "{why}: {ended:?}");
        assert!(bench.read("a.ko") == bytes, "{why}");
    }
    // What nobody can name can be taken off as well.
    bench.sign("mok", &["a.ko", "--replace"]).good();
    assert_eq!(parts(&bench.read("a.ko")).0, module);
    assert!(bench.sign("mok", &["."]).three_lines(2)[1].contains("is no file"));
    assert_eq!(bench.names(), ["a.ko", "good.ko", "mok.crt", "mok.der", "mok.key"]);
}

#[test]
fn mode_owner_attributes_and_links_stay() {
    let bench = Bench::new();
    bench.key("mok", "ecdsa-p256");
    fs::create_dir(bench.path("extra")).unwrap();
    bench.module("extra/a.ko");
    let file = bench.path("extra/a.ko");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o4640)).unwrap();
    symlink("extra/a.ko", bench.path("weak.ko")).unwrap();
    let root = geteuid().is_root();
    if root {
        std::os::unix::fs::chown(&file, Some(12), Some(34)).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o4640)).unwrap();
    } else {
        skip("mode_owner_attributes_and_links_stay: owner", "only root can give a file away");
    }
    // Labels of SELinux are attributes as these are.
    let labelled = onpath("setfattr").is_some() && {
        let set = |name: &str| {
            let words = ["-n", name, "-v", "label", "extra/a.ko"];
            bench.command("setfattr", &words).output().unwrap().status.success()
        };
        set("user.label") && (!root || (set("security.onload") && set("security.ima")))
    };
    bench.sign("mok", &["weak.ko"]).good();
    assert!(fs::symlink_metadata(bench.path("weak.ko")).unwrap().is_symlink(), "the link stays");
    parts(&bench.read("extra/a.ko"));
    let about = fs::metadata(&file).unwrap();
    assert_eq!(about.mode() & 0o7777, 0o4640);
    if root {
        assert_eq!((about.uid(), about.gid()), (12, 34));
    }
    if !labelled {
        return skip("mode_owner_attributes_and_links_stay: attributes", "none can be set here");
    }
    let names = bench.text("getfattr", &["-m", "-", "extra/a.ko"]);
    assert!(names.contains("user.label"), "{names}");
    if root {
        assert!(names.contains("security.onload"), "{names}");
        assert!(!names.contains("security.ima"), "that one speaks of the old content: {names}");
    }
}

#[test]
fn a_full_disk_or_one_that_is_read_only_leaves_the_old_file() {
    let name = "a_full_disk_or_one_that_is_read_only_leaves_the_old_file";
    let bench = Bench::new();
    bench.key("mok", "ecdsa-p256");
    bench.module("a.ko");
    bench.tool("gzip", &["-n", "-k", "a.ko"]);
    fs::create_dir(bench.path("small")).unwrap();
    // Room for the module, and not for another one.
    let words = "--key mok.key --cert mok.crt small/a.ko";
    let script = format!(
        "mount -t tmpfs -o size=20k none small || exit 77
         cp a.ko small/ && sign() {{ '{0}' keys sign {words}; echo $?; }}
         sign; cmp a.ko small/a.ko && ls -A small
         mount -t tmpfs none small && cp a.ko small/ && mount -o remount,ro small || exit 77
         sign; cmp a.ko small/a.ko && ls -A small",
        binary("onloadctl").display()
    );
    let output = bench.command("unshare", &["-m", "sh", "-c", &script]).output();
    let Some(output) = output.ok().filter(|output| !matches!(output.status.code(), Some(77 | 1)))
    else {
        return skip(name, "nothing can be mounted here");
    };
    let ended = Ended::of(output);
    assert_eq!(ended.out, "1\na.ko\n3\na.ko\n", "{ended:?}");
    assert!(ended.err.contains("No space left") && ended.err.contains("make room"), "{ended:?}");
    assert!(ended.err.contains("Read-only"), "{ended:?}");
}

#[test]
fn an_end_in_the_middle_leaves_the_old_file() {
    for (signal, code) in [
        (Signal::SIGTERM, Some(1)),
        (Signal::SIGINT, Some(1)),
        (Signal::SIGQUIT, Some(1)),
        (Signal::SIGKILL, None),
    ] {
        let bench = Bench::new();
        bench.key("mok", "ecdsa-p256");
        let unsigned = bench.module("a.ko");
        let waits = format!(
            "case \"$2\" in -sign) touch '{}'; exec sleep 60;; esac",
            bench.path("begun").display()
        );
        let directory = bench.openssl(&format!("{waits}\nexec \"$real\" \"$@\""));
        let mut command =
            bench.keys_command(&["sign", "a.ko", "--key", "mok.key", "--cert", "mok.crt"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = with_path(&mut command, &directory).spawn().unwrap();
        let begun = Instant::now();
        while !bench.path("begun").exists() {
            assert!(begun.elapsed() < PATIENCE, "openssl was not run");
            std::thread::sleep(Duration::from_millis(10));
        }
        kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
        let ended = Ended::of(child.wait_with_output().unwrap());
        assert_eq!(ended.code, code, "{ended:?}");
        assert!(begun.elapsed() < PATIENCE, "it does not wait for openssl");
        assert!(bench.read("a.ko") == unsigned, "{signal}");
        if code.is_some() {
            assert!(ended.three_lines(1)[1].contains("asked to stop"), "{ended:?}");
            let left: Vec<_> =
                bench.names().into_iter().filter(|name| name.starts_with('.')).collect();
            assert_eq!(left, Vec::<String>::new());
        }
        // What a kill left behind is in nobody's way.
        bench.sign("mok", &["a.ko"]).good();
        parts(&bench.read("a.ko"));
    }
}

/// Has the directories of a program refuse to be synced, as a broken disk does.
fn unsynced(bench: &Bench, words: &[&str]) -> Option<Ended> {
    let text = "#include <errno.h>\n#include <sys/stat.h>\nint fsync(int file) { struct stat about; \
        if (fstat(file, &about) || !S_ISDIR(about.st_mode)) return 0; errno = EIO; return -1; }\n";
    fs::write(bench.path("fsync.c"), text).unwrap();
    let built = bench.command("cc", &["-shared", "-fPIC", "-o", "fsync.so", "fsync.c"]).status();
    if !built.is_ok_and(|status| status.success()) {
        return None;
    }
    let mut command = bench.keys_command(words);
    let ended = Ended::of(command.env("LD_PRELOAD", bench.path("fsync.so")).output().unwrap());
    fs::remove_file(bench.path("fsync.c")).unwrap();
    fs::remove_file(bench.path("fsync.so")).unwrap();
    Some(ended)
}

#[test]
fn what_was_done_is_not_denied_when_only_the_directory_cannot_be_synced() {
    let name = "what_was_done_is_not_denied_when_only_the_directory_cannot_be_synced";
    let bench = Bench::new();
    let words = ["generate", "--out", "mok", "--algorithm", "ecdsa-p256", "--subject", "mok"];
    let Some(ended) = unsynced(&bench, &words) else {
        return skip(name, "no shared object can be built here");
    };
    let [what, why, _] = ended.three_lines(1);
    assert!(what.contains("key was made, but may not outlive a power loss"), "{ended:?}");
    assert!(why.contains("cannot be synced") && why.contains("Input/output"), "{ended:?}");
    assert_eq!(bench.names(), ["mok.crt", "mok.der", "mok.key"]);
    bench.module("a.ko");
    let words = ["sign", "a.ko", "--key", "mok.key", "--cert", "mok.crt"];
    let ended = unsynced(&bench, &words).unwrap();
    let [what, why, _] = ended.three_lines(1);
    assert!(what.contains("a.ko was signed, but may not outlive a power loss"), "{ended:?}");
    assert!(why.contains("cannot be synced"), "{ended:?}");
    parts(&bench.read("a.ko"));
}

#[test]
fn a_module_that_is_built_anew_meanwhile_is_not_lost() {
    let bench = Bench::new();
    bench.key("mok", "ecdsa-p256");
    bench.module("a.ko");
    let build =
        format!("case \"$2\" in -sign) echo newer > '{}';; esac", bench.path("a.ko").display());
    let directory = bench.openssl(&format!("{build}\nexec \"$real\" \"$@\""));
    let mut command =
        bench.keys_command(&["sign", "a.ko", "--key", "mok.key", "--cert", "mok.crt"]);
    let ended = Ended::of(with_path(&mut command, &directory).output().unwrap());
    assert!(ended.three_lines(4)[1].contains("changed by somebody else"), "{ended:?}");
    assert_eq!(bench.read("a.ko"), b"newer\n");
}

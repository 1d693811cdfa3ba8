//! Modules in a directory of somebody else, who renames what is in it while it is worked on: nobody
//! gets to read what he could not read before, and no key comes into his hands.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::unistd::geteuid;
use onload_tests::skip::skip;

use crate::bench::{Bench, Ended, onpath, parts, with_path};

/// What only root may read.
const SECRET: &[u8] = b"\x7fELF, says the only line of the file that root alone may read\n";
/// nobody, on every distribution.
const NOBODY: u32 = 65534;
/// How often, and for how long at most, the race is run.
const ROUNDS: usize = 60;
const LONGEST: Duration = Duration::from_secs(15);

/// A directory `home` of somebody else, as far as we can give it away, and a secret that is not his.
fn home(bench: &Bench) -> PathBuf {
    let home = bench.path("home");
    fs::create_dir(&home).unwrap();
    fs::write(bench.path("secret"), SECRET).unwrap();
    given_away(&home);
    home
}

fn given_away(path: &Path) {
    if geteuid().is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

/// How to compress a module, and the name it gets.
const PACKED: [(&str, &str); 4] =
    [("xz", "a.ko.xz"), ("zstd", "a.ko.zst"), ("gzip", "a.ko.gz"), ("true", "a.ko")];

/// Puts a module into `home`, his.
fn put(bench: &Bench, program: &str, name: &str) -> Vec<u8> {
    bench.module("home/a.ko");
    let words: &[&str] = if program == "zstd" { &["--rm", "-q", "-f"] } else { &["-f"] };
    bench.tool(program, &[words, &["home/a.ko"]].concat());
    given_away(&bench.path(&format!("home/{name}")));
    bench.read(&format!("home/{name}"))
}

/// That the file is not the secret, whatever it is: a link of his own he may have made.
fn gives_nothing_away(bench: &Bench, program: &str, name: &str) {
    let path = bench.path(name);
    let Ok(about) = fs::symlink_metadata(&path) else { return };
    if !about.is_file() {
        return;
    }
    let mut bytes = fs::read(&path).unwrap();
    if program != "true" {
        bytes = bench.tool(program, &["-d", "-c", name]);
    }
    let has = bytes.windows(SECRET.len()).any(|part| part == SECRET);
    assert!(!has, "{name} of uid {} has what only root may read", about.uid());
}

#[test]
fn a_draft_that_is_swapped_for_a_link_is_neither_followed_nor_placed() {
    for (program, name) in PACKED {
        if onpath(program).is_none() {
            skip("a_draft_that_is_swapped_for_a_link", &format!("{program} is not here"));
            continue;
        }
        let bench = Bench::new();
        bench.key("mok", "ecdsa-p256");
        let home = home(&bench);
        let before = put(&bench, program, name);
        // Whenever openssl is run, every draft that there is by then is swapped.
        let script = format!(
            "cd '{}'; n=0; for draft in .a.ko*.new; do n=$((n+1)); \
             mv \"$draft\" stolen$n; ln -s ../secret \"$draft\"; done; cd ..; exec \"$real\" \"$@\"",
            home.display()
        );
        let directory = bench.openssl(&script);
        let file = format!("home/{name}");
        let words = ["sign", &file, "--key", "mok.key", "--cert", "mok.crt"];
        let ended =
            Ended::of(with_path(&mut bench.keys_command(&words), &directory).output().unwrap());
        gives_nothing_away(&bench, program, &file);
        if program == "true" {
            // The draft is what was to take the place.
            assert!(ended.three_lines(4)[1].contains("changed by somebody else"), "{ended:?}");
            assert!(bench.read(&file) == before, "it is untouched");
        } else {
            // Only the copy that is worked on was swapped, and it is not reached by name.
            assert_eq!(ended.good(), format!("{file}: signed\n"));
            fs::write(bench.path("b.ko"), bench.tool(program, &["-d", "-c", &file])).unwrap();
            parts(&bench.read("b.ko"));
        }
        assert!(bench.read("secret") == SECRET, "nor is anything written through the link");
    }
}

#[test]
fn whoever_races_with_the_signer_reads_nothing() {
    for (program, name) in PACKED {
        if onpath(program).is_none() {
            skip("whoever_races_with_the_signer_reads_nothing", &format!("{program} is not here"));
            continue;
        }
        let bench = Bench::new();
        bench.key("mok", "ecdsa-p256");
        let home = home(&bench);
        let file = format!("home/{name}");
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| race(&home, &over));
            let _over = Over(&over);
            let begun = Instant::now();
            for _ in 0..ROUNDS {
                drop(fs::remove_file(bench.path(&file)));
                put(&bench, program, name);
                let ended = bench.sign("mok", &[&file]);
                gives_nothing_away(&bench, program, &file);
                // The draft that takes the place may have been swapped, or not.
                assert!(matches!(ended.code, Some(0 | 4)), "{ended:?}");
                if begun.elapsed() > LONGEST / 4 {
                    break;
                }
            }
        });
        assert!(bench.read("secret") == SECRET);
    }
}

/// Ends the race, even if a round went wrong.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Swaps the first draft, which is the one that is signed, for a link to the secret as fast as it goes.
fn race(home: &Path, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        for entry in fs::read_dir(home).unwrap().flatten() {
            // Either may come too late.
            if entry.file_name().to_string_lossy().ends_with("-0.new")
                && fs::rename(entry.path(), home.join("stolen")).is_ok()
            {
                drop(symlink("../secret", entry.path()));
            }
        }
    }
}

#[test]
fn a_key_is_made_where_nobody_else_gets_in() {
    let bench = Bench::new();
    let home = home(&bench);
    // The workshop gives way to one of his, with a file of his for the key to be written into.
    let script = format!(
        "cd '{}'; for made in .mok*.new; do mv \"$made\" stolen; mkdir -m 777 \"$made\"; \
         touch \"$made/key\"; chmod 666 \"$made/key\"; done; cd ..; exec \"$real\" \"$@\"",
        home.display()
    );
    // Once is enough.
    let script = format!("case \"$1\" in genpkey) :;; *) exec \"$real\" \"$@\";; esac; {script}");
    let directory = bench.openssl(&script);
    let words = ["generate", "--out", "home/mok", "--algorithm", "ecdsa-p256"];
    let ended = Ended::of(with_path(&mut bench.keys_command(&words), &directory).output().unwrap());
    for entry in fs::read_dir(&home).unwrap().flatten() {
        let theirs = entry.path().join("key");
        if entry.file_name().to_string_lossy().starts_with(".mok") && theirs.exists() {
            assert_eq!(fs::read(theirs).unwrap(), b"", "the key is his");
        }
    }
    ended.good();
    let about = fs::metadata(home.join("mok.key")).unwrap();
    assert_eq!((about.mode() & 0o7777, about.uid()), (0o600, geteuid().as_raw()));
    assert!(bench.text("openssl", &["pkey", "-in", "home/mok.key"]).contains("PRIVATE KEY"));
    assert!(fs::read_dir(home.join("stolen")).unwrap().next().is_none(), "nothing stays in there");
}

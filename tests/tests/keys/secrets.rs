//! Passphrases and PINs: openssl gets them, and nobody else sees them.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use onload_tests::binaries::binary;
use onload_tests::skip::skip;

use crate::bench::{Bench, Ended, onpath, parts, with_path};

const SECRET: &str = "horse battery 17";
/// How long anything here may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn secret(bench: &Bench, name: &str, text: &str) {
    fs::write(bench.path(name), text).unwrap();
    fs::set_permissions(bench.path(name), fs::Permissions::from_mode(0o600)).unwrap();
}

/// That neither the words and variables of openssl nor what was printed has it.
fn is_kept(bench: &Bench, ended: &Ended, secret: &str) {
    let calls = bench.read("calls");
    let calls = String::from_utf8_lossy(&calls);
    assert!(calls.contains("PATH=") && calls.contains("-"), "it was called: {calls}");
    for text in [&*calls, &ended.out, &ended.err] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn a_passphrase_from_a_file_is_seen_by_openssl_only() {
    let bench = Bench::new();
    let directory = bench.openssl("exec \"$real\" \"$@\"");
    secret(&bench, "phrase", &format!("{SECRET}\nsecond line\n"));
    let run = |words: &[&str]| {
        let mut command = bench.keys_command(words);
        let ended = Ended::of(with_path(&mut command, &directory).output().unwrap());
        is_kept(&bench, &ended, SECRET);
        ended
    };
    let made = run(&["generate", "--out", "mok", "--passphrase-file", "phrase"]);
    assert!(made.good().contains("guarded by a passphrase"), "{made:?}");
    assert_eq!(made.err, "");
    let key = String::from_utf8(bench.read("mok.key")).unwrap();
    assert!(key.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"), "{key}");
    let unsigned = bench.module("a.ko");
    bench.module("b.ko");
    let sign = ["sign", "a.ko", "b.ko", "--key", "mok.key", "--cert", "mok.crt"];
    let signed = run(&[&sign[..], &["--passphrase-file", "phrase"]].concat());
    assert_eq!(signed.good(), "a.ko: signed\nb.ko: signed\n");
    assert_eq!(parts(&bench.read("a.ko")).0, unsigned);

    bench.module("a.ko");
    secret(&bench, "wrong", "cart\n");
    let refused = run(&[&sign[..], &["--passphrase-file", "wrong"]].concat());
    assert!(refused.three_lines(2)[1].contains("passphrase is wrong"), "{refused:?}");
    for (text, code) in [("", 2), ("\nsecond\n", 2), ("a\0b\n", 2)] {
        secret(&bench, "wrong", text);
        let refused = run(&[&sign[..], &["--passphrase-file", "wrong"]].concat());
        assert!(refused.three_lines(code)[1].contains("no passphrase"), "{refused:?}");
    }
    let refused = run(&[&sign[..], &["--passphrase-file", "nowhere"]].concat());
    assert!(refused.three_lines(1)[1].contains("nowhere"), "{refused:?}");
    // A terminal that is not there is not waited for.
    let words = ["keys", "sign", "a.ko", "--key", "mok.key", "--cert", "mok.crt"];
    let onloadctl = binary("onloadctl");
    let alone = [&["-w", onloadctl.to_str().unwrap()], &words[..]].concat();
    let refused = Ended::of(bench.command("setsid", &alone).output().unwrap());
    assert!(refused.three_lines(2)[1].contains("no terminal"), "{refused:?}");
    assert_eq!(bench.read("a.ko"), unsigned);
    // Others could read it: said, and done.
    fs::set_permissions(bench.path("phrase"), fs::Permissions::from_mode(0o644)).unwrap();
    let signed = run(&[&sign[..], &["--passphrase-file", "phrase"]].concat());
    assert!(signed.good().starts_with("a.ko: signed\n"), "{signed:?}");
    assert!(signed.err.contains("phrase can be read by others"), "{signed:?}");
}

#[test]
fn a_passphrase_that_comes_through_a_pipe_serves_all_files() {
    let bench = Bench::new();
    secret(&bench, "phrase", SECRET);
    bench.keys(&["generate", "--out", "mok", "--passphrase-file", "phrase"]).good();
    bench.module("a.ko");
    bench.module("b.ko");
    let words = "keys sign a.ko b.ko --key mok.key --cert mok.crt --passphrase-file /dev/stdin";
    let line = format!("cat phrase | '{}' {words}", binary("onloadctl").display());
    let ended = Ended::of(bench.command("sh", &["-c", &line]).output().unwrap());
    assert_eq!(ended.good(), "a.ko: signed\nb.ko: signed\n");
}

/// Runs onloadctl on a terminal and types a line whenever something asks.
fn typed(bench: &Bench, path: &Path, words: &str, line: &str) -> Ended {
    let command = format!("'{}' {words}", binary("onloadctl").display());
    // What waits for ever on a terminal would hold up all tests.
    let words = ["-k", "1", "60", "script", "-q", "-e", "-c", &command, "/dev/null"];
    let mut script = bench.command("timeout", &words);
    script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = with_path(&mut script, path).spawn().unwrap();
    let (mut keyboard, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (mut shown, mut answered, mut piece) = (Vec::new(), 0, [0; 256]);
    loop {
        let length = screen.read(&mut piece).unwrap();
        if length == 0 {
            break;
        }
        shown.extend_from_slice(&piece[..length]);
        let asked = String::from_utf8_lossy(&shown).to_lowercase().matches("phrase").count();
        // The question is there before the echo is off: what is typed too early is thrown away.
        if asked > answered && shown.ends_with(b":") {
            std::thread::sleep(std::time::Duration::from_millis(300));
            answered = asked;
            writeln!(keyboard, "{line}").unwrap();
        }
    }
    drop(keyboard);
    let mut ended = Ended::of(child.wait_with_output().unwrap());
    ended.out = String::from_utf8(shown).unwrap();
    ended
}

#[test]
fn openssl_asks_for_a_passphrase_on_the_terminal() {
    if onpath("script").is_none() {
        return skip("openssl_asks_for_a_passphrase_on_the_terminal", "no program `script` here");
    }
    let bench = Bench::new();
    let directory = bench.openssl("exec \"$real\" \"$@\"");
    let made = typed(&bench, &directory, "keys generate --out mok --passphrase", SECRET);
    assert!(made.good().contains("guarded by a passphrase"), "{made:?}");
    is_kept(&bench, &made, SECRET);
    let key = String::from_utf8(bench.read("mok.key")).unwrap();
    assert!(key.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"), "{key}");
    let unsigned = bench.module("a.ko");
    let words = "keys sign --key mok.key --cert mok.crt a.ko";
    let signed = typed(&bench, &directory, words, SECRET);
    assert!(signed.good().contains("a.ko: signed"), "{signed:?}");
    is_kept(&bench, &signed, SECRET);
    assert_eq!(parts(&bench.read("a.ko")).0, unsigned);
}

/// SoftHSM's library, where distributions put it.
const TOKENS: [&str; 4] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/lib64/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
];
const PIN: &str = "918273";

#[test]
fn a_pin_on_the_command_line_is_not_repeated() {
    let bench = Bench::new();
    bench.key("mok", "ecdsa-p256");
    bench.module("a.ko");
    let uri = format!("object=mok?pin-value={PIN}");
    let (plain, shouted) = (format!("pkcs11:{uri}"), format!("PKCS11:{uri}"));
    let cases = [
        (["a.ko", &plain, "mok.crt"], 2),
        (["a.ko", &shouted, "mok.crt"], 2),
        // In a place where it makes no sense.
        (["a.ko", "mok.key", &plain], 1),
        ([&shouted, "mok.key", "mok.crt"], 1),
    ];
    for ([file, key, certificate], code) in cases {
        for json in [&[][..], &["--json"]] {
            let words = ["sign", file, "--key", key, "--cert", certificate];
            let ended = bench.keys(&[json, &words].concat());
            assert_eq!(ended.code, Some(code), "{ended:?}");
            for text in [&ended.out, &ended.err] {
                assert!(!text.contains(PIN), "{text}");
            }
            assert!(code == 1 || ended.err.contains("pin-source"), "{ended:?}");
        }
    }
}

#[test]
fn whoever_waits_for_a_pipe_can_be_stopped() {
    let bench = Bench::new();
    bench.key("mok", "ecdsa-p256");
    let unsigned = bench.module("a.ko");
    // Nobody ever writes into it.
    bench.tool("mkfifo", &["pipe"]);
    let sign = ["sign", "a.ko", "--key", "mok.key", "--cert", "mok.crt"];
    let cases = [
        [&sign[..], &["--passphrase-file", "pipe"]].concat(),
        vec!["generate", "--out", "other", "--passphrase-file", "pipe"],
    ];
    for words in cases {
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGQUIT] {
            let mut command = bench.keys_command(&words);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn().unwrap();
            // A thread more is the one that waits for the pipe; signals are heard before.
            let threads = format!("/proc/{}/task", child.id());
            let begun = Instant::now();
            while fs::read_dir(&threads).is_ok_and(|each| each.count() < 2) {
                assert!(begun.elapsed() < PATIENCE, "it does not come to the pipe");
                std::thread::sleep(Duration::from_millis(5));
            }
            kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
            while child.try_wait().unwrap().is_none() {
                if begun.elapsed() > PATIENCE {
                    child.kill().unwrap();
                    panic!("{words:?}: it does not hear {signal}");
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            let ended = Ended::of(child.wait_with_output().unwrap());
            assert!(ended.three_lines(1)[1].contains("asked to stop"), "{ended:?}");
        }
    }
    // What openssl reads more than once is not waited for at all.
    for (key, certificate) in [("pipe", "mok.crt"), ("mok.key", "pipe")] {
        let words = ["20", binary("onloadctl").to_str().unwrap(), "keys", "sign", "a.ko", "--key"]
            .map(str::to_owned);
        let more = [key, "--cert", certificate].map(str::to_owned);
        let words: Vec<_> = words.iter().chain(&more).map(String::as_str).collect();
        let ended = Ended::of(bench.command("timeout", &words).output().unwrap());
        assert!(ended.three_lines(2)[1].contains("pipe is no file"), "{ended:?}");
    }
    assert!(bench.read("a.ko") == unsigned);
    let expected = ["a.ko", "mok.crt", "mok.der", "mok.key", "pipe"];
    assert_eq!(bench.names(), expected, "nothing was made");
}

#[test]
fn no_image_is_kept_of_what_has_a_passphrase() {
    let test = "no_image_is_kept_of_what_has_a_passphrase";
    let bench = Bench::new();
    bench.tool("mkfifo", &["-m", "666", "pipe"]);
    bench.tool("chmod", &["777", "."]);
    let program = bench.path("onloadctl");
    bench.tool("install", &["-m", "755", binary("onloadctl").to_str().unwrap(), "onloadctl"]);
    let words = ["keys", "generate", "--out", "other", "--passphrase-file", "pipe"];
    // Only of a process that is not root's it can be seen.
    let mut command = if geteuid().is_root() {
        let user = ["--reuid=65534", "--regid=65534", "--clear-groups"];
        let words = [&user[..], &[program.to_str().unwrap()], &words].concat();
        bench.command("setpriv", &words)
    } else {
        bench.command(&program, &words)
    };
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let place = format!("/proc/{}", child.id());
    let begun = Instant::now();
    // The thread that waits for the pipe comes later than what is looked for.
    while fs::read_dir(format!("{place}/task")).is_ok_and(|each| each.count() < 2) {
        assert!(begun.elapsed() < PATIENCE, "it does not come to the pipe");
        std::thread::sleep(Duration::from_millis(5));
    }
    let owner = fs::metadata(format!("{place}/environ")).unwrap().uid();
    let limits = fs::read_to_string(format!("{place}/limits"));
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGABRT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(owner, 0, "what may be dumped belongs to whoever runs it");
    match limits {
        Ok(limits) => {
            let core = limits.lines().find_map(|line| line.strip_prefix("Max core file size"));
            let core: Vec<_> = core.unwrap().split_whitespace().collect();
            assert_eq!(core, ["0", "0", "bytes"]);
        }
        Err(error) => skip(test, &format!("its limits cannot be read: {error}")),
    }
    assert_eq!(output.status.signal(), Some(Signal::SIGABRT as i32), "{output:?}");
    assert!(!output.status.core_dumped(), "{output:?}");
    assert_eq!((output.stdout, output.stderr), (vec![], vec![]));
}

#[test]
fn a_key_in_a_token_signs_without_leaving_it() {
    let name = "a_key_in_a_token_signs_without_leaving_it";
    let library = TOKENS.into_iter().find(|path| Path::new(path).exists());
    let (Some(library), Some(_)) = (library, onpath("softhsm2-util")) else {
        return skip(name, "SoftHSM is not here");
    };
    let bench = Bench::new();
    let has = |words: &[&str]| bench.command("openssl", words).output().unwrap().status.success();
    if !has(&["engine", "pkcs11"]) && !has(&["list", "-providers", "-provider", "pkcs11"]) {
        return skip(name, "this openssl knows no tokens");
    }
    bench.key("mok", "rsa2048");
    fs::create_dir(bench.path("tokens")).unwrap();
    let tokens = format!("directories.tokendir = {}\n", bench.path("tokens").display());
    fs::write(bench.path("softhsm.conf"), tokens).unwrap();
    let token = |words: &str| {
        let words: Vec<_> = words.split(' ').collect();
        let mut command = bench.command("softhsm2-util", &words);
        let output = command.env("SOFTHSM2_CONF", bench.path("softhsm.conf")).output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
    };
    bench.tool("openssl", &["pkcs8", "-topk8", "-nocrypt", "-in", "mok.key", "-out", "plain"]);
    token(&format!("--init-token --free --label onload --pin {PIN} --so-pin 1111"));
    token(&format!("--import plain --token onload --label mok --id 01 --pin {PIN}"));
    fs::remove_file(bench.path("plain")).unwrap();

    let directory = bench.openssl("exec \"$real\" \"$@\"");
    let sign = |key: &str, more: &[&str]| {
        let words = ["sign", "a.ko", "--cert", "mok.crt", "--key", key];
        let mut command = bench.keys_command(&[&words[..], more].concat());
        command.env("SOFTHSM2_CONF", bench.path("softhsm.conf")).env("PKCS11_MODULE_PATH", library);
        command.env("PKCS11_PROVIDER_MODULE", library);
        Ended::of(with_path(&mut command, &directory).output().unwrap())
    };
    bench.module("a.ko");
    bench.sign("mok", &["a.ko"]).good();
    let expected = bench.read("a.ko");
    secret(&bench, "pin", PIN);
    let uri = "pkcs11:token=onload;object=mok;type=private";
    let with_pin = format!("{uri}?pin-source=file:{}", bench.path("pin").display());
    for (key, more) in [(uri, &["--passphrase-file", "pin"][..]), (&with_pin, &[])] {
        bench.module("a.ko");
        let ended = sign(key, more);
        assert_eq!(ended.good(), "a.ko: signed\n");
        is_kept(&bench, &ended, PIN);
        assert!(bench.read("a.ko") == expected, "as with the key in a file");
    }
    let shown = sign(&format!("{uri}?pin-value={PIN}"), &[]);
    assert!(shown.three_lines(2)[2].contains("pin-source"), "{shown:?}");
    is_kept(&bench, &shown, PIN);
    let unsigned = bench.module("a.ko");
    let missing =
        sign("pkcs11:token=onload;object=other;type=private", &["--passphrase-file", "pin"]);
    assert!(missing.three_lines(2)[1].contains("cannot sign with this key"), "{missing:?}");
    assert_eq!(bench.read("a.ko"), unsigned);
    bench.key("other", "rsa2048");
    fs::rename(bench.path("other.crt"), bench.path("mok.crt")).unwrap();
    let stranger = sign(uri, &["--passphrase-file", "pin"]);
    assert!(stranger.three_lines(2)[1].contains("certificate"), "{stranger:?}");
    assert_eq!(bench.read("a.ko"), unsigned);
}

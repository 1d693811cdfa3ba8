//! `keys generate`: the profile of the certificate, modes, and that nothing is overwritten.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use onload_tests::binaries::binary;
use onload_tests::skip::skip;
use serde_json::Value;

use crate::bench::{Bench, Ended, with_path};

#[test]
fn every_algorithm_makes_a_key_and_its_certificate_for_modules() {
    let cases = [
        ("rsa2048", "Public-Key: (2048 bit)", "sha256WithRSAEncryption"),
        ("rsa3072", "Public-Key: (3072 bit)", "sha256WithRSAEncryption"),
        ("rsa4096", "Public-Key: (4096 bit)", "sha256WithRSAEncryption"),
        ("ecdsa-p256", "ASN1 OID: prime256v1", "ecdsa-with-SHA256"),
        ("ecdsa-p384", "ASN1 OID: secp384r1", "ecdsa-with-SHA384"),
    ];
    for (algorithm, public, signed) in cases {
        let bench = Bench::new();
        let words = ["--json", "generate", "--out", "mok", "--algorithm", algorithm, "--days", "7"];
        let made: Value = serde_json::from_str(bench.keys(&words).good()).unwrap();
        assert_eq!(bench.names(), ["mok.crt", "mok.der", "mok.key"]);
        for (name, mode) in [("mok.key", 0o600), ("mok.crt", 0o644), ("mok.der", 0o644)] {
            let about = fs::metadata(bench.path(name)).unwrap();
            assert_eq!(about.permissions().mode() & 0o7777, mode, "{name}");
        }
        let text = bench.text("openssl", &["x509", "-in", "mok.crt", "-noout", "-text"]);
        // Newer versions write no blanks around the sign.
        let text = text.replace("CN = ", "CN=");
        for part in [
            public,
            signed,
            "Subject: CN=Onload module signing",
            "Issuer: CN=Onload module signing",
            "X509v3 Basic Constraints: critical\n                CA:FALSE\n",
            "X509v3 Key Usage: critical\n                Digital Signature\n",
            "X509v3 Extended Key Usage: \n                Code Signing\n",
        ] {
            assert!(text.contains(part), "{algorithm}: {part}\n{text}");
        }
        let line_after = |label: &str| {
            let (_, rest) = text.split_once(label).unwrap_or_else(|| panic!("{label}\n{text}"));
            rest.lines().nth(1).unwrap().trim().to_lowercase().replace(':', "")
        };
        let key_id = made["key_id"].as_str().unwrap();
        assert_eq!(line_after("X509v3 Subject Key Identifier:"), key_id);
        assert!(line_after("X509v3 Authority Key Identifier:").ends_with(key_id), "{text}");

        let der = bench.tool("openssl", &["x509", "-in", "mok.crt", "-outform", "DER"]);
        assert_eq!(bench.read("mok.der"), der, "the same certificate");
        let public = |words: &[&str]| bench.text("openssl", words);
        assert_eq!(
            public(&["pkey", "-in", "mok.key", "-pubout"]),
            public(&["x509", "-in", "mok.crt", "-noout", "-pubkey"])
        );
        let words = ["x509", "-in", "mok.crt", "-noout", "-fingerprint", "-sha256", "-serial"];
        let facts = public(&words).to_lowercase();
        let fingerprint = made["fingerprint"].as_str().unwrap().to_lowercase();
        assert!(facts.contains(&fingerprint), "{facts} {made}");
        assert!(facts.contains(made["serial"].as_str().unwrap()), "{facts} {made}");
        assert_eq!((&made["algorithm"], &made["days"]), (&algorithm.into(), &7.into()));
    }
}

#[test]
fn nothing_is_overwritten() {
    for there in ["mok.key", "mok.crt", "mok.der"] {
        let bench = Bench::new();
        fs::write(bench.path(there), "precious").unwrap();
        let ended = bench.keys(&["generate", "--out", "mok"]);
        let [what, why, _] = ended.three_lines(4);
        assert_eq!(what, "error: no key was made");
        assert!(why.contains(there), "{why}");
        assert_eq!(
            (bench.names(), bench.read(there)),
            (vec![there.to_owned()], b"precious".into())
        );
    }
    // A link that leads nowhere is something as well: what it names may belong to somebody else.
    let bench = Bench::new();
    symlink("elsewhere", bench.path("mok.key")).unwrap();
    bench.keys(&["generate", "--out", "mok"]).three_lines(4);
    assert_eq!(bench.names(), ["mok.key"]);
}

#[test]
fn what_comes_in_between_is_not_overwritten_either() {
    let bench = Bench::new();
    let late =
        format!("echo precious > '{}'; exec \"$real\" \"$@\"", bench.path("mok.key").display());
    let directory = bench.openssl(&late);
    let mut command = bench.keys_command(&["generate", "--out", "mok"]);
    let ended = Ended::of(with_path(&mut command, &directory).output().unwrap());
    assert!(ended.three_lines(4)[1].contains("mok.key"), "{ended:?}");
    assert_eq!(bench.read("mok.key"), b"precious\n");
    assert_eq!(bench.names(), ["bin", "calls", "mok.key"], "of the rest nothing stays");
}

#[test]
fn at_no_moment_can_others_read_the_key() {
    let bench = Bench::new();
    let look = format!("find '{}' -name '.mok*' -printf '%m %y\\n'", bench.path("").display());
    let list = bench.path("seen");
    let script = format!("\"$real\" \"$@\"; code=$?; {look} >> '{}'; exit $code", list.display());
    let directory = bench.openssl(&script);
    // With a mask that takes nothing away.
    let line = "umask 000; exec \"$0\" \"$@\"";
    let onloadctl = onload_tests::binaries::binary("onloadctl");
    let words = ["-c", line, onloadctl.to_str().unwrap(), "keys", "generate", "--out", "mok"];
    let mut command = bench.command("sh", &words);
    Ended::of(with_path(&mut command, &directory).output().unwrap()).good();
    let seen = String::from_utf8(bench.read("seen")).unwrap();
    let lines: Vec<_> = seen.lines().collect();
    assert!(lines.len() >= 2, "it was looked while it was made: {seen}");
    assert!(lines.iter().all(|line| *line == "700 d"), "nobody else gets in: {seen}");
    let about = fs::metadata(bench.path("mok.key")).unwrap();
    assert_eq!(about.permissions().mode() & 0o7777, 0o600);
}

#[test]
fn a_subject_is_kept_to_the_letter_and_a_wrong_one_refused() {
    let bench = Bench::new();
    let name = "a/b + c=d, \\e \"é\" #1";
    bench
        .keys(&["generate", "--out", "mok", "--subject", name, "--algorithm", "ecdsa-p256"])
        .good();
    let words = ["x509", "-in", "mok.crt", "-noout", "-subject", "-nameopt", "utf8,sname"];
    let shown = bench.text("openssl", &words).replace("CN = ", "CN=");
    assert_eq!(shown, format!("subject=CN={name}\n"));
    let long = "a".repeat(65);
    for wrong in [
        &["--subject", ""][..],
        &["--subject", "a\u{1b}[2Jb"],
        &["--subject", &long],
        &["--days", "0"],
        &["--days", "36501"],
        &["--algorithm", "rsa1024"],
        &["--passphrase", "--passphrase-file", "x"],
    ] {
        let ended = bench.keys(&[&["generate", "--out", "other"], wrong].concat());
        ended.three_lines(2);
    }
    bench.keys(&["generate"]).three_lines(2);
    assert_eq!(bench.names().len(), 3);
}

#[test]
fn a_place_where_nothing_can_be_made_is_said() {
    let bench = Bench::new();
    let ended = bench.keys(&["generate", "--out", "nowhere/mok"]);
    assert!(ended.three_lines(1)[1].contains("nowhere/mok"), "{ended:?}");
    // Without openssl.
    fs::create_dir(bench.path("empty")).unwrap();
    let mut command = bench.keys_command(&["generate", "--out", "mok"]);
    let ended = Ended::of(command.env("PATH", bench.path("empty")).output().unwrap());
    let [_, why, fix] = ended.three_lines(1);
    assert!(why.contains("not installed") && fix.contains("install openssl"), "{ended:?}");
    assert_eq!(bench.names(), ["empty"], "and nothing is left behind");
}

#[test]
fn what_a_broken_run_left_is_named() {
    for signal in [Signal::SIGQUIT, Signal::SIGKILL] {
        let bench = Bench::new();
        let begun = bench.path("begun");
        let waits =
            format!("[ \"$1\" != req ] || {{ touch '{}'; exec sleep 60; }}", begun.display());
        let directory = bench.openssl(&format!("{waits}\nexec \"$real\" \"$@\""));
        let words = ["generate", "--out", "mok", "--algorithm", "ecdsa-p256"];
        let mut command = bench.keys_command(&words);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = with_path(&mut command, &directory).spawn().unwrap();
        let since = Instant::now();
        while !begun.exists() {
            assert!(since.elapsed() < Duration::from_secs(20), "openssl was not run");
            std::thread::sleep(Duration::from_millis(10));
        }
        let left = format!(".mok.key.{}.new", child.id());
        assert!(bench.path(&left).join("key").exists(), "the key is there by now");
        kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
        let ended = Ended::of(child.wait_with_output().unwrap());
        if signal == Signal::SIGQUIT {
            assert!(ended.three_lines(1)[1].contains("asked to stop"), "{ended:?}");
            assert_eq!(bench.names(), ["begun", "bin", "calls"], "the key is gone");
            continue;
        }
        let refused = bench.keys(&words);
        let [_, why, fix] = refused.three_lines(4);
        assert!(why.contains(&left) && why.contains("private key"), "{refused:?}");
        assert!(fix.contains("remove it"), "{refused:?}");
        // Of another key it says nothing, nor does any name that only looks alike.
        fs::create_dir(bench.path(".other.key.notes.new")).unwrap();
        bench.keys(&["generate", "--out", "other", "--algorithm", "ecdsa-p256"]).good();
        fs::remove_dir_all(bench.path(&left)).unwrap();
        bench.keys(&words).good();
        let taken = bench.keys(&words);
        assert!(taken.three_lines(4)[2].contains("broken off"), "{taken:?}");
    }
}

#[test]
fn a_full_disk_is_called_one() {
    let bench = Bench::new();
    fs::create_dir(bench.path("small")).unwrap();
    // Room for the profile, for one file more, for two files more.
    let script = format!(
        "for size in 4k 8k 12k; do mount -t tmpfs -o size=$size none small || exit 77
         '{0}' keys generate --out small/mok --algorithm ecdsa-p256; echo $?; ls -A small; done",
        binary("onloadctl").display()
    );
    let output = bench.command("unshare", &["-m", "sh", "-c", &script]).output();
    let Some(output) = output.ok().filter(|output| !matches!(output.status.code(), Some(77 | 1)))
    else {
        return skip("a_full_disk_is_called_one", "nothing can be mounted here");
    };
    let ended = Ended::of(output);
    assert_eq!(ended.out, "1\n1\n1\n", "each of them fails, and nothing is left: {ended:?}");
    assert_eq!(ended.err.matches("error: no key was made").count(), 3, "{ended:?}");
    assert_eq!(ended.err.matches("No space left").count(), 3, "{ended:?}");
    assert_eq!(ended.err.matches("fix: make room").count(), 3, "{ended:?}");
}

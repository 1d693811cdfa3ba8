//! `keys sign`: the same bytes as the kernel's sign-file, and whose signature is touched.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use onload_tests::skip::skip;
use serde_json::Value;

use crate::bench::{Bench, is_unsigned, parts, sign_file};

/// Has openssl check a signed module against a certificate.
fn fits(bench: &Bench, name: &str, certificate: &str) -> bool {
    let module = bench.read(name);
    let (content, signature) = parts(&module);
    fs::write(bench.path("content"), content).unwrap();
    fs::write(bench.path("signature"), signature).unwrap();
    let words = ["cms", "-verify", "-binary", "-inform", "DER", "-in", "signature", "-content"];
    let more = ["content", "-certfile", certificate, "-nointern", "-noverify", "-out", "/dev/null"];
    let output = bench.command("openssl", &[&words[..], &more].concat()).output().unwrap();
    output.status.success()
}

#[test]
fn a_signed_module_is_what_sign_file_makes() {
    let Some(sign_file) = sign_file() else {
        return skip("a_signed_module_is_what_sign_file_makes", "no kernel's sign-file is here");
    };
    for algorithm in ["rsa2048", "rsa4096", "ecdsa-p384"] {
        let bench = Bench::new();
        bench.key("mok", algorithm);
        for digest in ["sha256", "sha384", "sha512"] {
            let unsigned = bench.module("ours.ko");
            fs::write(bench.path("theirs.ko"), &unsigned).unwrap();
            bench.sign("mok", &["--digest", digest, "ours.ko"]).good();
            let words = [digest, "mok.key", "mok.crt", "theirs.ko"];
            bench.tool(sign_file.to_str().unwrap(), &words);
            let (ours, theirs) = (bench.read("ours.ko"), bench.read("theirs.ko"));
            assert_eq!(parts(&ours).0, unsigned);
            assert!(fits(&bench, "ours.ko", "mok.crt"), "{algorithm} {digest}");
            if algorithm.starts_with("rsa") {
                assert!(ours == theirs, "{algorithm} {digest}");
                continue;
            }
            // An ECDSA signature is another one each time: all before it is equal.
            let (ours, theirs) = (parts(&ours).1, parts(&theirs).1);
            let print = |signature: &[u8]| {
                fs::write(bench.path("s"), signature).unwrap();
                let words = ["cms", "-cmsout", "-print", "-noout", "-inform", "DER", "-in", "s"];
                let text = bench.text("openssl", &words);
                text.split_once("signature: ").unwrap().0.to_owned()
            };
            assert_eq!(print(ours), print(theirs));
        }
    }
}

#[test]
fn der_and_pem_name_the_same_certificate_and_kmod_reads_the_signer() {
    let bench = Bench::new();
    bench.key("mok", "rsa2048");
    let files = ["a.ko", "b.ko"].map(|name| (bench.module(name), name).1);
    bench.sign("mok", &[files[0]]).good();
    bench.keys(&["sign", files[1], "--key", "mok.key", "--cert", "mok.der"]).good();
    assert!(bench.read("a.ko") == bench.read("b.ko"));
    if crate::bench::onpath("modinfo").is_none() {
        return skip("kmod_reads_the_signer", "modinfo is not here");
    }
    let said = |field: &str| bench.text("modinfo", &["-F", field, "./a.ko"]).trim().to_owned();
    assert_eq!((said("sig_id"), said("signer")), ("PKCS#7".to_owned(), "mok".to_owned()));
    assert_eq!(said("sig_hashalgo"), "sha256");
}

#[test]
fn what_is_signed_already_is_left_as_it_is() {
    let bench = Bench::new();
    bench.key("mok", "ecdsa-p256");
    let unsigned = bench.module("a.ko");
    assert_eq!(bench.sign("mok", &["a.ko"]).good(), "a.ko: signed\n");
    let before = (bench.read("a.ko"), fs::metadata(bench.path("a.ko")).unwrap());
    let again = bench.sign("mok", &["a.ko"]);
    assert_eq!(again.good(), "a.ko: left as it is: signed by this certificate\n");
    let after = fs::metadata(bench.path("a.ko")).unwrap();
    assert_eq!((before.1.ino(), before.1.mtime_nsec()), (after.ino(), after.mtime_nsec()));
    // Another digest is asked for, or the content is no longer what was signed.
    assert!(bench.sign("mok", &["a.ko", "--digest", "sha512"]).good().contains("taken off: mok"));
    assert_eq!(parts(&bench.read("a.ko")).0, unsigned);
    let mut stale = bench.read("a.ko");
    stale[100] ^= 1;
    fs::write(bench.path("a.ko"), &stale).unwrap();
    assert!(!fits(&bench, "a.ko", "mok.crt"));
    let anew = bench.sign("mok", &["a.ko", "--digest", "sha512"]);
    assert!(anew.good().contains("taken off: mok"), "{anew:?}");
    assert!(fits(&bench, "a.ko", "mok.crt"), "the changed content is signed now");
    assert_eq!(parts(&bench.read("a.ko")).0[100], unsigned[100] ^ 1);
}

#[test]
fn a_signature_of_others_goes_only_by_order() {
    let bench = Bench::new();
    bench.key("vendor", "rsa2048");
    bench.key("mok", "rsa2048");
    let unsigned = bench.module("a.ko");
    bench.sign("vendor", &["a.ko"]).good();
    let signed = bench.read("a.ko");
    let refused = bench.sign("mok", &["a.ko"]);
    let [what, why, fix] = refused.three_lines(4);
    assert_eq!(what, "error: a.ko was not signed");
    assert!(why.contains("vendor (serial ") && fix.contains("--replace"), "{refused:?}");
    assert!(bench.read("a.ko") == signed);
    let replaced = bench.sign("mok", &["a.ko", "--replace"]);
    assert!(replaced.good().contains("taken off: vendor (serial "), "{replaced:?}");
    assert_eq!(parts(&bench.read("a.ko")).0, unsigned);
    assert!(fits(&bench, "a.ko", "mok.crt") && !fits(&bench, "a.ko", "vendor.crt"));

    // As sign-file leaves it when run twice: one behind the other, of which kernels read the last.
    let twice = |first: &str, second: &str| {
        fs::write(bench.path("b.ko"), &unsigned).unwrap();
        bench.sign(first, &["b.ko"]).good();
        let inner = bench.read("b.ko");
        let words = ["cms", "-sign", "-binary", "-noattr", "-nocerts", "-outform", "DER", "-md"];
        let (key, certificate) = (format!("{second}.key"), format!("{second}.crt"));
        let more = ["sha256", "-inkey", &key, "-signer", &certificate, "-in", "b.ko"];
        let signature = bench.tool("openssl", &[&words[..], &more].concat());
        let length = u32::try_from(signature.len()).unwrap().to_be_bytes();
        let mark = b"~Module signature appended~\n";
        let both = [&inner, &signature[..], &[0, 0, 2, 0, 0, 0, 0, 0], &length, mark].concat();
        fs::write(bench.path("b.ko"), both).unwrap();
    };
    twice("vendor", "mok");
    assert!(bench.sign("mok", &["b.ko"]).good().contains("left as it is"));
    twice("mok", "vendor");
    bench.sign("mok", &["b.ko"]).three_lines(4);
    let replaced = bench.sign("mok", &["b.ko", "--replace"]);
    assert!(replaced.good().contains("taken off: vendor (serial"), "{replaced:?}");
    assert_eq!(parts(&bench.read("b.ko")).0, unsigned, "all of them are gone");
}

#[test]
fn a_signature_that_kernels_refuse_is_made_anew() {
    let bench = Bench::new();
    bench.key("mok", "rsa2048");
    let unsigned = bench.module("a.ko");
    bench.sign("mok", &["a.ko"]).good();
    let good = bench.read("a.ko");
    // With signed attributes, and with the certificate along.
    for more in [&["-nocerts"][..], &["-noattr"]] {
        fs::write(bench.path("plain"), &unsigned).unwrap();
        let words = ["cms", "-sign", "-binary", "-outform", "DER", "-md", "sha256", "-in", "plain"];
        let with = ["-inkey", "mok.key", "-signer", "mok.crt"];
        let signature = bench.tool("openssl", &[&words[..], &with, more].concat());
        let length = u32::try_from(signature.len()).unwrap().to_be_bytes();
        let mark = b"~Module signature appended~\n";
        let end = [&signature[..], &[0, 0, 2, 0, 0, 0, 0, 0], &length, mark].concat();
        fs::write(bench.path("a.ko"), [&unsigned[..], &end].concat()).unwrap();
        assert!(fits(&bench, "a.ko", "mok.crt"), "openssl has nothing against it");
        assert!(bench.sign("mok", &["a.ko"]).good().contains("taken off: mok"));
        assert!(bench.read("a.ko") == good);
    }
}

#[test]
fn a_failure_names_the_file_and_the_others_are_signed() {
    let bench = Bench::new();
    bench.key("mok", "ecdsa-p256");
    let (first, _) = (bench.module("a.ko"), bench.module("c.ko"));
    fs::write(bench.path("b.ko"), "no module").unwrap();
    let ended = bench.sign("mok", &["a.ko", "b.ko", "c.ko"]);
    assert!(ended.three_lines(2)[0].contains("b.ko"), "{ended:?}");
    assert_eq!(ended.out, "a.ko: signed\nc.ko: signed\n");
    assert_eq!(parts(&bench.read("a.ko")).0, first);
    let ended = bench.sign("mok", &["--json", "a.ko", "b.ko", "missing.ko"]);
    assert_eq!(ended.code, Some(1), "several reasons: {ended:?}");
    let told: Value = serde_json::from_str(&ended.out).unwrap();
    let outcomes: Vec<_> = told["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes, ["unchanged", "failed", "failed"]);
    assert_eq!(told["files"][2]["error"]["name"], "NotFound");
    assert_eq!(ended.err.lines().count(), 2, "one line of JSON for each: {ended:?}");
    assert_eq!(bench.read("b.ko"), b"no module");
}

#[test]
fn a_key_and_a_certificate_that_do_not_belong_together_change_nothing() {
    let bench = Bench::new();
    for (name, algorithm) in [("mok", "rsa2048"), ("other", "rsa2048"), ("third", "ecdsa-p256")] {
        bench.key(name, algorithm);
    }
    bench.module("a.ko");
    fs::write(bench.path("junk"), "junk").unwrap();
    let cases = [
        ("mok.key", "other.crt", 2, "not the one of the certificate"),
        ("mok.key", "third.crt", 2, "not the one of the certificate"),
        ("mok.key", "junk", 2, "is no certificate"),
        ("mok.key", "missing", 1, "missing cannot be read"),
        ("missing", "mok.crt", 1, "missing cannot be read"),
        ("junk", "mok.crt", 2, "cannot sign with this key"),
        ("mok.crt", "mok.crt", 2, "cannot sign with this key"),
    ];
    for (key, certificate, code, why) in cases {
        let ended = bench.keys(&["sign", "a.ko", "a.ko", "--key", key, "--cert", certificate]);
        assert!(ended.three_lines(code)[1].contains(why), "{key} {certificate}: {ended:?}");
        assert!(is_unsigned(&bench.read("a.ko")));
    }
}

#[test]
fn a_certificate_for_something_else_is_remarked() {
    let bench = Bench::new();
    let words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=web", "-keyout"];
    let more = ["web.key", "-out", "web.crt", "-addext", "extendedKeyUsage=serverAuth"];
    bench.tool("openssl", &[&words[..], &more].concat());
    bench.module("a.ko");
    let ended = bench.sign("web", &["a.ko"]);
    assert_eq!(ended.good(), "a.ko: signed\n");
    assert!(
        ended.err.starts_with("warning: ") && ended.err.contains("not code signing"),
        "{ended:?}"
    );
    bench.key("mok", "ecdsa-p256");
    assert_eq!(bench.sign("mok", &["a.ko", "--replace"]).err, "");
}

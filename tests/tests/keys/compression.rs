//! Compressed modules stay compressed, and kmod and the kernel still read them.

use std::fs;
use std::process::Command;

use onload_tests::skip::skip;

use crate::bench::{Bench, onpath};

#[test]
fn a_compressed_module_is_signed_inside() {
    let cases: [(&str, &str, &str, &[&str]); 3] = [
        ("xz", "+XZ", "a.ko.xz", &["--check=crc32", "--lzma2=dict=1MiB", "-f", "a.ko"]),
        ("zstd", "+ZSTD", "a.ko.zst", &["-T0", "--rm", "-f", "-q", "a.ko"]),
        ("gzip", "+ZLIB", "a.ko.gz", &["-n", "-f", "a.ko"]),
    ];
    for (program, feature, name, words) in cases {
        if onpath(program).is_none() {
            skip("a_compressed_module_is_signed_inside", &format!("{program} is not here"));
            continue;
        }
        let bench = Bench::new();
        bench.key("mok", "rsa2048");
        let unsigned = bench.module("a.ko");
        bench.tool(program, words);
        assert_eq!(bench.sign("mok", &[name]).good(), format!("{name}: signed\n"));
        let packed = bench.read(name);
        // What the kernel's build would have made of the signed module.
        fs::write(bench.path("a.ko"), &unsigned).unwrap();
        bench.sign("mok", &["a.ko"]).good();
        let signed = bench.read("a.ko");
        assert!(bench.tool(program, &["-d", "-c", name]) == signed, "{program}");
        fs::remove_file(bench.path(name)).unwrap();
        bench.tool(program, words);
        assert!(bench.read(name) == packed, "{program}: byte for byte");
        assert!(bench.sign("mok", &[name]).good().contains("left as it is"));
        assert!(bench.read(name) == packed);
        if kmod_reads(feature) {
            let signer = bench.text("modinfo", &["-F", "signer", &format!("./{name}")]);
            assert_eq!(signer.trim(), "mok", "{program}");
        }
        // Cut short.
        fs::write(bench.path(name), &packed[..packed.len() / 2]).unwrap();
        let ended = bench.sign("mok", &[name]);
        assert!(ended.three_lines(1)[1].contains(program), "{ended:?}");
        assert!(bench.read(name) == packed[..packed.len() / 2]);
        let expected = [name, "mok.crt", "mok.der", "mok.key"].map(str::to_owned);
        assert!(expected.iter().all(|one| bench.names().contains(one)), "{:?}", bench.names());
        assert_eq!(bench.names().len(), expected.len(), "nothing is left behind");
    }
}

/// Whether the kmod of this system was built to read such files.
fn kmod_reads(feature: &str) -> bool {
    let asked = Command::new("kmod").arg("--version").output();
    asked.is_ok_and(|said| String::from_utf8_lossy(&said.stdout).contains(feature))
}

#[test]
fn a_compressor_that_is_missing_is_named() {
    let bench = Bench::new();
    bench.key("mok", "ecdsa-p256");
    fs::write(bench.path("a.ko.xz"), b"\xfd7zXZ\0 and more").unwrap();
    // openssl alone.
    let place = bench.openssl("exec \"$real\" \"$@\"");
    let mut command =
        bench.keys_command(&["sign", "a.ko.xz", "--key", "mok.key", "--cert", "mok.crt"]);
    std::os::unix::fs::symlink(onpath("env").unwrap(), place.join("env")).unwrap();
    let ended = crate::bench::Ended::of(command.env("PATH", &place).output().unwrap());
    let [_, why, fix] = ended.three_lines(1);
    assert!(why.ends_with("xz is not installed") && fix.ends_with("install it"), "{ended:?}");
}

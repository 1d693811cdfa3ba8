//! What cannot be right is refused before anything is printed: why, and what to do.

use std::fs;

use crate::{IMAGE, certificate, input, render};

#[test]
fn each_wrong_word_is_refused_with_the_fix() {
    let place = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = place.path().join(name);
        fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let (site, names, cert, hash) =
        (input("50-site.toml"), input("20-names.toml"), certificate(), input("hash"));
    let wrong_key = file("wrong.toml", b"[modules]\n\nrelaese = \"host\"\n");
    let keys = file("keys.toml", b"[secure-boot]\ncertificates = [\"/etc/x.der\"]\n");
    let two = file(
        "two.toml",
        b"[modules]\nrelease = \"9.1.0\"\n[[modules.kernels]]\nregexp = \"el10\"\nrelease = \"9.2.0\"\n",
    );
    let number = file(
        "number.toml",
        b"[naming]\npolicy = \"explicit\"\n[[naming.ports]]\nport-number = 0\nname = \"fast0\"\n",
    );
    let observe = file("observe.toml", b"[ptp]\nmode = \"observe\"\n");
    let sfptpd = file("wrong.cfg", b"[general]\nsync_module ptp ptp1\n[ptp1]\nptp_mode wrong\n");
    let text = file("config.txt", b"[modules]\n");
    let latin = file("latin.toml", b"# gr\xfc\xdfe\n");
    let blacklist = file("sfc.conf", b"blacklist sfc\n");
    let unit = file("site.service", b"[Service]\nExecStart=/usr/bin/true\n");
    let long = file(&format!("{}.service", "u".repeat(240)), b"[Install]\nWantedBy=x.target\n");
    let archive = file("onload.tar.gz", b"\x1f\x8b");
    let nothing = place.path().join("nothing");
    fs::create_dir(&nothing).unwrap();
    let nothing = nothing.display().to_string();
    let large = file("large", &vec![0; 5 * 1024 * 1024]);
    let large = format!("/usr/local/sbin/onloadd={large}:0755");
    let too_long = format!("{}.service", "u".repeat(248));
    let cases: &[(&[&str], &str, &str)] = &[
        (&["--role=Worker"], "Worker is no name of a pool", "lower-case"),
        (&["--name=99_worker"], "99_worker is no name", "--name"),
        (&["--ignition=2.2.0"], "Ignition 2.2.0 is not known", "3.4.0"),
        (&["--butane", "--ignition=3.3.0"], "Butane", "--ignition 3.2.0"),
        (&["--butane", "--os-image=r.example/x:1"], "no word for the OS image", "--butane"),
        // Before anybody is asked for a password: with a certificate as well.
        (&["--butane", "--os-image=r.example/x:1", "--cert", &cert], "no word for", "--butane"),
        (&["--os-image=x y/z"], "no reference to an image", "registry"),
        (&["--os-image=r.example/x@sha256:0011"], "64 hexadecimal digits", "digest"),
        (&["--os-image=rhcos-onload:1"], "names no registry", "registry.example"),
        (&["--config", &wrong_key], "wrong.toml:3: ", "mend the configuration"),
        (&["--config", &text], "end in .toml", "50-site.toml"),
        (&["--config", &latin], "not UTF-8", "plain text"),
        (&["--config", &site, "--config", &site], "two files are for", "leave it out"),
        (&["--config=/nonexistent/50-x.toml"], "cannot be read", "path"),
        (&["--naming", &site], "names no port", "[[naming.ports]]"),
        (&["--naming", &number], "only the machine tells", "by `mac` or `pci`"),
        (&["--clock", &sfptpd], "wrong.cfg, line 4", ""),
        (&["--clock", &input("sfptpd.cfg"), "--config", &observe], "left alone", "manage"),
        (&["--modprobe", &blacklist], "keeps every sfc out", "leave it out"),
        (&["--modprobe", &site], "end in .conf", "50-site.conf"),
        (&["--cert", &site, "--password-hash", &hash], "no certificate", "X.509"),
        (&["--cert", &cert, "--password-hash", &site], "no hash", ""),
        (&["--cert", &cert], "no terminal", "--generate-password"),
        (&["--cert", &cert, "--cert", &cert], "there twice", "once"),
        (&["--cert", &cert, "--config", &keys], "secure-boot.certificates", "--cert"),
        (&["--file=/etc/x"], "which file is for which path", "PATH=FILE"),
        (&["--file", &format!("/etc/x={site}:493")], "493 is no mode", "octal"),
        (&["--file", &format!("/etc/x={site}:4755")], "set-uid", "OS image"),
        (&["--file", &format!("/usr/sbin/x={site}")], "the OS image's", "choose a place"),
        (&["--file", &format!("/etc/../x={site}")], "no path of a file", "without . and .."),
        (&["--file", &large], "longer than any MachineConfig", "path"),
        (&["--unit", &unit], "no [Install]", "WantedBy"),
        (&["--unit", &unit, "--unit", &unit], "no [Install]", ""),
        (&["--unit", &long, "--unit", &long], "there twice", "leave it out"),
        (&["--disable-unit", &too_long], "256 bytes", "shorten"),
        (&["--disable-unit=chronyd"], "no name of a unit", ".service"),
        (&["--kernel-argument=a b"], "not one word", "--kernel-argument"),
        (&["--kernel-argument=a", "--kernel-argument=a"], "given twice", "once"),
        (&["--deliver=pull"], "none is named", "--release IMAGE"),
        (&["--deliver=pull", "--release", &nothing], "none is named", "--release IMAGE"),
        (&["--deliver=pull", "--release", IMAGE, "--os-image=r.example/x:1"], "layered", "one of"),
        (&["--release", IMAGE], "asks for no release", "[[modules.kernels]]"),
        (&["--release=nothing", "--config", &site], "no directory nothing", "registry.example"),
        (&["--release", &archive, "--config", &site], "is a file", "--release DIR"),
        (&["--deliver=pull", "--release=build/onload.tar.gz"], "names no registry", "directory"),
        (&["--release", &nothing, "--config", &site], "has no files", "--release IMAGE"),
        (&["--release", IMAGE, "--config", &two], "9.1.0, 9.2.0", "--release-name 9.1.0"),
        (
            &["--release", IMAGE, "--config", &site, "--release-name=9.3.0"],
            "asks for release 9.3.0",
            "9.3.0",
        ),
        (&["--output=/nonexistent/x/mc.yaml"], "cannot be written", "--output"),
        (&["--password-hash", &names], "--cert", ""),
    ];
    for (words, why, fix) in cases {
        let ran = render(words);
        let what = format!("{words:?}: {ran:?}");
        assert!(matches!(ran.code, Some(1..=4)), "{what}");
        assert_eq!(ran.out, "", "{what}");
        let line = |mark: &str| {
            let mut lines = ran.err.lines().filter(|line| line.trim_start().starts_with(mark));
            lines.next().unwrap_or_else(|| panic!("no {mark}: {what}")).to_owned()
        };
        line("error:");
        assert!(line("why:").contains(why), "{why}: {what}");
        assert!(line("fix:").contains(fix), "{fix}: {what}");
    }
}

#[test]
fn what_no_request_of_etcd_takes_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let program = place.path().join("program");
    // Letters of no pattern, which cannot be compressed.
    let mut state = 1_u64;
    let bytes = (0..3 * 1024 * 1024).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    });
    fs::write(&program, bytes.collect::<Vec<u8>>()).unwrap();
    let file = format!("/usr/local/sbin/onloadd={}:0755", program.display());
    let cert = certificate();
    // With a key, too, before there is a password: without a terminal nobody could be asked for one.
    for words in [&["--file", &file][..], &["--file", &file, "--cert", &cert]] {
        let ran = render(words);
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{ran:?}");
        assert!(ran.err.contains("etcd") && ran.err.contains("3145728 bytes"), "{ran:?}");
        assert!(ran.err.contains("--release IMAGE"), "{ran:?}");
    }
}

#[test]
fn programs_are_told_in_their_own_form() {
    let ran = render(&["--butane", "--json"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{ran:?}");
    let said: serde_json::Value = serde_json::from_str(&ran.err).unwrap();
    assert_eq!(said["error"]["why"], "Butane is YAML, and JSON is asked for as well");
    assert_eq!(said["error"]["fix"], "leave out --json");
}

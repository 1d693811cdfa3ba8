//! `keys show`: it says what openssl says, of files that other tools made and of new ones.

use std::collections::BTreeMap;
use std::fs;

use onload_tests::skip::skip;
use serde_json::{Value, json};

use crate::bench::{Bench, Ended, onpath, parts};

/// Files that other tools made, and what those say of them (its `README.md`).
const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/secure-boot");

fn fixture(name: &str) -> Vec<u8> {
    fs::read(format!("{FIXTURES}/{name}")).unwrap()
}

/// What JSON says of files.
fn shown(bench: &Bench, names: &[&str]) -> (Vec<Value>, Ended) {
    let ended = bench.keys(&[&["--json", "show"], names].concat());
    let Value::Array(files) = serde_json::from_str::<Value>(&ended.out).unwrap()["files"].take()
    else {
        panic!("{ended:?}")
    };
    (files, ended)
}

fn one(bench: &Bench, name: &str) -> Value {
    let (mut files, ended) = shown(bench, &[name]);
    assert_eq!((ended.code, files.len()), (Some(0), 1), "{ended:?}");
    files.remove(0)
}

/// A line of a page: what stands behind the label.
fn line<'a>(page: &'a str, label: &str) -> &'a str {
    let found = page.lines().find_map(|line| line.trim().strip_prefix(label));
    found.unwrap_or_else(|| panic!("{label}: {page}")).trim()
}

/// A label of openssl's text: the line below it.
fn below(text: &str, label: &str) -> Option<String> {
    let (_, rest) = text.split_once(label)?;
    Some(rest.lines().nth(1).unwrap().trim().to_owned())
}

fn joined(value: &Value) -> Option<String> {
    let words = value.as_array()?.iter().map(|one| one.as_str().unwrap());
    Some(words.collect::<Vec<_>>().join(", "))
}

#[test]
fn certificates_that_openssl_made_say_the_same() {
    let bench = Bench::new();
    for name in ["module", "authority", "leaf", "old"] {
        let path = format!("{FIXTURES}/{name}.der");
        let text = String::from_utf8(fixture(&format!("{name}.txt"))).unwrap();
        let said: BTreeMap<_, _> = text.lines().filter_map(|line| line.split_once('=')).collect();
        let page = bench.keys(&["show", &path]);
        let page = page.good();
        assert!(page.starts_with(&format!("{path}: certificate, DER\n")), "{page}");
        for (label, value) in [("subject", "subject"), ("issuer", "issuer")] {
            assert_eq!(line(page, label), said[value]);
        }
        assert_eq!(line(page, "serial").to_uppercase(), said["serial"]);
        assert_eq!(line(page, "valid"), format!("{} to {}", said["notBefore"], said["notAfter"]));
        assert_eq!(line(page, "SHA-256"), said["sha256 Fingerprint"]);
        let certificate = &one(&bench, &path)["certificate"];
        assert_eq!(certificate["to_be_signed"], said["tbs-sha256"]);
        // As the kernel names the key: behind the names, in front of its kind.
        let kernel = said["kernel"].rsplit(": ").nth(1).unwrap();
        let listed = certificate["key_id"].as_str().or(certificate["serial"].as_str());
        assert_eq!(listed, Some(kernel));
        for (key, date) in [("not_before", "notBefore"), ("not_after", "notAfter")] {
            let seconds = bench.text("date", &["-u", "-d", said[date], "+%s000"]);
            assert_eq!(certificate[key].to_string(), seconds.trim());
        }
    }
}

#[test]
fn a_certificate_is_fit_for_modules_or_it_is_said_why_not() {
    let bench = Bench::new();
    let fit = |name: &str| {
        let page = bench.keys(&["show", &format!("{FIXTURES}/{name}.der")]);
        line(page.good(), "for modules").to_owned()
    };
    assert_eq!((fit("module"), fit("leaf")), ("fit".into(), "fit".into()));
    let authority = "it names no extended key usage; its key usage is not digital signature";
    assert_eq!(fit("authority"), format!("not fit for every kernel: {authority}"));
    let old = "it names no extended key usage; it is signed over sha1, which is too weak";
    assert_eq!(fit("old"), format!("not fit for every kernel: {old}"));
    let words =
        ["req", "-x509", "-newkey", "rsa:1024", "-nodes", "-keyout", "k", "-out", "web.pem"];
    let more = ["-subj", "/CN=web", "-addext", "extendedKeyUsage=serverAuth"];
    bench.tool("openssl", &[&words[..], &more].concat());
    let web = &one(&bench, "web.pem")["certificate"];
    let why =
        ["its extended key usage is not code signing", "its key has 1024 bits, not 2048 to 4096"];
    assert_eq!((&web["fit"], &web["misfits"]), (&json!(false), &json!(why)));
}

#[test]
fn new_certificates_say_what_openssl_says() {
    let bench = Bench::new();
    for algorithm in ["rsa3072", "ecdsa-p256", "ecdsa-p384"] {
        bench.key(algorithm, algorithm);
    }
    let usages = "keyUsage=digitalSignature,nonRepudiation,keyEncipherment,dataEncipherment,\
        keyAgreement,keyCertSign,cRLSign,encipherOnly,decipherOnly";
    let purposes = "extendedKeyUsage=serverAuth,clientAuth,codeSigning,emailProtection,\
        timeStamping,OCSPSigning,anyExtendedKeyUsage,1.2.3.4";
    let words = ["req", "-x509", "-newkey", "ed25519", "-nodes", "-keyout", "k", "-out", "all.crt"];
    let more = ["-subj", "/C=DE/O=A, B/CN=all", "-addext", usages, "-addext", purposes];
    bench.tool("openssl", &[&words[..], &more].concat());
    for name in ["rsa3072", "ecdsa-p256", "ecdsa-p384", "all"] {
        let name = format!("{name}.crt");
        let mut shown = one(&bench, &name)["certificate"].take();
        let text = bench.text("openssl", &["x509", "-in", &name, "-noout", "-text"]);
        for (key, label) in
            [("usages", "X509v3 Key Usage:"), ("purposes", "X509v3 Extended Key Usage:")]
        {
            let sorted = |text: Option<String>| {
                let mut words: Vec<_> = text.iter().flat_map(|text| text.split(", ")).collect();
                words.sort_unstable();
                words.join(", ")
            };
            assert_eq!(sorted(joined(&shown[key])), sorted(below(&text, label)), "{name}: {text}");
        }
        let id = below(&text, "X509v3 Subject Key Identifier:").unwrap();
        assert_eq!(shown["key_id"], id.replace(':', "").to_lowercase());
        let authority = below(&text, "X509v3 Basic Constraints:").unwrap();
        assert_eq!(shown["authority"], authority.starts_with("CA:TRUE"));
        if let Some(bits) = shown["key_bits"].as_u64() {
            assert!(text.contains(&format!("Public-Key: ({bits} bit)")), "{text}");
        }
        let form = "RFC2253,sep_comma_plus_space,-esc_msb,utf8";
        let facts = ["-fingerprint", "-sha256", "-serial", "-subject", "-nameopt", form];
        let facts =
            bench.text("openssl", &[&["x509", "-in", &name, "-noout"], &facts[..]].concat());
        let serial = shown["serial"].as_str().unwrap().to_uppercase();
        assert!(facts.contains(&format!("serial={serial}\n")), "{facts}{shown}");
        for key in ["fingerprint", "subject"] {
            assert!(
                facts.contains(&format!("={}\n", shown[key].as_str().unwrap())),
                "{facts}{shown}"
            );
        }
        // The other form says the same.
        bench.tool("openssl", &["x509", "-in", &name, "-outform", "DER", "-out", "other.der"]);
        assert_eq!(shown["encoding"], "PEM");
        shown["encoding"] = "DER".into();
        assert_eq!(one(&bench, "other.der")["certificate"], shown);
    }
    let all = &one(&bench, "all.crt")["certificate"];
    let why = ["kernels know no keys such as its own (Ed25519)"];
    assert_eq!((&all["key"], &all["misfits"]), (&json!("Ed25519"), &json!(why)));
}

#[test]
fn modules_that_others_signed_say_the_same() {
    let bench = Bench::new();
    let signed_bytes = fixture("plain.ko").len();
    for (name, algorithm) in
        [("rsa", "RSA"), ("ec", "ECDSA with sha384"), ("keyid", "RSA"), ("attributes", "RSA")]
    {
        let said = String::from_utf8(fixture(&format!("{name}.txt"))).unwrap();
        let page = one(&bench, &format!("{FIXTURES}/{name}.ko"));
        assert_eq!((&page["kind"], &page["compression"]), (&json!("module"), &Value::Null));
        let [signature] = page["signatures"].as_array().unwrap().as_slice() else {
            panic!("{page}")
        };
        let [signer] = signature["signers"].as_array().unwrap().as_slice() else {
            panic!("{page}")
        };
        assert_eq!(
            (&signature["counts"], &signature["signed_bytes"]),
            (&json!(true), &json!(signed_bytes))
        );
        match signer["issuer"].as_str() {
            Some(issuer) => {
                assert_eq!(issuer, line(&said, "issuer:"));
                let number = line(&said, "serialNumber:").trim_start_matches("0x").to_lowercase();
                assert_eq!(signer["serial"].as_str().unwrap().trim_start_matches('0'), number);
            }
            None => assert_eq!(signer["key_id"], "00db8f9764079f09e151b30d08242a5f5b1c7360"),
        }
        let digest = signer["digest"].as_str().unwrap();
        assert!(said.contains(&format!("algorithm: {digest} (")), "{said}");
        assert_eq!(signer["algorithm"], algorithm);
        let bare = said.contains("signedAttrs:\n          <ABSENT>");
        assert_eq!(signer["signed_attributes"], !bare, "{name}");
        let refused = ["kernels before 2026 refuse signed attributes"];
        let misfits = if bare { json!([]) } else { json!(refused) };
        assert_eq!(signature["misfits"], misfits);
    }
    let twice = bench.keys(&["show", &format!("{FIXTURES}/twice.ko")]);
    let (last, first) = twice.good().split_once("below it, where kernels do not look:").unwrap();
    assert_eq!((line(last, "digest"), line(first, "digest")), ("sha512", "sha384"));
    assert!(
        line(last, "issuer").contains("first key") && line(first, "issuer").contains("Authority")
    );
    assert_eq!(line(first, "signed"), format!("the first {signed_bytes} bytes"));
}

#[test]
fn a_new_module_is_shown_compressed_as_it_is_not() {
    let bench = Bench::new();
    bench.key("mok", "rsa2048");
    let unsigned = bench.module("a.ko");
    let page = bench.keys(&["show", "a.ko"]);
    assert_eq!(page.good(), "a.ko: module, not signed\n");
    bench.sign("mok", &["a.ko", "--digest", "sha384"]).good();
    let plain = one(&bench, "a.ko");
    let certificate = &one(&bench, "mok.crt")["certificate"];
    let signer = &plain["signatures"][0]["signers"][0];
    assert_eq!(
        (&signer["issuer"], &signer["serial"]),
        (&certificate["subject"], &certificate["serial"])
    );
    assert_eq!((&signer["digest"], &signer["signature_bytes"]), (&json!("sha384"), &json!(256)));
    assert_eq!(plain["signatures"][0]["signed_bytes"], unsigned.len());
    for (program, end) in [("xz", "xz"), ("zstd", "zst"), ("gzip", "gz")] {
        if onpath(program).is_none() {
            skip(
                "a_new_module_is_shown_compressed_as_it_is_not",
                &format!("{program} is not here"),
            );
            continue;
        }
        let name = format!("a.ko.{end}");
        bench.tool(program, &["-k", "-q", "a.ko"]);
        let packed = one(&bench, &name);
        assert_eq!(packed["compression"], program);
        assert_eq!(packed["signatures"], plain["signatures"]);
        let page = bench.keys(&["show", &name]);
        assert!(page.good().starts_with(&format!("{name}: module, {program}, signed (PKCS#7)\n")));
        let half = bench.read(&name);
        fs::write(bench.path(&name), &half[..half.len() / 2]).unwrap();
        let [_, why, _] = bench.keys(&["show", &name]).three_lines(1).map(str::to_owned);
        assert!(why.contains(&format!("{program} fails: ")), "{why}");
    }
    if onpath("modinfo").is_some() {
        let key = bench.text("modinfo", &["-F", "sig_key", "./a.ko"]).replace(':', "");
        assert_eq!(signer["serial"].as_str().unwrap().to_uppercase(), key.trim());
    }
}

#[test]
fn lists_are_shown_as_files_and_as_variables() {
    let bench = Bench::new();
    let of_fixture = |name: &str| one(&bench, &format!("{FIXTURES}/{name}"));
    let db = of_fixture("db.esl");
    assert_eq!((&db["kind"], &db["variable"]), (&json!("signature-list"), &Value::Null));
    let module = &of_fixture("module.der")["certificate"];
    assert_eq!(&db["lists"][0]["entries"][0]["certificate"], module);
    assert_eq!(db["lists"][1]["entries"][0]["owner"], "77fa9abd-0359-4d32-bd60-28f4e78f784b");
    // As efivarfs shows it: behind its attributes.
    let name = "MokNew-605dab50-e046-4300-abb6-3dd810dd8b23";
    fs::write(bench.path(name), [&[7, 0, 0, 0], fixture("db.esl").as_slice()].concat()).unwrap();
    let request = one(&bench, name);
    assert_eq!(request["lists"], db["lists"]);
    let attributes = ["non-volatile", "boot-service", "run-time"];
    let vendor = "605dab50-e046-4300-abb6-3dd810dd8b23";
    let variable = json!({"name": "MokNew", "vendor": vendor, "attributes": attributes});
    assert_eq!(request["variable"], variable);
    let page = bench.keys(&["show", name]);
    let head = "variable MokNew (non-volatile, boot-service, run-time) with EFI signature lists";
    assert!(page.good().starts_with(&format!("{name}: {head}, 2 entries\n")), "{page:?}");
    assert!(page.good().contains("owner          605dab50-e046-4300-abb6-3dd810dd8b23 (shim)\n"));
    // As a copy that lost its name, and one that is empty.
    fs::rename(bench.path(name), bench.path("copy")).unwrap();
    assert_eq!(one(&bench, "copy")["lists"], db["lists"]);
    fs::write(bench.path(name), [6, 0, 0, 0]).unwrap();
    assert!(
        bench
            .keys(&["show", name])
            .good()
            .ends_with("(boot-service, run-time) with EFI signature lists, no entries\n")
    );

    let dbx = of_fixture("dbx.esl");
    let types = dbx["lists"].as_array().unwrap().iter().map(|list| list["type"].as_str().unwrap());
    let types: Vec<_> = types.collect();
    let hashes = ["SHA256", "X509_SHA256", "X509_SHA384", "X509_SHA512", "SHA1", "SHA224"];
    assert_eq!(types[..6], hashes);
    assert_eq!(types[6..], ["SHA384", "SHA512", "RSA2048", "12345678-9abc-def0-1234-56789abcdef0"]);
    // The module's certificate, revoked by its hash.
    let revoked = &dbx["lists"][1]["entries"][0];
    assert_eq!(revoked["hash"], module["to_be_signed"]);
    assert_eq!(revoked["revoked_since"], 1_770_091_506_000_i64, "2026-02-03 04:05:06Z");
    let page = bench.keys(&["show", &format!("{FIXTURES}/dbx.esl")]);
    assert!(page.good().contains("revoked since  2026-02-03 04:05:06Z\n"), "{page:?}");
}

#[test]
fn an_entry_that_does_not_read_is_told_with_its_place() {
    let bench = Bench::new();
    let mut list = fixture("db.esl");
    // The certificate of the first entry begins behind the list's head and the owner.
    list[44] = 0x31;
    fs::write(bench.path("db"), [&[7, 0, 0, 0], list.as_slice()].concat()).unwrap();
    let shown = one(&bench, "db");
    let entries = [0, 1].map(|at| &shown["lists"][at]["entries"][0]);
    let why = "byte 48: expected a certificate";
    assert_eq!(entries[0]["unreadable"], json!({ "certificate": why }));
    assert_eq!(
        (&entries[0]["certificate"], &entries[1]["certificate"]["fit"]),
        (&Value::Null, &json!(false))
    );
    let page = bench.keys(&["show", "db"]);
    assert!(line(page.good(), "but").ends_with(why), "{page:?}");
}

#[test]
fn bad_input_is_refused_with_the_byte() {
    let bench = Bench::new();
    bench.key("mok", "ecdsa-p256");
    let (rsa, list, module) = (fixture("rsa.ko"), fixture("db.esl"), fixture("module.der"));
    let pem = fixture("module.pem");
    let plain = fixture("plain.ko").len();
    let (_, signature) = parts(&rsa);
    let trailer = plain + signature.len();
    let with = |bytes: &[u8], at: usize, byte: u8| {
        let mut bytes = bytes.to_vec();
        bytes[at] = byte;
        bytes
    };
    let line_end = pem.iter().position(|byte| *byte == b'\n').unwrap();
    let cases: [(&str, Vec<u8>, usize, &str); 13] = [
        ("nothing", Vec::new(), 0, "a module"),
        ("text", b"some text".to_vec(), 0, "a module"),
        ("a private key", bench.read("mok.key"), 0, "a module"),
        ("no object file", fixture("plain.ko"), 16, "ET_REL"),
        ("no PKCS#7", with(&rsa, plain, 0x31), plain, "a PKCS#7 signature"),
        ("another kind", with(&rsa, trailer + 2, 1), trailer + 2, "kind 2"),
        ("too long", with(&rsa, trailer + 8, 1), trailer + 8, "the length"),
        ("half a certificate", module[..400].to_vec(), 4, "as many bytes"),
        ("more than one", [&module[..], &module].concat(), module.len(), "the end"),
        ("no base64", with(&pem, line_end + 5, b'*'), line_end + 5, "base64"),
        ("half a list", list[..500].to_vec(), 16, "the size of a list"),
        ("half a variable", [&[7, 0, 0, 0], &list[..500]].concat(), 20, "the size of a list"),
        ("half a head", list[..20].to_vec(), 20, "a size of 4 bytes"),
    ];
    for (why, bytes, offset, expected) in cases {
        fs::write(bench.path("bad"), &bytes).unwrap();
        let ended = bench.keys(&["show", "bad"]);
        let [what, reason, _] = ended.three_lines(2);
        assert_eq!((what, &*ended.out), ("error: bad cannot be shown", ""), "{why}");
        assert!(reason.contains(&format!(": byte {offset}: ")), "{why}: {reason}");
        assert!(reason.contains(expected), "{why}: {reason}");
    }
    // What is wrong in one does not hide the others.
    let (files, ended) = shown(&bench, &["bad", "mok.crt", "nowhere", "."]);
    assert_eq!((ended.code, files.len()), (Some(1), 4), "{ended:?}");
    let names = files.iter().map(|file| file["error"]["name"].as_str()).collect::<Vec<_>>();
    let expected = [Some("InvalidArgument"), None, Some("NotFound"), Some("InvalidArgument")];
    assert_eq!(names, expected);
    assert_eq!((&files[0]["kind"], &files[1]["kind"]), (&Value::Null, &json!("certificate")));
}

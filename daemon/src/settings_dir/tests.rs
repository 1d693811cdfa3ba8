//! Which file wins, what is masked, and what a link may lead to.

use std::fs;
use std::os::unix::fs::symlink;

use super::*;

/// Path and content; a content `-> target` is a link.
type Files<'a> = &'a [(&'a str, &'a str)];

fn tree(files: Files<'_>) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match text.strip_prefix("-> ") {
            Some(target) => symlink(target, path).unwrap(),
            None => fs::write(path, text).unwrap(),
        }
    }
    root
}

fn slots(files: Files<'_>) -> Result<Option<u32>, ConfigError> {
    let root = tree(files);
    let sources = Sources { root: Some(root.path().to_owned()), ..Sources::default() };
    let config = sources.load()?;
    Ok(config.settings.pools.values().next().map(|pool| pool.slots))
}

#[test]
fn files_mask_by_name_and_the_rest_merges_in_name_order() {
    let vendor = ("usr/lib/onloadd/onloadd.toml", "[pools.onload]\nslots = 1\n");
    let cases: [(&str, Files<'_>, Option<u32>); 6] = [
        ("nothing there", &[], None),
        ("vendor alone", &[vendor], Some(1)),
        (
            "the administrator's file masks it whole",
            &[vendor, ("etc/onloadd/onloadd.toml", "")],
            None,
        ),
        (
            "a link to /dev/null masks it",
            &[vendor, ("run/onloadd/onloadd.toml", "-> /dev/null")],
            None,
        ),
        (
            "drop-ins win by name, not by directory",
            &[
                vendor,
                ("etc/onloadd/onloadd.toml.d/10-a.toml", "[pools.onload]\nslots = 2\n"),
                ("usr/lib/onloadd/onloadd.toml.d/20-b.toml", "[pools.onload]\nslots = 3\n"),
            ],
            Some(3),
        ),
        (
            "a drop-in masks the one of the same name",
            &[
                ("usr/lib/onloadd/onloadd.toml.d/a.toml", "[pools.onload]\nslots = 2\n"),
                ("etc/onloadd/onloadd.toml.d/a.toml", "-> /dev/null"),
            ],
            None,
        ),
    ];
    for (why, files, expected) in cases {
        assert_eq!(slots(files).unwrap(), expected, "{why}");
    }
}

#[test]
fn what_is_named_by_path_is_read_with_the_configuration() {
    let pools = "[pools.onload]\nprofile = \"latency\"\n[pools.a]\nprofile = \"/srv/a.opf\"\n\
        [pools.b]\nprofile = \"/srv/b.opf\"\n[pools.c]\nprofile = \"/srv\"\n\
        [secure-boot]\ncertificates = [\"/srv/key.der\", \"/srv/none\"]\n";
    let root = tree(&[
        ("etc/onloadd/onloadd.toml", pools),
        ("srv/a.opf", "onload_set A 1\n"),
        ("srv/key.der", "a key"),
    ]);
    let sources = Sources { root: Some(root.path().to_owned()), ..Sources::default() };
    let files = sources.load().unwrap().files;
    let named: Vec<_> = files.keys().collect();
    assert_eq!(named, ["/srv", "/srv/a.opf", "/srv/key.der"]);
    assert_eq!(files["/srv/a.opf"], Ok(b"onload_set A 1\n".to_vec()));
    assert_eq!(files["/srv/key.der"], Ok(b"a key".to_vec()));
    assert!(files["/srv"].is_err());
}

#[test]
fn links_of_anothers_root_lead_nowhere_else() {
    let outside = tree(&[
        ("etc/onloadd/onloadd.toml", "[pools.onload]\nslots = 7\n"),
        ("named.opf", "onload_set OUTSIDE 1\n"),
    ]);
    // As many steps up as there may be: the root is the end of them.
    for up in [String::new(), "../".repeat(64)] {
        let link = |path: &str| format!("-> {up}{}", outside.path().join(path).display());
        for (at, target) in [
            ("etc", "etc"),
            ("etc/onloadd", "etc/onloadd"),
            ("etc/onloadd/onloadd.toml", "etc/onloadd/onloadd.toml"),
            ("etc/onloadd/onloadd.toml.d/a.toml", "etc/onloadd/onloadd.toml"),
        ] {
            // A link that leads to nothing here is a fault, or nothing is there: never seven slots.
            let read = slots(&[(at, &link(target))]);
            assert!(!matches!(read, Ok(Some(_))), "{at}: {read:?}");
        }
        let pools =
            "[pools.a]\nprofile = \"/srv/a.opf\"\n[pools.b]\nprofile = \"/away/named.opf\"\n";
        let root = tree(&[
            ("etc/onloadd/onloadd.toml", pools),
            ("srv/a.opf", &link("named.opf")),
            ("away", &link("")),
        ]);
        let sources = Sources { root: Some(root.path().to_owned()), ..Sources::default() };
        let files = sources.load().unwrap().files;
        assert!(files.values().all(Result::is_err), "{files:?}");
    }
    // What stays inside is followed, as on the machine itself.
    let inside = [
        ("etc/onloadd/onloadd.toml", "-> /srv/a.toml"),
        ("srv/a.toml", "[pools.onload]\nslots = 3\n"),
    ];
    assert_eq!(slots(&inside).unwrap(), Some(3));
}

#[test]
fn the_hash_of_a_password_is_for_its_owner_alone() {
    let wish = "[[secure-boot.requests]]\ncertificate = \"/k.der\"\npassword-hash = \"/k.hash\"\n";
    let root =
        tree(&[("etc/onloadd/onloadd.toml", wish), ("k.der", "a key"), ("k.hash", "$6$salt$hash")]);
    let mode = |mode| {
        let path = root.path().join("k.hash");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let mut sources = Sources { root: Some(root.path().to_owned()), ..Sources::default() };
    mode(0o640);
    let why = sources.load().unwrap().files["/k.hash"].clone().unwrap_err();
    assert!(why.contains("chmod 600"), "{why}");
    mode(0o600);
    let config = sources.load().unwrap();
    assert_eq!(config.files["/k.hash"], Ok(b"$6$salt$hash".to_vec()));
    assert!(!format!("{config:?}").contains("36, 54, 36"), "nor is it printed");
    sources.secrets = Secrets::Left;
    assert!(!sources.load().unwrap().files.contains_key("/k.hash"));
}

#[test]
fn a_file_that_is_there_and_cannot_be_read_is_an_error() {
    for target in ["-> nowhere", "-> onloadd.toml"] {
        let error = slots(&[("etc/onloadd/onloadd.toml", target)]).unwrap_err();
        assert!(error.file.ends_with("etc/onloadd/onloadd.toml"), "{error}");
    }
}

#[test]
fn what_cannot_be_looked_into_is_not_taken_for_nothing() {
    let root = tree(&[("etc/onloadd/onloadd.toml.d/nothing.txt", "")]);
    let looped = root.path().join("usr/lib");
    fs::create_dir_all(&looped).unwrap();
    symlink("onloadd", looped.join("onloadd")).unwrap();
    let sources = Sources { root: Some(root.path().to_owned()), ..Sources::default() };
    let error = sources.load().unwrap_err();
    assert!(error.file.contains("usr/lib/onloadd"), "{error}");
}

#[test]
fn the_runtime_directory_stands_between_vendor_and_administrator() {
    let root = tree(&[
        ("usr/lib/onloadd/onloadd.toml", "[pools.onload]\nslots = 1\n"),
        ("run/onloadd/onloadd.toml", "[pools.onload]\nslots = 2\n"),
        ("elsewhere/onloadd.toml", "[pools.onload]\nslots = 3\n"),
    ]);
    // As anywhere on this machine, a link leads where it says.
    let link = root.path().join("elsewhere/onloadd.toml.d/50-try.toml");
    fs::create_dir(link.parent().unwrap()).unwrap();
    fs::write(root.path().join("try.toml"), "[pools.onload]\nslots = 4\n").unwrap();
    symlink(root.path().join("try.toml"), &link).unwrap();
    let runtime = Some(root.path().join("elsewhere"));
    let sources = Sources { root: Some(root.path().to_owned()), runtime, ..Sources::default() };
    let pools = sources.load().unwrap().settings.pools;
    assert_eq!(pools.values().next().map(|pool| pool.slots), Some(4));
}

#[test]
fn places_of_another_machine_are_not_its_files_to_say() {
    let places = "[metrics]\nlisten = \"0.0.0.0:9557\"\nsocket = \"/tmp/x.sock\"\n\
        [cdi]\ndirectory = \"/etc/cdi\"\n[kubelet]\ndirectory = \"/tmp/kubelet\"\n";
    let root = tree(&[("etc/onloadd/onloadd.toml", places)]);
    let text = "[kubelet]\nplugins-registry = \"/tmp/registry\"\n".to_owned();
    let command_line = Some(Fragment { file: "command line".to_owned(), text });
    let sources =
        Sources { root: Some(root.path().to_owned()), command_line, ..Sources::default() };
    assert_eq!(sources.load().unwrap().settings.cdi.directory, "/etc/cdi");
    let own = sources.of_command_line().load().unwrap().settings;
    let built_in = onload_core::config::Settings::default();
    assert_eq!((own.metrics, own.cdi), (built_in.metrics, built_in.cdi));
    assert_eq!(own.kubelet.directory, built_in.kubelet.directory);
    assert_eq!(own.kubelet.plugins_registry, "/tmp/registry");
}

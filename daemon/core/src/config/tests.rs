//! Fragments merged, and what is refused.

use super::*;

fn fragment(file: &str, text: &str) -> Fragment {
    Fragment { file: file.to_owned(), text: text.to_owned() }
}

#[test]
fn the_later_file_wins_key_by_key_and_remembers_what_it_masks() {
    let config = Config::merge(&[
        fragment("/usr/lib/a.toml", "[pools.onload]\nslots = 100\nlocal = 4\n"),
        fragment("/etc/b.toml", "\n[pools.onload]\nslots = 10\n"),
    ])
    .unwrap();
    let pool = config.settings.pools.values().next().unwrap();
    assert_eq!((pool.slots, pool.local), (10, 4));
    let entry = &config.entries["pools.onload.slots"];
    assert_eq!(entry.value, "10");
    assert_eq!(entry.origin, Some(Origin { file: "/etc/b.toml".to_owned(), line: 3 }));
    assert_eq!(entry.masks[0].value, "100");
    assert_eq!(config.entries["daemon.settle"].origin, None, "a default has no origin");
}

#[test]
fn what_is_wrong_is_named_with_file_line_and_key() {
    let cases = [
        ("an unknown key", "[daemon]\nsettel = \"1s\"\n", 2, "settel"),
        ("an unknown section", "\n[modules2]\n", 2, "modules2"),
        (
            "a wrong type",
            "[pools.onload]\nslots = \"many\"\n",
            2,
            "pools.onload.slots: invalid type",
        ),
        ("a bad duration", "[daemon]\n\nsettle = \"soon\"\n", 3, "daemon.settle: `soon`"),
        ("a bad pool name", "[pools.Onload]\nslots = 1\n", 1, "Onload"),
        ("not TOML", "[daemon\n", 1, ""),
        ("local above slots", "[pools.onload]\nslots = 3\nlocal = 4\n", 3, "pools.onload.local"),
        ("preload and launcher", "[pools.onload]\nlauncher = true\n", 2, "pools.onload.launcher"),
        (
            "two ways to choose a port",
            "[[modules.af-xdp]]\ndriver = \"igb\"\npci = \"0000:00:05.0\"\n",
            1,
            "modules.af-xdp: line 1: needs exactly one",
        ),
        (
            "the loopback",
            "[[modules.af-xdp]]\ndriver = \"igb\"\n[[modules.af-xdp]]\ninterface = \"lo\"\n",
            1,
            "modules.af-xdp: line 2: the loopback",
        ),
        (
            "a profile by a relative path",
            "[pools.onload]\nprofile = \"./x\"\n",
            2,
            "pools.onload.profile",
        ),
        ("two profiles", "[pools.onload]\nprofile = \"a,b\"\n", 2, "pools.onload.profile"),
        (
            "a prompt that MokManager does not know",
            "[secure-boot]\nprompt-timeout = \"9s\"\n",
            2,
            "secure-boot.prompt-timeout",
        ),
        (
            "a certificate by a relative path",
            "[secure-boot]\ncertificates = [\"mok.der\"]\n",
            2,
            "secure-boot.certificates",
        ),
        ("a relative directory", "[kubelet]\ndirectory = \"here\"\n", 2, "kubelet.directory"),
        (
            "a relative registry",
            "[kubelet]\nplugins-registry = \"here\"\n",
            2,
            "kubelet.plugins-registry",
        ),
        (
            "a registry whose sockets are deleted",
            "[kubelet]\nplugins-registry = \"/var/lib/kubelet/device-plugins\"\n",
            2,
            "kubelet.plugins-registry",
        ),
        (
            "the same, written otherwise",
            "[kubelet]\nplugins-registry = \"/var/lib//kubelet/device-plugins/\"\n",
            2,
            "must not be `directory`",
        ),
        (
            "a third way to be registered",
            "[pools.onload]\nregistration = \"both\"\n",
            2,
            "expected `directory` or `watcher`",
        ),
        (
            "less for what proves little",
            "[kubelet]\nrelease-grace = \"1h\"\nunnamed-grace = \"59m\"\n",
            3,
            "kubelet.unnamed-grace",
        ),
        ("days of it", "[kubelet]\nunnamed-grace = \"25h\"\n", 2, "kubelet.unnamed-grace"),
        (
            "names that nobody can find",
            "[kubelet]\nanswer = \"cdi\"\n[cdi]\nenabled = false\n",
            2,
            "kubelet.answer",
        ),
        (
            "a resource without a name in CDI",
            "[kubelet]\nanswer = \"cdi\"\n[pools.a]\nresource = \"amd.com/1\"\n",
            4,
            "pools.a.resource",
        ),
        (
            "names without the policy for them",
            "[[naming.ports]]\nmac = \"00:0f:53:00:00:01\"\nname = \"a\"\n",
            1,
            "naming.ports: need `policy = \"explicit\"`",
        ),
        (
            "a name that is too long",
            "[naming]\npolicy = \"explicit\"\n[[naming.ports]]\nname = \"sixteen-bytes-00\"\n",
            4,
            "is not a network interface name",
        ),
        (
            "the kernel's own names",
            "[naming]\npolicy = \"explicit\"\nports = [{ port-number = 0, name = \"eth0\" }]\n",
            3,
            "naming.ports: line 1: the kernel gives such names",
        ),
        (
            "two ways to mean a port",
            "[naming]\npolicy = \"explicit\"\nports = [{ port-number = 0, pci = \"0000:3b:00.0\", name = \"a\" }]\n",
            3,
            "naming.ports: line 1: needs exactly one",
        ),
        (
            "one name for two",
            "[naming]\npolicy = \"explicit\"\nports = [{ port-number = 0, name = \"a\" }, { port-number = 1, name = \"a\" }]\n",
            3,
            "naming.ports: line 2: has a name that another has",
        ),
        (
            "two names for one",
            "[naming]\npolicy = \"explicit\"\nports = [{ port-number = 0, name = \"a\" }, { port-number = 0, name = \"b\" }]\n",
            3,
            "naming.ports: line 2: means a port that another means",
        ),
        (
            "one resource twice",
            "[pools.onload]\n[pools.b]\nresource = \"amd.com/onload\"\n",
            3,
            "pools.b.resource",
        ),
    ];
    for (why, text, line, part) in cases {
        let error = Config::merge(&[fragment("/etc/x.toml", text)]).unwrap_err();
        assert_eq!((error.file.as_str(), error.line), ("/etc/x.toml", line), "{why}: {error}");
        assert!(error.what.contains(part), "{why}: {error}");
    }
}

#[test]
fn the_contradiction_of_two_files_names_the_one_that_made_it() {
    let error = Config::merge(&[
        fragment("/usr/lib/a.toml", "[pools.onload]\nslots = 10\n"),
        fragment("/etc/b.toml", "[pools.onload]\nlocal = 11\n"),
    ])
    .unwrap_err();
    assert_eq!(error.file, "/etc/b.toml");
}

#[test]
fn deep_nesting_is_an_error_and_no_overflow() {
    let text = format!("daemon = {}1{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(Config::merge(&[fragment("/etc/x.toml", &text)]).is_err());
}

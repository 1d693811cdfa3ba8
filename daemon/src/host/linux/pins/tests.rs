//! What is written reads back, and what is not ours stays as it is.

use std::os::unix::fs::symlink;

use super::super::root::tests::root_with;
use super::*;

const BY_MAC: &str = "10-onloadd-000f53a10000.link";
const BY_PATH: &str = "10-onloadd-pci-0000-3b-00-1.link";

fn mac() -> Key {
    "mac 00:0f:53:a1:00:00".parse().unwrap()
}

fn pci() -> Key {
    "pci 0000:3b:00.1".parse().unwrap()
}

fn pin(name: &str, altnames: &[&str]) -> Pin {
    let altnames = altnames.iter().map(|name| (*name).to_owned()).collect();
    Pin { name: name.parse().unwrap(), altnames }
}

fn both() -> Pins {
    Pins::from([
        (mac(), pin("ens1f0np0", &["ens1f0", "enp59s0f0np0-of-old"])),
        (pci(), pin("ens1f1np1", &[])),
    ])
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_says_who_wrote_it_and_names_the_port_by_what_never_changes() {
    let text = print(&mac(), &pin("ens1f0np0", &["ens1f0"]));
    let (header, settings) = text.split_once("\n\n").unwrap();
    assert!(header.lines().all(|line| line.starts_with("# ")), "{header}");
    assert!(header.contains("onloadd") && header.contains("policy = \"off\" in [naming]"));
    assert_eq!(
        settings,
        "[Match]\nPermanentMACAddress=00:0f:53:a1:00:00\nType=ether\nKind=!*\n[Link]\nName=ens1f0np0\n\
         AlternativeName=ens1f0\nAlternativeNamesPolicy=database onboard slot path\n\
         MACAddressPolicy=persistent\n"
    );
    assert!(print(&pci(), &pin("a", &[])).contains("\nPath=pci-0000:3b:00.1 *-pci-0000:3b:00.1\n"));
}

#[test]
fn names_of_files_and_ports_lead_to_each_other() {
    assert_eq!((mac().file(), pci().file()), (BY_MAC.to_owned(), BY_PATH.to_owned()));
    let wide = "pci 10000:01:00.7".parse().unwrap();
    for key in [mac(), pci(), wide] {
        assert_eq!(Key::of_file(&key.file()), Some(key));
    }
    for odd in [
        "10-onloadd-000f53a1000.link",
        "10-onloadd-000F53A10000.link",
        "10-onloadd-000f53a1000000.link",
        "10-onloadd-00:0f:53:a1:00:00.link",
        "10-onloadd-é0f53a10000.link",
        "10-onloadd-pci-0000-3b-00.link",
        "10-onloadd-pci-0000-3b-00-8.link",
        "10-onloadd-pci-0000-3b-00-1-2.link",
        "10-onloadd-.link",
        "10-onloadd-000f53a10000.link.d",
    ] {
        assert_eq!(Key::of_file(odd), None, "{odd}");
    }
    assert!(!is_ours(DRAFT), "udev would read it");
}

#[test]
fn what_was_written_reads_back_and_no_pin_is_no_file() {
    let (place, root) = root_with(&[]);
    let directory = place.path().join("etc/systemd/network");
    assert_eq!(read(&root), Reading::Absent);
    assert!(!write(&directory, &Pins::new()).unwrap() && !directory.exists());
    assert!(write(&directory, &both()).unwrap());
    assert_eq!(read(&root), Reading::Known(both()));
    assert_eq!(names(&directory), [BY_MAC, BY_PATH]);
    let mode = fs::metadata(directory.join(BY_MAC)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
    assert!(!write(&directory, &both()).unwrap(), "nothing to tell udevd");
    let swapped = Pins::from([(mac(), pin("ens1f1np1", &[])), (pci(), pin("ens1f0np0", &[]))]);
    assert!(write(&directory, &swapped).unwrap());
    assert_eq!(read(&root), Reading::Known(swapped));
    let fewer = Pins::from([(pci(), pin("ens1f0np0", &[]))]);
    assert!(write(&directory, &fewer).unwrap());
    assert_eq!(names(&directory), [BY_PATH]);
    assert!(write(&directory, &Pins::new()).unwrap());
    assert_eq!((read(&root), names(&directory)), (Reading::Absent, vec![]));
}

#[test]
fn files_of_others_stay_and_a_draft_that_a_kill_left_goes() {
    let others = [
        ("10-lan.link", "[Match]\nPermanentMACAddress=00:0f:53:a1:00:00\n[Link]\nName=lan0\n"),
        ("10-onloadd-000f53a10000.network", "x"),
        ("10-onloadd-000f53a10000.link.d/a.conf", "y"),
        ("99-default.link", "z"),
    ];
    let all = others.map(|(name, text)| (format!("etc/systemd/network/{name}"), text));
    let mut all: Vec<_> = all.iter().map(|(name, text)| (name.as_str(), *text)).collect();
    all.push(("etc/systemd/network/10-onloadd-draft.new", "[Match]\nPerman"));
    let (place, root) = root_with(&all);
    let directory = place.path().join("etc/systemd/network");
    assert_eq!(read(&root), Reading::Absent, "half a draft is no pin");
    write(&directory, &both()).unwrap();
    assert_eq!(read(&root), Reading::Known(both()));
    write(&directory, &Pins::new()).unwrap();
    assert_eq!(names(&directory).len(), others.len(), "{:?}", names(&directory));
    for (name, text) in others {
        assert_eq!(fs::read_to_string(directory.join(name)).unwrap(), text);
    }
}

#[test]
fn what_is_called_like_ours_and_is_not_is_told_and_left() {
    let place = tempfile::tempdir().unwrap();
    let (odd, masked) = (place.path().join("10-onloadd-mine.link"), place.path().join(BY_MAC));
    fs::write(&odd, "[Link]\nName=x\n").unwrap();
    let said = write(place.path(), &both()).unwrap_err().to_string();
    assert!(said.contains("10-onloadd-mine.link is none of onloadd's files"), "{said}");
    fs::remove_file(odd).unwrap();
    symlink("/dev/null", &masked).unwrap();
    for wanted in [both(), Pins::new()] {
        let said = write(place.path(), &wanted).unwrap_err().to_string();
        assert!(said.contains(BY_MAC) && said.contains("move it away"), "{said}");
    }
    assert_eq!(names(place.path()), [BY_MAC]);
}

#[test]
fn what_onloadd_does_not_write_makes_it_unreadable_with_file_and_line() {
    let right = print(&mac(), &pin("ens1f0np0", &["ens1f0"]));
    let read_as = |name: &str, text: &str| {
        let path = format!("etc/systemd/network/{name}");
        let (_place, root) = root_with(&[(&path, text)]);
        match read(&root) {
            Reading::Unreadable(why) => why,
            other => panic!("{name}: {text}: {other:?}"),
        }
    };
    for (from, to, line) in [
        (
            "Type=ether\n",
            "Type=ether\nDriver=sfc\n",
            "line 8 is not what onloadd writes there: `Driver=sfc`",
        ),
        ("Name=ens1f0np0\n", "NamePolicy=slot\nName=ens1f0np0\n", "line 10 "),
        ("a1:00:00", "a1:00:01", "line 6 "),
        ("AlternativeName=ens1f0\n", "AlternativeName=a b\n", "line 11 "),
        ("MACAddressPolicy=persistent\n", "", "it ends before `MACAddressPolicy=persistent`"),
        ("persistent\n", "persistent\nMTUBytes=9000\n", "line 14 "),
        ("Name=ens1f0np0\n", "", "no usable Name="),
        ("Name=ens1f0np0\n", "Name=sixteen-letters-\n", "its Name= cannot be used"),
    ] {
        let why = read_as(BY_MAC, &right.replacen(from, to, 1));
        assert!(why.starts_with(&format!("/etc/systemd/network/{BY_MAC}: ")), "{why}");
        assert!(why.contains(line), "{line}: {why}");
    }
    assert!(read_as("10-onloadd-mine.link", &right).contains("no file of onloadd's is called so"));
    // Comments say nothing to udev.
    let commented = right.replace("[Link]", "; of mine\n\n[Link]");
    assert_eq!(parse(BY_MAC, &commented), Ok((mac(), pin("ens1f0np0", &["ens1f0"]))));
    let (place, root) = root_with(&[("etc/systemd/network/a", "")]);
    symlink("/dev/null", place.path().join("etc/systemd/network").join(BY_MAC)).unwrap();
    let Reading::Unreadable(why) = read(&root) else { panic!("a link was read") };
    assert!(why.contains("this leads to /dev/null"), "{why}");
}

#[test]
fn a_name_that_udev_would_not_take_is_refused_before_anything_is_written() {
    let place = tempfile::tempdir().unwrap();
    let long = "x".repeat(rule::LONGEST_ALTERNATIVE + 1);
    for odd in ["a b", "50%", "a\"", "7", "ä", "", "a\nName=b", long.as_str()] {
        let wanted = Pins::from([(mac(), pin("ens1f0", &[odd])), (pci(), pin("ens1f1", &[]))]);
        let error = write(place.path(), &wanted).unwrap_err();
        assert!(matches!(error, PinError::Name(_)), "{odd}: {error}");
    }
    assert!(names(place.path()).is_empty());
}

#[test]
fn a_directory_that_cannot_be_written_is_named_with_what_to_do() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("file");
    fs::write(&file, "").unwrap();
    let said = write(&file.join("network"), &both()).unwrap_err().to_string();
    assert!(said.starts_with(&file.join("network").display().to_string()), "{said}");
    // procfs makes no files, whoever asks.
    let proc = Path::new("/proc/self/task");
    let said = write(proc, &both()).unwrap_err().to_string();
    assert!(said.starts_with(&format!("/proc/self/task/{BY_MAC} was not written: ")), "{said}");
    let error = io::Error::from(io::ErrorKind::ReadOnlyFilesystem);
    let said = PinError::System { what: "written", path: DIRECTORY.into(), error }.to_string();
    assert!(said.contains("/etc/systemd/network was not written: "), "{said}");
    assert!(said.contains("policy = \"off\" in [naming]"), "{said}");
}

#[test]
fn a_recording_reads_back() {
    use crate::host::Host as _;
    use crate::host::linux::Places;
    use onload_core::inventory::Depth;

    let (place, _) = root_with(&[("etc/systemd/network/10-lan.link", "[Link]\n")]);
    write(&place.path().join("etc/systemd/network"), &both()).unwrap();
    let open = |root: &Path| {
        let (kubelet, state) = ("/var/lib/kubelet/device-plugins", "/var/lib/onloadd");
        let (kubelet_directory, state_directory) = (kubelet.into(), state.into());
        Linux::open(Places { root: root.to_owned(), kubelet_directory, state_directory }).unwrap()
    };
    let copy = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let seen = open(place.path()).record(copy.path()).await.unwrap();
        assert_eq!(seen.pins, Reading::Known(both()));
        assert_eq!(open(copy.path()).observe(Depth::Usual).await.pins, seen.pins);
    });
}

#[test]
fn of_an_initramfs_what_counts_there_is_told() {
    for (path, ours) in [
        (format!("etc/systemd/network/{BY_MAC}"), true),
        (format!("usr/lib/systemd/network/{BY_MAC}"), true),
        (format!("lib/systemd/network/{BY_PATH}"), true),
        (format!("etc/systemd/network/{BY_MAC}.d/a.conf"), false),
        (format!("root/etc/systemd/network/{BY_MAC}"), false),
        ("etc/systemd/network/10-lan.link".to_owned(), false),
        (BY_MAC.to_owned(), false),
    ] {
        assert_eq!(inside(&path), ours, "{path}");
    }
    let all = texts(&both());
    assert!(all.keys().all(|path| inside(path)));
    assert_eq!(carried(&all), both());
    let (old, odd) = (print(&mac(), &pin("old0", &[])), b"[Link]\nName=x\n".to_vec());
    let mut all = BTreeMap::from([(format!("usr/lib/systemd/network/{BY_MAC}"), old.into_bytes())]);
    assert_eq!(carried(&all), Pins::from([(mac(), pin("old0", &[]))]));
    all.extend(texts(&Pins::from([(mac(), pin("new0", &[]))])));
    all.insert(format!("lib/systemd/network/{BY_PATH}"), odd);
    assert_eq!(carried(&all), Pins::from([(mac(), pin("new0", &[]))]));
}

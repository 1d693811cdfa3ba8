//! Every layout that is taken in, and what the release is then.

use super::source::{KERNEL, VERSION, gz, module, xz, zst};
use super::*;

#[test]
fn an_installed_tree_becomes_a_read_only_release() {
    let place = Place::new();
    assert_eq!(place.import(&Source::release().tar()).unwrap().as_str(), VERSION);
    assert_eq!(place.names(), [VERSION]);
    let mut tree = place.tree(VERSION);
    let lists = format!("lib/modules/{KERNEL}/modules.");
    tree.retain(|path, _| !path.starts_with(&lists));
    let modules = |name: &str| (format!("lib/modules/{KERNEL}/extra/{name}.ko"), "444".to_owned());
    let owned = |(path, is): (&str, &str)| (path.to_owned(), is.to_owned());
    let mut wanted: BTreeMap<String, String> = [
        ("/", "555"),
        ("lib/", "555"),
        ("lib/modules/", "555"),
        ("sbin/", "555"),
        ("sbin/onload_cp_server", "555"),
        ("sbin/onload_tool", "555"),
        ("usr/", "555"),
        ("usr/bin/", "555"),
        ("usr/bin/onload", "555"),
        ("usr/lib/", "555"),
        ("usr/lib/modules", "../../lib/modules"),
        ("usr/lib64/", "555"),
        ("usr/lib64/libonload.so", "555"),
        ("usr/lib64/libonload_ext.so", "libonload_ext.so.2"),
        ("usr/lib64/libonload_ext.so.2", "libonload_ext.so.2.0.0"),
        ("usr/lib64/libonload_ext.so.2.0.0", "555"),
        ("usr/libexec/", "555"),
        ("usr/libexec/onload/", "555"),
        ("usr/libexec/onload/profiles/", "555"),
        ("usr/libexec/onload/profiles/latency.opf", "444"),
    ]
    .into_iter()
    .map(owned)
    .collect();
    wanted.insert(format!("lib/modules/{KERNEL}/"), "555".to_owned());
    wanted.insert(format!("lib/modules/{KERNEL}/extra/"), "555".to_owned());
    wanted.extend(["sfc", "sfc_resource", "sfc_char", "onload"].map(modules));
    assert_eq!(tree, wanted);
    let kept = place.releases().join(VERSION).join(format!("lib/modules/{KERNEL}/extra/onload.ko"));
    assert_eq!(fs::read(kept).unwrap(), module("onload", KERNEL, VERSION), "byte for byte");
}

#[test]
fn depmod_has_listed_every_module() {
    let place = Place::new();
    place.import(&Source::release().tar()).unwrap();
    let directory = place.releases().join(VERSION).join("lib/modules").join(KERNEL);
    let list = fs::read_to_string(directory.join("modules.dep")).unwrap();
    for name in ["sfc", "sfc_resource", "sfc_char", "onload"] {
        assert!(list.contains(&format!("extra/{name}.ko:")), "{list}");
    }
    let mode = fs::metadata(directory.join("modules.dep.bin")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o444);
}

#[test]
fn depmod_has_nothing_to_say_of_a_tree_with_only_our_modules() {
    let (place, budget) = (Place::new(), Budget::default());
    let staging = Staging::begin(&place.releases()).unwrap();
    let layout = read(opened(&Source::release().tar()), &staging, &budget).unwrap();
    tree::build(&staging, &layout).unwrap();
    assert_eq!(depmod::run(staging.tree(), KERNEL, &layout, &budget).unwrap(), "");
}

#[test]
fn archives_come_plain_and_packed() {
    let tar = Source::release().tar();
    let mut frames = zst(&tar[..1000]);
    frames.extend([0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
    frames.extend(zst(&tar[1000..]));
    let mut members = gz(&tar[..1000]);
    members.extend(gz(&tar[1000..]));
    for (name, packed) in [
        ("gzip", gz(&tar)),
        ("gzip in members", members),
        ("zstd", zst(&tar)),
        ("zstd in frames", frames),
        ("xz", xz(&tar)),
    ] {
        let place = Place::new();
        assert_eq!(place.import(&packed).unwrap().as_str(), VERSION, "{name}");
    }
}

#[test]
fn an_archive_comes_through_a_pipe_too() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let tar = Source::release().tar();
    let writing = std::thread::spawn(move || {
        for piece in tar.chunks(777) {
            writer.write_all(piece).unwrap();
        }
        // As tar pads to its record; it must not meet a closed pipe.
        writer.write_all(&[0; 64 << 10]).unwrap();
    });
    let place = Place::new();
    let name = place.store.import_now(reader.into(), None, Cancel::default()).unwrap();
    writing.join().unwrap();
    assert_eq!(name.as_str(), VERSION);
}

#[test]
fn a_directory_is_taken_as_it_lies() {
    for top in ["", "onload-9.2.1/"] {
        let (place, source) = (Place::new(), tempfile::tempdir().unwrap());
        Source::release().below(top).unpack(source.path());
        fs::create_dir_all(source.path().join("proc/1")).unwrap();
        fs::write(source.path().join("backup.tar"), "of no matter").unwrap();
        let taken = directory(source.path());
        place.store.import_now(taken, None, Cancel::default()).unwrap();
        assert!(place.tree(VERSION).contains_key("usr/lib64/libonload.so"), "{top}");
    }
}

#[test]
fn one_top_directory_is_left_out() {
    let place = Place::new();
    place.import(&Source::release().below("./onload-9.2.1/").tar()).unwrap();
    assert!(place.tree(VERSION).contains_key("usr/bin/onload"));
    let two = Source::release().below("a/").and(Source::release().below("b/"));
    says(&Place::new().refusal(&two.tar()), "two releases, a and b");
    let beside = Source::release().and(Source::release().below("old/"));
    let place = Place::new();
    place.import(&beside.tar()).unwrap();
    assert!(!place.tree(VERSION).keys().any(|path| path.contains("old")));
}

#[test]
fn a_kmm_tree_has_its_modules_below_opt() {
    let modules = Source::modules("opt/lib/modules/", KERNEL, VERSION)
        .link(&format!("opt/lib/modules/{KERNEL}/kernel"), "/lib/modules/5.14.0/kernel")
        .file(&format!("opt/lib/modules/{KERNEL}/modules.dep"), 0o644, b"of the builder");
    for user in [Source::user("usr/lib64/"), Source::user("usr/lib64/").below("opt/onload/")] {
        let place = Place::new();
        place.import(&modules.clone().and(user).tar()).unwrap();
        let tree = place.tree(VERSION);
        assert!(tree.contains_key(&format!("lib/modules/{KERNEL}/extra/sfc.ko")));
        assert!(!tree.contains_key(&format!("lib/modules/{KERNEL}/kernel")));
        assert!(tree.contains_key("sbin/onload_cp_server"));
    }
}

#[test]
fn merged_and_debian_directories_are_the_same_release() {
    let source = Source::modules("usr/lib/modules/", KERNEL, VERSION)
        .and(Source::user("usr/lib/x86_64-linux-gnu/").without("sbin/"))
        .file("usr/sbin/onload_cp_server", 0o755, b"server")
        .file("usr/bin/onload_tool", 0o755, b"tool");
    let place = Place::new();
    place.import(&source.tar()).unwrap();
    let tree = place.tree(VERSION);
    for path in [
        &format!("lib/modules/{KERNEL}/extra/sfc.ko"),
        "usr/lib/x86_64-linux-gnu/libonload.so",
        "sbin/onload_cp_server",
        "sbin/onload_tool",
    ] {
        assert!(tree.contains_key(path), "{path}");
    }
}

#[test]
fn modules_are_kept_unpacked_with_their_signature() {
    let signed = module("onload", KERNEL, VERSION);
    for (ending, packed) in [("gz", gz(&signed)), ("xz", xz(&signed)), ("zst", zst(&signed))] {
        let mut source = Source::release().without("extra/onload.ko");
        let path = format!("lib/modules/{KERNEL}/extra/onload.ko.{ending}");
        source = source.file(&path, 0o644, &packed);
        let place = Place::new();
        place.import(&source.tar()).unwrap();
        let kept = place.releases().join(VERSION).join(path.trim_end_matches(ending));
        let kept = kept.to_str().unwrap().trim_end_matches('.').to_owned();
        assert!(signed.ends_with(b"~Module signature appended~\n"));
        assert_eq!(fs::read(kept).unwrap(), signed, "{ending}");
    }
}

#[test]
fn several_kernels_are_one_release() {
    let other = "6.12.0-55.el10.x86_64";
    let source = Source::release().and(Source::modules("lib/modules/", other, VERSION));
    let place = Place::new();
    place.import(&source.tar()).unwrap();
    let tree = place.tree(VERSION);
    for kernel in [KERNEL, other] {
        assert!(tree.contains_key(&format!("lib/modules/{kernel}/modules.dep")), "{kernel}");
    }
}

#[test]
fn links_are_kept_when_they_lead_to_something_kept() {
    let source = Source::release()
        .link("usr/lib64/libonload_ext.so.9", "libonload_ext.so.10")
        .link("usr/lib64/libonload.so.1", "../../etc/passwd")
        .link("usr/bin/onload_tool_too", "../../sbin/onload_tool")
        .link("usr/lib64/libefcp.so", "./libefcp.so")
        .other("usr/lib64/libefcp.so.1", tar::EntryType::Link, "usr/lib64/libonload.so");
    let place = Place::new();
    place.import(&source.tar()).unwrap();
    let tree = place.tree(VERSION);
    assert_eq!(tree["usr/bin/onload_tool_too"], "../../sbin/onload_tool");
    assert_eq!(tree["usr/lib64/libefcp.so.1"], "555", "a hard link is a file of its own");
    for gone in ["libonload_ext.so.9", "libonload.so.1", "libefcp.so"] {
        assert!(!tree.contains_key(&format!("usr/lib64/{gone}")), "{gone}");
    }
}

#[test]
fn the_name_is_the_version_or_what_was_asked_for() {
    let place = Place::new();
    let tar = Source::release().tar();
    assert_eq!(place.import_as(&tar, "tuesday").unwrap().as_str(), "tuesday");
    assert_eq!(place.import(&tar).unwrap().as_str(), VERSION);
    assert_eq!(place.names(), [VERSION, "tuesday"]);
    for refused in [place.import(&tar), place.import_as(&tar, "tuesday")] {
        let refused = refused.unwrap_err();
        says(&refused, "is there already");
        assert!(refused.fix.contains("release remove"), "{refused}");
    }
    for name in ["host", "in-tree", "current"] {
        says(&place.import_as(&tar, name).unwrap_err(), "a meaning of its own");
    }
    assert_eq!(place.names(), [VERSION, "tuesday"]);
}

#[test]
fn files_of_the_same_place_must_be_the_same() {
    let again = Source::modules("opt/lib/modules/", KERNEL, VERSION);
    Place::new().import(&Source::release().and(again).tar()).unwrap();
    let other = Source::release().file("lib64/libonload.so", 0o755, b"another");
    let refused = Place::new().refusal(&other.tar());
    says(&refused, "lib64/libonload.so and usr/lib64/libonload.so");
}

#[test]
fn names_may_be_long_and_headers_extended() {
    let source = Source::release().below(&format!("{}/", "y".repeat(150)));
    Place::new().import(&source.tar()).unwrap();
    let mut bytes = Vec::new();
    let record = " path=usr/bin/onload_extended\n";
    let record = format!("{}{record}", record.len() + 2);
    source::member(&mut bytes, "pax", tar::EntryType::XHeader, 0o644, "", record.as_bytes());
    source::member(&mut bytes, "short", tar::EntryType::Regular, 0o755, "", b"tool");
    bytes.extend(Source::release().tar());
    let place = Place::new();
    place.import(&bytes).unwrap();
    assert!(place.tree(VERSION).contains_key("usr/bin/onload_extended"));
}

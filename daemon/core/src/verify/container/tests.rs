//! What is found of a container, case by case.

use super::super::Verdict::{Fail, Pass, Skip, Warn};
use super::*;
use crate::inventory::DEVICE_NODES;

const PATH: &str = "/opt/onload/usr/lib64/libonload.so";

fn nodes(major: u32) -> BTreeMap<String, Reading<DeviceNode>> {
    let node = || Reading::Known(DeviceNode { major, minor: 0, mode: 0o666 });
    DEVICE_NODES.iter().map(|path| ((*path).to_owned(), node())).collect()
}

fn process(preload: &str, mapped: bool) -> Process {
    let library = Mapped { path: PATH.to_owned(), deleted: false };
    let environment = format!("PATH=/bin\0LD_PRELOAD={preload}\0EF_POLL_USEC=100\0broken\0");
    Process {
        pid: 4711,
        comm: "app".to_owned(),
        environment: Reading::Known(parse_environment(environment.as_bytes())),
        library: if mapped { Reading::Known(library) } else { Reading::Absent },
        fits: Reading::Known(true),
        nodes: nodes(245),
    }
}

fn container(main: Process) -> Container {
    Container {
        namespace: "default".to_owned(),
        pod: "web".to_owned(),
        name: "app".to_owned(),
        devices: vec!["onload-3".to_owned()],
        preloads: true,
        main: Reading::Known(main),
        other: None,
    }
}

#[test]
fn a_pods_own_preload_is_found_out() {
    let mut unset = process("", false);
    if let Reading::Known(environment) = &mut unset.environment {
        environment.remove("LD_PRELOAD");
    }
    let cases = [
        ("as given", process(PATH, true), Pass, ""),
        ("before others", process(&format!("{PATH}:/lib/libjemalloc.so.2"), true), Pass, ""),
        ("after others", process(&format!("/lib/libjemalloc.so.2 {PATH}"), true), Pass, ""),
        ("by the launcher", process("", true), Pass, ""),
        ("overridden", process("/lib/libjemalloc.so.2", false), Fail, "the pod's own"),
        ("emptied", process("", false), Fail, "not set"),
        ("unset", unset, Fail, "not set"),
        ("named in vain", process(PATH, false), Fail, "not mapped"),
        ("another name", process("/lib/libonload_ext.so", false), Fail, "the pod's own"),
    ];
    for (why, main, verdict, said) in cases {
        let check = container(main).preload();
        assert_eq!(check.verdict, verdict, "{why}: {check:?}");
        assert!(check.why.unwrap_or_default().contains(said), "{why}");
        assert!(check.title.contains("default/web (app)"), "{why}");
    }
}

#[test]
fn what_cannot_be_seen_is_not_judged() {
    let skipped = |main: Reading<Process>| {
        let one = Container { main, ..container(process(PATH, true)) };
        let all = [one.preload(), one.library(), one.nodes(&nodes(245)), one.variables()];
        all.map(|check| check.verdict)
    };
    assert_eq!(skipped(Reading::Absent), [Skip; 4]);
    assert_eq!(skipped(Reading::Unreadable("root only".to_owned())), [Skip; 4]);
    let mut hidden = process(PATH, true);
    hidden.environment = Reading::Unreadable("root only".to_owned());
    hidden.library = Reading::Unreadable("root only".to_owned());
    assert_eq!(skipped(Reading::Known(hidden)), [Skip, Skip, Pass, Skip]);
}

#[test]
fn another_process_of_it_or_the_pools_word_excuses_the_first() {
    let mut one = container(process("", false));
    one.other = Some((4712, "server".to_owned()));
    assert_eq!(one.preload().verdict, Pass);
    assert!(one.preload().looked.contains("pid 4712 (server)"));
    let mut one = container(process("", false));
    one.preloads = false;
    assert_eq!(one.preload().verdict, Skip);
}

#[test]
fn the_library_is_the_loaded_drivers_or_sockets_fail() {
    let with = |fits: Reading<bool>, deleted: bool| {
        let mut main = process(PATH, true);
        main.fits = fits;
        main.library = Reading::Known(Mapped { path: PATH.to_owned(), deleted });
        container(main).library().verdict
    };
    let cases = [
        ("it fits", Reading::Known(true), false, Pass),
        ("it fits, and is gone", Reading::Known(true), true, Warn),
        ("it does not", Reading::Known(false), false, Fail),
        ("it does not, and is gone", Reading::Known(false), true, Fail),
        ("nothing to compare with", Reading::Absent, false, Skip),
        ("it is gone", Reading::Absent, true, Warn),
        ("hidden", Reading::Unreadable("EACCES".to_owned()), false, Skip),
    ];
    for (why, fits, deleted, verdict) in cases {
        assert_eq!(with(fits, deleted), verdict, "{why}");
    }
    assert_eq!(container(process("", false)).library().verdict, Skip);
}

#[test]
fn nodes_are_those_of_the_loaded_modules() {
    let with = |path: &str, node: Reading<DeviceNode>| {
        let mut main = process(PATH, true);
        main.nodes.insert(path.to_owned(), node);
        container(main).nodes(&nodes(245))
    };
    let node = |major| Reading::Known(DeviceNode { major, minor: 0, mode: 0o666 });
    assert_eq!(with("/dev/onload", node(245)).verdict, Pass);
    let old = with("/dev/onload", node(240));
    assert!(old.verdict == Fail && old.why.unwrap().contains("240:0 in it and 245:0"));
    assert_eq!(with("/dev/sfc_char", Reading::Absent).verdict, Fail);
    assert_eq!(with("/dev/onload", Reading::Unreadable("E".to_owned())).verdict, Skip);
    let nothing_here = container(process(PATH, true)).nodes(&BTreeMap::new());
    assert_eq!(nothing_here.verdict, Pass, "nothing to compare with");
}

#[test]
fn only_onloads_variables_are_shown() {
    let check = container(process(PATH, true)).variables();
    assert_eq!((check.verdict, check.looked.as_str()), (Pass, "EF_POLL_USEC=100"));
    let mut bare = process(PATH, true);
    bare.environment = Reading::Known(BTreeMap::from([("TOKEN".to_owned(), "s".to_owned())]));
    assert_eq!(container(bare).variables().looked, "none set");
}

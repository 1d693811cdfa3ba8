//! The judge judged: histories that cannot be, each with the one thing that is wrong.

use std::time::Duration;

use super::history::{Asked, At, Fact, Shown, Span};
use super::judge::violations;

const SLOTS: usize = 1_000;

fn at(seconds: u64) -> At {
    Duration::from_secs(seconds)
}

fn span(asked: u64, answered: u64) -> Span {
    Span { asked: at(asked), answered: at(answered) }
}

fn devices(all: &[&str]) -> Vec<String> {
    all.iter().map(|one| (*one).to_owned()).collect()
}

fn pod(asked: u64, answered: u64, pod: u64, has: &[&str]) -> Fact {
    Fact::PodGranted { span: span(asked, answered), pod, devices: devices(has) }
}

fn ended(seconds: u64, pod: u64) -> Fact {
    Fact::PodEnded { at: at(seconds), pod }
}

fn local(asked: u64, answered: u64, id: &str, device: &str) -> Fact {
    let (id, device) = (id.to_owned(), device.to_owned());
    Fact::LocalGranted { span: span(asked, answered), id, device }
}

fn freed(asked: u64, answered: u64, id: &str) -> Fact {
    Fact::LocalFreed { span: span(asked, answered), id: id.to_owned(), heard: true }
}

fn in_doubt(asked: u64, ended: u64, devices: Asked) -> Fact {
    Fact::PodInDoubt { span: span(asked, ended), devices }
}

fn refused(code: i32) -> Fact {
    Fact::PodRefused { span: span(1, 2), code, text: "nothing was lent".to_owned() }
}

fn killed(seconds: u64) -> Fact {
    Fact::Happened { at: at(seconds), what: "the daemon is killed".to_owned(), cuts: true }
}

/// A listing: id, device, and whether a local program has it.
fn listed(asked: u64, all: &[(&str, &str, bool)]) -> Fact {
    let one = |(id, device, local): &(&str, &str, bool)| {
        let (id, device) = ((*id).to_owned(), (*device).to_owned());
        Shown { id, device, local: *local }
    };
    Fact::Listed { span: span(asked, asked), shown: all.iter().map(one).collect() }
}

#[test]
fn what_can_be_is_let_pass() {
    let these = |all: &[&str]| Asked::These(devices(all));
    let cases = [
        ("nothing happens", vec![listed(5, &[])]),
        (
            "a pod after another has its device",
            vec![pod(1, 2, 1, &["onload-7"]), ended(3, 1), pod(4, 5, 2, &["onload-7"])],
        ),
        (
            "a local holder makes way for a pod",
            vec![
                local(1, 2, "a1", "onload-7"),
                pod(3, 4, 1, &["onload-7"]),
                listed(9, &[("a1", "onload-8", true), ("a2", "onload-7", false)]),
            ],
        ),
        (
            "a local holder made way before it was answered",
            vec![local(1, 5, "a1", "onload-7"), pod(2, 4, 1, &["onload-7"])],
        ),
        (
            "a local holder made way for a pod that was cut off, and another has its device",
            vec![
                local(1, 2, "a1", "onload-7"),
                killed(4),
                in_doubt(3, 4, these(&["onload-7"])),
                local(5, 6, "a2", "onload-7"),
                listed(9, &[("a1", "onload-8", true), ("a2", "onload-7", true)]),
            ],
        ),
        (
            "what was granted a moment ago is not shown yet",
            vec![pod(1, 9, 1, &["onload-7"]), listed(9, &[])],
        ),
        (
            "a pod that was cut off may have got what the kubelet chose",
            vec![
                killed(3),
                in_doubt(2, 3, Asked::SoMany(2)),
                listed(9, &[("a1", "onload-1", false), ("a2", "onload-2", false)]),
            ],
        ),
        ("the driver is away", vec![refused(9)]),
        ("the list is whole", vec![Fact::Capacity { listed: SLOTS }]),
    ];
    for (why, facts) in cases {
        assert_eq!(violations(&facts, SLOTS), Vec::<String>::new(), "{why}");
    }
}

#[test]
fn a_forged_history_is_seen_through() {
    let lent = |id: &str, device: &str| local(1, 2, id, device);
    let cases = [
        (
            "two pods have one device",
            vec![pod(1, 2, 1, &["onload-6", "onload-7"]), pod(3, 4, 2, &["onload-7"])],
            "onload-7 is had twice",
        ),
        (
            "a local program gets what a pod has",
            vec![pod(1, 2, 1, &["onload-7"]), local(3, 4, "a2", "onload-7")],
            "onload-7 is had twice",
        ),
        (
            "two local programs have one device, for which no kubelet asked",
            vec![lent("a1", "onload-7"), local(3, 4, "a2", "onload-7")],
            "onload-7 is had twice",
        ),
        (
            "a local program has what a pod was given, and nobody moved",
            vec![
                lent("a1", "onload-7"),
                pod(3, 4, 1, &["onload-7"]),
                listed(9, &[("a1", "onload-7", true)]),
            ],
            "pod 1 has onload-7, which is not known",
        ),
        (
            "both are shown",
            vec![
                lent("a1", "onload-7"),
                pod(3, 4, 1, &["onload-7"]),
                listed(9, &[("a1", "onload-7", true), ("a2", "onload-7", false)]),
            ],
            "stands there twice",
        ),
        (
            "a pod's device is not in the ledger",
            vec![pod(1, 2, 1, &["onload-7"]), listed(9, &[])],
            "pod 1 has onload-7, which is not known",
        ),
        (
            "a pod's device is shown late",
            vec![
                pod(1, 2, 1, &["onload-7"]),
                listed(3, &[]),
                listed(6, &[("a1", "onload-7", false)]),
            ],
            "pod 1 has onload-7, which is not known",
        ),
        (
            "a local grant is lost",
            vec![lent("a1", "onload-7"), listed(9, &[])],
            "a1 is lost, with onload-7",
        ),
        (
            "a local holder is moved for nobody",
            vec![lent("a1", "onload-7"), listed(9, &[("a1", "onload-8", true)])],
            "a1 was moved from onload-7 to onload-8 for nobody",
        ),
        (
            "what was given back is still lent",
            vec![lent("a1", "onload-7"), freed(3, 4, "a1"), listed(9, &[("a1", "onload-7", true)])],
            "a1 was given back and is still there",
        ),
        (
            "a local program has a device that nobody was told of",
            vec![listed(9, &[("a1", "onload-7", true)])],
            "1 local allocations are nobody's",
        ),
        (
            "a container has a device that no kubelet asked for",
            vec![listed(9, &[("a1", "onload-7", false)])],
            "1 devices count as a container's",
        ),
        (
            "a kubelet waits for ever",
            vec![Fact::Unanswered { asked: at(1), devices: Asked::SoMany(1) }],
            "never answered",
        ),
        (
            "a call is lost although nothing was cut",
            vec![killed(1), in_doubt(8, 9, Asked::SoMany(1))],
            "cut off",
        ),
        ("a device is not offered any more", vec![refused(5)], "a pod is refused (5)"),
        ("a device is missing in a list", vec![Fact::Capacity { listed: 999 }], "a list of 999"),
    ];
    for (why, facts, expected) in cases {
        let wrong = violations(&facts, SLOTS);
        assert!(wrong.iter().any(|text| text.contains(expected)), "{why}: {wrong:?}");
        assert_eq!(wrong.len(), 1, "{why}: {wrong:?}");
    }
}

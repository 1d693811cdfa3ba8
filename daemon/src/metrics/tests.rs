//! What is counted, where the page is served, and what cannot be seen from outside.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use onload_core::change::{Change, Manner, Origin, Outcome, Past};
use onload_core::clock::picture::{ClockPicture, ClocksPicture};
use onload_core::clock::verdict::Verdict;
use onload_core::condition::Status;
use onload_core::config::MetricsSettings;
use onload_core::names::BootId;
use onload_core::picture::Picture;
use onload_core::reading::Reading;
use onload_core::time::Timestamp;

use super::*;

fn settings(socket: &str) -> MetricsSettings {
    MetricsSettings { socket: socket.to_owned(), listen: None }
}

#[test]
fn another_machines_socket_is_never_in_this_machines_directory() {
    let at = |socket, is_here, runtime: Option<&str>| {
        Places::of(&settings(socket), is_here, runtime.map(Path::new)).socket
    };
    let own = "/run/onloadd/metrics.sock";
    assert_eq!(at(own, true, None), Some(own.into()));
    assert_eq!(at(own, true, Some("/run/onloadd")), Some(own.into()));
    assert_eq!(at(own, false, Some("/tmp/x")), Some("/tmp/x/metrics.sock".into()));
    assert_eq!(at(own, true, Some("/tmp/x")), Some("/tmp/x/metrics.sock".into()), "a test's");
    assert_eq!(at(own, false, None), None, "there is nowhere to serve it");
    assert_eq!(at("/tmp/own.sock", false, None), Some("/tmp/own.sock".into()));
    assert_eq!(at("", true, Some("/run/onloadd")), None, "off");
}

fn boot(text: &str) -> BootId {
    text.parse().unwrap()
}

fn past(number: u64, boot: &BootId, took: u64, outcome: Outcome) -> Past {
    let change = Change {
        number,
        from: None,
        to: "host".parse().unwrap(),
        origin: Origin::Order(0),
        manner: Manner::default(),
        kernel: None,
        boot: Some(boot.clone()),
        began: Timestamp(10_000),
        touched: true,
        turned: None,
        called_off: false,
        confirm_by: None,
    };
    Past { change, ended: Timestamp(10_000 + took), outcome }
}

#[test]
fn changes_of_this_boot_count_once_each() {
    let this = boot("0c1d2e3f-5d74-4b8e-9a40-2f7d1c90b3e5");
    let before = boot("1c1d2e3f-5d74-4b8e-9a40-2f7d1c90b3e5");
    let meters = Meters::default();
    let done = || meters.changes().map(|(_, _, count)| count).sum::<u64>();
    let mut history = vec![past(1, &before, 5, Outcome::Done), past(2, &this, 400, Outcome::Done)];
    let picture = |history: &[Past], boot_id| Picture {
        history: Arc::new(history.to_vec()),
        boot_id,
        ..Picture::default()
    };
    meters.published(&picture(&history, Reading::Absent));
    assert_eq!(done(), 0, "which boot it is was not read yet");
    meters.published(&picture(&history, Reading::Known(this.clone())));
    meters.published(&picture(&history, Reading::Known(this.clone())));
    assert_eq!(done(), 1, "that of the boot before is not this one's");
    history.push(past(3, &this, 0, Outcome::Failed("x".to_owned())));
    history.remove(0);
    meters.published(&picture(&history, Reading::Known(this)));
    assert_eq!(done(), 2);
    let took: Vec<_> = meters.took().map(|(outcome, took)| (outcome, took.read())).collect();
    let [("done", (sum, 1, buckets)), ("rolled-back", (_, 0, _)), ("failed", (0.0, 1, _))] =
        &took[..]
    else {
        panic!("{took:?}")
    };
    assert_eq!(*sum, 0.4);
    assert_eq!(buckets[1], (0.5, 1), "in the bucket that it fits first");
}

#[test]
fn an_offset_is_told_in_seconds_and_what_is_unknown_not_at_all() {
    let clock = |synchronised, offset_ns| ClockPicture {
        synchronised,
        verdict: Verdict { offset_ns, ..Verdict::default() },
        ..ClockPicture::default()
    };
    let clocks = ClocksPicture {
        clocks: BTreeMap::from([
            ("system".to_owned(), clock(Status::True, Some(-1_500_000))),
            ("ptp0".to_owned(), clock(Status::Unknown, None)),
        ]),
        ..ClocksPicture::default()
    };
    let picture = Picture { clocks: Arc::new(clocks), ..Picture::default() };
    let page = exposition::page(Arc::new(picture), Arc::default()).unwrap();
    let lines: Vec<_> = page.lines().filter(|line| line.contains("{clock=")).collect();
    let wanted = [
        "onload_clock_synchronised{clock=\"system\"} 1",
        "onload_clock_offset_seconds{clock=\"system\"} -0.0015",
    ];
    assert_eq!(lines, wanted);
}

#[test]
fn a_histogram_counts_what_is_beyond_its_last_bound() {
    let meters = Meters::default();
    for took in [Duration::ZERO, Duration::from_micros(100), Duration::from_secs(3600)] {
        meters.answered(Source::Kubelet, took, true);
    }
    meters.answered(Source::Kubelet, Duration::from_secs(1), false);
    let (sum, count, buckets) = meters.requests(Source::Kubelet).granted.read();
    assert_eq!((count, sum), (3, 3600.0001));
    assert_eq!(buckets[0], (0.0001, 2), "a bound is within its bucket");
    assert_eq!(buckets.last(), Some(&(f64::INFINITY, 1)));
    assert_eq!(meters.requests(Source::Kubelet).refused(), 1);
    assert_eq!(meters.requests(Source::Bus).granted.read().1, 0);
}

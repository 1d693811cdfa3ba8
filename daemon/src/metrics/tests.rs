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
    // Another machine's files say nothing of it: what is built in counts (`Sources::of_command_line`).
    let built_in = MetricsSettings::default();
    let places = |runtime: Option<&str>| Places::of(&built_in, false, runtime.map(Path::new));
    assert_eq!(places(None), Places::default());
    let socket = Some("/tmp/x/metrics.sock".into());
    assert_eq!(places(Some("/tmp/x")), Places { socket, listen: None });
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
fn a_change_over_which_the_clock_was_set_counts_and_took_no_time_that_is_told() {
    const DAY: u64 = 24 * 3600 * 1000;
    let this = boot("0c1d2e3f-5d74-4b8e-9a40-2f7d1c90b3e5");
    let meters = Meters::default();
    let mut history: Vec<_> =
        [DAY, DAY + 1, 56 * 365 * DAY].map(|took| past(0, &this, took, Outcome::Done)).to_vec();
    history.push(Past { ended: Timestamp(9_999), ..past(0, &this, 0, Outcome::Done) });
    for (number, past) in (1..).zip(&mut history) {
        past.change.number = number;
    }
    meters.published(&Picture {
        history: Arc::new(history),
        boot_id: Reading::Known(this),
        ..Picture::default()
    });
    assert_eq!(meters.changes().map(|(_, _, count)| count).sum::<u64>(), 4);
    let (_, took) = meters.took().next().unwrap();
    let (sum, count, _) = took.read();
    assert_eq!((sum, count), (24.0 * 3600.0, 1));
}

#[test]
fn a_page_is_made_again_only_when_something_is_new() {
    let (letterbox, pictures, _posts) = Letterbox::new();
    let pages = Pages::of(letterbox.clone());
    let made = || pages.page().unwrap();
    let first = made();
    // One text in memory, not two that are alike.
    let is_same = |one: &bytes::Bytes, other: &bytes::Bytes| one.as_ptr() == other.as_ptr();
    assert!(is_same(&first, &made()));
    letterbox.meters().answered(Source::Bus, Duration::ZERO, false);
    let counted = made();
    assert!(!is_same(&first, &counted) && first != counted);
    letterbox.meters().registered(&"onload".parse().unwrap());
    let registered = made();
    assert!(!is_same(&counted, &registered));
    pictures.send_replace(Arc::new(Picture::default()));
    let new = made();
    assert!(!is_same(&registered, &new) && is_same(&new, &made()));
}

#[tokio::test]
async fn an_address_is_waited_for_though_no_picture_comes() {
    let (letterbox, _pictures, _posts) = Letterbox::new();
    let address = "192.0.2.1:9557".parse().unwrap();
    let mut tries = 0;
    let bind = async || {
        tries += 1;
        if tries < 3 { Err(io::ErrorKind::AddrNotAvailable.into()) } else { Ok("bound") }
    };
    let pace = Duration::from_millis(1);
    assert_eq!(bind_address(&letterbox, address, pace, bind).await, Some("bound"));
    assert_eq!(tries, 3);
    let taken = async || -> io::Result<()> { Err(io::ErrorKind::AddrInUse.into()) };
    assert_eq!(bind_address(&letterbox, address, pace, taken).await, None, "not waited for");
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

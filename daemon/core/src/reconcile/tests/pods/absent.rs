//! What it means that the kubelet does not list a device: how long each case is waited for.

use super::*;

#[test]
fn what_was_never_named_is_freed_after_the_long_time_only() {
    // An init container, which is not listed, beside a pod that is.
    let listed: Pods<'_> = &[("a/web/app", &["p-0"])];
    let mut bench = Bench::with_pods(listed);
    bench.kubelet(&["p-1"]);
    bench.until_asked(3_000, Ok(list(listed)));
    let (status, reason, message) = bench.consistent();
    assert_eq!((status, reason.as_str()), (Status::True, "NeverNamed"));
    assert!(message.starts_with("1 device is noted") && message.contains("1h"), "{message}");
    let waited = bench.until_changed(&list(listed));
    assert!((LONG - 500..=LONG).contains(&waited), "freed after {waited} ms");
    assert_eq!(bench.held(), ["p-0 a/web/app"]);
    assert_eq!(bench.consistent(), (Status::True, "Consistent".to_owned(), String::new()));

    // One that is named after all, asked for a millisecond before its time, ends as any other.
    bench.kubelet(&["p-1"]);
    bench.until_asked(3_000, Ok(list(listed)));
    bench.at += LONG - 201;
    let asked = bench.asked;
    bench.ask(root(), Command::Apply { retry: false, manner: Default::default() });
    assert_eq!(bench.asked, asked + 1);
    bench.handle(Event::KubeletSaid(Ok(list(listed))));
    assert_eq!(bench.held().len(), 2, "a millisecond early");
    let both: Pods<'_> = &[("a/web/app", &["p-0"]), ("a/job/main", &["p-1"])];
    bench.until_asked(2_000, Ok(list(both)));
    assert_eq!(bench.held(), ["p-0 a/web/app", "p-1 a/job/main"]);
    bench.until_asked(60_000, Ok(list(listed)));
    assert_eq!(bench.consistent().1, "Releasing");
    assert!(bench.until_changed(&list(listed)) <= GRACE + 200);
}

#[test]
fn the_long_time_begins_anew_with_daemon_and_kubelet() {
    let mut bench = Bench::new(FOUR, node());
    bench.kubelet(&["p-0"]);
    let nothing = list(&[]);
    let wait = |bench: &mut Bench| {
        let until = bench.at + LONG - 61_000;
        while bench.at < until {
            bench.until_asked(60_000, Ok(nothing.clone()));
        }
        assert_eq!(bench.held(), [format!("p-0 {UNNAMED}")]);
    };
    wait(&mut bench);
    bench.kubelet_again();
    wait(&mut bench);
    let mut bench = bench.again();
    wait(&mut bench);
    bench.until_changed(&nothing);
    assert!(bench.held().is_empty());
    // The time goes on while nobody answers, and while the node sleeps.
    bench.kubelet(&["p-0"]);
    bench.until_asked(3_000, Ok(nothing.clone()));
    bench.at += LONG;
    bench.until_asked(0, Err("too early"));
    assert_eq!(bench.held().len(), 1);
    bench.until_asked(60_000, Ok(nothing.clone()));
    assert!(bench.held().is_empty());
}

#[test]
fn a_kubelet_that_names_none_of_before_is_given_the_long_time() {
    let pods: Pods<'_> = &[("a/x/c", &["p-0"]), ("a/y/c", &["p-1"]), ("a/z/c", &["p-2"])];
    // Static pods only: that of the node's own, which `list` adds.
    let cut_off = list(&[]);
    for restarts in ["kubelet", "daemon"] {
        let mut bench = Bench::with_pods(pods);
        if restarts == "daemon" {
            bench = bench.again();
        } else {
            bench.kubelet_again();
        }
        bench.until_asked(3_000, Ok(cut_off.clone()));
        let until = bench.at + LONG - 61_000;
        while bench.at < until {
            bench.until_asked(60_000, Ok(cut_off.clone()));
        }
        let (status, reason, message) = bench.consistent();
        assert_eq!((status, reason.as_str()), (Status::Unknown, "Unconfirmed"), "{restarts}");
        assert!(message.contains("3 of their devices"), "{message}");
        // It reaches its API server and comes to know its pods one by one.
        bench.until_asked(60_000, Ok(list(&pods[..1])));
        assert_eq!(bench.held().len(), 3, "{restarts}: the rest have a grace from here on");
        assert_eq!(bench.consistent().1, "Releasing");
        bench.until_asked(GRACE, Ok(list(&pods[..2])));
        assert_eq!(bench.held(), ["p-0 a/x/c", "p-1 a/y/c"], "{restarts}: the third has ended");
    }
}

#[test]
fn a_kubelet_that_stays_cut_off_frees_after_the_long_time_and_not_before() {
    let mut bench = Bench::with_pods(&[("a/x/c", &["p-0"])]);
    bench.kubelet_again();
    bench.until_asked(3_000, Ok(list(&[])));
    let waited = bench.until_changed(&list(&[]));
    assert!((LONG - 500..=LONG).contains(&waited), "freed after {waited} ms");
    // One that it comes to name is as good as any of before.
    bench.kubelet(&["p-0"]);
    bench.until_asked(3_000, Ok(list(&[("a/x/c", &["p-0"])])));
    bench.until_asked(60_000, Ok(list(&[])));
    assert!(bench.until_changed(&list(&[])) <= GRACE + 200);
}

#[test]
fn what_is_missing_for_several_reasons_is_told_and_freed_each_by_its_own() {
    let pods: Pods<'_> = &[("a/x/c", &["p-0"]), ("a/y/c", &["p-1"])];
    let mut bench = Bench::with_pods(pods);
    bench.kubelet(&["p-2"]);
    bench.until_asked(3_000, Ok(list(pods)));
    bench.until_asked(60_000, Ok(list(&pods[..1])));
    let (_, reason, message) = bench.consistent();
    assert_eq!(reason, "NeverNamed");
    assert!(message.contains("1 device is noted") && message.contains("have ended"), "{message}");
    assert!(bench.until_changed(&list(&pods[..1])) <= GRACE + 200);
    assert_eq!(bench.held(), ["p-0 a/x/c".to_owned(), format!("p-2 {UNNAMED}")]);
    bench.kubelet_again();
    bench.until_asked(3_000, Ok(list(&[])));
    let (_, reason, message) = bench.consistent();
    assert_eq!(reason, "Unconfirmed");
    assert!(message.contains("1 of their devices"), "{message}");
    assert!(message.contains("; 1 device is noted"), "{message}");
    // All that is free is lent; what is only noted is not, and the refusal says so.
    let local = bench.allocate(root(), 2);
    bench.pass(200);
    assert_eq!(bench.told(local), "p-3 p-1");
    let refused = bench.allocate(root(), 1);
    let Some(Err(refusal)) = bench.answers.get(&refused) else { panic!("lent") };
    assert!(refusal.why.contains("; 1 device is noted"), "{refusal}");
    assert!(refusal.fix.contains("free --force"), "{refusal}");
}

#[test]
fn the_word_of_a_kubelet_that_has_gone_does_not_count() {
    let mut bench = Bench::with_pods(&[("a/x/c", &["p-0"]), ("a/y/c", &["p-1"])]);
    let asked = bench.asked;
    while bench.asked == asked {
        bench.pass(1_000);
    }
    bench.kubelet_again();
    bench.handle(Event::KubeletSaid(Ok(list(&[("a/x/c", &["p-0"])]))));
    bench.until_asked(3_000, Ok(list(&[])));
    assert_eq!(bench.consistent().1, "Unconfirmed", "the former one has confirmed nothing");
    // Nor does the new one's before it takes the plugin: it may answer long before.
    bench.handle(Event::Registered { pool: "p".parse().unwrap(), registered: false });
    bench.until_asked(60_000, Ok(list(&[])));
    bench.until_asked(60_000, Ok(list(&[])));
    assert_eq!(bench.held().len(), 2);
}

#[test]
fn a_name_that_may_be_the_former_pods_frees_nothing_early() {
    let other: Pods<'_> = &[("a/web/app", &["p-1"])];
    let with_old: Pods<'_> = &[("a/old/c", &["p-0"]), ("a/web/app", &["p-1"])];
    let mut bench = Bench::with_pods(with_old);
    // An init container of another pod gets what the ended one is still listed with (k8s#132020).
    bench.kubelet(&["p-0"]);
    bench.until_asked(3_000, Ok(list(with_old)));
    bench.until_asked(60_000, Ok(list(other)));
    let waited = bench.until_changed(&list(other));
    assert!((LONG - 500..=LONG).contains(&waited), "freed after {waited} ms");
}

#[test]
fn a_pod_made_again_under_its_name_ends_as_any_other_once_it_is_certain_to_be_itself() {
    let pods: Pods<'_> = &[("a/web-0/app", &["p-0"]), ("a/db-0/db", &["p-1"])];
    for (lived, expected) in [(LONG / 2, LONG), (LONG, GRACE)] {
        let mut bench = Bench::with_pods(pods);
        // It returns before its grace is over, and is given what it had.
        bench.kubelet(&["p-0"]);
        let until = bench.at + lived;
        while bench.at <= until {
            bench.until_asked(60_000, Ok(list(pods)));
        }
        bench.until_asked(60_000, Ok(list(&pods[1..])));
        let (_, reason, message) = bench.consistent();
        if expected == LONG {
            assert_eq!(reason, "NeverNamed");
            assert!(message.contains("or only with the name of the pod before it"), "{message}");
        } else {
            assert_eq!(reason, "Releasing", "{message}");
        }
        let waited = bench.until_changed(&list(&pods[1..]));
        assert!((expected - 500..=expected + 200).contains(&waited), "freed after {waited} ms");
        assert_eq!(bench.held(), ["p-1 a/db-0/db"]);
    }
}

#[test]
fn a_pool_that_is_configured_no_more_makes_nobody_believed() {
    let stays: Pods<'_> = &[("a/web/app", &["p-0"])];
    let mut bench = Bench::with_pods(stays);
    bench.until_asked(60_000, Ok(list(stays)));
    // Its devices stay with their pods; the kubelet may restart now, and nobody would be told.
    let config = crate::reconcile::tests::lab::parse("[pools.q]\nslots = 1\nnuma-nodes = [7]\n")
        .map(Box::new);
    bench.handle(Event::Configuration { request: None, config });
    bench.handle(Event::Registered { pool: "p".parse().unwrap(), registered: false });
    let nothing = list(&[("a/static/one", &[])]);
    for _ in 0..5 {
        bench.until_asked(60_000, Ok(nothing.clone()));
    }
    assert_eq!(bench.held(), ["p-0 a/web/app"]);
}

//! Several pools with one kubelet: what one of them goes through is not the others' business.

use super::*;

const TWO: &str = "[pools.p]\nslots = 4\n[pools.q]\nslots = 2\n";

fn register(bench: &mut Bench, pool: &str, registered: bool) {
    bench.handle(Event::Registered { pool: pool.parse().unwrap(), registered });
}

/// Two pools that the kubelet has taken, and pods that have devices of the first.
fn bench(pods: Pods<'_>) -> Bench {
    let mut bench = Bench::new(TWO, node());
    register(&mut bench, "q", true);
    pods.iter().for_each(|(_, devices)| assert_ne!(bench.kubelet(devices).0, 0));
    for within in [3_000, 60_000] {
        bench.until_asked(within, Ok(list(pods)));
    }
    bench
}

/// The second pool goes and comes every few seconds, as where another plugin wants its resource; the
/// kubelet answers so. The time until what is held changes.
fn until_changed(bench: &mut Bench, answer: &PodList) -> u64 {
    let (held, began) = (bench.held(), bench.at);
    while bench.held() == held {
        assert!(bench.at < began + 2 * LONG, "{held:?} for ever");
        register(bench, "q", false);
        register(bench, "q", true);
        for _ in 0..8 {
            let asked = bench.asked;
            bench.pass(1_000);
            if bench.asked > asked {
                bench.handle(Event::KubeletSaid(Ok(answer.clone())));
            }
        }
    }
    bench.at - began
}

#[test]
fn a_pool_that_comes_and_goes_stops_no_grace_of_another() {
    let pods: Pods<'_> = &[("a/x/c", &["p-0"]), ("a/y/c", &["p-1"])];
    let mut bench = bench(pods);
    assert!(until_changed(&mut bench, &list(&pods[..1])) <= GRACE + 10_000);
    assert_eq!(bench.held(), ["p-0 a/x/c"]);
    // Nor does what is not confirmed for the one unsettle what is for the other.
    assert!(until_changed(&mut bench, &list(&[])) <= GRACE + 10_000);
    assert_eq!(bench.held(), [""; 0]);
}

#[test]
fn what_a_pool_lent_is_counted_anew_when_it_comes_again() {
    let pods: Pods<'_> = &[("a/x/c", &["p-0"])];
    let mut bench = bench(pods);
    bench.until_asked(60_000, Ok(list(&[])));
    bench.pass(GRACE - 1_000);
    bench.kubelet_again();
    bench.until_asked(3_000, Ok(list(&[])));
    let (_, reason, message) = bench.consistent();
    assert_eq!((bench.held().len(), reason.as_str()), (1, "Unconfirmed"));
    assert!(message.contains("since it took their pool"), "{message}");
    // A kubelet that restarts is seen to go from one pool after the other, and perhaps comes to one
    // before it has gone from another.
    bench.until_asked(60_000, Ok(list(pods)));
    assert_eq!(bench.consistent().1, "Consistent");
    register(&mut bench, "q", false);
    register(&mut bench, "q", true);
    bench.kubelet_again();
    bench.until_asked(3_000, Ok(list(&[])));
    let waited = bench.until_changed(&list(&[]));
    assert!(waited >= LONG - 500, "freed after {waited} ms");
}

#[test]
fn what_is_left_of_a_pool_that_is_no_more_is_counted_anew_with_the_kubelet() {
    let pods: Pods<'_> = &[("a/x/c", &["p-0"])];
    let mut bench = bench(pods);
    let file = Fragment { file: "x".to_owned(), text: "[pools.q]\nslots = 2\n".to_owned() };
    let config = Config::merge(&[file]).map(Box::new);
    bench.handle(Event::Configuration { request: None, config });
    register(&mut bench, "p", false);
    bench.until_asked(60_000, Ok(list(pods)));
    register(&mut bench, "q", false);
    register(&mut bench, "q", true);
    bench.until_asked(3_000, Ok(list(&[])));
    assert_eq!(bench.consistent().1, "Unconfirmed", "another kubelet than the one that named it");
}

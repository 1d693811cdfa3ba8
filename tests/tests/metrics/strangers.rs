//! Clients that mean no good, or never finish: they cost the node nothing that lasts, and keep nobody
//! else from the page.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use onload_tests::node::Node;

use crate::client::{SCRAPE, connect, scrape, socket};

/// What an answer may take on a loaded machine; less than what the daemon gives a connection.
const SOON: Duration = Duration::from_secs(8);

/// The daemon does as ever: it answers on the bus, and has a page for who asks.
fn serves(node: &Node) {
    let before = Instant::now();
    assert_eq!(node.status().unwrap()["state"], "ready");
    scrape(node).unwrap();
    assert!(before.elapsed() < SOON, "it took {:?}", before.elapsed());
}

fn descriptors(node: &Node) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", node.pid().unwrap())).unwrap().count()
}

#[test]
fn those_who_never_finish_keep_nobody_out() {
    let node = Node::simulated("two-x2522").unwrap();
    let before = descriptors(&node);
    let mut slow: Vec<_> = (0..40).map(|_| connect(&socket(&node)).unwrap()).collect();
    for stream in &mut slow {
        // Who has lost the place already gets an error: no matter.
        let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nX-Slow: ");
    }
    serves(&node);
    for stream in &mut slow {
        let _ = stream.write_all(b"a");
    }
    serves(&node);
    let held = descriptors(&node);
    assert!(held <= before + 8, "{held} descriptors, {before} before: a few places, no more");
    drop(slow);
}

#[test]
fn a_connection_has_its_end_whatever_its_client_does() {
    let node = Node::simulated("two-x2522").unwrap();
    let mut silent = connect(&socket(&node)).unwrap();
    let began = Instant::now();
    let mut rest = Vec::new();
    // Whether by an end or an error: it is over before the test's own patience is.
    let _ = silent.read_to_end(&mut rest);
    let took = began.elapsed();
    assert!(took > Duration::from_secs(5) && took < Duration::from_secs(25), "{took:?}");
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 4"), "{rest:?}");
    serves(&node);
}

#[test]
fn a_thousand_at_once_are_survived() {
    let node = Node::simulated("two-x2522").unwrap();
    let before = descriptors(&node);
    let mut open = Vec::new();
    for _ in 0..1000 {
        let mut stream = connect(&socket(&node)).unwrap();
        let _ = stream.write_all(SCRAPE.as_bytes());
        open.push(stream);
    }
    serves(&node);
    // Their requests came with them, so most were answered though none reads.
    let is_answered = |stream: &mut UnixStream| {
        let mut first = [0; 12];
        stream.read_exact(&mut first).is_ok() && first == *b"HTTP/1.1 200"
    };
    let answered = open.iter_mut().map(is_answered).filter(|answered| *answered).count();
    assert!(answered >= 900, "{answered} of 1000 were answered");
    drop(open);
    serves(&node);
    let after = descriptors(&node);
    assert!(after <= before + 8, "{after} descriptors, {before} before");
}

#[test]
fn what_is_no_request_is_refused_or_dropped() {
    let node = Node::simulated("two-x2522").unwrap();
    let mut long = b"GET /metrics HTTP/1.1\r\nX-Long: ".to_vec();
    long.resize(1_000_000, b'a');
    let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "X-Many: 1\r\n".repeat(500));
    let path = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(100_000));
    let mut noise = fastrand::Rng::with_seed(9557);
    let noise: Vec<u8> = std::iter::repeat_with(|| noise.u8(..)).take(65_536).collect();
    let cases: [(&str, &[u8]); 8] = [
        ("a header of a megabyte", &long),
        ("five hundred headers", many.as_bytes()),
        ("a path of 100 kB", path.as_bytes()),
        ("noise", &noise),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("another protocol", b"EHLO node\r\n"),
        (
            "two lengths",
            b"POST /metrics HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 9\r\n\r\nhello",
        ),
    ];
    for (what, bytes) in cases {
        let mut stream = connect(&socket(&node)).unwrap();
        // It may be closed before all of it is sent.
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let text = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || text.starts_with("HTTP/1.1 4"), "{what}: {text}");
        serves(&node);
    }
}

#[test]
fn who_sends_two_requests_at_once_gets_one_answer() {
    let node = Node::simulated("two-x2522").unwrap();
    let mut stream: UnixStream = connect(&socket(&node)).unwrap();
    stream.write_all(SCRAPE.repeat(3).as_bytes()).unwrap();
    let mut text = String::new();
    // The end may be a reset, as what was sent is not all read.
    let _ = stream.read_to_string(&mut text);
    assert!(text.matches("HTTP/1.1 200").count() <= 1, "{text}");
    serves(&node);
}

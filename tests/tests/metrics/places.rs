//! Where the page is and where it is not: sockets, addresses, and what is in their way.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::process::Command;

use onload_tests::node::Node;
use onload_tests::skip::skip;

use crate::client::{SCRAPE, ask, connect, scrape, scrape_at, socket};

/// An address that nobody listens at, or nobody did a moment ago.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn the_same_page_is_at_the_address_that_is_asked_for() {
    let mut node = Node::stopped("two-x2522").unwrap();
    let address = free_address();
    node.configure("metrics.toml", &format!("[metrics]\nlisten = \"{address}\"\n")).unwrap();
    node.start().unwrap();
    let (there, here) = (scrape_at(&address).unwrap(), scrape(&node).unwrap());
    assert_eq!(there.families.keys().collect::<Vec<_>>(), here.families.keys().collect::<Vec<_>>());
    assert_eq!(there.sum("onload_devices"), 100.0);
    // Whoever stopped leaves neither behind.
    node.stop().unwrap();
    assert!(!socket(&node).exists());
    assert!(std::net::TcpStream::connect(&address).is_err());
}

#[test]
fn without_a_word_there_is_no_address_and_with_one_no_socket() {
    let mut node = Node::stopped("two-x2522").unwrap();
    node.configure("metrics.toml", "[metrics]\nsocket = \"\"\n").unwrap();
    node.start().unwrap();
    assert!(!socket(&node).exists());
    let sockets = fs::read_to_string(format!("/proc/{}/net/tcp", node.pid().unwrap())).unwrap();
    let own = fs::read_dir(format!("/proc/{}/fd", node.pid().unwrap())).unwrap();
    let own: Vec<_> = own.flatten().filter_map(|fd| fs::read_link(fd.path()).ok()).collect();
    // Column 10 is the inode of the socket.
    let tcp = sockets.lines().skip(1).filter_map(|line| line.split_whitespace().nth(9));
    for inode in tcp {
        let name = format!("socket:[{inode}]");
        assert!(!own.iter().any(|one| one.as_os_str() == name.as_str()), "it has a TCP socket");
    }
}

#[test]
fn everybody_on_the_node_may_read_and_nobody_may_replace() {
    let open = tempfile::tempdir().unwrap();
    fs::set_permissions(open.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = open.path().join("metrics.sock");
    let mut node = Node::stopped("two-x2522").unwrap();
    node.configure("metrics.toml", &format!("[metrics]\nsocket = {path:?}\n")).unwrap();
    node.start().unwrap();
    let mode = fs::symlink_metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o666);
    let own = Command::new("id").arg("-u").output().unwrap();
    if own.stdout != b"0\n" {
        return skip("everybody_on_the_node_may_read", "only root can become somebody else");
    }
    let curl = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "curl", "--silent"])
        .args(["--max-time", "20", "--unix-socket"])
        .arg(&path)
        .arg("http://localhost/metrics")
        .output();
    match curl {
        Ok(read) if read.status.success() => {
            let text = String::from_utf8(read.stdout).unwrap();
            assert!(text.ends_with("# EOF\n"), "{text}");
        }
        Ok(failed) => panic!("{failed:?}"),
        Err(error) => skip("everybody_on_the_node_may_read", &format!("no setpriv: {error}")),
    }
}

#[test]
fn a_socket_left_behind_is_replaced() {
    let mut node = Node::stopped("two-x2522").unwrap();
    fs::create_dir_all(node.runtime_directory()).unwrap();
    drop(UnixListener::bind(socket(&node)).unwrap());
    assert!(socket(&node).exists());
    node.start().unwrap();
    scrape(&node).unwrap();
    // A daemon that is killed leaves its own.
    node.kill().unwrap();
    node.start().unwrap();
    scrape(&node).unwrap();
}

#[test]
fn what_is_in_the_way_is_told_and_the_daemon_runs() {
    let mut node = Node::stopped("two-x2522").unwrap();
    fs::create_dir_all(node.runtime_directory()).unwrap();
    fs::write(socket(&node), "somebody's file").unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    node.configure("metrics.toml", &format!("[metrics]\nlisten = \"{address}\"\n")).unwrap();
    node.start().unwrap();
    node.until_state("ready").unwrap();
    assert_eq!(fs::read_to_string(socket(&node)).unwrap(), "somebody's file");
    let log = node.log();
    for told in [
        "ERROR",
        "metrics are not served on their socket",
        "a file of that name that is not a socket",
        "metrics are not served at their address",
        "end who has the port",
    ] {
        assert!(log.contains(told), "no `{told}` in {log}");
    }
}

#[test]
fn a_directory_that_is_not_there_is_told() {
    let mut node = Node::stopped("two-x2522").unwrap();
    let nowhere = node.state_directory().join("no/such/directory/metrics.sock");
    node.configure("metrics.toml", &format!("[metrics]\nsocket = {nowhere:?}\n")).unwrap();
    node.start().unwrap();
    node.until_state("ready").unwrap();
    let log = node.log();
    assert!(log.contains("metrics are not served on their socket"), "{log}");
    assert!(log.contains("No such file or directory"), "{log}");
}

#[test]
fn an_address_that_is_none_refuses_the_configuration_with_its_line() {
    let node = Node::stopped("two-x2522").unwrap();
    for (listen, why) in [("localhost:9557", "names are not looked up"), ("127.0.0.1:0", "a port")]
    {
        node.configure("metrics.toml", &format!("[metrics]\n\nlisten = \"{listen}\"\n")).unwrap();
        let root = node.config_root().display().to_string();
        let checked = Command::new(onload_tests::binaries::binary("onloadd"))
            .args(["--sim", "two-x2522", "--check-config", "--config-root", &root])
            .output()
            .unwrap();
        let said = String::from_utf8(checked.stderr).unwrap();
        assert!(!checked.status.success(), "{listen}");
        assert!(said.contains("metrics.toml:3: metrics.listen"), "{said}");
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn what_is_not_asked_rightly_is_told_in_the_words_of_http() {
    let node = Node::simulated("two-x2522").unwrap();
    let get = |request: &str| ask(connect(&socket(&node)).unwrap(), request.as_bytes()).unwrap();
    let line = |line: &str| format!("{line} HTTP/1.1\r\nHost: node\r\n\r\n");
    let missing = get(&line("GET /"));
    assert_eq!(missing.status, 404);
    assert!(missing.body.contains("/metrics"), "{missing:?}");
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let refused = get(&line(&format!("{method} /metrics")));
        assert_eq!(refused.status, 405, "{method}");
        assert!(refused.head.contains("allow: get, head"), "{refused:?}");
    }
    let (whole, head) = (get(SCRAPE), get(&line("HEAD /metrics?x=y")));
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert!(head.head.contains("content-length: "), "{head:?}");
    assert!(!whole.body.is_empty());
    let mut said_all = connect(&socket(&node)).unwrap();
    said_all.write_all(SCRAPE.as_bytes()).unwrap();
    said_all.shutdown(Shutdown::Write).unwrap();
    let mut heard = String::new();
    said_all.read_to_string(&mut heard).unwrap();
    assert!(heard.starts_with("HTTP/1.1 200") && heard.ends_with("# EOF\n"), "{heard}");
    // Each connection is for one request: there is no idle one to keep.
    assert!(whole.head.contains("connection: close"), "{whole:?}");
    assert!(fs::symlink_metadata(socket(&node)).unwrap().file_type().is_socket());
}

//! Profiles with the names, values and constructs of the shipped ones come to what the launcher
//! makes of them (reference/kubernetes-onload.md sections 5.3 and 5.4), and the language means what
//! it means to the shells of this machine.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops where it broke"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use onload_core::profile::{Outcome, Precedence, Reason, Refused, Request, evaluate};
use onload_tests::node::Node;
use onload_tests::skip::skip;

fn read(path: &str) -> Result<Option<Vec<u8>>, String> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

fn pairs(words: &[(&str, &str)]) -> BTreeMap<String, String> {
    words.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn request(names: &str, environment: &[(&str, &str)]) -> Request {
    Request {
        profiles: names.split(',').map(str::to_owned).collect(),
        directories: vec![Node::repository("tests/profiles").to_str().unwrap().to_owned()],
        environment: pairs(environment),
        ..Request::default()
    }
}

fn of(names: &str, environment: &[(&str, &str)]) -> Result<Outcome, Refused> {
    evaluate(&request(names, environment), &read)
}

/// What is set, `EF_` left out.
fn values(outcome: &Outcome) -> BTreeMap<String, String> {
    let each = outcome.variables.iter();
    each.map(|(name, one)| (name.strip_prefix("EF_").unwrap_or(name).to_owned(), one.value.clone()))
        .collect()
}

/// `NAME value; NAME value`; the first of a name holds, as in a launcher.
fn table(lists: &[&str]) -> BTreeMap<String, String> {
    let mut table = BTreeMap::new();
    for (name, value) in
        lists.iter().flat_map(|list| list.split("; ")).filter_map(|pair| pair.split_once(' '))
    {
        table.entry(name.to_owned()).or_insert(value.to_owned());
    }
    table
}

const LATENCY: &str = "POLL_USEC 100000; TCP_FASTSTART_INIT 0; TCP_FASTSTART_IDLE 0";
const NO_SPIN: &str = "PKT_WAIT_SPIN 0; TCP_RECV_SPIN 0; TCP_SEND_SPIN 0; TCP_CONNECT_SPIN 0; \
    TCP_ACCEPT_SPIN 0; UDP_RECV_SPIN 0; UDP_SEND_SPIN 0";
const STORE: &str = "EPOLL_MT_SAFE 1; RXQ_SIZE 4096; CLUSTER_IGNORE 1; HIGH_THROUGHPUT_MODE 1; \
    CTPIO 0; PIO 0";
const BASE: &str = "TX_PUSH 0; PIO 0; CTPIO 0; HIGH_THROUGHPUT_MODE 1";
const WAN: &str = "TCP_INITIAL_CWND 14600; DYNAMIC_ACK_THRESH 4; TCP_RCVBUF_MODE 1; \
    TCP_RCVBUF_STRICT 1; ENDPOINT_PACKET_RESERVE 3";
const THROUGHPUT: &str = "UL_EPOLL 3; TCP_SYNRECV_MAX 1000000; TCP_SHARED_LOCAL_PORTS 570000; \
    TCP_SHARED_LOCAL_PORTS_MAX 570000; TCP_SHARED_LOCAL_PORTS_REUSE_FAST 1; \
    TCP_SHARED_LOCAL_PORTS_NO_FALLBACK 1; TCP_SHARED_LOCAL_PORTS_PER_IP 1; \
    TCP_SHARED_LOCAL_PORTS_PER_IP_MAX 32000; TCP_SHARED_LOCAL_PORTS_STEP 2048; \
    MAX_ENDPOINTS 1000000; SOCKET_CACHE_MAX 250000; INT_DRIVEN 0; POLL_USEC 20; PREALLOC_PACKETS 1; \
    USE_HUGE_PAGES 2; KERNEL_PACKETS_BATCH_SIZE 1";
const PROXY: &str = "CLUSTER_NAME prox; CLUSTER_RESTART 1; CLUSTER_HOT_RESTART 1; \
    SCALABLE_FILTERS any=rss:active:passive; SCALABLE_FILTERS_ENABLE 2; SCALABLE_LISTEN_MODE 1; \
    EPOLL_MT_SAFE 1";
const WEB: &str = "NGINX_NUM_WORKERS 4; EPOLL_MT_SAFE 1; CLUSTER_SIZE 4; CLUSTER_NAME webs; CLUSTER_RESTART 1; \
    CLUSTER_HOT_RESTART 1; POLL_USEC 1000000; MAX_PACKETS 1440000";
const NODE: &str = "NODEJS_PORT_NUMBERS 8080; NODEJS_WORKERS 24; KERNEL_PACKETS_BATCH_SIZE 1; \
    MAX_PACKETS 32000; PREALLOC_PACKETS 1; CTPIO_MODE sf-np; USE_HUGE_PAGES 2; MAX_ENDPOINTS 100000; \
    SOCKET_CACHE_MAX 4166; TCP_SHARED_LOCAL_PORTS 50; TCP_SHARED_LOCAL_PORTS_REUSE_FAST 1; \
    TCP_INITIAL_CWND 14600; TAIL_DROP_PROBE 1; TCP_RCVBUF_MODE 1; TCP_SYNCOOKIES 1; \
    TCP_SYNRECV_MAX 10000; HIGH_THROUGHPUT_MODE 1; TX_PUSH 1; POLL_USEC 1000000; SLEEP_SPIN_USEC 50; \
    EPOLL_SPIN 0; PKT_WAIT_SPIN 0; PIPE_RECV_SPIN 0; PIPE_SEND_SPIN 0; TCP_ACCEPT_SPIN 0; \
    TCP_CONNECT_SPIN 0; TCP_RECV_SPIN 0; TCP_SEND_SPIN 0";
const EPOLL: &str = "EPOLL_CTL_FAST 1; EPOLL_MT_SAFE 1; UL_EPOLL 3";
const NODE_CLUSTER: &str = "TCP_FORCE_REUSEPORT 8080; CLUSTER_SIZE 24; CLUSTER_NAME node";

type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [&'a str]);

#[test]
fn every_shipped_name_has_its_values() {
    let four: &[(&str, &str)] = &[("NGINX_NUM_WORKERS", "4")];
    let best = "CTPIO_SWITCH_BYPASS 1; EPOLL_MT_SAFE 1; TPH_MODE 2; CTPIO_MODE ct";
    let safe = "FDS_MT_SAFE 0; EPOLL_MT_SAFE 0; SELECT_FAST 0; POLL_FAST 0; POLL_FAST_USEC 0; \
        SELECT_FAST_USEC 0; POLL_NONBLOCK_FAST_USEC 0; SELECT_NONBLOCK_FAST_USEC 0; UL_EPOLL 2; \
        EPOLL_CTL_FAST 0; EPOLL_CTL_HANDOFF 0; TCP_SNDBUF_MODE 1; TCP_RCVBUF_STRICT 1; \
        FORCE_SEND_MULTICAST 0; TCP_SEND_NONBLOCK_NO_PACKETS_MODE 1";
    let (balanced, busy) = ("INT_DRIVEN 0; POLL_USEC 20", "POLL_USEC 100000");
    let (one, proxy_of_four) = (
        "PIPE 0; CLUSTER_SIZE 1; MAX_PACKETS 2880000",
        "NGINX_NUM_WORKERS 4; CLUSTER_SIZE 4; MAX_PACKETS 720000",
    );
    let quick = "TX_PUSH 1; SLEEP_SPIN_USEC 0";
    let node_3 = "NODEJS_MODE 3; FDS_MT_SAFE 0; FDTABLE_STRICT 1; EPOLL_CTL_FAST 0; \
        EPOLL_CTL_HANDOFF 0; EPOLL_MT_SAFE 0; UL_EPOLL 3";
    let cases: &[Case<'_>] = &[
        ("latency", &[], &[LATENCY]),
        // The environment's value is the result's too.
        ("latency-best", &[("EF_CTPIO_MODE", "ct")], &[LATENCY, best]),
        ("safe", &[], &[safe]),
        ("cloud", &[], &["HIGH_THROUGHPUT_MODE 1; CTPIO 0; PIO 0; UDP 0"]),
        ("zeromq", &[], &["POLL_FAST_USEC 0; POLL_NONBLOCK_FAST_USEC 0"]),
        ("redis-performance", &[], &[busy, "UL_EPOLL 2", STORE]),
        ("nettyio-performance", &[], &[busy, "UL_EPOLL 3", STORE]),
        ("redis-balanced", &[], &[balanced, NO_SPIN, "UL_EPOLL 2", STORE]),
        ("nettyio-balanced", &[], &[balanced, NO_SPIN, "UL_EPOLL 3", STORE]),
        ("nginx-like-st", &[], &[BASE, WAN]),
        ("haproxy-balanced", &[], &[one, PROXY, THROUGHPUT, BASE, NO_SPIN, WAN]),
        ("haproxy-performance", &[], &[quick, one, PROXY, THROUGHPUT, BASE, NO_SPIN, WAN]),
        // The override that is documented never worked, and does not here.
        (
            "haproxy-performance",
            &[("PROXY_WORKERS", "4")],
            &[quick, one, PROXY, THROUGHPUT, BASE, NO_SPIN, WAN],
        ),
        ("nginx-proxy-balanced", four, &[proxy_of_four, PROXY, THROUGHPUT, BASE, NO_SPIN, WAN]),
        (
            "nginx-proxy-performance",
            four,
            &[quick, proxy_of_four, PROXY, THROUGHPUT, BASE, NO_SPIN, WAN],
        ),
        (
            "nginx-webserver-balanced",
            four,
            &["SLEEP_SPIN_USEC 50", WEB, THROUGHPUT, BASE, NO_SPIN, WAN],
        ),
        ("nginx-webserver-performance", four, &[WEB, THROUGHPUT, BASE, NO_SPIN, WAN]),
        (
            "node-js",
            &[("NODEJS_MODE", "0")],
            &["NODEJS_MODE 0; CLUSTER_IGNORE 1; INT_DRIVEN 1", EPOLL, NODE],
        ),
        ("node-js", &[], &["NODEJS_MODE 1; INT_DRIVEN 1", NODE_CLUSTER, EPOLL, NODE]),
        ("node-js", &[("NODEJS_MODE", "2")], &["NODEJS_MODE 2", NODE_CLUSTER, EPOLL, NODE]),
        ("node-js", &[("NODEJS_MODE", "3")], &[node_3, NODE_CLUSTER, NODE]),
    ];
    let mut names: Vec<_> = fs::read_dir(Node::repository("tests/profiles"))
        .unwrap()
        .filter_map(|file| {
            Some(file.unwrap().file_name().to_str()?.strip_suffix(".opf")?.to_owned())
        })
        .collect();
    for (name, environment, expected) in cases {
        let outcome = of(name, environment).unwrap_or_else(|refused| panic!("{name}: {refused}"));
        assert_eq!(values(&outcome), table(expected), "{name} with {environment:?}");
        names.retain(|left| left != name);
    }
    assert_eq!(names, Vec::<String>::new(), "every profile has a row");
}

#[test]
fn precedence_is_the_launchers() {
    let five = &[("EF_POLL_USEC", "5")];
    let outcome = of("latency,redis-balanced", five).unwrap();
    assert_eq!(outcome.variables["EF_POLL_USEC"].value, "5", "the environment wins");
    assert_eq!(outcome.variables["EF_POLL_USEC"].origin, None);
    let outcome = of("latency,redis-balanced", &[]).unwrap();
    assert_eq!(outcome.variables["EF_POLL_USEC"].value, "100000", "then the first profile");
    let forced =
        Request { precedence: Precedence::Profiles, ..request("latency,redis-balanced", five) };
    let outcome = evaluate(&forced, &read).unwrap();
    assert_eq!(outcome.variables["EF_POLL_USEC"].value, "20", "forced: the last profile");
}

#[test]
fn what_the_machine_decides_is_refused_with_line_and_remedy() {
    let refused = of("latency-best", &[]).unwrap_err();
    let place = refused.place.unwrap();
    assert!(refused.file.ends_with("/latency-best.opf") && place.line == 6, "{refused}");
    assert!(refused.fix().contains("EF_CTPIO_MODE"), "{}", refused.fix());
    let refused = of("nginx-webserver-balanced", &[]).unwrap_err();
    assert!(refused.file.ends_with("/nginx-parse-config.opf-fragment"), "{refused}");
    assert!(refused.fix().contains("NGINX_NUM_WORKERS"), "{}", refused.fix());
    let asked = Request {
        arguments: ["haproxy", "-f", "/etc/haproxy.cfg"].map(str::to_owned).into(),
        ..request("haproxy-balanced", &[])
    };
    let refused = evaluate(&asked, &read).unwrap_err();
    assert_eq!(refused.reason, Reason::NeedsShell("the command `perl`".to_owned()), "{refused}");
    let refused = of("node-js", &[("NODEJS_MODE", "7")]).unwrap_err();
    assert!(matches!(refused.reason, Reason::Fails(_)), "{refused}");
}

/// The launcher's rule in a shell's words, for comparison.
const LAUNCHER: &str = r#"
log() { :; }; vlog() { :; }; err() { :; }
onload_set() {
  if [ -n "$2" ]; then name=$1 value=$2; else name=${1%%=*} value=${1#*=} value=${value%%=*}; fi
  eval "former=\$$name"
  if [ -z "$former" ]; then eval "$name=\$value"; export "$name"; fi
}
onload_import() {
  for place in "$PROFILES/$1.opf" "$PROFILES/$1.opf-fragment"; do [ -f "$place" ] && break; done
  shift; . "$place"
}
"#;

/// What a shell makes of a profile; none where it ends badly.
fn by_shell(shell: &str, script: &str, environment: &[(&str, &str)]) -> BTreeMap<String, String> {
    let text = format!("{LAUNCHER}\n{script}\nexec /usr/bin/env -0 >&3");
    let mut command = Command::new("/bin/bash");
    // The variables come on a channel of their own, since profiles print.
    command.args(["-c", "exec 3>&1 >/dev/null 2>&1; exec \"$@\"", "-", shell, "-c", &text]);
    command.env_clear().env("PATH", "/usr/bin:/bin").envs(environment.iter().copied());
    command.env("PROFILES", Node::repository("tests/profiles"));
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split('\0')
        .filter_map(|line| line.split_once('='))
        .map(|(n, v)| (n.into(), v.into()))
        .collect()
}

#[test]
fn shells_agree() {
    let shells = ["/bin/bash", "/bin/dash"].into_iter().filter(|shell| Path::new(shell).exists());
    let shells: Vec<_> = shells.collect();
    if !shells.contains(&"/bin/bash") {
        return skip("shells_agree", "there is no bash here to compare with");
    }
    let scripts: [(&str, &[(&str, &str)]); 18] = [
        ("onload_import safe", &[]),
        ("onload_import latency; onload_import redis-balanced", &[("EF_POLL_USEC", "5")]),
        ("onload_import haproxy-performance", &[]),
        ("onload_import haproxy-balanced", &[("PROXY_WORKERS", "4")]),
        ("onload_import nginx-proxy-balanced", &[("NGINX_NUM_WORKERS", "4")]),
        ("onload_import nginx-webserver-balanced", &[("NGINX_NUM_WORKERS", "7")]),
        ("onload_import nginx-like-st", &[("EF_PIO", "")]),
        ("onload_import latency-best", &[("EF_CTPIO_MODE", "sf")]),
        ("onload_set EF_A=b=c\nonload_set EF_B ''\nonload_set EF_C $none\nonload_set EF_D=", &[]),
        ("onload_set EF_A 'a b'\"c $EF_X d\"\\ e${EF_X}f", &[("EF_X", "  1 2 ")]),
        ("x=' 1  2 '\nfor y in a$x\"$x\"b; do z=$z[$y]; done; onload_set EF_A \"$z\"", &[]),
        ("x=7; onload_set EF_A $(( (x + 1)*2 / 3 - -4 % 3 )); onload_set EF_B $((-7/2*010))", &[]),
        (
            "f() { local x=$1; y=$x$2; echo \"$x\"; }\nx=0; z=$(f a b); f c d >&2; onload_set EF_A \"$x$y$z\"",
            &[],
        ),
        ("export EF_A=1 EF_B; EF_B=2; EF_C=3; EF_X=4; unset EF_Y", &[("EF_X", "0"), ("EF_Y", "0")]),
        (
            "case $EF_X in 1|'2 3') onload_set EF_A 1;; \"\") onload_set EF_A 2 ;; *) onload_set EF_A 3; esac",
            &[("EF_X", "2 3")],
        ),
        (
            "[ a = b ] || ! [ 3 -gt 4 ] && onload_set EF_A \"${EF_X:-d e}${EF_Y-n}${EF_X:+s}\"",
            &[("EF_Y", "")],
        ),
        ("(EF_B=1; export EF_B); { export EF_C=\"$(echo a; echo b; echo)\"; }", &[]),
        ("set -- ; for a in \"$@\" x; do export EF_A=$EF_A$a; done", &[("EF_A", "")]),
    ];
    for (script, environment) in scripts {
        let files =
            |path: &str| if path == "/script" { Ok(Some(script.into())) } else { read(path) };
        let request = Request { profiles: vec!["/script".to_owned()], ..request("", environment) };
        let outcome = evaluate(&request, &files).unwrap_or_else(|refused| panic!("{refused}"));
        for shell in &shells {
            let seen = by_shell(shell, script, environment);
            for (name, variable) in &outcome.variables {
                assert_eq!(seen.get(name), Some(&variable.value), "{name} by {shell}: {script}");
            }
            // And nothing that was not there before is left out.
            let more = seen
                .keys()
                .filter(|name| name.starts_with("EF_") && !outcome.variables.contains_key(*name));
            let more: Vec<_> = more
                .filter(|name| {
                    environment.iter().all(|(given, value)| given != name || seen[*name] != *value)
                })
                .collect();
            assert!(more.is_empty(), "{more:?} by {shell}: {script}");
        }
    }
}

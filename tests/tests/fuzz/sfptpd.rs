//! What sfptpd writes, and what is written for it: any bytes give a value, or a fault in a line of them.

use std::fmt::Debug;

use onload_core::clock::sfptpd::config::{self, PortRef};
use onload_core::clock::sfptpd::{exit, instances, interfaces, metrics, sample, state, version};
use onload_core::clock::unit::Ended;

use super::{file, survives};

/// The most that is kept of any of these texts: what is shown to people has bounds.
const SHOWN: usize = 256 * 1024;

/// What was read can be shown to people: bounded, and commanding no terminal.
fn shown(read: &impl Debug) {
    let text = format!("{read:?}");
    assert!(text.len() < SHOWN, "{} bytes", text.len());
    // Debug writes what cannot be seen as an escape; a backslash by itself is two.
    let text = text.replace("\\\\", "");
    assert!(!["\\u{", "\\n", "\\r", "\\t"].iter().any(|escape| text.contains(escape)), "{text}");
}

const STATE: &[u8] = b"instance: ptp1\nclock-name: phc0(ens1f0)\nclock-id: 000f:53ff:fe00:0001\n\
    state: ptp-slave\nalarms: no-sync-pkts caps-mismatch \ncontrol-flags: selected clock-ctrl \n\
    interface: ens1f0 (bond0)\noffset-from-master: -12.345\none-way-delay: 1534.500\n\
    freq-adjustment-ppb: -2817.062\nin-sync: 1\nparent-address: 192.0.2.1\n\
    grandmaster-id: 000f:53ff:fe00:0003\ngrandmaster-clock-class: 6\nleap-59: 0\nleap-61: 1\n\
    blocked-by: ntp manual\noffset-from-peer: 1e3\nselected-peer: 2001:db8::1\n";

const INSTANCES: &[u8] =
    b"|  R | instance    S | MX |state     O | A | priority | C | gm class    |\n\
    ------------------------------------------------------------------------\n\
    |  1 | ptp1        * | -- |slave     0 |   |      128 | 0 | locked      |\n\
    |  2 | crny0         | Mm |selection 1 | A |      128 | 0 | unknown     |\n\n\
    Key: R = rank  S = selected  M = manual\n";

const INTERFACES: &[u8] = b"| interface | ptp-caps | pkt-timestamping-caps |       mac-address |\n\
    --------------------------------------------------------------------\n\
    |    ens1f0 |  hw & sw |               hw & sw | 00:0f:53:00:00:01 |\n";

const METRICS: &[u8] = b"# TYPE offset_seconds gauge\n\
    offset_seconds{sync=\"ptp1\"} -1.2345e-08 1724148000.5\nin_sync{sync=\"ptp1\"} 1\n\
    alarm{sync=\"ptp1\",alarm=\"a\\\"}\\\\b\"} 1\nfreq_adj_ratios{sync=\"ptp1\"} NaN\n\
    last_update_seconds{sync=\"ptp1\"} 1724148000.123456789\nlost_rt_total 7\n# EOF\n";

#[test]
fn state_files_and_metrics() {
    survives("state", STATE, |bytes| shown(&state::parse(&String::from_utf8_lossy(bytes))));
    survives("instances", INSTANCES, |bytes| {
        shown(&instances::parse(&String::from_utf8_lossy(bytes)));
    });
    survives("interfaces", INTERFACES, |bytes| {
        shown(&interfaces::parse(&String::from_utf8_lossy(bytes)));
    });
    survives("version", b"sfptpd, version v3.9.0.1007 (2025)\n", |bytes| {
        shown(&version::parse(&String::from_utf8_lossy(bytes)));
    });
    survives("metrics", METRICS, |bytes| {
        shown(&metrics::parse(&String::from_utf8_lossy(bytes)));
    });
}

#[test]
fn lines_of_statistics() {
    let json =
        br#"{"instance":"ptp1","time":"2026-08-20 10:00:00.000000","clock-master":{"name":"gm"},
        "clock-slave":{"name":"phc0(ens1f0)","primary-interface":"ens1f0"},"is-disciplining":true,
        "in-sync":true,"alarms":["caps-mismatch "],"stats":{"offset":-12.345,"freq-adj":nan,
        "one-way-delay":1534.5,"gm-id":"000f:53ff:fe00:0003","p-term":0.1}}"#;
    let text =
        b"2026-08-20 10:00:00.000000 [ptp1:gm->phc0(ens1f0)], offset: -12.345, freq-adj: -2.062, \
        in-sync: 1, one-way-delay: 1534.500, gm-id: 000f:53ff:fe00:0003";
    for seed in [&json[..], text] {
        survives("statistics", seed, |bytes| {
            let line = String::from_utf8_lossy(bytes);
            for read in [sample::json(&line), sample::text(&line)].into_iter().flatten() {
                shown(&read);
                assert!(!read.slave.is_empty() && !read.instance.is_empty(), "{line}");
                assert!(sample::key(&read).ends_with(&read.slave));
            }
        });
    }
}

#[test]
fn exits() {
    for number in [i32::MIN, i32::MAX].into_iter().chain(-300..300) {
        for ended in [Ended::Status(number), Ended::Signal(number)] {
            assert!(
                exit::said(ended).contains(&number.to_string()) && !exit::fix(ended).is_empty()
            );
        }
    }
}

/// A port by number, `None` for one without an interface.
fn port(number: u32, interface: Option<&str>) -> PortRef {
    PortRef {
        number,
        pci: format!("0000:3b:00.{number}").parse().unwrap(),
        mac: format!("00:0f:53:00:00:0{number}").parse().ok(),
        interface: interface.map(|name| name.parse().unwrap()),
    }
}

#[test]
fn configurations_for_sfptpd() {
    let shipped = String::from_utf8(file("packaging/config/sfptpd.cfg")).unwrap();
    // All its set-ups in one, whose sections repeat: what sfptpd takes is taken up to the second.
    let setups: String = shipped
        .lines()
        .map(|line| line.strip_prefix("#| ").unwrap_or(line))
        .filter(|line| !line.starts_with('#'))
        .flat_map(|line| [line, "\n"])
        .collect();
    let small = "[general]\nsync_module ptp a\nclock_list 'port:0' port:0000:3b:00.1 phc2\n[a]\n\
                 interface port:00:0f:53:00:00:00 # port:1\nptp-domain 1\n";
    let ports = [port(0, Some("ens1f0")), port(1, Some("ens1f1")), port(2, None)];
    for seed in [shipped.as_str(), &setups, small] {
        survives("sfptpd.cfg", seed.as_bytes(), |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let lines = text.split('\n').count();
            let checked = config::check(&text);
            match (config::render(&text, &ports), &checked) {
                (Ok(rendered), Ok(checked)) => {
                    // What is written for sfptpd is taken again, asks for the same and has no port left.
                    let again = config::check(&rendered).unwrap();
                    assert!(again.interfaces.iter().all(|name| !name.starts_with("port:")));
                    assert_eq!(again.instances, checked.instances);
                    assert_eq!(rendered.lines().count(), text.lines().count());
                }
                (Err(fault), _) => {
                    assert!((1..=lines).contains(&fault.line) && !fault.fix.is_empty(), "{fault}");
                    assert!(!fault.to_string().contains(char::is_control), "{fault:?}");
                }
                (Ok(_), Err(fault)) => panic!("rendered, though {fault}: {text}"),
            }
        });
    }
}

//! Every line reads back, and a bad one is answered.

// A test that cannot unwrap has failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::super::faults::{DEEDS, LOAD_FAULTS, PARTS, UNLOAD_FAULTS};
use super::{Action, FORMS};

/// One line for each form, in the order of [`FORMS`].
const LINES: [&str; FORMS.len()] = [
    "load onload",
    "load sfc from in-tree",
    "unload onload",
    "driver gone sfc_resource",
    "coldplug",
    "link 0000:3b:00.0 down",
    "rename ens1f0 fast0",
    "address ens1f0 192.0.2.1/24",
    "route ens1f0 default",
    "mtu ens1f0 9000",
    "set ens1f0 ring.rx 2048",
    "upper ens1f0 bond0",
    "owner acts",
    "contain ens1f0 0123456789ab",
    "claim ens5 profile",
    "register ens5",
    "unplug 0000:3b:00.0",
    "plug 0000:3b:00.0",
    "unbind 0000:3b:00.0",
    "bind 0000:3b:00.0",
    "open /dev/onload 4711",
    "close /dev/sfc_char 4711",
    "run 4711 as trader in trader.service",
    "clock ens1f0 4711 as ptp4l in ptp4l.service",
    "exit 4711",
    "clockd sfptpd.service run",
    "clockd sfptpd.service hang",
    "clockd ptp4l.service lost",
    "clockd sfptpd.service crash 95",
    "clockd sfptpd.service fails none",
    "alarm no-sync-pkts",
    "clock-offset ptp0 -1500",
    "clock-drift system 20",
    "time-step -7200",
    "leap insert",
    "template broken",
    "unit trader.service starts 4711",
    "control-plane dies",
    "control-plane starts",
    "other machine-config comes",
    "server /usr/bin/crictl",
    "enrol onload-kmm",
    "revoke onload-kmm",
    "attend",
    "reboot",
    "libraries of 9.2.1-1.el9 gone",
    "fault load onload hang times 2",
    "fault unload onload refused",
    "fault register ens5 refused times 2",
    "fault unit trader.service stays",
    "fault control-plane stays",
    "fault eager",
    "fault no-aux",
    "fault no-nodes",
    "fault no-room",
    "fault unreadable device-nodes",
    "fault rename-busy",
    "fault restore address",
    "fault owner-asks",
    "fault owner-gone",
    "fault silent",
    "fault storm 10",
    "clear faults",
    "nothing",
];

#[test]
fn every_form_reads_back_as_written() {
    for (line, (form, _)) in LINES.iter().zip(FORMS) {
        let action: Action = line.parse().unwrap();
        assert_eq!(action.to_string(), *line, "{form}");
        assert_eq!(line.split(' ').next(), form.split(' ').next(), "{form}");
    }
    for (word, _) in PARTS {
        let line = format!("fault unreadable {word}");
        assert_eq!(line.parse::<Action>().unwrap().to_string(), line);
    }
    for (word, _) in LOAD_FAULTS {
        let line = format!("fault load sfc {word}");
        assert_eq!(line.parse::<Action>().unwrap().to_string(), line);
    }
    for word in DEEDS {
        let line = format!("fault restore {word}");
        assert_eq!(line.parse::<Action>().unwrap().to_string(), line);
    }
    for (word, _) in UNLOAD_FAULTS {
        let line = format!("fault unload sfc {word}");
        assert_eq!(line.parse::<Action>().unwrap().to_string(), line);
    }
    let more = [
        "link 0000:3b:00.0 up",
        "run 4711",
        "run 4711 in container 3f1a9c",
        "open /dev/onload 4711 as trader",
        "address ens1f0 2001:db8::1/64",
        "address ens1f0 none",
        "route ens1f0 none",
        "upper ens1f0 none",
        "upper ens1f0 ens1f0.100",
        "route ens1f0 198.51.100.0/24",
        "fault load sfc from 9.2.1 wrong-kernel times 2",
        "libraries of host back",
        "fault unload sfc refused times 3",
        "fault unreadable 0000:3b:00.0",
    ];
    for line in more {
        assert_eq!(line.parse::<Action>().unwrap().to_string(), line);
    }
}

#[test]
fn a_bad_line_is_answered_with_what_is_allowed() {
    let cases = [
        ("", "begin with one of load"),
        ("explode", "no action begins with `explode`"),
        ("load", "load MODULE from RELEASE"),
        ("load a-b", "`a-b` is not a kernel module name"),
        ("link 3b:00.0 up", "0000:3b:00.0"),
        ("link 0000:3b:00.0 sideways", "link PCI up|down"),
        ("open /dev/null 4", "/dev/onload, /dev/onload_epoll, /dev/sfc_char"),
        ("address ens1f0 192.0.2.1", "such as 192.0.2.1/24"),
        ("address ens1f0 192.0.2.1/33", "such as 192.0.2.1/24"),
        ("route ens1f0 some", "such as 192.0.2.1/24"),
        ("mtu ens1f0 0", "whole number above 0"),
        ("set ens1f0 ring.rx many", "`many` is not a whole number"),
        ("fault restore moon", "make, functions, function"),
        ("run 7 as a-name-that-is-too-long", "at most 15 bytes"),
        ("run 7 in", "run PID [as COMM]"),
        ("fault unload onload maybe", "refused|hang"),
        ("run 0", "whole number above 0"),
        ("run -1", "whole number above 0"),
        ("fault load onload maybe", "not-found|rejected|error|hang"),
        ("fault load onload hang times 0", "whole number above 0"),
        ("fault load onload hang twice", "[times N]"),
        ("fault unreadable moon", "interfaces"),
        ("fault storm 99999999999", "whole number above 0"),
        ("reboot now", "write reboot"),
    ];
    for (line, expected) in cases {
        let error = line.parse::<Action>().unwrap_err().to_string();
        assert!(error.contains(expected), "{line}: {error}");
        assert!(!error.contains('\n'), "one line: {error}");
    }
}

//! Clocks of the rig's node: one of each standing, a conflict, an order, and times without.

use std::collections::BTreeMap;

use onload_core::clock::conflict::{Conflict, ConflictKind};
use onload_core::clock::daemon::DaemonKind;
use onload_core::clock::picture::{
    ClockPicture, ClocksPicture, Handover, Keeper, Outage, Supervision,
};
use onload_core::clock::verdict::{Standing, Steerer, Verdict};
use onload_core::condition::Status;
use onload_core::config::ClockMode;
use onload_core::time::{Moment, Timestamp};

/// sfptpd keeps the system clock, and a hardware clock runs free.
pub(super) fn kept() -> ClocksPicture {
    let steerer = Steerer {
        kind: DaemonKind::Sfptpd,
        pid: 812,
        unit: Some("sfptpd.service".to_owned()),
        container: None,
    };
    let verdict = Verdict {
        standing: Standing::Good,
        reason: "InSync".to_owned(),
        message: "sfptpd says so".to_owned(),
        steered_by: Some(steerer),
        source: "ptp1".to_owned(),
        grandmaster: "000f53.fffe.000001".to_owned(),
        offset_ns: Some(-12),
        path_delay_ns: Some(2_100),
        frequency_ppb: Some(-12_345),
        alarms: Vec::new(),
    };
    let system = ClockPicture {
        synchronised: Status::True,
        since: Timestamp(1_000),
        verdict,
        leap: "none".to_owned(),
        ..ClockPicture::default()
    };
    let free = Verdict {
        standing: Standing::Free,
        reason: "Unsteered".to_owned(),
        // What a daemon prints may hold anything.
        message: "nobody\0steers it".to_owned(),
        ..Verdict::default()
    };
    let hardware = ClockPicture {
        device: "/dev/ptp0".to_owned(),
        driver_name: "sfc".to_owned(),
        interfaces: vec!["ens1f0".to_owned()],
        synchronised: Status::False,
        since: Timestamp(2_000),
        verdict: free,
        ahead_ns: Some(37_000_000_123),
        leap: String::new(),
        unreadable: BTreeMap::from([("Offset".to_owned(), "EACCES".to_owned())]),
    };
    ClocksPicture {
        mode: ClockMode::Manage,
        clocks: BTreeMap::from([("system".to_owned(), system), ("ptp0".to_owned(), hardware)]),
        conflicts: vec![Conflict {
            kind: ConflictKind::TwoOfAKind,
            clock: "ptp0".to_owned(),
            message: "two sfptpd run".to_owned(),
            fix: "stop one".to_owned(),
            bars_start: true,
            units: vec!["other.service".to_owned()],
        }],
        supervision: Supervision {
            status: Status::True,
            reason: "Running".to_owned(),
            message: "sfptpd runs".to_owned(),
            fix: String::new(),
            unit: "sfptpd.service".to_owned(),
            version: "3.9.0.1007".to_owned(),
            restarts: 1,
            hangs: 2,
        },
        handover: Some(Handover {
            to: Keeper::Sfptpd,
            units: vec!["chronyd.service".to_owned()],
            uid: 0,
            at: Timestamp(900),
        }),
        outages: vec![
            Outage {
                at: Moment(0),
                boot: None,
                began: Timestamp(100),
                millis: Some(61_000),
                change: Some(3),
                reason: "Unsteered".to_owned(),
            },
            Outage {
                at: Moment(0),
                boot: None,
                began: Timestamp(500),
                millis: None,
                change: None,
                reason: "Alarms".to_owned(),
            },
        ],
    }
}

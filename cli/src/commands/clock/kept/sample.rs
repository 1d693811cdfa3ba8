//! Clocks for tests: what an operator meets.

use super::*;

/// sfptpd keeps the system clock.
pub fn system() -> Clock {
    Clock {
        name: SYSTEM.into(),
        synchronised: "yes".into(),
        since: 1_000,
        standing: "good".into(),
        reason: Some("InSync".into()),
        message: Some("sfptpd says so".into()),
        steered_by: Some(Steerer {
            kind: "sfptpd".into(),
            pid: 812,
            unit: Some("sfptpd.service".into()),
            container: None,
        }),
        source: Some("ptp1".into()),
        grandmaster: Some("000f53.fffe.000001".into()),
        offset_ns: Some(-12),
        path_delay_ns: Some(2_104),
        frequency_ppb: Some(-12_345),
        leap: Some("none".into()),
        ..Clock::default()
    }
}

/// A hardware clock that nobody steers.
pub fn hardware() -> Clock {
    Clock {
        name: "ptp0".into(),
        device: Some("/dev/ptp0".into()),
        driver_name: Some("sfc".into()),
        interfaces: vec!["ens1f0".into()],
        synchronised: "no".into(),
        standing: "free".into(),
        reason: Some("Unsteered".into()),
        message: Some("nobody steers it".into()),
        ahead_of_system_ns: Some(37_000_000_123),
        ..Clock::default()
    }
}

/// A node on which all is well.
pub fn kept() -> Kept {
    Kept {
        mode: Some("manage".into()),
        clocks: vec![system(), hardware()],
        supervision: Supervision {
            status: "True".into(),
            reason: Some("Running".into()),
            unit: Some("sfptpd.service".into()),
            version: Some("3.9.0.1007".into()),
            ..Supervision::default()
        },
        ..Kept::default()
    }
}

/// chronyd steers the system clock, too.
pub fn conflict() -> Conflict {
    Conflict {
        kind: "Chronyd".into(),
        clock: SYSTEM.into(),
        message: "chronyd steers the system clock".into(),
        fix: "`onloadctl clock handover` stops it".into(),
        bars_start: true,
        units: vec!["chronyd.service".into()],
    }
}

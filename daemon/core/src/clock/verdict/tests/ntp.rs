//! chronyd, ntpd and systemd-timesyncd.

use super::*;

fn said(clocks: &mut Clocks) -> &mut Chrony {
    match &mut clocks.chrony {
        Known(said) => said,
        Absent | Unreadable(_) => panic!("the node has a chronyd"),
    }
}

const CHRONY: [Row; 13] = [
    ("as it should be", |_| {}, Standing::Good, reason::SYNCHRONISED),
    ("no answer yet", |c| c.chrony = Absent, Standing::Unknown, reason::SAYS_NOTHING),
    ("not readable", |c| c.chrony = denied(), Standing::Unknown, reason::UNREADABLE),
    ("not synchronised", |c| said(c).leap = None, Standing::Bad, reason::NO_SOURCE),
    ("stratum 0", |c| said(c).stratum = 0, Standing::Bad, reason::NO_SOURCE),
    ("stratum 16", |c| said(c).stratum = 16, Standing::Bad, reason::NO_SOURCE),
    (
        "no reference",
        |c| said(c).reference_id = "00000000".to_owned(),
        Standing::Bad,
        reason::NO_SOURCE,
    ),
    (
        "its own clock",
        |c| said(c).reference_id = "7F7F0101".to_owned(),
        Standing::Bad,
        reason::FOLLOWS_ITSELF,
    ),
    ("no server usable", |c| said(c).usable_sources = 0, Standing::Bad, reason::NO_SOURCE),
    (
        "servers not asked",
        |c| (said(c).usable_sources, said(c).sources) = (0, 0),
        Standing::Good,
        reason::SYNCHRONISED,
    ),
    // 4 µs, half of 300 µs and 846 µs are the bound.
    (
        "at the bound",
        |c| said(c).root_dispersion_ns = 846_000,
        Standing::Good,
        reason::SYNCHRONISED,
    ),
    (
        "beyond the bound",
        |c| said(c).root_dispersion_ns = 846_001,
        Standing::Bad,
        reason::OFFSET_TOO_LARGE,
    ),
    (
        "beyond all numbers",
        |c| {
            (said(c).offset_ns, said(c).root_delay_ns, said(c).root_dispersion_ns) =
                (i64::MIN, u64::MAX, u64::MAX);
        },
        Standing::Bad,
        reason::OFFSET_TOO_LARGE,
    ),
];

#[test]
fn chronyd_counts_with_all_that_its_clock_may_be_off_by() {
    hold(&CHRONY, chrony_node, of_system);
    let verdict = system(&chrony_node(), BOUND);
    assert_eq!((verdict.offset_ns, verdict.source.as_str()), (Some(-4_000), "10.0.0.1"));
    assert_eq!(verdict.frequency_ppb, Some(-1_200), "the kernel's");
}

fn kernel(clocks: &mut Clocks) -> &mut KernelClock {
    match &mut clocks.kernel {
        Known(kernel) => kernel,
        Absent | Unreadable(_) => panic!("the node has a kernel"),
    }
}

const KERNEL: [Row; 7] = [
    ("as it should be", |_| {}, Standing::Good, reason::SYNCHRONISED),
    (
        "not synchronised",
        |c| kernel(c).unsynchronised = true,
        Standing::Bad,
        reason::UNSYNCHRONISED,
    ),
    (
        "at the bound",
        |c| kernel(c).estimated_error_ns = BOUND,
        Standing::Good,
        reason::SYNCHRONISED,
    ),
    (
        "beyond the bound",
        |c| kernel(c).estimated_error_ns = BOUND + 1,
        Standing::Bad,
        reason::OFFSET_TOO_LARGE,
    ),
    (
        "between two packets",
        |c| kernel(c).maximum_error_ns = 900_000_000,
        Standing::Good,
        reason::SYNCHRONISED,
    ),
    ("no kernel", |c| c.kernel = Absent, Standing::Unknown, reason::SAYS_NOTHING),
    ("not readable", |c| c.kernel = denied(), Standing::Unknown, reason::UNREADABLE),
];

#[test]
fn ntpd_and_timesyncd_count_by_what_they_told_the_kernel() {
    fn node(kind: DaemonKind) -> Clocks {
        let mut clocks = bare();
        run(&mut clocks, 600, daemon(kind, "time.service"));
        clocks
    }
    hold(&KERNEL, || node(DaemonKind::Ntpd), of_system);
    hold(&KERNEL, || node(DaemonKind::Timesyncd), of_system);
}

//! What is wrong with sfptpd itself: a second one, one that may steer nothing, one that follows nobody.

use super::*;

#[test]
fn a_second_sfptpd_is_named_and_another_managers_is_not_started_beside() {
    let second = (ConflictKind::TwoOfAKind, "system", true);
    let row = |units: &[&'static str]| vec![(second.0, second.1, second.2, units.to_vec())];

    let mut clocks = sfptpd_node();
    run(&mut clocks, 400, daemon(DaemonKind::Sfptpd, "odd.service"));
    for mode in [ClockMode::Observe, ClockMode::Manage] {
        let found = looked(&clocks, mode, Some(&all()));
        assert_eq!(short(&found), row(&["odd.service"]), "{mode:?}: ours is kept");
        assert!(found[0].message.contains("process 812"), "{}", found[0].message);
        assert!(found[0].message.contains("process 400"), "{}", found[0].message);
    }

    // One in a container, or of an administrator's unit, is fine as it is, and is not started twice.
    let mut container = daemon(DaemonKind::Sfptpd, "crio-4f1c.scope");
    container.container = Some("4f1c".to_owned());
    let admins = daemon(DaemonKind::Sfptpd, "site-time.service");
    for (one, units) in [(container, &[][..]), (admins, &["site-time.service"][..])] {
        let mut clocks = bare();
        run(&mut clocks, 812, one);
        assert_eq!(looked(&clocks, ClockMode::Observe, Some(&all())), []);
        let found = looked(&clocks, ClockMode::Manage, Some(&all()));
        assert_eq!(short(&found), row(units));
        assert!(found[0].message.contains("not onloadd's"), "{}", found[0].message);
    }

    // One whose unit is not known may be ours.
    let mut clocks = bare();
    run(&mut clocks, 812, daemon(DaemonKind::Sfptpd, ""));
    assert_eq!(looked(&clocks, ClockMode::Manage, Some(&all())), []);
}

#[test]
fn a_clock_that_may_not_be_steered_is_said_where_nobody_else_steers_it() {
    let intended = |readonly: &[&str], steers| Intended {
        readonly: words(readonly),
        follows: true,
        steers_system_clock: steers,
    };
    let rows = [
        (intended(&["system"], false), vec!["system"]),
        (intended(&[], false), vec!["system"]),
        (intended(&["system", "phc0"], false), vec!["ptp0", "system"]),
        (intended(&["eth9"], true), vec!["eth9"]),
        (intended(&[], true), vec![]),
    ];
    for (intended, clocks) in &rows {
        let found = looked(&bare(), ClockMode::Manage, Some(intended));
        let names: Vec<&str> = found.iter().map(|one| one.clock.as_str()).collect();
        assert_eq!(&names, clocks, "{intended:?}");
        for one in short(&found) {
            assert_eq!((one.0, one.2, one.3), (ConflictKind::ClockReadonly, false, vec![]));
        }
        assert_eq!(looked(&bare(), ClockMode::Observe, Some(intended)), [], "there is no sfptpd");
    }
    // No word for the interface but what sfptpd says of it.
    let found = looked(&sfptpd_node(), ClockMode::Observe, Some(&intended(&["eth4"], true)));
    assert_eq!(found[0].clock, "ptp0");
    // `no-adjust` has a fix of its own.
    let found = looked(&bare(), ClockMode::Manage, Some(&intended(&[], false)));
    assert!(found[0].message.contains("no-adjust"), "{}", found[0].message);
    let mut clocks = chrony_node();
    run(&mut clocks, 812, daemon(DaemonKind::Sfptpd, OURS));
    let found = looked(&clocks, ClockMode::Observe, Some(&intended(&["system"], false)));
    assert_eq!(found, [], "chronyd keeps it on purpose");
}

#[test]
fn an_sfptpd_that_follows_nobody_is_no_synchronisation() {
    let free = Intended { readonly: BTreeSet::new(), follows: false, steers_system_clock: true };
    let row = [(ConflictKind::Freerun, "system", false, vec![])];
    let found = looked(&bare(), ClockMode::Manage, Some(&free));
    assert_eq!(short(&found), row, "by its configuration");
    assert!(found[0].fix.contains("sync_module"), "{}", found[0].fix);
    assert_eq!(looked(&bare(), ClockMode::Observe, Some(&free)), [], "there is no sfptpd");

    let mut clocks = sfptpd_node();
    if let Known(said) = &mut clocks.sfptpd {
        said.states.clear();
        if let Known(rows) = &mut said.instances {
            rows.get_mut("ptp1").unwrap().state = "freerunning-clock".to_owned();
        }
    }
    for configured in [None, Some(&all())] {
        let found = looked(&clocks, ClockMode::Observe, configured);
        assert_eq!(short(&found), row, "by what it has selected");
        assert!(found[0].message.contains("ptp1"), "{}", found[0].message);
    }
    clocks.sfptpd = Unreadable("permission denied".to_owned());
    assert_eq!(looked(&clocks, ClockMode::Observe, Some(&all())), [], "nothing is said");
}

#[test]
fn a_fresh_package_is_two_conflicts() {
    // The shipped configuration: free running, `clock_readonly system` (reference/sfptpd.md section 0).
    let shipped =
        Intended { readonly: words(&["system"]), follows: false, steers_system_clock: false };
    let found = looked(&bare(), ClockMode::Manage, Some(&shipped));
    let kinds: Vec<ConflictKind> = found.iter().map(|one| one.kind).collect();
    assert_eq!(kinds, [ConflictKind::ClockReadonly, ConflictKind::Freerun]);
}

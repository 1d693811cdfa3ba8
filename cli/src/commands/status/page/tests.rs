//! The page, word by word.

use std::collections::BTreeMap;

use super::*;
use crate::commands::history::Change;
use crate::commands::status::Blocker;
use crate::render::paint::without;

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Condition {
    Condition {
        kind: kind.into(),
        status: status.into(),
        reason: reason.into(),
        message: message.into(),
        since: 0,
    }
}

fn ready() -> Status {
    let group = |numa| PortGroup {
        numa_node: Some(numa),
        driver: Some("sfc".into()),
        driver_origin: Some("out-of-tree".into()),
        count: 2,
        up: 2,
        ..PortGroup::default()
    };
    let pool = Pool {
        name: "onload".into(),
        kind: Some("onload".into()),
        resource: Some("amd.com/onload".into()),
        slots: 100,
        free: 96,
        local: 1,
        containers: 3,
        registered: true,
        ..Pool::default()
    };
    Status {
        state: "ready".into(),
        summary: Some("96 of 100 devices can be lent".into()),
        version: Some("0.1.0".into()),
        kernel: Some("5.14.0-503.el9.x86_64".into()),
        wanted_release: Some("9.1.0".into()),
        loaded_version: Some("9.1.0".into()),
        ports: vec![group(0), group(1)],
        pools: vec![pool],
        conditions: vec![condition("Ready", "True", "AsWanted", "")],
        ..Status::default()
    }
}

#[test]
fn a_good_node_is_told_in_a_few_lines() {
    assert_eq!(
        without(&ready().text(0)),
        "\
● ready  96 of 100 devices can be lent

      kernel  5.14.0-503.el9.x86_64
     release  9.1.0 wanted, 9.1.0 loaded
       ports  numa 0  2 ports, sfc (out-of-tree), 2 up
              numa 1  2 ports, sfc (out-of-tree), 2 up
       pools  onload  96 of 100 free, 1 local, 3 in containers  (amd.com/onload, registered)
  conditions  all 1 hold
      daemon  onloadd 0.1.0
"
    );
}

#[test]
fn a_node_without_a_card_shows_its_interfaces() {
    let interface = |name: &str, link: Option<&str>, speed_mbps| Interface {
        name: name.into(),
        link: link.map(Into::into),
        speed_mbps,
        ..Interface::default()
    };
    let eth0 = Interface {
        mac: Some("52:54:00:12:34:56".into()),
        port: Some("0000:00:03.0".into()),
        ..interface("eth0", Some("up"), Some(10_000))
    };
    let unreadable = BTreeMap::from([("mac".to_owned(), "permission denied".to_owned())]);
    let lo = Interface { unreadable, ..interface("lo", Some("down"), None) };
    let idle = Status {
        state: "idle".into(),
        summary: Some("no card that Onload accelerates".into()),
        kernel: Some("6.1.0-40-amd64".into()),
        version: Some("0.1.0".into()),
        interfaces: vec![eth0, lo],
        conditions: vec![
            condition("Ready", "True", "NoCard", ""),
            condition("ModulesLoaded", "Unknown", "NoCard", "nothing to load for"),
        ],
        ..Status::default()
    };
    assert_eq!(
        without(&idle.text(60_000)),
        "\
○ idle  no card that Onload accelerates

      kernel  6.1.0-40-amd64
     release  none loaded, modules are left alone
       ports  none that Onload accelerates
  interfaces  eth0  10G   52:54:00:12:34:56  0000:00:03.0
              lo    down  ?                  -
       pools  none
  conditions  1 of 2 hold
              ModulesLoaded  unknown  NoCard  1m  nothing to load for
      daemon  onloadd 0.1.0
"
    );
}

#[test]
fn keys_are_told_where_something_is_to_be_said() {
    let of = |status: &str| {
        let keys = condition("KeysEnrolled", status, "RequestLost", "CN=Site: asked, not enrolled");
        let conditions = vec![condition("Ready", "True", "AsWanted", ""), keys];
        without(&Status { conditions, ..ready() }.text(60_000))
    };
    let line =
        "        keys  RequestLost: CN=Site: asked, not enrolled (`onloadctl keys status`)\n";
    let missing = of("False");
    assert!(missing.contains(line) && missing.contains("  conditions  1 of 2 hold\n"), "{missing}");
    assert_eq!(missing.matches("RequestLost").count(), 1, "once: {missing}");
    assert!(of("Unknown").contains("KeysEnrolled  unknown  RequestLost"), "as any condition");
    assert!(!of("True").contains("RequestLost"));
}

#[test]
fn what_is_wrong_comes_with_what_to_do() {
    let mut blocked = ready();
    blocked.state = "blocked".into();
    blocked.kernel = None;
    blocked.unreadable.insert("kernel".into(), "permission denied".into());
    blocked.hold =
        Some(Hold { reason: "firmware\x1b[2J".into(), uid: 0, since: 0, until: Some(120_000) });
    blocked.probing = true;
    blocked.generation = 2;
    blocked.pools[0].causes = BTreeMap::from([("onload is not loaded".to_owned(), 4)]);
    blocked.blockers = vec![Blocker {
        subject: "sfc".into(),
        reason: "WrongOrigin".into(),
        why: "the kernel's own sfc is loaded".into(),
        fix: "`onloadctl apply`".into(),
    }];
    let text = without(&blocked.text(60_000));
    for expected in [
        "● blocked  96 of 100",
        "      kernel  ? (permission denied)\n",
        "              ",
        "  4 cannot work: onload is not loaded\n",
        "        held  firmware\u{fffd}[2J (by uid 0, 1m ago, ends in 1m)\n",
        "      daemon  onloadd 0.1.0, a change is settling, 2 orders not looked at yet\n",
        "\n  sfc: WrongOrigin\n    why: the kernel's own sfc is loaded\n    fix: `onloadctl apply`\n",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in\n{text}");
    }
}

#[test]
fn a_change_shows_its_way_its_step_and_who_is_in_it() {
    let mut changing = ready();
    changing.wanted_by = Some("an order of uid 1000".into());
    changing.wanted_release = Some("9.1.0".into());
    changing.loaded_release = Some("host".into());
    changing.loaded_version = Some("9.0.0".into());
    changing.step = Some("unload module onload".into());
    changing.change = Some(Change {
        number: 3,
        from: Some("host".into()),
        to: "9.1.0".into(),
        origin: "order".into(),
        uid: Some(1000),
        confirm_by: Some(90_000),
        ..Change::default()
    });
    let user = |pid, unit: Option<&str>| User {
        pid,
        comm: "trader".into(),
        unit: unit.map(Into::into),
        uses: vec!["/dev/onload".into()],
        ..User::default()
    };
    changing.users = vec![user(7, Some("trader.service")), user(4711, None)];
    let text = without(&changing.text(60_000));
    let expected = "\
     release  9.1.0 wanted (an order of uid 1000), host loaded (9.0.0)
      change  3: host → 9.1.0 (order of uid 1000, 1m ago)
              now: unload module onload
              change 3 waits to be confirmed: `onloadctl confirm` keeps it, otherwise host comes back in 30s
";
    assert!(text.contains(expected), "{text}");
    let expected = "\
       users  trader (7, trader.service)  /dev/onload
              trader (4711)               /dev/onload
";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn many_interfaces_are_cut() {
    let named = |n: usize| Interface { name: format!("veth{n}"), ..Interface::default() };
    let idle = Status { interfaces: (0..40).map(named).collect(), ..Status::default() };
    assert!(without(&idle.text(0)).contains("and 28 more"));
}

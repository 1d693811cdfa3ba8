//! What is shown: states and their exit codes, gaps, colours, pipes.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;

use onload_core::allocation::{Allocation, Holder, PodContainer, Process, Tenure, Unit};
use onload_core::names::{AllocationId, BootId, PoolName};
use onload_core::picture::{Hold, Lent, NodeState};
use onload_core::time::{Moment, Timestamp};
use onload_dbus::error::state_exit_code;
use serde_json::Value;

use crate::rig::{PATIENCE, Rig, node};
use crate::run::{Ended, command, run};

#[tokio::test]
async fn the_exit_code_of_status_tells_the_state() {
    let states = [
        NodeState::Ready,
        NodeState::Converging,
        NodeState::Blocked,
        NodeState::Held,
        NodeState::Degraded,
        NodeState::Idle,
    ];
    for state in states {
        let mut picture = node();
        picture.state = state;
        picture.summary = "so it is".to_owned();
        let rig = Rig::new(picture).await;
        // `status` is what is done when nothing is asked for.
        for words in [&[][..], &["status"][..]] {
            let ended = rig.ctl(words).await;
            assert_eq!(ended.code, Some(state_exit_code(state.as_str()).into()), "{ended:?}");
            let first = ended.out.lines().next().unwrap();
            assert!(first.ends_with(&format!(" {state}  so it is")), "{ended:?}");
        }
    }
}

#[tokio::test]
async fn a_hold_is_shown_with_who_and_why() {
    let mut picture = node();
    picture.state = NodeState::Held;
    picture.hold = Some(Hold {
        reason: "firmware window".to_owned(),
        uid: 1000,
        since: Timestamp(1_000),
        until: None,
    });
    let ended = Rig::new(picture).await.ctl(&["status"]).await;
    let held = ended.out.lines().find(|line| line.starts_with("        held  ")).unwrap();
    assert!(held.contains("firmware window (by uid 1000, "), "{held}");
    assert!(held.ends_with("ago, until `onloadctl unhold`)"), "{held}");
}

#[tokio::test]
async fn a_node_without_a_card_shows_kernel_and_interfaces() {
    let mut picture = node();
    picture.state = NodeState::Idle;
    picture.kernel = onload_core::reading::Reading::Known("6.1.0-40-amd64".parse().unwrap());
    picture.ports = Arc::default();
    picture.pools = Arc::default();
    let ended = Rig::new(picture).await.ctl(&["status"]).await;
    assert_eq!(ended.code, Some(0));
    assert!(ended.out.contains("kernel  6.1.0-40-amd64\n"), "{ended:?}");
    assert!(ended.out.contains("interfaces  ens1f0  25G "), "{ended:?}");
}

#[tokio::test]
async fn what_could_not_be_read_is_told_from_what_is_not_there() {
    let rig = Rig::new(node()).await;
    let status = rig.ctl(&["status"]).await;
    assert!(status.out.contains("kernel  ? (EACCES)\n"), "{status:?}");
    let ports = rig.ctl(&["ports"]).await;
    let cells: Vec<_> = ports.out.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(cells[..4], ["0000:3b:00.0", "ens1f0", "none", "-"], "no controller: {ports:?}");
    assert!(cells.contains(&"?"), "the clock could not be read: {ports:?}");
}

#[tokio::test]
async fn names_are_a_column_for_each_release_and_conflicts_follow() {
    let rig = Rig::new(node()).await;
    let ended = rig.ctl(&["naming", "plan"]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let expected = "\
PORT          TODAY   9.1.0  host    CONFIGURED  PINNED     REMARKS
0000:3b:00.0  ens1f0  ?      ens1f0  eno1        ens1f0np0  1 conflict, 1 trouble

by release:
  9.1.0: it says no version
  host: udev's own evaluation

pinned:
  0000:3b:00.0: ens1f0np0 by pci 0000:3b:00.0

0000:3b:00.0: the port would not get the name eno1
  why: interface eno1 has it, and [naming] gives it to the port
  fix: choose another name in [naming]

0000:3b:00.0: the name is not as asked
  why: ens1f0 is not renamed to ens1f0np0: programs are using Onload
  fix: nothing
";
    assert_eq!(ended.out, expected);
    let mut picture = node();
    picture.naming = Arc::default();
    let ended = Rig::new(picture).await.ctl(&["naming", "plan"]).await;
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), "no Solarflare port\n"));
}

#[tokio::test]
async fn every_holder_and_every_end_has_its_columns() {
    let boot: BootId = "b7a1".parse().unwrap();
    let container = PodContainer {
        namespace: "default".to_owned(),
        pod: "web".to_owned(),
        container: "app".to_owned(),
    };
    let process = Process {
        pid: 4711,
        start_ticks: 5,
        boot: boot.clone(),
        uid: 1000,
        comm: "trader".to_owned(),
    };
    let unit = Unit {
        name: "chronyd.service".to_owned(),
        directory: "/sys/fs/cgroup/system.slice/chronyd.service".to_owned(),
        inode: 7,
        boot,
        uid: 0,
    };
    let until_wall = Timestamp(32_503_680_000_000);
    let lease = Tenure::Lease { until: Moment::default(), boot: None, until_wall };
    let rows = [
        (Holder::Container, Tenure::Kubelet, "with the container", "a container the kubelet"),
        (Holder::Pod(container), Tenure::Kubelet, "with the container", "default/web/app"),
        (Holder::Process(process.clone()), Tenure::Client, "with pid 4711", "pid 4711 (trader)"),
        (Holder::Unit(unit), Tenure::Unit, "with chronyd.service", "unit chronyd.service"),
        (Holder::User { uid: 1000 }, Tenure::Persistent, "when freed", "user 1000"),
        (Holder::User { uid: 1000 }, lease, "in ", "user 1000"),
    ];
    let mut picture = node();
    let pool = "onload".parse::<PoolName>().unwrap();
    let devices = picture.pools[&pool].devices.clone();
    let allocations = rows.iter().zip(1..).map(|((holder, tenure, ..), number)| {
        let id = AllocationId(number);
        let (pool, holder, tenure) = (pool.clone(), holder.clone(), tenure.clone());
        // The first stands on a NUMA node; the others are of a pool that has shrunk.
        let device = match number {
            1 => devices[0].id.clone(),
            _ => format!("onload-{}", 900 + number).parse().unwrap(),
        };
        (id, Arc::new(Allocation { id, pool, device, holder, tenure, since: Timestamp(1_000) }))
    });
    picture.allocations = Arc::new(allocations.collect());
    let rig = Rig::new(picture).await;
    let page = rig.ctl(&["allocations"]).await;
    let lines: Vec<_> = page.out.lines().collect();
    let head: Vec<_> = lines[0].split_whitespace().collect();
    assert_eq!(head, ["ID", "POOL", "DEVICE", "NUMA", "AGE", "ENDS", "HOLDER"]);
    let (ends, holder) = (lines[0].find("ENDS").unwrap(), lines[0].find("HOLDER").unwrap());
    for (line, (_, _, end, who)) in lines[1..].iter().zip(&rows) {
        assert!(line[ends..].starts_with(end) && line[holder..].starts_with(who), "{line}");
    }
    assert_eq!(lines.len(), 1 + rows.len(), "{page:?}");
    let json = rig.ctl(&["--json", "allocations"]).await;
    let json: Value = serde_json::from_str(&json.out).unwrap();
    let all = json["allocations"].as_array().unwrap();
    let shown = |at: usize| {
        let keys = ["pid", "uid", "comm", "unit", "pod_name", "container_name", "until"];
        let each = keys.map(|key| (key, all[at][key].to_string()));
        let said = each.into_iter().filter(|(_, value)| value != "null");
        said.map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
    };
    let expected = [
        "",
        "pod_name=\"web\" container_name=\"app\"",
        "pid=4711 uid=1000 comm=\"trader\"",
        "uid=0 unit=\"chronyd.service\"",
        "uid=1000",
        "uid=1000 until=32503680000000",
    ];
    for (at, expected) in expected.into_iter().enumerate() {
        assert_eq!(shown(at), expected, "{}", all[at]);
        assert_eq!(all[at]["since"], 1_000);
    }
    let numa = devices[0].numa_node.map_or(Value::Null, Value::from);
    assert_eq!((&all[0]["numa_node"], &all[1]["numa_node"]), (&numa, &Value::Null));
}

#[tokio::test]
async fn a_pools_devices_are_shown_with_resource_health_and_pod_in_one_view() {
    let mut picture = node();
    let pool = "onload".parse::<PoolName>().unwrap();
    let container = PodContainer {
        namespace: "default".to_owned(),
        pod: "web".to_owned(),
        container: "app".to_owned(),
    };
    let id = AllocationId(9);
    let pools = Arc::make_mut(&mut picture.pools).get_mut(&pool).unwrap();
    let devices = Arc::make_mut(&mut pools.devices);
    (devices[0].lent, devices[0].cause) = (Lent::Container(id), None);
    let (free, device) = (devices.len() - 1, devices[0].id.clone());
    let lent = Allocation {
        id,
        pool,
        device: device.clone(),
        holder: Holder::Pod(container),
        tenure: Tenure::Kubelet,
        since: Timestamp(1_000),
    };
    picture.allocations = Arc::new(BTreeMap::from([(id, Arc::new(lent))]));
    let rig = Rig::new(picture).await;
    let page = rig.ctl(&["pools", "onload"]).await;
    assert!(page.out.starts_with("resource  amd.com/onload\nkubelet   "), "{page:?}");
    assert!(page.out.contains("\nknown by  directory\n"), "{page:?}");
    let row = page.out.lines().find(|line| line.starts_with(device.as_str())).unwrap();
    let cells: Vec<_> = row.split_whitespace().collect();
    assert_eq!((cells[2], cells[3], cells[5]), ("container", "a9", "default/web/app"), "{row}");
    assert!(row.ends_with("healthy"), "{row}");
    let json = rig.ctl(&["--json", "pools", "onload"]).await;
    let json: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["resource"], "amd.com/onload");
    let devices = json["devices"].as_array().unwrap();
    let keys = ["holder", "holder_kind", "pod_namespace", "pod_name", "container_name", "since"];
    let shown = |one: &Value| keys.map(|key| one[key].to_string()).join(" ");
    let expected = r#""default/web/app" "container" "default" "web" "app" 1000"#;
    assert_eq!(devices.iter().filter(|one| shown(one) == expected).count(), 1, "{json}");
    let nobody = |one: &&Value| keys.iter().all(|key| one[*key].is_null());
    assert_eq!(devices.iter().filter(nobody).count(), free, "{json}");
}

#[tokio::test]
async fn colours_are_for_terminals() {
    let rig = Rig::new(node()).await;
    let address = rig.bus.address();
    for verb in ["status", "ports", "modules", "pools", "allocations", "jobs"] {
        let piped = rig.ctl(&[verb]).await;
        assert!(!piped.out.contains('\x1b'), "{verb}: {piped:?}");
        let forced = run(command(&address, &[verb]).env("CLICOLOR_FORCE", "1")).await;
        assert!(forced.out.contains("\x1b["), "{verb}: {forced:?}");
        let refused =
            run(command(&address, &[verb]).env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1")).await;
        assert!(!refused.out.contains('\x1b'), "{verb}: {refused:?}");
        let json = run(command(&address, &["--json", verb]).env("CLICOLOR_FORCE", "1")).await;
        assert!(!json.out.contains('\x1b'), "{verb}: {json:?}");
    }
}

#[tokio::test]
async fn a_reader_that_leaves_is_no_failure() {
    let rig = Rig::new(node()).await;
    for words in [&["ports"][..], &["--json", "ports"], &["completion", "bash"], &["config"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let child = command(&rig.bus.address(), words)
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await.unwrap();
        let ended = Ended::of(output.unwrap());
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{words:?}");
    }
}

#[tokio::test]
async fn completion_needs_no_bus() {
    for shell in ["bash", "zsh", "fish"] {
        let ended = run(&mut command("unix:path=/nonexistent/bus", &["completion", shell])).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.out.contains("allocations"), "{shell}");
    }
}

//! Devices that are things of their own: nobody is moved from one to another.

use super::*;
use crate::cdi::Wanted;
use crate::pool::Cause;

const PORTS_OF_P: &str = "[pools.p]\nkind = \"sample\"\n";
const FIRST: &str = "p-0000.3b.00.0";
const SECOND: &str = "p-0000.af.00.0";

#[test]
fn a_physical_device_that_a_program_has_is_refused_to_a_pod_by_name() {
    let mut bench = Bench::new(PORTS_OF_P, node());
    let grant = bench.allocate(root(), 1);
    bench.pass(300);
    assert_eq!(bench.told(grant), SECOND);
    let pod = bench.kubelet(&[SECOND]);
    assert_eq!(bench.told(pod), "InUse", "although the other one is free");
    let refusal = bench.answers[&pod].as_ref().unwrap_err();
    assert_eq!(
        refusal.why,
        format!("{SECOND} is lent to user 0 as a1, and no other device stands in for it")
    );
    assert_eq!(bench.lent().join(" "), "free local");
    let other = bench.kubelet(&[FIRST]);
    assert_eq!(bench.told(other), "1 served");
}

#[test]
fn a_grant_that_settles_gives_way_to_a_pod() {
    let mut bench = Bench::new(PORTS_OF_P, node());
    let grant = bench.allocate(root(), 1);
    let pod = bench.kubelet(&[SECOND]);
    bench.pass(300);
    assert_eq!((bench.told(pod).as_str(), bench.told(grant).as_str()), ("1 served", "InUse"));
    assert_eq!(bench.lent().join(" "), "free pod", "the other is no substitute");
}

#[test]
fn each_container_gets_what_its_own_devices_bring() {
    let mut bench = Bench::new(
        &format!("{PORTS_OF_P}environment = {{ EF_X = \"1\" }}\nnuma-nodes = [0, 1]\n"),
        node(),
    );
    let containers = [FIRST, SECOND].map(|id| vec![id.parse().unwrap()]).to_vec();
    let pool = "p".parse().unwrap();
    let id = bench.ask(root(), Command::KubeletAllocate { pool, containers });
    let Some(Ok(Reply::Containers(answers))) = bench.answers.get(&id) else {
        panic!("no answer: {}", bench.told(id));
    };
    let seen: Vec<Vec<_>> = answers
        .iter()
        .map(|one| one.environment.iter().map(|(name, value)| format!("{name}={value}")).collect())
        .collect();
    let expected = ["PORT_0000_3B_00_0=0000:3b:00.0", "PORT_0000_AF_00_0=0000:af:00.0"];
    let expected = expected.map(|port| vec!["EF_X=1".to_owned(), port.to_owned()]);
    assert_eq!(seen, expected);
    assert_eq!(answers[1].device_nodes, ["/dev/0000:af:00.0"]);
}

#[test]
fn both_kinds_of_answers_set_the_same_variables() {
    // The second is what a device brings, and what the pool sets as well.
    let config =
        format!("{PORTS_OF_P}environment.EF_X = \"1\"\nenvironment.PORT_0000_AF_00_0 = \"mine\"\n");
    let mut bench = Bench::new(&config, node());
    let pool: PoolName = "p".parse().unwrap();
    let Wanted::File(spec) = crate::cdi::wanted(&bench.picture.pools[&pool]) else {
        panic!("no file");
    };
    let file: serde_json::Value = serde_json::from_str(&spec.text()).unwrap();
    let edits = file["devices"].as_array().unwrap().iter().chain([&file]);
    // A runtime sets them one after the other, so none may come twice.
    let mut by_file: Vec<_> = edits
        .flat_map(|one| one["containerEdits"]["env"].as_array().cloned().unwrap_or_default())
        .map(|variable| variable.as_str().unwrap().to_owned())
        .collect();
    by_file.sort();
    let id = bench.kubelet(&[FIRST, SECOND]);
    let Some(Ok(Reply::Containers(answers))) = bench.answers.get(&id) else {
        panic!("no answer: {}", bench.told(id));
    };
    let plain = answers[0].environment.iter().map(|(name, value)| format!("{name}={value}"));
    let expected = ["EF_X=1", "PORT_0000_3B_00_0=0000:3b:00.0", "PORT_0000_AF_00_0=mine"];
    assert_eq!(plain.collect::<Vec<_>>(), expected);
    assert_eq!(by_file, expected);
}

#[test]
fn what_is_gone_keeps_its_place_and_its_holder() {
    let without_first = spoilt(|node| {
        crate::sample::inner(&mut node.ports).remove(&"0000:3b:00.0".parse().unwrap()).unwrap();
    });
    let causes = |bench: &Bench| -> Vec<_> {
        let devices = bench.brain.pools[&"p".parse().unwrap()].devices().to_vec();
        let cause = |one: &crate::picture::Device| one.cause.as_ref().map_or("none", Cause::reason);
        devices.iter().map(|one| (one.id.to_string(), cause(one))).collect()
    };
    let expected = [(FIRST.to_owned(), "NoPort"), (SECOND.to_owned(), "none")];
    let mut bench = Bench::new(PORTS_OF_P, node());
    let pod = bench.kubelet(&[FIRST]);
    assert_eq!(bench.told(pod), "1 served");
    bench.handle(Event::Looked(Box::new(without_first.clone())));
    assert_eq!(causes(&bench), expected);
    // A run that has never seen it knows it from the ledger alone.
    let after = Bench::after(bench.brain.ledger().clone(), PORTS_OF_P, without_first);
    let mut seen = causes(&after);
    seen.sort();
    assert_eq!(seen, expected);
}

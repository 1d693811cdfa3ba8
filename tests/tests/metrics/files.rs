//! The rules and the dashboard that are shipped: what they ask for is on the page, label by label and
//! value by value, and the commands they name are there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Command, Stdio};

use onload_tests::background::Background;
use onload_tests::binaries::binary;
use onload_tests::kubelet::Kubelet;
use onload_tests::node::Node;
use onload_tests::skip::skip;
use serde_json::Value;

use crate::open_metrics::Page;
use crate::query::Query;
use crate::{clocks, until};

const RULES: &str = "packaging/prometheus/onloadd.rules.yml";
const DASHBOARD: &str = "packaging/prometheus/onloadd-dashboard.json";
/// Labels that Prometheus adds to whatever it reads.
const ADDED: [&str; 2] = ["instance", "job"];

/// Values of labels, by series and label.
type Seen = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

fn add(seen: &mut Seen, page: &Page) {
    // A gauge that is declared may have no sample just now: its name counts.
    let gauges = page.families.iter().filter(|(_, family)| family.kind == "gauge");
    for (name, _) in gauges {
        seen.entry(name.clone()).or_default();
    }
    for (series, labels, _) in page.samples() {
        let of = seen.entry(series.clone()).or_default();
        for (label, value) in labels {
            of.entry(label.clone()).or_default().insert(value.clone());
        }
    }
}

/// Everything that simulated nodes show: one in the midst of a change, one with clocks that is held.
fn shown() -> Seen {
    let background = Background::start().unwrap();
    let mut seen = Seen::new();
    let mut node = Node::simulated("releases").unwrap();
    let kubelet = background.run(Kubelet::start(node.kubelet_directory())).unwrap();
    // A change that waits for a confirmation lasts.
    let order = ["release", "use", "9.2.1", "--confirm-within", "10m"];
    let mut order = node.ctl_command(order).stdout(Stdio::null()).spawn().unwrap();
    let under_way = |page: &Page| page.value("onload_driver_change_under_way", &[]) == 1.0;
    add(&mut seen, &until(&mut node, "a change under way", under_way));
    order.kill().unwrap();
    order.wait().unwrap();
    drop(kubelet);
    let mut node = clocks();
    node.ctl_ok(["hold", "for a look"]).unwrap();
    let held = |page: &Page| page.value("onload_hold", &[]) == 1.0;
    add(&mut seen, &until(&mut node, "the hold", held));
    seen
}

/// What of an expression no page has.
fn missing(expression: &str, seen: &Seen) -> Vec<String> {
    let query = Query::parse(expression).unwrap_or_else(|error| panic!("{error:#}"));
    let mut missing = Vec::new();
    let mut labels = BTreeSet::from(ADDED.map(str::to_owned));
    for (series, matchers) in query.series.iter().filter(|(series, _)| series != "up") {
        let Some(of) = seen.get(series) else {
            missing.push(format!("{series} in {expression}"));
            continue;
        };
        labels.extend(of.keys().cloned());
        for (label, sign, value) in matchers.iter().filter(|one| !ADDED.contains(&one.0.as_str())) {
            let there = of.get(label).is_some_and(|values| sign != "=" || values.contains(value));
            if !there {
                missing.push(format!("{series}{{{label}{sign}{value:?}}}"));
            }
        }
    }
    let grouped = query.grouped_by.difference(&labels);
    missing.extend(grouped.map(|label| format!("by ({label}) in {expression}")));
    missing
}

fn read(file: &str) -> String {
    fs::read_to_string(Node::repository(file)).unwrap()
}

/// The alert rules, and the expressions of the dashboard.
fn rules() -> Vec<Value> {
    let rules: Value = serde_saphyr::from_str(&read(RULES)).unwrap();
    rules["groups"][0]["rules"].as_array().unwrap().clone()
}

fn expressions(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_rules_and_dashboard_ask_for_is_there() {
    let seen = shown();
    let rules = rules();
    assert!(rules.len() >= 15, "{}", rules.len());
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).unwrap();
    let asked = expressions(&dashboard);
    assert!(asked.len() >= 15, "{}", asked.len());
    let alerts = rules.iter().map(|rule| rule["expr"].as_str().unwrap().to_owned());
    let all: Vec<_> = alerts.chain(asked).collect();
    let missing: Vec<_> = all.iter().flat_map(|expression| missing(expression, &seen)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
    // And it would be seen if one were not.
    for wrong in [
        "onload_nothing > 0",
        "onload_node_state{stat=\"ready\"}",
        "onload_condition{type=\"ClockSynchronized\"}",
        "sum by (pol) (onload_devices)",
    ] {
        assert_eq!(self::missing(wrong, &seen).len(), 1, "{wrong}");
    }
}

#[test]
fn every_alert_says_what_it_is_and_what_to_do() {
    let rules = rules();
    let names: BTreeSet<_> = rules.iter().map(|rule| rule["alert"].as_str().unwrap()).collect();
    assert_eq!(names.len(), rules.len(), "each has its name");
    let mut verbs = BTreeSet::new();
    for rule in &rules {
        let name = rule["alert"].as_str().unwrap();
        assert!(name.starts_with("Onload"), "{name}");
        let severity = rule["labels"]["severity"].as_str().unwrap();
        assert!(["critical", "warning"].contains(&severity), "{name}: {severity}");
        for part in ["summary", "description", "fix"] {
            let text = rule["annotations"][part].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "{name} has no {part}");
            let mut words = text.split([' ', ';']);
            while let Some(word) = words.next() {
                if word == "onloadctl" {
                    verbs.insert(words.next().unwrap().to_owned());
                }
            }
        }
    }
    assert!(verbs.len() >= 5, "{verbs:?}");
    for verb in verbs {
        let help = Command::new(binary("onloadctl")).args([&verb, "--help"]).output().unwrap();
        assert!(help.status.success(), "`onloadctl {verb}` is no command");
    }
}

#[test]
fn the_dashboard_holds_together() {
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    let mut taken = BTreeSet::new();
    for panel in panels {
        let place = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(place("x") + place("w") <= 24, "{}", panel["title"]);
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(taken.insert((x, y)), "{} lies on another panel", panel["title"]);
            }
        }
        let references: BTreeSet<_> = panel["targets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|target| target["refId"].as_str().unwrap())
            .collect();
        assert_eq!(references.len(), panel["targets"].as_array().unwrap().len());
    }
}

#[test]
fn promtool_takes_the_rules() {
    match Command::new("promtool").args(["check", "rules"]).arg(Node::repository(RULES)).output() {
        Ok(checked) => assert!(checked.status.success(), "{checked:?}"),
        Err(error) => skip("promtool_takes_the_rules", &format!("no promtool: {error}")),
    }
}

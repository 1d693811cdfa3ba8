//! The table of product families and the udev rule that shows the same cards to systemd.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::{read, repository};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Row {
    family: String,
    controller: String,
    function: String,
    driver: String,
    in_tree: bool,
    onload: String,
    reason: Option<String>,
}

fn families() -> BTreeMap<String, Row> {
    toml::from_str(&read(repository().join("packaging/hw/families.toml"))).unwrap()
}

#[test]
fn every_row_of_the_families_is_complete() {
    for (id, row) in families() {
        let (vendor, device) = id.split_once(':').unwrap_or_else(|| panic!("{id}: vendor:device"));
        for half in [vendor, device] {
            assert_eq!(half.len(), 4, "{id}");
            assert!(half.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)), "{id}");
        }
        assert!(!row.family.is_empty() && !row.controller.is_empty(), "{id}");
        assert!(["pf", "vf"].contains(&row.function.as_str()), "{id}: {}", row.function);
        assert!(["native", "efct", "no"].contains(&row.onload.as_str()), "{id}: {}", row.onload);
        assert_eq!(
            row.reason.is_some(),
            row.onload == "no",
            "{id}: a reason exactly where the answer is no"
        );
        assert!(row.reason.is_none_or(|reason| !reason.is_empty()), "{id}");
        let drivers = ["sfc", "sfc_falcon", "sfc_siena", "xilinx_efct"];
        assert!(drivers.contains(&row.driver.as_str()), "{id}: {}", row.driver);
        assert_eq!(
            row.onload == "efct",
            row.driver == "xilinx_efct",
            "{id}: efct is that driver's way"
        );
        assert!(!row.in_tree || row.driver == "sfc", "{id}: in-tree speaks of sfc");
    }
}

#[test]
fn functions_come_in_pairs_of_one_family() {
    let families = families();
    for (id, row) in &families {
        if row.function == "pf" {
            continue;
        }
        // A virtual function's device id is the physical one's plus 0x1000, with every controller so far.
        let (vendor, device) = id.split_once(':').unwrap();
        let parent = u16::from_str_radix(device, 16).unwrap() - 0x1000;
        let parent =
            families.get(&format!("{vendor}:{parent:04x}")).unwrap_or_else(|| panic!("{id}"));
        assert_eq!((&parent.family, parent.function.as_str()), (&row.family, "pf"), "{id}");
    }
}

/// One rule: keys with operator and value.
struct Rule(Vec<(String, String, String)>);

impl Rule {
    fn parse(line: &str) -> Self {
        let terms = line.split("\", ").map(|term| {
            let (left, value) = term.trim_end_matches('"').split_once('"').expect("a quoted value");
            let key = left.trim_end_matches(['=', '!', '+', ':', '-']);
            (key.to_owned(), left[key.len()..].to_owned(), value.to_owned())
        });
        Self(terms.collect())
    }

    fn matched(&self, key: &str) -> Option<&str> {
        let term = self.0.iter().find(|(name, operator, _)| name == key && operator == "==");
        term.map(|(_, _, value)| value.as_str())
    }
}

fn rules() -> Vec<Rule> {
    let whole = read(repository().join("udev-rules/60-onloadd.rules"));
    let lines = whole.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(Rule::parse).collect()
}

#[test]
fn the_udev_rules_tag_and_do_nothing_else() {
    for rule in rules() {
        for (key, operator, value) in rule.0 {
            let allowed = match operator.as_str() {
                "==" | "!=" => true,
                "=" => key == "GOTO" || key == "LABEL",
                "+=" => key == "TAG" && value == "systemd",
                _ => false,
            };
            assert!(allowed, "{key}{operator}{value}");
        }
    }
}

#[test]
fn every_family_is_tagged_as_a_pci_function_and_as_an_interface() {
    let families = families();
    let rules = rules();
    let mut tagged = BTreeSet::new();
    for (subsystem, vendor, device) in
        [("pci", "ATTR{vendor}", "ATTR{device}"), ("net", "ATTRS{vendor}", "ATTRS{device}")]
    {
        for id in families.keys() {
            let (wanted_vendor, wanted_device) = id.split_once(':').unwrap();
            let fits = |rule: &Rule| {
                let devices = rule.matched(device).map(|all| all.split('|').collect::<Vec<_>>());
                rule.matched("SUBSYSTEM") == Some(subsystem)
                    && rule.matched(vendor) == Some(&format!("0x{wanted_vendor}"))
                    && devices
                        .is_none_or(|all| all.contains(&format!("0x{wanted_device}").as_str()))
            };
            assert!(rules.iter().any(fits), "{id} is not tagged in {subsystem}");
        }
        for rule in rules.iter().filter(|rule| rule.matched("SUBSYSTEM") == Some(subsystem)) {
            for device in rule.matched(device).into_iter().flat_map(|all| all.split('|')) {
                let vendor = rule.matched(vendor).unwrap();
                tagged.insert(format!("{vendor}:{device}").replace("0x", ""));
            }
        }
    }
    let strangers: Vec<_> = tagged.iter().filter(|id| !families.contains_key(*id)).collect();
    assert!(strangers.is_empty(), "tagged, but in no family: {strangers:?}");
}

//! What is served is what is written.

use std::collections::BTreeMap;

use onload_core::picture::NodeState;
use onload_dbus::path::{self, Kind};
use onload_dbus::{ACTION_ANNOTATION, BUS_NAME, CONTRACT, error, interface};
use onloadd::bus::bouncer::{Access, TABLE};
use onloadd::bus::errors;
use zbus::fdo::IntrospectableProxy;
use zbus_xml::{ArgDirection, Node};

use crate::rig::{KINDS, Rig, node};

const CHANGES: &str = "org.freedesktop.DBus.Property.EmitsChangedSignal";

/// Every member of our interfaces with all that a client can rely on.
fn members(node: &Node<'_>) -> BTreeMap<String, String> {
    let mut members = BTreeMap::new();
    let ours = node.interfaces().iter().filter(|i| i.name().starts_with(BUS_NAME));
    for found in ours {
        for method in found.methods() {
            let args: Vec<String> = method
                .args()
                .iter()
                .map(|arg| {
                    let way = arg.direction().unwrap_or(ArgDirection::In);
                    format!("{way:?} {}: {}", arg.name().unwrap_or("nameless"), arg.ty())
                })
                .collect();
            members.insert(format!("{}.{}()", found.name(), method.name()), args.join(", "));
        }
        for signal in found.signals() {
            members.insert(format!("{}.{} signal", found.name(), signal.name()), String::new());
        }
        for property in found.properties() {
            let change = property.annotations().iter().find(|a| a.name() == CHANGES);
            let change = change.map_or("true", |annotation| annotation.value());
            let text = format!("{} {:?}, changes {change}", property.ty(), property.access());
            members.insert(format!("{}.{}", found.name(), property.name()), text);
        }
    }
    members
}

#[tokio::test]
async fn live_objects_are_those_of_the_contract() {
    let rig = Rig::new(node()).await;
    let client = rig.client().await;
    let mut live = BTreeMap::new();
    for at in [
        path::ROOT.to_owned(),
        path::of(Kind::Port, "0000:3b:00.0"),
        path::of(Kind::Module, "sfc"),
        path::of(Kind::Release, "host"),
        path::of(Kind::Pool, "onload"),
        path::of(Kind::Clock, "system"),
        path::of(Kind::Allocation, "a1"),
        path::of(Kind::Job, "j1"),
    ] {
        let proxy = IntrospectableProxy::builder(&client)
            .destination(BUS_NAME)
            .path(at)
            .build()
            .await
            .unwrap();
        let xml = proxy.introspect().await.unwrap();
        live.extend(members(&Node::from_reader(xml.as_bytes()).unwrap()));
    }
    let written = members(&Node::from_reader(CONTRACT.as_bytes()).unwrap());
    assert!(written.len() > 80, "the contract was read");
    for (member, text) in &written {
        assert_eq!(live.get(member), Some(text), "{member} as written");
    }
    for member in live.keys() {
        assert!(written.contains_key(member), "{member} is served and not written");
    }
}

#[test]
fn every_method_has_the_action_that_is_written() {
    let contract = Node::from_reader(CONTRACT.as_bytes()).unwrap();
    let mut methods = 0;
    for found in contract.interfaces() {
        for method in found.methods() {
            methods += 1;
            let rule = TABLE
                .iter()
                .find(|rule| found.name() == rule.interface && method.name() == rule.method)
                .unwrap_or_else(|| panic!("no rule for {}.{}", found.name(), method.name()));
            let written = method.annotations().iter().find(|a| a.name() == ACTION_ANNOTATION);
            let needed = match rule.access {
                Access::Everybody => None,
                Access::Action(action) | Access::Owned { others: action, .. } => Some(action),
            };
            assert_eq!(needed, written.map(|a| a.value()), "{}", method.name());
        }
    }
    assert_eq!(methods, TABLE.len(), "every rule has its method");
}

#[test]
fn every_object_has_its_interface_in_the_contract() {
    let contract = Node::from_reader(CONTRACT.as_bytes()).unwrap();
    let written: Vec<_> = contract.interfaces().iter().map(|i| i.name().to_string()).collect();
    for kind in Kind::ALL {
        assert!(written.contains(&kind.interface().to_owned()), "{kind:?}");
    }
    let of_the_root = [interface::MANAGER, interface::SECURE_BOOT];
    assert_eq!(written.len(), Kind::ALL.len() + of_the_root.len(), "and those of the root");
    for name in of_the_root {
        assert!(written.contains(&name.to_owned()), "{name}");
    }
}

#[test]
fn the_table_of_errors_covers_every_refusal_and_state() {
    for kind in KINDS {
        assert_eq!(errors::kind(kind).as_str(), format!("{kind:?}"));
    }
    let states = [
        NodeState::Ready,
        NodeState::Converging,
        NodeState::Blocked,
        NodeState::Held,
        NodeState::Degraded,
        NodeState::Idle,
    ];
    assert_eq!(states.len(), error::STATES.len());
    for state in states {
        assert!(error::STATES.iter().any(|(word, _)| *word == state.as_str()), "{state}");
    }
}

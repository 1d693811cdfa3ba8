//! Proxies come from the contract.

use std::path::Path;
use std::process::Command;

use onload_dbus::{BUS_NAME, CONTRACT, interface, path};
use zbus::ObjectPath;
use zbus::names::BusName;
use zbus_xml::Node;
use zbus_xmlgen::CodeGenerator;

const HEAD: &str = "//! Typed calls for every interface of the contract.
//!
//! Written from `dbus/com.amd.Onload1.xml` by the test `proxies_are_those_of_the_contract`; do not
//! edit. `UPDATE=1 cargo test --test contract proxies` writes it anew.

use zbus::proxy;

";

#[test]
fn proxies_are_those_of_the_contract() {
    if Command::new("rustfmt").arg("--version").output().is_err() {
        println!(
            "skipped: rustfmt is not installed, and the proxies are compared as it writes them"
        );
        return;
    }
    let node = Node::from_reader(CONTRACT.as_bytes()).unwrap();
    let service = BusName::try_from(BUS_NAME).unwrap();
    let root = ObjectPath::try_from(path::ROOT).unwrap();
    let code: Vec<String> = node
        .interfaces()
        .iter()
        .map(|found| {
            let of_the_root = [interface::MANAGER, interface::SECURE_BOOT];
            let at_root = of_the_root.contains(&found.name().as_str()).then_some(&root);
            CodeGenerator::new()
                .with_service(Some(&service))
                .with_path(at_root)
                .with_format(true)
                .interface_code(found)
                .unwrap()
        })
        .collect();
    let wanted = format!("{HEAD}{}", code.join("\n"));
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dbus/src/proxies.rs");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap();
    assert!(
        found == wanted,
        "dbus/src/proxies.rs is not what the contract says; run with UPDATE=1"
    );
}

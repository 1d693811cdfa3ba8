//! What the loaded `onload` driver shows: `/proc/driver/onload` and the device nodes.

use std::collections::{BTreeMap, BTreeSet};

use onload_core::inventory::{DEVICE_NODES, DeviceNode, OnloadDriver};
use onload_core::reading::Reading;

use super::attribute;
use super::root::{Dir, Kind};

/// A stack has a line of some 150 bytes, and there are at most a few thousand.
const PROC_BYTES: usize = 4 << 20;

/// Reads `/proc/driver/onload`; everything is absent while the module is not loaded.
pub(super) fn driver(root: &Dir) -> OnloadDriver {
    let text = |name: &str| {
        root.read(&format!("proc/driver/onload/{name}"), PROC_BYTES).and_then(attribute::text)
    };
    let version = text("version");
    let field = |key: &str| version.as_ref().and_then(|text| version_field(text, key));
    OnloadDriver {
        version: field("onload_version"),
        interface: field("uk_intf_ver").and_then(attribute::value),
        stacks: text("stacks").and_then(|text| stacks(&text)),
        control_plane: text("cp_server_pids").and_then(|text| process_ids(&text)),
    }
}

/// The nodes of [`DEVICE_NODES`].
pub(super) fn device_nodes(root: &Dir) -> BTreeMap<String, Reading<DeviceNode>> {
    let nodes = DEVICE_NODES.iter().map(|path| {
        let node = root.node(path).and_then(|node| match node.kind {
            Kind::Character { major, minor } => {
                Reading::Known(DeviceNode { major, minor, mode: node.mode })
            }
            Kind::File | Kind::Directory | Kind::Link | Kind::Socket | Kind::Other => {
                Reading::Unreadable("it is not a character device".to_owned())
            }
        });
        ((*path).to_owned(), node)
    });
    nodes.collect()
}

/// A field of `version`, whose lines are `KEY: VALUE`; the value may be empty.
fn version_field(text: &str, key: &str) -> Reading<String> {
    let lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    let mut fields = lines.filter_map(|line| line.split_once(':'));
    match fields.find(|(name, _)| *name == key) {
        Some((_, value)) => Reading::Known(value.trim().to_owned()),
        None => Reading::Unreadable(format!("there is no whole line for {key}")),
    }
}

/// One line for each stack; an empty file means none.
fn stacks(text: &str) -> Reading<u32> {
    match text.lines().find(|line| !line.contains(':')) {
        Some(line) => attribute::unexpected(line),
        None => u32::try_from(text.lines().count()).ok().into(),
    }
}

fn process_ids(text: &str) -> Reading<BTreeSet<u32>> {
    match text.split_whitespace().map(str::parse).collect() {
        Ok(ids) => Reading::Known(ids),
        Err(_) => attribute::unexpected(text),
    }
}

#[cfg(test)]
mod tests {
    use super::super::root::tests::root_with;
    use super::*;

    const VERSION: &str = "onload_product: Onload\nonload_version: 9.2.1\n\
        uk_intf_ver: 0123456789abcdef0123456789abcdef\n";

    #[test]
    fn the_driver_tells_its_version_stacks_and_servers() {
        let (_place, root) = root_with(&[
            ("proc/driver/onload/version", VERSION),
            ("proc/driver/onload/stacks", "0: 191 0 95 188\n1: 0 0 1 2\n"),
            ("proc/driver/onload/cp_server_pids", "812\n901\n"),
        ]);
        let driver = driver(&root);
        assert_eq!(driver.version, Reading::Known("9.2.1".to_owned()));
        assert_eq!(driver.interface.known().unwrap().as_str(), "0123456789abcdef0123456789abcdef");
        assert_eq!(driver.stacks, Reading::Known(2));
        assert_eq!(driver.control_plane, Reading::Known(BTreeSet::from([812, 901])));
    }

    #[test]
    fn an_unstamped_build_has_an_empty_version_and_a_cut_off_file_has_none() {
        let empty = "onload_product: Onload\nonload_version: \nuk_intf_ver: \n";
        assert_eq!(version_field(empty, "onload_version"), Reading::Known(String::new()));
        for end in 0..VERSION.len() {
            assert!(version_field(&VERSION[..end], "uk_intf_ver").is_unreadable(), "{end}");
        }
        let (_place, root) = root_with(&[("proc/driver/onload/version", empty)]);
        assert!(driver(&root).interface.is_unreadable(), "no hash, and not unloaded either");
    }

    #[test]
    fn nothing_loaded_is_absent_and_empty_lists_are_empty() {
        let (_place, root) = root_with(&[]);
        assert_eq!(driver(&root), OnloadDriver::default());
        assert!(device_nodes(&root).values().all(Reading::is_absent));
        assert_eq!(stacks(""), Reading::Known(0));
        assert_eq!(process_ids("\n"), Reading::Known(BTreeSet::new()));
        assert!(process_ids("812 -1\n").is_unreadable());
        assert!(stacks("what is this\n").is_unreadable());
    }

    #[test]
    fn a_file_where_a_device_node_should_be_is_no_device_node() {
        let (_place, root) = root_with(&[("dev/onload", "")]);
        assert!(device_nodes(&root)["/dev/onload"].is_unreadable());
    }
}

//! PCI functions of the network class, from `/sys/bus/pci/devices`.

use std::collections::BTreeMap;

use onload_core::inventory::{Port, Sriov};
use onload_core::names::PciAddress;
use onload_core::reading::Reading;
use onload_core::step::{Outcome, StepError};

use super::attribute;
use super::root::{Dir, Kind};
use super::runner::{Program, Programs};

const DEVICES: &str = "sys/bus/pci/devices";
/// First byte of the class of network controllers.
const NETWORK_CLASS: u32 = 0x02;

/// Every network function. A function that goes away meanwhile is left out; one whose class cannot
/// be read makes the whole unreadable, for it may or may not be a port.
pub(super) fn read(root: &Dir) -> Reading<BTreeMap<PciAddress, Port>> {
    root.list(DEVICES).and_then(|entries| {
        let mut ports = BTreeMap::new();
        for (name, _) in entries {
            let Ok(address) = name.parse::<PciAddress>() else { continue };
            match root.subject(&format!("{DEVICES}/{name}"), function) {
                Reading::Known(Reading::Known(port)) => {
                    ports.insert(address, port);
                }
                Reading::Known(Reading::Absent) | Reading::Absent => {}
                Reading::Known(Reading::Unreadable(why)) | Reading::Unreadable(why) => {
                    return Reading::Unreadable(format!("{address}: {why}"));
                }
            }
        }
        Reading::Known(ports)
    })
}

/// The port a function is; absent for functions of other classes.
fn function(dir: &Dir) -> Reading<Port> {
    dir.line("class").and_then(attribute::pci_class).and_then(|class| {
        if class >> 16 != NETWORK_CLASS {
            return Reading::Absent;
        }
        let id = |name| dir.line(name).and_then(attribute::pci_id);
        Reading::Known(Port {
            vendor: id("vendor"),
            device: id("device"),
            subsystem_vendor: id("subsystem_vendor"),
            subsystem_device: id("subsystem_device"),
            driver: driver(dir, "driver"),
            // The kernel's word for none.
            driver_override: dir.line("driver_override").and_then(|name| match name.as_str() {
                "(null)" | "" => Reading::Absent,
                _ => Reading::Known(name),
            }),
            numa_node: dir.line("numa_node").and_then(attribute::numa_node),
            auxiliary: auxiliary(dir),
            sriov: sriov(dir),
        })
    })
}

fn driver(dir: &Dir, link: &str) -> Reading<String> {
    dir.link(link).and_then(attribute::last_component)
}

/// Devices of the auxiliary bus are directories below the function that made them.
fn auxiliary(dir: &Dir) -> Reading<BTreeMap<String, Reading<String>>> {
    dir.list("").map(|entries| {
        let directories = entries.into_iter().filter(|(_, kind)| *kind == Kind::Directory);
        directories
            .filter(|(name, _)| {
                let subsystem = dir.link(&format!("{name}/subsystem"));
                subsystem.known().is_some_and(|target| target.ends_with("/auxiliary"))
            })
            .map(|(name, _)| {
                let driver = driver(dir, &format!("{name}/driver"));
                (name, driver)
            })
            .collect()
    })
}

fn sriov(dir: &Dir) -> Reading<Sriov> {
    let count = |name| dir.line(name).and_then(attribute::value::<u32>);
    count("sriov_totalvfs")
        .and_then(|total| count("sriov_numvfs").map(|enabled| Sriov { total, enabled }))
}

/// Gives a function to a loaded driver, in a unit of its own: the daemon writes nothing below `/sys`.
///
/// # Errors
/// The driver does not take it, or the program was not run.
pub(super) async fn bind(
    programs: &Programs,
    port: PciAddress,
    driver: &str,
) -> Result<Outcome, StepError> {
    let ended = programs.run(&binding(port, driver)).await?;
    if ended.success {
        return Ok(Outcome::Changed);
    }
    // `tee` says which file it could not write and the system's words for why.
    let why = ended.output.trim().rsplit(": ").next().unwrap_or_default();
    Err(StepError::Failed(format!(
        "the driver did not take it ({why}); the kernel log may say why"
    )))
}

fn binding(port: PciAddress, driver: &str) -> Program {
    let script = r#"printf %s "$1" | tee "$2" >/dev/null"#;
    let file = format!("/sys/bus/pci/drivers/{driver}/bind");
    let arguments = ["-c".to_owned(), script.to_owned(), "bind".to_owned(), port.to_string(), file];
    Program {
        unit: format!("onloadd-bind-{port}.service"),
        description: format!("Give port {port} to driver {driver} for onloadd"),
        name: "sh",
        arguments: arguments.into(),
        environment: Vec::new(),
        path: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::root::tests::{before, root_with};
    use super::*;

    const AT: &str = "sys/bus/pci/devices/0000:3b:00.0";

    fn one_port(extra: &[(&str, &str)]) -> (tempfile::TempDir, Dir) {
        let mut files =
            vec![("class", "0x020000\n"), ("vendor", "0x1924\n"), ("device", "0x0b03\n")];
        files.extend(extra);
        let files: Vec<_> =
            files.iter().map(|(name, text)| (format!("{AT}/{name}"), *text)).collect();
        root_with(&files.iter().map(|(path, text)| (path.as_str(), *text)).collect::<Vec<_>>())
    }

    fn port(root: &Dir) -> Port {
        read(root).known().unwrap().values().next().unwrap().clone()
    }

    #[test]
    fn gaps_stay_gaps() {
        let (_place, root) = one_port(&[("device", "0x0b"), ("numa_node", "-1\n")]);
        let port = port(&root);
        assert_eq!(port.vendor, Reading::Known(0x1924));
        assert!(port.device.is_unreadable(), "half-written");
        assert_eq!((port.numa_node, port.driver), (Reading::Absent, Reading::Absent));
        assert_eq!((port.sriov, port.subsystem_vendor), (Reading::Absent, Reading::Absent));
    }

    #[test]
    fn virtual_functions_are_counted_only_when_both_counts_are_there() {
        let (_place, root) = one_port(&[("sriov_totalvfs", "16\n"), ("sriov_numvfs", "\n")]);
        assert!(port(&root).sriov.is_unreadable());
        let (_place, root) = one_port(&[("sriov_totalvfs", "16\n"), ("sriov_numvfs", "2\n")]);
        assert_eq!(port(&root).sriov, Reading::Known(Sriov { total: 16, enabled: 2 }));
    }

    #[test]
    fn a_port_that_goes_away_while_it_is_read_is_left_out() {
        for attribute in ["class", "device", "driver", "numa_node"] {
            let path: &'static str = Box::leak(format!("{AT}/{attribute}").into_boxed_str());
            let (place, root) = one_port(&[]);
            let gone = place.path().join(AT);
            before(&root, path, 1, move || fs::remove_dir_all(gone).unwrap());
            assert_eq!(read(&root), Reading::Known(BTreeMap::new()), "{attribute}");
        }
    }

    #[test]
    fn other_classes_are_no_ports_and_an_unreadable_class_hides_nothing() {
        let (place, root) = one_port(&[]);
        let other = place.path().join("sys/bus/pci/devices/0000:00:00.0");
        fs::create_dir_all(&other).unwrap();
        fs::write(other.join("class"), "0x060000\n").unwrap();
        assert_eq!(read(&root).known().unwrap().len(), 1);
        fs::write(other.join("class"), "0x02").unwrap();
        let Reading::Unreadable(why) = read(&root) else { panic!("a class was half-written") };
        assert!(why.starts_with("0000:00:00.0: "), "{why}");
        let (_place, root) = root_with(&[]);
        assert_eq!(read(&root), Reading::Absent);
    }
}

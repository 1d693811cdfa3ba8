//! Registration of interfaces with `sfc_resource` (reference/onload-modules.md section 10).

use std::collections::BTreeSet;

use onload_core::af_xdp::AfXdp;
use onload_core::names::InterfaceName;
use onload_core::reading::Reading;
use onload_core::step::{Outcome, StepError};

use super::root::Dir;
use super::runner::{Program, Programs};

const KNOWN: &str = "proc/driver/sfc_resource";
const REGISTER: &str = "sys/module/sfc_resource/afxdp/register";
/// What lies beside the directories of interfaces.
const OTHERS: [&str; 4] = ["devices", "resources", "firewall_add", "firewall_del"];

/// What is registered; absent while `sfc_resource` is not loaded.
pub(super) fn read(root: &Dir) -> Reading<AfXdp> {
    let known = root.names(KNOWN, |name| !OTHERS.contains(&name));
    known.and_then(|names| {
        let known: BTreeSet<InterfaceName> =
            names.iter().filter_map(|name| name.parse().ok()).collect();
        match root.node(REGISTER) {
            Reading::Known(_) => Reading::Known(AfXdp { can_register: true, known }),
            Reading::Absent => Reading::Known(AfXdp { can_register: false, known }),
            Reading::Unreadable(why) => Reading::Unreadable(why),
        }
    })
}

/// Registers an interface, in a unit of its own: the daemon writes nothing below `/sys`.
///
/// # Errors
/// The kernel does not take it, or the program was not run.
pub(super) async fn register(
    programs: &Programs,
    interface: &InterfaceName,
) -> Result<Outcome, StepError> {
    let ended = programs.run(&program(interface)).await?;
    if ended.success {
        return Ok(Outcome::Changed);
    }
    classify(interface, &ended.output)
}

/// The line feed is mandatory, and the kernel takes the line in one write or not at all.
fn program(interface: &InterfaceName) -> Program {
    let script = r#"printf '%s\n' "$1" | tee "$2" >/dev/null"#;
    let arguments = ["-c", script, "register", interface.as_str()].map(str::to_owned);
    Program {
        unit: format!("onloadd-register-{}.service", escaped(interface)),
        description: format!("Register {interface} with Onload for AF_XDP"),
        name: "sh",
        arguments: arguments.into_iter().chain([format!("/{REGISTER}")]).collect(),
        environment: Vec::new(),
        path: Vec::new(),
    }
}

/// A name that systemd takes in that of a unit: what else an interface's may hold is written as its
/// bytes.
fn escaped(interface: &InterfaceName) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
    let bytes = interface.as_str().bytes();
    bytes
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("-{byte:02x}") })
        .collect()
}

/// `tee` says which file it could not write and the system's words for why.
fn classify(interface: &InterfaceName, output: &str) -> Result<Outcome, StepError> {
    let refuse = |detail: &str| {
        Err(StepError::Unregistered { interface: interface.clone(), detail: detail.to_owned() })
    };
    let words = output.trim().rsplit(": ").next().unwrap_or_default();
    match words {
        "Operation already in progress" => Ok(Outcome::Unchanged),
        "Invalid argument" => refuse("Invalid argument"),
        "No such file or directory" | "No such device" => {
            Err(StepError::Failed(format!("interface {interface} is not there any more")))
        }
        "Permission denied" => refuse("it has no register file, as on a kernel without AF_XDP"),
        "" => Err(StepError::Failed(format!("interface {interface} was not registered"))),
        words => {
            Err(StepError::Failed(format!("interface {interface} was not registered: {words}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::root::tests::root_with;
    use super::super::runner::Runner;
    use super::*;

    fn name(text: &str) -> InterfaceName {
        text.parse().unwrap()
    }

    #[test]
    fn registered_are_the_directories_of_interfaces_and_nothing_else() {
        let files = [
            "proc/driver/sfc_resource/devices/x",
            "proc/driver/sfc_resource/resources",
            "proc/driver/sfc_resource/firewall_add",
            "proc/driver/sfc_resource/firewall_del",
            "proc/driver/sfc_resource/ens5/firewall_rules",
        ]
        .map(|path| (path, ""));
        let (_place, root) = root_with(&files);
        let known = BTreeSet::from([name("ens5")]);
        let seen = AfXdp { can_register: false, known };
        assert_eq!(read(&root), Reading::Known(seen.clone()));
        let with = [files.as_slice(), &[("sys/module/sfc_resource/afxdp/register", "")]].concat();
        let (_place, root) = root_with(&with);
        assert_eq!(read(&root), Reading::Known(AfXdp { can_register: true, ..seen }));
        assert_eq!(read(&root_with(&[]).1), Reading::Absent);
    }

    #[test]
    fn the_kernels_answers_are_told_apart() {
        let of = |words: &str| classify(&name("ens5"), &format!("tee: /{REGISTER}: {words}\n"));
        assert_eq!(of("Operation already in progress"), Ok(Outcome::Unchanged));
        for words in ["Invalid argument", "Permission denied"] {
            let Err(error @ StepError::Unregistered { .. }) = of(words) else { panic!("{words}") };
            assert!(!error.retry_may_help(), "{error}");
        }
        for words in ["No such file or directory", "Device or resource busy"] {
            let Err(error) = of(words) else { panic!("{words}") };
            assert!(error.retry_may_help(), "{error}");
        }
        assert!(classify(&name("ens5"), "").unwrap_err().to_string().contains("ens5"));
    }

    #[test]
    fn one_line_is_written_and_a_name_is_no_part_of_the_script() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("register");
        let mut program = program(&name("a$(b)"));
        assert_eq!(program.unit, "onloadd-register-a-24-28b-29.service");
        *program.arguments.last_mut().unwrap() = file.to_str().unwrap().to_owned();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        assert!(runtime.block_on(Programs::from(Runner::Direct).run(&program)).unwrap().success);
        assert_eq!(std::fs::read_to_string(file).unwrap(), "a$(b)\n");
    }
}

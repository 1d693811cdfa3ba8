//! The program that writes shim's variables, run as the daemon has it run, on a directory in the place
//! of efivarfs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops where it broke"
)]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use onload_core::refusal::{Refusal, RefusalKind};
use onload_core::secure_boot::request::write::Write;
use onload_tests::binaries::binary;
use onloadd::variables::{ARGUMENT, EFIVARS, INPUT_BYTES, encode, said};
use tempfile::TempDir;

/// Stands for the hash of a password.
const SECRET: &str = "correct horse battery staple";

/// A machine with nothing but variables.
struct Machine(TempDir);

impl Machine {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join(&EFIVARS[1..])).unwrap();
        Self(root)
    }

    fn file(&self, name: &str) -> PathBuf {
        let file = format!("{name}-605dab50-e046-4300-abb6-3dd810dd8b23");
        self.0.path().join(&EFIVARS[1..]).join(file)
    }

    fn write(&self, writes: &[Write]) -> Output {
        run(self.0.path(), &encode(writes).unwrap())
    }
}

fn command(root: &Path) -> Command {
    let mut command = Command::new(binary("onloadd"));
    command.arg(ARGUMENT).arg("--root").arg(root).env("ONLOADD_LOG", "trace");
    command
}

/// Runs it at its most talkative, and sees that it says nothing of what it reads.
fn run(root: &Path, input: &[u8]) -> Output {
    let mut command = command(root);
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().unwrap();
    // It may end before it has read all of what is too much.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let printed =
        String::from_utf8_lossy(&[&*output.stdout, &*output.stderr].concat()).into_owned();
    let numbers: Vec<_> = SECRET.bytes().take(6).map(|byte| byte.to_string()).collect();
    for form in [SECRET.to_owned(), numbers.join(","), numbers.join(", ")] {
        assert!(!printed.contains(&form), "{printed}");
    }
    output
}

fn refused(output: &Output) -> Refusal {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    said(&String::from_utf8_lossy(&output.stdout)).expect("a refusal")
}

fn put(name: &str, data: &[u8]) -> Write {
    Write { name: name.to_owned(), data: Some(data.to_vec()) }
}

fn delete(name: &str) -> Write {
    Write { name: name.to_owned(), data: None }
}

#[test]
fn a_request_is_written_and_taken_back() {
    let machine = Machine::new();
    let list: Vec<u8> = (0..=u8::MAX).cycle().take(2000).collect();
    let request = [
        put("MokNew", &list),
        put("MokAuth", SECRET.as_bytes()),
        put("MokTimeout", &[44, 1, 0, 0]),
    ];
    let output = machine.write(&request);
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    for Write { name, data } in &request {
        let file = machine.file(name);
        let expected = [&[7, 0, 0, 0], data.as_deref().unwrap()].concat();
        assert_eq!(fs::read(&file).unwrap(), expected, "{name}");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
    let output = machine.write(&["MokNew", "MokAuth", "MokTimeout", "MokDel"].map(delete));
    assert!(output.status.success(), "{output:?}");
    assert_eq!(fs::read_dir(machine.file("MokNew").parent().unwrap()).unwrap().count(), 0);
}

#[test]
fn what_fails_half_way_leaves_all_as_it_was() {
    let machine = Machine::new();
    fs::write(machine.file("MokNew"), b"\x07\0\0\0asked for before").unwrap();
    fs::create_dir(machine.file("MokTimeout")).unwrap();
    let writes =
        [put("MokNew", b"list"), put("MokAuth", SECRET.as_bytes()), put("MokTimeout", &[1])];
    let refusal = refused(&machine.write(&writes));
    assert!(refusal.why.starts_with("MokTimeout "), "{refusal}");
    assert_eq!(refusal.what, "no request to shim was written");
    assert_eq!(fs::read(machine.file("MokNew")).unwrap(), b"\x07\0\0\0asked for before");
    assert!(!machine.file("MokAuth").exists());
}

#[test]
fn what_is_no_list_of_requests_is_refused_and_nothing_is_touched() {
    let machine = Machine::new();
    fs::write(machine.file("MokNew"), b"\x07\0\0\0asked for before").unwrap();
    let one = |name: &str| format!(r#"[{{"name":"MokNew"}},{{"name":"{name}","data":[1]}}]"#);
    let typed = format!(r#"[{{"name":"MokNew","data":"{SECRET}"}}]"#);
    let texts = ["", "[", "{}", "\u{1b}[2J", &typed, &one("MokSB"), &one("db"), &one("../../x")];
    for text in texts {
        let refusal = refused(&run(machine.0.path(), text.as_bytes()));
        assert_eq!(refusal.kind, RefusalKind::InvalidArgument, "{text}: {refusal}");
    }
    let huge = format!("[{}]", " ".repeat(INPUT_BYTES * 40));
    assert_eq!(refused(&run(machine.0.path(), huge.as_bytes())).kind, RefusalKind::LimitExceeded);
    assert_eq!(fs::read(machine.file("MokNew")).unwrap(), b"\x07\0\0\0asked for before");
    assert_eq!(fs::read_dir(machine.file("MokNew").parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn a_machine_without_variables_says_what_to_do() {
    let root = tempfile::tempdir().unwrap();
    let refusal = refused(&run(root.path(), &encode(&[put("MokNew", b"list")]).unwrap()));
    assert_eq!(refusal.kind, RefusalKind::Unsupported);
    assert!(refusal.fix.contains("efi=noruntime"), "{refusal}");
}

#[test]
fn it_is_nothing_for_people_and_nothing_beside_another_wish() {
    let help = Command::new(binary("onloadd")).arg("--help").output().unwrap();
    assert!(!String::from_utf8_lossy(&help.stdout).contains(ARGUMENT));
    let root = tempfile::tempdir().unwrap();
    for other in ["--boot", "--check-config", "--bus=session", "--record=/nowhere"] {
        let output = command(root.path()).arg(other).stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{other}: {output:?}");
    }
}

//! What the program that writes variables reads, and what its caller reads of it.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use onload_core::secure_boot::request::write::Write;
use onload_tests::binaries::binary;
use onloadd::variables::{ARGUMENT, EFIVARS, encode, said};

use super::{survives, survives_rounds};

/// Each round is a process.
const ROUNDS: u32 = 300;
/// Stands for the hash of a password.
const SECRET: &[u8] = b"correct horse battery staple";

#[test]
fn lists_of_writes() {
    let root = tempfile::tempdir().unwrap();
    let variables = root.path().join(&EFIVARS[1..]);
    let put = |name: &str, data: &[u8]| Write { name: name.to_owned(), data: Some(data.to_vec()) };
    let writes = [
        put("MokNew", &[1, 2, 3]),
        put("MokAuth", SECRET),
        Write { name: "MokTimeout".to_owned(), data: None },
    ];
    // The secret as it stands there.
    let numbers: Vec<_> = SECRET[..6].iter().map(u8::to_string).collect();
    let numbers = numbers.join(",");
    survives_rounds("writes", &encode(&writes).unwrap(), ROUNDS, |bytes| {
        fs::create_dir_all(&variables).unwrap();
        let mut command = Command::new(binary("onloadd"));
        command.arg(ARGUMENT).arg("--root").arg(root.path());
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn().unwrap();
        child.stdin.take().unwrap().write_all(bytes).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.stderr.is_empty() && !text.contains(&numbers), "{text}");
        let made = fs::read_dir(&variables).unwrap().count();
        match output.status.code() {
            Some(0) => assert!(made <= writes.len() && text.is_empty(), "{text}"),
            Some(1) => {
                assert!(said(&text).is_some(), "no refusal: {text}");
                assert_eq!(made, 0, "all or nothing");
            }
            other => panic!("ended with {other:?}"),
        }
        fs::remove_dir_all(&variables).unwrap();
    });
}

#[test]
fn refusals_of_the_program() {
    let refusal = encode(&[Write { name: "db".to_owned(), data: None }]).unwrap_err();
    let line = format!("a warning\n{}\n", serde_json::to_string(&refusal).unwrap());
    assert_eq!(said(&line), Some(refusal));
    survives("refusal", line.as_bytes(), |bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let Some(refusal) = said(&text) {
            let again = serde_json::to_string(&refusal).unwrap();
            assert_eq!(said(&again), Some(refusal));
        }
    });
}

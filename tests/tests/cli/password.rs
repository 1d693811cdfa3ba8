//! The password of a request to shim: typed on a terminal that does not show it, or made and shown
//! once; neither it nor its hash is anywhere else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use onload_core::secure_boot::request::{PasswordHash, crypt};
use onload_dbus::{BUS_NAME, interface, path};
use onload_tests::background::Background;
use onload_tests::node::{Node, PATIENCE};
use serde_json::Value;
use tokio_stream::StreamExt as _;
use zbus::message::Type;
use zbus::{Connection, MatchRule, MessageStream};

use crate::keys::{Machine, install};
use crate::orders::{end, ordering};
use crate::rig::{Rig, node};
use crate::run::{Ended, command};
use crate::schema::{faults, schema};
use crate::terminal::typed;

const PASSWORD: &str = "S3cretPassw0rd";
/// What is asked, in this order.
pub const PROMPTS: [&str; 2] = ["Password to type at the console: ", "The same once more: "];

/// Puts an openssl in the way of the system's, which writes down its words and variables, and what it
/// answers.
fn listen(machine: &Machine) {
    let directory = machine.path("bin");
    fs::create_dir_all(&directory).unwrap();
    let places = std::env::split_paths(&std::env::var_os("PATH").unwrap()).collect::<Vec<_>>();
    let real = places.iter().map(|place| place.join("openssl")).find(|one| one.is_file()).unwrap();
    let [calls, made, real] = [machine.path("calls"), machine.path("made"), real]
        .map(|path| path.to_str().unwrap().to_owned());
    let text = format!(
        "#!/bin/sh\n{{ printf '%s\\n' \"$@\"; env; }} >> '{calls}'\n'{real}' \"$@\" | tee -a '{made}'\n"
    );
    fs::write(machine.path("openssl.sh"), text).unwrap();
    install(&machine.path("openssl.sh"), &directory.join("openssl"));
}

/// Has a command find that openssl, where it was put.
pub fn heard(machine: &Machine, command: &mut Command) {
    let path = std::env::var("PATH").unwrap();
    command.env("PATH", format!("{}:{path}", machine.path("bin").display()));
    command.current_dir(machine.path(""));
}

#[test]
fn a_password_is_typed_twice_and_not_shown() {
    let test = "a_password_is_typed_twice_and_not_shown";
    let disk = ("enabled = true", "enabled = true\nsealed-disks = [\"root\"]");
    let mut machine = Machine::new(&[disk]);
    listen(&machine);
    let all_the_same = ("all the same? [y/N] ", "y\n");
    let import = "$ctl keys import site.pem";
    for (answers, code, said) in [
        (vec![("[y/N] ", "\n")], 4, "then order it with --despite-sealed-disks"),
        (vec![all_the_same, (PROMPTS[0], "\n")], 2, "1 to 256 characters"),
        (vec![all_the_same, (PROMPTS[0], "gr\u{fc}n\n")], 2, "a US keyboard has not"),
        (vec![all_the_same, (PROMPTS[0], "one\n"), (PROMPTS[1], "two\n")], 2, "passwords differ"),
    ] {
        let Some(ended) = typed(test, &machine, import, &answers) else { return };
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(ended.out.contains("volume root") && ended.out.contains(said), "{ended:?}");
    }
    assert!(!machine.path("calls").exists(), "nothing was hashed");
    let line = format!("{PASSWORD}\n");
    let answers = [all_the_same, (PROMPTS[0], &line), (PROMPTS[1], &line)];
    let Some(ended) = typed(test, &machine, import, &answers) else { return };
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.out.contains("j1: asked for: reboot"), "{ended:?}");
    assert!(ended.out.contains("warning: keyboards other than a US one"), "{ended:?}");
    assert!(!ended.out.contains(PASSWORD), "{ended:?}");
    let calls = fs::read_to_string(machine.path("calls")).unwrap();
    assert!(calls.starts_with("passwd\n-6\n-stdin\n") && !calls.contains(PASSWORD), "{calls}");
    machine.until("EnrolmentPending");
}

#[test]
fn a_password_that_is_made_is_shown_once() {
    let mut machine = Machine::new(&[]);
    listen(&machine);
    let run = |machine: &Machine| {
        let mut command = machine.node.ctl_command(["keys", "import", "site.pem"]);
        heard(machine, command.arg("--generate-password"));
        Ended::of(command.output().unwrap())
    };
    let ended = run(&machine);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.err.contains("warning"), "{ended:?}");
    let password = ended.out.lines().find_map(|line| line.strip_prefix("password: ")).unwrap();
    assert_eq!(password.len(), 16, "{ended:?}");
    assert_eq!(ended.out.matches(password).count(), 1);
    assert!(!fs::read_to_string(machine.path("calls")).unwrap().contains(password));
    // What was asked for has the hash of that password: openssl makes it again from its salt.
    let hash = fs::read_to_string(machine.path("made")).unwrap();
    let salt = hash.split('$').nth(2).unwrap();
    let again = Command::new("openssl").args(["passwd", "-6", "-salt", salt, password]).output();
    assert_eq!(String::from_utf8(again.unwrap().stdout).unwrap(), hash);
    machine.until("EnrolmentPending");
    let refused = run(&machine);
    assert_eq!((refused.code, refused.out.as_str()), (Some(4), ""), "{refused:?}");
}

#[tokio::test]
async fn a_password_that_is_made_is_said_when_the_end_is_not_seen() {
    let certificate = Node::repository("tests/secure-boot/module.pem");
    let import = ["keys", "import", certificate.to_str().unwrap(), "--generate-password"];
    for (json, told) in [(false, true), (false, false), (true, true), (true, false)] {
        let rig = Rig::new(node()).await;
        let mut command = command(&rig.bus.address(), &import);
        let child = ordering(&rig, command.args(json.then_some("--json"))).await;
        // It has heard which job that is.
        tokio::time::sleep(Duration::from_millis(200)).await;
        if told {
            let pid = Pid::from_raw(child.id().unwrap().cast_signed());
            kill(pid, Signal::SIGTERM).unwrap();
        } else {
            rig.edge.abort();
        }
        let ended = end(child).await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        if json {
            let document: Value = serde_json::from_str(&ended.out).unwrap();
            let wrong = faults("keys-import", &schema("keys-import"), &document);
            assert_eq!(wrong, Vec::<String>::new());
            assert_eq!(document["password"].as_str().map(str::len), Some(16), "{document}");
            let known = ["id", "kind", "state"].map(|name| document[name].as_str().unwrap());
            assert_eq!(known, ["j7", "import-key", "unknown"]);
            let why: Value = serde_json::from_str(&ended.err).unwrap();
            assert_eq!(why["error"]["name"], "Cancelled", "{why}");
        } else {
            assert!(
                ended.err.contains("the password of the request, if it is made: "),
                "{ended:?}"
            );
        }
    }
}

/// All that the bus shows of the node: every property, and every signal since it began.
struct Listener {
    background: Background,
    connection: Connection,
    signals: Arc<Mutex<Vec<u8>>>,
}

impl Listener {
    fn new(node: &Node) -> Self {
        let background = Background::start().unwrap();
        let address = node.bus.address();
        let signals = Arc::new(Mutex::new(Vec::new()));
        let connection = background.run(async {
            let builder = zbus::connection::Builder::address(address.as_str());
            let connection = builder.method_timeout(PATIENCE).build().await.unwrap();
            let rule = MatchRule::builder().msg_type(Type::Signal).sender(BUS_NAME);
            let rule = rule.path_namespace(path::ROOT).build().unwrap();
            let stream = MessageStream::for_match_rule(rule, &connection, None).await.unwrap();
            let heard = signals.clone();
            tokio::spawn(async move {
                let mut stream = stream;
                while let Some(Ok(message)) = stream.next().await {
                    heard.lock().unwrap().extend_from_slice(message.data());
                }
            });
            connection
        });
        Self { background, connection, signals }
    }

    fn call(&self, interface: &str, member: &str, about: Option<&str>) -> Vec<u8> {
        self.background.run(async {
            let (name, interface) = (Some(BUS_NAME), Some(interface));
            let reply = match about {
                Some(about) => {
                    self.connection.call_method(name, path::ROOT, interface, member, &about).await
                }
                None => self.connection.call_method(name, path::ROOT, interface, member, &()).await,
            };
            reply.unwrap().data().to_vec()
        })
    }

    /// Each piece, by where it is from.
    fn pieces(&self) -> Vec<(String, Vec<u8>)> {
        let properties = "org.freedesktop.DBus.Properties";
        let objects = "org.freedesktop.DBus.ObjectManager";
        let mut all: Vec<_> = [interface::MANAGER, interface::SECURE_BOOT]
            .map(|one| (one.to_owned(), self.call(properties, "GetAll", Some(one))))
            .into();
        all.push(("objects".to_owned(), self.call(objects, "GetManagedObjects", None)));
        all.push(("signals".to_owned(), self.signals.lock().unwrap().clone()));
        all
    }
}

/// What is in each file below a directory.
fn files(directory: &Path, all: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        if path.is_dir() {
            files(&path, all);
        } else if path.is_file() {
            all.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
}

fn base64(bytes: &[u8]) -> String {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |three: &[u8]| {
        let bits = three.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        [18, 12, 6, 0].map(|shift| char::from(digits[bits >> shift & 63]))
    };
    bytes.chunks_exact(3).flat_map(group).collect()
}

/// The password, its hash and its salt, in every form in which somebody might write them by mistake.
fn needles(password: &str, hash: &str) -> Vec<Vec<u8>> {
    let PasswordHash::Crypt { salt, hash: digest, .. } = crypt::parse(hash).unwrap() else {
        panic!("{hash}")
    };
    let digits = hash.trim_end().rsplit('$').next().unwrap();
    let mut needles = vec![
        password.as_bytes().to_vec(),
        digits.as_bytes()[..12].to_vec(),
        salt.clone(),
        digest[..12].to_vec(),
    ];
    for bytes in [password.as_bytes(), &salt, &digest[..64]] {
        let bytes = &bytes[..12];
        let texts = |format: fn(&u8) -> String, between: &str| {
            bytes.iter().map(format).collect::<Vec<_>>().join(between).into_bytes()
        };
        needles.push(texts(|byte| format!("{byte:02x}"), ""));
        needles.push(texts(|byte| format!("{byte:02X}"), ""));
        needles.push(texts(u8::to_string, ", "));
        needles.push(texts(u8::to_string, ","));
        needles.push(texts(|byte| format!("0x{byte:x}"), ", "));
        // At each of the three places where a group may begin, whole groups only.
        needles.extend((0..3).map(|from| base64(&bytes[from..]).into_bytes()));
    }
    needles
}

fn has(text: &[u8], needle: &[u8]) -> bool {
    text.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn neither_password_nor_hash_is_anywhere() {
    let test = "neither_password_nor_hash_is_anywhere";
    let mut machine = Machine::new(&[]);
    listen(&machine);
    let listener = Listener::new(&machine.node);
    let line = format!("{PASSWORD}\n");
    let import = "$ctl keys import site.pem";
    let answers = [(PROMPTS[0], line.as_str()), (PROMPTS[1], &line)];
    let Some(shown) = typed(test, &machine, import, &answers) else { return };
    assert_eq!(shown.code, Some(0), "{shown:?}");
    machine.until("EnrolmentPending");
    let again = machine.import(&["--json"]);
    assert_eq!(again.code, Some(4), "{again:?}");
    let mut pieces = listener.pieces();
    machine.keys(&["revoke-request"]);
    // A hash from a file, and a password that is made, which a program is given once.
    assert_eq!(machine.import(&[]).code, Some(0));
    machine.keys(&["revoke-request"]);
    let made = machine.keys(&["import", "site.pem", "--generate-password", "--json"]);
    let made: Value = serde_json::from_str(&made.out).unwrap();
    machine.until("EnrolmentPending");
    pieces.extend(listener.pieces());
    for words in [&["status"][..], &["jobs"], &["keys", "list"], &["keys", "status"], &["config"]] {
        for json in [&[][..], &["--json"]] {
            let output = machine.node.ctl([words, json].concat()).unwrap();
            pieces.push((format!("{words:?}"), [output.stdout, output.stderr].concat()));
        }
    }
    pieces.push(("terminal".to_owned(), shown.out.into_bytes()));
    pieces.push(("refusal".to_owned(), [again.out, again.err].concat().into_bytes()));
    pieces.push(("log".to_owned(), machine.node.log().into_bytes()));
    files(&machine.node.state_directory(), &mut pieces);
    files(&machine.node.runtime_directory(), &mut pieces);

    // What is looked through has what it is about.
    let fingerprint = b"a41f96df930feaaac9455f2e76d49fe6b11309c72a5e2f7296e18414f491d260";
    let ledger = machine.node.state_directory().display().to_string();
    for place in [interface::SECURE_BOOT, "signals", &ledger] {
        let there =
            pieces.iter().any(|(from, text)| from.starts_with(place) && has(text, fingerprint));
        assert!(there, "{place}");
    }
    assert!(pieces.iter().any(|(from, text)| from == "log" && has(text, b"serving")));
    let hash = fs::read_to_string(machine.path("made")).unwrap();
    let made = made["password"].as_str().unwrap();
    let all = [(PASSWORD, hash.as_str()), (made, crate::keys::HASH)];
    for (password, hash) in all {
        for needle in needles(password, hash) {
            for (from, text) in &pieces {
                assert!(!has(text, &needle), "{from} has {}", String::from_utf8_lossy(&needle));
            }
        }
    }
}

#[test]
fn what_is_looked_for_is_found() {
    let hash = crate::keys::HASH;
    let PasswordHash::Crypt { salt, hash: digest, .. } = crypt::parse(hash).unwrap() else {
        panic!("{hash}")
    };
    let hex: String = digest[..64].iter().map(|byte| format!("{byte:02x}")).collect();
    let texts = [
        format!("password={PASSWORD}"),
        format!("import {hash}"),
        format!("digest={hex}"),
        format!("{digest:?}"),
        format!("{salt:?}"),
        base64(&[&[0; 4], &digest[..64]].concat()),
        base64(&digest[..63]),
    ];
    for text in texts {
        let found = needles(PASSWORD, hash).iter().any(|needle| has(text.as_bytes(), needle));
        assert!(found, "{text}");
    }
    let raw = [b"x", &digest[..]].concat();
    assert!(needles(PASSWORD, hash).iter().any(|needle| has(&raw, needle)));
}

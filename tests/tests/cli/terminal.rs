//! `keys import` on a terminal: what somebody does there, and how the terminal is left.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{ChildStdin, Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use onload_tests::binaries::binary;
use onload_tests::skip::skip;

use crate::keys::{Machine, install};
use crate::password::{PROMPTS, heard};
use crate::run::Ended;

/// Seconds after which a program on a terminal is ended: longer than any takes.
const ENDED_AFTER: &str = "60";
/// What is typed comes to the terminal within this.
const TYPED_WITHIN: Duration = Duration::from_millis(300);
/// Begins what somebody typed who did not get to the end.
const BEGUN: &str = "abc";

/// What somebody does at a question.
#[derive(Clone, Copy)]
enum Act<'a> {
    Types(&'a str),
    /// Types something, and the process whose number is in the file `pid` gets a signal.
    Signals(&'a str, Signal),
}

impl Act<'_> {
    fn play(self, machine: &Machine, keyboard: &mut ChildStdin) {
        let (Self::Types(keys) | Self::Signals(keys, _)) = self;
        keyboard.write_all(keys.as_bytes()).unwrap();
        if let Self::Signals(_, signal) = self {
            // Nothing shows that it has come to the terminal.
            thread::sleep(TYPED_WITHIN);
            let pid = fs::read_to_string(machine.path("pid")).unwrap();
            kill(Pid::from_raw(pid.trim().parse().unwrap()), signal).unwrap();
        }
    }
}

/// Runs a line of the shell on a terminal, in which `$ctl` is onloadctl, and types each answer at its
/// question. None where there is no terminal to be had.
pub fn typed(test: &str, machine: &Machine, line: &str, answers: &[(&str, &str)]) -> Option<Ended> {
    let acts: Vec<_> =
        answers.iter().map(|(question, keys)| (*question, Act::Types(keys))).collect();
    played(test, machine, line, &acts)
}

/// The same, of all that somebody may do.
fn played(test: &str, machine: &Machine, line: &str, acts: &[(&str, Act<'_>)]) -> Option<Ended> {
    if Command::new("script").arg("--version").output().is_err() {
        skip(test, "no program `script` here");
        return None;
    }
    let ctl = format!("{} --bus {}", binary("onloadctl").display(), machine.node.bus.address());
    // What waits for ever on a terminal would hold up all tests.
    let mut script = Command::new("timeout");
    script.args(["-k", "1", ENDED_AFTER, "script", "-q", "-e", "-c"]);
    script.args([&line.replace("$ctl", &ctl), "/dev/null"]).env_remove("NO_COLOR");
    heard(machine, &mut script);
    script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = script.spawn().unwrap();
    let (mut keyboard, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (mut shown, mut piece, mut acts) = (Vec::new(), [0; 256], acts.iter());
    let mut next = acts.next();
    loop {
        let length = screen.read(&mut piece).unwrap();
        if length == 0 {
            break;
        }
        shown.extend_from_slice(&piece[..length]);
        if let Some((question, act)) = next
            && shown.ends_with(question.as_bytes())
        {
            act.play(machine, &mut keyboard);
            next = acts.next();
        }
    }
    drop(keyboard);
    let mut ended = Ended::of(child.wait_with_output().unwrap());
    ended.out = String::from_utf8(shown).unwrap();
    assert!(next.is_none(), "{:?} was not asked: {ended:?}", next.map(|(question, _)| question));
    Some(ended)
}

/// The import in a shell that outlives it: what number it has is in the file `pid`, and whether the
/// terminal is afterwards as it was is said.
const AROUND: &str = "trap : INT QUIT; ulimit -c unlimited; before=$(stty -g); \
    sh -c 'echo $$ > pid; exec $ctl keys import site.pem'; echo ended $?; \
    test \"$before\" = \"$(stty -g)\" && echo as before";

#[test]
fn whoever_leaves_at_a_question_has_the_terminal_as_it_was() {
    let test = "whoever_leaves_at_a_question_has_the_terminal_as_it_was";
    let machine = Machine::new(&[]);
    let signals = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];
    let ctrl = |letter: char| format!("{BEGUN}{}", char::from(letter as u8 & 0x1f));
    let [interrupt, quit] = [ctrl('C'), ctrl('\\')];
    let stopped = ["it was asked to stop"; 2];
    let mut ways: Vec<_> =
        signals.map(|signal| (Act::Signals(BEGUN, signal), "ended 1", stopped)).into();
    ways.extend([&interrupt, &quit].map(|keys| (Act::Types(keys), "ended 1", stopped)));
    // Ctrl-D says no more than that nothing follows.
    let differs = ["has 1 to 256 characters", "the two passwords differ"];
    ways.push((Act::Types("\u{4}"), "ended 2", differs));
    for (act, code, why) in ways {
        let second = [(PROMPTS[0], Act::Types("abcdef\n")), (PROMPTS[1], act)];
        for (acts, why) in [(&[(PROMPTS[0], act)][..], why[0]), (&second, why[1])] {
            let Some(ended) = played(test, &machine, AROUND, acts) else { return };
            assert!(ended.out.contains(code) && ended.out.contains(why), "{ended:?}");
            assert!(ended.out.contains("as before"), "{ended:?}");
            assert!(!ended.out.contains(BEGUN), "{ended:?}");
        }
    }
}

#[test]
fn who_dies_at_a_question_leaves_nothing_of_what_was_typed() {
    let test = "who_dies_at_a_question_leaves_nothing_of_what_was_typed";
    let machine = Machine::new(&[]);
    for signal in [Signal::SIGABRT, Signal::SIGILL] {
        let acts =
            [(PROMPTS[0], Act::Types("abcdef\n")), (PROMPTS[1], Act::Signals(BEGUN, signal))];
        let Some(ended) = played(test, &machine, AROUND, &acts) else { return };
        let code = format!("ended {}", 128 + signal as i32);
        assert!(ended.out.contains(&code) && !ended.out.contains("dumped"), "{ended:?}");
        assert!(!ended.out.contains(BEGUN), "{ended:?}");
        let images = fs::read_dir(machine.path(""))
            .unwrap()
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("core"));
        assert_eq!(images.count(), 0);
    }
}

#[test]
fn a_terminal_of_somebody_else_is_needed_for_typing_only() {
    let test = "a_terminal_of_somebody_else_is_needed_for_typing_only";
    if !geteuid().is_root() {
        return skip(test, "only root can make calls as another user");
    }
    let machine = Machine::new(&[]);
    install(&binary("onloadctl"), &machine.path("onloadctl"));
    fs::set_permissions(machine.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    let line = format!(
        "setpriv --reuid=65534 --regid=65534 --clear-groups ./onloadctl --bus {} keys import site.pem",
        machine.node.bus.address()
    );
    // That others may not ask is said by onloadd, which is asked then.
    let asks = "com.amd.onload1.manage-keys";
    for (more, code, said) in [
        ("", 1, "the terminal cannot be asked for a password"),
        (" --hash-file hash", 3, asks),
        (" --generate-password", 3, asks),
    ] {
        let Some(ended) = typed(test, &machine, &format!("{line}{more}"), &[]) else { return };
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(ended.out.contains(said), "{ended:?}");
    }
}

//! `clock`: what is said of clocks, by whom the system clock is to be steered, and the plot.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use onload_core::clock::picture::{ClocksPicture, Keeper};
use onload_core::command::Command as Order;
use onload_core::condition::Status;
use onload_core::picture::Picture;
use onload_tests::binaries::binary;
use onload_tests::skip::skip;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStdout, Command};

use crate::live::Live;
use crate::rig::{PATIENCE, Rig, node};
use crate::schema::{faults, schema};

/// Changes the system clock of a picture.
fn system(picture: &mut Picture, offset: i64, synchronised: Status) {
    let clocks = Arc::make_mut(&mut picture.clocks);
    let system = clocks.clocks.get_mut("system").unwrap();
    system.verdict.offset_ns = Some(offset);
    system.synchronised = synchronised;
}

#[tokio::test]
async fn the_first_line_and_the_exit_code_say_whether_time_is_kept() {
    let rig = Rig::new(node()).await;
    for words in [&["clock"][..], &["clock", "status"]] {
        let ended = rig.ctl(words).await;
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{ended:?}");
        let first = ended.out.lines().next().unwrap();
        let said = "● synchronised  by sfptpd (sfptpd.service) from ptp1, -12 ns, for ";
        assert!(first.starts_with(said), "{ended:?}");
        assert!(ended.out.contains("+37 s +123 ns  ens1f0\n"), "{ended:?}");
        assert!(ended.out.contains("fix: stop one\n"), "a conflict has its remedy: {ended:?}");
    }
    let page = rig.ctl(&["status"]).await;
    let line = "       clock  synchronised: by sfptpd (sfptpd.service) from ptp1, -12 ns, for ";
    assert!(page.out.contains(line), "{page:?}");
    let mut picture = node();
    system(&mut picture, 5_000_000, Status::False);
    let ended = Rig::new(picture).await.ctl(&["clock", "status"]).await;
    assert_eq!(ended.code, Some(4), "{ended:?}");
    let off = Picture { clocks: Arc::default(), ..node() };
    let ended = Rig::new(off).await.ctl(&["clock", "status", "--json"]).await;
    assert_eq!(ended.code, Some(4), "nobody knows: {ended:?}");
}

#[tokio::test]
async fn conflicts_come_with_what_to_do() {
    let ended = Rig::new(node()).await.ctl(&["clock", "conflicts"]).await;
    assert_eq!(ended.code, Some(4), "{ended:?}");
    let expected = "\
ptp0: TwoOfAKind
  why: two sfptpd run
  fix: stop one
  sfptpd is not started while it is so
";
    assert_eq!(ended.out, expected);
    let mut picture = node();
    picture.clocks = Arc::new(ClocksPicture { conflicts: Vec::new(), ..(*picture.clocks).clone() });
    let ended = Rig::new(picture).await.ctl(&["clock", "conflicts"]).await;
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), "nobody fights over a clock\n"));
}

#[tokio::test]
async fn a_hand_over_says_what_it_stops_and_starts_before_it_is_ordered() {
    let rig = Rig::new(node()).await;
    let plan = "\
steered by  sfptpd (sfptpd.service)
     stops  sfptpd.service
    starts  chronyd.service
";
    let dry = rig.ctl(&["clock", "handover", "--back", "--dry-run"]).await;
    assert_eq!((dry.code, dry.out.as_str()), (Some(0), plan));
    assert_eq!(rig.commands(), [], "nothing is ordered");
    let back = rig.ctl(&["clock", "handover", "--back", "--no-follow"]).await;
    assert_eq!(back.code, Some(0), "{back:?}");
    assert!(back.out.starts_with(plan) && back.out.contains("j7: ordered"), "{back:?}");
    let there = rig.ctl(&["clock", "handover", "--no-follow"]).await;
    assert!(there.out.contains("     stops  other.service\n"), "{there:?}");
    let orders = [Keeper::Former, Keeper::Sfptpd].map(|to| Order::HandOver { to });
    assert_eq!(rig.commands(), orders);
}

#[tokio::test]
async fn without_a_terminal_each_change_is_a_line() {
    let rig = Rig::new(node()).await;
    let mut live = Live::start(&rig, &["clock", "watch"]);
    let words = |line: String| line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ");
    assert_eq!(words(live.line().await), "system -12 ns synchronised by sfptpd from ptp1");
    assert_eq!(words(live.line().await), "ptp0 - free-running");
    rig.alter(|picture| system(picture, 3_400, Status::False));
    assert_eq!(words(live.line().await), "system +3.40 µs settling by sfptpd from ptp1");
    rig.alter(|picture| picture.clocks = Arc::default());
    let gone = [words(live.line().await), words(live.line().await)];
    assert!(gone.contains(&"ptp0 gone".to_owned()), "{gone:?}");
    live.interrupt().await;
}

#[tokio::test]
async fn lines_of_json_are_as_documented_and_outlive_onloadd() {
    let rig = Rig::new(node()).await;
    let mut live = Live::start(&rig, &["clock", "watch", "--json"]);
    let first = live.json().await;
    assert_eq!(faults("", &schema("clock-watch"), &first), Vec::<String>::new());
    assert_eq!((&first["change"], &first["clock"]["name"]), (&json!("appeared"), &json!("system")));
    assert_eq!(live.json().await["clock"]["name"], "ptp0");
    rig.edge.abort();
    let mut picture = node();
    system(&mut picture, 7, Status::True);
    let mut second = Rig::on(rig.bus, picture);
    second.served().await;
    let next = live.json().await;
    assert_eq!((&next["change"], &next["clock"]["offset_ns"]), (&json!("changed"), &json!(7)));
    live.interrupt().await;
}

/// Reads until something is on the screen; all that was shown so far.
async fn until(screen: &mut ChildStdout, shown: &mut String, wanted: &str) {
    let from = shown.len();
    let mut piece = [0; 4096];
    let reading = async {
        let mut bytes = Vec::new();
        loop {
            let length = screen.read(&mut piece).await.unwrap();
            bytes.extend_from_slice(&piece[..length]);
            let text = String::from_utf8_lossy(&bytes);
            if text.contains(wanted) || length == 0 {
                shown.push_str(&text);
                break;
            }
        }
    };
    let found = tokio::time::timeout(PATIENCE, reading).await;
    let last = shown.get(from..).unwrap_or_default();
    assert!(found.is_ok() && last.contains(wanted), "no {wanted:?}: {last:?}");
}

/// The plot in a shell that outlives it, on a small terminal, which then is made smaller.
const AROUND: &str = "trap : INT; stty rows 12 cols 70; before=$(stty -g); \
    (read size < resize; stty rows 4 cols 60 < /dev/tty) & \
    sh -c 'echo $$ > pid; exec $ctl clock watch'; code=$?; \
    test \"$before\" = \"$(stty -g)\" && echo as before; exit $code";

#[tokio::test]
async fn a_terminal_has_a_plot_and_is_given_back_as_it_was() {
    let test = "a_terminal_has_a_plot_and_is_given_back_as_it_was";
    if std::process::Command::new("script").arg("--version").output().is_err() {
        return skip(test, "no program `script` here");
    }
    let rig = Rig::new(node()).await;
    let place = tempfile::tempdir().unwrap();
    let pipe = place.path().join("resize");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let ctl = format!("{} --bus {}", binary("onloadctl").display(), rig.bus.address());
    let mut script = Command::new("timeout");
    script.args(["-k", "1", "60", "script", "-q", "-e", "-c", &AROUND.replace("$ctl", &ctl)]);
    script.arg("/dev/null").current_dir(place.path()).env("TERM", "xterm").env_remove("NO_COLOR");
    script.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = script.spawn().unwrap();
    let (mut keyboard, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut shown = String::new();
    until(&mut screen, &mut shown, "+20 ns┤").await;
    assert!(shown.contains("\x1b[?1049h"), "{shown:?}");
    assert!(shown.contains("nobody\u{fffd}steers it"), "{shown:?}");
    rig.alter(|picture| system(picture, 3_400, Status::True));
    until(&mut screen, &mut shown, "+3.40 µs").await;
    until(&mut screen, &mut shown, "+5.00 µs┤").await;
    // Somebody waits at its other end since the beginning.
    std::fs::write(&pipe, "now\n").unwrap();
    until(&mut screen, &mut shown, "and 1 more: a taller terminal shows them").await;
    // Whoever asks it to rest has the terminal meanwhile.
    let pid = std::fs::read_to_string(place.path().join("pid")).unwrap();
    let pid = Pid::from_raw(pid.trim().parse().unwrap());
    kill(pid, Signal::SIGTSTP).unwrap();
    until(&mut screen, &mut shown, "\x1b[?1049l").await;
    // It has given the terminal back and is about to stop: what comes before that would wake nobody.
    let rests = async {
        while !std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap().contains("State:\tT")
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, rests).await.unwrap();
    kill(pid, Signal::SIGCONT).unwrap();
    until(&mut screen, &mut shown, "\x1b[?1049h").await;
    keyboard.write_all(b"\x03").await.unwrap();
    until(&mut screen, &mut shown, "as before").await;
    let (_, after) = shown.rsplit_once("\x1b[?1049l").unwrap();
    assert!(after.contains("-12 ns to +3.40 µs"), "how it went stays to be read: {after:?}");
    let ended = tokio::time::timeout(PATIENCE, child.wait()).await.unwrap().unwrap();
    assert_eq!(ended.code(), Some(0));
}

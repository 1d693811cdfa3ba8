//! The guest itself: what all other cases rely on. These run in a guest of another theme.

use std::time::{Duration, Instant};

use onload_tests::guest::{Guest, Ran};

/// A file that the theme's options lay into the root.
pub const EXTRA: &str = "/usr/share/guest/extra";

pub fn carries_out_several_orders_at_once(guest: &mut Guest) -> anyhow::Result<()> {
    let limit = Duration::from_secs(20);
    // The first ends only when the second has run.
    let first = guest.begin("until test -e /run/second; do sleep 0.1; done; echo first", limit)?;
    guest.ok("touch /run/second")?;
    assert_eq!(first.wait()?.stdout, "first\n");
    let ended = guest.run("echo out; echo err >&2; exit 7")?;
    let (stdout, stderr) = ("out\n".to_owned(), "err\n".to_owned());
    assert_eq!(ended, Ran { status: Some(7), stdout, stderr });
    Ok(())
}

pub fn ends_what_takes_too_long(guest: &mut Guest) -> anyhow::Result<()> {
    let started = Instant::now();
    let ran = guest.run_within("echo begun; sleep 60", Duration::from_secs(1))?;
    assert_eq!((ran.status, ran.stdout.as_str()), (Some(124), "begun\n"));
    // What is left in the background keeps nobody waiting.
    assert!(guest.run_within("sleep 60 &", Duration::from_secs(20))?.ok());
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    Ok(())
}

pub fn carries_files(guest: &mut Guest) -> anyhow::Result<()> {
    // More than a queue of the port holds, and every byte there is.
    let content: Vec<u8> = (0..=u8::MAX).cycle().take(1 << 20).collect();
    guest.put("/run/carried/file", &content, 0o640)?;
    assert_eq!(guest.ok("stat -c '%a %s %U' /run/carried/file")?, "640 1048576 root\n");
    assert!(guest.get("/run/carried/file")? == content, "it comes back as it went in");
    assert!(guest.get("/run/carried/none").is_err());
    assert_eq!(guest.ok(&format!("stat -c '%a %U' {EXTRA} && cat {EXTRA}"))?, "600 root\nlaid in");
    guest.ok("grep -qw onloadd.test=1 /proc/cmdline")?;
    assert!(guest.console().contains("systemd"), "the console is kept");
    Ok(())
}

//! The daemon as a service: systemd, the system bus and polkit are the real ones.

use onload_tests::cases;
use onload_tests::guest::cases::Theme;
use onload_tests::guest::{Guest, Options};

pub fn theme() -> Theme {
    Theme { name: "service", options: Options::new(), cases: cases![becomes_active] }
}

fn becomes_active(guest: &mut Guest) -> anyhow::Result<()> {
    let shown = guest.ok("systemctl show onloadd -p ActiveState,SubState,Type,StatusText,NRestarts; systemd-analyze; systemctl --failed; onloadctl status; echo $?; journalctl -u onloadd -o short-monotonic; systemd-analyze blame | head -20; free -m")?;
    println!("{shown}");
    Ok(())
}

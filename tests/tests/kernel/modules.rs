//! Modules are loaded by systemd on the daemon's behalf.
use std::time::Duration;

use onload_tests::cases;
use onload_tests::guest::cases::Theme;
use onload_tests::guest::{Guest, Options};

pub fn theme() -> Theme {
    Theme { name: "modules", options: Options::new().file("/etc/modprobe.d/guest.conf", "blacklist sfc\n", 0o644), cases: cases![explore] }
}

fn explore(guest: &mut Guest) -> anyhow::Result<()> {
    for step in [
        "insmod /opt/card/onloadd_card.ko; sleep 2; lsmod | head -5; onloadctl status; onloadctl ports",
        "mkdir -p /etc/onloadd/onloadd.toml.d; printf '[modules]\\nrelease = \"in-tree\"\\n' > /etc/onloadd/onloadd.toml.d/50.toml; systemctl reload onloadd; echo $?; time onloadctl apply; echo $?; onloadctl status; onloadctl ports; lsmod | grep sfc; journalctl --no-pager -u onloadd-load-sfc; networkctl; ip -br l",
        "journalctl --no-pager -u onloadd -o short-monotonic",
        "printf '[modules]\\nrelease = \"host\"\\n' > /etc/onloadd/onloadd.toml.d/50.toml; systemctl reload onloadd; echo $?; onloadctl apply; echo $?; onloadctl status; journalctl --no-pager -u onloadd-load-onload",
        "time rmmod sfc; sleep 1; lsmod | grep sfc; onloadctl apply --retry; onloadctl status; cp -r /opt/releases/9.2.1/lib/modules/$(uname -r)/extra /lib/modules/$(uname -r)/updates; time depmod -a; cp -r /opt/releases/9.2.1/usr/. /usr/; ls -l /usr/lib64",
        "rmmod sfc; onloadctl apply --retry; echo $?; onloadctl status; lsmod | head; journalctl --no-pager -u onloadd-load-onload; onloadctl allocate onload; onloadctl allocations; ls -l /dev/onload*",
        "ip -br l; onloadctl --json status | head -c 1500; sleep 1; setpriv --reuid visitor --regid visitor --clear-groups onloadctl --json hold x; echo $?; systemctl show -p MainPID onloadd; kill -9 $(systemctl show -p MainPID --value onloadd); sleep 3; systemctl show -p MainPID,NRestarts onloadd; onloadctl allocations",
        "journalctl --no-pager -u onloadd -o short-monotonic; dmesg | tail -20",
    ] {
        let ran = guest.run_within(step, Duration::from_secs(90))?;
        println!("==== {step}\n{}{}", ran.stdout, ran.stderr);
    }
    Ok(())
}

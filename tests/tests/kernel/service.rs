//! The daemon as a service: systemd, the system bus and polkit are the real ones. There is no card.

use anyhow::ensure;
use onload_dbus::error::exit;
use onload_tests::cases;
use onload_tests::guest::cases::Theme;
use onload_tests::guest::{Guest, Options};
use serde_json::Value;

use crate::node::{as_visitor, json, kill, pid, until_state};
use crate::{agent, metrics};

/// `logging::STARTED` of the daemon, which programs may look for and so is kept.
const STARTED: &str = "7c1a1f0e0a3d4b51a6a4c3f3d2f9a001";
/// DESIGN section 9.
const EXPOSURE_BUDGET: f64 = 4.0;

pub fn theme() -> Theme {
    Theme {
        name: "service",
        options: Options::new().append("onloadd.test=1").file(agent::EXTRA, "laid in", 0o600),
        cases: cases![
            agent::carries_out_several_orders_at_once,
            agent::ends_what_takes_too_long,
            agent::carries_files,
            boots_with_everything_up,
            is_active_and_idle,
            reads_the_machine_from_its_sandbox,
            speaks_to_the_journal_in_fields,
            is_little_exposed,
            shows_itself_to_anybody,
            takes_a_hold_from_root_only,
            keeps_orders_over_a_restart,
            comes_back_after_a_kill,
            metrics::an_address_is_answered_once_the_unit_lets_others_in,
            starts_when_called_if_enabled,
            keeps_orders_over_a_power_cut,
            ends_with_the_machine,
        ],
    }
}

fn boots_with_everything_up(guest: &mut Guest) -> anyhow::Result<()> {
    let failed = guest.ok("systemctl --failed --no-legend --plain")?;
    assert_eq!(failed, "", "no unit has failed");
    let cycles = guest.journal("-o cat")?;
    let cycles: Vec<_> = cycles.lines().filter(|line| line.contains("ordering cycle")).collect();
    assert!(cycles.is_empty(), "{cycles:?}");
    let var = guest.ok("findmnt --noheadings --output SOURCE,FSTYPE /var")?;
    assert_eq!(var.split_whitespace().collect::<Vec<_>>(), ["/dev/vda", "ext4"]);
    // The group of sysusers.d, the directories of tmpfiles.d.
    guest.ok("getent group onload_users && test -d /etc/onloadd/onloadd.toml.d")?;
    Ok(())
}

fn is_active_and_idle(guest: &mut Guest) -> anyhow::Result<()> {
    let shown = guest.ok("systemctl show onloadd -p Type,ActiveState,NRestarts,Result")?;
    for line in ["Type=notify", "ActiveState=active", "NRestarts=0", "Result=success"] {
        assert!(shown.lines().any(|one| one == line), "{line} is not in\n{shown}");
    }
    let text = guest.ok("systemctl show --value -p StatusText onloadd")?;
    assert!(text.starts_with("idle: "), "{text}");
    let status = guest.run("onloadctl status")?;
    assert_eq!(status.status, Some(i32::from(exit::AS_WANTED)), "{status:?}");
    let version = guest.kernel_version()?;
    assert_eq!(json(guest, "status")?["kernel"], version.as_str());
    Ok(())
}

/// Under the shipped unit, not beside it: a sandbox that hides something shows here.
fn reads_the_machine_from_its_sandbox(guest: &mut Guest) -> anyhow::Result<()> {
    let status = json(guest, "status")?;
    let conditions = status["conditions"].as_array().unwrap();
    let unread: Vec<&Value> =
        conditions.iter().filter(|one| one["reason"] == "Unreadable").collect();
    assert!(unread.is_empty(), "{unread:?}");
    let status = status.to_string();
    for error in ["ENOSYS", "EPERM", "EACCES", "ot permitted", "ermission denied"] {
        assert!(!status.contains(error), "{error}: {status}");
    }
    let capabilities = guest.ok(&format!("grep ^Cap /proc/{}/status", pid(guest)?))?;
    let bounding = capabilities.lines().find(|line| line.starts_with("CapBnd"));
    // Finding users and ending the control plane; nothing that changes the kernel.
    let few = "CAP_DAC_READ_SEARCH CAP_KILL CAP_SYS_PTRACE: bits 2, 5, 19";
    assert_eq!(bounding, Some("CapBnd:\t0000000000080024"), "{few}");
    Ok(())
}

fn speaks_to_the_journal_in_fields(guest: &mut Guest) -> anyhow::Result<()> {
    let started = guest.journal(&format!("-u onloadd -o json MESSAGE_ID={STARTED}"))?;
    let started: Value = serde_json::from_str(started.lines().next().unwrap_or_default())?;
    assert_eq!(started["_SYSTEMD_UNIT"], "onloadd.service");
    assert_eq!(started["PRIORITY"], "5", "{started}");
    assert!(started.get("VERSION").is_some(), "{started}");
    let errors = guest.journal("-u onloadd -p err -o cat")?;
    assert_eq!(errors, "", "nothing that a person must act on");
    Ok(())
}

fn is_little_exposed(guest: &mut Guest) -> anyhow::Result<()> {
    let judged = guest.ok("systemd-analyze security --no-pager onloadd.service")?;
    let overall = judged.lines().find(|line| line.contains("Overall exposure level")).unwrap();
    let level = overall.split_whitespace().find_map(|word| word.parse::<f64>().ok()).unwrap();
    assert!(level <= EXPOSURE_BUDGET, "{judged}");
    Ok(())
}

fn shows_itself_to_anybody(guest: &mut Guest) -> anyhow::Result<()> {
    let root = json(guest, "status")?;
    let visitor = as_visitor(guest, "onloadctl --json status")?;
    assert_eq!(visitor.status, Some(i32::from(exit::AS_WANTED)), "{visitor:?}");
    let visitor: Value = serde_json::from_str(&visitor.stdout)?;
    for key in ["state", "kernel", "boot_id", "wanted_release", "pools"] {
        assert_eq!(visitor[key], root[key], "{key}");
    }
    Ok(())
}

fn takes_a_hold_from_root_only(guest: &mut Guest) -> anyhow::Result<()> {
    let refused = as_visitor(guest, "onloadctl --json hold mine")?;
    assert_eq!(refused.status, Some(i32::from(exit::NOT_ALLOWED)), "{refused:?}");
    let said: Value = serde_json::from_str(&refused.stderr)?;
    assert_eq!(said["error"]["name"], "NotAuthorized", "{said}");
    assert_eq!(json(guest, "status")?["state"], "idle", "nothing came of it");

    guest.ok("onloadctl hold 'by root'")?;
    until_state(guest, "held")?;
    let refused = as_visitor(guest, "onloadctl unhold")?;
    assert_eq!(refused.status, Some(i32::from(exit::NOT_ALLOWED)), "{refused:?}");
    guest.ok("onloadctl unhold")?;
    until_state(guest, "idle").map(drop)
}

fn keeps_orders_over_a_restart(guest: &mut Guest) -> anyhow::Result<()> {
    guest.ok("onloadctl hold 'over a restart'")?;
    guest.ok("systemctl restart onloadd")?;
    let status = until_state(guest, "held")?;
    assert!(status.to_string().contains("over a restart"), "{status}");
    guest.ok("onloadctl unhold")?;
    until_state(guest, "idle").map(drop)
}

fn comes_back_after_a_kill(guest: &mut Guest) -> anyhow::Result<()> {
    guest.ok("onloadctl hold 'over a kill'")?;
    kill(guest)?;
    until_state(guest, "held")?;
    guest.ok("onloadctl unhold")?;
    until_state(guest, "idle").map(drop)
}

/// Somebody calls while the daemon is stopped: an enabled one is started, a disabled one is not.
fn starts_when_called_if_enabled(guest: &mut Guest) -> anyhow::Result<()> {
    guest.ok("systemctl stop onloadd")?;
    until_state(guest, "idle")?;
    guest.ok("systemctl disable --now onloadd")?;
    let status = guest.run("onloadctl status")?;
    assert_eq!(status.status, Some(i32::from(exit::UNREACHABLE)), "{status:?}");
    assert!(status.stderr.contains("systemctl enable --now onloadd"), "{status:?}");
    assert!(!guest.run("systemctl is-active onloadd")?.ok(), "a call brought a disabled one back");
    guest.ok("systemctl enable --now onloadd")?;
    until_state(guest, "idle").map(drop)
}

fn keeps_orders_over_a_power_cut(guest: &mut Guest) -> anyhow::Result<()> {
    guest.ok("onloadctl hold 'over a power cut'")?;
    let before = guest.ok("cat /proc/sys/kernel/random/boot_id")?;
    guest.cut_power();
    guest.start()?;
    ensure!(guest.ok("cat /proc/sys/kernel/random/boot_id")? != before, "the same boot");
    let status = until_state(guest, "held")?;
    assert!(status.to_string().contains("over a power cut"), "{status}");
    guest.ok("onloadctl unhold")?;
    until_state(guest, "idle").map(drop)
}

fn ends_with_the_machine(guest: &mut Guest) -> anyhow::Result<()> {
    guest.reboot()?;
    let ending = guest.journal("-b -1 -u onloadd -o cat")?;
    assert!(ending.contains("onloadd.service: Deactivated successfully."), "{ending}");
    let status = guest.run("onloadctl status")?;
    assert_eq!(status.status, Some(i32::from(exit::AS_WANTED)), "{status:?}");
    Ok(())
}

//! The package, by rpm itself: put on a node that knows nothing of onloadd, replaced by a later and an
//! earlier build while something is lent, and taken off again. Dependencies are not looked at
//! (`--nodeps`): rpm has no list of what Debian has installed. Scriptlets run as everywhere.

mod packages;

use onload_dbus::error::exit;
use onload_tests::cases;
use onload_tests::guest::cases::Theme;
use onload_tests::guest::{Guest, Options, Ran};
use onload_tests::package::complaints;
use onload_tests::skip::skip;
use serde_json::Value;

use crate::modules::{APPLY, card, host_modules};
use crate::node::{as_visitor, json, kill, pid, until_state};

/// The administrator's file of the package, changed.
const SETTINGS: &str = "/etc/onloadd/onloadd.toml.d/50-local.toml";
const HOST: &str = "# ours\n[modules]\nrelease = \"host\"\n";
/// What the daemon pins a name by, and what a MachineConfig does.
const PIN: &str = "/etc/systemd/network/10-onloadd-0c42a1000001.link";
const RENDERED: &str = "/etc/systemd/network/05-onload-0c42a1000001.link";
/// Where Node Feature Discovery reads them.
const FEATURES: &str = "/etc/kubernetes/node-feature-discovery/features.d/onloadd";

pub fn theme() -> Theme {
    Theme {
        name: "packaging",
        // As for modules: the card's driver is loaded by order.
        options: Options::new().file("/etc/modprobe.d/guest.conf", "blacklist sfc\n", 0o644),
        cases: cases![
            a_package_is_all_that_a_node_needs,
            what_is_lent_outlives_an_upgrade_and_a_downgrade,
            the_features_are_in_their_file_while_onloadd_runs,
            the_host_is_as_before_when_the_package_has_gone,
            a_package_that_comes_again_finds_the_ledger,
            a_purge_leaves_nothing,
        ],
    }
}

/// Puts the packages into the guest. None can be made here: why is told, and there is nothing to try.
fn packages(guest: &Guest, case: &str) -> anyhow::Result<bool> {
    if let Some(why) = packages::lacking() {
        skip(&format!("packaging::{case}"), &why);
        return Ok(false);
    }
    packages::bring(guest)?;
    Ok(true)
}

/// Whether nobody complained: neither rpm nor a scriptlet, but for Debian's advice to use another program.
fn is_quiet(ran: &Ran) -> bool {
    complaints(&ran.stderr).is_empty()
}

/// The node without a trace of onloadd, or with release 1 of the package; whatever was before.
fn bare(guest: &Guest) -> anyhow::Result<()> {
    guest.ok(&format!(
        "rpm -q onloadd >/dev/null && rpm -e --nodeps onloadd
         systemctl disable --now onloadd onloadd-boot 2>&-
         rpm -qpl {one} | while read -r path; do test -d \"$path\" || rm -f \"$path\"; done
         rm -rf /usr/lib/onloadd /usr/share/man/man?/onload* /etc/onloadd /var/lib/onloadd /run/onloadd
         ! getent group onload_users >/dev/null || groupdel onload_users
         systemctl daemon-reload; systemctl reset-failed; udevadm control --reload",
        one = packages::ONE
    ))?;
    Ok(())
}

/// Release 1, installed and running; each case can be run alone.
fn installed(guest: &Guest) -> anyhow::Result<()> {
    if guest.run("rpm -q onloadd && systemctl is-active -q onloadd")?.ok() {
        return Ok(());
    }
    bare(guest)?;
    guest.ok(&format!("rpm -i --nodeps {}", packages::ONE))?;
    guest.ok("systemctl enable --now onloadd").map(drop)
}

/// Installed, with a card that works and one device of it lent.
fn lending(guest: &Guest) -> anyhow::Result<Value> {
    installed(guest)?;
    card(guest)?;
    host_modules(guest, "*")?;
    guest.put(SETTINGS, HOST.as_bytes(), 0o644)?;
    guest.ok("systemctl reload onloadd")?;
    let applied = guest.run_within("onloadctl apply", APPLY)?;
    anyhow::ensure!(applied.ok(), "{applied:?}");
    until_state(guest, "ready")?;
    if lent(guest)?.as_array().is_none_or(Vec::is_empty) {
        guest.ok("onloadctl allocate onload")?;
    }
    lent(guest)
}

/// What is lent: which device, to whom, under which number.
fn lent(guest: &Guest) -> anyhow::Result<Value> {
    let all = json(guest, "allocations")?;
    let all = all["allocations"].as_array().into_iter().flatten();
    let told = all.map(|one| ["id", "device", "pool"].map(|key| one[key].clone()));
    Ok(told.map(|one| one.to_vec().into()).collect::<Vec<Value>>().into())
}

fn a_package_is_all_that_a_node_needs(guest: &mut Guest) -> anyhow::Result<()> {
    if !packages(guest, "a_package_is_all_that_a_node_needs")? {
        return Ok(());
    }
    bare(guest)?;
    guest.ok("! command -v onloadd && ! test -e /etc/onloadd && ! getent group onload_users")?;
    let install = guest.run(&format!("rpm -i --nodeps {}", packages::ONE))?;
    assert!(install.ok() && is_quiet(&install), "{install:?}");
    assert_eq!(guest.ok("rpm -V --nodeps onloadd")?, "", "every file is as it was packed");
    // sysusers.d, tmpfiles.d, preset; and nothing is started that nobody has asked for.
    guest.ok("getent group onload_users && test -d /run/onloadd/onloadd.toml.d")?;
    for unit in ["onloadd", "onloadd-boot"] {
        assert_eq!(guest.run(&format!("systemctl is-enabled {unit}"))?.stdout, "enabled\n");
    }
    assert_eq!(guest.run("systemctl is-active onloadd")?.stdout, "inactive\n");
    let unknown = guest.run("systemctl show -p NeedDaemonReload --value onloadd")?.stdout;
    assert_eq!(unknown, "no\n", "systemd knows the unit as it is");

    guest.ok("systemctl enable --now onloadd")?;
    let status = until_state(guest, "idle")?;
    let visitor = as_visitor(guest, "onloadctl --json status")?;
    assert_eq!(visitor.status, Some(i32::from(exit::AS_WANTED)), "{visitor:?}");
    let visitor: Value = serde_json::from_str(&visitor.stdout)?;
    assert_eq!(visitor["boot_id"], status["boot_id"], "the bus knows it: {visitor}");
    assert_eq!(guest.ok("systemctl --failed --no-legend --plain")?, "");
    Ok(())
}

fn what_is_lent_outlives_an_upgrade_and_a_downgrade(guest: &mut Guest) -> anyhow::Result<()> {
    if !packages(guest, "what_is_lent_outlives_an_upgrade_and_a_downgrade")? {
        return Ok(());
    }
    let before = lending(guest)?;
    assert_eq!(before.as_array().map(Vec::len), Some(1), "{before}");
    let boots =
        "journalctl --sync; journalctl -q -b -o cat _SYSTEMD_UNIT=onloadd-boot.service | wc -l";
    let booted = guest.ok(boots)?;
    for (how, package, release) in [
        ("rpm -U --nodeps", packages::TWO, "2"),
        ("rpm -U --nodeps --oldpackage", packages::ONE, "1"),
    ] {
        let daemon = pid(guest)?;
        let replaced = guest.run(&format!("{how} {package}"))?;
        assert!(replaced.ok() && is_quiet(&replaced), "{replaced:?}");
        assert_eq!(guest.ok("rpm -q --qf '%{release}' onloadd")?, release);
        until_state(guest, "ready")?;
        assert_ne!(pid(guest)?, daemon, "the daemon of the package that is installed now");
        assert_eq!(lent(guest)?, before, "{how}");
        assert_eq!(guest.ok(boots)?, booted, "a boot is not done twice");
        assert_eq!(guest.ok(&format!("cat {SETTINGS}"))?, HOST, "the administrator's");
        guest.ok("systemctl is-enabled onloadd onloadd-boot && ! systemctl is-failed onloadd")?;
    }
    Ok(())
}

/// Waits until the features are told, as a command tells them that is run now.
fn features(guest: &Guest) -> anyhow::Result<String> {
    let same = format!("onloadctl nfd render | cmp - {FEATURES}");
    guest.until("the features of the node", &same)?;
    guest.ok("systemctl is-active onloadd-nfd")?;
    guest.ok(&format!("cat {FEATURES}"))
}

fn the_features_are_in_their_file_while_onloadd_runs(guest: &mut Guest) -> anyhow::Result<()> {
    if !packages(guest, "the_features_are_in_their_file_while_onloadd_runs")? {
        return Ok(());
    }
    lending(guest)?;
    guest.ok("! test -e /etc/kubernetes && systemctl enable --now onloadd-nfd")?;
    let told = features(guest)?;
    let version = guest.ok("cat /sys/module/onload/version")?;
    for line in [
        "onload-card.present=true",
        "onload-driver.all-bound=true",
        "onload-release=host",
        &format!("onload-version={}", version.trim()),
    ] {
        assert!(told.lines().any(|one| one == line), "{line} in {told}");
    }
    assert_eq!(guest.ok(&format!("stat -c '%a %U:%G' {FEATURES}"))?, "644 root:root\n");

    // It ends with onloadd, however that ends, and comes back with it.
    let nfd = "systemctl show --value -p MainPID onloadd-nfd";
    for restart in ["an order", "a crash"] {
        let before = guest.ok(nfd)?;
        match restart {
            "an order" => guest.ok("systemctl restart onloadd").map(drop)?,
            _ => kill(guest)?,
        }
        until_state(guest, "ready")?;
        assert_eq!(features(guest)?, told, "{restart}");
        assert_ne!(guest.ok(nfd)?, before, "{restart}: it was started anew");
    }
    guest.ok(&format!("systemctl stop onloadd-nfd && ! test -e {FEATURES}"))?;
    guest.ok("systemctl start onloadd-nfd")?;
    assert_eq!(features(guest)?, told);
    guest.ok(&format!("systemctl stop onloadd && ! test -e {FEATURES}"))?;
    assert_eq!(guest.run("systemctl is-active onloadd-nfd")?.stdout, "inactive\n");
    guest.ok("systemctl start onloadd")?;
    assert_eq!(features(guest)?, told, "it is enabled, and onloadd brings it");
    assert_eq!(guest.ok("systemctl --failed --no-legend --plain")?, "");
    guest.ok("systemctl disable --now onloadd-nfd && rm -r /etc/kubernetes").map(drop)
}

fn the_host_is_as_before_when_the_package_has_gone(guest: &mut Guest) -> anyhow::Result<()> {
    if !packages(guest, "the_host_is_as_before_when_the_package_has_gone")? {
        return Ok(());
    }
    lending(guest)?;
    guest.until("a file for container runtimes", "test -e /run/cdi/amd.com-onload_onloadd.json")?;
    // At one go: a daemon that sees them takes them for its own, or for stale.
    let gone = guest.run(&format!(
        "for file in {PIN} {RENDERED}; do echo '[Match]' >$file; done
         mkdir -p /run/systemd/system/sfptpd.service.d
         echo '[Service]' >/run/systemd/system/sfptpd.service.d/50-onloadd.conf
         echo 'blacklist sfc' >/run/modprobe.d/onloadd.conf
         rpm -e --nodeps onloadd"
    ))?;
    assert!(gone.ok(), "{gone:?}");
    assert!(gone.stdout.contains(&format!("removed {PIN}")), "it says what it did: {gone:?}");
    assert!(!gone.stderr.contains("error:"), "{gone:?}");
    guest.ok("! rpm -q onloadd && ! pgrep -x onloadd && ! systemctl cat onloadd 2>&-")?;
    let links = guest.ok("find /etc/systemd/system /run/systemd/system -name '*onload*'")?;
    assert_eq!(links, "", "nothing of systemd's leads to it");
    for path in [PIN, "/run/onloadd", "/run/cdi/amd.com-onload_onloadd.json"] {
        guest.ok(&format!("! test -e {path}"))?;
    }
    guest.ok("! test -e /run/modprobe.d/onloadd.conf && ! test -e /usr/lib/onloadd")?;
    guest.ok(&format!("test -e {RENDERED}; e=$?; rm -f {RENDERED}; exit $e"))?;
    guest.ok(&format!("grep -q ours {SETTINGS}.rpmsave"))?;
    guest.ok("test -s /var/lib/onloadd/ledger.json")?;
    guest.ok("test -d /sys/module/onload").map(drop)?;
    assert!(gone.stdout.contains("kernel modules until the next boot"), "{gone:?}");
    assert_eq!(guest.ok("systemctl --failed --no-legend --plain")?, "");
    Ok(())
}

fn a_package_that_comes_again_finds_the_ledger(guest: &mut Guest) -> anyhow::Result<()> {
    if !packages(guest, "a_package_that_comes_again_finds_the_ledger")? {
        return Ok(());
    }
    let before = lending(guest)?;
    guest.ok(&format!("rpm -e --nodeps onloadd && rpm -i --nodeps {}", packages::TWO))?;
    guest.ok("systemctl enable --now onloadd")?;
    guest.until("onloadd", "onloadctl --json allocations")?;
    assert_eq!(lent(guest)?, before);
    Ok(())
}

fn a_purge_leaves_nothing(guest: &mut Guest) -> anyhow::Result<()> {
    if !packages(guest, "a_purge_leaves_nothing")? {
        return Ok(());
    }
    lending(guest)?;
    let beside = guest.run("onloadd --restore --purge")?;
    assert!(!beside.ok() && beside.stderr.contains("another onloadd runs"), "{beside:?}");
    guest.ok("test -s /var/lib/onloadd/ledger.json")?;

    guest.ok("systemctl disable --now onloadd")?;
    let purged = guest.ok("onloadd --restore --purge")?;
    assert!(purged.contains("removed /var/lib/onloadd\n"), "{purged}");
    let again = guest.ok("onloadd --restore --purge")?;
    assert!(again.starts_with("nothing was left to be taken back\n"), "{again}");
    guest.ok("rpm -e --nodeps onloadd")?;
    let left = guest.ok("find / -xdev -path /opt -prune -o -name '*onloadd*' -print; ls -d /var/lib/onloadd 2>&-; true")?;
    // Where rpm keeps what the administrator has changed.
    let ours = |line: &&str| !line.starts_with("/etc/onloadd");
    assert_eq!(left.lines().filter(ours).collect::<Vec<_>>(), Vec::<&str>::new());
    Ok(())
}

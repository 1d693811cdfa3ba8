//! sfptpd's package, with the stand-in in it, and what the operator gives it.

use std::time::Duration;

use onload_tests::guest::Guest;

use super::told;
use crate::node::configure;

/// Its unit.
pub const UNIT: &str = "sfptpd.service";
/// Where faults are ordered from it.
const FAULTS: &str = "/run/sfptpd-faults";
/// The operator's configuration of it: one PTP instance on the first port, and statistics that onloadd may read.
const TEMPLATE: &str = "/etc/onloadd/sfptpd.cfg";
pub const ON_THE_FIRST_PORT: &str = "[general]\nsync_module ptp ptp1\nmetrics_socket_mode 0666\n\
                                     [ptp1]\ninterface port:0\n";
/// In step after three seconds in place of sixty, so that a minute of guest time is not spent each time.
const HASTE: &str = "[Service]\nEnvironment=SFPTPD_SYNC_SECS=3 SFPTPD_SAVE_SECS=2\n";
/// What counts as hung, at its least.
pub const HANG_AFTER: Duration = Duration::from_secs(10);

/// onloadd runs it, by the operator's configuration.
pub const MANAGED: &str = "[ptp]\nmode = \"manage\"\nconfiguration = \"/etc/onloadd/sfptpd.cfg\"\n\
                           look-every = \"1s\"\nhang-after = \"10s\"\n";
/// onloadd only looks, often.
pub const OBSERVED: &str = "[ptp]\nmode = \"observe\"\nlook-every = \"1s\"\n\
                            [daemon]\nlook-every = \"1s\"\n";

/// The card with two ports, the package installed, and nobody who steers a clock; whatever ran before.
pub fn node(guest: &Guest) -> anyhow::Result<()> {
    if !guest.run("test -x /usr/sbin/sfptpd")?.ok() {
        guest.put("/etc/systemd/system/sfptpd.service.d/50-haste.conf", HASTE.as_bytes(), 0o644)?;
        guest.ok("cp -r /opt/sfptpd/. / && systemd-sysusers /usr/lib/sysusers.d/sfptpd.conf
             udevadm control --reload && systemctl daemon-reload")?;
    }
    guest.put(TEMPLATE, ON_THE_FIRST_PORT.as_bytes(), 0o644)?;
    guest.ok(&format!(
        "test -d /sys/module/onloadd_card || insmod /opt/card/onloadd_card.ko functions=2
         udevadm settle; rm -f {FAULTS}; {}",
        nobody()
    ))?;
    Ok(())
}

/// Stops everybody who steers a clock.
fn nobody() -> String {
    let others = "chrony ntpsec systemd-timesyncd phc2sys-case ptp4l-case ptp4l-master";
    format!("systemctl stop {others} {UNIT} 2>&-; systemctl reset-failed; true")
}

/// A node on which onloadd only looks, and nobody steers a clock.
pub fn observed(guest: &Guest) -> anyhow::Result<()> {
    configure(guest, OBSERVED)?;
    node(guest)
}

/// A node on which onloadd runs sfptpd, and has not done so before: it counts how often it starts it.
pub fn managed(guest: &Guest) -> anyhow::Result<()> {
    observed(guest)?;
    configure(guest, MANAGED)?;
    guest.ok("systemctl restart onloadd")?;
    told::until_supervised(guest, "Running").map(drop)
}

/// The same, and the system clock synchronised; as it is, where it is so already.
pub fn synchronised(guest: &Guest) -> anyhow::Result<()> {
    let runs = told::node(guest)?["ClockSupervision"]["Reason"] == "Running";
    if !runs || told::clock(guest, "system")?["Synchronised"] != "yes" {
        managed(guest)?;
    }
    told::until_synchronised(guest, "system", "yes").map(drop)
}

/// What the kernel calls the card's first port, or its second.
pub fn port(guest: &Guest, function: u32) -> anyhow::Result<String> {
    first_of(guest, function, "net")
}

/// The hardware clock of a port: `ptp0`.
pub fn hardware_clock(guest: &Guest, function: u32) -> anyhow::Result<String> {
    first_of(guest, function, "ptp")
}

fn first_of(guest: &Guest, function: u32, what: &str) -> anyhow::Result<String> {
    let said = guest
        .ok(&format!("udevadm settle; ls /sys/bus/pci/devices/10000:00:00.{function}/{what}"))?;
    Ok(said.trim().to_owned())
}

/// Faults of it from now on; none takes them back.
pub fn faults(guest: &Guest, orders: &str) -> anyhow::Result<()> {
    guest.put(FAULTS, orders.as_bytes(), 0o644)
}

/// Its process; 0 while it has none.
pub fn process(guest: &Guest) -> anyhow::Result<u32> {
    Ok(property(guest, "MainPID")?.parse()?)
}

/// A property of its unit.
pub fn property(guest: &Guest, name: &str) -> anyhow::Result<String> {
    Ok(guest.ok(&format!("systemctl show --value -p {name} {UNIT}"))?.trim().to_owned())
}

/// Another configuration from the operator.
pub fn template(guest: &Guest, text: &str) -> anyhow::Result<()> {
    guest.put(TEMPLATE, text.as_bytes(), 0o644)
}

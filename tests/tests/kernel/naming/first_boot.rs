//! The first boot of a node that NetworkManager sets up: by the time it starts, ports have the names that
//! its profiles are written for, by link files of a MachineConfig or by onloadd's own pins.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use onload_core::config::{Config, Fragment};
use onload_core::naming::render;
use onload_tests::guest::{Guest, Options};
use serde_json::Value;

use super::owner::{PROFILES, SETTINGS};
use super::ports::{FUNCTIONS, MACS, WITH_IN_TREE, evaluated_all, names, pin, planned};
use crate::node::{configure, json};

/// What the ports are called, in the order of their functions.
const NAMES: [&str; 3] = ["fast0", "fast1", "fast2"];
/// Where a MachineConfig's files lie that name the first two.
const RENDERED: &str = "/etc/systemd/network/05-onload-";

/// `[naming]` for so many of the ports; two by address and one by place.
fn configuration(ports: usize) -> String {
    let by = [
        format!("mac = \"{}\"", MACS[0]),
        format!("pci = \"{}\"", FUNCTIONS[1]),
        format!("mac = \"{}\"", MACS[2]),
    ];
    let tables = by.iter().zip(NAMES).take(ports);
    let tables = tables.map(|(by, name)| format!("[[naming.ports]]\n{by}\nname = \"{name}\"\n"));
    format!("[naming]\npolicy = \"explicit\"\n{}", tables.collect::<String>())
}

/// What a MachineConfig brings for the first two ports.
fn rendered() -> BTreeMap<String, String> {
    let fragment = Fragment { file: "onloadd.toml".to_owned(), text: configuration(2) };
    let config = Config::merge(&[fragment]).expect("the configuration holds");
    render(&config.settings.naming).expect("the files can be rendered")
}

fn profile(number: usize, name: &str) -> String {
    format!(
        "[connection]\nid={name}\nuuid=00000000-0000-4000-8000-00000000002{number}\ntype=ethernet\n\
         interface-name={name}\n[ipv4]\nmethod=manual\naddress1=198.51.{number}.5/24\n[ipv6]\nmethod=disabled\n"
    )
}

/// A guest with a card before udev looks for hardware, NetworkManager enabled, and names configured for
/// all ports, of which a MachineConfig's files give the first two.
pub fn options() -> Options {
    let card = "[Service]\nExecStartPre=/sbin/insmod /opt/card/onloadd_card.ko functions=3\n";
    let enabled = "[Unit]\nWants=NetworkManager.service\n";
    let mut options = Options::new()
        .file("/etc/systemd/system/systemd-udev-trigger.service.d/card.conf", card, 0o644)
        .file("/etc/systemd/system/multi-user.target.d/owner.conf", enabled, 0o644)
        .file("/etc/NetworkManager/NetworkManager.conf", SETTINGS, 0o644)
        .file("/etc/onloadd/onloadd.toml.d/50-case.toml", configuration(NAMES.len()), 0o644);
    for (path, text) in rendered() {
        options = options.file(&path, text, 0o644);
    }
    for (number, name) in NAMES.iter().enumerate() {
        let path = format!("{PROFILES}/{name}.nmconnection");
        options = options.file(&path, profile(number, name), 0o600);
    }
    options
}

/// What the guest's boot has beyond the ordinary, taken away: nothing where that was done. The card goes
/// first, so that nobody pins what its ports are called.
pub fn cleared() -> String {
    format!(
        "if ls {RENDERED}* >/dev/null 2>&1; then
             systemctl stop NetworkManager; rmmod onloadd_card; udevadm settle
             rm -f {RENDERED}* /etc/systemd/network/10-onloadd-* {PROFILES}/*
             # udevd looks for changed files every few seconds only.
             udevadm control --reload
         fi; "
    )
}

/// What the journal has of NetworkManager, of the kernel and of the boot unit's end, in its order.
struct Journal(Vec<Value>);

impl Journal {
    fn of(guest: &Guest) -> anyhow::Result<Self> {
        let lines = guest.journal(
            "-b -o json --output-fields=MESSAGE,SYSLOG_IDENTIFIER,UNIT,_SOURCE_MONOTONIC_TIMESTAMP \
             SYSLOG_IDENTIFIER=NetworkManager + _TRANSPORT=kernel + UNIT=onloadd-boot.service",
        )?;
        let lines = lines.lines().map(serde_json::from_str);
        Ok(Self(lines.collect::<Result<_, _>>()?))
    }

    /// Place in the journal, and text, of each line of one who writes.
    fn said<'j>(&'j self, key: &str, who: &str) -> Vec<(usize, &'j str)> {
        let all = self.0.iter().enumerate().filter(|(_, line)| line[key] == who);
        all.filter_map(|(at, line)| Some((at, line["MESSAGE"].as_str()?))).collect()
    }

    /// When a line was written, in microseconds since the boot: the kernel says so itself.
    fn at(&self, place: usize) -> anyhow::Result<u64> {
        let line = &self.0[place];
        let own = line["_SOURCE_MONOTONIC_TIMESTAMP"].as_str();
        let when = own.or(line["__MONOTONIC_TIMESTAMP"].as_str()).context("no time")?;
        Ok(when.parse()?)
    }
}

/// That NetworkManager began when all names were given, saw no other and set up each port once.
fn seen_by_the_owner(guest: &Guest) -> anyhow::Result<()> {
    let journal = Journal::of(guest)?;
    let owner = journal.said("SYSLOG_IDENTIFIER", "NetworkManager");
    let (first, _) = owner.first().copied().context("NetworkManager says nothing")?;
    let renamed = journal.said("SYSLOG_IDENTIFIER", "kernel");
    let renamed: Vec<_> =
        renamed.into_iter().filter(|(_, text)| text.contains("renamed from")).collect();
    for name in NAMES {
        ensure!(renamed.iter().any(|(_, text)| text.contains(name)), "{name}: {renamed:?}");
    }
    for (place, text) in &renamed {
        let (at, begun) = (journal.at(*place)?, journal.at(first)?);
        ensure!(*place < first && at < begun, "at {at}, NetworkManager at {begun}: {text}");
    }
    let booted = journal.said("UNIT", "onloadd-boot.service");
    let done = booted.iter().find(|(_, text)| text.starts_with("Finished"));
    let (done, _) = done.with_context(|| format!("{booted:?}"))?;
    ensure!(*done < first, "the boot unit ended after NetworkManager began");
    let other = owner.iter().find(|(_, text)| {
        text.contains("enP65536") || text.contains("(eth") || text.contains("renamed")
    });
    ensure!(other.is_none(), "it saw another name: {other:?}");
    for name in NAMES {
        let count = |part: &str| owner.iter().filter(|(_, text)| text.contains(part)).count();
        for once in [
            format!("({name}): new Ethernet device"),
            format!("({name}): Activation: starting connection '{name}'"),
            format!("({name}): Activation: successful"),
        ] {
            let all: Vec<_> = owner.iter().map(|(_, text)| *text).collect();
            ensure!(count(&once) == 1, "`{once}` {} times: {all:#?}", count(&once));
        }
    }
    Ok(())
}

pub fn names_are_right_before_the_network_is_set_up(guest: &mut Guest) -> anyhow::Result<()> {
    let active = "test $(nmcli -t -f STATE connection show --active | grep -c ^activated) -ge 3";
    guest.until("the connections", active)?;
    ensure!(names(guest)? == NAMES, "{:?}", names(guest)?);
    seen_by_the_owner(guest)?;
    for (number, name) in NAMES.iter().enumerate() {
        let shown = guest.ok(&format!("ip address show dev {name}"))?;
        ensure!(shown.contains(&format!("198.51.{number}.5/24")), "{shown}");
        // What udev would have made of it leads to it still.
        ensure!(shown.contains(&format!("altname {}", WITH_IN_TREE[number])), "{shown}");
    }
    // Whose file names which port: over those of the MachineConfig nothing is pinned, though they are configured.
    let files: Vec<_> = rendered().into_keys().chain([pin(MACS[2])]).collect();
    let there = guest.ok("ls -d /etc/systemd/network/*.link")?;
    ensure!(there.lines().eq(&files), "{there}, not {files:?}");
    for (path, text) in rendered() {
        ensure!(guest.get(&path)? == text.as_bytes(), "{path} is as it was laid");
    }
    let by = [files[0].clone(), files[1].clone(), format!("mac {}", MACS[2])];
    let evaluated = evaluated_all(guest, &NAMES)?;
    for (at, row) in planned(guest)?.iter().enumerate() {
        let (udev, file) = &evaluated[at];
        ensure!(udev == NAMES[at] && *file == files[at], "{udev} by {file}");
        ensure!(row["today"] == NAMES[at] && row["pinned"] == NAMES[at], "{row}");
        ensure!(row["pinned_by"] == by[at] && row["troubles"] == Value::Array(vec![]), "{row}");
    }
    let said = guest.journal("-u onloadd-boot -b -o cat")?;
    ensure!(said.contains(&format!("rename {} to {}", WITH_IN_TREE[2], NAMES[2])), "{said}");
    ensure!(!said.contains(NAMES[0]) && !said.contains(NAMES[1]), "udev did it: {said}");
    let status = json(guest, "status")?;
    let pinned = "ports with a pinned name: 1, and by a MachineConfig: 2";
    ensure!(status.to_string().contains(pinned), "{status}");
    configure(guest, "[naming]\npolicy = \"off\"\n")?;
    guest.ok(&cleared()).map(drop)
}

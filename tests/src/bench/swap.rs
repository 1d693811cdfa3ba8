//! How long devices are away while a driver is replaced, beside a script that makes the same calls in
//! the same guest. The processor is an emulated one: only the two figures' relation means anything.

use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

use super::samples::{Samples, millis};
use super::table::{Row, Weight};
use crate::guest::{Guest, Options, image};

/// Swaps of each kind, there and back, in turns.
const ROUNDS: usize = 5;
const RELEASES: [&str; 2] = ["9.1.2", "9.2.1"];
/// DESIGN section 9: at most a quarter over the script, or so much.
const SHARE: f64 = 1.25;
const MARGIN: Duration = Duration::from_millis(300);
const LIMIT: Duration = Duration::from_secs(120);

/// Measures both, in turns.
///
/// # Errors
/// The guest does not come up, or a swap does not succeed.
pub fn measure() -> anyhow::Result<Vec<Row>> {
    let what = "driver swap in a guest, devices withdrawn";
    let budget = "≤ 1.25 × or + 300 ms";
    if let Some(why) = image::lacking()? {
        return Ok(vec![Row::skipped(what, budget, why)]);
    }
    let guest = Guest::boot(&Options::new())?;
    guest.ok("insmod /opt/card/onloadd_card.ko && udevadm settle")?;
    guest.until("the card", "onloadctl ports | grep -q 10000:00:00.0")?;
    for name in RELEASES {
        guest.ok(&format!("onloadctl release import /opt/releases/{name} --version {name}"))?;
    }
    use_release(&guest, RELEASES[0])?;
    let (mut ours, mut script) = (Samples::default(), Samples::default());
    for round in 0..ROUNDS {
        let to = RELEASES[(round + 1) % RELEASES.len()];
        use_release(&guest, to)?;
        ours.take(last_swap(&guest)?);
        // Back by hand, with nobody about who would mend it; the daemon does when it is back.
        let back = RELEASES[round % RELEASES.len()];
        guest.ok("systemctl stop onloadd")?;
        script.take(by_hand(&guest, back)?);
        guest.ok("systemctl start onloadd")?;
        guest.until("the release again", "onloadctl status")?;
    }
    let (ours, script) = (ours.median(), script.median());
    let ratio = ours.as_secs_f64() / script.as_secs_f64();
    let met = ratio <= SHARE || ours <= script + MARGIN;
    let measured = format!("{ratio:.2} × ({} beside {})", millis(ours), millis(script));
    Ok(vec![Row::new(Weight::Told, what, budget, measured, met)])
}

fn use_release(guest: &Guest, name: &str) -> anyhow::Result<()> {
    let ran = guest.run_within(&format!("onloadctl release use {name}"), LIMIT)?;
    anyhow::ensure!(ran.ok(), "{ran:?}");
    Ok(())
}

/// From the change's begin, with which devices are withdrawn, to its end, with which they are back.
fn last_swap(guest: &Guest) -> anyhow::Result<Duration> {
    let history: Value = serde_json::from_str(&guest.ok("onloadctl --json history")?)?;
    let last = &history["changes"][0];
    let at = |key: &str| last[key].as_u64().with_context(|| format!("{key}: {last}"));
    Ok(Duration::from_millis(at("ended")? - at("began")?))
}

/// The same calls as a script would make them: no check, no record, nothing looked at but the end of
/// the control plane and its new beginning.
fn by_hand(guest: &Guest, to: &str) -> anyhow::Result<Duration> {
    let tree = format!("/var/lib/onloadd/releases/{to}");
    let text = format!(
        "began=$(date +%s%N)
         mkdir -p /run/udev/rules.d
         echo 'SUBSYSTEM==\"pci\", ENV{{MODALIAS}}=\"\"' >/run/udev/rules.d/79-by-hand.rules
         udevadm control --reload
         kill $(cat /proc/driver/onload/cp_server_pids)
         while grep -q . /proc/driver/onload/cp_server_pids; do :; done
         modprobe -r onload 2>&- || rmmod onload
         rmmod sfc_char 2>&-; rmmod sfc_resource; rmmod sfc
         modprobe mtd
         echo 'options onload cplane_server_path={tree}/sbin/onload_cp_server' >/run/modprobe.d/by-hand.conf
         export MODPROBE_OPTIONS='-d {tree}' PATH={tree}/sbin:$PATH
         modprobe sfc && modprobe onload
         rm /run/udev/rules.d/79-by-hand.rules; udevadm control --reload
         until grep -q . /proc/driver/onload/cp_server_pids; do :; done
         echo $(( ($(date +%s%N) - began) / 1000 ))
         rm -f /run/modprobe.d/by-hand.conf"
    );
    let micros = guest.ok(&text)?;
    let micros = micros.lines().last().unwrap_or_default().trim().parse()?;
    Ok(Duration::from_micros(micros))
}

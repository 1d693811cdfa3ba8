//! What it costs to follow sfptpd's statistics: the processor time of looks at a machine whose sfptpd writes
//! a line for each of many servos each second.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use anyhow::Context;
use onload_core::clock::ClockLook;
use onload_core::inventory::{Depth, Look};
use onloadd::host::Host as _;
use onloadd::host::linux::{Linux, Places};
use tokio::runtime::Runtime;

use super::table::{Row, Weight};

/// Interfaces of a large node.
const INTERFACES: usize = 64;
/// The pace of looks unless the configuration says otherwise, in seconds: so many lines of each are new.
const PACE: usize = 10;
/// Looks that are measured: ten minutes of statistics.
const LOOKS: usize = 60;
/// Of one processor, in hundredths.
const BUDGET: f64 = 1.0;

/// Follows them.
///
/// # Errors
/// The machine's files cannot be made, or nothing is read of them.
pub fn measure(runtime: &Runtime) -> anyhow::Result<Vec<Row>> {
    let place = tempfile::tempdir()?;
    machine(place.path())?;
    let places = Places {
        root: place.path().to_owned(),
        kubelet_directory: "/var/lib/kubelet/device-plugins".into(),
        state_directory: "/var/lib/onloadd".into(),
    };
    let host = runtime.block_on(async { Linux::open(places) })?;
    let look = |depth| Look { depth, clocks: Some(ClockLook::default()) };
    runtime.block_on(host.observe(look(Depth::Usual)));
    let mut used = 0.0;
    for at in 0..LOOKS {
        say(place.path(), at * PACE, PACE)?;
        let before = processor()?;
        let seen = runtime.block_on(host.observe(look(Depth::Clocks)));
        used += processor()? - before;
        let samples = seen.clocks.known().and_then(|clocks| clocks.sfptpd.known()?.samples.known());
        let count = samples.map_or(0, std::collections::BTreeMap::len);
        anyhow::ensure!(count == INTERFACES, "{count} of {INTERFACES} servos were read");
    }
    let seconds = (LOOKS * PACE) as f64;
    let share = used / seconds * 100.0;
    let measured = format!("{share:.2} % of a processor ({used:.2} s for {seconds:.0} s)");
    let what = "statistics of 64 interfaces, a line of each a second";
    Ok(vec![Row::new(Weight::Held, what, "< 1 %", measured, share < BUDGET)])
}

/// A machine with a running sfptpd, as files.
fn machine(root: &Path) -> anyhow::Result<()> {
    let put = |path: &str, text: &str| -> anyhow::Result<()> {
        let path = root.join(path);
        fs::create_dir_all(path.parent().context("a file is in a directory")?)?;
        Ok(fs::write(path, text)?)
    };
    put("proc/812/comm", "sfptpd\n")?;
    put("proc/812/cmdline", "/usr/sbin/sfptpd\0-f\0/etc/sfptpd.conf\0")?;
    put("proc/812/cgroup", "0::/system.slice/sfptpd.service\n")?;
    let rest = "0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 100 0 0";
    put("proc/812/stat", &format!("812 (sfptpd) S 1 {rest}\n"))?;
    let configuration = "[general]\nsync_module freerun fr1\njson_stats /run/stats.jsonl\n[fr1]\ninterface system\n";
    put("etc/sfptpd.conf", configuration)?;
    put("var/lib/sfptpd/config", configuration)?;
    put("var/lib/sfptpd/version", "3.9.0.1007\n")?;
    put("run/stats.jsonl", "")
}

/// So many seconds more of its statistics.
fn say(root: &Path, from: usize, seconds: usize) -> anyhow::Result<()> {
    let mut lines = String::new();
    for second in from..from + seconds {
        for at in 0..INTERFACES {
            writeln!(
                lines,
                "{{\"instance\":\"ptp{at}\",\"time\":\"2026-11-21 12:{:02}:{:02}.000000\",\
                 \"clock-master\":{{\"name\":\"gm\"}},\"clock-slave\":{{\"name\":\"phc{at}\",\
                 \"primary-interface\":\"ens{at}f0\"}},\"is-disciplining\":true,\"in-sync\":true,\
                 \"alarms\":[],\"stats\":{{\"offset\":-12.345,\"freq-adj\":1234.567,\
                 \"one-way-delay\":345.678,\"gm-id\":\"000f:53ff:fe00:0001\"}}}}",
                second / 60 % 60,
                second % 60,
            )?;
        }
    }
    let mut file = OpenOptions::new().append(true).open(root.join("run/stats.jsonl"))?;
    Ok(file.write_all(lines.as_bytes())?)
}

/// Processor time of this thread so far, in seconds: it does all of it.
fn processor() -> anyhow::Result<f64> {
    let stat = fs::read_to_string("/proc/self/schedstat")?;
    let nanoseconds =
        stat.split_ascii_whitespace().next().context("/proc/self/schedstat is empty")?;
    Ok(nanoseconds.parse::<f64>()? / 1e9)
}

//! The kernel's own log, read by `dmesg` when a load failed: modprobe tells an error number, the
//! kernel what was wrong. The daemon itself may not read it.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use super::runner::{Program, Programs};

/// Lines are stamped by a clock that nobody corrects: off by up to this part of the time since boot.
const DRIFT: u32 = 1000;
/// And a moment beyond, for a boot that has only begun.
const SLACK: Duration = Duration::from_secs(1);

/// Now, as the kernel's log counts: time since boot without sleep.
pub(super) fn now() -> Duration {
    // Known since Linux 2.6: the clock is always there.
    clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default()
}

/// What the kernel said since a moment; nothing where its log cannot be read.
pub(super) async fn since(programs: &Programs, moment: Duration) -> Vec<String> {
    let program = Program {
        unit: "onloadd-kernel-log.service".to_owned(),
        description: "Read the kernel's log for onloadd".to_owned(),
        name: "dmesg",
        arguments: Vec::new(),
        environment: Vec::new(),
        path: Vec::new(),
    };
    match programs.run(&program).await {
        Ok(ended) if ended.success => lines_since(&ended.output, moment),
        Ok(_) | Err(_) => Vec::new(),
    }
}

/// The texts of lines `[  SECONDS.MICROS] TEXT`, the bracket followed by another on kernels that
/// say who printed them.
fn lines_since(log: &str, moment: Duration) -> Vec<String> {
    let from = moment.saturating_sub(SLACK + moment / DRIFT).as_secs_f64();
    let lines = log.lines().filter_map(|line| {
        let (stamp, text) = line.strip_prefix('[')?.split_once(']')?;
        let stamp: f64 = stamp.trim().parse().ok()?;
        let text = text.trim_start();
        let text = match text.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
            Some((caller, rest)) if caller.trim().starts_with(['T', 'C']) => rest,
            Some(_) | None => text,
        };
        (stamp >= from).then(|| text.to_owned())
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_moment_are_kept_without_their_stamps() {
        let log = "[    1.000000] sfc: old\n[  100.5] [  T812] onload: new\n garbage\n\
            [  101.000001] [drm] other\n[  102.0]   CPU: 1\n";
        let at = Duration::from_secs;
        assert_eq!(lines_since(log, at(101)), ["onload: new", "[drm] other", "CPU: 1"]);
        assert_eq!(lines_since(log, at(0)).len(), 4);
        // After ten days the clocks may be minutes apart.
        let later = "[863500.0] onload: new\n[860000.0] onload: old\n";
        assert_eq!(lines_since(later, at(864_000)), ["onload: new"]);
    }

    #[test]
    fn the_clock_runs() {
        assert!(now() > Duration::ZERO);
    }
}

//! Where it lives, and how fast: what tests set that nobody else does.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::configuration::Configuration;

/// How long an instance must be near enough before it counts (reference/sfptpd.md section 7), in seconds.
const SYNC_SECS: u64 = 60;
/// Between two writings of its state, and between two lines of statistics, in seconds.
const SAVE_SECS: u64 = 60;
const STATISTICS_SECS: u64 = 1;
/// What stands in names of its directories unless `unique_clockid_bits` says otherwise.
const UNIQUE: &str = "0000";

/// Its surroundings.
#[derive(Clone, Debug)]
pub struct Place {
    /// What stands before every path: for a run beside others, or without root.
    pub root: PathBuf,
    /// The file of faults, root included.
    pub faults: PathBuf,
    /// As 3.8 was: no metrics, and the control socket in its old place.
    pub old: bool,
    sync: Option<Duration>,
    save: Option<Duration>,
    statistics: Option<Duration>,
}

impl Place {
    /// Directory that stands before all paths.
    pub const ROOT: &str = "SFPTPD_ROOT";
    /// File of faults, in place of `/run/sfptpd-faults`.
    pub const FAULTS: &str = "SFPTPD_FAULTS";
    /// Seconds before `in-sync`, in place of 60; fractions too, as in the next two.
    pub const SYNC: &str = "SFPTPD_SYNC_SECS";
    /// Seconds between two writings of the state, in place of 60.
    pub const SAVE: &str = "SFPTPD_SAVE_SECS";
    /// Seconds between two lines of statistics, in place of 1.
    pub const STATISTICS: &str = "SFPTPD_STATS_SECS";
    /// Which release it acts as; `3.8` has no metrics.
    pub const RELEASE: &str = "SFPTPD_RELEASE";

    /// From the environment.
    pub fn from_environment() -> Self {
        let path = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let seconds = |name: &str| {
            let given = std::env::var(name).ok()?.parse().ok()?;
            Duration::try_from_secs_f64(given).ok()
        };
        let root = path(Self::ROOT).unwrap_or_else(|| PathBuf::from("/"));
        let faults = path(Self::FAULTS).unwrap_or_else(|| root.join("run/sfptpd-faults"));
        let old = std::env::var(Self::RELEASE).is_ok_and(|release| release == "3.8");
        let (sync, save) = (seconds(Self::SYNC), seconds(Self::SAVE));
        Self { root, faults, old, sync, save, statistics: seconds(Self::STATISTICS) }
    }

    /// A path below the root.
    pub fn below(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    pub(super) fn sync(&self) -> Duration {
        self.sync.unwrap_or(Duration::from_secs(SYNC_SECS))
    }

    pub(super) fn save(&self, configuration: &Configuration) -> Duration {
        let given = configuration.interval("save_state").unwrap_or(SAVE_SECS);
        self.save.unwrap_or(Duration::from_secs(given))
    }

    pub(super) fn statistics(&self, configuration: &Configuration) -> Duration {
        let given = configuration.interval("stats_log").unwrap_or(STATISTICS_SECS);
        self.statistics.unwrap_or(Duration::from_secs(given))
    }

    /// The run directory as the configuration has it, without the root.
    pub(super) fn run_directory(&self, configuration: &Configuration) -> String {
        let given = configuration.general("run_dir").unwrap_or("/run/sfptpd-%U");
        given.replace("%U", UNIQUE)
    }

    /// The state directory likewise.
    pub(super) fn state_directory(&self, configuration: &Configuration) -> String {
        let usual = if self.old { "/var/lib/sfptpd" } else { "/var/lib/sfptpd-%U" };
        configuration.general("state_path").unwrap_or(usual).replace("%U", UNIQUE)
    }

    /// The control socket likewise.
    pub(super) fn control(&self, configuration: &Configuration) -> String {
        if self.old {
            return "/var/run/sfptpd-control-v1.sock".to_owned();
        }
        let given = configuration.general("control_path").unwrap_or("%R/control-v1.sock");
        given.replace("%R", &self.run_directory(configuration))
    }

    /// The metrics socket likewise; none where it has none.
    pub(super) fn metrics(&self, configuration: &Configuration) -> Option<String> {
        if self.old || !configuration.is_on("openmetrics_unix", true) {
            return None;
        }
        let given = configuration.general("metrics_path").unwrap_or("%R/metrics.sock");
        Some(given.replace("%R", &self.run_directory(configuration)))
    }
}

//! Units of programs that steer clocks, as systemd tells of them.

use serde::{Deserialize, Serialize};

/// A unit that systemd has loaded (`org.freedesktop.systemd1(5)`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Unit {
    /// Whether there is a file of it: `LoadState` is `loaded`.
    pub installed: bool,
    /// `ActiveState`.
    pub active: Active,
    /// `SubState`, such as `running` or `auto-restart`.
    pub sub: String,
    /// `Result` of the last run, such as `success`, `exit-code`, `signal`, `start-limit-hit`; empty where
    /// it was not asked for.
    pub result: String,
    /// How its main process ended last; none while it has not, or where it was not asked for.
    pub ended: Option<Ended>,
    /// `MainPID`; none while it has none.
    pub main_pid: Option<u32>,
    /// `NRestarts`: how often systemd has restarted it by itself.
    pub restarts: u32,
}

/// Whether a unit runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Active {
    /// It runs.
    Active,
    /// It is on its way up, or waits to be restarted.
    Activating,
    /// It is on its way down.
    Deactivating,
    /// It has failed, and systemd has given it up.
    Failed,
    /// It does not run.
    #[default]
    Inactive,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// With this exit status.
    Status(i32),
    /// By this signal.
    Signal(i32),
}

impl Active {
    /// The state by systemd's word; none for one that is not known here.
    pub fn of(word: &str) -> Option<Self> {
        Some(match word {
            "active" | "reloading" | "refreshing" => Self::Active,
            "activating" => Self::Activating,
            "deactivating" => Self::Deactivating,
            "failed" => Self::Failed,
            "inactive" | "maintenance" => Self::Inactive,
            _ => return None,
        })
    }
}

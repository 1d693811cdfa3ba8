//! `[[clock-program]]` and `[templates]` of a world file.

use std::collections::BTreeSet;

use onload_core::clock::daemon::{DaemonKind, Told};
use onload_core::time::Span;
use serde::Deserialize;
use toml::Spanned;

/// A program that steers clocks, whether or not it runs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ClockProgram {
    /// What it is.
    pub kind: Spanned<DaemonKind>,
    /// Its systemd unit; else it is in a `container`.
    pub unit: Option<Spanned<String>>,
    /// Its container; else it is a `unit`.
    pub container: Option<Spanned<String>>,
    /// Whether each boot starts it.
    #[serde(default)]
    pub runs: bool,
    /// What its command line says.
    #[serde(default)]
    pub told: Told,
    /// The text of its configuration: sfptpd's only.
    pub configuration: Option<Spanned<String>>,
    /// Its version: sfptpd's only. Without one it is the current stable one (reference/sfptpd.md).
    pub version: Option<Spanned<String>>,
    /// How long after it ended by itself systemd starts it anew; never where left out.
    pub restart_after: Option<Span>,
    /// Units that run only where it does not, and the other way round (`Conflicts=`).
    #[serde(default)]
    pub conflicts: BTreeSet<String>,
}

impl ClockProgram {
    /// What it goes by: its unit, else its container.
    pub fn name(&self) -> &str {
        let name = self.unit.as_ref().or(self.container.as_ref());
        name.map_or("", |name| name.get_ref())
    }
}

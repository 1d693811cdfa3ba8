//! `[ptp]`: what is done about clocks.

use serde::{Deserialize, Serialize};
use std::time::Duration;

use super::settings::{Fault, check_path};
use crate::time::Span;

/// `[ptp]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PtpSettings {
    /// What is done about clocks.
    pub mode: ClockMode,
    /// The operator's configuration for sfptpd, with ports in place of interfaces. None: sfptpd's own
    /// file is left alone, and only seen to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration: Option<String>,
    /// The unit that runs sfptpd. None: that of its package, else onloadd's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The longest time between two looks at clocks while somebody depends on them.
    pub look_every: Span,
    /// How long sfptpd may say nothing new before it counts as hung.
    pub hang_after: Span,
    /// How long the system clock may take to be synchronised again after a change of drivers.
    pub sync_within: Span,
    /// The largest offset, in nanoseconds, of a clock that counts as synchronised where whoever steers
    /// it does not judge that itself.
    pub bound_ns: u64,
}

/// What is done about clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClockMode {
    /// Nothing: they are not looked at.
    Off,
    /// They are looked at.
    #[default]
    Observe,
    /// sfptpd is run, too.
    Manage,
}

impl ClockMode {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Observe => "observe",
            Self::Manage => "manage",
        }
    }
}

impl Default for PtpSettings {
    fn default() -> Self {
        Self {
            mode: ClockMode::default(),
            configuration: None,
            unit: None,
            look_every: Span(Duration::from_secs(10)),
            // sfptpd writes statistics each second and state each minute (reference/sfptpd.md section 3.1).
            hang_after: Span(Duration::from_secs(90)),
            // `in-sync` takes a minute below the threshold, after a lock that takes some of them
            // (reference/sfptpd.md section 0).
            sync_within: Span(Duration::from_secs(300)),
            // What NTP on a local network holds.
            bound_ns: 1_000_000,
        }
    }
}

impl PtpSettings {
    /// What is wrong with it.
    pub(super) fn check(&self) -> Result<(), Fault> {
        let fault = |key: &str, what: &str| Err((format!("ptp.{key}"), what.to_owned()));
        if let Some(Err(what)) = self.configuration.as_deref().map(check_path) {
            return fault("configuration", what);
        }
        if self.configuration.is_some() && self.mode != ClockMode::Manage {
            return fault("configuration", "is written for sfptpd only with `mode = \"manage\"`");
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:@\\".contains(c);
        if let Some(unit) = &self.unit
            && !(unit.ends_with(".service") && unit.len() < 256 && unit.chars().all(plain))
        {
            return fault("unit", "must be the name of a service, such as sfptpd.service");
        }
        if self.look_every.0 < Duration::from_secs(1) {
            return fault("look-every", "must be 1s or more");
        }
        if self.hang_after.0 < Duration::from_secs(10) {
            return fault(
                "hang-after",
                "must be 10s or more: sfptpd may write once in a while only",
            );
        }
        if self.sync_within.0 < Duration::from_secs(60) {
            return fault("sync-within", "must be 60s or more: sfptpd needs as long to say so");
        }
        if self.bound_ns == 0 {
            return fault("bound-ns", "must be 1 or more");
        }
        Ok(())
    }
}

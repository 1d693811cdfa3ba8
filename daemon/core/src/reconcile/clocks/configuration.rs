//! The configuration that sfptpd is given: the operator's, with the names that ports have now.

use super::super::Reconciler;
use crate::clock::Clocks;
use crate::clock::daemon::DaemonKind;
use crate::clock::sfptpd::USUAL_CONFIGURATION;
use crate::clock::sfptpd::config::{self, PortRef};
use crate::inventory::Snapshot;
use crate::naming;
use crate::reading::Reading;

/// Where our own unit finds it.
const OURS: &str = "/run/onloadd/sfptpd.cfg";

impl Reconciler {
    /// The configuration as it is to be written; none where sfptpd's own file is left alone.
    pub(super) fn rendered(
        &self,
        clocks: &Clocks,
        snapshot: &Snapshot,
    ) -> Result<Option<String>, (&'static str, String, String)> {
        let Some(path) = &self.ptp().configuration else { return Ok(None) };
        let text = match &clocks.template {
            Reading::Known(text) => text,
            Reading::Absent => {
                let fix = "write it, or take `configuration` out of [ptp]".to_owned();
                return Err(("ConfigurationMissing", format!("{path} is not there"), fix));
            }
            Reading::Unreadable(why) => {
                let message = format!("{path} cannot be read: {why}");
                let fix = "see whether onloadd's unit may read it: /etc is the place".to_owned();
                return Err(("ConfigurationUnreadable", message, fix));
            }
        };
        let refuse = |fault: config::ConfigFault| {
            ("ConfigurationRefused", format!("{path}, {fault}"), fault.fix)
        };
        config::check(text).map_err(refuse)?;
        config::render(text, &self.port_refs(snapshot)).map(Some).map_err(refuse)
    }

    /// The node's physical Solarflare ports, as a configuration of sfptpd may name them.
    fn port_refs(&self, snapshot: &Snapshot) -> Vec<PortRef> {
        naming::port_numbers(snapshot, &self.hardware)
            .into_iter()
            .map(|(pci, number)| {
                let interface = snapshot.interface_of(&pci);
                PortRef {
                    number,
                    pci,
                    mac: interface.and_then(|(_, seen)| seen.permanent_mac.known().copied()),
                    interface: interface.map(|(name, _)| name.clone()),
                }
            })
            .collect()
    }

    /// Whether what runs was told to use another file than what is written stands in for: what, and what to do.
    pub(super) fn other_file(&self, clocks: &Clocks, unit: &str) -> Option<(String, String)> {
        self.ptp().configuration.as_ref()?;
        let mut daemons = clocks.daemons.known()?.values();
        let own = daemons
            .find(|one| one.kind == DaemonKind::Sfptpd && one.unit.as_deref() == Some(unit))?;
        let told = own.told.configuration.as_deref()?;
        let other = ![USUAL_CONFIGURATION, OURS].contains(&told);
        other.then(|| {
            let fix = format!("take `-f` out of /etc/sysconfig/sfptpd, or of {unit}");
            (format!("it was started with {told}, and does not use what onloadd has written"), fix)
        })
    }
}

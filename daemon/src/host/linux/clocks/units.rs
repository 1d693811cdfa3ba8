//! Units of programs that steer clocks.

use std::collections::{BTreeMap, BTreeSet};

use onload_core::clock::unit::Unit;
use onload_core::reading::Reading;

use super::super::systemd::Systemd;

/// How these units stand: one question for all of them, and more only about those that are looked after. Absent where systemd does not run.
pub(super) async fn read(
    systemd: &Systemd,
    names: &BTreeSet<String>,
    looked_after: &BTreeSet<String>,
) -> Reading<BTreeMap<String, Unit>> {
    // What is no name of a unit would have systemd refuse the whole question.
    let names = names.iter().filter(|name| is_service(name)).cloned().collect();
    systemd.units(&names, |name| looked_after.contains(name)).await
}

/// Whether it is a name that a service can have (systemd.unit(5)).
pub(super) fn is_service(name: &str) -> bool {
    const LONGEST: usize = 255;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
    let stem = name.strip_suffix(".service").unwrap_or_default();
    !stem.is_empty() && !stem.starts_with('.') && name.len() <= LONGEST && name.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_a_service_is_asked_for_or_written_for() {
        for name in ["sfptpd.service", "onloadd-sfptpd.service", "ptp4l@eth0.service"] {
            assert!(is_service(name), "{name}");
        }
        for name in
            ["", ".service", "sfptpd", "../x.service", "a b.service", "..service", "x.socket"]
        {
            assert!(!is_service(name), "{name}");
        }
        assert!(!is_service(&format!("{}.service", "x".repeat(255))));
    }
}

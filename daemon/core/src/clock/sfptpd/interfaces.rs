//! `interfaces`: what sfptpd finds each interface able to do.

use std::collections::BTreeMap;

use super::table::rows;
use super::{InterfaceCaps, bounded};

/// The rows of the file, by interface.
pub fn parse(text: &str) -> BTreeMap<String, InterfaceCaps> {
    let mut found = BTreeMap::new();
    rows(text, "interface", |row| {
        let cell = |header: &str| row.under(header).map(bounded::word).unwrap_or_default();
        if let Some(name) = row.under("interface").and_then(bounded::some) {
            let caps = InterfaceCaps {
                ptp: cell("ptp-caps"),
                timestamping: cell("pkt-timestamping-caps"),
                mac: cell("mac-address"),
            };
            found.insert(name, caps);
        }
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_go_by_their_names() {
        let caps = |ptp: &str, timestamping: &str, mac: &str| InterfaceCaps {
            ptp: ptp.to_owned(),
            timestamping: timestamping.to_owned(),
            mac: mac.to_owned(),
        };
        let text = "\
|        interface | ptp-caps | pkt-timestamping-caps |       mac-address |
----------------------------------------------------------------------------
|           ens1f0 |  hw & sw |               hw & sw | 00:0f:53:00:00:01 |
|             eno1 |        - |                    sw | 00:0f:53:00:00:02 |
----------------------------------------------------------------------------
";
        let found = parse(text);
        assert_eq!(found["ens1f0"], caps("hw & sw", "hw & sw", "00:0f:53:00:00:01"));
        assert_eq!(found["eno1"], caps("-", "sw", "00:0f:53:00:00:02"));
        assert_eq!(found.len(), 2);
        let found = parse("mac-address | interface\n00:0f:53:00:00:01 | ens1f0");
        assert_eq!(found["ens1f0"], caps("", "", "00:0f:53:00:00:01"));
    }
}

//! Options of `[ptp]` and its instances (reference/sfptpd.md section 3.2).

use super::option::Scope::{Instance, Kind};
use super::option::Takes::{Many, Row};
use super::option::Value::{Interface, Number, OneOf, Switch, Text, Thousandths, Whole};
use super::option::{OptionRule, each, kind, rule};

const ORDER: &[&str] = &["allow-deny", "deny-allow"];
const UTC: &[&str] = &["default", "ignore", "prefer", "require", "override"];
const ANY: i64 = i64::MAX;

/// The options.
pub(super) const OPTIONS: &[OptionRule] = &[
    kind("ptp_profile", &[OneOf(&["default-e2e", "default-p2p", "enterprise"])]),
    kind("ptp_version", &[OneOf(&["2.0", "2.1"])]),
    each("ptp_mode", &[OneOf(&["slave", "master", "master-only", "monitor"])]),
    each("interface", &[Interface]),
    each("transport", &[OneOf(&["ipv4", "ipv6"])]),
    kind("scope", &[OneOf(&["link-local", "global"])]),
    each("priority", &[Whole(0, ANY)]),
    each("sync_threshold", &[Number]),
    each("timestamping", &[OneOf(&["hw", "sw", "auto"])]),
    rule("ptp_pkt_dump", Instance, Row(&[], 0)),
    rule("ptp_pps_log", Instance, Row(&[], 0)),
    each("pps_delay", &[Number]),
    each("ptp_tx_latency", &[Whole(i64::MIN, ANY)]),
    each("ptp_rx_latency", &[Whole(i64::MIN, ANY)]),
    each("ptp_delay_mechanism", &[OneOf(&["end-to-end", "peer-to-peer"])]),
    each("ptp_network_mode", &[OneOf(&["multicast", "hybrid", "hybrid-no-fallback"])]),
    each("ptp_ttl", &[Whole(0, 255)]),
    each("ptp_utc_offset", &[Whole(-32_768, 32_767)]),
    rule("ptp_utc_valid_handling", Instance, Row(&[OneOf(UTC), Whole(i64::MIN, ANY)], 1)),
    each("ptp_timescale", &[OneOf(&["tai", "utc"])]),
    each("ptp_domain", &[Whole(0, 255)]),
    kind("ptp_mgmt_msgs", &[OneOf(&["disabled", "read-only"])]),
    rule("ptp_timing_acl_allow", Instance, Many(Text, 1)),
    rule("ptp_timing_acl_permit", Instance, Many(Text, 1)),
    rule("ptp_timing_acl_deny", Instance, Many(Text, 1)),
    each("ptp_timing_acl_order", &[OneOf(ORDER)]),
    rule("ptp_mgmt_acl_allow", Instance, Many(Text, 1)),
    rule("ptp_mgmt_acl_permit", Instance, Many(Text, 1)),
    rule("ptp_mgmt_acl_deny", Instance, Many(Text, 1)),
    each("ptp_mgmt_acl_order", &[OneOf(ORDER)]),
    rule("ptp_mon_acl_allow", Instance, Many(Text, 1)),
    rule("ptp_mon_acl_deny", Instance, Many(Text, 1)),
    each("ptp_mon_acl_order", &[OneOf(ORDER)]),
    each("ptp_announce_interval", &[Whole(-4, 4)]),
    each("ptp_announce_timeout", &[Whole(2, ANY)]),
    // Bounds of the others depend on the profile and the release.
    each("ptp_sync_pkt_interval", &[Whole(-128, 127)]),
    each("ptp_sync_pkt_timeout", &[Whole(0, ANY)]),
    each("ptp_delayreq_interval", &[Whole(-128, 127)]),
    each("ptp_delayresp_timeout", &[Whole(-128, 127)]),
    rule("max_missing_delayresps", Instance, Row(&[Whole(0, ANY), Whole(0, ANY)], 0)),
    kind("ptp_max_foreign_records", &[Whole(0, ANY)]),
    each("ptp_bmc_priority1", &[Whole(0, 255)]),
    each("ptp_bmc_priority2", &[Whole(0, 255)]),
    each("ptp_trace", &[Whole(0, ANY)]),
    each("ptp_delay_resp_ignore_port_id", &[Switch]),
    each("pid_filter_p", &[Number]),
    each("pid_filter_i", &[Number]),
    each("outlier_filter_size", &[Whole(1, ANY)]),
    each("outlier_filter_adaption", &[Thousandths(0, 1000)]),
    each("mpd_filter_size", &[Whole(1, ANY)]),
    each("mpd_filter_ageing", &[Number]),
    each("fir_filter_size", &[Whole(1, 128)]),
    rule("remote_monitor", Kind, Row(&[], 0)),
    rule("mon_monitor_address", Instance, Many(Text, 1)),
    rule("mon_rx_sync_timing_data", Instance, Row(&[Whole(0, ANY)], 1)),
    rule("mon_rx_sync_computed_data", Instance, Row(&[Whole(0, ANY)], 1)),
    rule("mon_tx_event_timestamps", Instance, Row(&[Whole(0, ANY)], 1)),
    rule("mon_meinberg_netsync", Instance, Row(&[], 0)),
    rule("mon_slave_status", Instance, Row(&[], 0)),
    rule("bmc_discriminator", Instance, Row(&[Text, Number], 0)),
    each("announce_comm_caps", &[Switch]),
    kind("onload_ext", &[Switch]),
    kind("lacp_bypass", &[OneOf(&["off", "sockpool", "cmsg", "both"])]),
];

//! Names of options by section (reference/sfptpd.md section 3): enough to refuse what is not one.

/// Options of `[general]`, and of no instance.
pub(super) const GENERAL: &str = "sync_module selection_policy selection_policy_rules \
    selection_holdoff_interval phc_pps_methods phc_diff_methods message_log stats_log json_stats user \
    daemon lock state_path run_dir control_path metrics_path run_dir_mode state_dir_mode \
    control_socket_mode metrics_socket_mode sync_interval local_sync_threshold clock_control \
    step_threshold epoch_guard clock_list clock_readonly observe_readonly_clocks \
    persistent_clock_correction initial_clock_correction non_solarflare_nics non_xilinx_nics \
    assume_one_phc_per_nic phc_dedup avoid_efx_ioctl timestamping_interfaces \
    timestamping_disable_on_exit pid_filter_p pid_filter_i fir_filter_size trace_level \
    reporting_intervals netlink_rescan_interval netlink_coalesce_ms hotplug_detection_mode clustering \
    clustering_guard limit_freq_adj ignore_critical rtc_adjust clock_display_fmts unique_clockid_bits \
    openmetrics_unix openmetrics_tcp openmetrics_rt_stats_buf openmetrics_options openmetrics_prefix \
    openmetrics_acl_allow openmetrics_acl_deny openmetrics_acl_order servo_log_all_samples \
    eligible_interface_types clock_adj_method";

const PTP: &str = "interface ptp_profile ptp_version ptp_mode transport scope priority sync_threshold \
    timestamping ptp_domain ptp_delay_mechanism ptp_network_mode ptp_ttl ptp_utc_valid_handling \
    ptp_announce_interval ptp_announce_timeout ptp_sync_pkt_interval ptp_sync_pkt_timeout \
    ptp_delayreq_interval ptp_delayresp_timeout max_missing_delayresps ptp_tx_latency ptp_rx_latency \
    ptp_bmc_priority1 ptp_bmc_priority2 ptp_mgmt_msgs ptp_timing_acl_allow ptp_timing_acl_deny \
    ptp_timing_acl_order ptp_mgmt_acl_allow ptp_mgmt_acl_deny ptp_mgmt_acl_order ptp_mon_acl_allow \
    ptp_mon_acl_deny ptp_mon_acl_order pid_filter_p pid_filter_i outlier_filter_size \
    outlier_filter_adaption mpd_filter_size mpd_filter_ageing fir_filter_size bmc_discriminator \
    announce_comm_caps onload_ext lacp_bypass ptp_trace ptp_pkt_dump ptp_delay_resp_ignore_port_id";
const PPS: &str = "interface pin function channel priority sync_threshold time_of_day \
    master_clock_class master_time_source master_accuracy master_traceability steps_removed pps_delay \
    pid_filter_p pid_filter_i outlier_filter_size outlier_filter_adaption fir_filter_size";
const NTP: &str = "priority sync_threshold ntp_poll_interval ntp_key";
const CRNY: &str = "priority sync_threshold ntp_poll_interval ntp_key clock_control control_script \
    min_ignored_samples_after_new_ref settling_timeout";
const FREERUN: &str = "interface priority";
const GPS: &str = "priority sync_threshold gpsd";

/// The options of a kind of instance.
pub(super) fn of(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "ptp" => PTP,
        "pps" => PPS,
        "ntp" => NTP,
        "crny" => CRNY,
        "freerun" => FREERUN,
        "gps" => GPS,
        _ => return None,
    })
}

/// Whether a list has a name. `mon_` options are many, and none of them matters here.
pub(super) fn has(list: &str, name: &str) -> bool {
    list.split_whitespace().any(|known| known == name) || name.starts_with("mon_")
}

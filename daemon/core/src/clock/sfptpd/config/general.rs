//! Options of `[general]` (reference/sfptpd.md section 3.1): all releases' since 3.4 together.

use super::option::Scope::{Instance, Kind};
use super::option::Takes::{Many, Row};
use super::option::Value::{
    Clock, Interfaces, Mode, Number, OneOf, Switch, Text, Thousandths, Whole,
};
use super::option::{OptionRule, each, kind, rule};

/// Modules that can be traced.
const TRACED: &[&str] =
    &["general", "threading", "bic", "netlink", "ntp", "servo", "clocks", "most", "all"];
const RULES: &[&str] = &[
    "manual",
    "ext-constraints",
    "state",
    "no-alarms",
    "user-priority",
    "clustering",
    "clock-class",
    "total-accuracy",
    "allan-variance",
    "steps-removed",
    "tie-break",
];
const DIFFERENCES: &[&str] =
    &["sys-offset-precise", "efx", "pps", "sys-offset-ext", "sys-offset", "read-time"];
const CONTROL: &[&str] = &[
    "slew-and-step",
    "step-at-startup",
    "no-step",
    "no-adjust",
    "step-forward",
    "step-on-first-lock",
];
const CRITICAL: &[&str] = &["no-ptp-clock", "no-ptp-subsystem", "clock-control-conflict"];
const KINDS: &[&str] = &["freerun", "ptp", "pps", "ntp", "crny", "gps"];

/// The options.
pub(super) const OPTIONS: &[OptionRule] = &[
    // The kind is checked by whoever declares the instances.
    rule("sync_module", Kind, Many(Text, 1)),
    rule(
        "selection_policy",
        Kind,
        Row(&[OneOf(&["automatic", "manual", "manual-startup"]), Text], 1),
    ),
    rule("selection_policy_rules", Kind, Many(OneOf(RULES), 1)),
    kind("selection_holdoff_interval", &[Whole(0, i64::MAX)]),
    rule("phc_pps_methods", Kind, Many(OneOf(&["devpps", "devptp"]), 1)),
    rule("phc_diff_methods", Kind, Many(OneOf(DIFFERENCES), 1)),
    kind("message_log", &[Text]),
    kind("stats_log", &[Text]),
    kind("json_stats", &[Text]),
    kind("json_remote_monitor", &[Text]),
    rule("user", Kind, Row(&[Text, Text], 1)),
    rule("daemon", Kind, Row(&[], 0)),
    kind("lock", &[Switch]),
    kind("state_path", &[Text]),
    kind("run_dir", &[Text]),
    kind("control_path", &[Text]),
    kind("metrics_path", &[Text]),
    kind("run_dir_mode", &[Mode]),
    kind("state_dir_mode", &[Mode]),
    kind("control_socket_mode", &[Mode]),
    kind("metrics_socket_mode", &[Mode]),
    kind("sync_interval", &[Whole(-5, 3)]),
    each("local_sync_threshold", &[Number]),
    kind("clock_control", &[OneOf(CONTROL)]),
    each("step_threshold", &[Thousandths(100, 10_000)]),
    kind("epoch_guard", &[OneOf(&["alarm-only", "prevent-sync", "correct-clock"])]),
    rule("clock_list", Kind, Many(Clock, 0)),
    rule("clock_readonly", Kind, Many(Clock, 1)),
    kind("observe_readonly_clocks", &[Switch]),
    kind("persistent_clock_correction", &[Switch]),
    kind("initial_clock_correction", &[OneOf(&["always", "if-unset"])]),
    kind("non_solarflare_nics", &[Switch]),
    kind("non_xilinx_nics", &[Switch]),
    kind("assume_one_phc_per_nic", &[Switch]),
    kind("phc_dedup", &[Switch]),
    kind("avoid_efx_ioctl", &[Switch]),
    rule("timestamping_interfaces", Kind, Many(Interfaces, 1)),
    kind("timestamping_disable_on_exit", &[Switch]),
    each("pid_filter_p", &[Number]),
    each("pid_filter_i", &[Number]),
    each("fir_filter_size", &[Whole(1, 128)]),
    rule("trace_level", Kind, Many(Text, 1)),
    rule("test_mode", Kind, Row(&[], 0)),
    rule("reporting_intervals", Kind, Many(Text, 2)),
    kind("netlink_rescan_interval", &[Whole(0, i64::MAX)]),
    kind("netlink_coalesce_ms", &[Whole(0, i64::MAX)]),
    kind("hotplug_detection_mode", &[Text]),
    rule("clustering", Kind, Row(&[OneOf(&["discriminator"]), Text, Number, Number], 0)),
    rule("clustering_guard", Kind, Row(&[Switch, Number], 0)),
    kind("limit_freq_adj", &[Number]),
    rule("ignore_critical", Kind, Many(OneOf(CRITICAL), 1)),
    kind("rtc_adjust", &[Switch]),
    rule("clock_display_fmts", Kind, Row(&[Text, Text, Text, Text], 0)),
    kind("unique_clockid_bits", &[Text]),
    kind("legacy_clockids", &[Switch]),
    kind("openmetrics_unix", &[Switch]),
    rule("openmetrics_tcp", Kind, Many(Text, 1)),
    kind("openmetrics_rt_stats_buf", &[Whole(0, i64::MAX)]),
    rule("openmetrics_options", Kind, Many(OneOf(&["alarm-stateset"]), 0)),
    rule("openmetrics_prefix", Kind, Row(&[Text], 1)),
    rule("openmetrics_acl_allow", Instance, Many(Text, 1)),
    rule("openmetrics_acl_deny", Instance, Many(Text, 1)),
    each("openmetrics_acl_order", &[OneOf(&["allow-deny", "deny-allow"])]),
    kind("servo_log_all_samples", &[Switch]),
    rule("eligible_interface_types", Kind, Many(Text, 1)),
    kind("clock_adj_method", &[OneOf(&["prefer-tickadj", "prefer-freqadj", "legacy"])]),
];

/// What is wrong with values that go by pairs, or by what stands before them; none if nothing is.
pub(super) fn wrong(name: &str, values: &[&str]) -> Option<String> {
    let number = |text: &str| text.parse::<u32>().is_ok();
    match (name, values) {
        ("sync_module", [kind, ..]) if !KINDS.contains(kind) => {
            Some(format!("there is no module `{kind}`; there are `{}`", KINDS.join("`, `")))
        }
        ("selection_policy", ["manual" | "manual-startup"]) => {
            Some("`selection_policy` takes the instance to begin with behind that".to_owned())
        }
        ("trace_level", [level]) if number(level) => None,
        ("trace_level", [module, level]) if TRACED.contains(module) && number(level) => None,
        ("trace_level", _) => {
            Some("`trace_level` takes a number from 0 to 6, and a module before it".to_owned())
        }
        ("reporting_intervals", values) => {
            let pairs = |pair: &[&str]| matches!(pair, ["save_state" | "stats_log", seconds] if number(seconds));
            let rule = "`reporting_intervals` takes `save_state` or `stats_log`, and seconds";
            (!values.chunks(2).all(pairs)).then(|| rule.to_owned())
        }
        _ => None,
    }
}

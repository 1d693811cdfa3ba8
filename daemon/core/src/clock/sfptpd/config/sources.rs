//! Options of the other sources of time (reference/sfptpd.md section 3.3).

use super::option::Scope::Instance;
use super::option::Takes::{Many, Row};
use super::option::Value::{
    Interface, InterfaceOr, Number, NumberOr, OneOf, Switch, Text, Thousandths, Whole,
};
use super::option::{OptionRule, each, kind, rule};

const ANY: i64 = i64::MAX;
const CLASSES: &[&str] = &["locked", "holdover", "freerunning"];
const SOURCES: &[&str] = &["atomic", "gps", "ptp", "ntp", "oscillator"];

/// Options of `[pps]`.
pub(super) const PPS: &[OptionRule] = &[
    each("interface", &[Interface]),
    each("pin", &[Whole(-1, ANY)]),
    each("function", &[Text]),
    each("channel", &[Whole(0, ANY)]),
    each("priority", &[Whole(0, ANY)]),
    each("sync_threshold", &[Number]),
    kind("time_of_day", &[Text]),
    each("master_clock_class", &[OneOf(CLASSES)]),
    each("master_time_source", &[OneOf(SOURCES)]),
    each("master_accuracy", &[NumberOr("unknown")]),
    rule("master_traceability", Instance, Many(OneOf(&["time", "freq"]), 0)),
    each("steps_removed", &[Whole(0, ANY)]),
    each("pps_delay", &[Number]),
    each("pid_filter_p", &[Number]),
    each("pid_filter_i", &[Number]),
    each("outlier_filter_type", &[OneOf(&["disabled", "std-dev"])]),
    each("outlier_filter_size", &[Whole(1, ANY)]),
    each("outlier_filter_adaption", &[Thousandths(0, 1000)]),
    each("fir_filter_size", &[Whole(1, 128)]),
];

/// Options of `[ntp]`.
pub(super) const NTP: &[OptionRule] = &[
    each("priority", &[Whole(0, ANY)]),
    each("sync_threshold", &[Number]),
    each("ntp_poll_interval", &[Whole(1, ANY)]),
    // A number and a secret, both of which sfptpd writes as stars where it keeps its configuration.
    rule("ntp_key", Instance, Row(&[Text, Text], 0)),
];

/// Options of `[crny]`.
pub(super) const CRNY: &[OptionRule] = &[
    each("priority", &[Whole(0, ANY)]),
    each("sync_threshold", &[Number]),
    each("ntp_poll_interval", &[Whole(1, ANY)]),
    each("clock_control", &[Switch]),
    each("control_script", &[Text]),
    each("min_ignored_samples_after_new_ref", &[Whole(0, ANY)]),
    each("settling_timeout", &[Whole(0, ANY)]),
];

/// Options of `[freerun]`.
pub(super) const FREERUN: &[OptionRule] = &[
    each("interface", &[InterfaceOr("system")]),
    each("priority", &[Whole(0, ANY)]),
    each("clock_class", &[OneOf(CLASSES)]),
    each("clock_accuracy", &[NumberOr("unknown")]),
    rule("clock_traceability", Instance, Many(OneOf(&["time", "freq"]), 0)),
];

/// Options of `[gps]`.
pub(super) const GPS: &[OptionRule] = &[
    each("priority", &[Whole(0, ANY)]),
    each("sync_threshold", &[Number]),
    rule("gpsd", Instance, Row(&[Text, Text], 2)),
];

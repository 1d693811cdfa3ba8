//! `state-NAME`: what an instance, or the servo of a clock, says of itself.

use super::number::scaled;
use super::{State, bounded};

/// The longest file read to its end; those that sfptpd writes have some forty lines.
const LINES: usize = 256;

/// What the file says. Keys that are not used here are passed over, and one that cannot be read counts as
/// missing.
pub fn parse(text: &str) -> State {
    let mut state = State::default();
    for (key, value) in text.lines().take(LINES).filter_map(|line| line.split_once(':')) {
        take(&mut state, key.trim(), value.trim());
    }
    state
}

fn take(state: &mut State, key: &str, value: &str) {
    match key {
        "state" => state.state = bounded::word(value),
        "alarms" => state.alarms = bounded::words(value),
        "control-flags" => state.control_flags = bounded::words(value),
        "in-sync" => state.in_sync = bounded::flag(value),
        "offset-from-master" | "offset-from-reference" | "offset-from-peer" => {
            state.offset_ns = scaled(value, 0);
        }
        "one-way-delay" => state.path_delay_ns = scaled(value, 0),
        "freq-adjustment-ppb" => state.frequency_ppb = scaled(value, 0),
        "clock-name" => state.clock = bounded::some(value),
        // The port that is used comes first, what it is configured by (a bond, say) behind it.
        "interface" => state.interface = value.split_whitespace().next().and_then(bounded::some),
        "grandmaster-id" => state.grandmaster = bounded::some(value),
        "grandmaster-clock-class" => {
            state.grandmaster_class = value.split_whitespace().next().and_then(|n| n.parse().ok());
        }
        "parent-address" | "selected-peer" | "reference-clock-name" => {
            state.source = bounded::some(value);
        }
        "blocked-by" => state.blocked_by = bounded::words(value),
        "leap-59" | "leap-61" => state.leap |= bounded::flag(value) == Some(true),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn set(words: &[&str]) -> BTreeSet<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_ptp_slave() {
        let text = "\
instance: ptp1
clock-name: phc0(ens1f0)
clock-id: 000f:53ff:fe00:0001
state: ptp-slave
alarms: 
control-flags: selected, timestamp-processing, clock-ctrl
interface: ens1f0 (bond0)
transport: ipv4
profile: 00-1b-19-00-01-00 (default-e2e) 1.0
timestamping: hw
offset-from-master: -12.345
one-way-delay: 1534.500
freq-adjustment-ppb: -2817.062
in-sync: 1
ptp-domain: 0
steps-removed: 1
parent-clock-id: 000f:53ff:fe00:0002
parent-port-num: 1
parent-address: 192.0.2.1
delay-mechanism: end-to-end
two-step: yes
slave-only: yes
grandmaster-id: 000f:53ff:fe00:0003
grandmaster-clock-class: 6
grandmaster-clock-accuracy: 33 (<100ns)
timescale: TAI
current-utc-offset: 37
leap-59: 0
leap-61: 1
clustering-score: 0
diff-method: sys-offset-precise
blocked-by: ntp manual
";
        let expected = State {
            state: "ptp-slave".to_owned(),
            alarms: set(&[]),
            control_flags: set(&["selected", "timestamp-processing", "clock-ctrl"]),
            in_sync: Some(true),
            offset_ns: Some(-12),
            path_delay_ns: Some(1535),
            frequency_ppb: Some(-2817),
            clock: Some("phc0(ens1f0)".to_owned()),
            interface: Some("ens1f0".to_owned()),
            grandmaster: Some("000f:53ff:fe00:0003".to_owned()),
            grandmaster_class: Some(6),
            source: Some("192.0.2.1".to_owned()),
            blocked_by: set(&["ntp", "manual"]),
            leap: true,
        };
        assert_eq!(parse(text), expected);
    }

    #[test]
    fn a_local_servo_and_an_ntp_peer() {
        let servo = parse(
            "clock-name: system\nstate: local-slave\nalarms: clock-near-epoch caps-mismatch \n\
             reference-clock-name: phc0(ens1f0)\noffset-from-reference: 0.500\n\
             freq-adjustment-ppb: 12.000\nin-sync: 0\np-term: 0.1\ni-term: -0.2\n",
        );
        assert_eq!((servo.offset_ns, servo.in_sync), (Some(1), Some(false)));
        assert_eq!(servo.alarms, set(&["clock-near-epoch", "caps-mismatch"]));
        assert_eq!(servo.source.as_deref(), Some("phc0(ens1f0)"));
        let peer = parse(
            "instance: crny0\nstate: ntp-slave\nalarms: none\noffset-from-peer: 1e3\nin-sync: 1\n\
             selected-peer: 2001:db8::1\nnum-peers: 4\n",
        );
        assert_eq!((peer.offset_ns, peer.alarms), (Some(1000), set(&[])));
        assert_eq!(peer.source.as_deref(), Some("2001:db8::1"));
    }

    #[test]
    fn what_cannot_be_read_is_missing() {
        let state = parse(
            "in-sync: maybe\noffset-from-master: nan\ngrandmaster-clock-class: 900\nno key\n",
        );
        assert_eq!(state, State::default());
        let long = parse(&format!("clock-name: a\u{1b}[2J{}", "x".repeat(1000)));
        let clock = long.clock.unwrap();
        assert!(clock.chars().count() <= 128 && !clock.contains('\u{1b}'));
    }
}

//! Exit statuses: sfptpd ends with the number of an error of the system's (reference/sfptpd.md section 2).

use crate::clock::unit::Ended;

/// What a status means: number, name, meaning, what to do.
struct Meaning(i32, &'static str, &'static str, &'static str);

/// What to do about an end that tells nothing by itself.
const ELSE: &str = "read its messages: journalctl -u sfptpd";

/// Numbers of x86-64, where sfptpd is built for; the same on aarch64.
const MEANINGS: [Meaning; 14] = [
    Meaning(1, "EPERM", "it lacks privileges", PRIVILEGES),
    Meaning(
        2,
        "ENOENT",
        "its configuration names what is not there, or there is no PTP clock",
        FILE,
    ),
    Meaning(5, "EIO", "a clock or socket failed under it", ELSE),
    Meaning(10, "ECHILD", "its privileged helper died", ELSE),
    Meaning(11, "EAGAIN", "another sfptpd holds its lock", SECOND),
    Meaning(12, "ENOMEM", "it ran out of memory", ELSE),
    Meaning(13, "EACCES", "it lacks privileges", PRIVILEGES),
    Meaning(16, "EBUSY", "ntpd controls the clock, or another PTP daemon runs", NTPD),
    Meaning(17, "EEXIST", "another sfptpd holds its lock", SECOND),
    Meaning(19, "ENODEV", "there is no PTP clock, or no such interface", DEVICE),
    Meaning(22, "EINVAL", "its configuration is wrong", FILE),
    Meaning(93, "EPROTONOSUPPORT", "systemd-timesyncd runs", TIMESYNCD),
    Meaning(
        95,
        "EOPNOTSUPP",
        "chronyd steers the system clock, or something is not supported",
        CHRONYD,
    ),
    Meaning(98, "EADDRINUSE", "another program has the PTP ports or its sockets", SECOND),
];

const PRIVILEGES: &str = "run it by its unit, which gives it what it needs";
const FILE: &str = "check its configuration: sfptpd -t -f FILE";
const SECOND: &str = "stop the other daemon, or give them different unique_clockid_bits";
const NTPD: &str =
    "stop ntpd and any other sfptpd or ptpd, or hand the clock over: onloadctl clock handover";
const DEVICE: &str =
    "see that the driver of the port is loaded and its interface up: onloadctl ports";
const TIMESYNCD: &str = "stop systemd-timesyncd, or hand the clock over: onloadctl clock handover";
const CHRONYD: &str =
    "run chronyd with -x or stop it, or hand the clock over: onloadctl clock handover";

/// Statuses that systemd gives when it could not start the program (`systemd.exec(5)`).
const NOT_STARTED: std::ops::RangeInclusive<i32> = 200..=245;

/// Signals that end daemons, by number.
const SIGNALS: [(i32, &str); 9] = [
    (1, "SIGHUP"),
    (2, "SIGINT"),
    (3, "SIGQUIT"),
    (6, "SIGABRT"),
    (7, "SIGBUS"),
    (8, "SIGFPE"),
    (9, "SIGKILL"),
    (11, "SIGSEGV"),
    (15, "SIGTERM"),
];

fn meaning(status: i32) -> Option<&'static Meaning> {
    MEANINGS.iter().find(|meaning| meaning.0 == status)
}

/// How it ended, for people: `status 16 (EBUSY): ntpd controls the clock, or another PTP daemon runs`.
pub fn said(ended: Ended) -> String {
    match ended {
        Ended::Status(0) => "status 0: it ended by itself".to_owned(),
        Ended::Status(status) => match meaning(status) {
            Some(Meaning(_, name, what, _)) => format!("status {status} ({name}): {what}"),
            None if NOT_STARTED.contains(&status) => {
                format!("status {status}: systemd could not start it")
            }
            None => format!("status {status}"),
        },
        Ended::Signal(signal) => match SIGNALS.iter().find(|(number, _)| *number == signal) {
            Some((_, name)) => format!("signal {signal} ({name})"),
            None => format!("signal {signal}"),
        },
    }
}

/// What to do about it.
pub fn fix(ended: Ended) -> &'static str {
    match ended {
        Ended::Status(status) => meaning(status).map_or(ELSE, |meaning| meaning.3),
        Ended::Signal(_) => ELSE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_told_by_name() {
        let cases = [
            (Ended::Status(0), "status 0: it ended by itself"),
            (
                Ended::Status(16),
                "status 16 (EBUSY): ntpd controls the clock, or another PTP daemon runs",
            ),
            (Ended::Status(93), "status 93 (EPROTONOSUPPORT): systemd-timesyncd runs"),
            (Ended::Status(203), "status 203: systemd could not start it"),
            (Ended::Status(-1), "status -1"),
            (Ended::Signal(11), "signal 11 (SIGSEGV)"),
            (Ended::Signal(64), "signal 64"),
        ];
        for (ended, expected) in cases {
            assert_eq!(said(ended), expected);
        }
        assert!(fix(Ended::Status(95)).contains("chronyd"));
        assert!(fix(Ended::Signal(6)).contains("journalctl"));
        assert!(MEANINGS.is_sorted_by_key(|meaning| meaning.0), "in order, so that none is twice");
    }
}

//! Faults on order: words in a file that is read again and again, or a `testmode=` of the control
//! socket.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

/// What is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// `hang`: says and answers nothing more; `hang hard`: does not heed SIGTERM either.
    pub hang: bool,
    /// See [`Faults::hang`].
    pub hang_hard: bool,
    /// `crash CODE`: ends with it once it has started.
    pub crash: Option<u8>,
    /// `refuse CODE`: does not start.
    pub refuse: Option<u8>,
    /// `alarm NAME`, as often as wanted.
    pub alarms: BTreeSet<String>,
    /// `drift PPB`: its source runs away.
    pub drift_ppb: i64,
    /// `offset NS`: its source is that far away.
    pub offset_ns: i64,
    /// `no-sync`: nothing comes from its source.
    pub no_sync: bool,
    /// `slow-lock SECONDS`: so long until it is in step.
    pub slow_lock: Option<Duration>,
}

impl Faults {
    /// What a file orders; nothing where there is none.
    pub fn read(path: &Path) -> Self {
        let mut faults = Self::default();
        let text = std::fs::read_to_string(path).unwrap_or_default();
        for line in text.lines() {
            faults.order(line);
        }
        faults
    }

    /// Takes one order; `clear` takes all back.
    pub fn order(&mut self, line: &str) {
        let mut words = line.split([' ', ',']).filter(|word| !word.is_empty());
        let Some(word) = words.next() else { return };
        let value = words.next();
        let number = value.and_then(|value| value.parse::<i64>().ok());
        let code = value.and_then(|value| value.parse().ok());
        match word {
            "hang" => (self.hang, self.hang_hard) = (true, value == Some("hard")),
            "crash" => self.crash = code,
            "refuse" => self.refuse = code,
            "alarm" => self.alarms.extend(value.map(str::to_owned)),
            "drift" => self.drift_ppb = number.unwrap_or_default(),
            "offset" => self.offset_ns = number.unwrap_or_default(),
            "no-sync" => self.no_sync = true,
            "slow-lock" => {
                let seconds = value.and_then(|value| value.parse().ok());
                self.slow_lock = seconds.and_then(|secs| Duration::try_from_secs_f64(secs).ok());
            }
            "clear" => *self = Self::default(),
            _ => eprintln!("warning: no such fault: {line}"),
        }
    }

    /// Both kinds of orders together.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self {
            hang: self.hang || other.hang,
            hang_hard: self.hang_hard || other.hang_hard,
            crash: self.crash.or(other.crash),
            refuse: self.refuse.or(other.refuse),
            alarms: self.alarms.union(&other.alarms).cloned().collect(),
            drift_ppb: self.drift_ppb + other.drift_ppb,
            offset_ns: self.offset_ns + other.offset_ns,
            no_sync: self.no_sync || other.no_sync,
            slow_lock: self.slow_lock.or(other.slow_lock),
        }
    }
}

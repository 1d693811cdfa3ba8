//! How long MokManager waits for a key to be pressed before it drops what it was asked for
//! (`reference/secure-boot-mok.md` sections 3 and 4).

use serde::{Deserialize, Serialize};

use super::write::Write;
use crate::secure_boot::variable::Variable;

/// How long, in seconds. Neither the 0 that drops a request without a prompt nor a number below, by
/// which the machine does not boot until somebody answers, can be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct PromptTimeout(i32);

/// Why a number is no such time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}; {}", self.what(), self.why())]
pub struct Unsafe(
    /// The number, in seconds.
    pub i64,
);

impl Unsafe {
    /// What did not happen.
    pub fn what(self) -> String {
        format!("MokManager is not told to wait {} seconds", self.0)
    }

    /// Why.
    pub fn why(self) -> &'static str {
        match self.0 {
            ..0 => {
                "a number below 0 stops every boot until somebody answers at the console, which leaves an unattended node down"
            }
            0 => "0 drops the request without a prompt",
            _ => "shim waits 10 to 32767 seconds",
        }
    }

    /// What to do.
    pub fn fix(self) -> String {
        format!("name 10 to 32767 seconds, or none: {} then", PromptTimeout::DEFAULT.secs())
    }
}

impl PromptTimeout {
    /// Long enough to walk to a console or open one, and short enough for a node to come back by
    /// itself.
    pub const DEFAULT: Self = Self(300);
    /// What shim waits when it is told nothing; less is not worth a prompt.
    pub const SHIMS_OWN: Self = Self(10);
    /// What MokManager can count.
    pub const LONGEST: Self = Self(0x7fff);

    /// This many seconds.
    ///
    /// # Errors
    /// They are fewer than shim's own 10 or more than 32767.
    pub fn new(secs: i64) -> Result<Self, Unsafe> {
        let possible = i64::from(Self::SHIMS_OWN.0)..=i64::from(Self::LONGEST.0);
        let secs_there = i32::try_from(secs).ok().filter(|_| possible.contains(&secs));
        secs_there.map(Self).ok_or(Unsafe(secs))
    }

    /// In seconds.
    pub fn secs(self) -> i32 {
        self.0
    }

    /// What has to be written for it. What shim does by itself is said by no variable, as `mokutil`
    /// has it.
    pub fn write(self) -> Write {
        let data = (self != Self::SHIMS_OWN).then(|| self.0.to_le_bytes().to_vec());
        Write { name: Variable::MOK_TIMEOUT.name.to_owned(), data }
    }
}

impl Default for PromptTimeout {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl TryFrom<i64> for PromptTimeout {
    type Error = Unsafe;

    fn try_from(secs: i64) -> Result<Self, Unsafe> {
        Self::new(secs)
    }
}

impl From<PromptTimeout> for i64 {
    fn from(timeout: PromptTimeout) -> Self {
        Self::from(timeout.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secure_boot::variable::timeout_secs;

    #[test]
    fn only_times_that_end_can_be_said() {
        for secs in [10, 11, 300, 32767] {
            let timeout = PromptTimeout::new(secs).unwrap();
            let write = timeout.write();
            assert_eq!(write.name, "MokTimeout");
            let said = write.data.map(|data| timeout_secs(&data).unwrap());
            assert_eq!(said, (secs != 10).then_some(timeout.secs()));
        }
        assert_eq!(PromptTimeout::default().write().data, Some(vec![44, 1, 0, 0]));
        for (secs, why) in [
            (i64::MIN, "stops every boot"),
            (-1, "stops every boot"),
            (0, "without a prompt"),
            (9, "10 to 32767"),
            (32768, "10 to 32767"),
            (i64::MAX, "10 to 32767"),
        ] {
            let refused = PromptTimeout::new(secs).unwrap_err();
            assert!(refused.to_string().contains(why), "{refused}");
            assert!(refused.what().contains(&secs.to_string()) && refused.fix().contains("300"));
        }
        assert!(serde_json::from_str::<PromptTimeout>("0").is_err());
        assert_eq!(serde_json::to_string(&PromptTimeout::DEFAULT).unwrap(), "300");
    }
}

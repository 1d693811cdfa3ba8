//! Others that steer the system clock, found as the real one finds them: by what runs
//! (reference/sfptpd.md section 8).

use std::fs;

use super::Refused;
use super::configuration::Configuration;
use super::place::Place;

/// What running rivals leave it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rivals {
    /// chronyd runs, whatever it does.
    pub(super) chronyd: bool,
    /// chronyd steers the system clock, so it is the source that must be selected, and the system clock
    /// is not touched.
    pub(super) chronyd_steers: bool,
    /// ntpd runs.
    pub(super) ntpd: bool,
}

impl Rivals {
    /// Looks for them.
    ///
    /// # Errors
    /// One that leaves no way to run.
    pub(super) fn look(place: &Place, configuration: &Configuration) -> Result<Self, Refused> {
        let mut found = Self::default();
        for entry in fs::read_dir(place.below("/proc")).into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_none_or(|name| name.parse::<u32>().is_err()) {
                continue;
            }
            let Ok(comm) = fs::read_to_string(entry.path().join("comm")) else { continue };
            match comm.trim_end() {
                // The kernel keeps 15 letters of a name.
                "systemd-timesyn" | "systemd-timesyncd" => {
                    let said = "systemd-timesyncd is running and adjusts the system clock";
                    return Err(Refused::new(Refused::EPROTONOSUPPORT, said));
                }
                "chronyd" => {
                    let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
                    let mut words = line.split(|byte| *byte == 0);
                    found.chronyd = true;
                    found.chronyd_steers |= !words.any(|word| word.starts_with(b"-x"));
                }
                "ntpd" => found.ntpd = true,
                _ => {}
            }
        }
        if configuration.steers_system_clock() {
            if found.ntpd {
                let said = "ntpd is controlling the system clock";
                return Err(Refused::new(Refused::EBUSY, said));
            }
            let ignored = configuration.list("ignore_critical").contains("clock-control-conflict");
            if found.chronyd_steers && !ignored {
                let said = "chronyd is controlling the system clock, which is to be steered";
                return Err(Refused::new(Refused::EOPNOTSUPP, said));
            }
        }
        Ok(found)
    }
}

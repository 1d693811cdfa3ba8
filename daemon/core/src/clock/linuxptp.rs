//! What ptp4l says on its management socket: frames out, frames in (reference/sfptpd.md section 10).

use serde::{Deserialize, Serialize};

mod frame;
pub mod settings;
#[cfg(test)]
mod tests;

pub use frame::{Answer, ClockIdentity, ManagementId, Question, Said, parse, request};

/// Most ports of a ptp4l that are looked at: more than a machine has.
pub const MOST_PORTS: u16 = 64;

/// What a ptp4l says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Ptp4l {
    /// Its identity, as `pmc` prints it: `aabbcc.fffe.ddeeff`.
    pub clock_identity: String,
    /// Domain.
    pub domain: u8,
    /// Steps from the grandmaster (CURRENT_DATA_SET).
    pub steps_removed: u16,
    /// Offset from its master, in nanoseconds (TIME_STATUS_NP).
    pub master_offset_ns: Option<i64>,
    /// Mean path delay, in nanoseconds (CURRENT_DATA_SET).
    pub path_delay_ns: Option<i64>,
    /// Whether there is a grandmaster other than itself (TIME_STATUS_NP).
    pub has_grandmaster: bool,
    /// The grandmaster's identity.
    pub grandmaster: String,
    /// Its class (PARENT_DATA_SET).
    pub grandmaster_class: u8,
    /// Seconds that TAI is ahead of UTC, where that is valid (TIME_PROPERTIES_DATA_SET).
    pub utc_offset: Option<i16>,
    /// States of its ports, from port 1 (PORT_DATA_SET).
    pub ports: Vec<PtpPort>,
}

/// A port of a ptp4l.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PtpPort {
    /// Its state.
    pub state: PortState,
    /// Its interface, where ptp4l tells (PORT_PROPERTIES_NP).
    pub interface: Option<String>,
    /// Whether hardware stamps its packets, where ptp4l tells (PORT_PROPERTIES_NP).
    pub hardware_stamps: Option<bool>,
    /// The index of its hardware clock, where ptp4l tells (PORT_HWCLOCK_NP); none with software time
    /// stamps.
    pub hardware_clock: Option<u32>,
}

/// State of a PTP port, by its number on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PortState {
    /// 1.
    #[default]
    Initializing,
    /// 2.
    Faulty,
    /// 3.
    Disabled,
    /// 4.
    Listening,
    /// 5.
    PreMaster,
    /// 6.
    Master,
    /// 7.
    Passive,
    /// 8.
    Uncalibrated,
    /// 9.
    Slave,
    /// 10, an extension.
    GrandMaster,
}

impl PortState {
    /// The state by its number on the wire.
    pub fn of(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Initializing,
            2 => Self::Faulty,
            3 => Self::Disabled,
            4 => Self::Listening,
            5 => Self::PreMaster,
            6 => Self::Master,
            7 => Self::Passive,
            8 => Self::Uncalibrated,
            9 => Self::Slave,
            10 => Self::GrandMaster,
            _ => return None,
        })
    }
}

impl Ptp4l {
    /// Adds what an answer says.
    pub fn take(&mut self, answer: Answer) {
        match answer.said {
            Said::Default { ports, identity, domain } => {
                self.clock_identity = identity.to_string();
                self.domain = domain;
                self.ports.resize_with(ports.min(MOST_PORTS).into(), PtpPort::default);
            }
            Said::Current { steps_removed, path_delay_ns } => {
                self.steps_removed = steps_removed;
                self.path_delay_ns = Some(path_delay_ns);
            }
            Said::Parent { grandmaster, class } => {
                self.grandmaster = grandmaster.to_string();
                self.grandmaster_class = class;
            }
            Said::TimeProperties { utc_offset } => self.utc_offset = utc_offset,
            Said::TimeStatus { offset_ns, has_grandmaster, grandmaster } => {
                self.master_offset_ns = Some(offset_ns);
                self.has_grandmaster = has_grandmaster;
                self.grandmaster = grandmaster.to_string();
            }
            Said::Port { state } => {
                if let (Some(port), Some(state)) = (self.port(answer.port), PortState::of(state)) {
                    port.state = state;
                }
            }
            Said::PortProperties { hardware_stamps, interface } => {
                if let Some(port) = self.port(answer.port) {
                    port.hardware_stamps = Some(hardware_stamps);
                    port.interface = Some(interface);
                }
            }
            Said::PortHardwareClock { index } => {
                if let Some(port) = self.port(answer.port) {
                    port.hardware_clock = index;
                }
            }
            // Older versions know less: what it has not said stays as it is.
            Said::Refused(_) => {}
        }
    }

    /// A port by its number, from 1; none for one that the clock has not told of.
    fn port(&mut self, number: u16) -> Option<&mut PtpPort> {
        self.ports.get_mut(usize::from(number).checked_sub(1)?)
    }
}

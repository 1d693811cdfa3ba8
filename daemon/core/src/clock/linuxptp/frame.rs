//! Management messages of PTP version 2, and what ptp4l adds to them (reference/sfptpd.md section 10).

use crate::secure_boot::Damaged;

/// What ptp4l is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ManagementId {
    /// Identity, domain and how many ports.
    DefaultDataSet,
    /// Distance from the grandmaster.
    CurrentDataSet,
    /// Whom it follows, and the grandmaster.
    ParentDataSet,
    /// UTC and leap seconds.
    TimePropertiesDataSet,
    /// State of a port.
    PortDataSet,
    /// Offset from the master.
    TimeStatus,
    /// Interface of a port, and who stamps its packets.
    PortProperties,
    /// Hardware clock of a port; since version 4.
    PortHardwareClock,
}

/// A question (a GET).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// What for.
    pub id: ManagementId,
    /// Number by which the answer is known again.
    pub sequence: u16,
    /// The domain of whoever is asked; others are deaf to it.
    pub domain: u8,
    /// The same for its `transportSpecific`, 0 to 15: 1 for the profile of IEEE 802.1AS.
    pub transport_specific: u8,
    /// Port, from 1; none: the clock, or all ports.
    pub port: Option<u16>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The question's number.
    pub sequence: u16,
    /// Port that answers; 0 for the clock as a whole.
    pub port: u16,
    /// What it says.
    pub said: Said,
}

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// To [`ManagementId::DefaultDataSet`].
    Default {
        /// Ports, beside that of the socket.
        ports: u16,
        /// Its identity.
        identity: ClockIdentity,
        /// Its domain.
        domain: u8,
    },
    /// To [`ManagementId::CurrentDataSet`].
    Current {
        /// Steps from the grandmaster.
        steps_removed: u16,
        /// In nanoseconds.
        path_delay_ns: i64,
    },
    /// To [`ManagementId::ParentDataSet`].
    Parent {
        /// The grandmaster.
        grandmaster: ClockIdentity,
        /// Its class.
        class: u8,
    },
    /// To [`ManagementId::TimePropertiesDataSet`].
    TimeProperties {
        /// Seconds that TAI is ahead of UTC, where it is valid.
        utc_offset: Option<i16>,
    },
    /// To [`ManagementId::PortDataSet`].
    Port {
        /// State by its number.
        state: u8,
    },
    /// To [`ManagementId::TimeStatus`].
    TimeStatus {
        /// In nanoseconds.
        offset_ns: i64,
        /// Whether there is a grandmaster other than itself.
        has_grandmaster: bool,
        /// The grandmaster.
        grandmaster: ClockIdentity,
    },
    /// To [`ManagementId::PortProperties`].
    PortProperties {
        /// Whether hardware stamps its packets.
        hardware_stamps: bool,
        /// Its interface.
        interface: String,
    },
    /// To [`ManagementId::PortHardwareClock`].
    PortHardwareClock {
        /// Its index; none where there is no such clock.
        index: Option<u32>,
    },
    /// It does not answer that, for this reason by number: older versions know less.
    Refused(u16),
}

/// Identity of a clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockIdentity(pub [u8; 8]);

/// Header of a message, and what a management message has before its value.
const HEADER: usize = 34;
const VALUE: usize = 48;
/// Kind, length and id of a value.
const TLV_HEAD: usize = 6;
const MANAGEMENT: u8 = 0x0d;
const VERSION: u8 = 2;
const CONTROL_MANAGEMENT: u8 = 4;
/// What stands there in messages that are sent once.
const NO_INTERVAL: u8 = 0x7f;
const ACTION_RESPONSE: u8 = 2;
const TLV_MANAGEMENT: u16 = 1;
const TLV_ERROR: u16 = 2;
/// Of the flags of time properties: the offset from UTC is valid.
const UTC_VALID: u8 = 1 << 2;
/// Longest name of an interface.
const INTERFACE: usize = 15;

impl ManagementId {
    /// All of them, in the order in which they are asked.
    pub const ALL: [Self; 8] = [
        Self::DefaultDataSet,
        Self::CurrentDataSet,
        Self::ParentDataSet,
        Self::TimePropertiesDataSet,
        Self::TimeStatus,
        Self::PortDataSet,
        Self::PortProperties,
        Self::PortHardwareClock,
    ];

    /// Its number.
    pub fn number(self) -> u16 {
        match self {
            Self::DefaultDataSet => 0x2000,
            Self::CurrentDataSet => 0x2001,
            Self::ParentDataSet => 0x2002,
            Self::TimePropertiesDataSet => 0x2003,
            Self::PortDataSet => 0x2004,
            Self::TimeStatus => 0xc000,
            Self::PortProperties => 0xc004,
            Self::PortHardwareClock => 0xc009,
        }
    }

    /// Whether each port is asked by itself.
    pub fn is_of_ports(self) -> bool {
        match self {
            Self::PortDataSet | Self::PortProperties | Self::PortHardwareClock => true,
            Self::DefaultDataSet
            | Self::CurrentDataSet
            | Self::ParentDataSet
            | Self::TimePropertiesDataSet
            | Self::TimeStatus => false,
        }
    }
}

impl std::fmt::Display for ClockIdentity {
    /// As `pmc` prints it: `aabbcc.fffe.ddeeff`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d, e, g, h, i] = self.0;
        write!(f, "{a:02x}{b:02x}{c:02x}.{d:02x}{e:02x}.{g:02x}{h:02x}{i:02x}")
    }
}

/// A question as it goes over the wire.
pub fn request(question: &Question) -> Vec<u8> {
    let length = u16::try_from(VALUE + TLV_HEAD).unwrap_or_default();
    let mut frame = Vec::with_capacity(VALUE + TLV_HEAD);
    frame.extend([question.transport_specific << 4 | MANAGEMENT, VERSION]);
    frame.extend(length.to_be_bytes());
    frame.extend([question.domain, 0]);
    // Flags, correction, reserved.
    frame.extend([0; 14]);
    // We are no clock: identity 0, port 1.
    frame.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    frame.extend(question.sequence.to_be_bytes());
    frame.extend([CONTROL_MANAGEMENT, NO_INTERVAL]);
    // To any clock; the socket has one behind it.
    frame.extend([0xff; 8]);
    frame.extend(question.port.unwrap_or(u16::MAX).to_be_bytes());
    // Hops, hops, GET, reserved.
    frame.extend([0; 4]);
    frame.extend(TLV_MANAGEMENT.to_be_bytes());
    frame.extend(2_u16.to_be_bytes());
    frame.extend(question.id.number().to_be_bytes());
    frame
}

/// An answer as it came over the wire.
///
/// # Errors
/// Where it is not one to any [`Question`].
pub fn parse(bytes: &[u8]) -> Result<Answer, Damaged> {
    let frame = Frame(bytes);
    let [first, version] = frame.array(0)?;
    frame.check(first & 0x0f == MANAGEMENT, 0, "a management message")?;
    frame.check(version & 0x0f == VERSION, 1, "version 2 of PTP")?;
    let length = usize::from(frame.u16(2)?);
    // What stands behind it is padding.
    let inside = bytes.get(..length).ok_or(Damaged { offset: 2, expected: "a whole message" })?;
    let frame = Frame(inside);
    let port = frame.u16(28)?;
    let sequence = frame.u16(30)?;
    let [action] = frame.array(HEADER + 12)?;
    frame.check(action & 0x0f == ACTION_RESPONSE, HEADER + 12, "an answer")?;
    let (kind, length) = (frame.u16(VALUE)?, usize::from(frame.u16(VALUE + 2)?));
    let (id, value) = (frame.u16(VALUE + 4)?, VALUE + TLV_HEAD);
    if kind == TLV_ERROR {
        return Ok(Answer { sequence, port, said: Said::Refused(id) });
    }
    frame.check(kind == TLV_MANAGEMENT, VALUE, "a management value")?;
    let end = (VALUE + 4).saturating_add(length);
    let inside = inside.get(..end).ok_or(Damaged { offset: VALUE + 2, expected: "its value" })?;
    let id = ManagementId::ALL.into_iter().find(|known| known.number() == id);
    let id = id.ok_or(Damaged { offset: VALUE + 4, expected: "what was asked for" })?;
    Ok(Answer { sequence, port, said: value_of(id, Frame(inside), value)? })
}

fn value_of(id: ManagementId, frame: Frame<'_>, at: usize) -> Result<Said, Damaged> {
    Ok(match id {
        ManagementId::DefaultDataSet => Said::Default {
            ports: frame.u16(at + 2)?,
            identity: frame.identity(at + 10)?,
            domain: frame.u8(at + 18)?,
        },
        ManagementId::CurrentDataSet => Said::Current {
            steps_removed: frame.u16(at)?,
            // In 2^-16 ns.
            path_delay_ns: frame.i64(at + 10)? >> 16,
        },
        ManagementId::ParentDataSet => {
            Said::Parent { grandmaster: frame.identity(at + 24)?, class: frame.u8(at + 19)? }
        }
        ManagementId::TimePropertiesDataSet => {
            let [high, low, flags] = frame.array(at)?;
            let offset = i16::from_be_bytes([high, low]);
            Said::TimeProperties { utc_offset: (flags & UTC_VALID != 0).then_some(offset) }
        }
        ManagementId::PortDataSet => Said::Port { state: frame.u8(at + 10)? },
        ManagementId::TimeStatus => Said::TimeStatus {
            offset_ns: frame.i64(at)?,
            has_grandmaster: frame.array::<4>(at + 38)? != [0; 4],
            grandmaster: frame.identity(at + 42)?,
        },
        ManagementId::PortProperties => {
            // 0 is software; the others are ways of hardware.
            let (stamps, length) = (frame.u8(at + 11)?, usize::from(frame.u8(at + 12)?));
            let name = frame.0.get(at + 13..at + 13 + length);
            let name = name.ok_or(Damaged { offset: at + 12, expected: "a name" })?;
            let is_name = |name: &&[u8]| {
                name.len() <= INTERFACE && name.iter().all(|byte| byte.is_ascii_graphic())
            };
            let name = Some(name).filter(is_name).and_then(|name| std::str::from_utf8(name).ok());
            let name = name.ok_or(Damaged { offset: at + 13, expected: "an interface" })?;
            Said::PortProperties { hardware_stamps: stamps != 0, interface: name.to_owned() }
        }
        ManagementId::PortHardwareClock => {
            let index = i32::from_be_bytes(frame.array(at + 10)?);
            Said::PortHardwareClock { index: u32::try_from(index).ok() }
        }
    })
}

/// Bytes read by their place.
#[derive(Clone, Copy)]
struct Frame<'a>(&'a [u8]);

impl Frame<'_> {
    fn array<const N: usize>(self, at: usize) -> Result<[u8; N], Damaged> {
        let bytes = self.0.get(at..).and_then(<[u8]>::first_chunk);
        bytes.copied().ok_or(Damaged { offset: self.0.len(), expected: "more of it" })
    }

    fn u8(self, at: usize) -> Result<u8, Damaged> {
        self.array(at).map(|[byte]| byte)
    }

    fn u16(self, at: usize) -> Result<u16, Damaged> {
        self.array(at).map(u16::from_be_bytes)
    }

    fn i64(self, at: usize) -> Result<i64, Damaged> {
        self.array(at).map(i64::from_be_bytes)
    }

    fn identity(self, at: usize) -> Result<ClockIdentity, Damaged> {
        self.array(at).map(ClockIdentity)
    }

    fn check(self, holds: bool, offset: usize, expected: &'static str) -> Result<(), Damaged> {
        if holds { Ok(()) } else { Err(Damaged { offset, expected }) }
    }
}

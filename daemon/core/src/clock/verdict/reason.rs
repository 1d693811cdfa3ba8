//! Why a clock stands as it does: the CamelCase words of [`super::Verdict::reason`].

/// It is disciplined and near.
pub const SYNCHRONISED: &str = "Synchronised";
/// It is further from what it follows than the bound.
pub const OFFSET_TOO_LARGE: &str = "OffsetTooLarge";
/// sfptpd does not call it in sync, yet or any more.
pub const NOT_IN_SYNC: &str = "NotInSync";
/// Whoever steers it has an alarm.
pub const ALARM: &str = "Alarm";
/// Whoever steers it is on its way to follow somebody, or has given up.
pub const NOT_LOCKED: &str = "NotLocked";
/// There is nobody to follow.
pub const NO_SOURCE: &str = "NoSource";
/// It gives time to others and follows nobody.
pub const MASTER: &str = "Master";
/// chronyd follows the clock that it steers.
pub const FOLLOWS_ITSELF: &str = "FollowsItself";
/// sfptpd follows nobody by its configuration, or for want of anybody.
pub const FREERUN: &str = "Freerun";
/// sfptpd runs, and leaves the clock alone.
pub const NOT_DISCIPLINED: &str = "NotDisciplined";
/// Nobody has told the kernel that it is synchronised.
pub const UNSYNCHRONISED: &str = "Unsynchronised";
/// No program that steers clocks has it.
pub const NOT_STEERED: &str = "NotSteered";
/// It follows clocks that follow it.
pub const CIRCULAR: &str = "Circular";
/// Something that decides could not be read.
pub const UNREADABLE: &str = "Unreadable";
/// Whoever steers it says nothing about it.
pub const SAYS_NOTHING: &str = "SaysNothing";
/// The comparison took longer than the bound.
pub const IMPRECISE: &str = "Imprecise";
/// There is no such clock.
pub const NO_SUCH_CLOCK: &str = "NoSuchClock";
/// Some process has locked it that is no program known here.
pub const LOCKED: &str = "Locked";
/// sfptpd steers it, and has said nothing new for too long.
pub const SILENT: &str = "Silent";

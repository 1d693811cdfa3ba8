//! What chronyd and ptp4l say when they are asked.

use std::collections::BTreeMap;

use onload_core::clock::chrony::Chrony;
use onload_core::clock::daemon::DaemonKind;
use onload_core::clock::linuxptp::{PortState, Ptp4l, PtpPort};
use onload_core::reading::Reading;

use super::super::world::World;
use super::TAI_OFFSET_NS;
use super::program::{Program, Running};

/// Where ptp4l answers unless it is told another place (reference/sfptpd.md section 10).
const SOCKET: &str = "/var/run/ptp4lro";
/// How long ptp4l calibrates its port, in seconds.
const CALIBRATION_S: u64 = 5;
/// What it says of its path, in nanoseconds.
const PATH_DELAY_NS: i64 = 350;
/// Whom everybody follows.
const SERVER: &str = "192.0.2.1";
pub(super) const GRANDMASTER: &str = "000f53.fffe.a10000";
/// Class of a clock that follows a primary reference (IEEE 1588-2019, table 4).
const LOCKED_CLASS: u8 = 6;

impl World {
    pub(super) fn chrony_reading(&self) -> Reading<Chrony> {
        let mut running = self.time.running();
        let Some((one, run)) = running.find(|(one, _)| one.kind == DaemonKind::Chronyd) else {
            return Reading::Absent;
        };
        if run.hangs {
            return Reading::Unreadable("chronyc: 506 Cannot talk to daemon".to_owned());
        }
        if !one.found {
            return Reading::Known(Chrony {
                reference_id: "00000000".to_owned(),
                sources: 1,
                ..Chrony::default()
            });
        }
        Reading::Known(Chrony {
            reference_id: "C0000201".to_owned(),
            source: SERVER.to_owned(),
            stratum: 2,
            offset_ns: self.time.system.now_ns,
            rms_offset_ns: 20_000,
            root_delay_ns: 200_000,
            root_dispersion_ns: 50_000,
            leap: Some(self.time.kernel.leap),
            usable_sources: 1,
            sources: 1,
        })
    }

    pub(super) fn ptp4l_readings(&self) -> BTreeMap<String, Reading<Ptp4l>> {
        let all = self.time.running().filter(|(one, _)| one.kind == DaemonKind::Ptp4l);
        let reading = |(one, run): (&Program, &Running)| {
            let socket = one.told.socket.as_deref().unwrap_or(SOCKET).to_owned();
            let said = match run.hangs {
                true => Reading::Unreadable("it did not answer in its time".to_owned()),
                false => Reading::Known(self.ptp4l(one, run)),
            };
            (socket, said)
        };
        all.map(reading).collect()
    }

    fn ptp4l(&self, one: &Program, run: &Running) -> Ptp4l {
        let state = match (run.lost_clock, one.found) {
            (true, _) => PortState::Faulty,
            (false, false) => PortState::Listening,
            (false, true) if run.worked_s < CALIBRATION_S => PortState::Uncalibrated,
            (false, true) => PortState::Slave,
        };
        let is_slave = state == PortState::Slave;
        let clock = self.clocks.iter().find(|(_, pid)| *pid == run.pid).map(|(index, _)| *index);
        let offset = clock.and_then(|index| self.time.hardware.get(&index));
        let port = |interface: &String| PtpPort {
            state,
            interface: Some(interface.clone()),
            hardware_clock: clock,
            hardware_stamps: Some(clock.is_some()),
        };
        Ptp4l {
            clock_identity: "3cecef.fffe.001001".to_owned(),
            domain: 0,
            steps_removed: u16::from(is_slave),
            master_offset_ns: offset.map(|offset| offset.now_ns).filter(|_| is_slave),
            path_delay_ns: Some(PATH_DELAY_NS).filter(|_| is_slave),
            has_grandmaster: is_slave,
            grandmaster: GRANDMASTER.to_owned(),
            grandmaster_class: LOCKED_CLASS,
            utc_offset: i16::try_from(TAI_OFFSET_NS / 1_000_000_000).ok().filter(|_| is_slave),
            ports: one.told.interfaces.iter().map(port).collect(),
        }
    }
}

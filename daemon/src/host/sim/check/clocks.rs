//! Clocks and the programs that steer them: that the parts fit each other.

use onload_core::clock::daemon::DaemonKind;

use super::super::clocks;
use super::{Check, WorldError};

impl Check<'_> {
    pub(super) fn clocks(&self) -> Result<(), WorldError> {
        self.unique("clock.index", "clock", self.file.clocks.iter().map(|clock| &clock.index))?;
        let ports = self.file.cards.iter().flat_map(|card| &card.ports);
        for phc in ports.filter_map(|port| port.phc.as_ref()) {
            if !self.file.clocks.iter().any(|clock| clock.index.get_ref() == phc.get_ref()) {
                let why = format!("there is no clock {}", phc.get_ref());
                let allowed = "the index of a `[[clock]]`";
                return self.fail(Some(phc.span()), "card.port.phc", why, allowed);
            }
        }
        Ok(())
    }

    pub(super) fn clock_programs(&self) -> Result<(), WorldError> {
        let programs = &self.file.clock_programs;
        let units = programs.iter().filter_map(|program| program.unit.as_ref());
        let containers = programs.iter().filter_map(|program| program.container.as_ref());
        self.unique("clock-program.unit", "unit", units.clone())?;
        self.unique("clock-program.container", "container", containers)?;
        if let Some(unit) = units.clone().find(|unit| !unit.get_ref().ends_with(".service")) {
            let why = format!("`{}` is not the name of a service", unit.get_ref());
            let allowed = "a name such as chronyd.service";
            return self.fail(Some(unit.span()), "clock-program.unit", why, allowed);
        }
        for program in programs {
            let here = Some(program.kind.span());
            let kind = *program.kind.get_ref();
            if program.unit.is_some() == program.container.is_some() {
                let why = format!("{kind} is of one place");
                return self.fail(here, "clock-program.unit", why, "either `unit` or `container`");
            }
            if program.container.is_some() && program.restart_after.is_some() {
                let why = format!("{kind} is in a container, which systemd does not restart");
                return self.fail(here, "clock-program.restart-after", why, "only with `unit`");
            }
            let of_sfptpd = program.configuration.as_ref().or(program.version.as_ref());
            if let (Some(text), false) = (of_sfptpd, kind == DaemonKind::Sfptpd) {
                let why = format!("what {kind} is configured with is not played");
                let allowed = "only with kind = \"sfptpd\"";
                return self.fail(Some(text.span()), "clock-program.configuration", why, allowed);
            }
            let Some(text) = &program.configuration else { continue };
            if let Err(fault) = clocks::judge(text.get_ref()) {
                let why = format!("in it, {fault}");
                let key = "clock-program.configuration";
                return self.fail(Some(text.span()), key, why, fault.fix);
            }
        }
        Ok(())
    }
}

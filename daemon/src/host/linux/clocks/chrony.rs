//! What chronyd says, asked by its own program over the loopback interface: at its socket it would have to be
//! asked as its own user.

use std::time::Duration;

use onload_core::clock::chrony::{self, Chrony};
use onload_core::reading::Reading;

use super::daemons::Process;
use super::{Machine, attribute};
use crate::host::linux::runner::Program;

/// It answers in a millisecond, or not at all: chronyc itself would try for seven seconds.
const LIMIT: Duration = Duration::from_secs(2);

/// Asks the one that runs; of several, one that can be reached.
pub(super) async fn read<'a>(
    machine: &Machine<'_>,
    running: impl Iterator<Item = &'a Process>,
) -> Reading<Chrony> {
    let mut running: Vec<_> = running.collect();
    running.sort_by_key(|process| process.elsewhere);
    let Some(process) = running.first() else { return Reading::Absent };
    let asked = async {
        if process.elsewhere {
            return Reading::Unreadable(
                "chronyd runs in another network namespace, where it cannot be asked".to_owned(),
            );
        }
        ask(machine, process.daemon.told.command_port).await
    };
    machine.ask("chronyc.csv", asked).await.and_then(attribute::text).and_then(|text| {
        let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
        match chrony::tracking(first) {
            Ok(chrony) => Reading::Known(chrony.with_sources(rest)),
            Err(damaged) => Reading::Unreadable(format!("chronyc's answer: {damaged}")),
        }
    })
}

async fn ask(machine: &Machine<'_>, port: Option<u16>) -> Reading<Vec<u8>> {
    if port == Some(0) {
        return Reading::Unreadable(
            "chronyd answers no questions over loopback: its configuration has `cmdport 0`"
                .to_owned(),
        );
    }
    let mut arguments: Vec<_> = ["-h", "127.0.0.1"].map(str::to_owned).into();
    if let Some(port) = port {
        arguments.extend(["-p".to_owned(), port.to_string()]);
    }
    arguments.extend(["-c", "-n", "-m", "tracking", "sources"].map(str::to_owned));
    let program = Program {
        unit: "onloadd-chronyc.service".to_owned(),
        description: "What chronyd says of the system clock".to_owned(),
        name: "chronyc",
        arguments,
        environment: Vec::new(),
        path: Vec::new(),
    };
    match machine.programs.run_briefly(&program, LIMIT).await {
        Ok(ended) if ended.success => Reading::Known(ended.output.into_bytes()),
        Ok(ended) => {
            let said: String =
                ended.output.trim().chars().filter(|c| !c.is_control()).take(200).collect();
            Reading::Unreadable(format!("chronyc says: {said}"))
        }
        Err(error) => Reading::Unreadable(error.to_string()),
    }
}

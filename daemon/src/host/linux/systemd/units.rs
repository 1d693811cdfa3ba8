//! Units started and stopped, each waited for until systemd has done with it.

use onload_core::step::{Outcome, StepError};

use super::{
    DESTINATION, GRACE, MANAGER, MANAGER_PATH, NO_SUCH_UNIT, STOP_LIMIT, Systemd, is_booted,
    is_named,
};

impl Systemd {
    /// Starts a unit and waits until it has started.
    ///
    /// # Errors
    /// systemd's answer.
    pub(in super::super) async fn start(&self, unit: &str) -> Result<Outcome, StepError> {
        // What had failed too often is refused until that is forgotten; whoever has it started knows of it.
        if is_booted("units are started").is_ok() {
            self.forget_failures(unit).await;
        }
        self.have("StartUnit", unit, "started").await
    }

    /// Starts a unit anew and waits until it has started.
    ///
    /// # Errors
    /// systemd's answer.
    pub(in super::super) async fn restart(&self, unit: &str) -> Result<Outcome, StepError> {
        self.have("RestartUnit", unit, "started anew").await
    }

    /// Stops a unit and waits until it has stopped. One that is not there has.
    ///
    /// # Errors
    /// systemd's answer.
    pub(in super::super) async fn stop(&self, unit: &str) -> Result<Outcome, StepError> {
        self.have("StopUnit", unit, "stopped").await
    }

    /// Best effort: a unit that has not failed has nothing to forget.
    async fn forget_failures(&self, unit: &str) {
        let work = async {
            let manager = self.reach().await?;
            let (bus, body) = (&manager.bus, &(unit,));
            bus.call_method(Some(DESTINATION), MANAGER_PATH, Some(MANAGER), "ResetFailedUnit", body)
                .await
        };
        let _ = tokio::time::timeout(GRACE, work).await;
    }

    async fn have(&self, method: &str, unit: &str, done: &str) -> Result<Outcome, StepError> {
        is_booted(&format!("units are {done}"))?;
        let work = async {
            // Not kept: what it is told of this unit, others may cause.
            let mut manager = self.reach().await?;
            let job = manager.call(method, unit, &(unit, "replace")).await?;
            manager.result(|ended| ended.job == job).await
        };
        match tokio::time::timeout(STOP_LIMIT, work).await {
            Ok(Ok(result)) => became(unit, &result, done),
            Ok(Err(error)) if method == "StopUnit" && is_named(&error, NO_SUCH_UNIT) => {
                Ok(Outcome::Unchanged)
            }
            Ok(Err(error)) => {
                Err(StepError::Failed(format!("unit {unit} was not {done}: systemd says: {error}")))
            }
            // One that starts slowly is on its way, and the next look tells.
            Err(_) if method != "StopUnit" => Err(StepError::Failed(format!(
                "unit {unit} is not {done} after {} s",
                STOP_LIMIT.as_secs()
            ))),
            Err(_) => Err(StepError::Stuck { limit_secs: STOP_LIMIT.as_secs() }),
        }
    }
}

/// What became of a unit that was to be started or stopped.
pub(super) fn became(unit: &str, result: &str, done: &str) -> Result<Outcome, StepError> {
    match result {
        "done" => Ok(Outcome::Changed),
        _ => Err(StepError::Failed(format!(
            "unit {unit} was not {done} (systemd says `{result}`); `systemctl status {unit}` has more"
        ))),
    }
}

//! What systemd is asked: how units stand. And that it read their files anew.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use onload_core::clock::unit::{Active, Ended, Unit};
use onload_core::reading::Reading;
use onload_core::step::StepError;
use zbus::{Connection, OwnedObjectPath, OwnedVariant};

use super::{BOOTED, DESTINATION, MANAGER, MANAGER_PATH, Systemd, is_booted};

const SERVICE: &str = "org.freedesktop.systemd1.Service";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
/// An answer takes a millisecond; a systemd that is at something else, as reading all units anew on a busy
/// machine, is asked again with the next look.
const ANSWER: Duration = Duration::from_secs(5);
/// What reading all units anew may take: a second where there are many.
const RELOAD: Duration = Duration::from_secs(60);
/// How a main process has ended, as `ExecMainCode` has it (`CLD_*`, waitid(2)).
const EXITED: i32 = 1;
const KILLED: i32 = 2;
const DUMPED: i32 = 3;

/// What `ListUnitsByNames` says of a unit (`org.freedesktop.systemd1(5)`).
type Listed =
    (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

impl Systemd {
    /// How units stand, by the names they were asked for; with how they ran last where `whole` wants to
    /// know. Absent where systemd does not run.
    pub(in super::super) async fn units(
        &self,
        names: &BTreeSet<String>,
        whole: impl Fn(&str) -> bool,
    ) -> Reading<BTreeMap<String, Unit>> {
        if !Path::new(BOOTED).exists() {
            return Reading::Absent;
        }
        if names.is_empty() {
            return Reading::Known(BTreeMap::new());
        }
        match tokio::time::timeout(ANSWER, self.listed(names, whole)).await {
            Ok(Ok(units)) => Reading::Known(units),
            Ok(Err(error)) => {
                self.asking.take();
                Reading::Unreadable(format!("systemd says: {error}"))
            }
            Err(_) => {
                self.asking.take();
                let limit = ANSWER.as_secs();
                Reading::Unreadable(format!("systemd did not answer within {limit} s"))
            }
        }
    }

    /// Has systemd read the files of all units anew.
    ///
    /// # Errors
    /// systemd's answer.
    pub(in super::super) async fn reload(&self) -> Result<(), StepError> {
        is_booted("units are read anew")?;
        let work = async {
            let bus = self.bus().await?;
            bus.call_method(Some(DESTINATION), MANAGER_PATH, Some(MANAGER), "Reload", &()).await
        };
        let why = match tokio::time::timeout(RELOAD, work).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => format!("systemd says: {error}"),
            Err(_) => format!("systemd did not answer within {} s", RELOAD.as_secs()),
        };
        self.asking.take();
        Err(StepError::Failed(format!("the files of units were not read anew: {why}")))
    }

    async fn listed(
        &self,
        names: &BTreeSet<String>,
        whole: impl Fn(&str) -> bool,
    ) -> zbus::Result<BTreeMap<String, Unit>> {
        let bus = self.bus().await?;
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let manager = Some(MANAGER);
        let reply =
            bus.call_method(Some(DESTINATION), MANAGER_PATH, manager, "ListUnitsByNames", &names);
        let listed: Vec<Listed> = reply.await?.body().deserialize()?;
        let mut units = BTreeMap::new();
        for (name, _, load, active, sub, _, object, ..) in listed {
            let mut unit = Unit {
                installed: load == "loaded",
                active: Active::of(&active).unwrap_or_default(),
                sub,
                ..Unit::default()
            };
            if unit.installed && whole(&name) {
                tell_last(&bus, object.as_str(), &mut unit).await?;
            }
            units.insert(name, unit);
        }
        Ok(units)
    }

    /// The bus, kept: nothing comes on it that was not asked for.
    async fn bus(&self) -> zbus::Result<Connection> {
        let kept = self.asking.borrow().clone().filter(|bus| !bus.is_closed());
        if let Some(bus) = kept {
            return Ok(bus);
        }
        let bus = Connection::system().await?;
        self.asking.replace(Some(bus.clone()));
        Ok(bus)
    }
}

/// How a service ran last: properties of a unit that it alone has.
async fn tell_last(bus: &Connection, object: &str, unit: &mut Unit) -> zbus::Result<()> {
    let get = |property: &'static str| async move {
        let body = (SERVICE, property);
        let reply = bus.call_method(Some(DESTINATION), object, Some(PROPERTIES), "Get", &body);
        reply.await?.body().deserialize::<OwnedVariant>()
    };
    let (result, code, status, main_pid, restarts) = tokio::join!(
        get("Result"),
        get("ExecMainCode"),
        get("ExecMainStatus"),
        get("MainPID"),
        get("NRestarts"),
    );
    unit.result = typed(result?)?;
    let status = typed(status?)?;
    unit.ended = match typed(code?)? {
        EXITED => Some(Ended::Status(status)),
        KILLED | DUMPED => Some(Ended::Signal(status)),
        // It has not ended, or never began.
        _ => None,
    };
    unit.main_pid = Some(typed(main_pid?)?).filter(|pid| *pid != 0);
    unit.restarts = typed(restarts?)?;
    Ok(())
}

fn typed<T: TryFrom<OwnedVariant>>(value: OwnedVariant) -> zbus::Result<T> {
    let other = |_| zbus::Error::Failure("a property of a unit has another type".to_owned());
    T::try_from(value).map_err(other)
}

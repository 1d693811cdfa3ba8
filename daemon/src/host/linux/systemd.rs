//! Loading a module: `modprobe` in a transient unit, so that it runs with what the system manager
//! gives a service and not with what the daemon has, and outlives the daemon. The way through
//! systemd itself is not run by the tests of this package, only the parts that need none.

use std::path::Path;
use std::time::{Duration, Instant};

use onload_core::names::ModuleName;
use onload_core::step::{Outcome, StepError};
use tokio_stream::StreamExt;
use zbus::{Connection, MatchRule, MessageStream, OwnedObjectPath, Variant};

const DESTINATION: &str = "org.freedesktop.systemd1";
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
/// There exactly while systemd is the system manager (`sd_booted(3)`).
const BOOTED: &str = "/run/systemd/system";
/// Fixed, so that no search path decides what runs as root.
const MODPROBE: [&str; 2] = ["/usr/sbin/modprobe", "/sbin/modprobe"];
/// The slowest module takes 0.8 s on an emulated CPU (reference/onload-measured.md section 1), and
/// a card that resets its firmware tens of seconds.
const DEADLINE: Duration = Duration::from_secs(120);
/// What systemd then gives it after SIGTERM, and again after SIGKILL: a load that waits in the
/// kernel heeds neither.
const STOP: Duration = Duration::from_secs(10);
/// What the daemon waits beyond that, for a systemd that is slow itself.
const GRACE: Duration = Duration::from_secs(10);

/// Loads a module with what it depends on. `modprobe` succeeds when the module is loaded already.
pub(super) async fn load(module: &ModuleName) -> Result<Outcome, StepError> {
    if !Path::new(BOOTED).exists() {
        return Err(StepError::Unsupported(format!(
            "modules are loaded through systemd, which does not run here ({BOOTED} is missing)"
        )));
    }
    let Some(modprobe) = MODPROBE.into_iter().find(|path| Path::new(path).exists()) else {
        return Err(StepError::Unsupported("modprobe is not installed in /usr/sbin".to_owned()));
    };
    let unit = unit_name(module);
    let failed = |error: zbus::Error| {
        StepError::Failed(format!(
            "module {module} was not loaded: systemd did not run {unit}: {error}"
        ))
    };
    let started = Instant::now();
    let limit = DEADLINE + STOP + STOP + GRACE;
    match tokio::time::timeout(limit, run(&unit, properties(modprobe, module))).await {
        Ok(result) => outcome(&result.map_err(failed)?, started.elapsed(), &unit, module),
        Err(_) => Err(StepError::Stuck { limit_secs: limit.as_secs() }),
    }
}

/// Starts the unit and waits until systemd has done with it: the result of its job.
async fn run(
    unit: &str,
    properties: Vec<(&'static str, Variant<'static>)>,
) -> zbus::Result<String> {
    let bus = Connection::system().await?;
    let rule = MatchRule::builder()
        .msg_type(zbus::message::Type::Signal)
        .sender(DESTINATION)
        .interface(MANAGER)
        .member("JobRemoved")
        .build()?;
    // Before the start, or a unit that ends at once is missed.
    let mut removed = MessageStream::for_match_rule(rule, &bus, None).await?;
    let manager = Some(MANAGER);
    bus.call_method(Some(DESTINATION), MANAGER_PATH, manager, "Subscribe", &()).await?;
    // "fail": one that still runs from before is not replaced.
    let auxiliary: Vec<(&str, Vec<(&str, Variant<'_>)>)> = Vec::new();
    let start = (unit, "fail", properties, auxiliary);
    let reply = bus
        .call_method(Some(DESTINATION), MANAGER_PATH, manager, "StartTransientUnit", &start)
        .await?;
    let job: OwnedObjectPath = reply.body().deserialize()?;
    while let Some(message) = removed.next().await {
        let message = message?;
        let body = message.body();
        let (_, path, _, result): (u32, OwnedObjectPath, String, String) = body.deserialize()?;
        if path == job {
            return Ok(result);
        }
    }
    Err(zbus::Error::Failure("the bus went away while the unit ran".to_owned()))
}

/// One unit for each module, so that a second load of the same module cannot overlap the first.
fn unit_name(module: &ModuleName) -> String {
    format!("onloadd-load-{module}.service")
}

/// What the unit is. A failed one is forgotten at once, so that its name is free for the next try;
/// its journal stays.
fn properties(modprobe: &str, module: &ModuleName) -> Vec<(&'static str, Variant<'static>)> {
    let command = vec![modprobe.to_owned(), module.to_string()];
    let ignore_failure = false;
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    vec![
        ("Description", Variant::new(format!("Load kernel module {module} for onloadd"))),
        ("Type", Variant::new("oneshot")),
        ("ExecStart", Variant::new(vec![(modprobe.to_owned(), command, ignore_failure)])),
        ("Environment", Variant::new(vec!["LC_ALL=C"])),
        ("TimeoutStartUSec", Variant::new(micros(DEADLINE))),
        ("TimeoutStopUSec", Variant::new(micros(STOP))),
        ("CollectMode", Variant::new("inactive-or-failed")),
    ]
}

/// What the result of the job means (`org.freedesktop.systemd1(5)`, signal JobRemoved). systemd
/// says `failed` too of a unit that it gave up on, so the time tells the two apart.
fn outcome(
    result: &str,
    took: Duration,
    unit: &str,
    module: &ModuleName,
) -> Result<Outcome, StepError> {
    match result {
        "done" => Ok(Outcome::Changed),
        _ if took >= DEADLINE => Err(StepError::Stuck { limit_secs: DEADLINE.as_secs() }),
        _ => Err(StepError::Failed(format!(
            "modprobe did not load module {module} (systemd says `{result}`); \
             `journalctl -u {unit}` has what it said"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_runs_one_command_with_nothing_of_ours() {
        let module = "sfc_char".parse().unwrap();
        assert_eq!(unit_name(&module), "onloadd-load-sfc_char.service");
        let properties = properties("/usr/sbin/modprobe", &module);
        let signature = |name: &str| {
            let property = properties.iter().find(|(key, _)| *key == name);
            property.map(|(_, value)| value.value_signature().to_string())
        };
        assert_eq!(signature("ExecStart").as_deref(), Some("a(sasb)"));
        assert_eq!(signature("Environment").as_deref(), Some("as"));
        assert_eq!(signature("TimeoutStartUSec").as_deref(), Some("t"));
        let shown = format!("{properties:?}");
        assert!(shown.contains("/usr/sbin/modprobe") && shown.contains("LC_ALL=C"), "{shown}");
    }

    #[test]
    fn what_systemd_says_of_the_job_is_what_became_of_the_step() {
        let module = "sfc".parse().unwrap();
        let after = |took, result| outcome(result, took, "onloadd-load-sfc.service", &module);
        let of = |result| after(Duration::from_secs(1), result);
        assert_eq!(of("done"), Ok(Outcome::Changed));
        assert_eq!(after(DEADLINE, "done"), Ok(Outcome::Changed), "late is not stuck");
        assert!(matches!(after(DEADLINE, "failed"), Err(StepError::Stuck { .. })));
        for result in ["failed", "canceled", "dependency", "skipped", "", "new in systemd 300"] {
            let Err(StepError::Failed(text)) = of(result) else { panic!("{result}") };
            assert!(text.contains("journalctl -u onloadd-load-sfc.service"), "{text}");
        }
    }
}

//! systemd over its bus: programs in transient units, and units stopped. The way through systemd
//! itself is not run by the tests of this package, only the parts that need none.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use onload_core::step::StepError;
use tokio_stream::StreamExt;
use zbus::{Connection, Fd, MatchRule, MessageStream, OwnedObjectPath, Variant};

use super::runner::{Confined, DEADLINE, STOP, Start, failed};

mod query;
mod units;

const DESTINATION: &str = "org.freedesktop.systemd1";
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const BUS: &str = "org.freedesktop.DBus";
const BUS_PATH: &str = "/org/freedesktop/DBus";
const JOB_REMOVED: &str = "JobRemoved";
/// There exactly while systemd is the system manager (`sd_booted(3)`).
const BOOTED: &str = "/run/systemd/system";
const UNIT_EXISTS: &str = "org.freedesktop.systemd1.UnitExists";
const NO_SUCH_UNIT: &str = "org.freedesktop.systemd1.NoSuchUnit";
/// Which argument of that signal is the unit's name (`org.freedesktop.systemd1(5)`).
const UNIT_ARGUMENT: u8 = 2;
/// What is waited beyond a unit's own limits, for a systemd that is slow itself.
const GRACE: Duration = Duration::from_secs(10);
/// How long a unit that stops may take: systemd gives it 90 s by default, and again after SIGKILL.
const STOP_LIMIT: Duration = Duration::from_secs(200);
/// Between two attempts to start a unit whose name is still taken. Its end is heard; this is for
/// one that had ended before we listened and is only not forgotten yet.
const TAKEN: Duration = Duration::from_millis(200);

/// The way to systemd, kept while steps follow one another: to find it anew for each of them costs
/// more than what is then asked.
#[derive(Debug, Default)]
pub(super) struct Systemd {
    kept: RefCell<Option<Manager>>,
    /// For questions: nothing is listened for on it, so nothing queues up.
    asking: RefCell<Option<Connection>>,
}

impl Systemd {
    /// Closes it until it is needed again.
    pub(super) fn rest(&self) {
        self.kept.take();
    }

    /// Runs a program as a transient unit until systemd has done with it; whether it succeeded.
    pub(super) async fn run(&self, start: &Start<'_>) -> Result<bool, StepError> {
        is_booted("programs are run")?;
        let (program, file) = (start.program, start.file()?);
        let limit = DEADLINE + STOP + STOP + GRACE;
        let started = Instant::now();
        let work = async {
            let mut manager = self.reach().await?;
            let result = loop {
                let properties = properties(start, &file)?;
                // "fail": one that still runs from before is not replaced.
                let auxiliary: Vec<(&str, Vec<(&str, Variant<'_>)>)> = Vec::new();
                let body = (program.unit.as_str(), "fail", properties, auxiliary);
                match manager.call("StartTransientUnit", &program.unit, &body).await {
                    Ok(job) => break manager.result(|ended| ended.job == job).await?,
                    // Started by a daemon that was killed: its work is not ours to judge, so it is
                    // done again after it.
                    Err(error) if is_named(&error, UNIT_EXISTS) => {
                        let gone = manager.result(|ended| ended.unit == program.unit);
                        match tokio::time::timeout(TAKEN, gone).await {
                            Ok(Ok(_)) | Err(_) => {}
                            Ok(Err(error)) => return Err(error),
                        }
                    }
                    Err(error) => return Err(error),
                }
            };
            self.kept.replace(Some(manager));
            Ok(result)
        };
        match tokio::time::timeout(limit, work).await {
            Ok(Ok(result)) => succeeded(&result, started.elapsed()),
            Ok(Err(error)) => Err(failed(program, &format!("systemd says: {error}"))),
            Err(_) => Err(StepError::Stuck { limit_secs: limit.as_secs() }),
        }
    }

    /// What was kept, unless it went with a restart of the bus.
    async fn reach(&self) -> zbus::Result<Manager> {
        match self.kept.take().filter(|kept| !kept.bus.is_closed()) {
            Some(manager) => Ok(manager),
            None => Manager::connect().await,
        }
    }
}

fn is_booted(what: &str) -> Result<(), StepError> {
    if Path::new(BOOTED).exists() {
        return Ok(());
    }
    Err(StepError::Unsupported(format!(
        "{what} through systemd, which does not run here ({BOOTED} is missing)"
    )))
}

fn is_named(error: &zbus::Error, wanted: &str) -> bool {
    matches!(error, zbus::Error::MethodError(name, _, _) if name.as_str() == wanted)
}

/// The system manager, and the ends of jobs it was asked for.
#[derive(Debug)]
struct Manager {
    bus: Connection,
    /// Everything that comes: answers, and ends of jobs of the units below. It may queue up between
    /// two calls, so nothing else is listened for.
    heard: MessageStream,
    units: BTreeSet<String>,
}

/// A job that systemd has done with.
struct EndedJob {
    job: OwnedObjectPath,
    unit: String,
    result: String,
}

impl Manager {
    async fn connect() -> zbus::Result<Self> {
        let bus = Connection::system().await?;
        let heard = MessageStream::from(&bus);
        bus.call_method(Some(DESTINATION), MANAGER_PATH, Some(MANAGER), "Subscribe", &()).await?;
        Ok(Self { bus, heard, units: BTreeSet::new() })
    }

    /// Calls what answers with a job of a unit. The end of the job is listened for before, or that of
    /// a unit that ends at once is missed: the bus keeps the order of the two messages, so the answer
    /// to the first is not waited for.
    async fn call<B>(&mut self, method: &str, unit: &str, body: &B) -> zbus::Result<OwnedObjectPath>
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        let (listening, reply) = tokio::join!(
            self.listen(unit),
            self.bus.call_method(Some(DESTINATION), MANAGER_PATH, Some(MANAGER), method, body)
        );
        listening?;
        self.units.insert(unit.to_owned());
        reply?.body().deserialize()
    }

    /// Has the bus pass on the ends of a unit's jobs.
    async fn listen(&self, unit: &str) -> zbus::Result<()> {
        if self.units.contains(unit) {
            return Ok(());
        }
        let rule = MatchRule::builder()
            .msg_type(zbus::message::Type::Signal)
            .sender(DESTINATION)
            .interface(MANAGER)
            .member(JOB_REMOVED)
            .arg(UNIT_ARGUMENT, unit)
            .build()?;
        self.bus.call_method(Some(BUS), BUS_PATH, Some(BUS), "AddMatch", &rule).await?;
        Ok(())
    }

    /// The result of the next job that ends and is the one meant.
    async fn result(&mut self, meant: impl Fn(&EndedJob) -> bool) -> zbus::Result<String> {
        while let Some(message) = self.heard.next().await {
            let message = message?;
            let header = message.header();
            if header.member().is_none_or(|member| member.as_str() != JOB_REMOVED) {
                continue;
            }
            let body = message.body();
            let (_, job, unit, result): (u32, OwnedObjectPath, String, String) =
                body.deserialize()?;
            let ended = EndedJob { job, unit, result };
            if meant(&ended) {
                return Ok(ended.result);
            }
        }
        Err(zbus::Error::Failure("the bus went away meanwhile".to_owned()))
    }
}

/// Properties of a unit, as `org.freedesktop.systemd1(5)` has them on the bus.
type Properties = Vec<(&'static str, Variant<'static>)>;

/// What the unit is. A failed one is forgotten at once, so that its name is free for the next try.
fn properties(start: &Start<'_>, file: &str) -> zbus::Result<Properties> {
    let program = start.program;
    let command: Vec<_> =
        std::iter::once(file.to_owned()).chain(program.arguments.iter().cloned()).collect();
    let ignore_failure = false;
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let stream = |file: &File| -> zbus::Result<Variant<'static>> {
        Ok(Variant::Fd(Fd::from(OwnedFd::from(file.try_clone()?))))
    };
    let mut properties = vec![
        ("Description", Variant::new(program.description.clone())),
        ("Type", Variant::new("oneshot")),
        ("ExecStart", Variant::new(vec![(file.to_owned(), command, ignore_failure)])),
        ("Environment", Variant::new(program.variables())),
        ("StandardOutputFileDescriptor", stream(&start.output)?),
        ("StandardErrorFileDescriptor", stream(&start.output)?),
        ("TimeoutStartUSec", Variant::new(micros(DEADLINE))),
        ("TimeoutStopUSec", Variant::new(micros(STOP))),
        ("CollectMode", Variant::new("inactive-or-failed")),
    ];
    if let Some(input) = &start.input {
        properties.push(("StandardInputFileDescriptor", stream(input)?));
    }
    properties.extend(start.confined.map(confinement).unwrap_or_default());
    Ok(properties)
}

/// What a program of our own does without: all but its one place, its capabilities and the usual
/// calls.
fn confinement(confined: &Confined) -> Properties {
    /// What a call beyond them is told (EPERM).
    const REFUSED: i32 = 1;
    /// Namespaces that it may make: none.
    const NONE: u64 = 0;
    const OWNER_ONLY: u32 = 0o077;
    let only = |what: Vec<&'static str>| Variant::new((true, what));
    let places: Vec<_> = confined.writable.iter().map(|place| format!("-{place}")).collect();
    // AF_UNIX: journal.
    let families = if confined.network { vec!["AF_UNIX", "AF_NETLINK"] } else { vec!["AF_UNIX"] };
    let mut properties = vec![
        ("CapabilityBoundingSet", Variant::new(confined.capabilities)),
        ("ProtectSystem", Variant::new("strict")),
        // The hyphen: a place that is not there is the program's to tell.
        ("ReadWritePaths", Variant::new(places)),
        // systemd 252 leaves it out of the above where it mounts /proc anew.
        ("ReadOnlyPaths", Variant::new(vec!["/run"])),
        ("ProtectHome", Variant::new("yes")),
        ("ProtectProc", Variant::new("invisible")),
        ("KeyringMode", Variant::new("private")),
        ("RestrictNamespaces", Variant::new(NONE)),
        ("RestrictAddressFamilies", only(families)),
        ("SystemCallFilter", only(vec!["@system-service"])),
        ("SystemCallErrorNumber", Variant::new(REFUSED)),
        ("SystemCallArchitectures", Variant::new(vec!["native"])),
        ("UMask", Variant::new(OWNER_ONLY)),
        // What it reads is in no image of its memory.
        ("LimitCORE", Variant::new(0_u64)),
        ("PrivateNetwork", Variant::new(!confined.network)),
    ];
    let on = [
        "NoNewPrivileges",
        "PrivateDevices",
        "ProtectKernelTunables",
        "ProtectKernelModules",
        "ProtectKernelLogs",
        "ProtectControlGroups",
        "ProtectClock",
        "ProtectHostname",
        "RestrictRealtime",
        "RestrictSUIDSGID",
        "LockPersonality",
        "MemoryDenyWriteExecute",
    ];
    properties.extend(on.map(|name| (name, Variant::new(true))));
    properties
}

/// Whether the program succeeded, from the result of the job (`org.freedesktop.systemd1(5)`, signal
/// JobRemoved). systemd says `failed` too of a unit that it gave up on, so the time tells the two
/// apart.
fn succeeded(result: &str, took: Duration) -> Result<bool, StepError> {
    match result {
        "done" => Ok(true),
        _ if took >= DEADLINE => Err(StepError::Stuck { limit_secs: DEADLINE.as_secs() }),
        _ => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use onload_core::step::Outcome;

    use super::super::runner::Program;
    use super::units::became;
    use super::*;

    fn program() -> Program {
        Program {
            unit: "onloadd-load-sfc_char.service".to_owned(),
            description: "Load kernel module sfc_char for onloadd".to_owned(),
            name: "modprobe",
            arguments: vec!["sfc_char".to_owned()],
            environment: Vec::new(),
            path: Vec::new(),
        }
    }

    #[test]
    fn the_unit_runs_one_command_with_nothing_of_ours_but_a_place_to_print() {
        let program = program();
        let start = Start::new(&program).unwrap();
        let properties = properties(&start, "/usr/sbin/modprobe").unwrap();
        let signature = |name: &str| {
            let property = properties.iter().find(|(key, _)| *key == name);
            property.map(|(_, value)| value.value_signature().to_string())
        };
        assert_eq!(signature("ExecStart").as_deref(), Some("a(sasb)"));
        assert_eq!(signature("Environment").as_deref(), Some("as"));
        assert_eq!(signature("TimeoutStartUSec").as_deref(), Some("t"));
        assert_eq!(signature("StandardErrorFileDescriptor").as_deref(), Some("h"));
        let shown = format!("{properties:?}");
        assert!(shown.contains("/usr/sbin/modprobe") && shown.contains("LC_ALL=C"), "{shown}");
        assert!(!shown.contains("Protect") && !shown.contains("Input"), "{shown}");
    }

    #[test]
    fn what_is_confined_reads_a_descriptor_and_has_what_it_needs() {
        const SECRET: &str = "correct horse battery staple";
        let program = program();
        let confined = Confined {
            file: "/usr/sbin/onloadd".to_owned(),
            input: SECRET.as_bytes().to_vec(),
            capabilities: 1 << 9,
            writable: vec!["/sys/firmware/efi/efivars".to_owned()],
            network: false,
        };
        let start = Start::confined(&program, &confined).unwrap();
        let properties = properties(&start, &start.file().unwrap()).unwrap();
        let signatures: std::collections::BTreeMap<_, _> = properties
            .iter()
            .map(|(name, value)| (*name, value.value_signature().to_string()))
            .collect();
        assert_eq!(signatures.len(), properties.len(), "each once");
        // As systemd reads each of them.
        for (name, signature) in [
            ("StandardInputFileDescriptor", "h"),
            ("CapabilityBoundingSet", "t"),
            ("ReadWritePaths", "as"),
            ("ReadOnlyPaths", "as"),
            ("ProtectSystem", "s"),
            ("RestrictNamespaces", "t"),
            ("RestrictAddressFamilies", "(bas)"),
            ("SystemCallFilter", "(bas)"),
            ("SystemCallErrorNumber", "i"),
            ("SystemCallArchitectures", "as"),
            ("UMask", "u"),
            ("LimitCORE", "t"),
            ("PrivateNetwork", "b"),
        ] {
            assert_eq!(signatures[name], signature, "{name}");
        }
        let shown = format!("{properties:?} {start:?}");
        let numbers = format!("{:?}", SECRET.as_bytes());
        assert!(shown.contains("-/sys/firmware/efi/efivars"), "{shown}");
        assert!(!shown.contains(SECRET) && !shown.contains(numbers.trim_matches(['[', ']'])));
        assert!(shown.contains(r#"("PrivateNetwork", Bool(true))"#), "{shown}");
        assert!(!shown.contains("AF_NETLINK"), "{shown}");
        let shown = format!("{:?}", confinement(&Confined { network: true, ..confined }));
        assert!(shown.contains(r#"("PrivateNetwork", Bool(false))"#), "{shown}");
        assert!(shown.contains("AF_NETLINK"), "{shown}");
    }

    #[test]
    fn what_systemd_says_of_the_job_is_what_became_of_the_program() {
        let of = |result| succeeded(result, Duration::from_secs(1));
        assert_eq!(of("done"), Ok(true));
        assert_eq!(succeeded("done", DEADLINE), Ok(true), "late is not stuck");
        assert!(matches!(succeeded("failed", DEADLINE), Err(StepError::Stuck { .. })));
        for result in ["failed", "canceled", "dependency", "skipped", "", "new in systemd 300"] {
            assert_eq!(of(result), Ok(false), "{result}");
            let Err(StepError::Failed(text)) = became("a.service", result, "stopped") else {
                panic!("{result}")
            };
            assert!(text.contains("systemctl status a.service"), "{text}");
        }
        assert_eq!(became("a.service", "done", "stopped"), Ok(Outcome::Changed));
    }

    #[test]
    fn an_error_of_systemd_is_known_by_its_name() {
        let reply = zbus::Message::method_call("/", "Ping").build(&()).unwrap();
        let error = |name: &'static str| {
            let name = zbus::names::ErrorName::try_from(name).unwrap();
            zbus::Error::MethodError(name.into(), None, reply.clone())
        };
        assert!(is_named(&error(UNIT_EXISTS), UNIT_EXISTS));
        assert!(!is_named(&error(NO_SUCH_UNIT), UNIT_EXISTS));
        assert!(!is_named(&zbus::Error::Failure(String::new()), UNIT_EXISTS));
    }
}

//! The process: how it starts, what it does again and again, how it ends.

use std::cell::{Cell, RefCell};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use nix::fcntl::{Flock, FlockArg};
use nix::unistd::{Uid, User, chown, setgid, setgroups, setuid};
use tokio::net::{UnixDatagram, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;

use super::Refused;
use super::arguments::Arguments;
use super::clocks::Clocks;
use super::configuration::Configuration;
use super::engine::Engine;
use super::fault::Faults;
use super::metrics::Answers;
use super::place::Place;
use super::rivals::Rivals;
use super::samples::{Kept, Sample};
use super::state::StateDirectory;

/// Longest time between two looks at faults and clocks.
const PACE: Duration = Duration::from_millis(250);
/// Longest command it takes (reference/sfptpd.md section 5).
const COMMAND_BYTES: usize = 127;

/// Runs it to its end.
pub(super) fn run(words: impl Iterator<Item = String>) -> Result<(), Refused> {
    let words: Vec<String> = words.collect();
    let arguments = Arguments::read(words.iter().cloned())?;
    if let Some(said) = &arguments.only_say {
        println!("{said}");
        return Ok(());
    }
    let place = Place::from_environment();
    let started = start(&place, &arguments, &words);
    if let Err(refused) = &started {
        tell_systemd(&format!("ERRNO={}", refused.errno));
    }
    let Some(service) = started? else { return Ok(()) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| refused(&"no runtime", &error))?;
    LocalSet::new().block_on(&runtime, service.serve())
}

/// What has started.
struct Service {
    place: Place,
    configuration: Configuration,
    engine: Engine,
    state: StateDirectory,
    logs: Logs,
    /// By orders of the control socket; those of the file come beside.
    faults: Faults,
    control: PathBuf,
    metrics: Option<PathBuf>,
    user: Option<User>,
    _lock: Option<Flock<File>>,
}

/// Reads the configuration, and takes all it needs. None where there is nothing more to do.
fn start(
    place: &Place,
    arguments: &Arguments,
    words: &[String],
) -> Result<Option<Service>, Refused> {
    let text = match arguments.file.as_deref() {
        None => String::new(),
        Some("-") => {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).map_err(|error| refused(&"stdin", &error))?;
            text
        }
        Some(file) => fs::read_to_string(file).map_err(|error| refused(&file, &error))?,
    };
    let configuration = Configuration::read(&text, arguments.interface.as_deref())?;
    if arguments.test {
        println!("configuration ok");
        return Ok(None);
    }
    let faults = Faults::read(&place.faults);
    if let Some(errno) = faults.refuse {
        return Err(Refused::new(errno, "told to refuse"));
    }
    if arguments.daemon.unwrap_or(configuration.is_on("daemon", false)) {
        let program = std::env::current_exe().map_err(|error| refused(&"sfptpd", &error))?;
        let words = words.iter().filter(|word| *word != "--daemon");
        let mut child = std::process::Command::new(program);
        let spawned = child.args(words).arg("--no-daemon").process_group(0).spawn();
        return spawned.map(|_| None).map_err(|error| refused(&"sfptpd", &error));
    }
    let user = match arguments.user.as_deref().or(configuration.general("user")) {
        Some(name) if Uid::effective().is_root() => {
            let name = name.split(':').next().unwrap_or_default();
            let user = User::from_name(name).ok().flatten();
            let unknown = || Refused::new(Refused::ENOENT, format!("no such user: {name}"));
            Some(user.ok_or_else(unknown)?)
        }
        Some(_) | None => None,
    };
    let _ = fs::create_dir_all(place.below("/run"));
    let lock = if arguments.no_lock || !configuration.is_on("lock", true) {
        None
    } else {
        let file = place.below("/run/ptp-clockid-0000.lock");
        let file = File::create(&file).map_err(|error| refused(&file.display(), &error))?;
        let locked = Flock::lock(file, FlockArg::LockExclusiveNonblock);
        let told = |_| Refused::new(Refused::EAGAIN, "another sfptpd runs on this machine");
        Some(locked.map_err(told)?)
    };
    let rivals = Rivals::look(place, &configuration)?;
    let steer = configuration.steers_system_clock() && !rivals.chronyd_steers;
    let clocks = Clocks::open(place, &configuration, steer)?;
    let run = place.below(place.run_directory(&configuration));
    let directory = place.below(place.state_directory(&configuration));
    let made = || -> io::Result<StateDirectory> {
        if !place.old {
            fs::create_dir_all(&run)?;
            link(&run);
        }
        let state = StateDirectory::make(directory.clone(), &configuration.effective)?;
        link(&directory);
        Ok(state)
    };
    let state = made().map_err(|error| refused(&directory.display(), &error))?;
    let path = |option: &str| {
        let given = configuration.general(option).filter(|path| path.starts_with('/'));
        given.map(|path| place.below(path))
    };
    let logs = Logs::open(path("stats_log"), path("json_stats"))?;
    let engine = Engine::new(place, &configuration, clocks, rivals);
    Ok(Some(Service {
        control: place.below(place.control(&configuration)),
        metrics: place.metrics(&configuration).map(|metrics| place.below(metrics)),
        place: place.clone(),
        configuration,
        engine,
        state,
        logs,
        faults: Faults::default(),
        user,
        _lock: lock,
    }))
}

impl Service {
    async fn serve(mut self) -> Result<(), Refused> {
        let bound = |path: &Path, error: &io::Error| refused(&path.display(), error);
        let _ = fs::remove_file(&self.control);
        if let Some(directory) = self.control.parent() {
            fs::create_dir_all(directory).map_err(|error| bound(directory, &error))?;
        }
        let control =
            UnixDatagram::bind(&self.control).map_err(|error| bound(&self.control, &error))?;
        self.mode("control_socket_mode", &self.control);
        let answers = Answers {
            kept: Rc::new(RefCell::new(Kept::default())),
            prefix: self.configuration.general("openmetrics_prefix").unwrap_or_default().to_owned(),
            hanging: Rc::new(Cell::new(false)),
        };
        if let Some(path) = &self.metrics {
            let _ = fs::remove_file(path);
            let listener = UnixListener::bind(path).map_err(|error| bound(path, &error))?;
            self.mode("metrics_socket_mode", path);
            tokio::task::spawn_local(answers.clone().serve(listener));
        }
        self.drop_privileges()?;
        let listen = |kind| signal(kind).map_err(|error| refused(&"signals", &error));
        let mut terminate = listen(SignalKind::terminate())?;
        let mut interrupt = listen(SignalKind::interrupt())?;
        let mut hangup = listen(SignalKind::hangup())?;
        let mut step = listen(SignalKind::user_defined1())?;
        self.save();
        tell_systemd("READY=1");

        let save = self.place.save(&self.configuration);
        let statistics = self.place.statistics(&self.configuration);
        let (mut saved, mut said, mut last) = (Instant::now(), Instant::now(), Instant::now());
        let mut command = [0; COMMAND_BYTES + 1];
        loop {
            let orders = self.faults.and(&Faults::read(&self.place.faults));
            if let Some(code) = orders.crash {
                return Err(Refused::new(code, "told to crash"));
            }
            answers.hanging.set(orders.hang);
            if orders.hang {
                tokio::select! {
                    _ = terminate.recv(), if !orders.hang_hard => return Ok(()),
                    () = tokio::time::sleep(PACE) => continue,
                }
            }
            self.engine.go(last.elapsed(), &self.place, &orders);
            last = Instant::now();
            if said.elapsed() >= statistics {
                said = Instant::now();
                for sample in self.engine.samples(SystemTime::now()) {
                    self.logs.write(&sample);
                    answers.kept.borrow_mut().push(sample);
                }
            }
            if saved.elapsed() >= save {
                saved = Instant::now();
                self.save();
            }
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => self.logs.rotate(),
                _ = step.recv() => self.engine.step(),
                received = control.recv(&mut command) => {
                    let length = received.unwrap_or_default();
                    let command = command.get(..length).unwrap_or_default();
                    let command = String::from_utf8_lossy(command).trim().to_owned();
                    if self.obey(&command) {
                        break;
                    }
                }
                () = tokio::time::sleep(PACE.min(statistics)) => {}
            }
        }
        for path in [Some(&self.control), self.metrics.as_ref()].into_iter().flatten() {
            let _ = fs::remove_file(path);
        }
        Ok(())
    }

    /// Does what the control socket is told; whether to end. Nobody is answered.
    fn obey(&mut self, command: &str) -> bool {
        let (word, value) = command.split_once('=').unwrap_or((command, ""));
        match word {
            "exit" => return true,
            "logrotate" => self.logs.rotate(),
            "stepclocks" => self.engine.step(),
            "selectinstance" if self.engine.followers.contains_key(value) => {
                self.engine.chosen = Some(value.to_owned());
            }
            "dumptables" => println!("clocks: {:?}", self.engine.clocks.of),
            "pid_adjust" => {}
            "testmode" => self.faults.order(value),
            "block_clock" => self.block(value),
            _ => eprintln!("error: control: unknown command {command}"),
        }
        false
    }

    fn block(&mut self, value: &str) {
        let mut words = value.split(',');
        let block = words.next() == Some("1");
        let named: Vec<&str> = words.collect();
        let all = named.is_empty();
        for clock in self.engine.clocks.all.values() {
            let meant = |name: &&str| {
                self.engine.clocks.named(name).is_some_and(|found| found.short == clock.short)
            };
            if !(all || named.iter().any(meant)) {
                continue;
            }
            if block {
                self.engine.blocked.insert(clock.short.clone());
            } else {
                self.engine.blocked.remove(&clock.short);
            }
        }
    }

    fn save(&self) {
        if let Err(error) = self.state.save(&self.engine, &self.place) {
            eprintln!("error: {}: {error}", self.state.path().display());
        }
    }

    fn mode(&self, option: &str, path: &Path) {
        let mode = self.configuration.general(option);
        let mode = mode.and_then(|mode| u32::from_str_radix(mode, 8).ok());
        if let Some(mode) = mode {
            let _ = fs::set_permissions(path, fs::Permissions::from_mode(mode));
        }
    }

    /// Becomes the user it is told to be. What it has opened and locked stays.
    fn drop_privileges(&self) -> Result<(), Refused> {
        let Some(user) = &self.user else { return Ok(()) };
        let run = self.control.parent().filter(|_| !self.place.old);
        for path in [Some(self.state.path()), run, Some(&self.control), self.metrics.as_deref()] {
            let owned = path.map(|path| own(path, user));
            owned.transpose().map_err(|error| refused(&"its files", &error))?;
        }
        let group = user.gid;
        let dropped =
            setgroups(&[group]).and_then(|()| setgid(group)).and_then(|()| setuid(user.uid));
        dropped.map_err(|errno| refused(&user.name, &io::Error::from(errno)))
    }
}

/// Gives a file, or a directory with what is in it, to a user.
fn own(path: &Path, user: &User) -> io::Result<()> {
    let give = |path: &Path| chown(path, Some(user.uid), Some(user.gid));
    give(path)?;
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        give(&entry.path())?;
    }
    Ok(())
}

/// A name without the number, as the real one makes it beside the directory.
fn link(directory: &Path) {
    let Some(name) = directory.file_name().and_then(|name| name.to_str()) else { return };
    let Some(short) = name.strip_suffix("-0000") else { return };
    let link = directory.with_file_name(short);
    let _ = fs::remove_file(&link);
    let _ = symlink(name, link);
}

/// The files that lines of statistics go to.
#[derive(Debug)]
struct Logs {
    text: Option<(PathBuf, File)>,
    json: Option<(PathBuf, File)>,
}

impl Logs {
    fn open(text: Option<PathBuf>, json: Option<PathBuf>) -> Result<Self, Refused> {
        let open = |path: Option<PathBuf>| {
            let Some(path) = path else { return Ok(None) };
            let file = OpenOptions::new().append(true).create(true).open(&path);
            let file = file.map_err(|error| refused(&path.display(), &error))?;
            Ok(Some((path, file)))
        };
        Ok(Self { text: open(text)?, json: open(json)? })
    }

    fn write(&mut self, sample: &Sample) {
        // A full disk is none of its troubles.
        if let Some((_, file)) = &mut self.text {
            let _ = file.write_all(sample.text().as_bytes());
        }
        if let Some((_, file)) = &mut self.json {
            let _ = file.write_all(sample.json().as_bytes());
        }
    }

    /// Opens its files anew: somebody has moved them away.
    fn rotate(&mut self) {
        let path = |log: &Option<(PathBuf, File)>| log.as_ref().map(|(path, _)| path.clone());
        match Self::open(path(&self.text), path(&self.json)) {
            Ok(opened) => *self = opened,
            Err(refused) => eprintln!("error: {refused}"),
        }
    }
}

/// Says how it stands, as the real one does: once, and to a path only.
fn tell_systemd(what: &str) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let told = std::os::unix::net::UnixDatagram::unbound()
        .and_then(|datagram| datagram.send_to(what.as_bytes(), socket));
    if let Err(error) = told {
        eprintln!("error: systemd was not told {what}: {error}");
    }
}

fn refused(what: &dyn std::fmt::Display, error: &io::Error) -> Refused {
    let errno = error.raw_os_error().and_then(|errno| u8::try_from(errno).ok());
    Refused::new(errno.unwrap_or(Refused::EIO), format!("{what}: {error}"))
}

//! One emulated machine, from power on to power off, and the wire to the agent in it.

use std::collections::BTreeMap;
use std::fs;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::console::{self, Console};
use super::frame::{self, Answer, Order, PORT, Request};

/// What a node is in these tests: two processors, so that what races can race.
const SIZE: [&str; 4] = ["-smp", "2", "-m", "3G"];
/// What every guest is booted with. The console is kept for when the agent cannot be asked; a
/// panic ends the machine at once.
pub(super) const APPEND: &str = "rdinit=/sbin/init console=ttyS0 quiet panic=-1 mitigations=off \
                      systemd.show_status=1 TERM=dumb";
/// The sockets of a machine: to its agent, and to its console.
const WIRE: &str = "wire";
const KEYS: &str = "keys";
/// Between two looks whether the machine has ended.
const PACE: Duration = Duration::from_millis(20);
/// From power on to the agent: three to six times what it takes on two cores of their own.
const BOOT: Duration = Duration::from_secs(60);
/// What firmware, shim and GRUB may take of it beyond that: three to six times the thirteen seconds
/// they take, and the ten that MokManager may wait for a person.
const FIRMWARE: Duration = Duration::from_secs(75);

/// Milliseconds all machines of this process have run.
static RAN_MILLIS: AtomicU64 = AtomicU64::new(0);

/// How long machines of this process that have ended ran, all together.
pub fn machine_time() -> Duration {
    Duration::from_millis(RAN_MILLIS.load(Ordering::Relaxed))
}

/// Where a machine finds its kernel.
#[derive(Debug)]
pub enum Start {
    /// In memory, where QEMU puts it.
    Kernel {
        /// The kernel.
        kernel: PathBuf,
        /// The archives of the root, one after the other.
        initrd: PathBuf,
        /// Its command line.
        words: String,
    },
    /// On a disk, where the firmware looks.
    Firmware {
        /// The firmware.
        code: PathBuf,
        /// Its variables, which it changes.
        variables: PathBuf,
        /// The disk.
        disk: PathBuf,
    },
}

impl Start {
    /// A hundred and more megabytes that nobody needs when the machine has booted.
    pub fn bulk(&self) -> &Path {
        match self {
            Self::Kernel { initrd, .. } => initrd,
            Self::Firmware { disk, .. } => disk,
        }
    }
}

/// What a machine is made of.
#[derive(Debug)]
pub struct Parts<'a> {
    /// The kernel.
    pub start: &'a Start,
    /// The disk that is `/var`.
    pub var: &'a Path,
    /// Further arguments of QEMU.
    pub devices: &'a [String],
    /// Where the console is written.
    pub console: &'a Path,
}

type Waiting = BTreeMap<u64, Sender<(Answer, Vec<u8>)>>;

/// A machine that runs; its power is cut when it is dropped.
#[derive(Debug)]
pub struct Machine {
    qemu: Child,
    since: Instant,
    /// When what is waited for began: at power on, or when somebody at the console was done.
    begun: Instant,
    wire: Mutex<UnixStream>,
    waiting: Arc<Mutex<Waiting>>,
    next: AtomicU64,
    console: PathBuf,
    /// Where QEMU calls.
    listener: UnixListener,
    /// Its sockets.
    sockets: TempDir,
    /// From then to the agent.
    patience: Duration,
}

impl Machine {
    /// Turns a machine on.
    ///
    /// # Errors
    /// QEMU cannot be started.
    pub fn power_on(parts: &Parts<'_>) -> anyhow::Result<Self> {
        let sockets = tempfile::Builder::new().prefix("guest-").tempdir()?;
        let listener = UnixListener::bind(sockets.path().join(WIRE))?;
        let qemu =
            command(parts, sockets.path()).spawn().context("cannot start qemu-system-x86_64")?;
        Ok(Self {
            qemu,
            since: Instant::now(),
            begun: Instant::now(),
            // Replaced when QEMU has called.
            wire: Mutex::new(UnixStream::pair()?.0),
            waiting: Arc::default(),
            next: AtomicU64::new(1),
            console: parts.console.to_owned(),
            listener,
            sockets,
            patience: match parts.start {
                Start::Kernel { .. } => BOOT,
                Start::Firmware { .. } => BOOT + FIRMWARE,
            },
        })
    }

    /// Takes QEMU's call and waits for the agent's hello.
    ///
    /// # Errors
    /// QEMU ends, or no agent says hello in time.
    pub fn greet(&mut self) -> anyhow::Result<()> {
        self.listener.set_nonblocking(true)?;
        let wire = loop {
            match self.listener.accept() {
                Ok((wire, _)) => break wire,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
            self.still_there()?;
            thread::sleep(PACE);
        };
        wire.set_nonblocking(false)?;
        let mut answers = wire.try_clone()?;
        *self.wire.lock().unwrap_or_else(PoisonError::into_inner) = wire;
        let (hello, heard) = mpsc::channel();
        let waiting = Arc::clone(&self.waiting);
        thread::spawn(move || {
            while let Ok((answer, body)) = frame::read::<Answer>(&mut answers) {
                let id = match answer {
                    Answer::Hello => {
                        let _ = hello.send(());
                        continue;
                    }
                    Answer::Ran { id, .. } | Answer::Done { id } | Answer::Failed { id, .. } => id,
                };
                let sender = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
                if let Some(sender) = sender {
                    let _ = sender.send((answer, body));
                }
            }
            // Whoever still waits hears at once that nothing will come.
            waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
        });
        while heard.recv_timeout(PACE).is_err() {
            self.still_there()?;
        }
        Ok(())
    }

    /// The keyboard of a machine that has firmware.
    ///
    /// # Errors
    /// It has none, or is off.
    pub(super) fn keyboard(&mut self) -> anyhow::Result<Console> {
        let socket = self.sockets.path().join(KEYS);
        // QEMU makes it when it begins.
        while !socket.exists() {
            self.still_there()?;
            thread::sleep(PACE);
        }
        Console::open(&self.console, &socket)
    }

    /// Gives it the whole time once more: what a person at the console takes is none of the boot's.
    pub(super) fn goes_on(&mut self) {
        self.begun = Instant::now();
    }

    /// Whether a machine that boots still does.
    ///
    /// # Errors
    /// It has ended, or has taken too long.
    pub(super) fn still_there(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.qemu.try_wait()? {
            bail!("the guest ended while booting: {status}");
        }
        if self.begun.elapsed() > self.patience {
            bail!("no agent in the guest after {} s", self.patience.as_secs());
        }
        Ok(())
    }

    /// Gives the agent an order; the answer comes later.
    ///
    /// # Errors
    /// The wire is cut.
    pub fn order(&self, order: Order, body: &[u8]) -> anyhow::Result<Awaited> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = mpsc::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id, sender);
        let mut wire = self.wire.lock().unwrap_or_else(PoisonError::into_inner);
        frame::write(&mut *wire, &Request { id, order }, body).context("the guest is gone")?;
        Ok(Awaited { receiver })
    }

    /// Stops it for so long, as a hypervisor does that moves or saves it: nothing in it runs, and its
    /// clocks have gone on when it wakes.
    ///
    /// # Errors
    /// It has ended.
    pub fn pause(&self, pause: Duration) -> anyhow::Result<()> {
        let process = Pid::from_raw(i32::try_from(self.qemu.id())?);
        kill(process, Signal::SIGSTOP)?;
        thread::sleep(pause);
        Ok(kill(process, Signal::SIGCONT)?)
    }

    /// Waits until the machine ends by itself.
    ///
    /// # Errors
    /// It does not in time; the text has the console.
    pub fn wait(mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        let late = Instant::now() + limit;
        loop {
            if let Some(status) = self.qemu.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > late {
                bail!("the guest still runs after {} s; {}", limit.as_secs(), self.last_words());
            }
            thread::sleep(PACE);
        }
    }

    /// The end of the console.
    pub fn last_words(&self) -> String {
        const LINES: usize = 40;
        let console = fs::read(&self.console).unwrap_or_default();
        let console = console::plain(&console);
        let lines: Vec<&str> = console.lines().filter(|line| !line.trim().is_empty()).collect();
        let tail = lines[lines.len().saturating_sub(LINES)..].join("\n  | ");
        format!("the guest's console ends with\n  | {tail}")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
        let wire = self.wire.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = wire.shutdown(Shutdown::Both);
        let ran = u64::try_from(self.since.elapsed().as_millis()).unwrap_or_default();
        RAN_MILLIS.fetch_add(ran, Ordering::Relaxed);
    }
}

/// An answer that is still to come.
#[derive(Debug)]
pub struct Awaited {
    receiver: Receiver<(Answer, Vec<u8>)>,
}

impl Awaited {
    /// Waits for it.
    ///
    /// # Errors
    /// It does not come in time, or the guest went away.
    pub fn within(self, limit: Duration) -> anyhow::Result<(Answer, Vec<u8>)> {
        match self.receiver.recv_timeout(limit) {
            Ok(answer) => Ok(answer),
            Err(RecvTimeoutError::Timeout) => {
                bail!("no answer from the guest in {} s", limit.as_secs())
            }
            Err(RecvTimeoutError::Disconnected) => bail!("the guest went away"),
        }
    }
}

fn command(parts: &Parts<'_>, sockets: &Path) -> Command {
    // Emulation is what any machine has, so what counts in a run does not depend on the machine.
    let accelerator = std::env::var("ONLOADD_GUEST_ACCEL").unwrap_or_else(|_| "tcg".to_owned());
    let processor = match accelerator.as_str() {
        // Nested, not every register of the processor can be given to the guest.
        "kvm" => "host,arch-capabilities=off",
        // The oldest that RHEL 9 takes (x86-64-v2): what the C library chooses on a newer one is dearer to
        // emulate, and `max` takes a fifth more to boot.
        _ => "Nehalem",
    };
    let board = match parts.start {
        Start::Kernel { .. } => "q35",
        // Firmware that guards its variables does so in a mode of the processor's own.
        Start::Firmware { .. } => "q35,smm=on",
    };
    // The guest ends with the thread that started it, however that ends.
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "qemu-system-x86_64", "-machine", board, "-accel"])
        .args([accelerator.as_str(), "-cpu", processor])
        .args(SIZE)
        // A machine that wants to boot again ends, and is started anew.
        .args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]);
    match parts.start {
        Start::Kernel { kernel, initrd, words } => {
            command.arg("-serial").arg(format!("file:{}", parts.console.display()));
            command.arg("-kernel").arg(kernel).arg("-initrd").arg(initrd);
            command.args(["-append", words]);
        }
        Start::Firmware { code, variables, disk } => {
            let (keys, log) = (sockets.join(KEYS), parts.console.display());
            command.arg("-chardev").arg(format!(
                "socket,id=console,path={},server=on,wait=off,logfile={log}",
                keys.display()
            ));
            command.args(["-serial", "chardev:console"]);
            command.args(["-global", "driver=cfi.pflash01,property=secure,value=on"]);
            let mut drive = |what: &str, file: &Path| {
                command.arg("-drive").arg(format!("{what},format=raw,file={}", file.display()));
            };
            drive("if=pflash,unit=0,readonly=on", code);
            drive("if=pflash,unit=1", variables);
            drive("if=none,id=esp,readonly=on", disk);
            command.args(["-device", "virtio-blk-pci,drive=esp,bootindex=0"]);
        }
    }
    command
        .args(["-device", "virtio-rng-pci", "-device", "virtio-serial-pci"])
        .arg("-chardev")
        .arg(format!("socket,id=wire,path={}", sockets.join(WIRE).display()))
        .args(["-device", &format!("virtserialport,chardev=wire,name={PORT}")])
        // What the guest has flushed must outlive the guest's power, not this machine's.
        .arg("-drive")
        .arg(format!(
            "if=none,id=var,format=raw,discard=unmap,cache=unsafe,file={}",
            parts.var.display()
        ))
        .args(["-device", "virtio-blk-pci,drive=var,serial=var"])
        .args(parts.devices)
        .stdin(Stdio::null());
    command
}

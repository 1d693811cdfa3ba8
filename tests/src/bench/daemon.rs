//! The daemon under measurement: as shipped, at its default log level, under a stand-in for the
//! service manager that hears what it reports and asks for the watchdog as the unit does.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use onloadd::host::sim::World;
use tempfile::TempDir;

use crate::binaries::binary;
use crate::bus::Bus;
use crate::datagram::receive;
use crate::node::PATIENCE;

/// `WatchdogSec=` of the shipped unit, in microseconds as systemd hands it on.
const WATCHDOG_USEC: &str = "60000000";
/// What the daemon says when it serves (sd_notify(3)).
const READY: &[u8] = b"READY=1";
/// Room for one message to the service manager.
const MESSAGE: usize = 4096;
/// Variables that systemd or a person may have set for this program, and not for the daemon.
const NOT_INHERITED: [&str; 5] =
    ["JOURNAL_STREAM", "WATCHDOG_PID", "STATE_DIRECTORY", "RUNTIME_DIRECTORY", "ONLOADD_LOG"];

/// Two more cards than the shipped world has: eight ports in all.
const FURTHER_CARDS: &str = r#"
[[clock]]
index = 2
name = "sfc"

[[clock]]
index = 3
name = "sfc"

[[card]]
model = "X2522-25G"
firmware = "8.6.2.1000"
port = [
    { pci = "0000:5e:00.0", id = "1924:0b03", numa = 0, netdev = "ens2f0", mac = "00:0f:53:a1:00:04", speed-mbps = 25000, phc = 2 },
    { pci = "0000:5e:00.1", id = "1924:0b03", numa = 0, netdev = "ens2f1", mac = "00:0f:53:a1:00:05", speed-mbps = 25000, phc = 2 },
]

[[card]]
model = "X2522-25G"
firmware = "8.6.2.1000"
port = [
    { pci = "0000:d8:00.0", id = "1924:0b03", numa = 1, netdev = "ens6f0", mac = "00:0f:53:a1:00:06", speed-mbps = 25000, phc = 3 },
    { pci = "0000:d8:00.1", id = "1924:0b03", numa = 1, netdev = "ens6f1", mac = "00:0f:53:a1:00:07", speed-mbps = 25000, phc = 3 },
]
"#;

/// The machine the daemon runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// This one, which is only looked at.
    Real,
    /// A simulated one with eight ports on two NUMA nodes, and the driver loaded.
    EightPorts,
}

/// A daemon with its bus and directories. Everything ends when it is dropped.
#[derive(Debug)]
pub struct Daemon {
    home: TempDir,
    /// The bus it serves.
    pub bus: Bus,
    machine: Machine,
    manager: UnixDatagram,
    process: Option<Child>,
}

impl Daemon {
    /// Prepares a node whose pool has so many slots; nothing is started but its bus.
    ///
    /// # Errors
    /// No directory, or no bus.
    pub fn prepare(machine: Machine, slots: usize) -> anyhow::Result<Self> {
        let home = tempfile::Builder::new().prefix("onloadd-bench-").tempdir()?;
        let manager = UnixDatagram::bind(home.path().join("notify"))?;
        manager.set_read_timeout(Some(PATIENCE))?;
        let this = Self { home, bus: Bus::running()?, machine, manager, process: None };
        let drop_ins = this.path("config/etc/onloadd/onloadd.toml.d");
        fs::create_dir_all(&drop_ins)?;
        fs::write(drop_ins.join("50-bench.toml"), format!("[pools.onload]\nslots = {slots}\n"))?;
        let shipped = World::shipped("two-x2522").context("the world two-x2522 is not shipped")?;
        fs::write(this.path("world.toml"), format!("{shipped}{FURTHER_CARDS}"))?;
        Ok(this)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The device plugin directory.
    pub fn kubelet_directory(&self) -> PathBuf {
        self.path("kubelet/device-plugins")
    }

    /// The state directory.
    pub fn state_directory(&self) -> PathBuf {
        self.path("state")
    }

    /// Starts the daemon and waits until it says that it serves; returns when it was started and
    /// when it said so.
    ///
    /// # Errors
    /// It ends, or does not come up in time; the text has its log.
    pub fn start(&mut self) -> anyhow::Result<(Instant, Instant)> {
        self.forget_messages()?;
        let mut command = Command::new(binary("onloadd"));
        if self.machine == Machine::EightPorts {
            command.arg("--sim").arg(self.path("world.toml"));
        }
        command.args(["--bus", &self.bus.address()]);
        command.arg("--state-directory").arg(self.state_directory());
        command.arg("--kubelet-directory").arg(self.kubelet_directory());
        command.arg("--config-root").arg(self.path("config"));
        for name in NOT_INHERITED {
            command.env_remove(name);
        }
        command.env("NOTIFY_SOCKET", self.path("notify")).env("WATCHDOG_USEC", WATCHDOG_USEC);
        let log = File::create(self.path("log"))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let started = Instant::now();
        self.process = Some(command.spawn().context("cannot start onloadd")?);
        let ready = self.ready()?;
        Ok((started, ready))
    }

    /// Waits for the message that the daemon serves.
    fn ready(&mut self) -> anyhow::Result<Instant> {
        let mut message = [0; MESSAGE];
        loop {
            let length = receive(&self.manager, &mut message);
            let at = Instant::now();
            let length = length.with_context(|| format!("onloadd is not ready\n{}", self.log()))?;
            if message[..length].split(|byte| *byte == b'\n').any(|line| line == READY) {
                return Ok(at);
            }
        }
    }

    /// Reads away what a former daemon said: a full queue would make the next one wait.
    fn forget_messages(&self) -> anyhow::Result<()> {
        self.manager.set_nonblocking(true)?;
        let mut message = [0; MESSAGE];
        let end = loop {
            if let Err(error) = self.manager.recv(&mut message) {
                break error;
            }
        };
        ensure!(end.kind() == ErrorKind::WouldBlock, end);
        Ok(self.manager.set_nonblocking(false)?)
    }

    /// Ends the daemon as systemd does.
    ///
    /// # Errors
    /// It does not end in time, or not well.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        let pid = nix::unistd::Pid::from_raw(i32::try_from(process.id())?);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM)?;
        let late = Instant::now() + PATIENCE;
        while Instant::now() < late {
            if let Some(status) = process.try_wait()? {
                ensure!(status.success(), "onloadd ended with {status}\n{}", self.log());
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        process.kill()?;
        bail!("onloadd did not end on SIGTERM\n{}", self.log())
    }

    /// Where the kernel tells of the daemon: `/proc/PID`.
    ///
    /// # Errors
    /// It does not run.
    pub fn proc(&self) -> anyhow::Result<PathBuf> {
        let process = self.process.as_ref().context("onloadd was not started")?;
        Ok(PathBuf::from(format!("/proc/{}", process.id())))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

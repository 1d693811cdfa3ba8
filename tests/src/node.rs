//! A whole node on one machine: the real daemon on a simulated host, a private bus, the real CLI,
//! and the place where a kubelet would be.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::binaries::binary;
use crate::bus::Bus;

/// How long anything on a loaded machine may take before it counts as not happening.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at what is awaited from outside.
const PACE: Duration = Duration::from_millis(20);

/// A node. Everything ends when it is dropped.
#[derive(Debug)]
pub struct Node {
    home: TempDir,
    /// The bus the daemon serves.
    pub bus: Bus,
    host: Vec<String>,
    daemon: Option<Child>,
}

impl Node {
    /// A node on a simulated machine, by the name or file of its world.
    ///
    /// # Errors
    /// No bus, or a daemon that does not come up.
    pub fn simulated(world: &str) -> anyhow::Result<Self> {
        let mut node = Self::prepare()?;
        let control = node.control().display().to_string();
        node.host = ["--sim", world, "--sim-control", &control].map(str::to_owned).to_vec();
        node.start()?;
        Ok(node)
    }

    /// A node on this machine's own root, which is only looked at.
    ///
    /// # Errors
    /// As [`Node::simulated`].
    pub fn real() -> anyhow::Result<Self> {
        let mut node = Self::prepare()?;
        node.start()?;
        Ok(node)
    }

    /// A node on the root of another machine, which is only looked at.
    ///
    /// # Errors
    /// As [`Node::simulated`].
    pub fn recorded(root: &Path) -> anyhow::Result<Self> {
        let mut node = Self::prepare()?;
        node.host = ["--root", &root.display().to_string()].map(str::to_owned).to_vec();
        node.start()?;
        Ok(node)
    }

    /// A node whose daemon has not been started yet, on the simulated machine that `world` names.
    ///
    /// # Errors
    /// No bus.
    pub fn stopped(world: &str) -> anyhow::Result<Self> {
        let mut node = Self::prepare()?;
        let control = node.control().display().to_string();
        node.host = ["--sim", world, "--sim-control", &control].map(str::to_owned).to_vec();
        Ok(node)
    }

    fn prepare() -> anyhow::Result<Self> {
        let home = tempfile::Builder::new().prefix("onloadd-").tempdir()?;
        Ok(Self { home, bus: Bus::running()?, host: Vec::new(), daemon: None })
    }

    /// The directory in which a kubelet would have its socket; nobody has made it yet.
    pub fn kubelet_directory(&self) -> PathBuf {
        self.home.path().join("kubelet/device-plugins")
    }

    /// The daemon's state directory.
    pub fn state_directory(&self) -> PathBuf {
        self.home.path().join("state")
    }

    /// The daemon's directory of this boot; there once the daemon was started.
    pub fn runtime_directory(&self) -> PathBuf {
        self.home.path().join("run")
    }

    /// The root below which the daemon's configuration stands.
    pub fn config_root(&self) -> PathBuf {
        self.home.path().join("config")
    }

    /// The daemon's log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.home.path().join("log")
    }

    fn control(&self) -> PathBuf {
        self.home.path().join("control")
    }

    /// Writes a drop-in of the configuration; the daemon reads it at its start or reload.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn configure(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let directory = self.config_root().join("etc/onloadd/onloadd.toml.d");
        fs::create_dir_all(&directory)?;
        Ok(fs::write(directory.join(name), text)?)
    }

    /// Starts the daemon and waits until it answers on the bus.
    ///
    /// # Errors
    /// It ends, or does not answer in time; the text has its log.
    pub fn start(&mut self) -> anyhow::Result<()> {
        self.spawn()?;
        self.until("the daemon to answer", |node| Ok(node.status()?["state"] != "converging"))
    }

    /// Starts the daemon without waiting for anything.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn spawn(&mut self) -> anyhow::Result<()> {
        let _ = fs::remove_file(self.control());
        fs::create_dir_all(self.runtime_directory())?;
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_file())?;
        let mut command = Command::new(binary("onloadd"));
        command
            .args(&self.host)
            .args(["--bus", &self.bus.address(), "--log", "debug"])
            .arg("--state-directory")
            .arg(self.state_directory())
            .arg("--runtime-directory")
            .arg(self.runtime_directory())
            .arg("--kubelet-directory")
            .arg(self.kubelet_directory())
            .arg("--config-root")
            .arg(self.config_root())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        self.daemon = Some(command.spawn().context("cannot start onloadd")?);
        Ok(())
    }

    /// The daemon's process id, while it was started and not ended by us.
    pub fn pid(&self) -> Option<u32> {
        self.daemon.as_ref().map(Child::id)
    }

    /// Ends the daemon at once, wherever it is.
    ///
    /// # Errors
    /// It cannot be ended.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill()?;
            daemon.wait()?;
        }
        Ok(())
    }

    /// Asks the daemon to end, as systemd does, and waits for it.
    ///
    /// # Errors
    /// It does not end in time, or not well.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        let Some(mut daemon) = self.daemon.take() else { return Ok(()) };
        let pid = nix::unistd::Pid::from_raw(i32::try_from(daemon.id())?);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM)?;
        let late = Instant::now() + PATIENCE;
        while Instant::now() < late {
            if let Some(status) = daemon.try_wait()? {
                ensure!(status.success(), "onloadd ended with {status}\n{}", self.log());
                return Ok(());
            }
            std::thread::sleep(PACE);
        }
        daemon.kill()?;
        bail!("onloadd did not end on SIGTERM\n{}", self.log())
    }

    /// Has something happen on the simulated machine (`driver gone onload`, `link 0000:3b:00.0 down`).
    ///
    /// # Errors
    /// The simulated machine refuses it.
    pub fn act(&self, action: &str) -> anyhow::Result<()> {
        let mut control =
            UnixStream::connect(self.control()).context("no simulated machine listens")?;
        control.set_read_timeout(Some(PATIENCE))?;
        writeln!(control, "{action}")?;
        let mut answer = String::new();
        BufReader::new(control).read_line(&mut answer)?;
        ensure!(answer.trim() == "ok", "`{action}`: {answer}");
        Ok(())
    }

    /// A command line of onloadctl on this node, not yet run.
    pub fn ctl_command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(binary("onloadctl"));
        command.args(["--bus", &self.bus.address()]).args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs onloadctl.
    ///
    /// # Errors
    /// It cannot be started. How it ends is in the output.
    pub fn ctl<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> anyhow::Result<Output> {
        Ok(self.ctl_command(arguments).output()?)
    }

    /// Runs onloadctl, which must succeed; returns what it printed.
    ///
    /// # Errors
    /// It failed; the text has what it printed.
    pub fn ctl_ok<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> anyhow::Result<String> {
        let output = self.ctl(arguments)?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "onloadctl ended with {}\n{error}", output.status);
        Ok(String::from_utf8(output.stdout)?)
    }

    /// `onloadctl --json VERB`.
    ///
    /// # Errors
    /// It printed no JSON. Its exit status is not looked at: that of `status` tells the state.
    pub fn json(&self, verb: &[&str]) -> anyhow::Result<Value> {
        let output = self.ctl(["--json"].iter().chain(verb))?;
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("{verb:?}: {}", String::from_utf8_lossy(&output.stderr)))
    }

    /// `onloadctl --json status`.
    ///
    /// # Errors
    /// As [`Node::json`].
    pub fn status(&self) -> anyhow::Result<Value> {
        self.json(&["status"])
    }

    /// Waits until something holds, looking again and again; an error counts as *not yet*.
    ///
    /// # Errors
    /// It does not hold in time, or the daemon ended; the text has its log.
    pub fn until(
        &mut self,
        what: &str,
        holds: impl Fn(&Self) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let late = Instant::now() + PATIENCE;
        loop {
            let last = holds(self);
            if matches!(last, Ok(true)) {
                return Ok(());
            }
            let ended = self.daemon.as_mut().map(Child::try_wait).transpose()?.flatten();
            if ended.is_some() || Instant::now() > late {
                bail!("waited for {what}; last: {last:?}; daemon ended: {ended:?}\n{}", self.log());
            }
            std::thread::sleep(PACE);
        }
    }

    /// Waits for a node state.
    ///
    /// # Errors
    /// As [`Node::until`].
    pub fn until_state(&mut self, state: &str) -> anyhow::Result<()> {
        self.until(&format!("state {state}"), |node| Ok(node.status()?["state"] == state))
    }

    /// A path of this repository.
    pub fn repository(path: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

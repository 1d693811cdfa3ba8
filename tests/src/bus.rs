//! A message bus of one's own: a real `dbus-daemon` at an address that survives its restart.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, ensure};
use tempfile::TempDir;

/// Everybody may do everything: what is refused is refused by the service under test.
const CONFIGURATION: &str = r#"<!DOCTYPE busconfig PUBLIC
 "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>onloadd-test</type>
  <listen>unix:path=@SOCKET@</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*" eavesdrop="true"/>
    <allow receive_sender="*"/>
  </policy>
</busconfig>
"#;

/// A private bus; ends when dropped.
#[derive(Debug)]
pub struct Bus {
    directory: TempDir,
    daemon: Option<Child>,
}

impl Bus {
    /// Chooses an address without anybody there yet.
    ///
    /// # Errors
    /// No temporary directory can be made.
    pub fn prepare() -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("onloadd-bus-").tempdir()?;
        // Clients of other users must reach the socket.
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755))?;
        let bus = Self { directory, daemon: None };
        let socket = bus.socket().to_string_lossy().into_owned();
        fs::write(bus.configuration(), CONFIGURATION.replace("@SOCKET@", &socket))?;
        Ok(bus)
    }

    /// A bus that runs.
    ///
    /// # Errors
    /// As [`Bus::start`].
    pub fn running() -> anyhow::Result<Self> {
        let mut bus = Self::prepare()?;
        bus.start()?;
        Ok(bus)
    }

    /// Starts the bus daemon and waits until it listens.
    ///
    /// # Errors
    /// `dbus-daemon` is not installed, or ends at once.
    pub fn start(&mut self) -> anyhow::Result<()> {
        let _ = fs::remove_file(self.socket());
        let mut daemon = Command::new("dbus-daemon")
            .arg(format!("--config-file={}", self.configuration().display()))
            .args(["--nofork", "--nopidfile", "--nosyslog", "--print-address=1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(self.log())?)
            .spawn()
            .context("cannot start dbus-daemon")?;
        let output = daemon.stdout.take().context("no output of dbus-daemon")?;
        self.daemon = Some(daemon);
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        ensure!(line.starts_with("unix:path="), "dbus-daemon gives no address, but says {log}");
        Ok(())
    }

    /// Ends the bus daemon; everybody on it is cut off.
    ///
    /// # Errors
    /// It cannot be ended.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill()?;
            daemon.wait()?;
        }
        Ok(())
    }

    /// The address; the same after a restart.
    pub fn address(&self) -> String {
        format!("unix:path={}", self.socket().display())
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    fn configuration(&self) -> PathBuf {
        self.directory.path().join("bus.conf")
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

//! A whole machine of its own for tests: Debian with systemd, the system bus, polkit and udev, the
//! project installed on it as `make install` does, and the kernel's own module loader.
//!
//! The root is an initramfs, so it is new at every boot; `/var` is a disk that stays. Emulated, so
//! it runs wherever QEMU does, at a tenth of the speed.

pub mod cases;
pub mod console;
pub mod esp;
pub mod firmware;
pub mod frame;
pub mod image;
pub mod kubelet;
pub mod machine;
pub mod mok_manager;
pub mod variables;

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail, ensure};
use tempfile::TempDir;

use firmware::Firmware;
use frame::{Answer, Order};
use image::{Extra, Image, LINK, Overlay};
use machine::{Awaited, Machine, Parts, Start};
use mok_manager::After;

/// How long a command may take unless told otherwise: ten times what the slowest common one,
/// `systemctl restart`, takes in an emulated machine.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// From the agent's hello to the last unit of the boot.
const BOOT: Duration = Duration::from_secs(60);
/// From the order to end to the end.
const SHUTDOWN: Duration = Duration::from_secs(60);
/// What the way to the agent and back may take beyond a command's own limit.
const GRACE: Duration = Duration::from_secs(15);
/// Between two looks at what is awaited; each costs the guest a process.
const PACE: Duration = Duration::from_millis(200);

/// The image of this process's guests.
static IMAGE: OnceLock<Result<Image, String>> = OnceLock::new();

fn image() -> anyhow::Result<&'static Image> {
    let image = IMAGE.get_or_init(|| Image::prepare().map_err(|error| format!("{error:#}")));
    image.as_ref().map_err(|error| anyhow!("no image for guests: {error}"))
}

/// Removes what this process's guests were made from: nothing else does when it ends.
fn forget_image() {
    if let Some(Ok(image)) = IMAGE.get() {
        image.forget();
    }
}

/// When a boot counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Booted {
    /// When systemd has no more jobs.
    #[default]
    Settled,
    /// When the agent is there, which is before most units.
    Early,
}

/// Makes files of what guests are made from.
pub type Make = fn(&Image) -> anyhow::Result<Vec<Extra>>;

/// What a guest has beyond the ordinary.
#[derive(Debug, Clone, Default)]
pub struct Options {
    append: Vec<String>,
    devices: Vec<String>,
    files: Vec<Extra>,
    made: Option<Make>,
    overlay: Overlay,
    booted: Booted,
    firmware: Firmware,
}

impl Options {
    /// An ordinary guest: no card, onloadd enabled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds to the kernel's command line.
    #[must_use]
    pub fn append(mut self, words: &str) -> Self {
        self.append.push(words.to_owned());
        self
    }

    /// Adds arguments of QEMU (`-device`, `igb`).
    #[must_use]
    pub fn device<'a>(mut self, arguments: impl IntoIterator<Item = &'a str>) -> Self {
        self.devices.extend(arguments.into_iter().map(str::to_owned));
        self
    }

    /// Lays a file into the root before every boot. Not below `/var`, `/run` or `/tmp`, where
    /// something is mounted.
    #[must_use]
    pub fn file(mut self, path: &str, content: impl Into<Vec<u8>>, mode: u32) -> Self {
        self.files.push(Extra { path: path.to_owned(), content: content.into(), mode });
        self
    }

    /// Lays further files in, asked for before every boot: what takes work to make, or is made of
    /// what guests are made from.
    #[must_use]
    pub fn made(mut self, make: Make) -> Self {
        self.made = Some(make);
        self
    }

    /// Lays a link into the root before every boot, as [`Options::file`] does files.
    #[must_use]
    pub fn link(self, path: &str, target: &str) -> Self {
        self.file(path, target, LINK)
    }

    /// Says what lies over the Debian root.
    #[must_use]
    pub fn overlay(mut self, overlay: Overlay) -> Self {
        self.overlay = overlay;
        self
    }

    /// Says how it comes to its kernel.
    #[must_use]
    pub fn firmware(mut self, firmware: Firmware) -> Self {
        self.firmware = firmware;
        self
    }

    /// Why this machine has no such guests, or `None`.
    ///
    /// # Errors
    /// It cannot be found out.
    fn lacking(&self) -> anyhow::Result<Option<String>> {
        let firmware = self.firmware.lacking()?;
        Ok(firmware.or_else(|| self.overlay.lacking()))
    }

    /// Says when a boot is done.
    #[must_use]
    pub fn booted(mut self, booted: Booted) -> Self {
        self.booted = booted;
        self
    }
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// The exit status; none after a signal. 124 is a command that took too long (`timeout(1)`).
    pub status: Option<i32>,
    /// What it wrote.
    pub stdout: String,
    /// What it wrote about it.
    pub stderr: String,
}

impl Ran {
    /// Whether it ended with status 0.
    pub fn ok(&self) -> bool {
        self.status == Some(0)
    }
}

/// A command that runs in the guest.
#[derive(Debug)]
pub struct Running {
    shell: String,
    limit: Duration,
    awaited: Awaited,
}

impl Running {
    /// Waits for its end.
    ///
    /// # Errors
    /// The guest went away, or does not answer in time.
    pub fn wait(self) -> anyhow::Result<Ran> {
        let (answer, body) =
            self.awaited.within(self.limit + GRACE).with_context(|| self.shell.clone())?;
        match answer {
            Answer::Ran { status, stdout_bytes, .. } => {
                let (stdout, stderr) = body.split_at(stdout_bytes.min(body.len()));
                let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
                Ok(Ran { status, stdout: text(stdout), stderr: text(stderr) })
            }
            Answer::Failed { why, .. } => bail!("{}: {why}", self.shell),
            Answer::Hello | Answer::Done { .. } => bail!("{}: answered amiss", self.shell),
        }
    }
}

/// A guest; its power is cut when it is dropped.
#[derive(Debug)]
pub struct Guest {
    options: Options,
    directory: TempDir,
    machine: Option<Machine>,
    boots: u32,
}

impl Guest {
    /// Makes a guest with a fresh `/var` and boots it.
    ///
    /// # Errors
    /// It does not come up in time; the text has the end of its console.
    pub fn boot(options: &Options) -> anyhow::Result<Self> {
        let directory = image()?.directory()?;
        let mut guest = Self { options: options.clone(), directory, machine: None, boots: 0 };
        image()?.var(&guest.var())?;
        guest.start()?;
        Ok(guest)
    }

    /// Boots a guest that is off: the same `/var`, and the root as it was made.
    ///
    /// # Errors
    /// As [`Guest::boot`].
    pub fn start(&mut self) -> anyhow::Result<()> {
        self.come_up(None)
    }

    /// Boots, and answers MokManager where it stands in the way.
    fn come_up(&mut self, answer: Option<&mok_manager::Answer>) -> anyhow::Result<()> {
        ensure!(self.machine.is_none(), "the guest runs already");
        let image = image()?;
        let initrd = self.directory.path().join("initrd");
        let mut files = self.options.files.clone();
        files.extend(self.options.made.map(|make| make(image)).transpose()?.unwrap_or_default());
        image.initrd(self.options.overlay, &files, &initrd)?;
        let (firmware, append) = (self.options.firmware, self.options.append.join(" "));
        let start = firmware.prepare(image, self.directory.path(), initrd, &append)?;
        let machine = self.power_on(&start, answer);
        fs::remove_file(start.bulk())?;
        self.machine = Some(machine?);
        match self.options.booted {
            Booted::Early => Ok(()),
            Booted::Settled => self.settle(),
        }
    }

    /// Turns the machine on, again where it resets itself, and waits for the agent.
    fn power_on(
        &mut self,
        start: &Start,
        answer: Option<&mok_manager::Answer>,
    ) -> anyhow::Result<Machine> {
        self.boots += 1;
        let (var, console) = (self.var(), self.console_file());
        let devices = &self.options.devices;
        let parts = Parts { start, var: &var, devices, console: &console };
        let mut machine = Machine::power_on(&parts)?;
        let answered = answer.map_or(Ok(After::Boots), |answer| {
            let after = mok_manager::answer(&mut machine, answer);
            after.context("MokManager was not answered")
        });
        match answered {
            Ok(After::Resets) => {
                machine.wait(SHUTDOWN)?;
                return self.power_on(start, None);
            }
            Ok(After::Boots) => machine.greet(),
            Err(error) => Err(error),
        }
        .map_err(|error| anyhow!("{error:#}; {}", machine.last_words()))?;
        Ok(machine)
    }

    /// Waits until systemd has nothing left to do.
    ///
    /// # Errors
    /// It still has after a minute; the text names the jobs.
    pub fn settle(&self) -> anyhow::Result<()> {
        let state = self.run_within("systemctl is-system-running --wait", BOOT)?;
        if matches!(state.stdout.trim(), "running" | "degraded") {
            return Ok(());
        }
        let jobs = self.run("systemctl list-jobs").map(|ran| ran.stdout);
        bail!("the guest is not up: {state:?}; jobs: {jobs:?}; {}", self.last_words())
    }

    /// Other options, for the next boot.
    pub fn set_options(&mut self, options: Options) {
        self.options = options;
    }

    /// Runs a text of the shell as root.
    ///
    /// # Errors
    /// The guest went away or does not answer. How the command ends is in the result.
    pub fn run(&self, shell: &str) -> anyhow::Result<Ran> {
        self.run_within(shell, PATIENCE)
    }

    /// Runs a text of the shell that may take so long.
    ///
    /// # Errors
    /// As [`Guest::run`].
    pub fn run_within(&self, shell: &str, limit: Duration) -> anyhow::Result<Ran> {
        let waited = self.begin(shell, limit)?.wait();
        waited.map_err(|error| anyhow!("{error:#}; {}", self.last_words()))
    }

    /// Begins a text of the shell; others can run meanwhile.
    ///
    /// # Errors
    /// The guest is off.
    pub fn begin(&self, shell: &str, limit: Duration) -> anyhow::Result<Running> {
        let order = Order::Run { shell: shell.to_owned(), limit_secs: limit.as_secs().max(1) };
        let awaited = self.machine()?.order(order, &[])?;
        Ok(Running { shell: shell.to_owned(), limit, awaited })
    }

    /// Runs a text of the shell, which must succeed; returns what it wrote.
    ///
    /// # Errors
    /// It failed; the text has what it wrote.
    pub fn ok(&self, shell: &str) -> anyhow::Result<String> {
        let ran = self.run(shell)?;
        let said = format!("{}{}", ran.stdout, ran.stderr);
        ensure!(ran.ok(), "`{shell}` ended with {:?}:\n{said}", ran.status);
        Ok(ran.stdout)
    }

    /// Waits until a text of the shell succeeds, running it again and again.
    ///
    /// # Errors
    /// It does not in time; the text has what it wrote last.
    pub fn until(&self, what: &str, shell: &str) -> anyhow::Result<String> {
        let late = Instant::now() + PATIENCE;
        loop {
            let ran = self.run(shell)?;
            if ran.ok() {
                return Ok(ran.stdout);
            }
            ensure!(Instant::now() < late, "waited for {what}; `{shell}` last: {ran:?}");
            thread::sleep(PACE);
        }
    }

    /// Writes a file in the guest.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put(&self, path: &str, content: &[u8], mode: u32) -> anyhow::Result<()> {
        self.file(Order::Put { path: path.to_owned(), mode }, content).map(drop)
    }

    /// Reads a file in the guest.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn get(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        self.file(Order::Get { path: path.to_owned() }, &[])
    }

    fn file(&self, order: Order, body: &[u8]) -> anyhow::Result<Vec<u8>> {
        match self.machine()?.order(order, body)?.within(PATIENCE)? {
            (Answer::Done { .. }, body) => Ok(body),
            (Answer::Failed { why, .. }, _) => bail!(why),
            (Answer::Hello | Answer::Ran { .. }, _) => bail!("answered amiss"),
        }
    }

    /// The journal of this boot, or of a unit or the like (`-u onloadd`, `-b -1`, `-p err`).
    ///
    /// # Errors
    /// As [`Guest::ok`].
    pub fn journal(&self, arguments: &str) -> anyhow::Result<String> {
        let boot = if arguments.contains("-b") { "" } else { "-b" };
        self.ok(&format!("journalctl --sync && journalctl --no-pager -q {boot} {arguments}"))
    }

    /// Reboots in good order.
    ///
    /// # Errors
    /// It does not go down, or not come up, in time.
    pub fn reboot(&mut self) -> anyhow::Result<()> {
        self.power_off()?;
        self.start()
    }

    /// Shuts down in good order.
    ///
    /// # Errors
    /// It does not go down in time.
    pub fn power_off(&mut self) -> anyhow::Result<()> {
        // The answer may be lost on the way down.
        let _ = self.begin("systemctl poweroff", PATIENCE)?;
        let machine = self.machine.take().context("the guest is off")?;
        machine.wait(SHUTDOWN).map(drop)
    }

    /// Stops the whole machine for so long.
    ///
    /// # Errors
    /// The guest is off.
    pub fn pause(&self, pause: Duration) -> anyhow::Result<()> {
        self.machine()?.pause(pause)
    }

    /// Cuts the power.
    pub fn cut_power(&mut self) {
        self.machine = None;
    }

    /// Everything the console has shown in this boot.
    pub fn console(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.console_file()).unwrap_or_default()).into_owned()
    }

    /// The version of the guest's kernel.
    ///
    /// # Errors
    /// The root is damaged.
    pub fn kernel_version(&self) -> anyhow::Result<String> {
        image()?.kernel_version()
    }

    fn machine(&self) -> anyhow::Result<&Machine> {
        self.machine.as_ref().context("the guest is off")
    }

    fn last_words(&self) -> String {
        self.machine.as_ref().map(Machine::last_words).unwrap_or_default()
    }

    fn var(&self) -> PathBuf {
        self.directory.path().join("var.ext4")
    }

    fn console_file(&self) -> PathBuf {
        self.directory.path().join(format!("console-{}", self.boots))
    }
}

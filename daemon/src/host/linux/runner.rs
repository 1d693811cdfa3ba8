//! Programs that a step needs: run by systemd as a transient unit, or directly. Either way with a
//! fixed path, a small environment, a time limit, and what they print in one place.

use std::fmt;
use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::memfd::{MFdFlags, memfd_create};
use onload_core::step::StepError;
use rustix::fs::{SealFlags, fcntl_add_seals};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::systemd::Systemd;
use crate::descriptor;

/// How programs are run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Runner {
    /// By systemd, in a transient unit: it has what the system manager gives a service and not what
    /// the daemon has, and it outlives the daemon.
    #[default]
    Transient,
    /// As a child, for a process that has the capabilities itself and no bus yet: early in the boot.
    Direct,
}

/// The slowest module takes 0.8 s on an emulated CPU (reference/onload-measured.md section 1), and
/// a card that resets its firmware tens of seconds.
pub(super) const DEADLINE: Duration = Duration::from_secs(120);
/// What a program that is told to stop then has: a load that waits in the kernel heeds nothing.
pub(super) const STOP: Duration = Duration::from_secs(10);
/// Most that is kept of what a program printed, from its end: the kernel's log, at most 1 MiB as
/// distributions build it, is the longest.
const OUTPUT_BYTES: u64 = 1 << 20;
/// Where programs lie, so that no search path decides what runs as root.
const DIRECTORIES: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// A program to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    /// Name of the transient unit: one for each thing that must not run twice at a time.
    pub(super) unit: String,
    /// What it is for, for people.
    pub(super) description: String,
    /// Name of the file.
    pub(super) name: &'static str,
    pub(super) arguments: Vec<String>,
    /// `NAME=VALUE`, beside `LC_ALL` and `PATH`.
    pub(super) environment: Vec<String>,
    /// Directories before the usual ones in its `PATH`.
    pub(super) path: Vec<String>,
}

/// What a program of our own has in a transient unit: what it reads, and no more rights than said. A
/// child has those of its parent.
pub(super) struct Confined {
    /// Its file, which need not be in the usual directories.
    pub(super) file: String,
    /// What its standard input holds. It stands in no property of the unit, argument or log.
    pub(super) input: Vec<u8>,
    /// The capabilities it may have, a bit for each (`linux/capability.h`).
    pub(super) capabilities: u64,
    /// The only places where it may write.
    pub(super) writable: Vec<String>,
    /// Whether it has the node's network, and speaks netlink.
    pub(super) network: bool,
}

impl fmt::Debug for Confined {
    /// Without what it reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, input, capabilities, writable, network } = self;
        let (bytes, places) = (input.len(), writable.join(" "));
        write!(
            f,
            "{file} reads {bytes} bytes, has {capabilities:#x}, writes in {places}, network {network}"
        )
    }
}

/// A program as it is started.
#[derive(Debug)]
pub(super) struct Start<'a> {
    pub(super) program: &'a Program,
    /// Where it prints.
    pub(super) output: File,
    pub(super) confined: Option<&'a Confined>,
    /// What it reads.
    pub(super) input: Option<File>,
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) success: bool,
    /// What it printed, errors too.
    pub(super) output: String,
}

impl Program {
    /// Its file.
    pub(super) fn file(&self) -> Result<String, StepError> {
        let mut files = DIRECTORIES.iter().map(|directory| format!("{directory}/{}", self.name));
        files.find(|file| Path::new(file).exists()).ok_or_else(|| {
            let name = self.name;
            StepError::Unsupported(format!("{name} is not installed in /usr/sbin or /usr/bin"))
        })
    }

    /// The whole environment.
    pub(super) fn variables(&self) -> Vec<String> {
        let usual = DIRECTORIES.map(str::to_owned);
        let path: Vec<_> = self.path.iter().cloned().chain(usual).collect();
        // Messages are read, so they must not be translated.
        let fixed = ["LC_ALL=C".to_owned(), format!("PATH={}", path.join(":"))];
        fixed.into_iter().chain(self.environment.iter().cloned()).collect()
    }
}

/// The programs of a host, run as it is to run them.
#[derive(Debug, Default)]
pub(super) struct Programs {
    runner: Runner,
    pub(super) systemd: Systemd,
}

impl From<Runner> for Programs {
    fn from(runner: Runner) -> Self {
        Self { runner, systemd: Systemd::default() }
    }
}

impl Programs {
    /// Runs a program to its end.
    ///
    /// # Errors
    /// It could not be run, or did not end in its time.
    pub(super) async fn run(&self, program: &Program) -> Result<Ended, StepError> {
        self.run_by(self.runner, program).await
    }

    /// The same as a child in any case, for one that needs no more than the daemon has and that may
    /// end with it.
    ///
    /// # Errors
    /// As [`Programs::run`].
    pub(super) async fn run_here(&self, program: &Program) -> Result<Ended, StepError> {
        self.run_by(Runner::Direct, program).await
    }

    /// The same for one that has less time.
    ///
    /// # Errors
    /// As [`Programs::run`].
    pub(super) async fn run_briefly(
        &self,
        program: &Program,
        limit: Duration,
    ) -> Result<Ended, StepError> {
        let start = Start::new(program)?;
        let success = direct(&start, limit).await?;
        // What it says is told by whoever asked, each time it is asked.
        let output = tail(&start.output).map_err(|error| failed(program, &error))?;
        Ok(Ended { success, output })
    }

    /// Runs a program of our own with what it reads and no more than it needs.
    ///
    /// # Errors
    /// As [`Programs::run`].
    pub(super) async fn run_confined(
        &self,
        program: &Program,
        confined: &Confined,
    ) -> Result<Ended, StepError> {
        self.run_as(self.runner, Start::confined(program, confined)?).await
    }

    /// Begins a program that is not waited for. How it fails is in the log.
    pub(super) fn begin_here(program: Program) {
        tokio::spawn(async move {
            let ended = match Start::new(&program) {
                Ok(start) => direct(&start, DEADLINE).await.and_then(|success| start.end(success)),
                Err(error) => Err(error),
            };
            if let Err(error) = ended {
                tracing::warn!(program = program.name, %error, "a program was not run");
            }
        });
    }

    async fn run_by(&self, runner: Runner, program: &Program) -> Result<Ended, StepError> {
        self.run_as(runner, Start::new(program)?).await
    }

    async fn run_as(&self, runner: Runner, start: Start<'_>) -> Result<Ended, StepError> {
        let success = match runner {
            Runner::Transient => self.systemd.run(&start).await?,
            Runner::Direct => direct(&start, DEADLINE).await?,
        };
        start.end(success)
    }
}

impl<'a> Start<'a> {
    /// Prints into a file and no pipe: whoever writes into a pipe without a reader is killed, and the
    /// reader may be restarted.
    pub(super) fn new(program: &'a Program) -> Result<Self, StepError> {
        let output = memfd_create("onloadd", MFdFlags::MFD_CLOEXEC).map(File::from);
        let output = output.map_err(|errno| failed(program, &errno))?;
        Ok(Self { program, output, confined: None, input: None })
    }

    pub(super) fn confined(
        program: &'a Program,
        confined: &'a Confined,
    ) -> Result<Self, StepError> {
        let input = sealed(&confined.input).map_err(|error| failed(program, &error))?;
        Ok(Self { confined: Some(confined), input: Some(input), ..Self::new(program)? })
    }

    /// The file it is run from.
    pub(super) fn file(&self) -> Result<String, StepError> {
        self.confined.map_or_else(|| self.program.file(), |confined| Ok(confined.file.clone()))
    }

    /// How it ended, with the end of what it wrote.
    fn end(&self, success: bool) -> Result<Ended, StepError> {
        let program = self.program;
        let output = tail(&self.output).map_err(|error| failed(program, &error))?;
        if !success {
            // The unit's own journal has none of it.
            let said = output.trim();
            tracing::warn!(program = program.name, unit = program.unit, said, "a program failed");
        }
        Ok(Ended { success, output })
    }
}

/// Memory that reads as a file from its beginning, and that nobody changes any more.
fn sealed(bytes: &[u8]) -> std::io::Result<File> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let mut file = File::from(memfd_create("onloadd-input", flags)?);
    file.write_all(bytes)?;
    file.rewind()?;
    fcntl_add_seals(
        &file,
        SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL,
    )?;
    Ok(file)
}

pub(super) fn failed(program: &Program, why: &dyn std::fmt::Display) -> StepError {
    StepError::Failed(format!("{} was not run: {why}", program.name))
}

fn tail(output: &File) -> std::io::Result<String> {
    let length = output.metadata()?.len();
    let start = length.saturating_sub(OUTPUT_BYTES);
    let mut bytes = vec![0; usize::try_from(length - start).unwrap_or_default()];
    output.read_exact_at(&mut bytes, start)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Runs it as a child. Its end is heard through a pidfd, so nothing is blocked meanwhile.
async fn direct(start: &Start<'_>, limit: Duration) -> Result<bool, StepError> {
    let program = start.program;
    let refuse = |error: std::io::Error| failed(program, &error);
    let stream = |file: &File| file.try_clone().map(Stdio::from).map_err(refuse);
    let input = start.input.as_ref().map_or_else(|| Ok(Stdio::null()), stream)?;
    let variables = program.variables();
    let variables = variables.iter().filter_map(|variable| variable.split_once('='));
    let mut child = Command::new(start.file()?)
        .args(&program.arguments)
        .env_clear()
        .envs(variables)
        .stdin(input)
        .stdout(stream(&start.output)?)
        .stderr(stream(&start.output)?)
        .spawn()
        .map_err(refuse)?;
    let watched = i32::try_from(child.id()).ok().and_then(Pid::from_raw).map(|pid| {
        let fd: OwnedFd = pidfd_open(pid, PidfdFlags::empty())?;
        descriptor::readable(fd)
    });
    let watched = watched.unwrap_or_else(|| Err(std::io::Error::other("it has no process id")));
    let watched = watched.map_err(refuse)?;
    if tokio::time::timeout(limit, watched.readable()).await.is_err() {
        let _ = child.kill();
        if tokio::time::timeout(STOP, watched.readable()).await.is_err() {
            return Err(StepError::Stuck { limit_secs: (limit + STOP).as_secs() });
        }
        let _ = child.wait();
        let seconds = limit.as_secs();
        return Err(StepError::Failed(format!(
            "{} did not end within {seconds} s and was stopped",
            program.name
        )));
    }
    child.wait().map(|status| status.success()).map_err(refuse)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Program {
        Program {
            unit: "onloadd-test.service".to_owned(),
            description: "Test".to_owned(),
            name: "sh",
            arguments: vec!["-c".to_owned(), script.to_owned()],
            environment: vec!["MODPROBE_OPTIONS=-d /tree".to_owned()],
            path: vec!["/tree/sbin".to_owned()],
        }
    }

    fn run(program: &Program) -> Result<Ended, StepError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(Programs::from(Runner::Direct).run(program))
    }

    #[test]
    fn a_child_has_a_small_environment_and_all_it_prints_is_kept_in_order() {
        let ended = run(&shell("echo out; echo err >&2; env | sort; exit 3")).unwrap();
        assert!(!ended.success);
        assert!(ended.output.starts_with("out\nerr\n"), "{}", ended.output);
        for line in [
            "LC_ALL=C",
            "MODPROBE_OPTIONS=-d /tree",
            "PATH=/tree/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
        ] {
            assert!(ended.output.lines().any(|found| found == line), "{line}: {}", ended.output);
        }
        assert!(!ended.output.contains("HOME=") && !ended.output.contains("CARGO"));
        assert!(run(&shell("true")).unwrap().success);
    }

    #[test]
    fn of_much_output_the_end_is_kept() {
        let ended = run(&shell("head -c 3000000 /dev/zero; echo; echo last")).unwrap();
        assert_eq!(ended.output.len(), 1 << 20);
        assert!(ended.output.ends_with("\nlast\n"));
    }

    #[test]
    fn what_a_child_reads_is_whole_and_changed_by_nobody() {
        let words = "as long as a pipe never holds ".repeat(5000);
        let confined = Confined {
            file: "/bin/sh".to_owned(),
            input: words.clone().into_bytes(),
            capabilities: 0,
            writable: Vec::new(),
            network: false,
        };
        // Not found by its name: it has a file of its own.
        let script = "head -c 30; sha256sum; echo more >/proc/self/fd/0 && echo changed";
        let program = Program { name: "onloadd-no-such-program", ..shell(script) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let programs = Programs::from(Runner::Direct);
        let ended = runtime.block_on(programs.run_confined(&program, &confined)).unwrap();
        assert!(!ended.success && !ended.output.contains("changed"), "{}", ended.output);
        assert!(ended.output.starts_with(&words[..30]), "{}", ended.output);
        let again = Program { name: "onloadd-no-such-program", ..shell("cat") };
        let ended = runtime.block_on(programs.run_confined(&again, &confined)).unwrap();
        assert_eq!(ended, Ended { success: true, output: words });
        assert!(!format!("{confined:?}").contains("pipe"), "{confined:?}");
    }

    #[test]
    fn one_that_has_little_time_is_stopped_after_it() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let programs = Programs::from(Runner::Direct);
        let brief = |script: &str, millis| {
            let program = shell(script);
            runtime.block_on(programs.run_briefly(&program, Duration::from_millis(millis)))
        };
        assert_eq!(brief("echo 1", 10_000).unwrap().output, "1\n");
        let started = std::time::Instant::now();
        let Err(StepError::Failed(why)) = brief("exec sleep 60", 50) else { panic!("it sleeps") };
        assert!(
            why.contains("was stopped") && started.elapsed() < Duration::from_secs(20),
            "{why}"
        );
    }

    #[test]
    fn a_program_that_is_not_there_is_told_by_name() {
        let missing = Program { name: "onloadd-no-such-program", ..shell("") };
        let Err(StepError::Unsupported(why)) = run(&missing) else { panic!("it is not there") };
        assert!(why.contains("onloadd-no-such-program"), "{why}");
    }
}

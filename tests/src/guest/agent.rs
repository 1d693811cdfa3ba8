//! The agent in a test's guest: carries out orders that come over a virtio port, each in a thread
//! of its own. As a service of its own, where a guest has one, it is the stand-in for the kubelet.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use onload_tests::guest::frame::{self, Answer, Order, PORT, Request};
use onload_tests::guest::kubelet;

/// Between two looks for the port, whose driver may still be starting.
const PACE: Duration = Duration::from_millis(50);

fn main() -> anyhow::Result<()> {
    match std::env::args().nth(1).as_deref() {
        None => attend(),
        Some(kubelet::WORD) => kubelet::run(),
        Some(other) => bail!("the agent does not know {other}"),
    }
}

fn attend() -> anyhow::Result<()> {
    let port = open()?;
    let mut orders = port.try_clone()?;
    let answers = Arc::new(Mutex::new(port));
    say(&answers, &Answer::Hello, &[]);
    loop {
        let (request, body): (Request, _) = frame::read(&mut orders)?;
        let answers = Arc::clone(&answers);
        thread::spawn(move || {
            let id = request.id;
            match carry_out(request, &body) {
                Ok((answer, body)) => say(&answers, &answer, &body),
                Err(error) => say(&answers, &Answer::Failed { id, why: format!("{error:#}") }, &[]),
            }
        });
    }
}

/// The port by its name; there is no udev yet that would have made a link of it.
fn open() -> anyhow::Result<File> {
    loop {
        let ports = fs::read_dir("/sys/class/virtio-ports").into_iter().flatten().flatten();
        let ours = ports.map(|port| port.path()).find(|port| {
            fs::read_to_string(port.join("name")).is_ok_and(|name| name.trim() == PORT)
        });
        if let Some(name) = ours.as_deref().and_then(Path::file_name) {
            let device = Path::new("/dev").join(name);
            let port = OpenOptions::new().read(true).write(true).open(&device);
            return port.with_context(|| device.display().to_string());
        }
        thread::sleep(PACE);
    }
}

fn say(answers: &Mutex<File>, answer: &Answer, body: &[u8]) {
    let mut port = answers.lock().unwrap_or_else(PoisonError::into_inner);
    // Nobody else could be told.
    if let Err(error) = frame::write(&mut *port, answer, body) {
        eprintln!("cannot answer: {error}");
    }
}

fn carry_out(request: Request, body: &[u8]) -> anyhow::Result<(Answer, Vec<u8>)> {
    let id = request.id;
    match request.order {
        Order::Run { shell, limit_secs } => run(id, &shell, limit_secs),
        Order::Put { path, mode } => {
            let path = PathBuf::from(path);
            fs::create_dir_all(path.parent().context("not a file's path")?)?;
            let mut file = File::create(&path)?;
            file.set_permissions(Permissions::from_mode(mode))?;
            file.write_all(body)?;
            Ok((Answer::Done { id }, Vec::new()))
        }
        Order::Get { path } => Ok((Answer::Done { id }, fs::read(&path).context(path)?)),
    }
}

/// Output goes to files, not pipes: what a command leaves in the background may keep it open.
fn run(id: u64, shell: &str, limit_secs: u64) -> anyhow::Result<(Answer, Vec<u8>)> {
    let mut stdout = tempfile::tempfile_in("/run")?;
    let mut stderr = tempfile::tempfile_in("/run")?;
    let status = Command::new("timeout")
        .args(["--kill-after=5", &limit_secs.to_string(), "sh", "-c", shell])
        .current_dir("/")
        .env("LC_ALL", "C")
        .env("HOME", "/root")
        .env("SYSTEMD_PAGER", "")
        .stdin(Stdio::null())
        .stdout(stdout.try_clone()?)
        .stderr(stderr.try_clone()?)
        .status()
        .context("cannot run timeout")?;
    let mut body = Vec::new();
    stdout.rewind()?;
    let stdout_bytes = stdout.read_to_end(&mut body)?;
    stderr.rewind()?;
    stderr.read_to_end(&mut body)?;
    Ok((Answer::Ran { id, status: status.code(), stdout_bytes }, body))
}

//! `depmod` for the modules of a release: what `modprobe -d` reads to load them by name and in
//! order. Modules they need of the kernel's own are not in the tree and not looked for; they are
//! loaded from the host's first.

use std::fs;
use std::io::{self, Read, Seek};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use onload_core::refusal::{Refusal, RefusalKind};

use super::budget::Budget;
use super::fault;
use super::layout::Layout;
use super::place::MODULE_TREES;

/// Where distributions keep it; what a caller's PATH says does not matter.
const PROGRAMS: [&str; 3] = ["/usr/sbin/depmod", "/sbin/depmod", "/usr/bin/depmod"];
/// Five modules take it some ten milliseconds; a disk that is out of breath takes seconds.
const LIMIT: Duration = Duration::from_secs(60);
/// How often it is looked whether it has ended.
const PAUSE: Duration = Duration::from_millis(5);
/// Lists of the kernel's own modules, of which the tree has none. Missing they are a warning.
const EMPTY_LISTS: [&str; 3] = ["modules.order", "modules.builtin", "modules.builtin.modinfo"];
/// Of what it complains, as much as a message holds.
const MOST_COMPLAINT: u64 = 2000;

/// Makes the lists of one kernel below `tree`. Returns what it warns of.
pub(super) fn run(
    tree: &Path,
    kernel: &str,
    layout: &Layout,
    budget: &Budget,
) -> Result<String, Refusal> {
    let directory = tree.join(MODULE_TREES).join(kernel);
    for list in EMPTY_LISTS {
        let list = directory.join(list);
        fs::write(&list, "").map_err(|error| fault::unwritten(&list, &error))?;
    }
    let Some(program) = PROGRAMS.into_iter().find(|program| Path::new(program).exists()) else {
        return Err(failed("there is no depmod on this machine", "install kmod"));
    };
    // A file and not a pipe: nobody has to read it for the program to go on.
    let mut errors = tempfile(&directory).map_err(|error| fault::unwritten(&directory, &error))?;
    let begin = || {
        Command::new(program)
            .arg("-b")
            .arg(tree)
            .arg(kernel)
            .env_clear()
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors.try_clone()?)
            .spawn()
    };
    let mut child = begin()
        .map_err(|error| failed(format!("{program} cannot be run: {error}"), "install kmod"))?;
    let status = ended(&mut child, budget)?;
    let mut complaint = String::new();
    let _ =
        errors.rewind().and_then(|()| errors.take(MOST_COMPLAINT).read_to_string(&mut complaint));
    let complaint = complaint.trim();
    if !status.success() {
        let why = format!("{program} failed for kernel {kernel} ({status}): {complaint}");
        return Err(failed(why, "see that the modules are whole and kmod is not broken"));
    }
    listed(&directory, kernel, layout)?;
    Ok(complaint.to_owned())
}

/// Every module must be in the list that `modprobe` reads.
fn listed(directory: &Path, kernel: &str, layout: &Layout) -> Result<(), Refusal> {
    let list = directory.join("modules.dep");
    let text = fs::read_to_string(&list).map_err(|error| fault::unwritten(&list, &error))?;
    let prefix = format!("{MODULE_TREES}/{kernel}/");
    let modules = layout.files.keys().filter_map(|path| path.strip_prefix(&prefix));
    for module in modules {
        if !text.lines().any(|line| line.split(':').next() == Some(module)) {
            let why = format!("depmod did not list {module} for kernel {kernel}");
            return Err(failed(why, "see what /etc/depmod.d excludes"));
        }
    }
    Ok(())
}

fn ended(child: &mut Child, budget: &Budget) -> Result<ExitStatus, Refusal> {
    let begun = Instant::now();
    loop {
        let unable = |error: io::Error| failed(format!("depmod: {error}"), "try again");
        if let Some(status) = child.try_wait().map_err(unable)? {
            return Ok(status);
        }
        let over = if begun.elapsed() > LIMIT {
            let why = format!("depmod did not end within {} seconds", LIMIT.as_secs());
            Err(failed(why, "see what the disk is busy with, and try again"))
        } else {
            budget.must_go_on()
        };
        if let Err(why) = over {
            // It has ended by itself, or ends by this.
            let _ = child.kill();
            let _ = child.wait();
            return Err(why);
        }
        std::thread::sleep(PAUSE);
    }
}

/// A file without a name.
fn tempfile(directory: &Path) -> io::Result<fs::File> {
    let path = directory.join(".depmod-errors");
    let file =
        fs::File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
    fs::remove_file(path)?;
    Ok(file)
}

fn failed(why: impl Into<String>, fix: &str) -> Refusal {
    Refusal::new(RefusalKind::Blocked, "no release was taken in", why, fix)
}

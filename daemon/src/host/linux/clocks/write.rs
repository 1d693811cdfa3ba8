//! What onloadd writes for sfptpd: its configuration, and that the unit of its package uses it. Both lie
//! below `/run` and are gone with the boot; no file of the package is touched.
//!
//! A kill between two writes is found by the next look. So the configuration comes last and goes last: while
//! it is not there, nothing has been done, and while it is, there is something to take back.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use onload_core::clock::Written;
use onload_core::reading::Reading;
use onload_core::step::{Outcome, StepError};

use super::super::Linux;
use super::super::attribute;
use super::super::root::{Dir, Kind};
use super::super::runner::{Program, Programs};
use super::super::source::Source;
use super::units::is_service;

/// Our own unit, for machines without that of the package: it reads the configuration where it is.
const OWN_UNIT: &str = "onloadd-sfptpd.service";
const DIRECTORY: &str = "run/onloadd";
pub(super) const CONFIGURATION: &str = "run/onloadd/sfptpd.cfg";
const CONFIGURATION_NAME: &str = "sfptpd.cfg";
/// What is written before it is known to be good.
const DRAFT: &str = "run/onloadd/.sfptpd.cfg";
const DRAFT_NAME: &str = ".sfptpd.cfg";
/// Where systemd looks for what is true until the end of the boot.
const UNITS: &str = "run/systemd/system";
const DROP_IN: &str = "50-onloadd.conf";
/// Over the file that the package's unit names (reference/sfptpd.md section 1).
const DROP_IN_TEXT: &str = "\
# Written by onloadd until the end of the boot: sfptpd uses the configuration that onloadd has made of its own.
[Service]
BindReadOnlyPaths=-/run/onloadd/sfptpd.cfg:/etc/sfptpd.conf
";
/// The program that is asked whether it takes a configuration.
const PROGRAM: &str = "usr/sbin/sfptpd";
/// The configuration of the package, over which ours is laid.
const USUAL: &str = "etc/sfptpd.conf";
/// Only root reads it: it may hold keys of NTP.
const MODE: u32 = 0o600;
/// Most that a configuration holds; the longest that are shipped as examples have 20 KiB.
pub(super) const CONFIGURATION_BYTES: usize = 256 << 10;

/// What has been written. Absent while nothing has been, or not all of it.
pub(super) fn written(root: &Dir) -> Reading<Written> {
    // A recording has none of it: it may hold keys of NTP.
    let text = root.unrecorded().read(CONFIGURATION, CONFIGURATION_BYTES);
    let unit = drop_ins(root).map(|units| units.into_iter().next());
    match (text.and_then(attribute::text), unit) {
        (_, Reading::Unreadable(why)) | (Reading::Unreadable(why), _) => Reading::Unreadable(why),
        (Reading::Known(text), Reading::Known(Some(unit))) => {
            Reading::Known(Written::new(text, unit))
        }
        (Reading::Known(text), Reading::Known(None) | Reading::Absent) => {
            Reading::Known(Written::new(text, OWN_UNIT.to_owned()))
        }
        // Cut off between the two: there is something to take back.
        (Reading::Absent, Reading::Known(Some(unit))) => {
            Reading::Known(Written::new(String::new(), unit))
        }
        (Reading::Absent, Reading::Known(None) | Reading::Absent) => Reading::Absent,
    }
}

/// Units that have a drop-in of ours.
fn drop_ins(root: &Dir) -> Reading<Vec<String>> {
    root.list(UNITS).map(|entries| {
        let directories = entries.into_iter().filter(|(_, kind)| *kind == Kind::Directory);
        let units = directories.filter_map(|(name, _)| name.strip_suffix(".d").map(str::to_owned));
        let ours = |unit: &String| root.node(&format!("{UNITS}/{unit}.d/{DROP_IN}"));
        units.filter(|unit| matches!(ours(unit), Reading::Known(_))).collect()
    })
}

impl Linux {
    /// Writes the configuration of sfptpd, and has its unit use it.
    ///
    /// # Errors
    /// sfptpd does not take it, or it cannot be written, or systemd does not answer.
    pub(in super::super) async fn configure_clock(
        &self,
        wanted: &Written,
    ) -> Result<Outcome, StepError> {
        self.place_of_clock()?.configure(wanted).await
    }

    /// Has sfptpd's unit use its own configuration again.
    ///
    /// # Errors
    /// A file cannot be removed, or systemd does not answer.
    pub(in super::super) async fn leave_clock(&self) -> Result<Outcome, StepError> {
        self.place_of_clock()?.leave().await
    }

    fn place_of_clock(
        &self,
    ) -> Result<Place<'_, impl AsyncFn() -> Result<(), StepError>>, StepError> {
        if matches!(self.source, Source::Recorded) {
            return Err(self.unsupported());
        }
        let reload = async || self.programs.systemd.reload().await;
        Ok(Place { base: Path::new("/"), root: &self.root, programs: &self.programs, reload })
    }
}

/// Takes it back below a root, without a host; the unit that used it, where anything was written.
///
/// # Errors
/// A file cannot be removed, or systemd does not answer.
pub(in super::super) async fn leave_below(
    base: &Path,
    root: &Dir,
    reload: impl AsyncFn() -> Result<(), StepError>,
) -> Result<Option<String>, StepError> {
    let unit = match written(root) {
        Reading::Absent => return Ok(None),
        Reading::Known(written) => written.unit,
        // What cannot be read is taken back all the same.
        Reading::Unreadable(_) => {
            let units = drop_ins(root).into_known().unwrap_or_default();
            units.into_iter().next().unwrap_or_else(|| OWN_UNIT.to_owned())
        }
    };
    let place = Place { base, root, programs: &Programs::default(), reload };
    place.leave().await.map(|_| Some(unit))
}

/// Where it is written, and who is told.
struct Place<'a, R> {
    base: &'a Path,
    root: &'a Dir,
    programs: &'a Programs,
    /// Has systemd read its files anew.
    reload: R,
}

impl<R: AsyncFn() -> Result<(), StepError>> Place<'_, R> {
    async fn configure(&self, wanted: &Written) -> Result<Outcome, StepError> {
        let (text, unit) = (wanted.text(), &wanted.unit);
        if !is_service(unit) {
            return Err(failed("it was not written", &format!("{unit} is no name of a service")));
        }
        // systemd would make what it lays a file over, and that would stay.
        if unit != OWN_UNIT && !self.base.join(USUAL).exists() {
            let why =
                format!("/{USUAL}, which {unit} reads, is not there: put one there, be it empty");
            return Err(failed("it was not written", &why));
        }
        let (draft, place) = (self.base.join(DRAFT), self.base.join(CONFIGURATION));
        let refuse = |error: io::Error| failed("it was not written", &error);
        fs::create_dir_all(self.base.join(DIRECTORY)).map_err(refuse)?;
        replace(&draft, text, MODE).map_err(refuse)?;
        self.check(&draft).await?;
        // What is there for another unit is taken back first, all of it.
        if written(self.root).known().is_some_and(|former| former.unit != *unit) {
            self.leave().await?;
            replace(&draft, text, MODE).map_err(refuse)?;
        }
        let changed = drop_in(self.base, unit);
        let changed = changed.map_err(|error| failed("its unit was not told", &error))?;
        // Without the configuration in its place nobody has said that systemd was told.
        if changed || !place.exists() {
            (self.reload)().await?;
        }
        fs::rename(draft, place).map(|()| Outcome::Changed).map_err(refuse)
    }

    async fn leave(&self) -> Result<Outcome, StepError> {
        let refuse = |error: io::Error| failed("it was not taken back", &error);
        let place = |directory: &str| self.root.place(self.base, directory).map_err(refuse);
        for unit in drop_ins(self.root).into_known().unwrap_or_default() {
            let Some(directory) = place(&format!("{UNITS}/{unit}.d"))? else { continue };
            removed(&directory.join(DROP_IN)).map_err(refuse)?;
            // Where somebody else has one too, it stays.
            let _ = fs::remove_dir(directory);
        }
        (self.reload)().await?;
        let Some(directory) = place(DIRECTORY)? else { return Ok(Outcome::Unchanged) };
        removed(&directory.join(DRAFT_NAME)).map_err(refuse)?;
        let removed = removed(&directory.join(CONFIGURATION_NAME)).map_err(refuse)?;
        Ok(if removed { Outcome::Changed } else { Outcome::Unchanged })
    }

    /// Has sfptpd itself read what is to be its configuration, where it is installed.
    async fn check(&self, draft: &Path) -> Result<(), StepError> {
        if !self.base.join(PROGRAM).exists() {
            return Ok(());
        }
        let words = ["--no-daemon", "-t", "-f"].map(str::to_owned);
        let program = Program {
            unit: "onloadd-sfptpd-check.service".to_owned(),
            description: "Check of a configuration of sfptpd".to_owned(),
            name: "sfptpd",
            arguments: words.into_iter().chain([draft.display().to_string()]).collect(),
            environment: Vec::new(),
            path: Vec::new(),
        };
        let ended = self.programs.run(&program).await?;
        if ended.success {
            return Ok(());
        }
        let _ = fs::remove_file(draft);
        Err(failed("sfptpd does not take it", &last_lines(&ended.output)))
    }
}

/// The end of what a program said, for a message.
fn last_lines(output: &str) -> String {
    const LINES: usize = 3;
    let mut lines: Vec<&str> =
        output.lines().rev().filter(|line| !line.trim().is_empty()).take(LINES).collect();
    lines.reverse();
    if lines.is_empty() { "it did not say why".to_owned() } else { lines.join("; ") }
}

/// Writes the drop-in of a unit, unless it is ours or already there; whether anything changed.
fn drop_in(base: &Path, unit: &str) -> io::Result<bool> {
    if unit == OWN_UNIT {
        return Ok(false);
    }
    let directory = base.join(UNITS).join(format!("{unit}.d"));
    let path = directory.join(DROP_IN);
    if fs::read_to_string(&path).is_ok_and(|text| text == DROP_IN_TEXT) {
        return Ok(false);
    }
    fs::create_dir_all(&directory)?;
    // systemd reads it as root, people as themselves, whatever the daemon's umask.
    fs::set_permissions(&directory, Permissions::from_mode(0o755))?;
    let draft = directory.join(format!(".{DROP_IN}"));
    replace(&draft, DROP_IN_TEXT, 0o644)?;
    fs::rename(draft, path).map(|()| true)
}

fn replace(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    removed(path)?;
    let mut file = File::create_new(path)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(text.as_bytes())
}

/// Whether there was something to remove.
fn removed(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        removed => removed.map(|()| true),
    }
}

fn failed(what: &str, why: &dyn std::fmt::Display) -> StepError {
    StepError::Failed(format!("the configuration of sfptpd: {what}: {why}"))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::super::super::root::tests::root_with;
    use super::super::super::runner::Runner;
    use super::*;

    const PACKAGE: &str = "sfptpd.service";

    struct Node {
        place: tempfile::TempDir,
        root: Dir,
        reloads: Cell<u32>,
        fails: Cell<bool>,
    }

    impl Node {
        fn new() -> Self {
            let (place, root) = root_with(&[("run/systemd/system/x.service", ""), (USUAL, "")]);
            Self { place, root, reloads: Cell::new(0), fails: Cell::new(false) }
        }

        fn run<T>(&self, work: impl AsyncFnOnce(&dyn Fn() -> bool) -> T) -> T {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let reload = || {
                self.reloads.set(self.reloads.get() + 1);
                !self.fails.get()
            };
            runtime.block_on(work(&reload))
        }

        fn apply(&self, wanted: Option<&Written>) -> Result<Outcome, StepError> {
            let programs = Programs::from(Runner::Direct);
            self.run(async |told| {
                let reload = async || match told() {
                    true => Ok(()),
                    false => Err(StepError::Failed("no bus".to_owned())),
                };
                let (base, root) = (self.place.path(), &self.root);
                let place = Place { base, root, programs: &programs, reload };
                match wanted {
                    Some(wanted) => place.configure(wanted).await,
                    None => place.leave().await,
                }
            })
        }

        fn drop_in(&self, unit: &str) -> Option<String> {
            let path = self.place.path().join(UNITS).join(format!("{unit}.d")).join(DROP_IN);
            fs::read_to_string(path).ok()
        }
    }

    fn wanted(text: &str, unit: &str) -> Written {
        Written::new(text.to_owned(), unit.to_owned())
    }

    #[test]
    fn what_was_written_reads_back_and_goes_without_a_trace() {
        let node = Node::new();
        assert_eq!(written(&node.root), Reading::Absent);
        let first = wanted("[general]\n", PACKAGE);
        assert_eq!(node.apply(Some(&first)), Ok(Outcome::Changed));
        assert_eq!(written(&node.root), Reading::Known(first));
        let text = node.drop_in(PACKAGE).unwrap();
        assert!(text.ends_with("BindReadOnlyPaths=-/run/onloadd/sfptpd.cfg:/etc/sfptpd.conf\n"));
        let path = node.place.path().join(CONFIGURATION);
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);

        // Other text alone is nothing that systemd has to read.
        let second = wanted("[general]\nlock on\n", PACKAGE);
        assert_eq!(node.apply(Some(&second)), Ok(Outcome::Changed));
        assert_eq!((written(&node.root), node.reloads.get()), (Reading::Known(second), 1));

        assert_eq!(node.apply(None), Ok(Outcome::Changed));
        assert_eq!((written(&node.root), node.reloads.get()), (Reading::Absent, 2));
        let left: Vec<_> = fs::read_dir(node.place.path().join(UNITS)).unwrap().collect();
        assert_eq!(left.len(), 1, "what is not ours: {left:?}");
    }

    #[test]
    fn our_own_unit_needs_no_drop_in_and_a_change_of_units_leaves_one() {
        let node = Node::new();
        let ours = wanted("a\n", OWN_UNIT);
        node.apply(Some(&ours)).unwrap();
        assert_eq!(written(&node.root), Reading::Known(ours));
        assert_eq!(drop_ins(&node.root), Reading::Known(Vec::new()));
        for unit in [PACKAGE, "other.service"] {
            node.apply(Some(&wanted("a\n", unit))).unwrap();
            assert_eq!(written(&node.root), Reading::Known(wanted("a\n", unit)));
            assert_eq!(drop_ins(&node.root), Reading::Known(vec![unit.to_owned()]));
        }
        for unit in ["../x.service", "sfptpd", ""] {
            assert!(node.apply(Some(&wanted("a\n", unit))).is_err(), "{unit}");
        }
    }

    #[test]
    fn while_systemd_was_not_told_it_does_not_count_as_written_or_as_gone() {
        let node = Node::new();
        node.fails.set(true);
        assert!(node.apply(Some(&wanted("a\n", PACKAGE))).is_err());
        assert_eq!(written(&node.root), Reading::Known(wanted("", PACKAGE)), "to be taken back");
        node.fails.set(false);
        node.apply(Some(&wanted("a\n", PACKAGE))).unwrap();
        assert_eq!(node.reloads.get(), 2, "told again, though the drop-in was there");
        node.fails.set(true);
        assert!(node.apply(None).is_err());
        assert!(written(&node.root).known().is_some());
        node.fails.set(false);
        assert_eq!(node.apply(None), Ok(Outcome::Changed));
        assert_eq!(written(&node.root), Reading::Absent);
    }

    #[test]
    fn what_a_program_said_last_is_told() {
        assert_eq!(last_lines("a\n\nb\nc\nd\n"), "b; c; d");
        assert_eq!(last_lines(" \n"), "it did not say why");
    }
}

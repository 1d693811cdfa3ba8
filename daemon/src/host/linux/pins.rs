//! Names that onloadd has pinned: `.link` files of its own for udev, one for each port. No other file
//! is touched.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use onload_core::naming::{ALTERNATIVE, DIRECTORY, Key, Pin, Pins, SUFFIX, is_own, rule};
use onload_core::reading::Reading;
use onload_core::step::{Outcome, StepError};

use super::Linux;
use super::attribute;
use super::root::Dir;
use super::udevd;

/// Where udev looks in an initramfs that copies are made to, the first before the others.
const INITRAMFS_DIRECTORIES: [&str; 3] =
    ["etc/systemd/network", "usr/lib/systemd/network", "lib/systemd/network"];
/// Does not end in `.link`, so that udev does not read half of it. One, so that what a kill leaves is
/// found again.
const DRAFT: &str = "10-onloadd-draft.new";
/// A dozen lines; a port may have a few hundred alternative names.
const FILE_BYTES: usize = 64 << 10;

const HEADER: &str = "\
    # Written by onloadd, which replaces or removes this file: what is changed here is lost.\n\
    # Why: the port keeps this name whichever driver it has. `onloadctl naming plan` shows what each would make of it.\n\
    # To be rid of it: policy = \"off\" in [naming] of the configuration of onloadd.\n";

/// What stands there now; absent where onloadd has written nothing.
pub(super) fn read(root: &Dir) -> Reading<Pins> {
    let names = match root.list(DIRECTORY) {
        Reading::Known(entries) => entries.into_keys(),
        Reading::Absent => return Reading::Absent,
        Reading::Unreadable(why) => return Reading::Unreadable(format!("{DIRECTORY}: {why}")),
    };
    let mut pins = Pins::new();
    for name in names.filter(|name| is_ours(name)) {
        match read_one(root, &name) {
            Reading::Known((key, pin)) => {
                pins.insert(key, pin);
            }
            // Removed since it was listed.
            Reading::Absent => {}
            Reading::Unreadable(why) => {
                return Reading::Unreadable(format!("{DIRECTORY}/{name}: {why}"));
            }
        }
    }
    if pins.is_empty() { Reading::Absent } else { Reading::Known(pins) }
}

fn read_one(root: &Dir, name: &str) -> Reading<(Key, Pin)> {
    let path = format!("{DIRECTORY}/{name}");
    // One to /dev/null is how somebody takes a file away.
    if let Reading::Known(target) = root.link(&path) {
        return Reading::Unreadable(format!("onloadd writes no link, and this leads to {target}"));
    }
    let text = root.read(&path, FILE_BYTES).and_then(attribute::text);
    text.and_then(|text| parse(name, &text).map_or_else(Reading::Unreadable, Reading::Known))
}

impl Linux {
    /// Writes the files that are missing or differ, removes those of ours that are no longer wanted,
    /// and tells udevd.
    ///
    /// # Errors
    /// The directory cannot be written, a name is none for udev, or udevd was not told.
    pub(super) async fn pin_names(&self, wanted: &Pins) -> Result<Outcome, StepError> {
        let wanted = wanted.clone();
        // It waits for the disk.
        let write = tokio::task::spawn_blocking(move || write(Path::new(DIRECTORY), &wanted)).await;
        let written = write.map_err(|error| StepError::Failed(error.to_string()))?;
        if !written.map_err(|error| StepError::Failed(error.to_string()))? {
            return Ok(Outcome::Unchanged);
        }
        // The ports may come sooner than it would see that by itself.
        if udevd::runs() {
            udevd::reload(&self.programs).await?;
        }
        Ok(Outcome::Changed)
    }
}

/// Why names are not pinned.
#[derive(Debug, thiserror::Error)]
pub(super) enum PinError {
    #[error("{} was not {what}: {error}{}", path.display(), advice(error))]
    System { what: &'static str, path: PathBuf, error: io::Error },
    #[error(
        "{0:?} was not pinned: it is no name for udev, which takes 1 to 127 letters, digits and signs without :/%\\\"'"
    )]
    Name(String),
    #[error("no name was pinned: {} is none of onloadd's files, though it is called like one; move it away", .0.display())]
    Foreign(PathBuf),
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ReadOnlyFilesystem => {
            ". Where the directory is missing, systemd-tmpfiles makes it later in the boot, and the next \
             boot finds it; where /etc stays read-only, set policy = \"off\" in [naming]"
        }
        _ => "",
    }
}

/// Makes the files of ours in a directory those that are wanted. True where something changed. What is
/// changed is on the disk when it returns: a port that comes after a power loss must find it.
pub(super) fn write(directory: &Path, wanted: &Pins) -> Result<bool, PinError> {
    let system = |what, path: &Path| {
        let path = path.to_owned();
        move |error| PinError::System { what, path, error }
    };
    let odd = wanted.values().flat_map(names_of).find(|name| !rule::is_word(name));
    if let Some(odd) = odd {
        return Err(PinError::Name(odd.to_owned()));
    }
    let there = match ours(directory) {
        Ok(there) => there,
        Err(error) if error.kind() == io::ErrorKind::NotFound && wanted.is_empty() => {
            return Ok(false);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(directory).map_err(system("made", directory))?;
            Vec::new()
        }
        Err(error) => return Err(system("read", directory)(error)),
    };
    for name in &there {
        let path = directory.join(name);
        let node = fs::symlink_metadata(&path).map_err(system("read", &path))?;
        if Key::of_file(name).is_none() || !node.is_file() {
            return Err(PinError::Foreign(path));
        }
    }
    let draft = directory.join(DRAFT);
    let mut changed = removed(&draft).map_err(system("removed", &draft))?;
    for (key, pin) in wanted {
        let (path, text) = (directory.join(key.file()), print(key, pin));
        if fs::read(&path).is_ok_and(|there| there == text.as_bytes()) {
            continue;
        }
        replace(&draft, &path, &text).map_err(system("written", &path))?;
        changed = true;
    }
    for name in there {
        if Key::of_file(&name).is_none_or(|key| !wanted.contains_key(&key)) {
            let path = directory.join(name);
            changed |= removed(&path).map_err(system("removed", &path))?;
        }
    }
    if changed {
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        synced.map_err(system("synced", directory))?;
    }
    Ok(changed)
}

/// Names of files in a directory that begin and end as ours do.
pub(super) fn ours(directory: &Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        // What is not UTF-8 does not begin as ours do.
        found.extend(entry?.file_name().into_string().ok().filter(|name| is_ours(name)));
    }
    Ok(found)
}

fn replace(draft: &Path, path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create(draft)?;
    // Others look at it, whatever the daemon's umask.
    file.set_permissions(Permissions::from_mode(0o644))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    drop(file);
    fs::rename(draft, path)
}

/// Whether there was something to remove.
fn removed(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        removed => removed.map(|()| true),
    }
}

/// Whether a path in an initramfs is a copy of a file of ours, by its name.
pub(super) fn inside(path: &str) -> bool {
    let (directory, name) = path.rsplit_once('/').unwrap_or_default();
    INITRAMFS_DIRECTORIES.contains(&directory) && is_ours(name)
}

/// What files in an initramfs pin, by path. One that says something else pins nothing that is known.
pub(super) fn carried(texts: &BTreeMap<String, Vec<u8>>) -> Pins {
    // Of two of a name that below /etc counts, which sorts first.
    let said = texts.iter().rev().filter_map(|(path, text)| {
        parse(path.rsplit('/').next()?, std::str::from_utf8(text).ok()?).ok()
    });
    said.collect()
}

/// The files of these pins, as an initramfs has them.
pub(super) fn texts(pins: &Pins) -> BTreeMap<String, Vec<u8>> {
    let path = |key: &Key| format!("{}/{}", INITRAMFS_DIRECTORIES[0], key.file());
    pins.iter().map(|(key, pin)| (path(key), print(key, pin).into_bytes())).collect()
}

/// Whether a file is called as ours are.
fn is_ours(name: &str) -> bool {
    is_own(name) && name.ends_with(SUFFIX)
}

fn print(key: &Key, pin: &Pin) -> String {
    format!("{HEADER}\n{}\n", key.settings(pin).join("\n"))
}

/// Only what onloadd writes, but for comments: with anything else in it, nobody knows what udev makes
/// of it. The error has the line.
fn parse(file: &str, text: &str) -> Result<(Key, Pin), String> {
    let key = Key::of_file(file).ok_or("no file of onloadd's is called so")?;
    let is_said = |line: &str| !line.is_empty() && !line.starts_with(['#', ';']);
    let said: Vec<_> = (1..).zip(text.lines()).filter(|(_, line)| is_said(line)).collect();
    let values = |key| said.iter().filter_map(move |(_, line)| line.strip_prefix(key));
    let name = values("Name=")
        .next()
        .filter(|name| rule::is_word(name))
        .ok_or("it has no usable Name=")?;
    let name = name.parse().map_err(|error| format!("its Name= cannot be used: {error}"))?;
    let altnames =
        values(ALTERNATIVE).filter(|name| rule::is_word(name)).map(str::to_owned).collect();
    let pin = Pin { name, altnames };
    let wanted = key.settings(&pin);
    let mut lines = said.iter();
    for wanted in &wanted {
        match lines.next() {
            Some((_, line)) if line == wanted => {}
            Some((number, line)) => return Err(odd(*number, line)),
            None => return Err(format!("it ends before `{wanted}`")),
        }
    }
    lines.next().map_or(Ok((key, pin)), |(number, line)| Err(odd(*number, line)))
}

fn odd(number: usize, line: &str) -> String {
    let line: String = line.chars().take(60).collect();
    format!("line {number} is not what onloadd writes there: `{}`", line.escape_debug())
}

fn names_of(pin: &Pin) -> impl Iterator<Item = &str> {
    pin.altnames.iter().map(String::as_str).chain([pin.name.as_str()])
}

#[cfg(test)]
mod tests;

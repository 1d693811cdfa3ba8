//! What onloadd tells modprobe until the end of this boot: one file of `/run/modprobe.d`, which
//! modprobe and udev read beside the host's own.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use onload_core::inventory::{Autoload, Loader};
use onload_core::reading::Reading;

use super::attribute;
use super::root::Dir;

/// The directory, made by tmpfiles so that the daemon's sandbox can open it for writing.
pub(super) const DIRECTORY: &str = "/run/modprobe.d";
/// udev's own directory for this boot, made by tmpfiles for the same reason.
pub(super) const RULES: &str = "/run/udev/rules.d";
pub(super) const FILE: &str = "onloadd.conf";
/// Does not end in `.conf`, so that modprobe does not read half of it.
const DRAFT: &str = ".onloadd.new";
/// Before `80-drivers.rules`, where udev loads what the alias names.
pub(super) const RULE_FILE: &str = "79-onloadd-block.rules";
/// The functions that `sfc` knows: of Solarflare, and those of AMD and Xilinx beside them
/// (reference/onload-modules.md section 13).
const RULE: &str = "# Written by onloadd: a driver is being replaced, and none must come back in between.\n\
    SUBSYSTEM==\"pci\", ENV{MODALIAS}==\"pci:v00001924d*|pci:v00001022d00001190*|pci:v000010EEd0000[01]100*\", ENV{MODALIAS}=\"\"\n";
/// Three lines and a few of comment.
const FILE_BYTES: usize = 64 << 10;

/// Only `sfc` has aliases of the hardware; what it and `onload` need is loaded with them and by
/// nothing else (reference/onload-modules.md section 2).
const BLOCK: &str = "blacklist sfc";
const SERVER: &str = "options onload cplane_server_path=";

/// What stands there now; absent where onloadd has written nothing.
pub(super) fn read(root: &Dir) -> Reading<Loader> {
    let text = root.read(&format!("{DIRECTORY}/{FILE}"), FILE_BYTES).and_then(attribute::text);
    let said = text.and_then(|text| parse(&text));
    // The last of it to go: while it is there, the hardware loads nothing.
    match root.node(&format!("{RULES}/{RULE_FILE}")) {
        Reading::Known(_) => match said {
            Reading::Unreadable(why) => Reading::Unreadable(why),
            said => {
                let server = said.into_known().and_then(|loader| loader.server);
                Reading::Known(Loader { autoload: Autoload::Blocked, server })
            }
        },
        Reading::Absent => said,
        Reading::Unreadable(why) => Reading::Unreadable(why),
    }
}

/// Only what onloadd writes: with anything else in it, the file does not say what it was told.
fn parse(text: &str) -> Reading<Loader> {
    let mut loader = Loader::default();
    for line in text.lines().map(str::trim_end) {
        if line.is_empty() || line.starts_with('#') {
        } else if line == BLOCK {
            loader.autoload = Autoload::Blocked;
        } else if let Some(server) = line.strip_prefix(SERVER).filter(|path| is_plain(path)) {
            loader.server = Some(server.to_owned());
        } else {
            return Reading::Unreadable(format!(
                "{DIRECTORY}/{FILE} has a line that onloadd does not write: `{}`",
                line.chars().take(60).collect::<String>().escape_debug()
            ));
        }
    }
    Reading::Known(loader)
}

/// A path that modprobe and the kernel take as one word.
fn is_plain(path: &str) -> bool {
    let odd = |c: char| c.is_whitespace() || c.is_control() || ['"', '\'', '\\', '#'].contains(&c);
    path.starts_with('/') && !path.contains(odd)
}

fn print(loader: &Loader) -> String {
    let mut text =
        "# Written by onloadd for this boot only: gone after a reboot, and when onloadd does \
        not need it.\n"
            .to_owned();
    if loader.autoload == Autoload::Blocked {
        text += "# A driver is being replaced. The kernel's own must not come back in between.\n";
        text += &format!("{BLOCK}\n");
    }
    if let Some(server) = &loader.server {
        text += "# The control-plane server of the Onload release in use.\n";
        text += &format!("{SERVER}{server}\n");
    }
    text
}

/// Replaces the file as a whole; removes it where there is nothing to say.
///
/// # Errors
/// The system's answer, or that a path cannot stand in such a file.
pub(super) fn write(directory: &Path, loader: &Loader) -> io::Result<()> {
    let file = directory.join(FILE);
    if *loader == Loader::default() {
        return match fs::remove_file(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        };
    }
    if let Some(server) = loader.server.as_ref().filter(|server| !is_plain(server)) {
        return Err(io::Error::other(format!("modprobe cannot be told the path `{server}`")));
    }
    fs::create_dir_all(directory)?;
    replace(directory, FILE, &print(loader))
}

/// Has udev load a driver for the hardware, or not. A rule for this boot, because udevd does not heed
/// the file above: of modprobe's directories it knows only those that were there when it started, and
/// being told to reload does not change that (seen with systemd 252). True where something changed
/// and udevd is to be told.
///
/// # Errors
/// The directory cannot be written.
pub(super) fn rule(rules: &Path, autoload: Autoload) -> io::Result<bool> {
    let file = rules.join(RULE_FILE);
    match autoload {
        Autoload::Allowed => match fs::remove_file(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            removed => removed.map(|()| true),
        },
        Autoload::Blocked => {
            fs::create_dir_all(rules)?;
            replace(rules, RULE_FILE, RULE).map(|()| true)
        }
    }
}

/// Writes a file as a whole.
fn replace(directory: &Path, name: &str, text: &str) -> io::Result<()> {
    let path = directory.join(DRAFT);
    let mut draft = File::create(&path)?;
    // Others look at it, whatever the daemon's umask.
    draft.set_permissions(Permissions::from_mode(0o644))?;
    draft.write_all(text.as_bytes())?;
    drop(draft);
    fs::rename(path, directory.join(name))
}

#[cfg(test)]
mod tests {
    use super::super::root::tests::root_with;
    use super::*;

    fn loader(autoload: Autoload, server: Option<&str>) -> Loader {
        Loader { autoload, server: server.map(str::to_owned) }
    }

    #[test]
    fn what_was_written_reads_back_and_the_default_is_no_file() {
        let (place, root) = root_with(&[]);
        let directory = place.path().join("run/modprobe.d");
        assert_eq!(read(&root), Reading::Absent);
        let rules = place.path().join("run/udev/rules.d");
        rule(&rules, Autoload::Blocked).unwrap();
        assert_eq!(read(&root), Reading::Known(loader(Autoload::Blocked, None)), "half undone");
        rule(&rules, Autoload::Allowed).unwrap();
        for autoload in [Autoload::Allowed, Autoload::Blocked] {
            for server in [None, Some("/opt/onload/sbin/onload_cp_server")] {
                let wanted = loader(autoload, server);
                write(&directory, &wanted).unwrap();
                let expected = match wanted == Loader::default() {
                    true => Reading::Absent,
                    false => Reading::Known(wanted),
                };
                assert_eq!(read(&root), expected);
            }
        }
        write(&directory, &Loader::default()).unwrap();
        write(&directory, &Loader::default()).unwrap();
        assert_eq!(fs::read_dir(directory).unwrap().count(), 0, "no draft is left either");
    }

    #[test]
    fn everybody_may_read_what_modprobe_is_told() {
        let place = tempfile::tempdir().unwrap();
        write(place.path(), &loader(Autoload::Blocked, None)).unwrap();
        let mode = fs::metadata(place.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
    }

    #[test]
    fn the_rule_is_there_while_blocked_and_only_changes_are_told() {
        let place = tempfile::tempdir().unwrap();
        let rules = place.path().join("udev/rules.d");
        assert!(!rule(&rules, Autoload::Allowed).unwrap(), "nothing to tell");
        assert!(rule(&rules, Autoload::Blocked).unwrap());
        let text = fs::read_to_string(rules.join(RULE_FILE)).unwrap();
        assert!(
            text.lines().all(|line| line.starts_with('#') || line.ends_with("ENV{MODALIAS}=\"\""))
        );
        assert!(rule(&rules, Autoload::Allowed).unwrap());
        assert_eq!(fs::read_dir(&rules).unwrap().count(), 0);
    }

    #[test]
    fn a_line_of_somebody_else_makes_it_unreadable() {
        for odd in
            ["blacklist onload", "options onload x=1", "install sfc /bin/true", BLOCK[1..].trim()]
        {
            assert!(parse(&format!("{BLOCK}\n{odd}\n")).is_unreadable(), "{odd}");
        }
        assert!(parse("options onload cplane_server_path=/a b\n").is_unreadable());
        assert_eq!(parse("# nothing\n\n"), Reading::Known(Loader::default()));
    }

    #[test]
    fn a_path_that_would_be_two_words_is_refused_and_changes_nothing() {
        let place = tempfile::tempdir().unwrap();
        for path in ["relative", "/a b", "/a\noptions sfc x=1", "/a\"", "/a#b"] {
            write(place.path(), &loader(Autoload::Allowed, Some(path))).unwrap_err();
        }
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    }
}

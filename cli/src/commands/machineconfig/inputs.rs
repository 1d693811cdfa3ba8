//! Files that are given, read and checked as their readers on the node will read them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use onload_core::clock::sfptpd::config as sfptpd;
use onload_core::config::{ClockMode, Config, Fragment};
use onload_core::naming;
use onload_dbus::error::Kind;

use crate::ended::Complaint;
use crate::render::paint::plain;

use super::drop_in::{self, DropIn};
use super::mode::Mode;
use super::parts::{Parts, Unit};
use super::words::Wanted;
use super::{WHAT, refuse};

/// More than a MachineConfig holds, were it compressed: what is longer need not be read to know that.
const LONGEST: u64 = 4 * 1024 * 1024;
/// Where sfptpd's configuration lies, unless the configuration names another place.
const CLOCK: &str = "/etc/onloadd/sfptpd.cfg";
const MODPROBE: &str = "/etc/modprobe.d";
/// What modprobe knows (modprobe.d(5)).
const COMMANDS: [&str; 7] =
    ["alias", "blacklist", "install", "options", "remove", "softdep", "weakdep"];
/// The driver that a node has without onloadd, and may have its network by.
const DRIVER: &str = "sfc";

/// Configuration of onloadd as it was given.
pub struct Configured {
    /// By name of the file, as onloadd reads them.
    fragments: BTreeMap<String, Fragment>,
    /// All of it, merged.
    pub config: Config,
}

impl Configured {
    /// Whether a key was written, and not only has its default.
    pub fn says(&self, key: &str) -> bool {
        self.config.entries.get(key).is_some_and(|entry| entry.origin.is_some())
    }

    /// It, with what follows from the other words.
    ///
    /// # Errors
    /// Together they do not hold.
    pub fn with(&self, drop_in: &DropIn) -> Result<Config, Complaint> {
        let mut all = self.fragments.clone();
        if let Some(fragment) = drop_in.fragment() {
            all.insert(drop_in::NAME.to_owned(), fragment);
        }
        merge(&all)
    }
}

fn merge(fragments: &BTreeMap<String, Fragment>) -> Result<Config, Complaint> {
    let all: Vec<_> = fragments.values().cloned().collect();
    Config::merge(&all).map_err(|error| {
        let fix = "mend the configuration: the one that comes with onloadd has every setting";
        refuse(plain(&error.to_string()), fix)
    })
}

/// Takes what is given as it is: configuration, link files, files of modprobe's, further files and units.
///
/// # Errors
/// One cannot be read, or what it says does not hold.
pub fn take(wanted: &Wanted, parts: &mut Parts) -> Result<Configured, Complaint> {
    let mut fragments = BTreeMap::new();
    for path in wanted.config.iter().chain(&wanted.naming) {
        let name = base(path, ".toml", "onloadd reads files of its configuration")?;
        let text = text(path)?;
        let shown = path.to_string_lossy().into_owned();
        parts.file(&format!("{}/{name}", drop_in::DIRECTORY), text.clone(), Mode::COMMON)?;
        fragments.insert(name, Fragment { file: shown, text });
    }
    let config = merge(&fragments)?;
    if let Some(path) = &wanted.naming {
        links(path, &config, parts)?;
    }
    for path in &wanted.modprobe {
        let name = base(path, ".conf", "modprobe reads files")?;
        let text = text(path)?;
        check_modprobe(&path.to_string_lossy(), &text)?;
        parts.file(&format!("{MODPROBE}/{name}"), text, Mode::COMMON)?;
    }
    wanted.file.iter().try_for_each(|words| further(words, parts))?;
    for path in &wanted.unit {
        let name = base(path, "", "systemd reads units")?;
        let text = text(path)?;
        if !text.lines().any(|line| line.trim() == "[Install]") {
            let why = format!("{} has no [Install], so nothing would ever start it", shown(path));
            return Err(refuse(why, "add [Install] with WantedBy=multi-user.target, say"));
        }
        parts.unit(&name, Unit { enabled: true, text: Some(text), ..Unit::default() })?;
    }
    let disabled = |name: &String| parts.unit(name, Unit::default());
    wanted.disable_unit.iter().try_for_each(disabled)?;
    Ok(Configured { fragments, config })
}

fn links(path: &Path, config: &Config, parts: &mut Parts) -> Result<(), Complaint> {
    let refused = naming::render(&config.settings.naming);
    let files = refused.map_err(|refusal| {
        Complaint::of(Kind::InvalidArgument, refusal.what, refusal.why, refusal.fix)
    })?;
    if files.is_empty() {
        let why = format!("{} names no port with `policy = \"explicit\"`", shown(path));
        let fix = "write [[naming.ports]] with `mac` or `pci` and a name";
        return Err(refuse(why, fix));
    }
    files.into_iter().try_for_each(|(path, text)| parts.file(&path, text, Mode::COMMON))
}

/// Takes sfptpd's configuration, and says that it is to be used.
///
/// # Errors
/// sfptpd would refuse it, or onloadd's configuration has another wish.
pub fn clock(
    wanted: &Wanted,
    configured: &Configured,
    parts: &mut Parts,
    drop_in: &mut DropIn,
) -> Result<(), Complaint> {
    let Some(path) = &wanted.clock else { return Ok(()) };
    let text = text(path)?;
    sfptpd::check(&text).map_err(|fault| refuse(format!("{}, {fault}", shown(path)), fault.fix))?;
    let ptp = &configured.config.settings.ptp;
    drop_in.manage = !configured.says("ptp.mode");
    if !drop_in.manage && ptp.mode != ClockMode::Manage {
        let why = "the configuration has a [ptp] mode by which sfptpd is left alone";
        return Err(refuse(why, "write `mode = \"manage\"` there, or leave out --clock"));
    }
    let place = ptp.configuration.clone().unwrap_or_else(|| {
        drop_in.clock = Some(CLOCK.to_owned());
        CLOCK.to_owned()
    });
    parts.file(&place, text, Mode::COMMON)
}

/// `PATH=FILE[:MODE]`.
fn further(words: &str, parts: &mut Parts) -> Result<(), Complaint> {
    let Some((path, source)) = words.split_once('=') else {
        let why = format!("`{}` does not say which file is for which path", plain(words));
        return Err(refuse(why, "write --file PATH=FILE, or PATH=FILE:MODE"));
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (source, mode) = match source.rsplit_once(':').filter(|(_, mode)| digits(mode)) {
        Some((source, mode)) => (source, Mode::parse(mode)?),
        None => (source, Mode::COMMON),
    };
    parts.file(path, bytes(Path::new(source))?, mode)
}

/// Whether modprobe takes each line, and the node keeps a driver to have its network by.
fn check_modprobe(file: &str, text: &str) -> Result<(), Complaint> {
    let whole = text.replace("\\\n", "  ");
    for line in whole.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        let [command, rest @ ..] = words.as_slice() else { continue };
        if command.starts_with('#') {
            continue;
        }
        let refused = |why: &str, fix: &str| {
            Err(refuse(format!("{}: `{}` {why}", plain(file), plain(line.trim())), fix))
        };
        if !COMMANDS.contains(command) || rest.is_empty() {
            let fix =
                "see modprobe.d(5); a driver's settings are written `options MODULE NAME=VALUE`";
            return refused("is nothing that modprobe knows", fix);
        }
        let ends =
            rest.get(1).is_some_and(|word| word.ends_with("/true") || word.ends_with("/false"));
        let stops = *command == "blacklist" || *command == "install" && ends;
        if stops && rest.first() == Some(&DRIVER) {
            let why = "keeps every sfc out, also where the right one is not there yet";
            return refused(
                why,
                "leave it out: onloadd replaces the driver that the kernel brings",
            );
        }
    }
    Ok(())
}

/// The name that a file has on the node: its own.
fn base(path: &Path, ending: &str, reader: &str) -> Result<String, Complaint> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    // As the daemon has it: one that begins with a dot is nobody's.
    if name.is_empty() || name.starts_with('.') || !name.ends_with(ending) {
        let why = format!("{reader} whose names end in {ending}, and {} does not", shown(path));
        return Err(refuse(why, format!("give it a name such as 50-site{ending}")));
    }
    Ok(name.to_owned())
}

fn text(path: &Path) -> Result<String, Complaint> {
    String::from_utf8(bytes(path)?)
        .map_err(|_| refuse(format!("{} is not UTF-8 text", shown(path)), "write it as plain text"))
}

/// What is in a file.
///
/// # Errors
/// It cannot be read.
pub fn bytes(path: &Path) -> Result<Vec<u8>, Complaint> {
    let read = || -> io::Result<Vec<u8>> {
        let file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        let mut bytes = Vec::new();
        file.take(LONGEST + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > LONGEST {
            let why = "it is longer than any MachineConfig: put it into an image";
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
        }
        Ok(bytes)
    };
    read().map_err(|error| {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => Kind::NotFound,
            io::ErrorKind::PermissionDenied => Kind::NotAuthorized,
            _ => Kind::InvalidArgument,
        };
        let why = format!("{} cannot be read: {error}", shown(path));
        Complaint::of(kind, WHAT, why, "see that the path is right, and that you may read it")
    })
}

/// A path as people read it.
pub fn shown(path: &Path) -> String {
    plain(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed test is what a panic is for.

    use super::*;

    #[test]
    fn modprobe_is_told_nothing_that_leaves_a_node_without_a_driver() {
        let check = |text: &str| check_modprobe("a.conf", text);
        let good = "# a comment\n\noptions sfc rss_cpus=cores \\\n  performance_profile=latency\nsoftdep onload pre: sfc\nblacklist other\ninstall sfc /sbin/modprobe --ignore-install sfc\n";
        assert_eq!(check(good), Ok(()));
        for (wrong, why) in [
            ("option sfc a=1\n", "nothing that modprobe knows"),
            ("options\n", "nothing that modprobe knows"),
            ("blacklist sfc\n", "keeps every sfc out"),
            ("install  sfc  /bin/false\n", "keeps every sfc out"),
        ] {
            let complaint = check(wrong).unwrap_err();
            assert!(complaint.why.contains(why) && !complaint.fix.is_empty(), "{complaint:?}");
        }
    }

    #[test]
    fn a_further_file_has_a_path_a_source_and_a_mode() {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let mut parts = Parts::default();
        further(&format!("/etc/a={source}"), &mut parts).unwrap();
        further(&format!("/usr/local/bin/b={source}:0755"), &mut parts).unwrap();
        let modes: Vec<_> = parts.files.values().map(|file| file.mode.number()).collect();
        assert_eq!(modes, [0o644, 0o755]);
        for (wrong, why) in [
            ("/etc/a".to_owned(), "which file"),
            (format!("/etc/c={source}:0493"), "0493 is no mode"),
            (format!("/usr/sbin/x={source}"), "the OS image's"),
            ("/etc/d=/nonexistent/x".to_owned(), "cannot be read"),
            (format!("/etc/a={source}"), "two files are for /etc/a"),
        ] {
            let complaint = further(&wrong, &mut parts).unwrap_err();
            assert!(complaint.why.contains(why), "{complaint:?}");
        }
    }
}

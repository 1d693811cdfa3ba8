//! The clocks it holds: hardware clocks of the interfaces it uses, and the system clock, each locked
//! while it steers it (reference/sfptpd.md section 4).

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};

use super::Refused;
use super::configuration::Configuration;
use super::place::Place;

/// The system clock's name.
pub(super) const SYSTEM: &str = "system";

/// A clock.
#[derive(Debug)]
pub(super) struct Clock {
    /// `system`, or `phc0`.
    pub(super) short: String,
    /// `system`, or `phc0(eth0)`.
    pub(super) long: String,
    /// What file names have: `system`, or `000f:5300:0001:0000`.
    pub(super) id: String,
    /// The directory of the hardware clock in sysfs, root included.
    sysfs: Option<std::path::PathBuf>,
    lock: Lock,
}

#[derive(Debug)]
enum Lock {
    /// It is only read, or has no device that could be locked.
    Not(#[allow(dead_code, reason = "held open, as the real one does")] Option<File>),
    Held(#[allow(dead_code, reason = "held, not read")] Flock<File>),
    /// Somebody else has it.
    Taken(#[allow(dead_code, reason = "held open")] File),
}

impl Clock {
    /// Whether another steers it, by its lock.
    pub(super) fn taken(&self) -> bool {
        matches!(self.lock, Lock::Taken(_))
    }

    /// Whether it may be steered by this process.
    pub(super) fn ours(&self) -> bool {
        matches!(self.lock, Lock::Held(_))
    }

    /// Whether the driver has gone from under it. It is not found anew when that comes back
    /// (reference/sfptpd.md section 9).
    pub(super) fn gone(&self) -> bool {
        self.sysfs.as_ref().is_some_and(|sysfs| !sysfs.exists())
    }
}

/// All of them by short name; the system clock is always there.
#[derive(Debug)]
pub(super) struct Clocks {
    pub(super) all: BTreeMap<String, Clock>,
    /// The clock of each interface that has one.
    pub(super) of: BTreeMap<String, String>,
}

impl Clocks {
    /// Opens and locks what the configuration asks for.
    ///
    /// # Errors
    /// ENODEV without the kernel's PTP subsystem or any clock of it, unless that is to be ignored.
    pub(super) fn open(
        place: &Place,
        configuration: &Configuration,
        steer_system: bool,
    ) -> Result<Self, Refused> {
        let ignored = configuration.list("ignore_critical");
        let class = place.below("/sys/class/ptp");
        if !class.exists() && !ignored.contains("no-ptp-subsystem") {
            return Err(Refused::new(Refused::ENODEV, "the kernel has no PTP subsystem"));
        }
        let any = fs::read_dir(&class).is_ok_and(|mut entries| entries.next().is_some());
        if !any && !ignored.contains("no-ptp-clock") && !ignored.contains("no-ptp-subsystem") {
            return Err(Refused::new(Refused::ENODEV, "no PTP clock was found"));
        }
        let readonly = configuration.list("clock_readonly");
        let mut all = BTreeMap::new();
        let mut of = BTreeMap::new();
        let kernel = place.below("/run/kernel_clock");
        let lock = if steer_system { take(&kernel, true)? } else { Lock::Not(None) };
        let (short, long, id) = (SYSTEM.to_owned(), SYSTEM.to_owned(), SYSTEM.to_owned());
        all.insert(short.clone(), Clock { short, long, id, sysfs: None, lock });
        let interfaces = configuration.instances.values().filter_map(|it| it.interface.as_deref());
        for interface in interfaces.filter(|name| *name != SYSTEM) {
            let device = place.below(format!("/sys/class/net/{interface}"));
            let Some(index) = hardware_clock(&device) else { continue };
            let short = format!("phc{index}");
            of.insert(interface.to_owned(), short.clone());
            if all.contains_key(&short) {
                continue;
            }
            let mac = fs::read_to_string(device.join("address")).unwrap_or_default();
            let id = identity(mac.trim());
            let only_read = [interface, short.as_str(), mac.trim(), id.as_str()]
                .iter()
                .any(|name| readonly.contains(name));
            let node = place.below(format!("/dev/ptp{index}"));
            let lock =
                if only_read { Lock::Not(File::open(&node).ok()) } else { take(&node, false)? };
            let long = format!("{short}({interface})");
            let sysfs = Some(class.join(format!("ptp{index}")));
            all.insert(short.clone(), Clock { short, long, id, sysfs, lock });
        }
        Ok(Self { all, of })
    }

    /// A clock by any of its names.
    pub(super) fn named(&self, name: &str) -> Option<&Clock> {
        self.all.values().find(|clock| {
            let of = self.of.get(name).is_some_and(|short| *short == clock.short);
            of || [&clock.short, &clock.long, &clock.id].into_iter().any(|own| own == name)
        })
    }
}

fn hardware_clock(interface: &Path) -> Option<u32> {
    let entries = fs::read_dir(interface.join("device/ptp")).ok()?.flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.strip_prefix("ptp")?.parse().ok()).next()
}

/// The address with the two octets that tell instances apart, in groups.
fn identity(mac: &str) -> String {
    let octets: Vec<&str> = mac.split(':').chain(["00", "00"]).collect();
    octets.chunks(2).map(|pair| pair.concat()).collect::<Vec<_>>().join(":")
}

fn take(path: &Path, create: bool) -> Result<Lock, Refused> {
    let mut options = OpenOptions::new();
    let opened = options.read(true).write(true).create(create).truncate(false).open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Lock::Not(None)),
        Err(error) => {
            let errno = error.raw_os_error().and_then(|errno| u8::try_from(errno).ok());
            let said = format!("{}: {error}", path.display());
            return Err(Refused::new(errno.unwrap_or(Refused::EPERM), said));
        }
    };
    Ok(match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(held) => Lock::Held(held),
        Err((file, _)) => Lock::Taken(file),
    })
}

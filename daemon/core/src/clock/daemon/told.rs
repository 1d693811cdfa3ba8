//! What the command line of each program says, and the configuration it names.

use super::options::{Given, Syntax, options};
use super::{DaemonKind, Told};
use crate::clock::linuxptp::settings::Settings;

/// The system clock, as linuxptp calls it.
pub const SYSTEM_CLOCK: &str = "CLOCK_REALTIME";
/// Most of a kind that are kept, and longest of them.
const MOST: usize = 64;
const LONGEST: usize = 255;

impl Told {
    /// What a program of that kind is told by its arguments, those after its own name, and by its
    /// configuration where that has been read.
    pub fn of(kind: DaemonKind, arguments: &[&str], configuration: Option<&str>) -> Self {
        let given = options(syntax(kind), arguments);
        let mut told = match kind {
            DaemonKind::Sfptpd => sfptpd(&given),
            DaemonKind::Chronyd => chronyd(&given, configuration.unwrap_or_default()),
            DaemonKind::Ntpd => {
                Self { configuration: last(&given, &["c", "f"]), ..Self::default() }
            }
            DaemonKind::Timesyncd => Self::default(),
            DaemonKind::Ptp4l => ptp4l(&given, configuration.unwrap_or_default()),
            DaemonKind::Phc2sys => phc2sys(&given, configuration.unwrap_or_default()),
            DaemonKind::Ts2phc => Self {
                configuration: last(&given, &["f"]),
                steers: all(&given, "c"),
                source: last(&given, &["s"]),
                ..Self::default()
            },
        };
        // chronyd's option takes it from the clock, whatever else it does.
        if told.leaves_system_clock {
            told.steers.remove(SYSTEM_CLOCK);
        }
        told
    }
}

/// What takes a value, by the manual of each: sfptpd by reference/sfptpd.md section 2, chronyd(8),
/// ntpd(8), ptp4l(8), phc2sys(8), ts2phc(8).
fn syntax(kind: DaemonKind) -> Syntax {
    let (values, attached, long_values) = match kind {
        DaemonKind::Sfptpd => ("iDfu", "p", false),
        DaemonKind::Chronyd => ("fFhlLPtu", "s", false),
        DaemonKind::Ntpd => ("cdDfiIjklpPrstuUvV", "", false),
        DaemonKind::Timesyncd => ("", "", false),
        DaemonKind::Ptp4l => ("fipl", "", true),
        DaemonKind::Phc2sys => ("cdfsEPISFRNOLMiunzltD", "", true),
        DaemonKind::Ts2phc => ("cfsl", "", true),
    };
    Syntax { values, attached, long_values }
}

fn sfptpd(given: &[Given<'_>]) -> Told {
    Told { configuration: last(given, &["f"]), interfaces: all(given, "i"), ..Told::default() }
}

fn chronyd(given: &[Given<'_>], configuration: &str) -> Told {
    let has = |name: &str| given.iter().any(|given| given.name == name);
    let mut ports = configuration.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let is_port = words.next()?.eq_ignore_ascii_case("cmdport");
        is_port.then(|| words.next()?.parse().ok())?
    });
    Told {
        // `-Q` asks once and sets nothing.
        leaves_system_clock: has("x") || has("Q"),
        configuration: last(given, &["f"]),
        command_port: ports.next_back(),
        ..Told::default()
    }
}

fn ptp4l(given: &[Given<'_>], configuration: &str) -> Told {
    let settings = linuxptp(given, configuration);
    let software = given.iter().any(|given| given.name == "S")
        || (settings.software_stamps == Some(true)
            && !given.iter().any(|given| matches!(given.name, "H" | "L")));
    let mut told = Told {
        configuration: last(given, &["f"]),
        steers: all(given, "p"),
        domain: settings.domain.unwrap_or_default(),
        transport_specific: settings.transport_specific.unwrap_or_default(),
        socket: settings.read_only_socket.or(settings.socket),
        interfaces: settings.interfaces,
        ..Told::default()
    };
    told.interfaces.extend(all(given, "i"));
    if settings.free_running == Some(true) {
        told.steers.clear();
    } else if software {
        // Stamps of the system clock: that is what it steers then.
        told.steers.insert(SYSTEM_CLOCK.to_owned());
    }
    told
}

fn phc2sys(given: &[Given<'_>], configuration: &str) -> Told {
    let settings = linuxptp(given, configuration);
    let has = |name: &str| given.iter().any(|given| given.name == name);
    let automatic = has("a");
    let mut told = Told {
        configuration: last(given, &["f"]),
        steers: all(given, "c"),
        source: last(given, &["s", "i"]).or_else(|| last(given, &["d"])),
        automatic,
        domain: settings.domain.unwrap_or_default(),
        transport_specific: settings.transport_specific.unwrap_or_default(),
        socket: last(given, &["z"]).or(settings.socket),
        ..Told::default()
    };
    if told.steers.is_empty() && (!automatic || has("r")) {
        told.steers.insert(SYSTEM_CLOCK.to_owned());
    }
    if settings.free_running == Some(true) {
        told.steers.clear();
    }
    told
}

fn linuxptp(given: &[Given<'_>], configuration: &str) -> Settings {
    let mut settings = Settings::default();
    given.iter().for_each(|given| settings.set(given.name, given.value));
    Settings::parse(configuration).with(settings)
}

/// The last of these options that has a value.
fn last(given: &[Given<'_>], names: &[&str]) -> Option<String> {
    let given = given.iter().rev().find(|given| names.contains(&given.name))?;
    is_plain(given.value).then(|| given.value.to_owned())
}

/// Every value of an option.
fn all(given: &[Given<'_>], name: &str) -> std::collections::BTreeSet<String> {
    let values = given.iter().filter(|given| given.name == name).map(|given| given.value);
    values.filter(|value| is_plain(value)).take(MOST).map(str::to_owned).collect()
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST && !text.contains(char::is_control)
}

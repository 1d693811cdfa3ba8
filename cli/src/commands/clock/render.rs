//! `clock render`: a configuration for sfptpd, from a few choices (reference/sfptpd.md section 3). What
//! comes of them is judged by the same check as an operator's own file; what does not pass is not printed.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use onload_core::clock::sfptpd::config::check;
use onload_dbus::error::Kind;
use serde::Serialize;

use crate::ended::{Complaint, Ended};
use crate::kubernetes::{self, ConfigMap, Metadata, RULE, is_subdomain};
use crate::render::paint::plain;
use crate::render::{Output, Page};

/// What is wanted.
#[derive(Clone, Debug, Args)]
pub struct Wanted {
    /// A port (port:0, port:PCI-ADDRESS, port:HARDWARE-ADDRESS), an interface or a bond; with freerun
    /// also `system`
    #[arg(long, value_name = "PORT|INTERFACE", value_parser = word)]
    pub interface: String,
    /// Where time comes from
    #[arg(long, default_value = "ptp")]
    pub mode: Mode,
    /// PTP's domain
    #[arg(long, value_name = "NUMBER")]
    pub domain: Option<u8>,
    /// PTP's transport: ipv4 or ipv6
    #[arg(long, value_name = "WORD", value_parser = word)]
    pub transport: Option<String>,
    /// How PTP's messages go: multicast, hybrid or hybrid-no-fallback
    #[arg(long, value_name = "WORD", value_parser = word)]
    pub network_mode: Option<String>,
    /// How delay is measured: end-to-end or peer-to-peer
    #[arg(long, value_name = "WORD", value_parser = word)]
    pub delay_mechanism: Option<String>,
    /// A clock that is not touched, such as `system`; may be given several times
    #[arg(long, value_name = "CLOCK", value_parser = word)]
    pub readonly: Vec<String>,
    /// How clocks are moved, such as step-on-first-lock
    #[arg(long, value_name = "WORD", value_parser = word)]
    pub clock_control: Option<String>,
    /// Use the clocks of other makers' cards as well
    #[arg(long)]
    pub other_cards: bool,
    /// Print it as a ConfigMap of this name, for sfptpd in a pod
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "sfptpd-config")]
    pub configmap: Option<String>,
    /// The ConfigMap's namespace
    #[arg(long, value_name = "NAME", requires = "configmap")]
    pub namespace: Option<String>,
}

/// Where time comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// The best master of a PTP domain
    Ptp,
    /// The port's own clock, which this node gives to others as PTP master
    PtpMaster,
    /// A pulse each second on the port's connector, and chronyd for which second it is
    Pps,
    /// Nobody: the clock runs as it does
    Freerun,
}

/// What does not happen.
const WHAT: &str = "no configuration for sfptpd is rendered";
/// The ConfigMap's key, as the existing samples mount it (reference/kubernetes-onload.md section 4.1).
const KEY: &str = "sfptpd.cfg";
/// What begins a port; only onloadd knows what it is called.
const PORT: &str = "port:";

/// A word of the configuration: nothing that would end it, or begin a comment or a line of its own.
fn word(text: &str) -> Result<String, String> {
    let ends = |c: char| c.is_whitespace() || c.is_control() || "#'\"\\[]".contains(c);
    match text.is_empty() || text.contains(ends) {
        true => Err("one word, without quotes, brackets, `#` and `\\`".to_owned()),
        false => Ok(text.to_owned()),
    }
}

/// A configuration: sections with their lines, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Configuration {
    sections: Vec<(&'static str, Vec<String>)>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Rendered {
    configuration: String,
}

impl Page for Rendered {
    fn text(&self, _now: u64) -> String {
        self.configuration.clone()
    }
}

/// Prints it; nothing at all where sfptpd would refuse it.
pub fn print(output: Output, wanted: &Wanted) -> Result<(), Ended> {
    let text = configuration(wanted)?.text();
    check(&text).map_err(|fault| {
        let line = text.lines().nth(fault.line.saturating_sub(1)).unwrap_or_default();
        refuse(format!("`{line}`: {}", fault.what), fault.fix)
    })?;
    let Some(name) = &wanted.configmap else {
        return Ok(output.page(&Rendered { configuration: text })?);
    };
    if !is_subdomain(name) {
        return Err(refuse(format!("{} is no name of a ConfigMap", plain(name)), RULE).into());
    }
    kubernetes::namespace(WHAT, wanted.namespace.as_deref())?;
    let metadata = Metadata::new(name, wanted.namespace.as_deref());
    kubernetes::print(output, &[ConfigMap::of(metadata, [(KEY.to_owned(), text)].into())])
}

fn refuse(why: impl Into<String>, fix: impl Into<String>) -> Complaint {
    Complaint::of(Kind::InvalidArgument, WHAT, why, fix)
}

fn configuration(wanted: &Wanted) -> Result<Configuration, Complaint> {
    let pod = wanted.configmap.is_some();
    let ports = std::iter::once(&wanted.interface).chain(&wanted.readonly);
    if pod && ports.into_iter().any(|name| name.starts_with(PORT)) {
        let why = "in a pod nobody puts the interface in the place of a port";
        return Err(refuse(why, "name the interface, and pin its name with [naming]"));
    }
    let of_ptp: BTreeMap<&str, Option<String>> = BTreeMap::from([
        ("ptp_domain", wanted.domain.map(|number| number.to_string())),
        ("transport", wanted.transport.clone()),
        ("ptp_network_mode", wanted.network_mode.clone()),
        ("ptp_delay_mechanism", wanted.delay_mechanism.clone()),
    ]);
    let is_ptp = matches!(wanted.mode, Mode::Ptp | Mode::PtpMaster);
    if !is_ptp && of_ptp.values().any(Option::is_some) {
        let why = "--domain, --transport, --network-mode and --delay-mechanism are PTP's";
        return Err(refuse(why, "leave them out, or use --mode ptp"));
    }
    if wanted.mode != Mode::Freerun && wanted.interface == "system" {
        let why = "the system clock hears no PTP and feels no pulse";
        return Err(refuse(why, "name a port, or use --mode freerun"));
    }
    let interface = format!("interface {}", wanted.interface);
    let options = of_ptp.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value?)));
    let ptp = |mode: &str| {
        let begin = [interface.clone(), format!("ptp_mode {mode}")];
        ("ptp1", begin.into_iter().chain(options).collect())
    };
    let line = |text: &str| vec![text.to_owned()];
    let (declared, instances) = match wanted.mode {
        Mode::Ptp => (line("sync_module ptp ptp1"), vec![ptp("slave")]),
        Mode::PtpMaster => (
            ["sync_module freerun fr1", "sync_module ptp ptp1"].map(str::to_owned).to_vec(),
            vec![("fr1", vec![interface.clone()]), ptp("master")],
        ),
        Mode::Pps => (
            ["sync_module pps pps1", "sync_module crny crny1"].map(str::to_owned).to_vec(),
            vec![
                ("pps", line("time_of_day crny1")),
                ("pps1", [interface.clone(), "priority 10".to_owned()].to_vec()),
                ("crny1", line("priority 20")),
            ],
        ),
        Mode::Freerun => (line("sync_module freerun fr1"), vec![("fr1", vec![interface.clone()])]),
    };
    let mut general = declared;
    // A pod's logs are its output; on a node the journal has them, and onloadd reads the socket.
    let logs = match pod {
        true => ["message_log stderr", "stats_log stdout"],
        false => ["message_log syslog", "metrics_socket_mode 0666"],
    };
    general.extend(logs.map(str::to_owned));
    general.extend(wanted.clock_control.iter().map(|word| format!("clock_control {word}")));
    if !wanted.readonly.is_empty() {
        general.push(format!("clock_readonly {}", wanted.readonly.join(" ")));
    }
    if wanted.other_cards {
        general.push("non_solarflare_nics on".to_owned());
    }
    let sections = std::iter::once(("general", general)).chain(instances).collect();
    Ok(Configuration { sections })
}

impl Configuration {
    fn text(&self) -> String {
        let section = |(name, lines): &(&str, Vec<String>)| {
            let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
            format!("[{name}]\n{lines}")
        };
        self.sections.iter().map(section).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed test is what a panic is for.

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        wanted: Wanted,
    }

    fn wanted(words: &str) -> Wanted {
        Line::try_parse_from(["clock"].into_iter().chain(words.split(' '))).unwrap().wanted
    }

    #[test]
    fn every_mode_passes_the_check_that_files_of_operators_pass() {
        for (words, instances, steers) in [
            ("--interface port:0", vec!["ptp1"], true),
            ("--interface bond0 --domain 3 --transport ipv6", vec!["ptp1"], true),
            ("--interface ens1f0 --mode ptp-master --readonly system", vec!["fr1", "ptp1"], false),
            ("--interface port:0 --mode pps", vec!["crny1", "pps1"], true),
            ("--interface system --mode freerun --clock-control no-adjust", vec!["fr1"], false),
        ] {
            let text = configuration(&wanted(words)).unwrap().text();
            let configured = check(&text).unwrap();
            let names: Vec<_> = configured.instances.keys().map(String::as_str).collect();
            assert_eq!((names, configured.steers_system_clock()), (instances, steers), "{text}");
        }
    }

    #[test]
    fn a_slave_is_written_so() {
        let text = configuration(&wanted("--interface port:0 --domain 0 --network-mode hybrid"));
        assert_eq!(
            text.unwrap().text(),
            "\
[general]
sync_module ptp ptp1
message_log syslog
metrics_socket_mode 0666

[ptp1]
interface port:0
ptp_mode slave
ptp_domain 0
ptp_network_mode hybrid
"
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for words in [
            "--interface system",
            "--interface port:0 --mode freerun --domain 1",
            "--interface port:0 --configmap",
            "--interface ens1f0 --configmap --readonly port:1",
        ] {
            assert!(configuration(&wanted(words)).is_err(), "{words}");
        }
        for text in ["", "a b", "a\n[general]", "a#", "[x]", "'a'"] {
            assert!(word(text).is_err(), "{text}");
        }
    }
}

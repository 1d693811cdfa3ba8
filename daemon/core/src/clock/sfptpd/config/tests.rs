//! Configurations that are taken, and why others are not.

use super::*;
use crate::names::InterfaceName;

const SLAVE: &str = "\
# A slave.
[general]
sync_module ptp ptp1
sync-module crny crny1
message_log syslog
stats_log /var/log/sfptpd.log
json-stats '/run/sfptpd/stats.jsonl'
state_path /var/lib/sfptpd-%U
run_dir /run/sfptpd-%U
control_path %R/control-v1.sock
metrics_path %R/metrics.sock
non_xilinx_nics on
clock_readonly system phc2 eth9
reporting_intervals save_state 10 stats_log 1
trace_level 0
trace_level ptp 3
";

fn fault(text: &str) -> ConfigFault {
    match check(text) {
        Err(fault) => fault,
        Ok(configured) => panic!("taken: {text}: {configured:?}"),
    }
}

fn set(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn port(number: u32, interface: Option<&str>) -> PortRef {
    PortRef {
        number,
        pci: format!("0000:3b:00.{number}").parse().unwrap(),
        mac: format!("00:0f:53:00:00:0{number}").parse().ok(),
        interface: interface.map(|name| name.parse::<InterfaceName>().unwrap()),
    }
}

#[test]
fn what_is_asked_for() {
    let text = format!(
        "{}[ptp]\nptp_mode slave\n[ptp1]\ninterface port:0\n",
        SLAVE.replace("trace_level ptp 3\n", "")
    );
    let configured = check(&text).unwrap();
    let expected = Configured {
        instances: BTreeMap::from([
            ("ptp1".to_owned(), Kind::Ptp),
            ("crny1".to_owned(), Kind::Crny),
        ]),
        interfaces: set(&["eth9", "port:0"]),
        readonly: set(&["system", "phc2", "eth9"]),
        freerun_only: false,
        follows: true,
        clock_control: "slew-and-step".to_owned(),
        run_dir: Some("/run/sfptpd-%U".to_owned()),
        state_path: Some("/var/lib/sfptpd-%U".to_owned()),
        control_path: Some("%R/control-v1.sock".to_owned()),
        metrics_path: Some("%R/metrics.sock".to_owned()),
        json_stats: Some("/run/sfptpd/stats.jsonl".to_owned()),
        stats_log: Some("/var/log/sfptpd.log".to_owned()),
        non_solarflare: true,
    };
    assert_eq!(configured, expected);
    assert!(!configured.steers_system_clock());
}

#[test]
fn who_steers_the_system_clock() {
    // As the package ships it: nothing is disciplined (reference/sfptpd.md section 0).
    let shipped = "[general]\nsync_module freerun fr1\nclock_readonly system\nmessage_log syslog\n\
                   stats_log off\nnon_solarflare_nics off\n[fr1]\ninterface system\n";
    let shipped = check(shipped).unwrap();
    assert!(shipped.freerun_only && !shipped.follows && !shipped.steers_system_clock());
    assert_eq!((shipped.stats_log, shipped.interfaces), (None, set(&[])));
    let ptp = check("[general]\nsync_module ptp a\nclock-control no-adjust").unwrap();
    assert!(ptp.follows && !ptp.freerun_only && !ptp.steers_system_clock());
    let nothing = check("").unwrap();
    assert_eq!(nothing, Configured::default());
    assert!(nothing.steers_system_clock() && !nothing.freerun_only && !nothing.follows);
}

#[test]
fn what_sfptpd_keeps_of_its_configuration() {
    let kept = "# Reconstructed from: /etc/sfptpd.conf\n\n[general]\nsync_module ntp ntp1\n\n\
                [ntp1]\nntp_key ******** ********\npriority 10\n";
    assert_eq!(check(kept).unwrap().instances, BTreeMap::from([("ntp1".to_owned(), Kind::Ntp)]));
}

#[test]
fn lines_that_sfptpd_refuses() {
    let general = "[general]\nsync_module ptp ptp1 ptp-2\n";
    let cases = [
        ("sync_module ptp a", 1, "outside a section", "[general]"),
        ("[generel]", 1, "no section `[generel]`", "`[general]`"),
        ("[ptp1]", 1, "no section `[ptp1]`", "sync_module KIND ptp1"),
        ("G[ptp-2]", 3, "no section `[ptp_2]`", "call the instance `ptp_2`"),
        ("G[ptp1", 3, "`[ptp1` is no section", "[NAME]"),
        ("Gsync_module ptp ptp1", 3, "section `ptp1` already", "another name"),
        ("Gsync_module ptp general", 3, "section `general` already", "another name"),
        ("Gsync_module ptq a", 3, "no module `ptq`", "manual page"),
        ("Gstats_logs off", 3, "no option `stats_logs` in `[general]`", "write `stats_log`"),
        ("Gptp_domain 1", 3, "no option `ptp_domain`", "put it into `[ptp]`"),
        ("Gxyzzy", 3, "no option `xyzzy`", "remove it"),
        ("Glock", 3, "`lock` takes exactly 1, and has 0", "manual page"),
        ("Gdaemon on", 3, "`daemon` takes no value, and has 1", "manual page"),
        ("Glock maybe", 3, "`lock` takes `on` or `off`, and `maybe` is none", "manual page"),
        ("Gsync_interval 4", 3, "a whole number from -5 to 3", "manual page"),
        ("Gstep_threshold 0.05", 3, "`step_threshold` takes", "manual page"),
        ("Gselection_policy manual", 3, "the instance to begin with", "manual page"),
        ("Gtrace_level ptp 3", 3, "`trace_level` takes", "manual page"),
        ("Greporting_intervals save_state", 3, "at least 2", "manual page"),
        ("Greporting_intervals save_state 1 x 2", 3, "`reporting_intervals` takes", "manual page"),
        ("Grun_dir_mode 0788", 3, "an octal mode", "manual page"),
        ("G[ptp1]\nptp_profile enterprise", 4, "cannot stand in `[ptp1]`", "into `[ptp]`"),
        ("G[ptp1]\ninterface a/b", 4, "an interface or a port", "manual page"),
        ("G[ptp1]\ninterface port:x", 4, "an interface or a port", "manual page"),
        ("G[ptp1]\ninterface system", 0, "", ""),
        ("G[ptp1]\nptp-domain 256", 4, "a whole number from 0 to 255", "manual page"),
        ("G[crny]\nclock_control no-step", 4, "`on` or `off`", "manual page"),
        ("Glock off\r\n", 3, "carriage return", "Unix"),
        ("G'a\tb' c", 3, "no option `a b`", "remove it"),
        ("Gmessage_log 'a", 3, "a quote is opened", "close it"),
    ];
    for (text, line, what, fix) in cases {
        let text = text.replacen('G', general, usize::from(text.starts_with('G')));
        if line == 0 {
            assert!(check(&text).is_ok(), "{text}");
            continue;
        }
        let fault = fault(&text);
        assert_eq!(fault.line, line, "{text}: {fault}");
        assert!(fault.what.contains(what), "{text}: {fault}");
        assert!(fault.fix.contains(fix), "{text}: {fault}: {}", fault.fix);
        assert!(fault.to_string().starts_with(&format!("line {line}: ")));
    }
}

#[test]
fn a_port_becomes_its_interface_and_nothing_else_changes() {
    let text = "# port:0 stays\n[general]\t# port:1\nsync_module ptp p q\nsync_module pps r\n\
                clock_list port:0  \"port:0000:3b:00.1\"\t'phc0' # and port:0\n\
                stats_log port:0\n[ptp]\ninterface   port:00:0F:53:00:00:01#port:0\n[r]\n\
                interface port:0\n\n\ntimestamping hw";
    let text = text.replace("timestamping hw", "pin 0");
    let ports = [port(0, Some("ens1f0np0")), port(1, Some("lan\u{e9}"))];
    let rendered = render(&text, &ports).unwrap();
    let expected = text
        .replace("clock_list port:0 ", "clock_list ens1f0np0 ")
        .replace("\"port:0000:3b:00.1\"", "\"lan\u{e9}\"")
        .replace("interface   port:00:0F:53:00:00:01#", "interface   lan\u{e9}#")
        .replace("interface port:0\n", "interface ens1f0np0\n");
    assert_eq!(rendered, expected);
    assert_eq!(render(&rendered, &[]).unwrap(), rendered, "a file without ports is as it is");
}

#[test]
fn a_port_without_an_interface_is_told_with_its_line() {
    let text = "[general]\nsync_module ptp p\n[p]\ninterface port:1\n";
    let cases = [
        (vec![port(0, Some("a"))], "there is no Solarflare port `port:1`"),
        (vec![port(1, None)], "`port:1` (0000:3b:00.1) has no network interface"),
        (vec![port(1, Some("a#b"))], "which sfptpd cannot read"),
    ];
    for (ports, what) in cases {
        let fault = render(text, &ports).unwrap_err();
        assert_eq!(fault.line, 4);
        assert!(fault.what.contains(what) && !fault.fix.is_empty(), "{fault}");
    }
    let bare = render("[general]\nsync_module crny c\nsync_module pps a b\n[a]\ninterface x", &[]);
    let bare = bare.unwrap_err();
    assert_eq!((bare.line, bare.what.as_str()), (3, "instance `b` has no interface"));
}

#[test]
fn every_option_is_in_its_table_once() {
    let tables = [
        general::OPTIONS,
        ptp::OPTIONS,
        sources::PPS,
        sources::NTP,
        sources::CRNY,
        sources::FREERUN,
        sources::GPS,
    ];
    for table in tables {
        let names: BTreeSet<&str> = table.iter().map(|option| option.name).collect();
        assert_eq!(names.len(), table.len());
        assert!(names.iter().all(|name| !name.contains('-')));
    }
}

#[test]
fn the_shipped_configuration_holds() {
    let shipped = include_str!("../../../../../../packaging/config/sfptpd.cfg");
    let configured = check(shipped).unwrap();
    assert_eq!(configured.interfaces, set(&["port:0"]));
    assert!(configured.follows && configured.steers_system_clock());
    let rendered = render(shipped, &[port(0, Some("ens1f0"))]).unwrap();
    assert!(rendered.contains("\ninterface ens1f0\n"), "{rendered}");

    // Each of its other set-ups holds, too: `#=NAME` begins one, `#|` are its lines.
    let mut setups = BTreeMap::<&str, String>::new();
    let mut name = None;
    for line in shipped.lines() {
        if let Some(begun) = line.strip_prefix("#= ") {
            name = begun.split(':').next();
        } else if let (Some(line), Some(name)) = (line.strip_prefix("#| "), name) {
            let setup = setups.entry(name).or_default();
            setup.push_str(line);
            setup.push('\n');
        }
    }
    let ports = [port(0, Some("ens1f0")), port(1, Some("ens1f1"))];
    for (name, text) in &setups {
        let configured = check(text).unwrap_or_else(|fault| panic!("{name}: {fault}"));
        assert!(configured.follows, "{name}");
        render(text, &ports).unwrap_or_else(|fault| panic!("{name}: {fault}"));
    }
    assert_eq!(setups.keys().copied().collect::<Vec<_>>(), ["bond", "fallback", "pps", "watch"]);
}

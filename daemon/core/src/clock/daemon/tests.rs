//! Command lines as distributions and people write them.

use std::collections::BTreeSet;

use super::*;

fn told(line: &str) -> (DaemonKind, Told) {
    let words: Vec<_> = line.split_whitespace().collect();
    let comm = words[0].rsplit('/').next().unwrap();
    Daemon::of(&comm[..comm.len().min(15)], &words[1..]).unwrap_or_else(|| panic!("{line}"))
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn every_kind_is_known_by_its_name_as_the_kernel_keeps_it() {
    for kind in DaemonKind::ALL {
        let comm = kind.as_str();
        assert_eq!(DaemonKind::of(&comm[..comm.len().min(15)]), Some(kind));
    }
    for other in ["", "sh", "chronyc", "pmc", "sfptpd_priv_hel", "ntpdate"] {
        assert_eq!(Daemon::of(other, &[]), None, "{other}");
    }
}

#[test]
fn chronyd_is_told_to_leave_the_clock_in_any_spelling() {
    let leaves = |line: &str| told(line).1.leaves_system_clock;
    for line in ["chronyd -x", "chronyd -F 1 -x", "chronyd -nx -f /c", "chronyd -xu root"] {
        assert!(leaves(line), "{line}");
    }
    for line in ["chronyd", "chronyd -F 2", "chronyd -u x -f -x", "chronyd -s -r", "chronyd -- -x"]
    {
        assert!(!leaves(line), "{line}");
    }
    let configuration = Some("# x\ncmdport 0\nCMDPORT 3323\ncmdport\n");
    let told = Told::of(DaemonKind::Chronyd, &["-f/etc/c.conf"], configuration);
    assert_eq!(
        (told.command_port, told.configuration.as_deref()),
        (Some(3323), Some("/etc/c.conf"))
    );
}

#[test]
fn linuxptp_tells_clocks_and_sockets() {
    let (_, ptp4l) =
        told("/usr/sbin/ptp4l -f /etc/ptp4l.conf -i eth0 -i eth1 --domainNumber=24 -s");
    assert_eq!(ptp4l.interfaces, set(&["eth0", "eth1"]));
    assert_eq!((ptp4l.domain, ptp4l.configuration.as_deref()), (24, Some("/etc/ptp4l.conf")));
    assert_eq!(ptp4l.steers, set(&[]));
    let (_, software) = told("ptp4l -Si veth0 --uds_address /run/x --uds_ro_address /run/y");
    assert_eq!(software.steers, set(&[SYSTEM_CLOCK]));
    assert_eq!(
        (software.socket.as_deref(), software.interfaces),
        (Some("/run/y"), set(&["veth0"]))
    );
    assert_eq!(told("ptp4l -S -i x --free_running=1").1.steers, set(&[]));

    let (_, phc2sys) = told("phc2sys -a -r -n 24 -z /run/z");
    assert!(phc2sys.automatic && phc2sys.steers.contains(SYSTEM_CLOCK));
    assert_eq!(phc2sys.socket.as_deref(), Some("/run/z"));
    assert!(told("phc2sys -a").1.steers.is_empty());
    let (_, one) = told("phc2sys -s eth0 -O 0");
    assert_eq!((one.steers, one.source.as_deref()), (set(&[SYSTEM_CLOCK]), Some("eth0")));
    assert_eq!(told("phc2sys -s eth0 -c /dev/ptp1").1.steers, set(&["/dev/ptp1"]));
    let (_, pulse) = told("ts2phc -s nmea -c eth0 -c /dev/ptp1");
    assert_eq!(
        (pulse.steers, pulse.source.as_deref()),
        (set(&["eth0", "/dev/ptp1"]), Some("nmea"))
    );
}

#[test]
fn a_configuration_counts_and_the_command_line_is_stronger() {
    let configuration = "[global]\ndomainNumber 44\ntransportSpecific 0x1\n#uds_address /no\n\
        uds_address\t/run/p\ntime_stamping software\n[ens1f0]\nlogSyncInterval -3\n\
        domainNumber 7\n[unicast_master_table]\ntable_id 1\n[nmea]\nx y\n";
    let told = Told::of(DaemonKind::Ptp4l, &["-f", "/c", "-i", "ens1f1"], Some(configuration));
    assert_eq!((told.domain, told.transport_specific), (44, 1));
    assert_eq!(told.interfaces, set(&["ens1f0", "ens1f1"]));
    assert_eq!((told.socket.as_deref(), told.steers), (Some("/run/p"), set(&[SYSTEM_CLOCK])));
    let arguments = ["-H", "--domainNumber", "3", "--uds_address=/run/q"];
    let told = Told::of(DaemonKind::Ptp4l, &arguments, Some(configuration));
    assert_eq!((told.domain, told.socket.as_deref()), (3, Some("/run/q")));
    assert_eq!(told.steers, set(&[]));
}

#[test]
fn sfptpd_and_ntpd_name_their_file() {
    let (kind, sfptpd) =
        told("/usr/sbin/sfptpd --no-daemon -p -u_sfptpd -f /etc/sfptpd.conf -i eth2");
    assert_eq!(kind, DaemonKind::Sfptpd);
    assert_eq!(sfptpd.configuration.as_deref(), Some("/etc/sfptpd.conf"));
    assert_eq!(sfptpd.interfaces, set(&["eth2"]));
    assert_eq!(told("ntpd -n -c /etc/ntp.conf").1.configuration.as_deref(), Some("/etc/ntp.conf"));
    assert_eq!(told("/usr/lib/systemd/systemd-timesyncd").1, Told::default());
}

#[test]
fn whatever_stands_there_is_taken_within_bounds() {
    let long = "x".repeat(10_000);
    let odd = ["-", "-f", &long, "-f\u{1b}[31m", "--", "-i", "é", "-é", "--=", "-i"];
    for kind in DaemonKind::ALL {
        for end in 0..odd.len() {
            let told = Told::of(kind, &odd[..end], Some(&long));
            assert_eq!(told.configuration, None, "{kind}: {:?}", &odd[..end]);
        }
    }
    let many: Vec<_> = (0..1000).map(|number| format!("-ieth{number}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    assert_eq!(Told::of(DaemonKind::Sfptpd, &many, None).interfaces.len(), 64);
}

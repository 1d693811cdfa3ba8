//! The unit of sfptpd, for machines without the one of its package.

use super::*;

pub const UNIT: &str = "usr/lib/systemd/system/onloadd-sfptpd.service";

/// Values of a key, in order.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

#[test]
fn it_is_started_by_nobody_but_onloadd_and_never_beside_another() {
    let unit = read(repository().join("units/onloadd-sfptpd.service"));
    assert_eq!(values(&unit, "Type"), ["notify"]);
    assert_eq!(values(&unit, "Conflicts"), ["sfptpd.service systemd-timesyncd.service"]);
    assert!(!unit.contains("\n[Install]"), "nothing enables it");
    let preset = read(repository().join("units/90-onloadd.preset"));
    assert!(!preset.contains("sfptpd"), "{preset}");
    // What onloadd writes is what it waits for and reads.
    let place = "/run/onloadd/sfptpd.cfg";
    assert_eq!(values(&unit, "ConditionPathExists"), [place]);
    assert_eq!(values(&unit, "ExecStart"), [format!("/usr/sbin/sfptpd --no-daemon -f {place}")]);
    // These end the same way at the next try; a crash does not.
    let codes = values(&unit, "RestartPreventExitStatus").join(" ");
    for code in [16, 22, 93, 95] {
        assert!(codes.split(' ').any(|given| given == code.to_string()), "{codes}");
    }
}

/// reference/sfptpd.md section 1: what it keeps when it stays root.
#[test]
fn it_may_do_what_sfptpd_needs() {
    let unit = read(repository().join("units/onloadd-sfptpd.service"));
    let capabilities = values(&unit, "CapabilityBoundingSet").join(" ");
    let needed = ["SYS_TIME", "NET_BIND_SERVICE", "NET_ADMIN", "NET_RAW", "DAC_OVERRIDE"];
    for capability in needed {
        assert!(capabilities.contains(&format!("CAP_{capability}")), "{capabilities}");
    }
    assert!(!capabilities.contains("SYS_ADMIN") && !capabilities.contains("SYS_MODULE"));
    for device in ["char-ptp rw", "char-pps rw"] {
        assert!(values(&unit, "DeviceAllow").contains(&device), "{unit}");
    }
    assert!(values(&unit, "ProtectClock").is_empty());
    assert!(values(&unit, "SystemCallFilter").join(" ").contains("@clock"));
}

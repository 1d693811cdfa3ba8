//! What its package brings beside the program (reference/sfptpd.md section 1), for tests that install it.

/// Where the unit lies.
pub const UNIT_PATH: &str = "/usr/lib/systemd/system/sfptpd.service";

/// The unit: on RHEL 9 it ends as the user `sfptpd`, before that as root. Its environment is where a test
/// sets what [`super::place::Place`] reads.
pub fn unit(user: Option<&str>) -> String {
    let user = user.map(|user| format!(" -u {user}")).unwrap_or_default();
    format!(
        "[Unit]
Description=Solarflare Enhanced PTP Daemon
After=network-online.target
After=systemd-timesyncd.service
Conflicts=systemd-timesyncd.service

[Service]
Type=notify
Restart=on-failure
RestartSec=5s
Environment=\"OPTIONS=-f /etc/sfptpd.conf\"
EnvironmentFile=-/etc/sysconfig/sfptpd
ExecStart=/usr/sbin/sfptpd --no-daemon -p{user} $OPTIONS

[Install]
WantedBy=multi-user.target
"
    )
}

/// Where the configuration lies.
pub const CONFIGURATION_PATH: &str = "/etc/sfptpd.conf";

/// The configuration: it follows nobody, and steers no system clock.
pub const CONFIGURATION: &str = "\
[general]
sync_module freerun fr1
clock_readonly system
message_log syslog
stats_log off
non_solarflare_nics off

[fr1]
interface system
";

/// The rule by which device nodes of clocks are the user's.
pub const UDEV_RULE: &str = "\
SUBSYSTEM==\"ptp\", OWNER=\"sfptpd\", GROUP=\"sfptpd\", MODE=\"0660\"
SUBSYSTEM==\"pps\", OWNER=\"sfptpd\", GROUP=\"sfptpd\", MODE=\"0660\"
";

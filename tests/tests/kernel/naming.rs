//! Names of ports and the network on them, across changes of the driver that take both away: udev, the
//! kernel's renaming, netlink, ethtool and NetworkManager are the real ones.

mod foretold;
mod ports;

use onload_tests::cases;
use onload_tests::guest::Options;
use onload_tests::guest::cases::Theme;

pub fn theme() -> Theme {
    Theme {
        name: "naming",
        options: Options::new(),
        cases: cases![foretold::off_lets_names_change_as_the_plan_says],
    }
}

//! Whose time a node keeps: sfptpd run and looked after, who fights over a clock, and whether what onloadd
//! says of clocks is so. sfptpd is a stand-in that steers nothing; systemd, chronyd, ntpd, systemd-timesyncd,
//! ptp4l and phc2sys are the distribution's, and clocks are the kernel's.

mod chrony;
mod conflicts;
mod driver;
mod handover;
mod linuxptp;
mod package;
mod supervised;
mod time;
mod told;

use onload_tests::cases;
use onload_tests::guest::Options;
use onload_tests::guest::cases::Theme;

pub fn theme() -> Theme {
    Theme {
        name: "clock",
        options: Options::new(),
        cases: cases![
            linuxptp::our_numbers_are_those_of_pmc,
            chrony::our_numbers_are_those_of_chronyc,
            conflicts::each_that_steers_the_system_clock_bars_sfptpd,
            conflicts::sfptpd_that_steers_nothing_is_told_of,
            supervised::what_crashes_is_left_to_systemd_and_what_hangs_is_restarted,
            time::neither_jumps_nor_leap_seconds_nor_pauses_lose_it,
            driver::sfptpd_is_out_of_the_way_while_its_driver_is_replaced,
            supervised::a_unit_that_systemd_has_given_up_is_left_alone,
            handover::the_system_clock_goes_to_sfptpd_and_back,
        ],
    }
}

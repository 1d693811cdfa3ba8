//! Names of ports and the network on them, across changes of the driver that take both away: udev, the
//! kernel's renaming, netlink, ethtool and NetworkManager are the real ones.

mod carried;
mod first_boot;
mod foretold;
mod names;
mod owner;
mod picture;
mod ports;
mod stack;

use onload_tests::cases;
use onload_tests::guest::cases::Theme;

pub fn theme() -> Theme {
    Theme {
        name: "naming",
        options: first_boot::options(),
        cases: cases![
            first_boot::names_are_right_before_the_network_is_set_up,
            foretold::off_lets_names_change_as_the_plan_says,
            carried::a_network_survives_swaps,
            carried::a_kill_in_between_leaves_no_trace,
            // What replaces a driver once does so from the one that it finds.
            names::a_port_that_somebody_renames_gets_its_name_back,
            owner::an_owner_sets_its_bond_up_again,
            names::a_name_that_another_has_bars_the_change,
            names::fifteen_letters_fit_and_sixteen_are_refused,
            names::ports_of_one_address_are_told_apart_by_their_slot,
        ],
    }
}

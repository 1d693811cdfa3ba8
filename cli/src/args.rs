//! The command line.

use clap::{Args as Group, Parser, Subcommand};
use clap_complete::Shell;
use onload_dbus::error::exit;

/// What people look for at the end of `--help`. Codes: one table in `onload-dbus`.
const EXIT_CODES: &str = "Exit codes:
  0  as wanted        3  not allowed
  1  failed           4  blocked: nothing is wrong, something is in the way
  2  wrong usage      5  onloadd cannot be reached

Durations are a number and a unit: 90s, 15m, 8h, 2d.";

/// Shows what Onload needs on this node and what it lends, and takes orders.
#[derive(Clone, Debug, Parser)]
#[command(name = "onloadctl", version, after_help = EXIT_CODES)]
pub struct Args {
    /// Bus to speak to: system, session, or a D-Bus address
    #[arg(long, global = true, value_name = "BUS", default_value = "system", value_parser = bus)]
    pub bus: Bus,
    /// Print JSON (schema 1, one document; live output has one per line)
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do; `status` when none is named.
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

/// A message bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bus {
    /// The system bus.
    System,
    /// The user's session bus.
    Session,
    /// The bus at a D-Bus address.
    Address(String),
}

fn bus(text: &str) -> Result<Bus, String> {
    match text {
        "system" => Ok(Bus::System),
        "session" => Ok(Bus::Session),
        address if address.contains(':') => Ok(Bus::Address(address.to_owned())),
        _ => {
            Err("neither system nor session nor a D-Bus address such as unix:path=/run/bus".into())
        }
    }
}

/// How a read verb reads.
#[derive(Clone, Copy, Debug, Default, Group)]
pub struct Read {
    /// Show it again whenever it changes, until Ctrl-C
    #[arg(long)]
    pub watch: bool,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Verb {
    /// The node on one page: what is, what is wanted, what stands between, what to do
    Status(Read),
    /// Ports of accelerated cards
    Ports(Read),
    /// Kernel modules of the stack, wanted and loaded
    Modules(Read),
    /// Pools, or the devices of one
    Pools {
        /// Show the devices of this pool
        name: Option<String>,
        #[command(flatten)]
        read: Read,
    },
    /// What is lent, to whom, until when
    Allocations(Read),
    /// Borrow devices; prints allocation and device, one pair per line, until freed or expired
    Allocate {
        /// The pool
        pool: String,
        /// How many; all or none
        #[arg(long, default_value_t = 1, value_name = "N")]
        count: u32,
        /// Give them back by themselves after this time; otherwise they stay until freed
        #[arg(long, value_name = "DURATION")]
        lease: Option<String>,
    },
    /// Give a device back
    Free {
        /// The allocation, such as a1
        id: String,
        /// Also when a container holds it (root only)
        #[arg(long)]
        force: bool,
    },
    /// What would be done next, and what is in the way
    Plan(Read),
    /// Explain the decision taken about a port, module, release, pool, device, allocation or node
    Why {
        /// A PCI address, a name, an id, a resource such as amd.com/onload, or node
        subject: String,
        #[command(flatten)]
        read: Read,
    },
    /// Print every change as it happens, until Ctrl-C
    Watch,
    /// Long orders: under way, and the last few that ended
    Jobs(Read),
    /// Bring the node to what the configuration asks for, now; Ctrl-C asks the job to stop
    Apply {
        /// Also try again what has failed
        #[arg(long)]
        retry: bool,
    },
    /// Freeze the node: no steps, nothing lent anew to local programs
    Hold {
        /// Why, for the next person
        reason: String,
        /// For how long; otherwise until unhold
        #[arg(long = "for", value_name = "DURATION")]
        duration: Option<String>,
    },
    /// End a hold
    Unhold,
    /// Have onloadd read its configuration again; fails when it does not hold
    Reload,
    /// Every setting in force, where it comes from, and what it masks
    Config(Read),
    /// Print a completion script
    Completion {
        /// For which shell
        #[arg(value_parser = shell)]
        shell: Shell,
    },
}

/// The shells we test with; clap_complete knows more.
fn shell(text: &str) -> Result<Shell, String> {
    match text {
        "bash" => Ok(Shell::Bash),
        "zsh" => Ok(Shell::Zsh),
        "fish" => Ok(Shell::Fish),
        _ => Err("one of bash, zsh, fish".into()),
    }
}

/// clap ends with this code of its own accord; the table must agree.
const _: () = assert!(exit::USAGE == 2);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed test is what a panic is for.

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory as _;
        Args::command().debug_assert();
    }

    #[test]
    fn a_bus_is_a_word_or_an_address() {
        assert_eq!(bus("system"), Ok(Bus::System));
        assert_eq!(bus("session"), Ok(Bus::Session));
        assert_eq!(bus("unix:path=/x"), Ok(Bus::Address("unix:path=/x".into())));
        assert!(bus("sytem").is_err());
    }

    #[test]
    fn flags_may_follow_the_verb() {
        let args = Args::try_parse_from(["onloadctl", "pools", "onload", "--json", "--watch"]);
        let args = args.unwrap();
        assert!(args.json);
        assert!(matches!(
            args.verb,
            Some(Verb::Pools { name: Some(_), read: Read { watch: true } })
        ));
    }
}

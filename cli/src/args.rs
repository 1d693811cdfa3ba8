//! The command line.

use std::ffi::OsString;

use clap::{Args as Group, Parser, Subcommand};
use clap_complete::Shell;
use onload_dbus::error::exit;
use zbus::Variant;

use crate::commands::capture::CaptureArgs;
use crate::commands::clock::ClockVerb;
use crate::commands::keys::KeysVerb;
use crate::commands::machineconfig::MachineconfigVerb;
use crate::commands::nad::NadVerb;
use crate::commands::naming::NamingVerb;
use crate::commands::nfd::NfdVerb;
use crate::commands::pod::PodVerb;
use crate::commands::profile::ProfileVerb;
use crate::commands::release::ReleaseVerb;
use crate::commands::verify::VerifyArgs;
use crate::follow::Until;
use crate::point;

/// What people look for at the end of `--help`. Codes: one table in `onload-dbus`.
const EXIT_CODES: &str = "Exit codes:
  0  as wanted        3  not allowed
  1  failed           4  blocked: nothing is wrong, something is in the way
  2  wrong usage      5  onloadd cannot be reached
`run` ends as its command does; 126 and 127: it could not be run, it is not there.

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

/// How a driver is replaced, and whether the order is followed to its end.
#[derive(Clone, Debug, Default, Group)]
pub struct Manner {
    /// Refuse when somebody uses the stack (the default)
    #[arg(long, conflicts_with_all = ["wait", "stop_holders"])]
    pub refuse: bool,
    /// Wait until nobody uses the stack, at most this long if a duration is given
    #[arg(long, value_name = "DURATION", require_equals = true, conflicts_with = "stop_holders")]
    pub wait: Option<Option<String>>,
    /// Stop the units that use the stack; containers are never stopped: drain the node
    #[arg(long)]
    pub stop_holders: bool,
    /// Go back by itself unless `onloadctl confirm` comes within this time
    #[arg(long, value_name = "DURATION")]
    pub confirm_within: Option<String>,
    /// Return as soon as the order is taken
    #[arg(long)]
    pub no_follow: bool,
}

impl Manner {
    /// The options of the call; what is not said is left to onloadd.
    pub fn words(&self) -> Vec<(&'static str, Variant<'static>)> {
        let holders = match (self.refuse, &self.wait, self.stop_holders) {
            (true, _, _) => Some("refuse"),
            (false, Some(_), _) => Some("wait"),
            (false, None, true) => Some("stop"),
            (false, None, false) => None,
        };
        let text = |text: &String| Variant::from(text.clone());
        let holders = holders.map(|word| ("Holders", Variant::from(word)));
        let limit = self.wait.as_ref().and_then(Option::as_ref);
        let limit = limit.map(|limit| ("WaitFor", text(limit)));
        let confirm = self.confirm_within.as_ref();
        let confirm = confirm.map(|within| ("ConfirmWithin", text(within)));
        [holders, limit, confirm].into_iter().flatten().collect()
    }

    /// How long the order is followed.
    pub fn until(&self) -> Until {
        if self.no_follow { Until::Taken } else { Until::Ended }
    }
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
    /// Pools, or the devices of one and who has them
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
        /// Give them back when the systemd unit that this runs in ends, as in ExecStartPre=
        #[arg(long, conflicts_with = "lease")]
        unit: bool,
    },
    /// Run a command with a device lent to it, which is given back however the command ends
    Run {
        /// The pool
        #[arg(long, default_value = "onload", value_name = "POOL")]
        pool: String,
        /// Onload profiles for it in place of the pool's: names of your own or of the release in use,
        /// or paths; commas part them. What the environment has already wins
        #[arg(long = "profile", value_name = "NAME|FILE", value_delimiter = ',')]
        profiles: Vec<String>,
        /// The command and its words; LD_PRELOAD gets libonload.so before what it has
        #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
        command: Vec<OsString>,
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
    /// Names of interfaces: what each driver makes of them, what is wanted, what is in the way
    #[command(subcommand, arg_required_else_help = false)]
    Naming(NamingVerb),
    /// Explain the decision taken about a port, module, release, pool, device, allocation, clock or node
    Why {
        /// A PCI address, a name, an id, a resource such as amd.com/onload, clock or node
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
        /// Only show what would be done, as `plan` does
        #[arg(long)]
        dry_run: bool,
        /// Also try again what has failed
        #[arg(long)]
        retry: bool,
        #[command(flatten)]
        manner: Manner,
    },
    /// Onload releases: list, check, take in, use, remove
    #[command(subcommand, arg_required_else_help = false)]
    Release(ReleaseVerb),
    /// Onload profiles: list, show, evaluate, turn into ConfigMaps; works without onloadd
    #[command(subcommand, arg_required_else_help = false)]
    Profile(ProfileVerb),
    /// Keys for kernel modules: make one and sign with it, which needs no onloadd; enrol it here
    #[command(subcommand, arg_required_else_help = false)]
    Keys(KeysVerb),
    /// Clocks: who keeps time here and how well (`status`, when nothing is named), and the order who shall
    Clock {
        /// What to do with them
        #[command(subcommand)]
        verb: Option<ClockVerb>,
    },
    /// Bring the node back to a release it had; Ctrl-C asks the job to stop
    Rollback {
        /// How many changes back
        #[arg(default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        back: u32,
        #[command(flatten)]
        manner: Manner,
    },
    /// Take over from others who manage Onload's modules here: shows the plan, then does it
    Adopt {
        /// Only show who is seen, and what taking over would be
        #[arg(long)]
        dry_run: bool,
        /// Return as soon as the order is taken
        #[arg(long, conflicts_with = "dry_run")]
        no_follow: bool,
    },
    /// Keep the change that waits to be confirmed
    Confirm,
    /// The change of driver under way, and those that ended
    History(Read),
    /// Freeze the node: no steps, nothing lent anew to local programs
    Hold {
        /// Why, for the next person
        #[arg(required_unless_present = "because")]
        reason: Option<String>,
        /// The same
        #[arg(long = "reason", value_name = "REASON", conflicts_with = "reason")]
        because: Option<String>,
        /// For how long; otherwise until unhold
        #[arg(long = "for", value_name = "DURATION")]
        duration: Option<String>,
        /// Until when, with the offset from UTC: 2026-03-01T18:00Z
        #[arg(long, value_name = "TIME", value_parser = point::parse, conflicts_with = "duration")]
        until: Option<u64>,
    },
    /// End a hold
    Unhold,
    /// Have onloadd read its configuration again; fails when it does not hold
    Reload,
    /// Every setting in force, where it comes from, and what it masks
    Config(Read),
    /// Check, step by step, what makes Onload work on this node, and say what to do where it does not
    Verify(VerifyArgs),
    /// Pack what a bug report needs into one archive: root's, on the node itself
    Capture(CaptureArgs),
    /// A MachineConfig that brings onloadd to nodes of OpenShift at their first boot; works without onloadd
    #[command(subcommand, arg_required_else_help = false)]
    Machineconfig(MachineconfigVerb),
    /// NetworkAttachmentDefinitions for ports of this node, for Multus
    #[command(subcommand, arg_required_else_help = false)]
    Nad(NadVerb),
    /// Features of this node for Node Feature Discovery
    #[command(subcommand, arg_required_else_help = false)]
    Nfd(NfdVerb),
    /// Pods that use Onload, to begin with; works without onloadd
    #[command(subcommand, arg_required_else_help = false)]
    Pod(PodVerb),
    /// Write the manual pages of every command
    #[command(hide = true)]
    Man {
        /// Into this directory
        directory: std::path::PathBuf,
    },
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
    fn holders_are_treated_in_one_way() {
        let manner = |words: &[&str]| {
            let line = [&["onloadctl", "release", "use", "9.1.0"], words].concat();
            let verb = Args::try_parse_from(line).map(|args| args.verb);
            verb.map(|verb| match verb {
                Some(Verb::Release(ReleaseVerb::Use { manner, .. })) => manner.words(),
                _ => Vec::new(),
            })
        };
        let text = |word: &'static str| Variant::from(word);
        let cases: [(&[&str], &[_]); 5] = [
            (&[], &[]),
            (&["--refuse"], &[("Holders", text("refuse"))]),
            (&["--wait"], &[("Holders", text("wait"))]),
            (&["--wait=30s"], &[("Holders", text("wait")), ("WaitFor", text("30s"))]),
            (
                &["--stop-holders", "--confirm-within", "60s"],
                &[("Holders", text("stop")), ("ConfirmWithin", text("60s"))],
            ),
        ];
        for (words, wanted) in cases {
            assert_eq!(manner(words).unwrap(), wanted, "{words:?}");
        }
        for words in [["--wait", "--refuse"], ["--stop-holders", "--wait"]] {
            assert!(manner(&words).is_err(), "{words:?}");
        }
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

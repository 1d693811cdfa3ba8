//! The command line.

use std::path::PathBuf;

use clap::Parser;
use onload_core::time::Span;
use onloadd::boot;

/// The node daemon for AMD Solarflare Onload.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Args {
    /// Root of the machine to look at; any other than / is only looked at (but for --restore), and
    /// offered to no kubelet in /var/lib/kubelet. What `onloadctl capture` took is one, too, as a
    /// directory or as the archive, which is then unpacked in TMPDIR until the end.
    #[arg(long, value_name = "DIR|FILE", default_value = "/", conflicts_with = "sim")]
    pub root: PathBuf,
    /// Run on a simulated machine: a world file, or the name of a shipped world.
    #[arg(long, value_name = "FILE|NAME")]
    pub sim: Option<PathBuf>,
    /// Take orders to the simulated machine on this Unix socket.
    #[arg(long, value_name = "SOCKET", requires = "sim")]
    pub sim_control: Option<PathBuf>,
    /// Bus to serve on; `session` with --sim, `system` without.
    #[arg(long, value_name = "system|session|ADDRESS")]
    pub bus: Option<String>,
    /// Root of the configuration directories; that of the machine without --sim, none with it.
    #[arg(long, value_name = "DIR")]
    pub config_root: Option<PathBuf>,
    /// The kubelet's device-plugin directory, in place of the configured one; its pod-resources are
    /// then beside it.
    #[arg(long, value_name = "DIR")]
    pub kubelet_directory: Option<PathBuf>,
    /// Where the ledger and the releases are kept; /var/lib/onloadd unless given, with --sim or
    /// another --root below $XDG_STATE_HOME or ~/.local/state.
    #[arg(long, value_name = "DIR", env = "STATE_DIRECTORY")]
    pub state_directory: Option<PathBuf>,
    /// This boot's directory, in which configuration counts above the vendor's, and what must be
    /// remembered over a restart of the daemon is.
    #[arg(long, value_name = "DIR", env = "RUNTIME_DIRECTORY")]
    pub runtime_directory: Option<PathBuf>,
    /// Bring the modules to what is wanted before the network starts, and end: no bus, no kubelet.
    /// Ends well whatever comes of it; the daemon shows that later.
    #[arg(long, conflicts_with_all = ["bus", "kubelet_directory", "check_config", "record"])]
    pub boot: bool,
    /// How long --boot may take, before what is under way is taken back: such as 60s or 2m.
    #[arg(long, value_name = "TIME", requires = "boot", default_value_t = Span(boot::LIMIT))]
    pub boot_limit: Span,
    /// Read the configuration, say whether it holds, and end.
    #[arg(long)]
    pub check_config: bool,
    /// Look at the machine once, write what was read below this directory, and end.
    #[arg(long, value_name = "DIR", conflicts_with = "sim")]
    pub record: Option<PathBuf>,
    /// Take back what onloadd has changed on this host, say what that was, and end: pinned names, files
    /// below /run, services stopped for sfptpd. Loaded modules stay until the next boot.
    #[arg(long, conflicts_with_all = ["sim", "bus", "kubelet_directory", "boot", "check_config", "record"])]
    pub restore: bool,
    /// With --restore: remove the ledger and the releases, too.
    #[arg(long, requires = "restore")]
    pub purge: bool,
    /// Write shim's variables as standard input says, and end. The daemon has itself run so.
    #[arg(long, hide = true)]
    #[arg(conflicts_with_all = ["sim", "bus", "kubelet_directory", "boot", "check_config", "record"])]
    pub write_variables: bool,
    /// Change the network as standard input says, and end. The daemon has itself run so.
    #[arg(long, hide = true)]
    #[arg(conflicts_with_all = ["sim", "bus", "kubelet_directory", "boot", "check_config", "record", "write_variables"])]
    pub write_network: bool,
    /// What to log: error, warn, info, debug, trace, or a list such as info,onloadd::bus=debug.
    #[arg(long, value_name = "LEVEL", env = "ONLOADD_LOG", default_value = "info")]
    pub log: String,
}

//! Logs: to the journal as fields under systemd, to standard error otherwise.
//!
//! Events that programs look for carry a fixed `MESSAGE_ID`; find them with
//! `journalctl MESSAGE_ID=…`. Fields, not sentences; level means urgency.

use std::io::IsTerminal;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The daemon serves.
pub const STARTED: &str = "7c1a1f0e0a3d4b51a6a4c3f3d2f9a001";
/// The node state changed.
pub const STATE_CHANGED: &str = "7c1a1f0e0a3d4b51a6a4c3f3d2f9a002";
/// A step begins or has ended.
pub const STEP: &str = "7c1a1f0e0a3d4b51a6a4c3f3d2f9a003";
/// A step failed.
pub const STEP_FAILED: &str = "7c1a1f0e0a3d4b51a6a4c3f3d2f9a004";
/// The daemon keeps its hands off.
pub const DEGRADED: &str = "7c1a1f0e0a3d4b51a6a4c3f3d2f9a005";
/// A configuration was refused.
pub const CONFIGURATION_REFUSED: &str = "7c1a1f0e0a3d4b51a6a4c3f3d2f9a006";
/// What became of the modules at boot.
pub const BOOT: &str = "7c1a1f0e0a3d4b51a6a4c3f3d2f9a007";

/// Starts logging. `level` is a level or a list such as `info,onloadd::bus=debug`.
///
/// # Errors
/// A level that does not parse.
pub fn init(level: &str) -> Result<(), String> {
    let refuse = |()| format!("`{level}` is no log level; write error, warn, info, debug or trace");
    let targets: Targets = match level.parse::<LevelFilter>() {
        // A bare level is about us: what the libraries say below `info` drowns it.
        Ok(own) => {
            Targets::new().with_default(own.min(LevelFilter::INFO)).with_target("onloadd", own)
        }
        // A bare word that is no level would name a target, and all others fall silent.
        Err(_) if !level.contains('=') && !level.contains(',') => return Err(refuse(())),
        Err(_) => level.parse::<Targets>().map_err(|_| refuse(()))?,
    };
    let registry = tracing_subscriber::registry().with(targets);
    // systemd names the stream only where standard error is the journal.
    let journal = std::env::var_os("JOURNAL_STREAM").and_then(|_| tracing_journald::layer().ok());
    match journal {
        Some(layer) => registry.with(layer.with_field_prefix(None)).init(),
        None => registry
            .with(
                fmt::layer()
                    .with_writer(std::io::stderr)
                    .with_ansi(std::io::stderr().is_terminal()),
            )
            .init(),
    }
    Ok(())
}

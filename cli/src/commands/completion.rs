//! `completion`: scripts for shells.

use std::io::{self, Write as _};

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Args;

/// Prints the script.
pub fn print(shell: Shell) -> io::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "onloadctl", &mut script);
    let mut out = io::stdout().lock();
    out.write_all(&script)?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_is_in_every_script() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "onloadctl", &mut script);
            let script = String::from_utf8_lossy(&script).into_owned();
            for verb in Args::command().get_subcommands() {
                assert!(script.contains(verb.get_name()), "{shell}: {}", verb.get_name());
                for below in verb.get_subcommands() {
                    assert!(script.contains(below.get_name()), "{shell}: {}", below.get_name());
                }
            }
        }
    }
}

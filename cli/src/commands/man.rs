//! Manual pages, from the same description as `--help`: onloadctl.1, and one page for each verb and each
//! verb below it. The same sources give the same bytes: no page has a date.

mod examples;

use std::fs;
use std::io;
use std::path::Path;

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use onload_dbus::error::Kind;

use crate::args::Args;
use crate::ended::{Complaint, Ended};
use crate::render::paint::plain;

use examples::examples;

/// What they are part of.
const MANUAL: &str = "Onload node daemon";

/// Writes them, and makes the directory if there is none.
pub fn write(directory: &Path) -> Result<(), Ended> {
    let refuse = |error: io::Error| {
        let why = format!("{}: {error}", plain(&directory.to_string_lossy()));
        let fix = "name a directory that can be written";
        Complaint::of(Kind::InvalidArgument, "not all manual pages are written", why, fix)
    };
    fs::create_dir_all(directory).map_err(refuse)?;
    for (name, page) in pages().map_err(refuse)? {
        fs::write(directory.join(name), page).map_err(refuse)?;
    }
    Ok(())
}

/// Names and texts of all pages.
fn pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut root = Args::command().disable_help_subcommand(true);
    root.build();
    let version = root.get_version().unwrap_or_default().to_owned();
    let mut commands = Vec::new();
    collect(&root, &mut commands);
    let page = |command: &Command| {
        Ok((format!("{}.1", full_name(command)), page(command, &version, &commands)?))
    };
    commands.iter().map(page).collect()
}

/// A command and the visible ones below it.
fn collect(command: &Command, into: &mut Vec<Command>) {
    into.push(command.clone());
    below(command).for_each(|below| collect(below, into));
}

fn below(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|below| !below.is_hide_set())
}

fn full_name(command: &Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

fn page(command: &Command, version: &str, all: &[Command]) -> io::Result<Vec<u8>> {
    let name = full_name(command);
    let man = Man::new(command.clone())
        .title(name.to_uppercase())
        .source(format!("onloadctl {version}"))
        .manual(MANUAL);
    let mut text = Vec::new();
    man.render(&mut text)?;
    let mut rest = Roff::new();
    let lines = examples(&name);
    if !lines.is_empty() {
        rest.control("SH", ["EXAMPLES"]);
        for (what, line) in lines {
            rest.control("TP", []).text([roman(*what)]).control("nf", []);
            rest.text([bold(*line)]).control("fi", []);
        }
    }
    rest.control("SH", ["SEE ALSO"]).text([roman(related(command, all).join(", "))]);
    text.extend(rest.to_roff().bytes());
    Ok(text)
}

/// Pages above and below it, and of the daemon.
fn related(command: &Command, all: &[Command]) -> Vec<String> {
    let name = full_name(command);
    let above =
        |one: &String| name.strip_prefix(one.as_str()).is_some_and(|rest| rest.starts_with('-'));
    let above = all.iter().map(full_name).filter(above);
    let pages = above.chain(below(command).map(full_name));
    let ours = pages.map(|page| format!("{page}(1)"));
    ours.chain(["onloadd.toml(5)", "onloadd(8)"].map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed test is what a panic is for.

    use super::*;

    #[test]
    fn every_example_is_of_a_page_and_reads() {
        use clap::Parser as _;
        let pages = pages().unwrap();
        for (page, lines) in examples::ALL {
            assert!(pages.iter().any(|(name, _)| *name == format!("{page}.1")), "{page}");
            for (_, line) in *lines {
                let read = Args::try_parse_from(line.split_whitespace());
                assert!(read.is_ok(), "{line}: {}", read.unwrap_err());
                assert!(line.starts_with(&page.replace('-', " ")), "{page}: {line}");
            }
        }
    }

    #[test]
    fn hidden_verbs_have_no_page_and_every_other_has_one() {
        let names: Vec<_> = pages().unwrap().into_iter().map(|(name, _)| name).collect();
        for name in ["onloadctl.1", "onloadctl-status.1", "onloadctl-keys-import.1"] {
            assert!(names.iter().any(|one| one == name), "{name}");
        }
        assert!(!names.iter().any(|name| name == "onloadctl-man.1"));
        assert_eq!(pages().unwrap(), pages().unwrap());
    }
}

//! Interfaces renamed, all of them or none: names that trade places go over names that nobody has, and
//! when one is refused, those before it get their former names back.

use nix::errno::Errno;
use onload_core::names::PciAddress;
use onload_core::naming::Renaming;

use super::Failure;
use super::links::Link;
use super::netlink::Refused;

#[cfg(test)]
mod tests;

/// Beginning of the names that are gone over; a number follows.
const ON_THE_WAY: &str = "onloadd-";
/// How many of those are tried.
const TRIES: u32 = 100;

/// Links, as far as it takes to rename them.
pub(super) trait Links {
    /// The link that has a name, as its own or as an alternative one.
    fn find(&mut self, name: &str) -> Result<Option<Link>, Refused>;
    /// Whether a link belongs to a PCI function.
    fn belongs(&self, link: &Link, port: &PciAddress) -> bool;
    /// Gives it another name.
    fn rename(&mut self, index: u32, name: &str) -> Result<(), Refused>;
    /// Sets it up or down.
    fn set_up(&mut self, index: u32, up: bool) -> Result<(), Refused>;
    /// Gives it an alternative name.
    fn add_altname(&mut self, index: u32, name: &str) -> Result<(), Refused>;
    /// Takes one away.
    fn remove_altname(&mut self, index: u32, name: &str) -> Result<(), Refused>;
}

/// A link that is to be renamed.
struct Move<'a> {
    wanted: &'a Renaming,
    link: Link,
    /// What it is called by now.
    name: String,
}

/// What was done, to be undone.
enum Done<'a> {
    Renamed { wanted: &'a Renaming, index: u32, up: bool, former: String },
    AltnameRemoved { wanted: &'a Renaming, index: u32 },
}

/// Renames.
///
/// # Errors
/// The first that was refused; behind it what could not be undone, if anything.
pub(super) fn all_or_none(links: &mut impl Links, all: &[Renaming]) -> Result<(), Vec<Failure>> {
    let mut moves = Vec::new();
    for wanted in all {
        let found = find(links, wanted).and_then(|link| check(links, wanted, all).map(|()| link));
        let link = found.map_err(|refused| vec![failure(wanted, &refused)])?;
        moves.push(Move { wanted, name: link.name.clone(), link });
    }
    let mut done = Vec::new();
    if let Err(first) = rename(links, moves, &mut done) {
        return Err([vec![first], undo(links, done)].concat());
    }
    for wanted in all {
        // Best effort, and not where the name is another's by now.
        if let Ok(Some(link)) = links.find(wanted.to.as_str()) {
            let _ = links.add_altname(link.index, wanted.from.as_str());
        }
    }
    Ok(())
}

fn find(links: &mut impl Links, wanted: &Renaming) -> Result<Link, Refused> {
    let Renaming { port, from, .. } = wanted;
    let link = links.find(from.as_str())?.filter(|link| link.name == from.as_str());
    let link = link.ok_or_else(|| Refused::new(format!("no interface is called {from}")))?;
    if links.belongs(&link, port) {
        return Ok(link);
    }
    Err(Refused::new(format!("{from} does not belong to {port} any more")))
}

/// Whether the name that is wanted is free, or will be.
fn check(links: &mut impl Links, wanted: &Renaming, all: &[Renaming]) -> Result<(), Refused> {
    let Renaming { from, to, .. } = wanted;
    if all.iter().any(|other| other != wanted && (other.to == *to || other.from == *from)) {
        return Err(Refused::new("two of the renamings contradict each other"));
    }
    let Some(holder) = links.find(to.as_str())? else { return Ok(()) };
    let leaves = |name: &str| all.iter().any(|other| other.from.as_str() == name);
    if holder.name == from.as_str() || (holder.name == to.as_str() && leaves(&holder.name)) {
        return Ok(());
    }
    Err(Refused::new(match holder.name == to.as_str() {
        true => format!("another interface is called {to}"),
        false => format!("{to} is another name of {}", holder.name),
    }))
}

fn rename<'a>(
    links: &mut impl Links,
    mut moves: Vec<Move<'a>>,
    done: &mut Vec<Done<'a>>,
) -> Result<(), Failure> {
    while !moves.is_empty() {
        // One whose name nobody of the others still has.
        let taken = |one: &Move<'_>| {
            let mut others = moves.iter().filter(|other| other.link.index != one.link.index);
            others.any(|other| other.name == one.wanted.to.as_str())
        };
        match moves.iter().position(|one| !taken(one)) {
            Some(at) => {
                let one = moves.remove(at);
                let renamed = free_altname(links, &one, done)
                    .and_then(|()| rename_one(links, &one, one.wanted.to.as_str(), done));
                renamed.map_err(|refused| failure(one.wanted, &refused))?;
            }
            // They go in circles: one makes room.
            None => {
                let Some(one) = moves.first_mut() else { break };
                let renamed = on_the_way(links).and_then(|name| {
                    rename_one(links, one, &name, done)?;
                    one.name = name;
                    Ok(())
                });
                renamed.map_err(|refused| failure(one.wanted, &refused))?;
            }
        }
    }
    Ok(())
}

/// A name that nobody has.
fn on_the_way(links: &mut impl Links) -> Result<String, Refused> {
    for number in 0..TRIES {
        let name = format!("{ON_THE_WAY}{number}");
        if links.find(&name)?.is_none() {
            return Ok(name);
        }
    }
    Err(Refused::new(format!("every name like {ON_THE_WAY}0 is taken")))
}

/// An alternative name of a link keeps it from being called so.
fn free_altname<'a>(
    links: &mut impl Links,
    one: &Move<'a>,
    done: &mut Vec<Done<'a>>,
) -> Result<(), Refused> {
    let (wanted, index) = (one.wanted, one.link.index);
    if one.link.altnames.iter().any(|name| name == wanted.to.as_str()) {
        links.remove_altname(index, wanted.to.as_str())?;
        done.push(Done::AltnameRemoved { wanted, index });
    }
    Ok(())
}

fn rename_one<'a>(
    links: &mut impl Links,
    one: &Move<'a>,
    name: &str,
    done: &mut Vec<Done<'a>>,
) -> Result<(), Refused> {
    let (wanted, index, up) = (one.wanted, one.link.index, one.link.up);
    let former = one.name.clone();
    live_or_down(links, wanted, index, up, name, || {
        done.push(Done::Renamed { wanted, index, up, former });
    })
}

/// Renames a link as it is, or, where the kernel renames nothing that is up, goes down for it.
fn live_or_down(
    links: &mut impl Links,
    wanted: &Renaming,
    index: u32,
    up: bool,
    name: &str,
    renamed: impl FnOnce(),
) -> Result<(), Refused> {
    match links.rename(index, name) {
        Ok(()) => {
            renamed();
            Ok(())
        }
        Err(refused) if refused.is(Errno::EBUSY) && up => {
            if !wanted.may_go_down {
                return Err(Refused::new(
                    "it is up and in use, and this kernel renames only what is down",
                ));
            }
            links.set_up(index, false)?;
            let result = links.rename(index, name);
            if result.is_ok() {
                renamed();
            }
            // Whatever came of it.
            let again = links.set_up(index, true);
            result.and(again)
        }
        Err(refused) => Err(refused),
    }
}

/// Undoes, last first; what could not be.
fn undo(links: &mut impl Links, done: Vec<Done<'_>>) -> Vec<Failure> {
    let undone = done.into_iter().rev().filter_map(|done| {
        let (deed, result) = match done {
            Done::Renamed { wanted, index, up, former } => (
                format!("call the interface of {} {former} again", wanted.port),
                // It may have been left down.
                live_or_down(links, wanted, index, up, &former, || ())
                    .and_then(|()| if up { links.set_up(index, true) } else { Ok(()) }),
            ),
            Done::AltnameRemoved { wanted, index } => (
                format!("call the interface of {} also {} again", wanted.port, wanted.to),
                links.add_altname(index, wanted.to.as_str()),
            ),
        };
        result.err().map(|refused| Failure { deed, why: refused.to_string() })
    });
    undone.collect()
}

fn failure(wanted: &Renaming, refused: &Refused) -> Failure {
    let deed = format!("rename {} to {}", wanted.from, wanted.to);
    Failure { deed, why: refused.to_string() }
}

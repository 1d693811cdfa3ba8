//! Which kept file of a source becomes which file of the release.

use std::collections::{BTreeMap, BTreeSet};

use onload_core::refusal::Refusal;

use super::collect::{Entry, Staged, inside};
use super::fault;
use super::image::Tree;
use super::place::{self, Place};

/// More links in a row than any library has names (`libonload_ext.so`, `.2`, `.2.0.0`).
const MOST_LINKS: usize = 8;

/// Files and links of a release, by their path in it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Layout {
    /// Each with the path it had in the source.
    pub(super) files: BTreeMap<String, (Staged, String)>,
    /// Each with what stands in it.
    pub(super) links: BTreeMap<String, String>,
    /// Members at places of a release that were not kept.
    pub(super) skipped: u64,
}

/// Lays the kept members out. `same` tells whether two staged files have the same content.
pub(super) fn lay_out(
    tree: &Tree,
    image: bool,
    same: &dyn Fn(Staged, Staged) -> Result<bool, Refusal>,
) -> Result<Layout, Refusal> {
    let placed: Vec<(&String, &Entry, Place)> = tree
        .iter()
        .filter(|(_, entry)| **entry != Entry::Cover)
        .filter_map(|(path, entry)| Some((path, entry, place::of(path)?)))
        .collect();
    let top = top(&placed, image)?;
    let mut layout = Layout::default();
    let mut links = BTreeMap::new();
    for (path, entry, place) in &placed {
        if place.top != top {
            layout.skipped += 1;
            continue;
        }
        match entry {
            Entry::File(staged) => match layout.files.get(&place.path) {
                // As in images whose builder is their last stage.
                Some((other, _)) if same(*other, *staged)? => layout.skipped += 1,
                Some((_, other)) => return Err(ambiguous(other, path)),
                None => {
                    layout.files.insert(place.path.clone(), (*staged, (*path).clone()));
                }
            },
            Entry::Symlink(target) if !place.module => {
                let target = place::of(&inside(path, target)?);
                let target = target.filter(|target| target.top == top);
                match target {
                    Some(target) if target.path != place.path => {
                        links.insert(place.path.clone(), target.path);
                    }
                    Some(_) | None => layout.skipped += 1,
                }
            }
            Entry::Symlink(_) | Entry::Hardlink(_) | Entry::Cover => layout.skipped += 1,
        }
    }
    for (path, target) in &links {
        if !layout.files.contains_key(path) && leads_to_file(target, &links, &layout) {
            layout.links.insert(path.clone(), relative(path, target));
        } else {
            layout.skipped += 1;
        }
    }
    Ok(layout)
}

/// The one directory that the release lies below; none where it begins at the top.
fn top(placed: &[(&String, &Entry, Place)], image: bool) -> Result<Option<String>, Refusal> {
    let files = placed.iter().filter(|(_, entry, _)| matches!(entry, Entry::File(_)));
    let tops: BTreeSet<&Option<String>> = files.map(|(_, _, place)| &place.top).collect();
    if image || tops.contains(&None) {
        return Ok(None);
    }
    let mut tops = tops.into_iter().flatten();
    match (tops.next(), tops.next()) {
        (Some(one), Some(other)) => Err(fault::unfit(
            format!("it holds two releases, {} and {}", fault::shown(one), fault::shown(other)),
            "give one of the two alone",
        )),
        (one, _) => Ok(one.cloned()),
    }
}

fn ambiguous(one: &str, other: &str) -> Refusal {
    fault::unfit(
        format!(
            "{} and {} are for the same place and differ",
            fault::shown(one),
            fault::shown(other)
        ),
        "leave one of the two away",
    )
}

fn leads_to_file(target: &str, links: &BTreeMap<String, String>, layout: &Layout) -> bool {
    let mut at = target;
    for _ in 0..MOST_LINKS {
        if layout.files.contains_key(at) {
            return true;
        }
        match links.get(at) {
            Some(next) => at = next,
            None => return false,
        }
    }
    false
}

/// What stands in a link at `path` that leads to `target`, both in the release.
fn relative(path: &str, target: &str) -> String {
    let from: Vec<&str> = path.split('/').collect();
    let to: Vec<&str> = target.split('/').collect();
    let directories = from.len() - 1;
    let shared = from.iter().zip(&to).take(directories).take_while(|(one, two)| one == two).count();
    let up = std::iter::repeat_n("..", directories - shared);
    up.chain(to[shared..].iter().copied()).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_relative_within_the_release() {
        assert_eq!(relative("usr/lib64/a.so", "usr/lib64/a.so.2"), "a.so.2");
        assert_eq!(relative("usr/bin/onload_tool", "sbin/onload_tool"), "../../sbin/onload_tool");
        assert_eq!(relative("sbin/x", "sbin/y"), "y");
    }
}

//! `release list`: what is there, and whether the running kernel takes it.

use crate::commands::release::{Release, Releases};
use crate::render::Page;
use crate::render::paint::Paint;
use crate::render::phrase::{ABSENT, UNREADABLE, count, fact};
use crate::render::table::{Cell, table};

impl Page for Releases {
    fn text(&self, _now: u64) -> String {
        if self.releases.is_empty() {
            return "no release is on this node\n".into();
        }
        let rows: Vec<_> = self.releases.iter().map(|one| self.row(one)).collect();
        table(&["RELEASE", "IS", "THIS KERNEL", "KERNELS", "LIBRARIES FIT", "ROOT"], &rows)
    }
}

impl Releases {
    fn row(&self, release: &Release) -> Vec<Cell> {
        let is = [(&self.loaded_release, "loaded"), (&self.wanted_release, "wanted")];
        let is = is.into_iter().filter(|(name, _)| name.as_ref() == Some(&release.name));
        let is = is.map(|(_, word)| word).collect::<Vec<_>>().join(", ");
        vec![
            Cell::painted(&release.name, Paint::Strong),
            fact(Some(is).filter(|is| !is.is_empty()), "", &release.unreadable),
            self.verdict(release),
            if release.unreadable.contains_key("modules") {
                Cell::number(UNREADABLE).paint(Paint::Warn)
            } else {
                Cell::number(release.modules.len())
            },
            match release.matches_driver.as_str() {
                "unknown" => fact(None::<String>, "matches_driver", &release.unreadable),
                word => Cell::new(word),
            },
            fact(release.root.as_deref(), "root", &release.unreadable),
        ]
    }

    /// What onloadd says of it and the kernel that runs.
    fn verdict(&self, release: &Release) -> Cell {
        let Some(kernel) = &self.kernel else {
            return fact(None::<String>, "kernel", &self.unreadable);
        };
        match release.kernels.get(kernel).map(Vec::len) {
            None => Cell::painted(ABSENT, Paint::Dim),
            Some(0) => Cell::painted("fits", Paint::Good),
            Some(against) => Cell::painted(count(against, "objection"), Paint::Warn),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::commands::release::Objection;
    use crate::render::paint::without;

    #[test]
    fn a_list_says_what_is_loaded_and_what_would_load() {
        let release = |name: &str, against: Option<usize>| Release {
            name: name.into(),
            root: Some("/".into()),
            kernels: against
                .map(|against| ("6.1".to_owned(), vec![Objection::default(); against]))
                .into_iter()
                .collect(),
            modules: BTreeMap::from([("6.1".to_owned(), Vec::new())]),
            matches_driver: "unknown".into(),
            ..Release::default()
        };
        let blind = BTreeMap::from([("modules".to_owned(), "EIO".to_owned())]);
        let releases = Releases {
            kernel: Some("6.1".into()),
            wanted_release: Some("9.1.0".into()),
            loaded_release: Some("9.1.0".into()),
            releases: vec![
                Release { matches_driver: "yes".into(), ..release("9.1.0", Some(0)) },
                release("9.2.0", Some(2)),
                Release { unreadable: blind, ..release("host", None) },
            ],
            ..Releases::default()
        };
        assert_eq!(
            without(&releases.text(0)),
            "\
RELEASE  IS              THIS KERNEL   KERNELS  LIBRARIES FIT  ROOT
9.1.0    loaded, wanted  fits                1  yes            /
9.2.0    -               2 objections        1  -              /
host     -               -                   ?  -              /
"
        );
    }
}

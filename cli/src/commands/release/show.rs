//! `release show`: everything about one.

use std::collections::BTreeMap;

use crate::bus::Bus;
use crate::commands::release::{self, File, Release};
use crate::ended::Ended;
use crate::render::Page;
use crate::render::paint::{Paint, plain};
use crate::render::phrase::{ABSENT, count, fact};
use crate::render::table::{Cell, table};

/// Reads it.
pub async fn read(bus: &Bus, name: &str) -> Result<Release, Ended> {
    Ok(release::read(bus).await?.find(name)?.clone())
}

impl Page for Release {
    fn text(&self, _now: u64) -> String {
        let gaps = &self.unreadable;
        let list = |names: &[String]| Some(names.join(" ")).filter(|text| !text.is_empty());
        let row = |label: &str, cell: Cell| vec![Cell::painted(label, Paint::Dim), cell];
        let facts = [
            row("root", fact(self.root.as_deref(), "root", gaps)),
            row("libraries", fact(list(&self.libraries), "libraries", gaps)),
            row("in", fact(self.library_directory.as_deref(), "library_directory", gaps)),
            row("fit", Cell::new(format!("{} (the loaded driver)", self.matches_driver))),
            row("launcher", Cell::new(if self.launcher { "yes" } else { "no" })),
            row("profiles", fact(list(&self.profiles), "profiles", gaps)),
            row("server", fact(self.server.as_deref(), "server", gaps)),
        ];
        let mut text = format!("{}\n\n{}", Paint::Strong.on(&self.name), table(&[], &facts));
        if let Some(why) = gaps.get("modules") {
            text += &format!("\nmodules cannot be read: {}\n", plain(why));
        }
        for (kernel, files) in &self.modules {
            text += &format!("\n{}\n{}", Paint::Strong.on(kernel), modules(files));
        }
        text + &self.verdicts()
    }
}

impl Release {
    /// What each kernel says, in short; `check` has the words.
    fn verdicts(&self) -> String {
        if self.kernels.is_empty() {
            return String::new();
        }
        let row = |(kernel, against): (&String, &Vec<_>)| {
            let verdict = match against.len() {
                0 => Cell::painted("nothing speaks against it", Paint::Good),
                many => Cell::painted(
                    format!("{}: `onloadctl release check`", count(many, "objection")),
                    Paint::Warn,
                ),
            };
            vec![Cell::new(kernel), verdict]
        };
        let rows: Vec<_> = self.kernels.iter().map(row).collect();
        format!("\n{}", table(&["KERNEL", "VERDICT"], &rows))
    }
}

fn modules(files: &[File]) -> String {
    let none = BTreeMap::new();
    let row = |file: &File| {
        vec![
            Cell::new(&file.module),
            fact(file.version.as_deref(), "version", &none),
            fact(file.srcversion.as_deref(), "srcversion", &none),
            Cell::new(if file.signed { "yes" } else { "no" }),
            Cell::new(&file.path),
        ]
    };
    let rows: Vec<_> = files.iter().map(row).collect();
    if rows.is_empty() {
        return format!("{ABSENT}\n");
    }
    table(&["MODULE", "VERSION", "SRCVERSION", "SIGNED", "FILE"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::release::Objection;
    use crate::render::paint::without;

    #[test]
    fn a_release_is_told_file_by_file() {
        let file = File {
            module: "sfc".into(),
            version: Some("6.0".into()),
            path: "/r/sfc.ko".into(),
            signed: true,
            ..File::default()
        };
        let against = vec![Objection::default()];
        let release = Release {
            name: "9.1.0".into(),
            root: Some("/r".into()),
            libraries: vec!["libonload.so".into(), "libonload_ext.so".into()],
            matches_driver: "no".into(),
            modules: BTreeMap::from([("6.1".to_owned(), vec![file])]),
            kernels: BTreeMap::from([("6.1".into(), Vec::new()), ("6.2".into(), against)]),
            ..Release::default()
        };
        assert_eq!(
            without(&release.text(0)),
            "\
9.1.0

root       /r
libraries  libonload.so libonload_ext.so
in         -
fit        no (the loaded driver)
launcher   no
profiles   -
server     -

6.1
MODULE  VERSION  SRCVERSION  SIGNED  FILE
sfc     6.0      -           yes     /r/sfc.ko

KERNEL  VERDICT
6.1     nothing speaks against it
6.2     1 objection: `onloadctl release check`
"
        );
    }
}

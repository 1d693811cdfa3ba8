//! `modules`: what the kernel has of the stack, and what it shall have.

use std::collections::BTreeMap;

use onload_dbus::path::Kind;
use serde::Serialize;

use crate::bus::{Bus, Subject, of_kind};
use crate::commands::release::{File, Release};
use crate::ended::Ended;
use crate::properties::Properties;
use crate::render::Page;
use crate::render::paint::Paint;
use crate::render::phrase::{fact, natural};
use crate::render::table::{Cell, table};

/// All modules, in the order they are loaded in, others after them by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Modules {
    pub modules: Vec<Module>,
}

/// One module. Absent is null; so is what could not be read, and then `unreadable` says why.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Module {
    pub name: String,
    pub wanted: bool,
    pub loaded: Option<bool>,
    pub state: Option<String>,
    pub refcount: Option<i32>,
    pub holders: Vec<String>,
    pub module_version: Option<String>,
    pub src_version: Option<String>,
    pub taint: Option<String>,
    pub origin: Option<String>,
    pub parameters: BTreeMap<String, String>,
    /// The release the loaded stack is from, where that has a file of this module.
    pub release: Option<String>,
    /// Whether what is loaded is that file, by its srcversion, or its version where it has none.
    pub verified: Option<bool>,
    pub unreadable: BTreeMap<String, String>,
}

/// The stack from the bottom up (reference/onload-modules.md section 2).
const LOAD_ORDER: [&str; 4] = ["sfc", "sfc_resource", "sfc_char", "onload"];

/// Reads them.
pub async fn read(bus: &Bus) -> Result<Modules, Ended> {
    let mut objects = bus.objects().await?;
    let mut modules = Modules::of(of_kind(&mut objects, Kind::Module));
    let releases = of_kind(&mut objects, Kind::Release).into_iter().map(Release::of);
    let mut node = Properties::new(objects.remove(&Subject::Node).unwrap_or_default());
    let (kernel, loaded) = (node.text("kernel"), node.text("loaded_release"));
    let (mut releases, kernel) = (releases, kernel.unwrap_or_default());
    let from = releases.find(|release| Some(&release.name) == loaded.as_ref());
    if let Some((name, files)) =
        from.as_ref().and_then(|from| Some((&from.name, from.modules.get(&kernel)?)))
    {
        modules.modules.iter_mut().for_each(|module| module.trace(name, files));
    }
    Ok(modules)
}

impl Modules {
    /// From what the bus says.
    pub fn of(modules: Vec<Properties>) -> Self {
        let mut modules: Vec<_> = modules.into_iter().map(Module::of).collect();
        let place =
            |name: &str| LOAD_ORDER.iter().position(|known| *known == name).unwrap_or(usize::MAX);
        modules.sort_by(|a, b| {
            place(&a.name).cmp(&place(&b.name)).then_with(|| natural(&a.name, &b.name))
        });
        Self { modules }
    }
}

impl Module {
    fn of(mut module: Properties) -> Self {
        Self {
            name: module.get("name"),
            wanted: module.get("wanted"),
            loaded: module.readable("loaded"),
            state: module.text("state"),
            refcount: module.number("refcount", -1),
            holders: module.get("holders"),
            module_version: module.text("module_version"),
            src_version: module.text("src_version"),
            taint: module.text("taint"),
            origin: module.text("origin"),
            parameters: module.get("parameters"),
            release: None,
            verified: None,
            unreadable: module.unreadable(),
        }
    }

    /// Names the file it was loaded from.
    fn trace(&mut self, release: &str, files: &[File]) {
        let file = files.iter().find(|file| file.module == self.name);
        let Some(file) = file.filter(|_| self.loaded == Some(true)) else { return };
        let same = |loaded: &Option<String>, file: &Option<String>| {
            Some(loaded.as_ref()? == file.as_ref()?)
        };
        self.release = Some(release.to_owned());
        self.verified = same(&self.src_version, &file.srcversion)
            .or_else(|| same(&self.module_version, &file.version));
    }

    fn cells(&self) -> Vec<Cell> {
        // Where nothing about the module could be read, no single gap is one.
        let blind = self.unreadable.get("loaded").cloned();
        let mut gaps = self.unreadable.clone();
        if let Some(why) = blind {
            let names = ["state", "refcount", "module_version", "origin", "holders"];
            gaps.extend(names.map(|name| (name.to_owned(), why.clone())));
        }
        let state = fact(self.state.clone(), "state", &gaps);
        let state = match (self.state.as_deref(), self.wanted) {
            (Some("live"), true) => state.paint(Paint::Good),
            (Some("absent"), false) => state.paint(Paint::Dim),
            (Some("coming" | "going" | "absent"), _) => state.paint(Paint::Warn),
            (Some(_) | None, _) => state,
        };
        let holders = Some(self.holders.join(" ")).filter(|holders| !holders.is_empty());
        vec![
            Cell::painted(&self.name, Paint::Strong),
            Cell::new(if self.wanted { "yes" } else { "no" }),
            state,
            fact(self.module_version.clone(), "module_version", &gaps),
            fact(self.origin.clone(), "origin", &gaps),
            match (&self.release, self.verified) {
                (Some(release), Some(false)) => {
                    Cell::painted(format!("{release} (another build)"), Paint::Bad)
                }
                (Some(release), Some(true)) => Cell::painted(release, Paint::Good),
                (Some(release), None) => Cell::new(release),
                (None, _) => fact(None::<String>, "origin", &gaps),
            },
            fact(self.refcount, "refcount", &gaps),
            fact(holders, "holders", &gaps),
        ]
    }
}

impl Page for Modules {
    fn text(&self, _now: u64) -> String {
        if self.modules.is_empty() {
            return "no module of the stack is loaded or wanted\n".into();
        }
        let rows: Vec<_> = self.modules.iter().map(Module::cells).collect();
        table(
            &["MODULE", "WANTED", "STATE", "VERSION", "ORIGIN", "RELEASE", "REFS", "USED BY"],
            &rows,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::paint::without;

    #[test]
    fn what_cannot_be_read_is_not_called_absent() {
        let loaded = Module {
            name: "sfc".into(),
            wanted: true,
            loaded: Some(true),
            state: Some("live".into()),
            refcount: Some(2),
            holders: vec!["onload".into(), "sfc_resource".into()],
            origin: Some("out-of-tree".into()),
            ..Module::default()
        };
        let missing = Module {
            name: "sfc_char".into(),
            state: Some("absent".into()),
            loaded: Some(false),
            ..Module::default()
        };
        let blind = Module {
            name: "onload".into(),
            wanted: true,
            unreadable: BTreeMap::from([("loaded".into(), "permission denied".into())]),
            ..Module::default()
        };
        assert_eq!(
            without(&Modules { modules: vec![loaded, missing, blind] }.text(0)),
            "\
MODULE    WANTED  STATE   VERSION  ORIGIN       RELEASE  REFS  USED BY
sfc       yes     live    -        out-of-tree  -        2     onload sfc_resource
sfc_char  no      absent  -        -            -        -     -
onload    yes     ?       ?        ?            ?        ?     ?
"
        );
    }

    #[test]
    fn a_module_is_traced_to_the_file_it_came_from() {
        let file = |module: &str, srcversion: &str| File {
            module: module.into(),
            version: Some("9.1.0".into()),
            srcversion: Some(srcversion.into()),
            ..File::default()
        };
        let files = [file("sfc", "ab"), file("onload", "ab"), file("sfc_char", "ab")];
        let module = |name: &str, src_version: Option<&str>, module_version: &str| {
            let mut module = Module {
                name: name.into(),
                loaded: Some(true),
                src_version: src_version.map(Into::into),
                module_version: Some(module_version.into()),
                ..Module::default()
            };
            module.trace("9.1.0", &files);
            (module.release, module.verified)
        };
        let known = |verified| (Some("9.1.0".to_owned()), verified);
        assert_eq!(module("sfc", Some("ab"), "x"), known(Some(true)));
        assert_eq!(module("sfc", Some("cd"), "9.1.0"), known(Some(false)), "another build");
        assert_eq!(module("onload", None, "9.1.0"), known(Some(true)));
        assert_eq!(module("ptp", Some("ab"), "9.1.0"), (None, None), "not of this release");
    }
}

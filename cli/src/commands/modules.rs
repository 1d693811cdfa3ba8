//! `modules`: what the kernel has of the stack, and what it shall have.

use std::collections::BTreeMap;

use onload_dbus::path::Kind;
use serde::Serialize;

use crate::bus::Bus;
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
    pub unreadable: BTreeMap<String, String>,
}

/// The stack from the bottom up (reference/onload-modules.md section 2).
const LOAD_ORDER: [&str; 4] = ["sfc", "sfc_resource", "sfc_char", "onload"];

/// Reads them.
pub async fn read(bus: &Bus) -> Result<Modules, Ended> {
    Ok(Modules::of(bus.all(Kind::Module).await?))
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
            unreadable: module.unreadable(),
        }
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
        table(&["MODULE", "WANTED", "STATE", "VERSION", "ORIGIN", "REFS", "USED BY"], &rows)
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
MODULE    WANTED  STATE   VERSION  ORIGIN       REFS  USED BY
sfc       yes     live    -        out-of-tree  2     onload sfc_resource
sfc_char  no      absent  -        -            -     -
onload    yes     ?       ?        ?            ?     ?
"
        );
    }
}

//! What a MachineConfig is made of: files and units, each once, in the order of their names.

use std::collections::BTreeMap;

use crate::ended::Complaint;

use super::mode::Mode;
use super::{names, refuse};

/// A file on the node.
#[derive(Clone, PartialEq, Eq)]
pub struct File {
    /// What is in it.
    pub content: Vec<u8>,
    /// Who may do what with it. It is root's.
    pub mode: Mode,
}

/// A unit on the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unit {
    /// Whether it is started at boot.
    pub enabled: bool,
    /// Its file; none where the unit is the OS image's.
    pub text: Option<String>,
    /// What is added to it, by file name.
    pub drop_ins: BTreeMap<String, String>,
}

/// All of it.
#[derive(Clone, Default)]
pub struct Parts {
    /// By path.
    pub files: BTreeMap<String, File>,
    /// By name.
    pub units: BTreeMap<String, Unit>,
}

impl Parts {
    /// Adds a file.
    ///
    /// # Errors
    /// The path is none of a node's, or has a file already.
    pub fn file(
        &mut self,
        path: &str,
        content: impl Into<Vec<u8>>,
        mode: Mode,
    ) -> Result<(), Complaint> {
        names::check_path(path)?;
        let file = File { content: content.into(), mode };
        if self.files.insert(path.to_owned(), file).is_some() {
            let fix = "name one of the two otherwise, or leave it out";
            return Err(refuse(format!("two files are for {path}"), fix));
        }
        Ok(())
    }

    /// Adds a unit.
    ///
    /// # Errors
    /// The name is none of a unit, or it is there already.
    pub fn unit(&mut self, name: &str, unit: Unit) -> Result<(), Complaint> {
        names::check_unit(name)?;
        if self.units.insert(name.to_owned(), unit).is_some() {
            let fix = "name one of the two otherwise, or leave it out";
            return Err(refuse(format!("unit {name} is there twice"), fix));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed test is what a panic is for.

    use super::*;

    #[test]
    fn each_path_and_each_unit_is_there_once() {
        let mut parts = Parts::default();
        parts.file("/etc/a", "1", Mode::COMMON).unwrap();
        let twice = parts.file("/etc/a", "2", Mode::COMMON).unwrap_err();
        assert_eq!(twice.why, "two files are for /etc/a");
        parts.unit("a.service", Unit::default()).unwrap();
        let twice = parts.unit("a.service", Unit::default()).unwrap_err();
        assert_eq!(twice.why, "unit a.service is there twice");
    }
}

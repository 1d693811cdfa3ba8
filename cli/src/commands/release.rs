//! `release`: what is on this node, what each kernel would say to it, and what comes and goes. One
//! file per verb below it.

mod check;
mod import;
mod list;
mod remove;
mod show;
mod r#use;

use std::collections::BTreeMap;

use clap::Subcommand;
use onload_dbus::error::{Kind as ErrorKind, exit};
use onload_dbus::path::Kind;
use serde::{Deserialize, Serialize};

use crate::args::{Manner, Read};
use crate::bus::{Bus, Subject, of_kind};
use crate::ended::{Complaint, Ended};
use crate::live::show;
use crate::properties::Properties;
use crate::render::Output;
use crate::render::paint::plain;
use crate::render::phrase::natural;

/// What to do with releases.
#[derive(Clone, Debug, Subcommand)]
pub enum ReleaseVerb {
    /// Releases on this node, and whether the running kernel takes them
    List(Read),
    /// Everything about one
    Show {
        /// Its name
        name: String,
        #[command(flatten)]
        read: Read,
    },
    /// Everything that speaks against loading one; ends with 4 when something does
    Check {
        /// Its name
        name: String,
        /// Another kernel than the running one, such as the one of the next boot
        #[arg(long, value_name = "KERNEL")]
        kernel: Option<String>,
    },
    /// Take one in: a directory, a tar archive (- for standard input), or an image through podman
    Import {
        /// A path, -, or an image reference such as registry.example/onload:9.1.0
        #[arg(value_name = "PATH|IMAGE")]
        source: String,
        /// Its name; otherwise what its onload module says
        #[arg(long, value_name = "NAME")]
        version: Option<String>,
    },
    /// Bring the node to one, whatever the configuration names; Ctrl-C asks the job to stop
    Use {
        /// Its name
        name: String,
        #[command(flatten)]
        manner: Manner,
    },
    /// Remove one that was taken in and that nothing needs
    Remove {
        /// Its name
        name: String,
    },
}

/// All releases, by name, with what they are compared to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Releases {
    /// The kernel that runs.
    pub kernel: Option<String>,
    pub wanted_release: Option<String>,
    pub loaded_release: Option<String>,
    pub releases: Vec<Release>,
    pub unreadable: BTreeMap<String, String>,
}

/// One release.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Release {
    pub name: String,
    /// Root of its tree on the host.
    pub root: Option<String>,
    /// Below the root.
    pub library_directory: Option<String>,
    pub libraries: Vec<String>,
    pub launcher: bool,
    pub profiles: Vec<String>,
    /// The control-plane server, below the root.
    pub server: Option<String>,
    /// Module files by the kernel they are for.
    pub modules: BTreeMap<String, Vec<File>>,
    /// What speaks against loading it, by kernel.
    pub kernels: BTreeMap<String, Vec<Objection>>,
    /// What is worth knowing beside, by kernel; it keeps nothing from happening.
    pub remarks: BTreeMap<String, Vec<Objection>>,
    /// Whether the libraries fit the loaded driver: yes, no or unknown.
    pub matches_driver: String,
    pub unreadable: BTreeMap<String, String>,
}

/// A module file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct File {
    pub module: String,
    pub version: Option<String>,
    pub srcversion: Option<String>,
    pub path: String,
    /// Whether a signature is appended.
    pub signed: bool,
}

/// A module file as the bus has it.
type Row = (String, String, String, String, bool);

/// What speaks against loading a release, or is worth knowing before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Objection {
    /// One CamelCase word.
    pub reason: String,
    pub why: String,
    pub fix: String,
}

/// Does what was asked and gives the exit code.
pub async fn run(bus: &Bus, output: Output, verb: ReleaseVerb) -> Result<u8, Ended> {
    match verb {
        ReleaseVerb::List(how) => drop(show(bus, output, how.watch, read).await?),
        ReleaseVerb::Show { name, read } => {
            let one = async |bus: &Bus| show::read(bus, &name).await;
            drop(show(bus, output, read.watch, one).await?);
        }
        ReleaseVerb::Check { name, kernel } => {
            return check::run(bus, output, &name, kernel.as_deref()).await;
        }
        ReleaseVerb::Import { source, version } => {
            import::order(bus, output, &source, version.as_deref()).await?;
        }
        ReleaseVerb::Use { name, manner } => r#use::order(bus, output, &name, &manner).await?,
        ReleaseVerb::Remove { name } => remove::order(bus, output, &name).await?,
    }
    Ok(exit::AS_WANTED)
}

/// Reads them.
pub async fn read(bus: &Bus) -> Result<Releases, Ended> {
    let mut objects = bus.objects().await?;
    let mut releases: Vec<_> =
        of_kind(&mut objects, Kind::Release).into_iter().map(Release::of).collect();
    releases.sort_by(|a, b| natural(&a.name, &b.name));
    let mut node = Properties::new(objects.remove(&Subject::Node).unwrap_or_default());
    Ok(Releases {
        kernel: node.text("kernel"),
        wanted_release: node.text("wanted_release"),
        loaded_release: node.text("loaded_release"),
        releases,
        // Of the node's own gaps only this one is about what is shown here.
        unreadable: node.unreadable().into_iter().filter(|(name, _)| name == "kernel").collect(),
    })
}

impl Releases {
    /// The release of a name.
    fn find(&self, name: &str) -> Result<&Release, Complaint> {
        self.releases.iter().find(|release| release.name == name).ok_or_else(|| {
            let known: Vec<_> = self.releases.iter().map(|one| one.name.as_str()).collect();
            Complaint::of(
                ErrorKind::NotFound,
                format!("there is no release {}", plain(name)),
                match known.as_slice() {
                    [] => "this node has none at all".to_owned(),
                    known => format!("this node has {}", known.join(", ")),
                },
                "name one of these, or take it in with `onloadctl release import`",
            )
        })
    }
}

impl Release {
    /// From what the bus says.
    pub fn of(mut release: Properties) -> Self {
        let modules: BTreeMap<String, Vec<Row>> = release.get("modules");
        let mut by_kernel = |name| {
            let kernels: BTreeMap<String, Vec<(String, String, String)>> = release.get(name);
            let objection = |(reason, why, fix)| Objection { reason, why, fix };
            let kernels = kernels.into_iter();
            kernels
                .map(|(kernel, all)| (kernel, all.into_iter().map(objection).collect()))
                .collect()
        };
        let (kernels, remarks) = (by_kernel("kernels"), by_kernel("remarks"));
        Self {
            name: release.get("name"),
            root: release.text("root"),
            library_directory: release.text("library_directory"),
            libraries: release.get("libraries"),
            launcher: release.get("launcher"),
            profiles: release.get("profiles"),
            server: release.text("server"),
            modules: modules
                .into_iter()
                .map(|(kernel, files)| (kernel, files.into_iter().map(File::of).collect()))
                .collect(),
            kernels,
            remarks,
            matches_driver: release.get("matches_driver"),
            unreadable: release.unreadable(),
        }
    }
}

impl File {
    fn of((module, version, srcversion, path, signed): Row) -> Self {
        let named = |text: String| Some(text).filter(|text| !text.is_empty());
        Self { module, version: named(version), srcversion: named(srcversion), path, signed }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed test is what a panic is for.

    use super::*;

    #[test]
    fn a_name_that_nothing_has_brings_those_there_are() {
        let release = |name: &str| Release { name: name.into(), ..Release::default() };
        let releases =
            Releases { releases: vec![release("9.1.0"), release("host")], ..Releases::default() };
        assert_eq!(releases.find("host").unwrap().name, "host");
        let complaint = releases.find("9.2\x1b.0").unwrap_err();
        assert_eq!(complaint.what, "there is no release 9.2\u{fffd}.0");
        assert_eq!(complaint.why, "this node has 9.1.0, host");
        assert_eq!(complaint.exit, exit::FAILED);
    }
}

//! `release check`: everything that speaks against loading a release, for the running kernel or
//! another one, before anything is touched.

use onload_dbus::error::{Kind, exit};
use serde::Serialize;

use crate::bus::Bus;
use crate::commands::release::{self, Objection, Releases};
use crate::ended::{Complaint, Ended};
use crate::render::paint::{Paint, plain};
use crate::render::{Output, Page};

/// The verdict.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    pub release: String,
    pub kernel: String,
    /// All of them at once; none: nothing speaks against it.
    pub objections: Vec<Objection>,
    /// Worth knowing, and no reason against it.
    pub remarks: Vec<Objection>,
}

/// Shows the verdict, and says it by the exit code as well.
pub async fn run(bus: &Bus, output: Output, name: &str, kernel: Option<&str>) -> Result<u8, Ended> {
    let verdict = verdict(&release::read(bus).await?, name, kernel)?;
    output.page(&verdict)?;
    Ok(if verdict.objections.is_empty() { exit::AS_WANTED } else { exit::BLOCKED })
}

fn verdict(releases: &Releases, name: &str, kernel: Option<&str>) -> Result<Verdict, Complaint> {
    let release = releases.find(name)?;
    let what = || format!("release {} is not checked", plain(name));
    let kernel = kernel.or(releases.kernel.as_deref()).ok_or_else(|| {
        let gap = releases.unreadable.get("kernel").map_or("onloadd does not say it", |why| why);
        let why = format!("the running kernel is not known: {gap}");
        Complaint::of(Kind::Blocked, what(), why, "name one with --kernel")
    })?;
    let objections = release.kernels.get(kernel).ok_or_else(|| {
        let known: Vec<_> = release.kernels.keys().map(String::as_str).collect();
        let why = match known.as_slice() {
            [] => "no kernel is known on this node yet".to_owned(),
            known => format!("kernel {} is not known, but {}", plain(kernel), known.join(", ")),
        };
        let fix = "name a kernel whose modules are in /lib/modules, or one the release is for";
        Complaint::of(Kind::NotFound, what(), why, fix)
    })?;
    Ok(Verdict {
        release: release.name.clone(),
        kernel: kernel.to_owned(),
        objections: objections.clone(),
        remarks: release.remarks.get(kernel).cloned().unwrap_or_default(),
    })
}

impl Page for Verdict {
    fn text(&self, _now: u64) -> String {
        let head = format!("{} on {}", Paint::Strong.on(&self.release), plain(&self.kernel));
        let mut text = if self.objections.is_empty() {
            format!("{head}: {}\n", Paint::Good.on("nothing speaks against it"))
        } else {
            format!("{head}: {}\n", Paint::Warn.on("it would not load"))
        };
        self.objections.iter().for_each(|objection| text += &one(objection));
        if !self.remarks.is_empty() {
            text += "\nto know, though it keeps nothing from happening:\n";
        }
        self.remarks.iter().for_each(|remark| text += &one(remark));
        text
    }
}

fn one(objection: &Objection) -> String {
    format!(
        "\n  {}\n    {} {}\n    {} {}\n",
        Paint::Warn.on(&objection.reason),
        Paint::Dim.on("why:"),
        plain(&objection.why),
        Paint::Dim.on("fix:"),
        plain(&objection.fix),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed test is what a panic is for.

    use std::collections::BTreeMap;

    use super::*;
    use crate::commands::release::Release;
    use crate::render::paint::without;

    fn releases() -> Releases {
        let against = Objection {
            reason: "WrongKernel".into(),
            why: "sfc is for 6.1".into(),
            fix: "build it for 6.2".into(),
        };
        let kernels = [("6.1", vec![]), ("6.2", vec![against]), ("6.3", vec![])];
        let kernels = kernels.map(|(kernel, against)| (kernel.to_owned(), against)).into();
        let remark = Objection {
            reason: "InitramfsDiffers".into(),
            why: "it carries sfc".into(),
            fix: "dracut -f".into(),
        };
        let remarks = BTreeMap::from([("6.3".to_owned(), vec![remark])]);
        let release = Release { name: "9.1.0".into(), kernels, remarks, ..Release::default() };
        Releases { kernel: Some("6.1".into()), releases: vec![release], ..Releases::default() }
    }

    #[test]
    fn a_verdict_has_every_reason_with_its_remedy() {
        let here = verdict(&releases(), "9.1.0", None).unwrap();
        assert_eq!(without(&here.text(0)), "9.1.0 on 6.1: nothing speaks against it\n");
        let there = verdict(&releases(), "9.1.0", Some("6.2")).unwrap();
        assert_eq!(
            without(&there.text(0)),
            "\
9.1.0 on 6.2: it would not load

  WrongKernel
    why: sfc is for 6.1
    fix: build it for 6.2
"
        );
    }

    #[test]
    fn a_remark_is_shown_and_speaks_against_nothing() {
        let told = verdict(&releases(), "9.1.0", Some("6.3")).unwrap();
        assert_eq!(
            without(&told.text(0)),
            "\
9.1.0 on 6.3: nothing speaks against it

to know, though it keeps nothing from happening:

  InitramfsDiffers
    why: it carries sfc
    fix: dracut -f
"
        );
    }

    #[test]
    fn a_kernel_that_is_not_known_brings_those_that_are() {
        let complaint = verdict(&releases(), "9.1.0", Some("5.4")).unwrap_err();
        assert_eq!(complaint.why, "kernel 5.4 is not known, but 6.1, 6.2, 6.3");
        let unreadable = BTreeMap::from([("kernel".to_owned(), "EACCES".to_owned())]);
        let blind = Releases { kernel: None, unreadable, ..releases() };
        let complaint = verdict(&blind, "9.1.0", None).unwrap_err();
        assert_eq!((complaint.exit, complaint.fix.as_str()), (4, "name one with --kernel"));
        assert!(complaint.why.contains("EACCES"));
    }
}

//! Why a module is loaded, or not.

use super::{Explanation, shown, trust};
use crate::blocker::{Blocked, Blocker};
use crate::names::{ModuleName, ReleaseName};
use crate::picture::{ModulePicture, Picture};
use crate::reading::Reading;
use crate::release::preflight::Objection;

pub(super) fn explain(picture: &Picture, name: &str, module: &ModulePicture) -> Explanation {
    let wanted = picture.wanted_release.as_ref();
    let waits = module.wanted && module.module.is_absent();
    let refused = wanted.filter(|_| waits).zip(name.parse::<ModuleName>().ok());
    let refused = refused.and_then(|(release, name)| trust::refused(picture, release, &name));
    let decision = match refused {
        Some((_, reason)) => {
            format!("not loaded: this kernel would refuse it, because {}", reason.what())
        }
        None => decision(picture, name, module).to_owned(),
    };
    let mut explanation = Explanation::new(name, decision)
        .with("wanted release", wanted.map_or_else(|| "none".to_owned(), ToString::to_string));
    if let Some(refused) = refused {
        if let Some(path) = wanted.and_then(|release| file(picture, release, name)) {
            explanation.input("file", path);
        }
        explanation.distrust(picture, refused);
    }
    for (pid, user) in picture.users.iter().filter(|_| name == "onload" || name == "sfc_char") {
        let uses: Vec<_> = user.uses.iter().map(String::as_str).collect();
        explanation.input("user", format!("pid {pid} ({}) has {}", user.comm, uses.join(" and ")));
    }
    if let Reading::Known(seen) = &module.module {
        let holders: Vec<_> = seen.holders.iter().map(ToString::to_string).collect();
        explanation.input("version", shown(&seen.version));
        explanation.input("references", shown(&seen.refcount));
        explanation.input(
            "used by",
            if holders.is_empty() { "nothing".to_owned() } else { holders.join(", ") },
        );
        explanation.input("taint", shown(&seen.taint));
        for difference in &module.differing {
            explanation.input("parameter", difference);
            explanation.would_change.push(difference.fix());
        }
    }
    let namesake = picture.pools.iter().find(|(pool, _)| pool.as_str() == name);
    if let Some((_, pool)) = namesake {
        explanation.input("pool of this name", format!("`onloadctl why {}`", pool.resource));
    }
    let told = |one: &Blocked| refused.is_some() && is_distrust(&one.blocker);
    let others = picture.blockers.iter().filter(|one| waits && one.subject != name);
    for one in others.filter(|one| !told(one)) {
        explanation.input(&one.subject, one.blocker.why());
        explanation.would_change.push(one.blocker.fix());
    }
    if wanted.is_none() {
        explanation
            .would_change
            .push("name a release in [modules] of the configuration".to_owned());
    }
    explanation
}

fn decision(picture: &Picture, name: &str, module: &ModulePicture) -> &'static str {
    let planned = picture.plan.iter().any(|step| step.contains(&format!("module {name} ")));
    let wanted = picture.wanted_release.as_ref();
    let of_release = |one: &Blocked| wanted.is_some_and(|wanted| one.subject == wanted.as_str());
    match (&module.module, module.wanted) {
        (Reading::Unreadable(_), _) => "nothing is decided about what cannot be read",
        (Reading::Known(_), true) => "wanted and loaded: it is left as it is",
        (Reading::Known(_), false) => {
            "loaded, and the configuration does not ask for it: it is left alone"
        }
        (Reading::Absent, true) if planned && !picture.blockers.is_empty() => {
            "wanted and not loaded: its load waits for what is in the way of the node"
        }
        (Reading::Absent, true) if planned => "wanted and not loaded: it will be loaded",
        (Reading::Absent, true) if picture.blockers.iter().any(of_release) => {
            "wanted and not loaded: it waits for what is in the way of its release"
        }
        (Reading::Absent, true) => "wanted and not loaded; another module brings it",
        (Reading::Absent, false) => "not wanted and not loaded",
    }
}

/// Where the file lies that the running kernel would load.
fn file<'a>(picture: &'a Picture, release: &ReleaseName, name: &str) -> Option<&'a str> {
    let modules = picture.releases.get(release)?.release.modules.known()?;
    let mut files = modules.get(picture.kernel.known()?)?.iter();
    files.find(|(module, _)| module.as_str() == name).map(|(_, file)| file.path.as_str())
}

/// Whether a blocker says no more than that the kernel would refuse the signatures.
pub(super) fn is_distrust(blocker: &Blocker) -> bool {
    let Blocker::Preflight { objections, .. } = blocker else { return false };
    objections.iter().all(|one| matches!(one, Objection::Untrusted { .. }))
}

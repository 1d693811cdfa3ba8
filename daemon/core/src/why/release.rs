//! Why a release is there, or not.

use super::{Explanation, shown, trust};
use crate::names::ReleaseName;
use crate::picture::{Picture, ReleasePicture};
use crate::reading::Reading;
use crate::release::preflight::Objection;

pub(super) fn explain(
    picture: &Picture,
    name: &ReleaseName,
    release: &ReleasePicture,
) -> Explanation {
    let refused = trust::first_refused(picture, name);
    let not_loaded = picture.loaded_release.as_ref() != Some(name);
    let decision = match (refused, &release.matches_driver) {
        (Some((_, reason)), _) if not_loaded => {
            format!("this kernel would refuse its modules, because {}", reason.what())
        }
        (_, Reading::Known(true)) => {
            "its libraries fit the loaded driver: containers get them".to_owned()
        }
        (_, Reading::Known(false)) => {
            "its libraries do not fit the loaded driver: nobody gets them".to_owned()
        }
        (_, Reading::Absent) => "no driver is loaded to fit".to_owned(),
        (_, Reading::Unreadable(_)) => "whether its libraries fit cannot be told".to_owned(),
    };
    let mut explanation = Explanation::new(name, decision)
        .with("root", &release.release.root)
        .with("libraries", release.release.libraries.len())
        .with("loaded Onload", shown(&picture.loaded_version));
    let is = |one: &Option<ReleaseName>| if one.as_ref() == Some(name) { "yes" } else { "no" };
    explanation.input("its modules are loaded", is(&picture.loaded_release));
    match &picture.wanted_release {
        Some(wanted) if wanted == name => explanation.input("wanted by", &picture.wanted_by),
        Some(wanted) => {
            explanation.input("wanted in its place", format!("{wanted} ({})", picture.wanted_by));
        }
        None => explanation.input("wanted in its place", "none: modules are left alone"),
    }
    for (kernel, objections) in &release.kernels {
        let running = picture.kernel.known() == Some(kernel);
        let of = if running { "running kernel" } else { "kernel" };
        let input = format!("{of} {kernel}");
        if objections.is_empty() {
            explanation.input(&input, "would take it");
        }
        for objection in objections {
            explanation.input(&input, objection);
            match refused {
                Some(refused) if running && matches!(objection, Objection::Untrusted { .. }) => {
                    explanation.distrust(picture, refused);
                }
                Some(_) | None if running => explanation.would_change.push(objection.fix()),
                Some(_) | None => {}
            }
        }
        for remark in release.remarks.get(kernel).into_iter().flatten() {
            explanation.input("to know", remark);
            if running {
                explanation.would_change.push(remark.fix());
            }
        }
    }
    explanation
}

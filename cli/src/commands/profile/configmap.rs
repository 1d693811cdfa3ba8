//! `profile configmap`: what each profile comes to as a ConfigMap, for `envFrom`.
//!
//! Names and label are those that users of the existing tools have in their manifests
//! (reference/kubernetes-onload.md section 5.1). The pod's own variables win over these, and these
//! over what onloadd puts into the container.

use onload_dbus::error::Kind;
use serde::Serialize;

use super::Given;
use super::{name_of, notes, outcome, tell};
use crate::ended::{Complaint, Ended};
use crate::kubernetes::{self, ConfigMap, Metadata, RULE, is_subdomain, sane};
use crate::render::Output;
use crate::render::paint::plain;

/// What is to be made.
pub struct Wanted<'a> {
    pub profiles: &'a [String],
    pub namespace: Option<String>,
    pub name: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct ConfigMaps {
    configmaps: Vec<ConfigMap>,
}

/// What does not happen.
const WHAT: &str = "no ConfigMap is made";

/// Prints them; nothing at all where one cannot be made.
pub fn print(output: Output, wanted: Wanted<'_>, given: &Given) -> Result<(), Ended> {
    let refuse = |why: String, fix: String| {
        Ended::from(Complaint::of(Kind::InvalidArgument, WHAT, why, fix))
    };
    kubernetes::namespace(WHAT, wanted.namespace.as_deref())?;
    if wanted.name.is_some() && wanted.profiles.len() > 1 {
        let why = "--name names one ConfigMap, and there would be several".to_owned();
        return Err(refuse(why, "make them one by one".to_owned()));
    }
    let mut configmaps: Vec<ConfigMap> = Vec::new();
    for profile in wanted.profiles {
        let name = wanted.name.clone().unwrap_or_else(|| usual_name(name_of(profile)));
        if !is_subdomain(&name) {
            let why = format!("{} is no name of a ConfigMap: {RULE}", plain(&name));
            let fix = match sane(name_of(profile)) {
                Some(sane) => format!("give it one: --name {}", usual_name(&sane)),
                None => "give it one with --name".to_owned(),
            };
            return Err(refuse(why, fix));
        }
        if configmaps.iter().any(|one| one.metadata.name == name) {
            let why = format!("two of the profiles would be {name}");
            return Err(refuse(why, "make them one by one, with --name".to_owned()));
        }
        let outcome = outcome(std::slice::from_ref(profile), given, Vec::new())?;
        tell(output, &notes(&outcome))?;
        let data = outcome.variables.into_iter().map(|(name, one)| (name, one.value)).collect();
        let metadata = Metadata::new(name, wanted.namespace.as_deref());
        configmaps.push(ConfigMap::of(metadata, data));
    }
    if output.json() {
        return Ok(output.document(&ConfigMaps { configmaps })?);
    }
    Ok(output.text(&kubernetes::yaml(&configmaps)?)?)
}

fn usual_name(profile: &str) -> String {
    format!("onload-{profile}-profile")
}

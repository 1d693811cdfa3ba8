//! `profile configmap`: what each profile comes to as a ConfigMap, for `envFrom`.
//!
//! Names and label are those that users of the existing tools have in their manifests
//! (reference/kubernetes-onload.md section 5.1). The pod's own variables win over these, and these
//! over what onloadd puts into the container.

use std::collections::BTreeMap;

use onload_dbus::error::Kind;
use serde::Serialize;

use super::Given;
use super::{name_of, notes, outcome, tell};
use crate::ended::{Complaint, Ended};
use crate::render::Output;
use crate::render::paint::plain;

/// The label that says what they belong to.
const LABEL: (&str, &str) = ("app.kubernetes.io/part-of", "onload");
/// The longest name of an object, and of a namespace (RFC 1123: a subdomain, a label).
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;

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

/// As Kubernetes has it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct ConfigMap {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata,
    data: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Metadata {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    labels: BTreeMap<&'static str, &'static str>,
}

/// Prints them; nothing at all where one cannot be made.
pub fn print(output: Output, wanted: Wanted<'_>, given: &Given) -> Result<(), Ended> {
    let refuse = |why: String, fix: String| {
        let what = "no ConfigMap is made";
        Ended::from(Complaint::of(Kind::InvalidArgument, what, why, fix))
    };
    if let Some(namespace) = &wanted.namespace
        && !is_label(namespace)
    {
        let why = format!("{} is no name of a namespace", plain(namespace));
        return Err(refuse(why, RULE.to_owned()));
    }
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
        let (namespace, labels) = (wanted.namespace.clone(), BTreeMap::from([LABEL]));
        let metadata = Metadata { name, namespace, labels };
        configmaps.push(ConfigMap { api_version: "v1", kind: "ConfigMap", metadata, data });
    }
    if output.json() {
        return Ok(output.document(&ConfigMaps { configmaps })?);
    }
    let documents: Vec<_> = configmaps.iter().map(ConfigMap::yaml).collect();
    Ok(output.text(&documents.join("---\n"))?)
}

/// For people, the rule of both kinds of name.
const RULE: &str =
    "names are of small letters, digits and -, and begin and end with a letter or digit";

fn usual_name(profile: &str) -> String {
    format!("onload-{profile}-profile")
}

fn is_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=LONGEST_LABEL).contains(&text.len())
        && text.chars().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// As Kubernetes checks it: labels with dots between, without a limit for each.
fn is_subdomain(text: &str) -> bool {
    let part = |part: &str| is_label(part) || part.len() > LONGEST_LABEL && is_long_label(part);
    text.len() <= LONGEST_NAME && text.split('.').all(part)
}

fn is_long_label(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// The nearest name that would do, if anything of it is left.
fn sane(profile: &str) -> Option<String> {
    let small = profile.to_ascii_lowercase();
    let sane = small.replace(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit(), "-");
    let sane = sane.trim_matches('-');
    let parts: Vec<_> = sane.split('-').filter(|part| !part.is_empty()).collect();
    let sane = parts.join("-");
    (!sane.is_empty() && sane.len() < LONGEST_NAME / 2).then_some(sane)
}

impl ConfigMap {
    /// Written by hand: six keys and a map, always in the same order. Names are checked and stand
    /// bare, values are always quoted.
    fn yaml(&self) -> String {
        let metadata = &self.metadata;
        let mut text =
            format!("apiVersion: {}\nkind: {}\nmetadata:\n", self.api_version, self.kind);
        text += &format!("  name: {}\n", quoted(&metadata.name));
        if let Some(namespace) = &metadata.namespace {
            text += &format!("  namespace: {}\n", quoted(namespace));
        }
        text += "  labels:\n";
        for (name, value) in &metadata.labels {
            text += &format!("    {name}: {value}\n");
        }
        if self.data.is_empty() {
            return text + "data: {}\n";
        }
        text += "data:\n";
        for (name, value) in &self.data {
            // `NO`, `ON` and `Y` are truth values to some; no word with a line in it is.
            let bare = name.contains('_') && name.starts_with(|c: char| c.is_ascii_alphabetic());
            let name = if bare { name.clone() } else { quoted(name) };
            text += &format!("  {name}: {}\n", quoted(value));
        }
        text
    }
}

/// A string in YAML's double quotes, with nothing in it that a reader of 1.1 or 1.2 takes
/// otherwise.
fn quoted(text: &str) -> String {
    let each = text.chars().map(|c| match c {
        '"' => "\\\"".to_owned(),
        '\\' => "\\\\".to_owned(),
        '\n' => "\\n".to_owned(),
        '\t' => "\\t".to_owned(),
        ' '..='~' => c.to_string(),
        c if u32::from(c) <= 0xff => format!("\\x{:02x}", u32::from(c)),
        c if u32::from(c) <= 0xffff => format!("\\u{:04x}", u32::from(c)),
        c => format!("\\U{:08x}", u32::from(c)),
    });
    format!("\"{}\"", each.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_rfc_1123() {
        let long = "a".repeat(254);
        let cases = [
            ("onload-latency-profile", true),
            ("onload-a.b-profile", true),
            (&long[..253], true),
            (&long[..], false),
            ("onload-my_profile-profile", false),
            ("onload-Latency-profile", false),
            ("onload-a..b-profile", false),
            ("-a", false),
            ("a-", false),
            ("", false),
        ];
        for (name, good) in cases {
            assert_eq!(is_subdomain(name), good, "{name}");
        }
        assert!(is_label("default") && !is_label("a.b") && !is_label(&long[..64]));
        assert_eq!(sane("My_Own Profile_").as_deref(), Some("my-own-profile"));
        assert_eq!(sane("___"), None);
    }

    #[test]
    fn yaml_reads_as_what_it_was() {
        let data =
            [("EF_A", "a\"b\\\n"), ("NO", "no"), ("EF_B", "é\u{1f600}\u{85}"), ("_1_0", "0")];
        let map = ConfigMap {
            api_version: "v1",
            kind: "ConfigMap",
            metadata: Metadata {
                name: "onload-x-profile".into(),
                namespace: Some("on".into()),
                labels: BTreeMap::from([LABEL]),
            },
            data: data.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        };
        assert_eq!(
            map.yaml(),
            r#"apiVersion: v1
kind: ConfigMap
metadata:
  name: "onload-x-profile"
  namespace: "on"
  labels:
    app.kubernetes.io/part-of: onload
data:
  EF_A: "a\"b\\\n"
  EF_B: "\xe9\U0001f600\x85"
  "NO": "no"
  "_1_0": "0"
"#
        );
        let nothing = ConfigMap { data: BTreeMap::new(), ..map };
        assert!(nothing.yaml().ends_with("data: {}\n"));
    }
}

//! Objects of Kubernetes as typed values: the few kinds that onloadctl renders, names they may have, and
//! the one way in which they are written.

use std::collections::BTreeMap;

use onload_dbus::error::Kind;
use serde::Serialize;

use crate::ended::{Complaint, Ended};
use crate::render::Output;
use crate::render::paint::plain;

/// The label that says what an object belongs to (reference/kubernetes-onload.md section 5.1).
const PART_OF: (&str, &str) = ("app.kubernetes.io/part-of", "onload");
/// The longest name of an object, and of a namespace (RFC 1123: a subdomain, a label).
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;

/// For people, the rule of both kinds of name.
pub const RULE: &str =
    "names are of small letters, digits and -, and begin and end with a letter or digit";

/// Whose an object is.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Metadata {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<&'static str, String>,
    pub labels: BTreeMap<&'static str, &'static str>,
}

impl Metadata {
    /// Of an object of Onload's.
    pub fn new(name: impl Into<String>, namespace: Option<&str>) -> Self {
        Self {
            name: name.into(),
            namespace: namespace.map(str::to_owned),
            annotations: BTreeMap::new(),
            labels: BTreeMap::from([PART_OF]),
        }
    }
}

/// An object of a kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Object<B> {
    api_version: &'static str,
    kind: &'static str,
    pub metadata: Metadata,
    #[serde(flatten)]
    body: B,
}

/// What a ConfigMap has.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Data {
    data: BTreeMap<String, String>,
}

/// What all others have that are rendered here.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spec<S> {
    spec: S,
}

/// A ConfigMap.
pub type ConfigMap = Object<Data>;

impl ConfigMap {
    /// Of these keys and values.
    pub fn of(metadata: Metadata, data: BTreeMap<String, String>) -> Self {
        Self { api_version: "v1", kind: "ConfigMap", metadata, body: Data { data } }
    }
}

impl<S> Object<Spec<S>> {
    /// Of a kind that has a specification.
    pub fn specified(
        api_version: &'static str,
        kind: &'static str,
        metadata: Metadata,
        spec: S,
    ) -> Self {
        Self { api_version, kind, metadata, body: Spec { spec } }
    }
}

/// The JSON form.
#[derive(Serialize)]
struct Objects<'a, T> {
    objects: &'a [T],
}

/// Prints objects: as YAML, one document each, or as JSON.
pub fn print<T: Serialize>(output: Output, objects: &[T]) -> Result<(), Ended> {
    if output.json() {
        return Ok(output.document(&Objects { objects })?);
    }
    Ok(output.text(&yaml(objects)?)?)
}

/// One document each. Strings that a reader of YAML 1.1 takes otherwise are quoted; what has several
/// lines stands as it is.
pub fn yaml<T: Serialize>(objects: &[T]) -> Result<String, Complaint> {
    let mut options = serde_saphyr::ser_options! { yaml_12: false };
    // A long value on one line is one line: folded, it could not be searched for.
    options.folded_wrap_chars = usize::MAX;
    serde_saphyr::to_string_multiple_with_options(objects, options).map_err(|error| {
        let fix = "report it, with the command line";
        Complaint::of(Kind::Internal, "nothing is rendered", error.to_string(), fix)
    })
}

/// Whether a namespace could be called so, or a network.
pub fn is_label(text: &str) -> bool {
    text.len() <= LONGEST_LABEL && is_part(text)
}

/// As Kubernetes checks it: labels with dots between, without a limit for each.
pub fn is_subdomain(text: &str) -> bool {
    text.len() <= LONGEST_NAME && text.split('.').all(is_part)
}

fn is_part(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty() && text.chars().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// The nearest name that would do, if anything of it is left.
pub fn sane(text: &str) -> Option<String> {
    let small = text.to_ascii_lowercase();
    let parts: Vec<_> = small
        .split(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit())
        .filter(|part| !part.is_empty())
        .collect();
    let sane = parts.join("-");
    (!sane.is_empty() && sane.len() < LONGEST_NAME / 2).then_some(sane)
}

/// A namespace that was named is one.
pub fn namespace(what: &str, namespace: Option<&str>) -> Result<(), Complaint> {
    match namespace {
        Some(name) if !is_label(name) => {
            let why = format!("{} is no name of a namespace", plain(name));
            Err(Complaint::of(Kind::InvalidArgument, what, why, RULE))
        }
        Some(_) | None => Ok(()),
    }
}

/// A value of a label: at most 63 letters, digits, `-`, `_` and `.`, the first and last of them a
/// letter or digit. What does not fit becomes `-`; none if nothing is left.
pub fn label_value(text: &str) -> Option<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let value: String =
        text.chars().map(|c| if fits(c) { c } else { '-' }).take(LONGEST_LABEL).collect();
    let value = value.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    (!value.is_empty()).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed test is what a panic is for.

    use serde_json::Value;

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
    fn values_of_labels_keep_what_they_can() {
        let long = "9".repeat(70);
        for (text, value) in [
            ("9.2.1", Some("9.2.1")),
            ("SFN5000/6000", Some("SFN5000-6000")),
            ("10.0.0~rc1+git", Some("10.0.0-rc1-git")),
            ("_x_", Some("x")),
            ("é", None),
            ("", None),
            (&long, Some(&long[..63])),
        ] {
            assert_eq!(label_value(text).as_deref(), value, "{text}");
        }
    }

    #[test]
    fn yaml_reads_as_what_it_was_whatever_the_reader() {
        let long = "x ".repeat(100) + "x";
        let data = [
            ("EF_A", "a\"b\\\n"),
            ("NO", "no"),
            ("EF_B", "é\u{1f600}\u{85}\u{1b}"),
            ("_1_0", "0"),
            ("1e3", "0o17"),
            ("EF_C", "1_000"),
            ("EF_D", "on"),
            ("EF_E", "12:30:45"),
            ("EF_F", " a: b # c"),
            ("EF_G", ""),
            ("EF_H", "0x1F"),
            ("file", "[general]\nsync_module ptp ptp1\n\n[ptp1]\n"),
            ("long", &long),
        ];
        let data = data.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let map = ConfigMap::of(Metadata::new("on", Some("null")), data.clone().into());
        let text = yaml(&[map.clone(), map]).unwrap();
        let read: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        assert_eq!(read.len(), 2, "{text}");
        for object in &read {
            assert_eq!(object["metadata"]["namespace"], "null", "{text}");
            for (name, value) in &data {
                assert_eq!(object["data"][name], **value, "{text}");
            }
        }
        // As no reader of 1.1 takes for a truth value, a number or a time of day.
        for bare in
            ["NO:", ": no\n", ": 1_000\n", ": on\n", ": 12:30:45\n", ": 0o17\n", "name: on\n"]
        {
            assert!(!text.contains(bare), "{bare} in {text}");
        }
        assert!(!text.contains(['\u{85}', '\u{1b}']), "{text}");
        assert!(text.contains("file: |\n"), "{text}");
        let nothing = ConfigMap::of(Metadata::new("a", None), BTreeMap::new());
        assert!(yaml(&[nothing]).unwrap().ends_with("data: {}\n"));
    }
}

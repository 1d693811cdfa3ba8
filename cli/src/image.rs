//! An image's reference: what a runtime would refuse, which a pod tells late, is refused here.

use std::str::FromStr;

use serde::Serialize;

/// `[REGISTRY/]NAME[:TAG][@DIGEST]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Image(String);

/// The longest name, and the longest tag, that registries take.
const LONGEST_NAME: usize = 255;
const LONGEST_TAG: usize = 128;

impl Image {
    /// The registry, where one is named.
    pub fn registry(&self) -> Option<&str> {
        split(&self.0).0
    }
}

/// A registry and what comes after it: a first part that cannot be one is part of the path.
fn split(name: &str) -> (Option<&str>, &str) {
    match name.split_once('/') {
        Some((first, path)) if first.contains(['.', ':']) || first == "localhost" => {
            (Some(first), path)
        }
        _ => (None, name),
    }
}

impl FromStr for Image {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        // A colon before the last slash is a port's.
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        let (registry, path) = split(name);
        let part = |part: &str| {
            let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
            let end =
                |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
            part.chars().all(fits) && end(part.chars().next()) && end(part.chars().last())
        };
        if !path.split('/').all(part) || name.len() > LONGEST_NAME {
            return Err("a name is of small letters, digits and ._- between /".to_owned());
        }
        let host = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
        // One that began with a dash would be an option to whoever is given it.
        let begins = |c: char| c.is_ascii_alphanumeric() || c == '[';
        if registry.is_some_and(|name| !name.starts_with(begins) || !name.chars().all(host)) {
            return Err("the registry is a host, and a port where it has one".to_owned());
        }
        let word = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let tagged = |tag: &str| {
            (1..=LONGEST_TAG).contains(&tag.len())
                && tag.chars().all(word)
                && !tag.starts_with(['.', '-'])
        };
        if tag.is_some_and(|tag| !tagged(tag)) {
            return Err("a tag is of letters, digits and ._-".to_owned());
        }
        let hexadecimal = |digest: &str| {
            digest.strip_prefix("sha256:").is_some_and(|hex| {
                hex.len() == 64
                    && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
            })
        };
        if digest.is_some_and(|digest| !hexadecimal(digest)) {
            return Err("a digest is sha256: and 64 hexadecimal digits".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed test is what a panic is for.

    use super::*;

    #[test]
    fn a_registry_is_told_from_a_part_of_the_path() {
        for (text, registry) in [
            ("app:1", None),
            ("team/app", None),
            ("localhost/app", Some("localhost")),
            ("r.example/team/app:1", Some("r.example")),
            ("registry:5000/app", Some("registry:5000")),
        ] {
            assert_eq!(text.parse::<Image>().unwrap().registry(), registry, "{text}");
        }
    }

    #[test]
    fn references_are_what_runtimes_take() {
        let digest = format!("app@sha256:{}", "0a".repeat(32));
        for good in [
            "app",
            "docker.io/onload/sfnettest:1.6.0-rc2",
            "localhost:5000/a/b",
            "Registry.example.com/app:V1_x",
            &digest,
        ] {
            assert!(good.parse::<Image>().is_ok(), "{good}");
        }
        for wrong in [
            "",
            "App",
            "a b",
            "a//b",
            "/a",
            "a/",
            "a:",
            "a:-x",
            "a:b c",
            "a@sha256:12",
            "a@md5:00",
            "-a",
            "-a.b/c",
            ":1/c",
            "exa mple.com/a",
            "a\nb",
        ] {
            assert!(wrong.parse::<Image>().is_err(), "{wrong}");
        }
    }
}

//! The whole as text: the object that Kubernetes takes, or Butane.

use std::collections::BTreeMap;

use ignition_config::Config;
use onload_dbus::error::Kind;
use serde::Serialize;
use serde_json::Value;

use crate::ended::Complaint;

use super::ignition::{self, Version};
use super::parts::Parts;
use super::{WHAT, butane, refuse};

/// The label by which a pool chooses what is for it.
const ROLE: &str = "machineconfiguration.openshift.io/role";
/// As other tools mark what belongs together.
const PART_OF: (&str, &str) = ("app.kubernetes.io/part-of", "onloadd");
/// The most that one may be, as the JSON that is stored. etcd takes requests of 1.5 MiB
/// (its --max-request-bytes), and what is stored for a pool is the sum of all its MachineConfigs,
/// of which OpenShift's own have some hundred KiB: a third is left to those.
const LARGEST: usize = 1024 * 1024;
/// Text is never folded at white space: a line is a line.
const UNFOLDED: usize = 1 << 30;

/// How it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Yaml,
    Json,
    /// For this version of Butane's `openshift`.
    Butane(&'static str),
}

impl Form {
    /// How it is asked for.
    ///
    /// # Errors
    /// It is asked for in two forms, or Butane does not make that version.
    pub fn of(butane: bool, json: bool, version: Version) -> Result<Self, Complaint> {
        match (butane, json, version.butane()) {
            (false, false, _) => Ok(Self::Yaml),
            (false, true, _) => Ok(Self::Json),
            (true, true, _) => {
                Err(refuse("Butane is YAML, and JSON is asked for as well", "leave out --json"))
            }
            (true, false, Some(version)) => Ok(Self::Butane(version)),
            (true, false, None) => {
                let why = "no version of Butane's `openshift` makes Ignition 3.3.0";
                Err(refuse(why, "use --ignition 3.2.0, 3.4.0 or 3.5.0, or leave out --butane"))
            }
        }
    }
}

/// What is said of it beside files and units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    pub name: String,
    pub role: String,
    pub os_image: Option<String>,
    pub arguments: Vec<String>,
}

impl Described {
    /// Labels, by name.
    pub fn labels(&self) -> BTreeMap<&str, &str> {
        BTreeMap::from([(ROLE, self.role.as_str()), PART_OF])
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MachineConfig<'a> {
    api_version: &'a str,
    kind: &'a str,
    metadata: Metadata<'a>,
    spec: Spec<'a>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    labels: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    config: Config,
    kernel_arguments: Option<&'a [String]>,
    #[serde(rename = "osImageURL")]
    os_image_url: Option<&'a str>,
}

/// The text of it.
///
/// # Errors
/// Butane cannot say it, or it is too large to be stored.
pub fn text(
    form: Form,
    version: Version,
    described: &Described,
    parts: &Parts,
) -> Result<String, Complaint> {
    let object = object(version, described, parts).map_err(|why| internal(&why))?;
    let stored = serde_json::to_string(&object).map_err(|error| internal(&error.to_string()))?;
    check_size(stored.len(), parts)?;
    match form {
        Form::Yaml => yaml(&object),
        // Kubernetes' document, not one of onloadctl's: it has no `schema` of ours.
        Form::Json => serde_json::to_string_pretty(&object)
            .map(|text| text + "\n")
            .map_err(|error| internal(&error.to_string())),
        Form::Butane(version) => yaml(&butane::document(version, described, parts)?),
    }
}

fn object(version: Version, described: &Described, parts: &Parts) -> Result<Value, String> {
    let config = ignition::config(version, parts).map_err(|error| error.to_string())?;
    let whole = MachineConfig {
        api_version: "machineconfiguration.openshift.io/v1",
        kind: "MachineConfig",
        metadata: Metadata { name: &described.name, labels: described.labels() },
        spec: Spec {
            config,
            kernel_arguments: Some(&described.arguments[..]).filter(|all| !all.is_empty()),
            os_image_url: described.os_image.as_deref(),
        },
    };
    let mut object = serde_json::to_value(&whole).map_err(|error| error.to_string())?;
    prune(&mut object);
    Ok(object)
}

/// Takes out what is not said: the library writes it as null.
fn prune(value: &mut Value) {
    match value {
        Value::Object(keys) => {
            keys.retain(|_, value| !value.is_null());
            keys.values_mut().for_each(prune);
        }
        Value::Array(items) => items.iter_mut().for_each(prune),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn yaml(value: &Value) -> Result<String, Complaint> {
    let options = serde_saphyr::ser_options! { folded_wrap_chars: UNFOLDED };
    serde_saphyr::to_string_with_options(value, options)
        .map_err(|error| internal(&error.to_string()))
}

fn check_size(size: usize, parts: &Parts) -> Result<(), Complaint> {
    if size <= LARGEST {
        return Ok(());
    }
    let largest = parts.files.iter().max_by_key(|(_, file)| file.content.len());
    let largest = largest.map_or_else(String::new, |(path, file)| {
        format!("; the largest file is {path}, {} bytes", file.content.len())
    });
    let why = format!(
        "it would be {size} bytes, and {LARGEST} is what fits beside the rest of a pool's into one request of etcd's{largest}"
    );
    let fix = "put programs and releases into an image: --release IMAGE, or the OS image (packaging/rhcos/Containerfile)";
    Err(refuse(why, fix))
}

/// What does not happen with the values here.
pub fn internal(why: &str) -> Complaint {
    Complaint::of(Kind::Internal, WHAT, why, "report it with the files that were given")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed test is what a panic is for.

    use super::super::mode::Mode;
    use super::super::parts::Unit;
    use super::*;

    fn described() -> Described {
        Described {
            name: "99-worker-onloadd".into(),
            role: "worker".into(),
            os_image: Some("r.example/os@sha256:00".into()),
            arguments: vec!["iommu=pt".into()],
        }
    }

    fn parts() -> Parts {
        let mut parts = Parts::default();
        parts.file("/etc/a", "a = 1\n", Mode::COMMON).unwrap();
        let text = Some("[Service]\nExecStart=/x\n".to_owned());
        parts.unit("a.service", Unit { enabled: true, text, ..Unit::default() }).unwrap();
        parts
    }

    #[test]
    fn the_object_is_readable_and_says_nothing_that_is_null() {
        let text = text(Form::Yaml, Version::V3_4, &described(), &parts()).unwrap();
        assert_eq!(
            text,
            "\
apiVersion: machineconfiguration.openshift.io/v1
kind: MachineConfig
metadata:
  labels:
    app.kubernetes.io/part-of: onloadd
    machineconfiguration.openshift.io/role: worker
  name: 99-worker-onloadd
spec:
  config:
    ignition:
      version: \"3.4.0\"
    storage:
      files:
      - contents:
          compression: \"\"
          source: data:,a%20=%201%0A
        mode: 420
        overwrite: true
        path: /etc/a
    systemd:
      units:
      - contents: |
          [Service]
          ExecStart=/x
        enabled: true
        name: a.service
  kernelArguments:
  - iommu=pt
  osImageURL: r.example/os@sha256:00
"
        );
    }

    #[test]
    fn what_no_request_of_etcd_takes_is_refused_with_its_largest_file() {
        let mut parts = parts();
        let mut state = 7_u32;
        let noise = (0..LARGEST).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        });
        parts.file("/usr/local/sbin/onloadd", noise.collect::<Vec<u8>>(), Mode::PROGRAM).unwrap();
        let refused = text(Form::Json, Version::V3_4, &described(), &parts).unwrap_err();
        assert!(refused.why.contains("/usr/local/sbin/onloadd, 1048576 bytes"), "{}", refused.why);
        assert!(refused.fix.contains("--release IMAGE"));
    }

    #[test]
    fn forms_that_are_none() {
        assert_eq!(Form::of(true, false, Version::V3_5), Ok(Form::Butane("4.19.0")));
        assert_eq!(Form::of(false, true, Version::V3_3), Ok(Form::Json));
        assert!(Form::of(true, true, Version::V3_4).is_err());
        assert!(Form::of(true, false, Version::V3_3).unwrap_err().fix.contains("3.4.0"));
    }
}

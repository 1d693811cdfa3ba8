//! The same as Butane (variant `openshift`): text of files is written as it is, line for line.

use serde_json::{Map, Value, json};

use crate::ended::Complaint;

use super::content::carry;
use super::document::{Described, internal};
use super::parts::{File, Parts, Unit};
use super::refuse;

/// The document for a version of the variant.
///
/// # Errors
/// It names an OS image, for which Butane has no word.
pub fn document(version: &str, described: &Described, parts: &Parts) -> Result<Value, Complaint> {
    if described.os_image.is_some() {
        let why = "Butane has no word for the OS image";
        return Err(refuse(
            why,
            "leave out --butane, or --os-image and name it in a MachineConfig",
        ));
    }
    let files: Vec<_> =
        parts.files.iter().map(|(path, one)| file(path, one)).collect::<Result<_, _>>()?;
    let units: Vec<_> = parts.units.iter().map(|(name, one)| unit(name, one)).collect();
    let mut whole = json!({
        "variant": "openshift",
        "version": version,
        "metadata": { "name": described.name, "labels": described.labels() },
    });
    let mut add = |key: &str, value: Value, any: bool| {
        if let Some(keys) = whole.as_object_mut().filter(|_| any) {
            keys.insert(key.to_owned(), value);
        }
    };
    add("storage", json!({ "files": files }), !files.is_empty());
    add("systemd", json!({ "units": units }), !units.is_empty());
    let arguments = &described.arguments;
    add("openshift", json!({ "kernel_arguments": arguments }), !arguments.is_empty());
    Ok(whole)
}

fn file(path: &str, file: &File) -> Result<Value, Complaint> {
    let contents = match str::from_utf8(&file.content) {
        Ok(text) => json!({ "inline": text }),
        Err(_) => {
            let carried = carry(&file.content).map_err(|error| internal(&error.to_string()))?;
            let mut contents = json!({ "source": carried.url });
            if carried.gzip {
                contents["compression"] = "gzip".into();
            }
            contents
        }
    };
    let mode = file.mode.number();
    Ok(json!({ "path": path, "mode": mode, "overwrite": true, "contents": contents }))
}

fn unit(name: &str, unit: &Unit) -> Value {
    let mut keys = Map::from_iter([
        ("name".to_owned(), name.into()),
        ("enabled".to_owned(), unit.enabled.into()),
    ]);
    if let Some(text) = &unit.text {
        keys.insert("contents".to_owned(), text.clone().into());
    }
    if !unit.drop_ins.is_empty() {
        let all = unit.drop_ins.iter();
        let all = all.map(|(name, text)| json!({ "name": name, "contents": text }));
        keys.insert("dropins".to_owned(), all.collect());
    }
    keys.into()
}

//! What the API of Kubernetes and the plugins of CNI take, as far as it is rendered here: small facts, kept
//! in `schemas/`.

use std::fs;

use jsonschema::Validator;
use serde_json::Value;

/// One schema.
pub struct Schema {
    name: String,
    validator: Validator,
}

impl Schema {
    pub fn of(name: &str) -> Self {
        let path = format!("{}/tests/kubernetes/schemas/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let text = fs::read_to_string(&path).unwrap();
        let schema: Value = serde_json::from_str(&text).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        Self { name: name.to_owned(), validator }
    }

    /// What is wrong with an object; nothing where it would be taken.
    pub fn wrong(&self, object: &Value) -> Option<String> {
        let all: Vec<_> = self
            .validator
            .iter_errors(object)
            .map(|error| format!("{}: {error}", self.name))
            .collect();
        (!all.is_empty()).then(|| all.join("\n"))
    }

    pub fn takes(&self, object: &Value) {
        assert_eq!(self.wrong(object), None, "{object:#}");
    }

    /// The schema bites: each change makes of an object that is taken one that is not.
    pub fn refuses(&self, object: &Value, changes: &[(&str, Option<Value>)]) {
        self.takes(object);
        for (pointer, value) in changes {
            let mut changed = object.clone();
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            let parent = changed.pointer_mut(parent).expect(pointer).as_object_mut().unwrap();
            match value {
                Some(value) => drop(parent.insert(key.replace("~1", "/"), value.clone())),
                None => drop(parent.remove(key).expect(pointer)),
            }
            assert!(self.wrong(&changed).is_some(), "{}: {pointer} may be {value:?}", self.name);
        }
    }
}

/// The documents of a YAML text.
pub fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The configuration within a definition of a network, both of them checked.
pub fn network(definition: &Value) -> Value {
    Schema::of("network-attachment-definition").takes(definition);
    let text = definition["spec"]["config"].as_str().unwrap();
    let config: Value = serde_json::from_str(text).unwrap();
    Schema::of(&format!("cni-{}", config["type"].as_str().unwrap())).takes(&config);
    config
}

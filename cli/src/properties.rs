//! Properties of one object as the bus gave them: names in snake_case, values as JSON. Gaps of the
//! contract (empty texts, numbers that stand for none) become null here, and nowhere else.

use std::collections::{BTreeMap, HashMap};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use zbus::{OwnedVariant, Variant};

/// Why a property has no value when the daemon did not send it, or sent another type.
const OTHER_VERSION: &str = "this version of onloadd does not give it";

/// Property that names those which could not be read.
const UNREADABLE: &str = "unreadable";

/// Properties of one object.
#[derive(Clone, Debug, Default)]
pub struct Properties {
    values: Map<String, Value>,
    unreadable: BTreeMap<String, String>,
}

impl Properties {
    /// Takes what is known and sets aside what could not be read.
    pub fn new(mut values: Map<String, Value>) -> Self {
        let unreadable = values.remove(UNREADABLE).unwrap_or_default();
        let unreadable: BTreeMap<String, String> =
            serde_json::from_value(unreadable).unwrap_or_default();
        let unreadable = unreadable.into_iter().map(|(name, why)| (snake(&name), why)).collect();
        Self { values, unreadable }
    }

    /// A value that is always there; its zero, and a note, when this daemon does not give it.
    pub fn get<T: DeserializeOwned + Default>(&mut self, name: &str) -> T {
        self.take(name).unwrap_or_default()
    }

    /// A text; none when it is empty.
    pub fn text(&mut self, name: &str) -> Option<String> {
        self.take(name).filter(|text: &String| !text.is_empty())
    }

    /// A number; none when it is the one that stands for none.
    pub fn number<T: DeserializeOwned + PartialEq>(&mut self, name: &str, none: T) -> Option<T> {
        self.take(name).filter(|number| *number != none)
    }

    /// A value that means nothing when it could not be read.
    pub fn readable<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let value = self.take(name);
        value.filter(|_| !self.unreadable.contains_key(name))
    }

    /// A value of a dictionary in which some keys are there only sometimes.
    pub fn optional<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        self.values.contains_key(name).then(|| self.take(name)).flatten()
    }

    /// What could not be read, and why, by the names used here.
    pub fn unreadable(self) -> BTreeMap<String, String> {
        self.unreadable
    }

    fn take<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let value = self.values.remove(name).and_then(|value| serde_json::from_value(value).ok());
        if value.is_none() {
            self.unreadable.entry(name.to_owned()).or_insert_with(|| OTHER_VERSION.into());
        }
        value
    }
}

/// A dictionary of the bus as JSON.
pub fn json(dict: HashMap<String, OwnedVariant>) -> Map<String, Value> {
    dict.iter().map(|(name, value)| (snake(name), value_of(value))).collect()
}

fn value_of(value: &Variant<'_>) -> Value {
    match value {
        Variant::U8(n) => (*n).into(),
        Variant::Bool(b) => (*b).into(),
        Variant::I16(n) => (*n).into(),
        Variant::U16(n) => (*n).into(),
        Variant::I32(n) => (*n).into(),
        Variant::U32(n) => (*n).into(),
        Variant::I64(n) => (*n).into(),
        Variant::U64(n) => (*n).into(),
        Variant::F64(n) => (*n).into(),
        Variant::Str(text) => text.as_str().into(),
        Variant::Signature(signature) => signature.to_string().into(),
        Variant::ObjectPath(path) => path.as_str().into(),
        Variant::Variant(inner) => value_of(inner),
        Variant::Array(array) => array.inner().iter().map(value_of).collect(),
        Variant::Structure(fields) => fields.fields().iter().map(value_of).collect(),
        Variant::Dict(dict) => dict
            .iter()
            .map(|(key, value)| match value_of(key) {
                // The same names as everywhere, but keys that are data stay as they are.
                Value::String(key) if is_variant(value) => (snake(&key), value_of(value)),
                Value::String(key) => (key, value_of(value)),
                key => (key.to_string(), value_of(value)),
            })
            .collect::<Map<_, _>>()
            .into(),
        // The contract passes none.
        Variant::Fd(_) => Value::Null,
    }
}

fn is_variant(value: &Variant<'_>) -> bool {
    matches!(value, Variant::Variant(_))
}

/// `PermanentMac` as `permanent_mac`; what follows a slash is a name of its own and stays.
pub fn snake(name: &str) -> String {
    let (member, rest) = name.find('/').map_or((name, ""), |slash| name.split_at(slash));
    let mut snake = String::with_capacity(name.len() + 4);
    for (at, letter) in member.chars().enumerate() {
        if letter.is_ascii_uppercase() && at > 0 {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake + rest
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed test is what a panic is for.

    use serde_json::json;

    use super::*;

    fn properties(value: Value) -> Properties {
        Properties::new(value.as_object().unwrap().clone())
    }

    #[test]
    fn names_become_snakes() {
        for (member, expected) in [
            ("PermanentMac", "permanent_mac"),
            ("State", "state"),
            ("Parameters/MaxChannels", "parameters/MaxChannels"),
            ("", ""),
        ] {
            assert_eq!(snake(member), expected);
        }
    }

    #[test]
    fn a_gap_is_absent_and_a_failure_says_why() {
        let mut port = properties(json!({
            "netdev": "", "numa_node": -1, "driver": "", "loaded": false,
            "unreadable": {"Driver": "denied", "Loaded": "denied"}
        }));
        assert_eq!(port.text("netdev"), None);
        assert_eq!(port.number("numa_node", -1), None);
        assert_eq!(port.text("driver"), None);
        assert_eq!(port.readable::<bool>("loaded"), None);
        assert_eq!(port.get::<u32>("slots"), 0);
        assert_eq!(port.optional::<u32>("pid"), None);
        let unreadable = port.unreadable();
        assert_eq!(unreadable.keys().collect::<Vec<_>>(), ["driver", "loaded", "slots"]);
        assert_eq!(unreadable["slots"], OTHER_VERSION);
    }

    #[test]
    fn values_of_the_bus_become_json() {
        let held = HashMap::from([("Uid", Variant::from(0_u32))]);
        let causes = HashMap::from([("No driver", 2_u32)]);
        let dict = HashMap::from([
            ("Held".to_owned(), Variant::from(held).try_to_owned().unwrap()),
            ("Causes".to_owned(), Variant::from(causes).try_to_owned().unwrap()),
            (
                "Conditions".to_owned(),
                Variant::from(vec![("Ready", 5_u64)]).try_to_owned().unwrap(),
            ),
        ]);
        let expected = json!({
            "held": {"uid": 0}, "causes": {"No driver": 2}, "conditions": [["Ready", 5]]
        });
        assert_eq!(Value::from(json(dict)), expected);
    }
}

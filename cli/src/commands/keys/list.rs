//! `keys list`: every key that has a name here, and how far its enrolment has come.

use std::collections::BTreeMap;

use serde::Serialize;

use super::secure_boot::{self, ENROLLED, Key};
use crate::bus::Bus;
use crate::ended::Ended;
use crate::render::Page;
use crate::render::paint::{Paint, plain};
use crate::render::phrase::fact;
use crate::render::table::{Cell, table};

/// Digits of a fingerprint that tell one key from another in a table.
const SHORT: usize = 16;

/// Keys, those that the configuration names first.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Keys {
    pub keys: Vec<Key>,
    pub unreadable: BTreeMap<String, String>,
}

/// Reads them.
pub async fn read(bus: &Bus) -> Result<Keys, Ended> {
    let seen = secure_boot::read(bus).await?;
    let about = |name: &String| name == "keys" || name == "requests";
    let unreadable = seen.unreadable.into_iter().filter(|(name, _)| about(name)).collect();
    Ok(Keys { keys: seen.keys, unreadable })
}

impl Page for Keys {
    fn text(&self, _now: u64) -> String {
        let mut text = if self.keys.is_empty() {
            "no key has a name here\n".to_owned()
        } else {
            let rows: Vec<_> = self.keys.iter().map(row).collect();
            table(&["KEY", "STATE", "WHERE", "FINGERPRINT"], &rows)
        };
        for (what, why) in &self.unreadable {
            text += &format!("\n{what} cannot be read: {}\n", plain(why));
        }
        text
    }
}

fn row(key: &Key) -> Vec<Cell> {
    let none = BTreeMap::new();
    let places = key.places.iter().chain(&key.revoked_by).map(String::as_str);
    let places = Some(places.collect::<Vec<_>>().join(" ")).filter(|all| !all.is_empty());
    let short = key.fingerprint.as_ref().map(|all| all.chars().take(SHORT).collect::<String>());
    vec![
        Cell::painted(&key.name, Paint::Strong),
        Cell::painted(&key.state, paint(&key.state)),
        fact(places, "", &none),
        fact(short, "", &none),
    ]
}

fn paint(state: &str) -> Paint {
    match state {
        ENROLLED => Paint::Good,
        "Revoked" | "CertificateUnreadable" => Paint::Bad,
        _ => Paint::Warn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::paint::without;

    #[test]
    fn a_key_tells_where_it_is() {
        let key = |name: &str, state: &str, places: &[&str]| Key {
            name: name.into(),
            state: state.into(),
            places: places.iter().map(|&place| place.to_owned()).collect(),
            fingerprint: Some("a1b2c3d4e5f60718".repeat(4)),
            ..Key::default()
        };
        let keys = vec![
            key("CN=Site modules", ENROLLED, &[".machine", "mok"]),
            Key { revoked_by: vec!["mokx".into()], ..key("CN=Old", "Revoked", &[]) },
            Key { fingerprint: None, ..key("/etc/a.der", "CertificateUnreadable", &[]) },
        ];
        let unreadable = BTreeMap::from([("requests".to_owned(), "EIO".to_owned())]);
        assert_eq!(
            without(&Keys { keys, unreadable }.text(0)),
            "\
KEY              STATE                  WHERE         FINGERPRINT
CN=Site modules  Enrolled               .machine mok  a1b2c3d4e5f60718
CN=Old           Revoked                mokx          a1b2c3d4e5f60718
/etc/a.der       CertificateUnreadable  -             -

requests cannot be read: EIO
"
        );
        assert_eq!(Keys::default().text(0), "no key has a name here\n");
    }
}

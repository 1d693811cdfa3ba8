//! `config`: every setting in force, where it comes from, and what it masks.

use serde::Serialize;

use crate::bus::Bus;
use crate::ended::Ended;
use crate::render::Page;
use crate::render::paint::Paint;
use crate::render::phrase::natural;
use crate::render::table::{Cell, table};

/// All settings, by key.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Config {
    pub settings: Vec<Setting>,
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Setting {
    pub key: String,
    /// As TOML.
    pub value: String,
    /// `file:line`; null for a built-in default.
    pub origin: Option<String>,
    /// Nearest first.
    pub masks: Vec<Masked>,
}

/// A value that another one takes the place of.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Masked {
    /// As TOML.
    pub value: String,
    /// `file:line`; null for a built-in default.
    pub origin: Option<String>,
}

/// Shown for a value that no file sets.
const BUILT_IN: &str = "built-in";

/// Reads them.
pub async fn read(bus: &Bus) -> Result<Config, Ended> {
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    let settings = bus.manager().await?.config().await?.into_iter();
    let settings = settings.map(|(key, value, origin, masks)| Setting {
        key,
        value,
        origin: some(origin),
        masks: masks
            .into_iter()
            .map(|(value, origin)| Masked { value, origin: some(origin) })
            .collect(),
    });
    let mut settings: Vec<_> = settings.collect();
    settings.sort_by(|a, b| natural(&a.key, &b.key));
    Ok(Config { settings })
}

fn rows(setting: &Setting) -> Vec<Vec<Cell>> {
    let place = |origin: &Option<String>| match origin {
        Some(place) => Cell::new(place),
        None => Cell::painted(BUILT_IN, Paint::Dim),
    };
    let first = vec![
        Cell::painted(&setting.key, Paint::Strong),
        Cell::new(&setting.value),
        place(&setting.origin),
    ];
    let masked = setting.masks.iter().map(|masked| {
        vec![
            Cell::painted("  masks", Paint::Dim),
            Cell::painted(&masked.value, Paint::Dim),
            place(&masked.origin).paint(Paint::Dim),
        ]
    });
    std::iter::once(first).chain(masked).collect()
}

impl Page for Config {
    fn text(&self, _now: u64) -> String {
        if self.settings.is_empty() {
            return "no configuration is in force\n".into();
        }
        let rows: Vec<_> = self.settings.iter().flat_map(rows).collect();
        table(&["KEY", "VALUE", "FROM"], &rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::paint::without;

    #[test]
    fn what_is_masked_stands_below() {
        let setting = Setting {
            key: "pool.onload.slots".into(),
            value: "64".into(),
            origin: Some("/etc/onloadd/onloadd.toml:3".into()),
            masks: vec![
                Masked {
                    value: "10".into(),
                    origin: Some("/usr/lib/onloadd/onloadd.toml:9".into()),
                },
                Masked { value: "100".into(), origin: None },
            ],
        };
        assert_eq!(
            without(&Config { settings: vec![setting] }.text(0)),
            "\
KEY                VALUE  FROM
pool.onload.slots  64     /etc/onloadd/onloadd.toml:3
  masks            10     /usr/lib/onloadd/onloadd.toml:9
  masks            100    built-in
"
        );
    }
}

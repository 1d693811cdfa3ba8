//! `allocate`: devices for whoever comes after this program has ended, so never bound to it.

use onload_dbus::path::{Kind, parse};
use serde::Serialize;
use zbus::Variant;

use crate::bus::Bus;
use crate::commands::Options;
use crate::ended::Ended;
use crate::render::Output;
use crate::render::paint::plain;

/// What was lent.
#[derive(Debug, PartialEq, Serialize)]
struct Grants {
    allocations: Vec<Grant>,
}

/// One device.
#[derive(Debug, PartialEq, Serialize)]
struct Grant {
    /// As `free` takes it.
    id: String,
    device: String,
}

/// The option that says how long: a lease, with the unit, or until they are freed.
pub fn until(lease: Option<&str>, unit: bool) -> (&'static str, Variant<'_>) {
    match lease {
        Some(duration) => ("Lease", Variant::from(duration)),
        None if unit => ("Tenure", Variant::from("unit")),
        None => ("Tenure", Variant::from("persistent")),
    }
}

/// Borrows and prints allocation, tab, device, one pair per line: `cut -f1` gives the ids.
pub async fn order(
    bus: &Bus,
    output: Output,
    pool: &str,
    count: u32,
    (name, value): (&'static str, Variant<'_>),
) -> Result<(), Ended> {
    let options = Options::from([(name, &value)]);
    let lent = bus.manager().await?.allocate(pool, count, options).await?;
    let grants = Grants {
        allocations: lent
            .into_iter()
            .map(|(path, device)| Grant { id: id(path.as_str()), device })
            .collect(),
    };
    if output.json() {
        output.document(&grants)?;
    } else {
        output.text(&lines(&grants))?;
    }
    Ok(())
}

/// The id behind a path; the path itself should it be of a form we do not know.
pub fn id(path: &str) -> String {
    match parse(path) {
        Some((Kind::Allocation, id)) => id,
        _ => path.to_owned(),
    }
}

fn lines(grants: &Grants) -> String {
    let line = |grant: &Grant| format!("{}\t{}\n", plain(&grant.id), plain(&grant.device));
    grants.allocations.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_is_said_in_one_option() {
        let tenure = |word: &'static str| ("Tenure", Variant::from(word));
        assert_eq!(until(None, false), tenure("persistent"));
        assert_eq!(until(None, true), tenure("unit"));
        assert_eq!(until(Some("8h"), false), ("Lease", Variant::from("8h")));
    }

    #[test]
    fn a_script_can_cut_the_ids() {
        let grant = |id: &str, device: &str| Grant { id: id.into(), device: device.into() };
        let grants = Grants { allocations: vec![grant("a1", "onload-9"), grant("a2", "onload-8")] };
        assert_eq!(lines(&grants), "a1\tonload-9\na2\tonload-8\n");
        assert_eq!(id("/com/amd/Onload1/allocation/a12"), "a12");
    }
}

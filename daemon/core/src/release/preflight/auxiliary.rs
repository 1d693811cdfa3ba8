//! Whether `sfc` and the Onload stack speak the same auxiliary-bus interface: from their versions,
//! since neither file says it.

use super::Objection;

/// A version of the interface: compatible with an equal major number and a provider's minor number
/// that is not smaller (`EFX_AUX_ABI_VERSION`, reference/onload-modules.md section 2.1).
type Interface = (u32, u32);

/// What the stack was built with, by the first Onload version that has it; before, driverlink
/// couples the two by symbols (reference/onload-modules.md section 2.1).
const STACKS: [((u32, u32), Interface); 2] = [((9, 0), (1, 0)), ((9, 1), (1, 3))];
/// What `sfc` provides, by the first bundled version that has it: 6.1.0 came with 9.0, 6.2.1 with
/// 9.1 (reference/onload-modules.md section 1).
const PROVIDERS: [((u32, u32), Interface); 2] = [((6, 0), (1, 0)), ((6, 2), (1, 3))];

/// What speaks against the two. A version that is not known (an unstamped build) tells nothing.
pub(super) fn check(sfc: Option<&str>, onload: Option<&str>) -> Option<Objection> {
    let (sfc, onload) = (sfc?, onload?);
    let (provided, needed) = (leading(sfc)?, leading(onload)?);
    let provides = of(&PROVIDERS, provided);
    let needs = of(&STACKS, needed);
    let fits = match (provides, needs) {
        (Some((major, minor)), Some((wanted, least))) => major == wanted && minor >= least,
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    (!fits)
        .then(|| Objection::AuxiliaryInterface { sfc: sfc.to_owned(), onload: onload.to_owned() })
}

fn of(table: &[((u32, u32), Interface)], version: (u32, u32)) -> Option<Interface> {
    table.iter().rev().find(|(first, _)| version >= *first).map(|(_, interface)| *interface)
}

/// The first two numbers of a version.
fn leading(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.').map(str::parse::<u32>);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_sfc_serves_an_older_stack_and_not_the_other_way() {
        for (sfc, onload, fits) in [
            ("6.1.0.1009", "9.0.2", true),
            ("6.4.0.1003", "9.0.2", true),
            ("6.4.0.1003", "9.2.1", true),
            ("6.4.0.1002", "10.0.0", true),
            ("6.2.1.1006", "9.1.2", true),
            ("6.1.0.1009", "9.1.2", false),
            ("5.3.16.1004", "8.1.2", true),
            ("5.3.16.1004", "9.0.2", false),
            ("6.1.0.1009", "8.1.2", false),
        ] {
            assert_eq!(check(Some(sfc), Some(onload)).is_none(), fits, "{sfc} {onload}");
        }
        for (sfc, onload) in [
            (None, Some("9.1.2")),
            (Some("6.1.0.1009"), None),
            (Some(""), Some("9.1.2")),
            (Some("6.1.0.1009"), Some("master-ef17681")),
        ] {
            assert_eq!(check(sfc, onload), None, "{sfc:?} {onload:?}: nothing to be told");
        }
    }
}

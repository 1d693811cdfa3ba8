//! Names as the kernel and udev's database tell them: one file for each interface.

use onload_core::inventory::NameOrigin;
use onload_core::naming::UdevNames;
use onload_core::reading::Reading;

use super::attribute;
use super::root::Dir;

/// A record has some forty lines.
const RECORD_BYTES: usize = 64 << 10;

/// Who named an interface, and what udev knows of its names.
pub(super) fn names(
    root: &Dir,
    name: &str,
    index: u32,
) -> (Reading<NameOrigin>, Reading<Box<UdevNames>>) {
    let origin = root.line(&format!("sys/class/net/{name}/name_assign_type"));
    let record = root.read(&format!("run/udev/data/n{index}"), RECORD_BYTES);
    (origin.and_then(origin_of), record.map(|bytes| Box::new(UdevNames::parse(&bytes))))
}

fn origin_of(text: String) -> Reading<NameOrigin> {
    match text.as_str() {
        "1" => Reading::Known(NameOrigin::Enumerated),
        "2" => Reading::Known(NameOrigin::Predictable),
        "3" => Reading::Known(NameOrigin::User),
        "4" => Reading::Known(NameOrigin::Renamed),
        _ => attribute::unexpected(&text),
    }
}

#[cfg(test)]
mod tests {
    use super::super::root::tests::root_with;
    use super::*;

    #[test]
    fn a_record_is_found_by_index_and_a_gap_is_none_of_its_names() {
        const ORIGIN: &str = "sys/class/net/ens1f0/name_assign_type";
        let record = "I:99\nE:ID_NET_NAME=ens1f0\nE:ID_NET_NAME_SLOT=ens1f0\n";
        let (_place, root) = root_with(&[(ORIGIN, "4\n"), ("run/udev/data/n7", record)]);
        let (origin, udev) = names(&root, "ens1f0", 7);
        assert_eq!(origin, Reading::Known(NameOrigin::Renamed));
        let udev = udev.into_known().unwrap();
        assert_eq!((udev.name.as_deref(), udev.slot.as_deref()), (Some("ens1f0"), Some("ens1f0")));
        assert!(names(&root, "ens1f0", 8).1.is_absent(), "udev has no record of it");
        let nowhere = names(&root, "ens9", 9);
        assert!(nowhere.0.is_absent() && nowhere.1.is_absent());
        for (text, expected) in [
            ("1\n", Some(NameOrigin::Enumerated)),
            ("2\n", Some(NameOrigin::Predictable)),
            ("3\n", Some(NameOrigin::User)),
            ("5\n", None),
            ("4", None),
        ] {
            let (_place, root) = root_with(&[(ORIGIN, text)]);
            let (origin, _) = names(&root, "ens1f0", 7);
            assert_eq!(origin.known().copied(), expected, "{text:?}");
            assert!(expected.is_some() || origin.is_unreadable(), "{text:?}");
        }
    }
}

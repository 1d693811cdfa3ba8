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

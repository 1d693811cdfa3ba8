//! What a version of `sfc` tells udev of a port. Data only (reference/interface-naming.md section 3).

/// What a driver lets udev make the end of a name of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// `phys_port_name`, `p` and the number of the port.
    Name,
    /// `dev_port`, a number.
    Number,
    /// Neither.
    Nothing,
    /// Not known, and why.
    Unknown(String),
}

/// A family whose ports are named otherwise than all others that `sfc` drives.
const OTHERWISE: &str = "EF100";

/// A version's four numbers.
type Version = [u32; 4];

/// The last version of each span, in order; what is newer tells nothing.
const SPANS: [(Version, Span); 3] = [
    // 4.7.0.103x and before.
    ([4, 7, 0, 1039], Span::Number),
    // Up to the last of 4.
    ([4, u32::MAX, u32::MAX, u32::MAX], Span::Name),
    // 5.0 to 5.3.12: only on kernels without devlink, which no file tells.
    ([5, 3, 12, u32::MAX], Span::ByKernel),
];

#[derive(Clone, Copy, Debug)]
enum Span {
    Number,
    Name,
    ByKernel,
}

/// What a driver tells of a port of this family. No version: it is the kernel's own, which has none.
pub(super) fn told(driver: &str, family: &str, in_tree: bool, version: Option<&str>) -> Told {
    if driver != "sfc" {
        return Told::Unknown(format!("it is not known what {driver} tells udev of its ports"));
    }
    if family == OTHERWISE {
        return Told::Unknown(format!(
            "it is not known what {driver} tells udev of {family} ports"
        ));
    }
    if in_tree {
        return Told::Name;
    }
    let Some(numbers) = version.and_then(parse) else {
        return Told::Unknown(match version.filter(|text| !text.is_empty()) {
            Some(version) => format!("sfc {version} is none of the versions that are known"),
            None => "its sfc does not say its version".to_owned(),
        });
    };
    match SPANS.iter().find(|(last, _)| numbers <= *last).map(|(_, span)| span) {
        Some(Span::Number) => Told::Number,
        Some(Span::Name) => Told::Name,
        Some(Span::ByKernel) => Told::Unknown(
            "sfc 5.0 to 5.3.12 tells phys_port_name with some kernels and not with others"
                .to_owned(),
        ),
        None => Told::Nothing,
    }
}

/// Four numbers with dots between, and nothing else.
fn parse(text: &str) -> Option<Version> {
    let mut parts = text.split('.').map(|part| part.parse::<u32>().ok());
    let version = [parts.next()??, parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_that_of_the_sheet() {
        let of = |version| told("sfc", "X2", false, Some(version));
        for (version, expected) in [
            ("4.1.0.6734", Told::Number),
            ("4.7.0.1031", Told::Number),
            ("4.7.0.1039", Told::Number),
            ("4.7.0.1040", Told::Name),
            ("4.15.6.1004", Told::Name),
            ("5.3.13.1006", Told::Nothing),
            ("5.4.0.1000", Told::Nothing),
            ("6.4.0.1003", Told::Nothing),
        ] {
            assert_eq!(of(version), expected, "{version}");
        }
        for version in ["5.0.0.1000", "5.3.12.1023", "", "6.4", "6.4.0.1003-dirty", "6.4.0.1.2"] {
            assert!(matches!(of(version), Told::Unknown(_)), "{version}");
        }
        assert_eq!(told("sfc", "X2", true, None), Told::Name);
        assert!(matches!(told("sfc", "X2", false, None), Told::Unknown(_)));
        for (driver, family) in [("xilinx_efct", "X3"), ("sfc", "EF100")] {
            assert!(matches!(told(driver, family, false, Some("6.4.0.1003")), Told::Unknown(_)));
            assert!(matches!(told(driver, family, true, None), Told::Unknown(_)), "{family}");
        }
    }
}

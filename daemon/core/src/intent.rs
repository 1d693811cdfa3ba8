//! Which release the node shall have: orders before mappings before the one named for all kernels.

use crate::change::Order;
use crate::config::{Mapping, ModuleSettings};
use crate::names::{KernelRelease, ReleaseName};

/// The release that is asked for, and what asks for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Intent {
    /// The release; none: modules are left alone.
    pub release: Option<ReleaseName>,
    /// For people.
    pub by: String,
}

/// Longest compiled expression, in bytes: kernel names are short, and so is what tells them apart.
const EXPRESSION_BYTES: usize = 64 * 1024;

/// Reads the intent off the configuration that was adopted, and an order that stands.
pub fn read(
    modules: &ModuleSettings,
    order: Option<&Order>,
    kernel: Option<&KernelRelease>,
) -> Intent {
    if let Some(order) = order {
        let by = format!("an order of uid {}", order.uid);
        return Intent { release: Some(order.release.clone()), by };
    }
    let matching = kernel.and_then(|kernel| {
        let mut mappings = modules.kernels.iter().enumerate();
        mappings.find(|(_, mapping)| mapping.matches(kernel))
    });
    if let Some((at, mapping)) = matching {
        let by = format!("line {} of [[modules.kernels]]: {}", at + 1, mapping.shown());
        return Intent { release: Some(mapping.release.clone()), by };
    }
    match &modules.release {
        Some(release) => {
            Intent { release: Some(release.clone()), by: "`release` in [modules]".to_owned() }
        }
        None => Intent { release: None, by: "[modules] names none".to_owned() },
    }
}

impl Mapping {
    /// Whether it is for this kernel.
    pub fn matches(&self, kernel: &KernelRelease) -> bool {
        let literal = self.literal.as_ref().is_some_and(|literal| literal == kernel.as_str());
        let found =
            |text: &String| compile(text).is_ok_and(|found| found.is_match(kernel.as_str()));
        literal || self.regexp.as_ref().is_some_and(found)
    }

    /// What is wrong with it, if anything.
    pub fn fault(&self) -> Option<String> {
        match (&self.literal, &self.regexp) {
            (Some(_), None) => None,
            (None, Some(text)) => compile(text)
                .err()
                .map(|error| format!("`{text}` is no regular expression: {error}")),
            (Some(_), Some(_)) | (None, None) => {
                Some("name exactly one of `literal` and `regexp`".to_owned())
            }
        }
    }

    fn shown(&self) -> String {
        match (&self.literal, &self.regexp) {
            (Some(literal), _) => format!("literal `{literal}`"),
            (None, Some(text)) => format!("regexp `{text}`"),
            (None, None) => "nothing".to_owned(),
        }
    }
}

fn compile(text: &str) -> Result<regex_lite::Regex, regex_lite::Error> {
    regex_lite::RegexBuilder::new(text).size_limit(EXPRESSION_BYTES).build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn mapping(literal: Option<&str>, regexp: Option<&str>, release: &str) -> Mapping {
        Mapping {
            literal: literal.map(str::to_owned),
            regexp: regexp.map(str::to_owned),
            release: release.parse().unwrap(),
        }
    }

    #[test]
    fn the_first_that_matches_counts_and_an_order_before_all() {
        let modules = ModuleSettings {
            release: Some("9.1.2".parse().unwrap()),
            kernels: vec![
                mapping(Some("5.14.0-1"), None, "literal"),
                mapping(None, Some(r"^5\.14\."), "anchored"),
                mapping(None, Some("el9"), "anywhere"),
            ],
            ..ModuleSettings::default()
        };
        let order =
            Order { release: "9.2.1".parse().unwrap(), uid: 7, at: Timestamp(1), boot: None };
        let cases = [
            (
                Some("5.14.0-1"),
                None,
                "literal",
                "line 1 of [[modules.kernels]]: literal `5.14.0-1`",
            ),
            (
                Some("5.14.0-10"),
                None,
                "anchored",
                r"line 2 of [[modules.kernels]]: regexp `^5\.14\.`",
            ),
            (
                Some("6.1.0-5.14.el9"),
                None,
                "anywhere",
                "line 3 of [[modules.kernels]]: regexp `el9`",
            ),
            (Some("6.1.0"), None, "9.1.2", "`release` in [modules]"),
            (None, None, "9.1.2", "`release` in [modules]"),
            (Some("5.14.0-1"), Some(&order), "9.2.1", "an order of uid 7"),
        ];
        for (kernel, order, release, by) in cases {
            let kernel = kernel.map(|text| text.parse().unwrap());
            let intent = read(&modules, order, kernel.as_ref());
            assert_eq!((intent.release.unwrap().as_str(), intent.by.as_str()), (release, by));
        }
        assert_eq!(read(&ModuleSettings::default(), None, None).release, None);
    }

    #[test]
    fn a_line_names_exactly_one_thing_and_it_compiles() {
        assert_eq!(mapping(Some("6.1.0"), None, "x").fault(), None);
        assert_eq!(mapping(None, Some("^6"), "x").fault(), None);
        for bad in [mapping(None, None, "x"), mapping(Some("a"), Some("b"), "x")] {
            assert!(bad.fault().unwrap().contains("exactly one"));
        }
        for text in ["(", "a{1,100000}", "[z-a]"] {
            assert!(mapping(None, Some(text), "x").fault().unwrap().contains(text), "{text}");
        }
    }
}

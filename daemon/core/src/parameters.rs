//! Parameters as asked: what the host tells modprobe to load a module with, beside what the loaded
//! module shows. Only told: whoever writes to `/sys` at run time may have his reasons, and a release
//! does not go back for it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::inventory::{Module, ModuleState, STACK, Snapshot};
use crate::names::ModuleName;
use crate::others::{SERVER_PARAMETERS, SERVER_PATH};
use crate::reading::Reading;

/// Those that follow the release in use or come from an `install` line, and are judged elsewhere
/// (reference/onload-modules.md section 5.3).
const ELSEWHERE: [&str; 4] =
    [SERVER_PATH, SERVER_PARAMETERS, "cplane_server_uid", "cplane_server_gid"];

/// What is asked of parameters, by module and name.
pub type Options = BTreeMap<ModuleName, BTreeMap<String, Asked>>;

/// What is asked of one parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Asked {
    /// None for a name alone, which sets a switch.
    pub value: Option<String>,
    /// The file that asks, or the kernel's command line.
    pub by: String,
}

/// A parameter that is not as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{module} has {parameter}={is}, and {by} asks for {asked}")]
pub struct Difference {
    /// The loaded module.
    pub module: ModuleName,
    /// The parameter.
    pub parameter: String,
    /// What it is.
    pub is: String,
    /// What it was to be.
    pub asked: String,
    /// Who asks.
    pub by: String,
}

impl Difference {
    /// What an operator does about it.
    pub fn fix(&self) -> String {
        let Self { module, parameter, by, .. } = self;
        format!(
            "load {module} anew, or write the value to /sys/module/{module}/parameters/{parameter} where that is allowed, or change {by}"
        )
    }
}

/// Every parameter of a loaded module of the stack that is not as asked. What the module does not
/// have, or does not show, says nothing.
pub fn differences(snapshot: &Snapshot) -> Vec<Difference> {
    let options = snapshot.options.known().into_iter().flatten();
    let loaded =
        options.filter(|(name, _)| STACK.contains(&name.as_str())).filter_map(|(name, asked)| {
            let module = snapshot.module(name.as_str()).into_known()?;
            (module.state == ModuleState::Live).then_some((name, module, asked))
        });
    let each = loaded.flat_map(|(name, module, asked)| {
        asked.iter().filter_map(|(parameter, asked)| difference(name, module, parameter, asked))
    });
    each.collect()
}

fn difference(
    name: &ModuleName,
    module: &Module,
    parameter: &str,
    asked: &Asked,
) -> Option<Difference> {
    if ELSEWHERE.contains(&parameter) {
        return None;
    }
    let Reading::Known(is) = module.parameters.get(parameter)? else { return None };
    (!is_same(asked.value.as_deref(), is)).then(|| Difference {
        module: name.clone(),
        parameter: parameter.to_owned(),
        is: is.clone(),
        asked: asked.value.clone().unwrap_or_else(|| "it to be set".to_owned()),
        by: asked.by.clone(),
    })
}

/// Whether a value that was asked for is the one shown: by value, as the kernel reads and prints
/// it (`kernel/params.c`). Of an array only as many as were asked for.
fn is_same(asked: Option<&str>, shown: &str) -> bool {
    let Some(asked) = asked else { return switch(shown) == Some(true) };
    if asked == shown {
        return true;
    }
    let one = |asked: &str, shown: &str| {
        asked == shown
            || number(asked).is_some_and(|asked| number(shown) == Some(asked))
            || may_be_switch(asked, shown)
                && switch(asked).is_some_and(|on| switch(shown) == Some(on))
    };
    let shown: Vec<&str> = shown.split(',').collect();
    let asked: Vec<&str> = asked.split(',').collect();
    asked.len() <= shown.len() && asked.iter().zip(shown).all(|(asked, shown)| one(asked, shown))
}

/// Switches are shown as `Y` and `N`, or as numbers; of these one in digits is told by its value.
fn may_be_switch(asked: &str, shown: &str) -> bool {
    let in_digits = asked.starts_with(|letter: char| letter.is_ascii_digit());
    ["Y", "N"].contains(&shown) || ["0", "1"].contains(&shown) && !in_digits
}

/// `kstrtobool`.
fn switch(text: &str) -> Option<bool> {
    let mut letters = text.chars().map(|letter| letter.to_ascii_lowercase());
    match (letters.next()?, letters.next()) {
        ('y' | 't' | '1', _) | ('o', Some('n')) => Some(true),
        ('n' | 'f' | '0', _) | ('o', Some('f')) => Some(false),
        _ => None,
    }
}

/// `kstrtoll` with any base.
fn number(text: &str) -> Option<i128> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let hexadecimal = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    let (digits, base) = match (hexadecimal, digits.strip_prefix('0')) {
        (Some(digits), _) => (digits, 16),
        (None, Some(octal)) if !octal.is_empty() => (octal, 8),
        (None, _) => (digits, 10),
    };
    let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    plain.then(|| i128::from_str_radix(digits, base).ok()).flatten().map(|number| sign * number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{module_of, spoilt};

    #[test]
    fn values_are_compared_as_the_kernel_reads_them() {
        for (asked, shown, same) in [
            (Some("1024"), "1024", true),
            (Some("0x400"), "1024", true),
            (Some("02000"), "1024", true),
            (Some("+5"), "5", true),
            (Some("-2"), "-2", true),
            (Some("-2"), "2", false),
            (Some("1025"), "1024", false),
            (Some("0x"), "0", false),
            (Some("10"), "1", false),
            (Some("1"), "Y", true),
            (Some("on"), "Y", true),
            (Some("off"), "N", true),
            (Some("Yes"), "1", true),
            (Some("y"), "N", false),
            (Some("0"), "Y", false),
            (Some("2"), "Y", false),
            (None, "Y", true),
            (None, "N", false),
            (Some("latency"), "latency", true),
            (Some("latency"), "Latency", false),
            (Some("latency"), "(null)", false),
            // More elements than were asked for are the module's own.
            (Some("0,0x2"), "0,2,7", true),
            (Some("0,2,7"), "0,2", false),
        ] {
            assert_eq!(is_same(asked, shown), same, "{asked:?} shown as {shown}");
        }
    }

    fn asked(of: &[(&str, &str, &str)]) -> Reading<Options> {
        let mut options = Options::new();
        for (module, parameter, value) in of {
            let (value, by) = (Some((*value).to_owned()), "/etc/modprobe.d/a.conf".to_owned());
            let module = options.entry(module.parse().unwrap()).or_default();
            module.insert((*parameter).to_owned(), Asked { value, by });
        }
        Reading::Known(options)
    }

    #[test]
    fn what_is_loaded_and_shown_is_compared_and_nothing_else() {
        let seen = spoilt(|node| {
            let shown = &mut module_of(node, "sfc").parameters;
            shown.insert("rx_ring".to_owned(), Reading::Known("512".to_owned()));
            shown.insert("secret".to_owned(), Reading::Unreadable("EACCES".to_owned()));
            let shown = &mut module_of(node, "onload").parameters;
            shown.insert("cplane_server_path".to_owned(), Reading::Known("/x".to_owned()));
            node.options = asked(&[
                ("sfc", "rx_ring", "1024"),
                ("sfc", "secret", "1"),
                ("sfc", "of_another_build", "1"),
                ("onload", "cplane_server_path", "/y"),
                ("ptp", "x", "1"),
            ]);
        });
        let found = differences(&seen);
        let [one] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(
            one.to_string(),
            "sfc has rx_ring=512, and /etc/modprobe.d/a.conf asks for 1024"
        );
        assert!(one.fix().contains("/sys/module/sfc/parameters/rx_ring"), "{}", one.fix());
        let coming = spoilt(|node| {
            *node = seen.clone();
            module_of(node, "sfc").state = ModuleState::Coming;
        });
        assert_eq!(differences(&coming), [], "it has not read them yet");
    }
}

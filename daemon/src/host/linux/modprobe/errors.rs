//! What modprobe and the kernel said, as a reason. The texts are those of kmod 28 and 30 and of
//! kernels 5.14 to 6.18; those that were seen are in reference/onload-measured.md sections 2 and 5.

use onload_core::inventory::{COMPANIONS, STACK};
use onload_core::names::ModuleName;
use onload_core::step::StepError;

/// Lines of the kernel that are shown to people, the last ones.
const SHOWN: usize = 3;

/// Why a module was not loaded: modprobe's answer says what kind of failure it was, the kernel's
/// lines of that moment say more where the answer is ambiguous.
pub(super) fn classify_load(module: &ModuleName, said: &str, log: &[String]) -> StepError {
    let module = module.clone();
    let log: Vec<&str> =
        log.iter().map(String::as_str).filter(|line| concerns(line, &module)).collect();
    let kernel = |parts: &[&str]| {
        log.iter().rev().find(|line| parts.iter().any(|part| line.contains(part))).copied()
    };
    // With an install line that is all that tells it from other failures; the words after it are
    // those of a missing symbol, and those of an invalid argument.
    if let Some(missing) = missing(said) {
        return StepError::NotFound { module: missing.parse().unwrap_or(module) };
    }
    let refused =
        ["oading of unsigned module", "oading of module with", "module loading is restricted"];
    let versions = ["disagrees about version", "no symbol version for", "version magic"];
    let parameters = ["invalid for parameter", "too large for parameter", "for parameter `"];
    let reason = reason(said);
    let detail = |line: Option<&str>| line.unwrap_or(reason).to_owned();
    match reason {
        "Key was rejected by service" | "Required key not available" | "Package not installed" => {
            StepError::KeyRejected { module }
        }
        "Operation not permitted" if kernel(&refused).is_some() => {
            StepError::KeyRejected { module }
        }
        "Exec format error" | "Invalid module format" | "Module has wrong symbol version" => {
            StepError::WrongKernel { module, detail: detail(kernel(&versions)) }
        }
        _ if reason.starts_with("Unknown symbol in module") => {
            StepError::UnknownSymbol { module, detail: detail(kernel(&["Unknown symbol"])) }
        }
        "Invalid argument" | "Module has invalid parameters" | "Numerical result out of range" => {
            if let Some(line) = kernel(&versions) {
                StepError::WrongKernel { module, detail: line.to_owned() }
            } else if let Some(line) = kernel(&parameters) {
                StepError::BadParameter { module, detail: line.to_owned() }
            } else if let Some(line) = kernel(&["Unknown symbol"]) {
                StepError::UnknownSymbol { module, detail: line.to_owned() }
            } else {
                failed("loaded", &module, reason, &log)
            }
        }
        _ => failed("loaded", &module, reason, &log),
    }
}

/// Why a module was not taken out.
pub(super) fn classify_unload(module: &ModuleName, said: &str) -> StepError {
    for line in said.lines() {
        // `Module sfc_resource is in use by: onload sfc_char`, `Module onload is in use.`
        let in_use = line.split_once("Module ").and_then(|(_, rest)| rest.split_once(" is in use"));
        if let Some((name, by)) = in_use {
            let by = by.strip_prefix(" by:").unwrap_or_default();
            let holders = by.split_whitespace().map(|name| name.trim_matches('.').to_owned());
            let module = name.parse().unwrap_or_else(|_| module.clone());
            return StepError::InUse { module, holders: holders.collect() };
        }
    }
    match reason(said) {
        "Resource temporarily unavailable" | "Device or resource busy" => {
            StepError::InUse { module: module.clone(), holders: Vec::new() }
        }
        reason => failed("unloaded", module, reason, &[]),
    }
}

/// Whether modprobe knows no such module, though it is loaded: it came from another tree.
pub(super) fn is_unlisted(said: &str) -> bool {
    missing(said).is_some()
}

/// The module that has no file.
fn missing(said: &str) -> Option<&str> {
    said.lines().find_map(|line| {
        if let Some((_, name)) = line.split_once("could not find module by name='") {
            return name.strip_suffix('\'');
        }
        let (_, rest) = line.split_once("Module ")?;
        let (name, rest) = rest.split_once(' ')?;
        rest.starts_with("not found").then_some(name)
    })
}

/// What went wrong: the end of modprobe's first `could not … NAME: REASON`, which is the innermost
/// where install lines call modprobe again; else the last line it printed.
fn reason(said: &str) -> &str {
    let first = said.lines().find_map(|line| {
        let (_, rest) = line.split_once("could not ")?;
        Some(rest.split_once(": ")?.1.trim())
    });
    let last = || said.lines().rev().map(str::trim).find(|line| !line.is_empty());
    first.or_else(last).unwrap_or("it gave no reason")
}

/// Whether a line of the kernel is about the load: it begins with a module of the stack, or speaks of
/// modules in general.
fn concerns(line: &str, module: &ModuleName) -> bool {
    let mut names = STACK.iter().chain(&COMPANIONS).copied().chain([module.as_str()]);
    let named = names.any(|name| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(':')));
    named || line.starts_with("Loading of ") || line.starts_with("Lockdown: ")
}

fn failed(what: &str, module: &ModuleName, reason: &str, log: &[&str]) -> StepError {
    let mut text = format!("module {module} was not {what}: {reason}");
    if let Some(shown) = log.get(log.len().saturating_sub(SHOWN)..).filter(|log| !log.is_empty()) {
        text += &format!(" (the kernel: {})", shown.join("; "));
    }
    StepError::Failed(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One word for each kind, so that a table is readable.
    fn kind(error: &StepError) -> &'static str {
        match error {
            StepError::NotFound { .. } => "not-found",
            StepError::KeyRejected { .. } => "key",
            StepError::InUse { .. } => "in-use",
            StepError::WrongKernel { .. } => "kernel",
            StepError::UnknownSymbol { .. } => "symbol",
            StepError::BadParameter { .. } => "parameter",
            StepError::Failed(_) => "failed",
            StepError::Unsupported(_)
            | StepError::Unregistered { .. }
            | StepError::Stuck { .. } => "never",
        }
    }

    fn onload() -> ModuleName {
        "onload".parse().unwrap()
    }

    #[test]
    fn every_refusal_of_a_load_has_its_reason() {
        let insert = |reason| format!("modprobe: ERROR: could not insert 'onload': {reason}\n");
        let symbol = "Unknown symbol in module, or unknown parameter (see dmesg)";
        let install = format!(
            "modprobe: ERROR: ../libkmod/libkmod-module.c:895 kmod_module_insert_module() could not find module by name='onload'\n\
             {}modprobe: ERROR: ../libkmod/libkmod-module.c:1047 command_do() Error running install command '/sbin/modprobe --ignore-install onload ' for module onload: retcode 1\n{}",
            insert(symbol),
            insert("Invalid argument")
        );
        let inner =
            format!("{}{}", insert("Key was rejected by service"), insert("Invalid argument"));
        let table = [
            (
                "modprobe: FATAL: Module onload not found in directory /lib/modules/6.1.0\n"
                    .to_owned(),
                "",
                "not-found",
            ),
            ("modprobe: FATAL: Module onload not found.\n".to_owned(), "", "not-found"),
            (install, "", "not-found"),
            (
                insert("Key was rejected by service"),
                "Loading of module with unavailable key is rejected",
                "key",
            ),
            (
                insert("Key was rejected by service"),
                "Loading of unsigned module is rejected",
                "key",
            ),
            (insert("Required key not available"), "", "key"),
            (
                insert("Package not installed"),
                "Loading of module with unsupported crypto is rejected",
                "key",
            ),
            (
                insert("Operation not permitted"),
                "Lockdown: modprobe: unsigned module loading is restricted; see man kernel_lockdown.7",
                "key",
            ),
            (insert("Operation not permitted"), "", "failed"),
            (inner, "", "key"),
            (
                insert("Exec format error"),
                "onload: version magic '6.0 SMP' should be '6.1 SMP'",
                "kernel",
            ),
            (
                insert("Exec format error"),
                "onload: disagrees about version of symbol module_layout",
                "kernel",
            ),
            (insert("Invalid module format"), "", "kernel"),
            (
                insert("Invalid argument"),
                "sfc_char: disagrees about version of symbol efrm_x",
                "kernel",
            ),
            (insert(symbol), "onload: Unknown symbol efrm_nic_get (err -2)", "symbol"),
            (insert(symbol), "", "symbol"),
            (insert("Invalid argument"), "onload: Unknown symbol x (err -22)", "symbol"),
            (
                insert("Invalid argument"),
                "onload: `many' invalid for parameter `epoll_max_stacks'",
                "parameter",
            ),
            (
                insert("Numerical result out of range"),
                "onload: `9e9' invalid for parameter `epoll_max_stacks'",
                "parameter",
            ),
            (insert("Invalid argument"), "onload: unknown parameter 'num_viz' ignored", "failed"),
            (insert("Invalid argument"), "eth0: `x' invalid for parameter `y'", "failed"),
            (insert("No such device"), "", "failed"),
            (insert("Cannot allocate memory"), "", "failed"),
            (insert("File exists"), "", "failed"),
            (String::new(), "", "failed"),
        ];
        for (said, line, expected) in table {
            let log: Vec<String> =
                Some(line.to_owned()).into_iter().filter(|l| !l.is_empty()).collect();
            let error = classify_load(&onload(), &said, &log);
            assert_eq!(kind(&error), expected, "{said} {line}: {error}");
        }
    }

    #[test]
    fn the_kernels_words_are_shown_where_there_are_some() {
        let said = "modprobe: ERROR: could not insert 'onload': Exec format error\n";
        let log = ["sfc: link up", "onload: version magic 'a' should be 'b'", "eth0: up"];
        let log = log.map(str::to_owned);
        let error = classify_load(&onload(), said, &log);
        let expected = "onload: version magic 'a' should be 'b'";
        assert!(
            matches!(&error, StepError::WrongKernel { detail, .. } if detail == expected),
            "{error}"
        );
        let error = classify_load(
            &onload(),
            "modprobe: ERROR: could not insert 'onload': No such device\n",
            &log,
        );
        let expected = "module onload was not loaded: No such device (the kernel: sfc: link up; \
            onload: version magic 'a' should be 'b')";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_missing_dependency_is_named_itself() {
        let said = "modprobe: FATAL: Module mtd not found in directory /lib/modules/6.1.0\n";
        let StepError::NotFound { module } = classify_load(&onload(), said, &[]) else {
            panic!("it is not found")
        };
        assert_eq!(module.as_str(), "mtd");
    }

    #[test]
    fn every_refusal_of_an_unload_has_its_reason() {
        let table = [
            ("rmmod: ERROR: Module sfc_resource is in use by: onload sfc_char\n", "in-use", 2),
            ("modprobe: FATAL: Module onload is in use.\n", "in-use", 0),
            ("rmmod: ERROR: Module onload is in use\n", "in-use", 0),
            (
                "modprobe: ERROR: could not remove 'onload': Resource temporarily unavailable\n",
                "in-use",
                0,
            ),
            (
                "rmmod: ERROR: could not remove module onload: Device or resource busy\n",
                "in-use",
                0,
            ),
            ("rmmod: ERROR: could not remove 'onload': Operation not permitted\n", "failed", 0),
            ("modprobe: FATAL: Module onload is builtin.\n", "failed", 0),
        ];
        for (said, expected, number) in table {
            let error = classify_unload(&onload(), said);
            assert_eq!(kind(&error), expected, "{said}: {error}");
            if let StepError::InUse { holders, .. } = error {
                assert_eq!(holders.len(), number, "{said}");
            }
        }
        let error = classify_unload(&onload(), "modprobe: FATAL: Module sfc_char is in use.\n");
        assert!(error.to_string().contains("sfc_char"), "the one that is: {error}");
    }
}

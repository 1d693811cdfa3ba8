//! What onloadd says of the node and has no condition for: signatures, libraries, names, ports.

use super::Check;

/// What the running kernel would say to a module of a release.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signature {
    /// The module.
    pub module: String,
    /// trusted, refused, tainted or unknown.
    pub verdict: String,
    /// Why.
    pub why: String,
    /// What to do; empty where nothing is to be done.
    pub fix: String,
}

/// Whether the kernel takes the modules of a release. `secure_boot`: its state in a word; `loaded`:
/// whether that release is what is loaded.
pub fn signatures(
    secure_boot: &str,
    release: Option<&str>,
    loaded: bool,
    signatures: &[Signature],
) -> Check {
    const OF_WHOM: &str = "`onloadctl keys status` says whom this machine trusts";
    let check = |looked: String| Check::new("signatures", "signatures of modules", looked);
    let state = format!("secure boot {secure_boot}");
    let Some(release) = release else {
        return check(state).skip("no release is loaded or wanted");
    };
    if signatures.is_empty() {
        return check(format!("{state}, {release}"))
            .skip("it has no modules for the running kernel");
    }
    let told: Vec<_> =
        signatures.iter().map(|one| format!("{} {}", one.module, one.verdict)).collect();
    let check = check(format!("{state}, {release}: {}", told.join(", ")));
    let first = |word: &str| signatures.iter().find(|one| one.verdict == word);
    let fix = |one: &Signature| {
        if one.fix.is_empty() { OF_WHOM.to_owned() } else { one.fix.clone() }
    };
    if let Some(one) = first("refused") {
        let why = format!("{}: {}", one.module, one.why);
        return if loaded {
            check.fail(format!("what is loaded would be refused at its next load: {why}"), fix(one))
        } else {
            check.blocked(format!("this kernel would refuse it: {why}"), fix(one))
        };
    }
    // With Secure Boot, whoever set it up meant signatures to count.
    let tainted = first("tainted").filter(|_| secure_boot == "enabled");
    match first("unknown").or(tainted) {
        Some(one) => check.warn(format!("{}: {}", one.module, one.why), fix(one)),
        None => check,
    }
}

/// Whether some release has libraries for the loaded driver: name and yes, no or unknown of each.
/// `loaded`: the release that is loaded.
pub fn libraries(loaded: Option<&str>, releases: &[(String, String)]) -> Check {
    let told: Vec<_> = releases.iter().map(|(name, fits)| format!("{name}: {fits}")).collect();
    let check = Check::new("libraries", "libraries match the driver", told.join(", "));
    let fits = |word: &str| releases.iter().any(|(_, its)| its == word);
    if fits("yes") {
        return check;
    }
    if !fits("no") {
        return check.skip("no driver is loaded to compare them with, or it does not say");
    }
    let whose = loaded.unwrap_or("the loaded driver");
    check.fail(
        format!("no library on this node fits {whose}: every new socket of a program fails"),
        "install modules and libraries of one release, or `onloadctl release use` one that has both",
    )
}

/// What stands against the names of ports: what does not hold or why it is not so, and what to do.
pub fn names(ports: usize, against: &[(String, String)]) -> Check {
    let looked = format!("{ports} ports, {} remarks", against.len());
    let check = Check::new("names", "names as configured", looked);
    if ports == 0 {
        return Check { looked: String::new(), ..check };
    }
    match against.first() {
        Some((why, fix)) => check.warn(why.clone(), fix.clone()),
        None => Check { looked: format!("{ports} ports, nothing against their names"), ..check },
    }
}

/// Ports as they stand: address, driver and where that was built, why Onload cannot accelerate it.
/// What is wanted there is the condition's to say; where nothing is, an obstacle is worth knowing.
pub fn ports(ports: &[(String, String, Option<String>)]) -> Check {
    let told: Vec<_> =
        ports.iter().map(|(address, driver, _)| format!("{address} {driver}")).collect();
    let check = Check::new("ports", "drivers bound to ports", told.join(", "));
    let obstacle = ports.iter().find_map(|(_, _, obstacle)| obstacle.as_ref());
    match obstacle {
        Some(why) => check.warn(
            why.clone(),
            "where Onload shall be used, name a release in [modules] of the configuration",
        ),
        None => check,
    }
}

/// What a resource that is not at a kubelet means: a fault where there is one. `socket`: whether its
/// socket is on this machine.
pub fn kubelet(check: Check, socket: bool) -> Check {
    if check.verdict == super::Verdict::Warn && socket {
        return Check {
            verdict: super::Verdict::Fail,
            fix: Some(
                "see `journalctl -u onloadd -u kubelet` for what either says of it".to_owned(),
            ),
            ..check
        };
    }
    check
}

#[cfg(test)]
mod tests {
    use super::super::Verdict::{Blocked, Fail, Pass, Skip, Warn};
    use super::*;

    #[test]
    fn signatures_count_as_much_as_this_machine_lets_them() {
        let one = |verdict: &str| Signature {
            module: "onload".to_owned(),
            verdict: verdict.to_owned(),
            why: "its key is not enrolled".to_owned(),
            fix: String::new(),
        };
        let cases = [
            ("trusted", "enabled", true, Pass),
            ("refused", "enabled", true, Fail),
            ("refused", "enabled", false, Blocked),
            ("tainted", "enabled", true, Warn),
            ("tainted", "disabled", true, Pass),
            ("tainted", "not-applicable", true, Pass),
            ("unknown", "disabled", true, Warn),
        ];
        for (word, state, loaded, verdict) in cases {
            let all = [one("trusted"), one(word)];
            let check = signatures(state, Some("9.2.1"), loaded, &all);
            assert_eq!(check.verdict, verdict, "{word} with secure boot {state}");
            assert_eq!(check.fix.is_some(), verdict != Pass, "{word}");
        }
        assert_eq!(signatures("enabled", None, false, &[]).verdict, Skip);
        assert_eq!(signatures("enabled", Some("in-tree"), true, &[]).verdict, Skip);
    }

    #[test]
    fn one_release_with_libraries_for_the_driver_is_enough() {
        let of = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, fits)| ((*name).to_owned(), (*fits).to_owned())).collect()
        };
        let cases = [
            (of(&[("host", "yes"), ("9.1.0", "no")]), Pass),
            (of(&[("host", "no"), ("9.1.0", "unknown")]), Fail),
            (of(&[("host", "unknown")]), Skip),
            (of(&[]), Skip),
        ];
        for (releases, verdict) in cases {
            assert_eq!(libraries(Some("host"), &releases).verdict, verdict, "{releases:?}");
        }
    }

    #[test]
    fn names_and_ports_are_told_with_the_first_thing_against_them() {
        assert_eq!(names(0, &[]).verdict, Pass);
        assert_eq!(names(2, &[]).looked, "2 ports, nothing against their names");
        let against = [("eno1 has it".to_owned(), "choose another".to_owned())];
        assert_eq!(names(2, &against).verdict, Warn);
        let port = |obstacle: Option<&str>| {
            let told = obstacle.map(str::to_owned);
            ("0000:3b:00.0".to_owned(), "sfc (in-tree)".to_owned(), told)
        };
        assert_eq!(ports(&[port(None)]).verdict, Pass);
        let check = ports(&[port(None), port(Some("the kernel's own driver is bound"))]);
        assert_eq!(check.verdict, Warn);
        assert_eq!(check.looked, "0000:3b:00.0 sfc (in-tree), 0000:3b:00.0 sfc (in-tree)");
    }

    #[test]
    fn a_kubelet_that_is_there_and_does_not_know_the_resource_is_a_fault() {
        let warned = Check::new("kubelet", "", "").warn("onload", "f");
        assert_eq!(kubelet(warned.clone(), false).verdict, Warn);
        assert_eq!(kubelet(warned, true).verdict, Fail);
        assert_eq!(kubelet(Check::new("kubelet", "", ""), true).verdict, Pass);
    }
}

//! By which rule a kernel decides: which of its rings count for modules, and what it does with those
//! that nobody trusted has signed.

use crate::names::KernelRelease;

/// A rule that was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// `.builtin_trusted_keys` counts.
    Builtin,
    /// `.secondary_trusted_keys` counts.
    Secondary,
    /// `.machine` counts: it hangs on the former.
    Machine,
    /// `.platform` counts, by a patch of the distribution.
    Platform(Family),
    /// `.platform` does not.
    PlatformUnused,
    /// There is no `.machine`, or it hangs on nothing.
    NoMachine,
    /// Shim's keys are not trusted for `.machine`.
    MokUntrusted,
    /// Only authorities get into `.machine`.
    Authorities,
    /// Only authorities that sign nothing but certificates do.
    PureAuthorities,
    /// `db` is not read.
    DbIgnored,
    /// Keys of the firmware and of shim are not read.
    NothingRead,
    /// They are not, because the kernel does not call the firmware.
    NoRunTime,
    /// What is not trusted is refused: `sig_enforce`.
    SigEnforce,
    /// What is not trusted is refused: lockdown.
    Lockdown,
    /// What is not trusted is taken, and taints.
    NotEnforced,
    /// Signatures are not looked at.
    Unchecked,
    /// It is refused whether or not signatures are enforced.
    Always,
}

impl Rule {
    /// It, in one sentence.
    pub fn sentence(self) -> String {
        match self {
            Self::Builtin => "this kernel trusts the keys that are compiled into it".to_owned(),
            Self::Secondary => {
                "this kernel trusts the keys in .secondary_trusted_keys for modules".to_owned()
            }
            Self::Machine => {
                "this kernel trusts the keys in .machine for modules: it hangs on .secondary_trusted_keys".to_owned()
            }
            Self::Platform(family) => format!(
                "kernels of {} trust the keys in .platform, of firmware and shim, for modules",
                family.name()
            ),
            Self::PlatformUnused => {
                "kernels as kernel.org has them do not trust the keys in .platform for modules".to_owned()
            }
            Self::NoMachine => {
                "this kernel has no .machine ring that counts for modules".to_owned()
            }
            Self::MokUntrusted => {
                "shim's keys go to .machine only when shim says so (MokListTrustedRT), and it does not".to_owned()
            }
            Self::Authorities => {
                "this kernel takes only authorities (CA:TRUE, keyCertSign) into .machine".to_owned()
            }
            Self::PureAuthorities => {
                "this kernel takes only authorities (CA:TRUE, keyCertSign, not digitalSignature) into .machine".to_owned()
            }
            Self::DbIgnored => {
                "shim was told to ignore the firmware's db, so the kernel does not read it".to_owned()
            }
            Self::NothingRead => {
                "this kernel has not read the keys of firmware and shim".to_owned()
            }
            Self::NoRunTime => {
                "this kernel runs without the firmware's services (efi=noruntime), so it has not read the keys of firmware and shim".to_owned()
            }
            Self::SigEnforce => {
                "this kernel refuses modules that are not signed by a trusted key (sig_enforce)".to_owned()
            }
            Self::Lockdown => {
                "this kernel is locked down and refuses modules that are not signed by a trusted key".to_owned()
            }
            Self::NotEnforced => {
                "this kernel takes any module, and is tainted by those that are not signed by a trusted key".to_owned()
            }
            Self::Unchecked => "this kernel does not look at signatures of modules".to_owned(),
            Self::Always => {
                "kernels refuse this even where signatures are not enforced".to_owned()
            }
        }
    }
}

/// Whose kernel it is, as far as that changes what is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// Red Hat Enterprise Linux, what is built from it, and Fedora
    /// (`reference/secure-boot-mok.md` section 5).
    RedHat,
    /// Debian, with the same patch (its bugs 935945 and 1030200).
    Debian,
    /// Ubuntu, with the same patch ("SAUCE: (lockdown)").
    Ubuntu,
    /// SUSE, with the same patch, and one that looks at what a key was made for.
    Suse,
    /// As kernel.org has it.
    Upstream,
    /// Nothing says whose it is, or what it was patched with.
    Unclear,
}

impl Family {
    /// As the release says. Distributions have their ways of naming their kernels, and a number alone
    /// is a kernel that somebody built as it came.
    pub fn of(kernel: &KernelRelease) -> Self {
        let release = kernel.as_str();
        let words: Vec<&str> = release.split(['.', '-', '_', '+']).collect();
        let last = words.last().copied().unwrap_or_default();
        let has = |wanted: &[&str]| words.iter().any(|word| wanted.contains(word));
        let numbered = |prefix: &str| {
            words.iter().any(|word| {
                let rest = word.strip_prefix(prefix).unwrap_or_default();
                rest.starts_with(|first: char| first.is_ascii_digit())
                    && rest.bytes().all(|byte| byte.is_ascii_digit())
            })
        };
        // ELRepo builds kernels as they come for systems of the Red Hat family.
        if has(&["elrepo"]) {
            Self::Upstream
        } else if numbered("el") || numbered("fc") || numbered("eln") {
            Self::RedHat
        } else if release.contains('-') && ["amd64", "arm64"].contains(&last) {
            Self::Debian
        } else if has(&["generic", "lowlatency"]) {
            Self::Ubuntu
        } else if release.contains('-') && last == "default" {
            Self::Suse
        } else if as_it_came(release) {
            Self::Upstream
        } else {
            Self::Unclear
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::RedHat => "the Red Hat family",
            Self::Debian => "Debian",
            Self::Ubuntu => "Ubuntu",
            Self::Suse => "SUSE",
            Self::Upstream => "kernel.org",
            Self::Unclear => "this distribution",
        }
    }
}

/// Numbers, and at most `-rcN` and the `+` of a tree with changes behind them.
fn as_it_came(release: &str) -> bool {
    let release = release.strip_suffix('+').unwrap_or(release);
    let (numbers, candidate) = release.split_once("-rc").unwrap_or((release, "0"));
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    numbers.split('.').all(number) && number(candidate)
}

/// The first two numbers of a release; none where it does not begin with them.
pub(super) fn version(kernel: &KernelRelease) -> Option<(u32, u32)> {
    let mut numbers = kernel.as_str().split(|letter: char| !letter.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_say_whose_they_are() {
        for (release, family, numbers) in [
            ("5.14.0-503.11.1.el9_5.x86_64", Family::RedHat, Some((5, 14))),
            ("4.18.0-553.el8_10.x86_64+debug", Family::RedHat, Some((4, 18))),
            ("6.12.0-55.9.1.el10_0.aarch64", Family::RedHat, Some((6, 12))),
            ("6.11.4-301.fc41.x86_64", Family::RedHat, Some((6, 11))),
            ("6.10.1-1.el9.elrepo.x86_64", Family::Upstream, Some((6, 10))),
            ("5.15.0-100.96.32.el9uek.x86_64", Family::Unclear, Some((5, 15))),
            ("6.1.0-13-amd64", Family::Debian, Some((6, 1))),
            ("6.1.0-13-cloud-arm64", Family::Debian, Some((6, 1))),
            ("6.8.0-45-generic", Family::Ubuntu, Some((6, 8))),
            ("6.4.0-150600.23.7-default", Family::Suse, Some((6, 4))),
            ("6.1.109-118.189.amzn2023.x86_64", Family::Unclear, Some((6, 1))),
            ("6.12.0", Family::Upstream, Some((6, 12))),
            ("7.0.0-rc3+", Family::Upstream, Some((7, 0))),
            ("6.12.0-mine", Family::Unclear, Some((6, 12))),
            ("6.12.0-elephant", Family::Unclear, Some((6, 12))),
            ("mine", Family::Unclear, None),
            ("99999999999.1", Family::Upstream, None),
        ] {
            let kernel: KernelRelease = release.parse().unwrap();
            assert_eq!((Family::of(&kernel), version(&kernel)), (family, numbers), "{release}");
        }
    }
}

//! Whether the host's `modprobe.d` has a say in how a module is taken out. Where it has none,
//! `modprobe -r` would do nothing but look for a file that a release's own tree has and the host's
//! has not, and then fail.

use onload_core::names::ModuleName;
use onload_core::reading::Reading;

use super::super::modprobe_d;
use super::super::root::Dir;

/// Lines that bear on a removal; `install`, `options` and `blacklist` bear on loads alone.
const WORDS: [&str; 3] = ["remove", "softdep", "alias"];
/// Whether a line bears on the removal of a module, or cannot be ruled out to.
pub(super) fn is_configured(root: &Dir, module: &ModuleName) -> bool {
    match modprobe_d::files(root) {
        Reading::Known(files) => files.iter().any(|(_, text)| speaks_of(text, module)),
        Reading::Absent => false,
        Reading::Unreadable(_) => true,
    }
}

fn speaks_of(text: &str, module: &ModuleName) -> bool {
    let module = module.as_str().replace('-', "_");
    text.lines().any(|line| {
        let mut words = line.split_whitespace();
        let bears = words.next().is_some_and(|word| WORDS.contains(&word));
        let mut subject = words.next().filter(|_| bears).into_iter();
        // A pattern may be of any module.
        subject.any(|name| name.contains(['*', '?', '[']) || name.replace('-', "_") == module)
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::root::tests::root_with;
    use super::*;

    fn is_configured_by(file: &str, text: &str) -> bool {
        let (_place, root) = root_with(&[(file, text)]);
        is_configured(&root, &"sfc_char".parse().unwrap())
    }

    #[test]
    fn a_line_about_the_removal_of_the_module_counts_wherever_it_stands() {
        for directory in modprobe_d::DIRECTORIES {
            let file = format!("{directory}/site.conf");
            assert!(
                is_configured_by(&file, "# ours\n  remove sfc_char /bin/true\n"),
                "{directory}"
            );
        }
        for line in [
            "remove sfc-char /bin/true",
            "remove \\\nsfc_char /bin/true",
            "softdep sfc_char post: other",
            "alias sfc_char other",
            "remove sfc* /bin/true",
        ] {
            assert!(is_configured_by("etc/modprobe.d/site.conf", line), "{line}");
        }
    }

    #[test]
    fn no_other_line_counts() {
        for line in [
            "remove sfc /bin/true",
            "install sfc_char /bin/true",
            "options sfc_char x=1",
            "blacklist sfc_char",
            "# remove sfc_char /bin/true",
            "remove",
        ] {
            assert!(!is_configured_by("etc/modprobe.d/site.conf", line), "{line}");
        }
        assert!(!is_configured_by("etc/modprobe.d/site.conf.bak", "remove sfc_char /bin/true"));
        assert!(!is_configured_by("etc/other.conf", "remove sfc_char /bin/true"));
    }
}

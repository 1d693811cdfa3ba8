//! What modules are to be loaded with: the `options` lines of `modprobe.d(5)`, and the kernel's
//! command line, in the order in which modprobe passes them on; of two the last counts.

use onload_core::inventory::STACK;
use onload_core::names::ModuleName;
use onload_core::parameters::{Asked, Options};
use onload_core::reading::Reading;

use super::root::Dir;
use super::{attribute, modprobe_d};

/// The kernel takes 2 KiB on x86-64, and up to 64 KiB elsewhere.
const COMMAND_LINE_BYTES: usize = 64 << 10;
const COMMAND_LINE: &str = "proc/cmdline";

/// Every option of the modules of [`STACK`].
pub(super) fn read(root: &Dir) -> Reading<Options> {
    let files = match modprobe_d::files(root) {
        Reading::Known(files) => files,
        Reading::Absent => Vec::new(),
        Reading::Unreadable(why) => return Reading::Unreadable(why),
    };
    let mut options = Options::new();
    for (path, text) in &files {
        of_file(text, path, &mut options);
    }
    let line = root.read(COMMAND_LINE, COMMAND_LINE_BYTES).and_then(attribute::text);
    for word in words(line.known().map_or("", String::as_str)) {
        if let Some((module, parameter)) = word.split_once('.')
            && !module.contains('=')
        {
            add(module, parameter, "the kernel's command line", &mut options);
        }
    }
    Reading::Known(options)
}

fn of_file(text: &str, path: &str, options: &mut Options) {
    let by = format!("/{path}");
    for line in text.lines().map(str::trim_start).filter(|line| !line.starts_with('#')) {
        let Some(rest) = line.strip_prefix("options") else { continue };
        let Some((module, rest)) = rest
            .strip_prefix([' ', '\t'])
            .map(str::trim_start)
            .and_then(|rest| rest.split_once([' ', '\t']))
        else {
            continue;
        };
        words(rest).into_iter().for_each(|word| add(module, &word, &by, options));
    }
}

/// Adds `PARAMETER[=VALUE]`.
fn add(module: &str, word: &str, by: &str, options: &mut Options) {
    let module = module.replace('-', "_");
    let Some(module) = STACK.contains(&module.as_str()).then(|| module.parse::<ModuleName>().ok())
    else {
        return;
    };
    let (name, value) = match word.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (word, None),
    };
    // The kernel takes both for one (`parameq`).
    let name = name.replace('-', "_");
    if let Some(module) = module.filter(|_| !name.is_empty()) {
        let asked = Asked { value, by: by.to_owned() };
        options.entry(module).or_default().insert(name, asked);
    }
}

/// Words as the kernel splits them (`next_arg`): at blanks outside double quotes, which themselves
/// go where they stand around a value or the whole.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for letter in text.chars() {
        match letter {
            '"' => quoted = !quoted,
            letter if letter.is_ascii_whitespace() && !quoted => {
                words.push(std::mem::take(&mut word));
            }
            letter => word.push(letter),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::root::tests::root_with;
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let (_place, root) = root_with(files);
        lines(read(&root))
    }

    fn lines(options: Reading<Options>) -> Vec<String> {
        let options = options.into_known().unwrap().into_iter();
        let lines = options.flat_map(|(module, parameters)| {
            parameters.into_iter().map(move |(name, asked)| {
                let value = asked.value.map(|value| format!("={value}")).unwrap_or_default();
                format!("{module} {name}{value} by {}", asked.by)
            })
        });
        lines.collect()
    }

    #[test]
    fn lines_are_read_as_modprobe_reads_them() {
        let text = "# options sfc a=1\n\
            blacklist sfc\n\
            options mtd x=1\n\
            \toptions\t sfc   rx-ring=0x400 \\\ntx_ring=7 enable_vswitch\n\
            options sfc-resource name=\"a b\" \"other=c d\"\n\
            optionssfc b=1\n\
            options sfc\n";
        let by = "by /etc/modprobe.d/a.conf";
        assert_eq!(
            found(&[("etc/modprobe.d/a.conf", text)]),
            [
                format!("sfc enable_vswitch {by}"),
                format!("sfc rx_ring=0x400 {by}"),
                format!("sfc tx_ring=7 {by}"),
                format!("sfc_resource name=a b {by}"),
                format!("sfc_resource other=c d {by}"),
            ]
        );
    }

    #[test]
    fn the_last_by_name_counts_and_the_first_directory_masks() {
        let found = found(&[
            ("lib/modprobe.d/z.conf", "options sfc a=lib b=lib\n"),
            ("usr/lib/modprobe.d/m.conf", "options sfc a=usr c=usr\n"),
            ("run/modprobe.d/m.conf", "options sfc a=run\n"),
            ("etc/modprobe.d/b.conf", "options sfc a=etc b=etc d=etc\n"),
            ("etc/modprobe.d/c.txt", "options sfc e=none\n"),
            ("proc/cmdline", "quiet sfc.d=7 sfc.list=\"1 2\" x=sfc.e=1 modprobe.blacklist=y\n"),
        ]);
        assert_eq!(
            found,
            [
                "sfc a=lib by /lib/modprobe.d/z.conf",
                "sfc b=lib by /lib/modprobe.d/z.conf",
                "sfc d=7 by the kernel's command line",
                "sfc list=1 2 by the kernel's command line",
            ]
        );
    }

    #[test]
    fn a_host_without_options_asks_for_nothing_and_a_masked_file_too() {
        assert_eq!(found(&[]), [""; 0]);
        let (place, root) = root_with(&[
            ("lib/modprobe.d/a.conf", "options sfc a=1\n"),
            ("etc/modprobe.d/b.conf", ""),
        ]);
        symlink("/dev/null", place.path().join("etc/modprobe.d/a.conf")).unwrap();
        assert_eq!(lines(read(&root)), [""; 0]);
    }
}

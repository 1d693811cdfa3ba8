//! Gives back the pages of the program that only its start needed.
//!
//! The kernel maps sixteen pages for each that is touched, and a start touches code all over the
//! program, so that all of it stays resident in a process that then waits. What waiting and work
//! need comes back from the page cache as it is used.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::ptr;

use rustix::mm::{Advice, madvise};

/// The table of this process's mappings (proc_pid_maps(5)).
const MAPS: &str = "/proc/self/maps";
const PROGRAM: &str = "/proc/self/exe";
/// Rights of code: never written, so that no page of it differs from the file.
const CODE: &str = "r-xp";

/// Unmaps the pages of this program's code.
///
/// # Errors
/// What the kernel answered; nothing is changed by it.
pub fn give_back_code() -> io::Result<()> {
    let program = fs::read_link(PROGRAM)?;
    let maps = fs::read_to_string(MAPS)?;
    for mapping in maps.lines().filter_map(|line| code(line, &program)) {
        // SAFETY: the pages are a private mapping of a file that may be read and executed and not
        // written, so each is the file's own, and reading or running it maps that again.
        #[allow(unsafe_code, reason = "the advice is sound for such pages alone")]
        unsafe {
            let start = ptr::with_exposed_provenance_mut(mapping.start);
            madvise(start, mapping.len(), Advice::LinuxDontNeed)?;
        }
    }
    Ok(())
}

/// The range of a line, where it is code of this file.
fn code(line: &str, program: &Path) -> Option<Range<usize>> {
    let mut fields = line.split_ascii_whitespace();
    let (range, rights) = (fields.next()?, fields.next()?);
    let (start, end) = range.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    let range = address(start)?..address(end)?;
    let of_the_program = Path::new(line.get(line.find('/')?..)?) == program;
    (rights == CODE && of_the_program && !range.is_empty()).then_some(range)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot set up must fail")]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_the_program_is_meant() {
        let program = Path::new("/opt/a b/onloadd (deleted)");
        let line = |rights: &str, path: &str| {
            format!("55aa00001000-55aa00003000 {rights} 00001000 fd:00 7   {path}")
        };
        let code = |line: &str| code(line, program);
        let ours = program.to_str().unwrap();
        assert_eq!(code(&line("r-xp", ours)), Some(0x55aa_0000_1000..0x55aa_0000_3000));
        for rights in ["r--p", "rw-p", "rwxp", "r-xs"] {
            assert_eq!(code(&line(rights, ours)), None, "{rights}");
        }
        assert_eq!(code(&line("r-xp", "/usr/lib64/libc.so.6")), None, "a library");
        assert_eq!(code(&line("r-xp", "[vdso]")), None);
        for broken in ["", "7f00-7f00 r-xp 0 fd:00 7 /x", "x-y r-xp 0 fd:00 7 /x", "7f00 r-xp"] {
            assert_eq!(code(broken), None, "{broken}");
        }
    }

    #[test]
    fn the_program_goes_on() {
        let resident = || {
            let status = fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("RssFile:")).unwrap();
            line.trim_end_matches(" kB").trim().parse::<u64>().unwrap()
        };
        let before = resident();
        give_back_code().unwrap();
        assert!(resident() < before, "{before} KiB of files before");
    }
}

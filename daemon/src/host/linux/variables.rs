//! Variables of the firmware, written by a run of our own program that may do what the daemon may
//! not: see [`crate::variables`].

use std::io;
use std::path::PathBuf;

use onload_core::refusal::{Refusal, RefusalKind};
use onload_core::secure_boot::request::write::Write;
use onload_core::step::StepError;

use super::Linux;
use super::runner::{Confined, Ended, Program};
use super::source::Source;
use crate::variables::{ARGUMENT, EFIVARS, NOT_WRITTEN, encode, said};

/// CAP_LINUX_IMMUTABLE clears the flag that guards a variable, CAP_DAC_OVERRIDE opens one whose mode
/// somebody has changed; numbers of `linux/capability.h`.
const CAPABILITIES: u64 = 1 << 9 | 1 << 1;
/// What the kernel adds to the name of a running program whose file was replaced.
const REPLACED: &str = " (deleted)";

impl Linux {
    /// Has shim's variables written; see [`Host::write_variables`](crate::host::Host).
    pub(super) async fn have_written(&self, writes: &[Write]) -> Result<(), Refusal> {
        if matches!(self.source, Source::Recorded) {
            return Err(self.not_here(NOT_WRITTEN));
        }
        let confined = Confined {
            input: encode(writes)?,
            file: own_file().map_err(|error| unknown(&error.to_string()))?,
            capabilities: CAPABILITIES,
            writable: vec![EFIVARS.to_owned()],
            network: false,
        };
        answer(self.programs.run_confined(&program(), &confined).await)
    }
}

fn program() -> Program {
    Program {
        unit: "onloadd-write-variables.service".to_owned(),
        description: "Ask shim for onloadd to change its keys".to_owned(),
        name: "onloadd",
        arguments: vec![ARGUMENT.to_owned()],
        environment: Vec::new(),
        path: Vec::new(),
    }
}

/// The file of the running program, or what an upgrade has put in its place.
pub(super) fn own_file() -> io::Result<String> {
    in_place(std::env::current_exe()?).ok_or_else(|| io::Error::other("its file is not there"))
}

fn in_place(file: PathBuf) -> Option<String> {
    let text = file.to_str()?;
    let named = text.strip_suffix(REPLACED).filter(|_| !file.exists()).unwrap_or(text);
    Some(named.to_owned())
}

fn answer(ended: Result<Ended, StepError>) -> Result<(), Refusal> {
    match ended {
        Ok(Ended { success: true, .. }) => Ok(()),
        Ok(Ended { success: false, output }) => {
            Err(said(&output).unwrap_or_else(|| unknown(output.trim())))
        }
        Err(StepError::Unsupported(why)) => {
            let fix = "run onloadd as a service of systemd, as it is installed";
            Err(Refusal::new(RefusalKind::Unsupported, NOT_WRITTEN, why, fix))
        }
        // How far it came, nobody knows; to look is what is left.
        Err(error @ StepError::Stuck { .. }) => Err(Refusal::new(
            RefusalKind::Internal,
            "it is not known whether a request to shim was written",
            error.to_string(),
            "see what shim would be asked (`onloadctl keys status`), and the kernel's log",
        )),
        Err(error) => Err(unknown(&error.to_string())),
    }
}

/// The program did not get as far as to say why.
fn unknown(why: &str) -> Refusal {
    let why = match why {
        "" => "the program that writes variables ended without a word",
        why => why,
    };
    let fix = "restart onloadd, if it was upgraded since it was started; else see \
               `journalctl -u onloadd-write-variables.service`";
    Refusal::new(RefusalKind::Internal, NOT_WRITTEN, why, fix)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::super::tests::{places, runtime};
    use super::super::{Linux, Runner};
    use super::*;
    use crate::host::Host as _;

    #[test]
    fn nothing_that_is_written_is_told_to_anybody() {
        const SECRET: &str = "correct horse battery staple";
        // This program is run, which knows no such argument and touches nothing.
        let linux = Linux::open(places(Path::new("/"))).unwrap().with_runner(Runner::Direct);
        let write =
            |name: &str| Write { name: name.to_owned(), data: Some(SECRET.as_bytes().to_vec()) };
        let log = tempfile::NamedTempFile::new().unwrap();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(Arc::new(log.reopen().unwrap()))
            .finish();
        let refusals = tracing::subscriber::with_default(subscriber, || {
            let both = [vec![write("MokAuth")], vec![write("MokAuth"), write("MokPW")]];
            both.map(|writes| runtime().block_on(linux.write_variables(&writes)).unwrap_err())
        });
        assert_eq!(refusals.clone().map(|one| one.kind), {
            [RefusalKind::Internal, RefusalKind::InvalidArgument]
        });
        assert!(refusals[0].why.contains("write-variables"), "it was run: {}", refusals[0]);
        let log = std::fs::read_to_string(log.path()).unwrap();
        assert!(log.contains("a program failed"), "the log is read: {log}");
        let numbers: Vec<_> = SECRET.bytes().take(6).map(|byte| byte.to_string()).collect();
        let told = format!("{log} {refusals:?} {:?}", write("MokAuth"));
        for form in [SECRET.to_owned(), numbers.join(","), numbers.join(", ")] {
            assert!(!told.contains(&form), "{told}");
        }
    }

    #[test]
    fn the_file_is_found_after_an_upgrade() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("onloadd");
        let replaced = PathBuf::from(format!("{}{REPLACED}", file.display()));
        for running in [&file, &replaced] {
            assert_eq!(in_place(running.clone()), Some(file.display().to_string()));
        }
        std::fs::write(&replaced, "somebody calls it so").unwrap();
        assert_eq!(in_place(replaced.clone()), Some(replaced.display().to_string()));
        assert!(own_file().unwrap().starts_with('/'));
    }

    #[test]
    fn what_the_program_says_is_what_is_answered() {
        let ended = |success, output: &str| Ok(Ended { success, output: output.to_owned() });
        assert_eq!(answer(ended(true, "")), Ok(()));
        let refusal = Refusal::new(RefusalKind::Blocked, NOT_WRITTEN, "no room", "make some");
        let line = serde_json::to_string(&refusal).unwrap();
        assert_eq!(answer(ended(false, &line)), Err(refusal));
        for (output, why) in [("", "without a word"), ("error: unexpected argument", "unexpected")]
        {
            let refusal = answer(ended(false, output)).unwrap_err();
            assert_eq!(refusal.kind, RefusalKind::Internal);
            assert!(refusal.why.contains(why) && refusal.fix.contains("restart onloadd"));
        }
        let none = answer(Err(StepError::Unsupported("systemd is missing".to_owned())));
        assert_eq!(none.unwrap_err().kind, RefusalKind::Unsupported);
        let stuck = answer(Err(StepError::Stuck { limit_secs: 1 })).unwrap_err();
        assert!(stuck.what.contains("not known") && stuck.fix.contains("keys status"), "{stuck}");
        let failed = answer(Err(StepError::Failed("systemd says: no".to_owned()))).unwrap_err();
        assert_eq!((failed.kind, &*failed.why), (RefusalKind::Internal, "systemd says: no"));
    }
}

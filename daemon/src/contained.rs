//! A panic of somebody else's decoder over damaged bytes is an error; every other one ends the
//! daemon at once, as nothing it holds could be relied on any more.

use std::any::Any;
use std::cell::Cell;
use std::io::{self, Read};
use std::panic::{self, AssertUnwindSafe};
use std::process;

thread_local! {
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Makes a panic on any thread end the process, but for what is [contained](contain).
pub fn abort_on_panic() {
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        tell(panic);
        if !CONTAINED.get() {
            process::abort();
        }
    }));
}

/// Does what may panic over the bytes it is given.
///
/// # Errors
/// Its own, or that it has panicked.
pub fn contain<T>(work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let before = CONTAINED.replace(true);
    // What the work has left half done is not touched again: callers give up what they read.
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    CONTAINED.set(before);
    done.unwrap_or_else(|panic| {
        let why = format!("the decoder failed over it: {}", words(panic.as_ref()));
        Err(io::Error::new(io::ErrorKind::InvalidData, why))
    })
}

/// Does what is our own in between, as a reader is that a decoder asks for bytes: a panic of that ends
/// the daemon like any other.
pub fn ours<T>(work: impl FnOnce() -> T) -> T {
    let before = CONTAINED.replace(false);
    let done = work();
    CONTAINED.set(before);
    done
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref().copied()).unwrap_or("without a word")
}

/// A decoder whose panics are errors. After one it is gone.
#[derive(Debug)]
pub struct Contained<R> {
    decoder: Option<R>,
}

impl<R: Read> Contained<R> {
    /// Contains a decoder.
    pub fn new(decoder: R) -> Self {
        Self { decoder: Some(decoder) }
    }
}

impl<R: Read> Read for Contained<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(mut decoder) = self.decoder.take() else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the decoder has failed before",
            ));
        };
        contain(|| {
            let read = decoder.read(buffer);
            self.decoder = Some(decoder);
            read
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "panics are what is tested")]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use super::*;

    struct Broken;

    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            panic!("index out of range")
        }
    }

    #[test]
    fn a_decoder_that_panics_has_failed_and_is_not_asked_again() {
        let mut decoder = Contained::new(Broken);
        let said = decoder.read(&mut [0]).unwrap_err().to_string();
        assert_eq!(said, "the decoder failed over it: index out of range");
        assert!(decoder.read(&mut [0]).unwrap_err().to_string().contains("before"));
        assert_eq!(Contained::new(&b"as it is"[..]).read(&mut [0; 2]).unwrap(), 2);
        assert_eq!(io::read_to_string(Contained::new(&b"as it is"[..])).unwrap(), "as it is");
    }

    /// Set in the process that shall end.
    const CHILD: &str = "ONLOADD_TEST_ABORTS";

    #[test]
    fn any_other_panic_ends_the_process() {
        if let Some(case) = std::env::var_os(CHILD) {
            abort_on_panic();
            Contained::new(Broken).read(&mut [0]).unwrap_err();
            println!("went on");
            match case.to_str() {
                // On a thread whose end nobody waits for, as a task of the runtime is.
                Some("elsewhere") => drop(std::thread::spawn(|| panic!("elsewhere")).join()),
                _ => drop(contain(|| ours(|| Broken.read(&mut [0])))),
            }
            return;
        }
        let name = "contained::tests::any_other_panic_ends_the_process";
        for case in ["elsewhere", "a reader of ours"] {
            let child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", name, "--nocapture"])
                .env(CHILD, case)
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&child.stdout);
            assert!(said.contains("went on"), "{said}");
            assert_eq!(child.status.signal(), Some(nix::libc::SIGABRT), "{case}: {said}");
        }
    }
}

//! What may never be answered, asked for a while.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use onload_core::reading::Reading;

/// A look into a container takes milliseconds; a disk under load seconds.
pub const LIMIT: Duration = Duration::from_secs(10);

/// What is read within the limit. One that takes longer is left to itself: what the kernel holds cannot be
/// called back.
pub fn within<T: Send + 'static>(
    limit: Duration,
    read: impl FnOnce() -> Reading<T> + Send + 'static,
) -> Reading<T> {
    let (tell, answer) = mpsc::channel();
    // Nobody hears who comes too late.
    let work = move || drop(tell.send(read()));
    if let Err(error) = thread::Builder::new().spawn(work) {
        return Reading::Unreadable(format!("no thread can be started to look: {error}"));
    }
    answer.recv_timeout(limit).unwrap_or_else(|_| {
        Reading::Unreadable(format!(
            "its files did not answer within {} s; see whether a file system it has mounted hangs \
             (/proc/PID/mountinfo), and run it again",
            limit.as_secs()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_never_answers_is_not_waited_for() {
        assert_eq!(within(LIMIT, || Reading::Known(1)), Reading::Known(1));
        let (keep, never) = mpsc::channel::<()>();
        let stuck = within(Duration::from_millis(20), move || Reading::Known(never.recv()));
        assert!(stuck.why_not().is_some_and(|why| why.contains("did not answer")), "{stuck:?}");
        drop(keep);
        let died: Reading<u8> = within(LIMIT, || std::panic::resume_unwind(Box::new(())));
        assert!(died.why_not().is_some());
    }
}

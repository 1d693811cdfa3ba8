//! MokManager, which stands between shim and the boot when a request is pending, and asks a person
//! at the console. Here that person is played, as seen of shim 16.1.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::bail;

use super::console::Console;
use super::machine::Machine;

/// From power on to the prompt: some ten times what firmware takes on two cores of their own.
const PROMPT: Duration = Duration::from_secs(90);
/// From a key to the next screen; checking a password takes the longest, two seconds.
const SCREEN: Duration = Duration::from_secs(30);
/// Between two looks at the console; the prompt may be there for a second only.
const PACE: Duration = Duration::from_millis(50);
/// A screen that has shown nothing more for so long is drawn.
const QUIET: Duration = Duration::from_millis(300);
/// A key has changed nothing, or the screen is never quiet.
const UNCHANGED: Duration = Duration::from_secs(5);

/// What the prompt counts down with; no other screen has it.
pub const COUNTDOWN: &str = "Booting in";
const ENTER: &str = "\r";
const DOWN: &str = "\x1b[B";

/// What the person does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Enrols every key that is asked for, with the password of the request.
    Enrol {
        /// The password.
        password: String,
    },
    /// Opens the menu and boots on without doing anything.
    Refuse,
    /// Is not there. The boot goes on after the time the request asks for (`MokTimeout`), or
    /// after ten seconds.
    Miss,
}

/// How the machine goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// It boots.
    Boots,
    /// It starts anew, as MokManager does after it has changed something.
    Resets,
}

/// Waits for MokManager and answers it.
pub(super) fn answer(machine: &mut Machine, answer: &Answer) -> anyhow::Result<After> {
    let mut console = machine.keyboard()?;
    see(machine, &console, &[COUNTDOWN], PROMPT)?;
    let mut after = |keys: &[&str], screen: &[&str]| -> anyhow::Result<String> {
        for (index, key) in keys.iter().enumerate() {
            if index > 0 {
                settle(machine, &console)?;
            }
            console.press(key)?;
        }
        see(machine, &console, screen, SCREEN)?;
        // All of the screen is there when it is quiet.
        settle(machine, &console)?;
        Ok(console.shown())
    };
    let answered = match answer {
        Answer::Miss => After::Boots,
        Answer::Refuse => {
            after(&[ENTER], &["Continue boot", "Enroll hash from disk"])?;
            // The first item.
            console.press(ENTER)?;
            After::Boots
        }
        Answer::Enrol { password } => {
            after(&[ENTER], &["Continue boot", "Enroll MOK", "Enroll hash from disk"])?;
            // The second item. Its screen lists the keys, then what leads on.
            let keys = after(&[DOWN, ENTER], &["View key 0", "Continue"])?;
            let count = (0..).take_while(|n| keys.contains(&format!("View key {n}"))).count();
            after(&[&vec![DOWN; count][..], &[ENTER]].concat(), &["No", "Yes"])?;
            after(&[DOWN, ENTER], &["Password"])?;
            after(&[password, ENTER], &["Reboot"])?;
            console.press(ENTER)?;
            After::Resets
        }
    };
    machine.goes_on();
    Ok(answered)
}

/// Waits until the screen has changed since the last key and is quiet, as a person does: what is drawn
/// while a key comes is lost in part. A key that changes nothing is waited for a while only.
fn settle(machine: &mut Machine, console: &Console) -> anyhow::Result<()> {
    let begun = Instant::now();
    let (mut bytes, mut since) = (console.shown_bytes(), begun);
    let mut changed = !console.shown().is_empty();
    while !(changed && since.elapsed() > QUIET) && begun.elapsed() < UNCHANGED {
        machine.still_there()?;
        thread::sleep(PACE);
        let now = console.shown_bytes();
        if now != bytes {
            (bytes, since, changed) = (now, Instant::now(), true);
        }
    }
    Ok(())
}

/// Waits until the console has shown texts in this order since the last key (it draws its menu again
/// at each).
fn see(
    machine: &mut Machine,
    console: &Console,
    texts: &[&str],
    limit: Duration,
) -> anyhow::Result<()> {
    let late = Instant::now() + limit;
    loop {
        let shown = console.shown();
        let rest = texts
            .iter()
            .try_fold(shown.as_str(), |rest, text| rest.split_once(text).map(|(_, rest)| rest));
        if rest.is_some() {
            return Ok(());
        }
        if Instant::now() > late {
            bail!("MokManager did not show {texts:?} in {} s", limit.as_secs());
        }
        machine.still_there()?;
        thread::sleep(PACE);
    }
}

//! The end of control-plane servers. No event tells of it and no unit holds them, so each is held by
//! a descriptor that becomes readable when it ends.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, Waker};

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::unix::AsyncFd;

use crate::descriptor;

/// Servers whose end is heard.
#[derive(Debug, Default)]
pub(super) struct Servers {
    watched: BTreeMap<u32, AsyncFd<OwnedFd>>,
    /// Ended, and listed still when it was last looked: each ends once.
    ended: BTreeSet<u32>,
    /// Some had ended before they could be held.
    missed: bool,
    /// Who waits, to be woken when there are others to wait for.
    waiting: Option<Waker>,
}

impl Servers {
    /// These there are now. One that cannot be held any more ended since they were listed.
    pub(super) fn watch(&mut self, servers: &BTreeSet<u32>) {
        self.ended.retain(|pid| servers.contains(pid));
        self.watched.retain(|pid, _| servers.contains(pid));
        let mut added = false;
        for pid in servers {
            if self.ended.contains(pid) || self.watched.contains_key(pid) {
                continue;
            }
            added = true;
            match open(*pid) {
                Some(process) => {
                    self.watched.insert(*pid, process);
                }
                None => {
                    self.ended.insert(*pid);
                    self.missed = true;
                }
            }
        }
        if added && let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }

    /// Whether some have ended since.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> bool {
        self.waiting = Some(context.waker().clone());
        let mut is_ended = |process: &AsyncFd<OwnedFd>| {
            matches!(process.poll_read_ready(context), Poll::Ready(Ok(_)))
        };
        let before = self.ended.len();
        self.watched.retain(|pid, process| {
            let ended = is_ended(process);
            if ended {
                self.ended.insert(*pid);
            }
            !ended
        });
        std::mem::take(&mut self.missed) || self.ended.len() > before
    }
}

fn open(pid: u32) -> Option<AsyncFd<OwnedFd>> {
    let number = i32::try_from(pid).ok().and_then(Pid::from_raw)?;
    let fd = pidfd_open(number, PidfdFlags::empty()).ok()?;
    descriptor::readable(fd).ok()
}

//! What this machine trusts and enforces when modules are loaded: the firmware's variables, the
//! kernel's rings, how the kernels were built. A look compares what the file system says of them; it
//! reads anew only what has changed, since a variable is asked of the firmware, which stops the
//! machine for it, and a kernel's configuration is long.

use std::cell::RefCell;
use std::sync::Arc;

use onload_core::names::KernelRelease;
use onload_core::reading::Reading;
use onload_core::secure_boot::Damaged;
use onload_core::secure_boot::kernel::{Enforcement, Lockdown};
use onload_core::secure_boot::trust::Trust;

use self::configurations::Configurations;
use self::keyrings::{Keyctl, Keyrings, Syscall};
use self::variables::Variables;
use super::root::Dir;

/// Gives a fact its value; a picture in which it has that already stays the same one.
macro_rules! put {
    ($trust:ident.$fact:ident, $value:expr) => {{
        let value = $value;
        if $trust.$fact != value {
            Arc::make_mut($trust).$fact = value;
        }
    }};
}

mod configurations;
mod keyrings;
mod request;
mod run_time;
mod variables;

/// These attributes have one line of a few words.
const ATTRIBUTE_BYTES: usize = 4 << 10;
const SECURITYFS: &str = "sys/kernel/security";

/// What was read so far, and by what it is told whether that still holds.
#[derive(Debug)]
pub(super) struct Keys(RefCell<Seen>);

#[derive(Debug)]
struct Seen {
    /// The one copy of the values.
    trust: Arc<Trust>,
    variables: Variables,
    keyrings: Keyrings,
    configurations: Configurations,
}

impl Keys {
    /// Of the running machine: the kernel is asked for its rings.
    pub(super) fn live() -> Self {
        Self::with(Some(Box::new(Syscall)))
    }

    /// Of a root that holds what was recorded.
    pub(super) fn recorded() -> Self {
        Self::with(None)
    }

    fn with(keyctl: Option<Box<dyn Keyctl>>) -> Self {
        Self(RefCell::new(Seen {
            trust: Arc::new(Trust::unread("it has not been looked at")),
            variables: Variables::default(),
            keyrings: Keyrings::new(keyctl),
            configurations: Configurations::default(),
        }))
    }

    /// Has the next look read everything: for a recording, which keeps what is read.
    pub(super) fn forget(&self) {
        let mut seen = self.0.borrow_mut();
        seen.variables = Variables::default();
        seen.keyrings.forget();
        seen.configurations = Configurations::default();
    }

    /// Looks. `kernel` is the one that runs, `kernels` those on the disk. As long as nothing changes
    /// the same picture is given, without a copy.
    pub(super) fn read<'a>(
        &self,
        root: &Dir,
        kernel: &'a Reading<KernelRelease>,
        kernels: impl Iterator<Item = &'a KernelRelease>,
    ) -> Arc<Trust> {
        let mut seen = self.0.borrow_mut();
        let Seen { trust, variables, keyrings, configurations } = &mut *seen;
        if trust.kernel != *kernel {
            Arc::make_mut(trust).kernel = kernel.clone();
        }
        put!(trust.sig_enforce, sig_enforce(root));
        put!(trust.lockdown, lockdown(root));
        variables.read(root, trust);
        keyrings.read(root, trust);
        configurations.read(root, kernel.known(), kernels, trust);
        Arc::clone(trust)
    }
}

fn sig_enforce(root: &Dir) -> Reading<Enforcement> {
    let text = root.read("sys/module/module/parameters/sig_enforce", ATTRIBUTE_BYTES);
    text.and_then(|text| reading(Enforcement::parse(&text)))
}

/// A directory of securityfs that has nothing in it is the place where it is to be mounted.
fn lockdown(root: &Dir) -> Reading<Lockdown> {
    let path = format!("{SECURITYFS}/lockdown");
    match root.read(&path, ATTRIBUTE_BYTES) {
        Reading::Known(text) => return reading(Lockdown::parse(&text)),
        Reading::Absent => {}
        Reading::Unreadable(why) => return Reading::Unreadable(why),
    }
    // Wherever securityfs is, it shows this list; that it was there is then recorded too.
    match root.names(SECURITYFS, |name| name == "lsm") {
        Reading::Known(names) if !names.is_empty() => Reading::Absent,
        Reading::Known(_) | Reading::Absent => {
            Reading::Unreadable(format!("securityfs is not mounted at /{SECURITYFS}"))
        }
        Reading::Unreadable(why) => Reading::Unreadable(why),
    }
}

/// A value, or the place where it does not read.
fn reading<T>(parsed: Result<T, Damaged>) -> Reading<T> {
    parsed.map_or_else(|damaged| Reading::Unreadable(damaged.to_string()), Reading::Known)
}

#[cfg(test)]
mod tests;

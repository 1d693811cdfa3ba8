//! Promises about whom a machine trusts, true of any one look. What cannot be read promises nothing.

use anyhow::{Result, ensure};
use onload_core::inventory::Snapshot;
use onload_core::reading::Reading;
use onload_core::secure_boot::kernel::config::KernelConfig;
use onload_core::secure_boot::kernel::{Enforcement, Lockdown};
use onload_core::secure_boot::keyring::SystemRing;
use onload_core::secure_boot::trust::Switch;

pub(super) fn kernels(look: &Snapshot) -> Result<()> {
    let trust = &look.trust;
    if let (Some(own), Some(running)) = (trust.kernel.known(), look.kernel.known()) {
        ensure!(own == running, "{own} is asked, and {running} runs");
    }
    if let Some(kernels) = look.kernels.known() {
        for kernel in trust.configs.keys() {
            let there = kernels.contains_key(kernel) || trust.kernel.known() == Some(kernel);
            ensure!(there, "{kernel} is nowhere, and how it was built is told");
        }
    }
    Ok(())
}

pub(super) fn rings(look: &Snapshot) -> Result<()> {
    for (kind, ring) in &look.trust.rings {
        let Some(ring) = ring.known() else { continue };
        let name = kind.name();
        ensure!(!ring.rings.contains(kind), "{name} hangs on itself");
        let bears = ring.rings.is_empty() || *kind == SystemRing::Secondary;
        ensure!(bears, "rings hang on {name}: {:?}", ring.rings);
        let forbids = ring.blacklisted.is_empty() || *kind == SystemRing::Blacklist;
        ensure!(forbids, "{name} forbids something: {:?}", ring.blacklisted);
        for key in &ring.keys {
            ensure!(!key.id.0.is_empty(), "{name} holds a key without an id: {}", key.name);
        }
        for linked in &ring.rings {
            let there = look.trust.ring(*linked);
            ensure!(!there.is_absent(), "{} hangs on {name}, and there is none", linked.name());
        }
    }
    Ok(())
}

pub(super) fn enforcement(look: &Snapshot) -> Result<()> {
    let trust = &look.trust;
    let config = trust.kernel.known().and_then(|kernel| trust.configs.get(kernel));
    let Some(config) = config.and_then(Reading::known) else { return Ok(()) };
    let (enforced, lockdown) = (&trust.sig_enforce, &trust.lockdown);
    if !enforced.is_unreadable() {
        let looks = config.has(KernelConfig::MODULE_SIG);
        ensure!(enforced.is_absent() != looks, "signatures are looked at: {looks}, {enforced:?}");
    }
    let forced = config.has(KernelConfig::MODULE_SIG_FORCE);
    let taken = enforced.known() == Some(&Enforcement::Taken);
    ensure!(!(forced && taken), "a kernel that was built to refuse modules takes them");
    let locks = config.has(KernelConfig::LOCK_DOWN_IN_EFI_SECURE_BOOT)
        && trust.effective() == Reading::Known(Switch::On);
    let open = lockdown.known() == Some(&Lockdown::None);
    ensure!(!(locks && open), "Secure Boot is on, and the kernel is not locked down");
    Ok(())
}

pub(super) fn without_efi(look: &Snapshot) -> Result<()> {
    let trust = &look.trust;
    if !trust.secure_boot.is_absent() {
        return Ok(());
    }
    for (what, lists) in [
        ("MokListRT", &trust.mok),
        ("MokListXRT", &trust.mok_forbidden),
        ("db", &trust.db),
        ("dbx", &trust.dbx),
    ] {
        let empty = lists.known().is_none_or(Vec::is_empty);
        ensure!(empty, "there is no SecureBoot, and {what} holds {lists:?}");
    }
    let asked = trust.requests.known().is_some_and(|requests| requests.any());
    ensure!(!asked, "there is no SecureBoot, and shim is asked for something");
    Ok(())
}

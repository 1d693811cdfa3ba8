//! Promises that are true of any one look.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail, ensure};
use onload_core::inventory::{
    COMPANIONS, DEVICE_NODES, Interface, Module, ModuleState, STACK, Snapshot,
};
use onload_core::names::{InterfaceName, ModuleName};
use onload_core::reading::Reading;

fn modules(look: &Snapshot) -> impl Iterator<Item = (&ModuleName, &Module)> {
    look.modules.known().into_iter().flatten()
}

fn interfaces(look: &Snapshot) -> impl Iterator<Item = (&InterfaceName, &Interface)> {
    look.interfaces.known().into_iter().flatten()
}

pub(super) fn kernel_and_boot(look: &Snapshot) -> Result<()> {
    ensure!(look.kernel.known().is_some(), "kernel: {:?}", look.kernel);
    ensure!(look.boot_id.known().is_some(), "boot id: {:?}", look.boot_id);
    Ok(())
}

pub(super) fn indices(look: &Snapshot) -> Result<()> {
    let mut seen = BTreeMap::new();
    for (name, interface) in interfaces(look) {
        ensure!(interface.index > 0, "{name} has no index");
        if let Some(other) = seen.insert(interface.index, name) {
            bail!("{name} and {other} share index {}", interface.index);
        }
    }
    Ok(())
}

pub(super) fn interface_names(look: &Snapshot) -> Result<()> {
    let mut seen: BTreeSet<&str> = interfaces(look).map(|(name, _)| name.as_str()).collect();
    for (name, interface) in interfaces(look) {
        for altname in &interface.altnames {
            ensure!(seen.insert(altname), "{altname}, another name of {name}, is taken");
        }
    }
    Ok(())
}

pub(super) fn ports_of_interfaces(look: &Snapshot) -> Result<()> {
    let Some(ports) = look.ports.known() else { return Ok(()) };
    for (name, interface) in interfaces(look) {
        if let Some(port) = interface.port.known() {
            ensure!(ports.contains_key(port), "{name} is of {port}, which is not there");
        }
    }
    for port in ports.keys() {
        if let Some((name, interface)) = look.interface_of(port) {
            ensure!(interface.port.known() == Some(port), "{name} points elsewhere than to {port}");
        }
    }
    Ok(())
}

pub(super) fn virtual_functions(look: &Snapshot) -> Result<()> {
    for (address, port) in look.ports.known().into_iter().flatten() {
        if let Some(sriov) = port.sriov.known() {
            ensure!(sriov.enabled <= sriov.total, "{address}: {sriov:?}");
        }
    }
    Ok(())
}

pub(super) fn speeds(look: &Snapshot) -> Result<()> {
    use onload_core::inventory::Link;
    for (name, interface) in interfaces(look) {
        let down = interface.link == Reading::Known(Link::Down);
        ensure!(!down || interface.speed_mbps.known().is_none(), "{name} is down and has a speed");
    }
    Ok(())
}

pub(super) fn module_names(look: &Snapshot) -> Result<()> {
    for (name, _) in modules(look) {
        let known = STACK.contains(&name.as_str()) || COMPANIONS.contains(&name.as_str());
        ensure!(known, "{name} is told");
    }
    Ok(())
}

pub(super) fn holders(look: &Snapshot) -> Result<()> {
    let loaded: BTreeSet<&ModuleName> = modules(look).map(|(name, _)| name).collect();
    for (name, module) in modules(look) {
        for holder in &module.holders {
            ensure!(holder != name, "{name} holds itself");
            // Holders beyond the modules that are told may be anything.
            let told = STACK.contains(&holder.as_str()) || COMPANIONS.contains(&holder.as_str());
            ensure!(!told || loaded.contains(holder), "{holder} holds {name} and is not loaded");
        }
    }
    Ok(())
}

pub(super) fn parents(look: &Snapshot) -> Result<()> {
    // reference/onload-modules.md section 2.1
    let needs = [("onload", "sfc_char"), ("onload", "sfc_resource"), ("sfc_char", "sfc_resource")];
    for (holder, parent) in needs {
        let live = |name| look.module(name).known().is_some_and(|m| m.state == ModuleState::Live);
        if !live(holder) {
            continue;
        }
        let Reading::Known(module) = look.module(parent) else {
            bail!("{holder} is loaded without {parent}");
        };
        let listed = module.holders.iter().any(|name| name.as_str() == holder);
        ensure!(listed, "{holder} is no holder of {parent}");
    }
    Ok(())
}

pub(super) fn references(look: &Snapshot) -> Result<()> {
    for (name, module) in modules(look) {
        match (module.state, module.refcount.known()) {
            (ModuleState::Live, Some(count)) => {
                let holders = u32::try_from(module.holders.len())?;
                ensure!(*count >= holders, "{name}: {count} references, {holders} holders");
            }
            (ModuleState::Live, None) => {}
            (ModuleState::Coming | ModuleState::Going, count) => {
                ensure!(count.is_none(), "{name} is in flight and has references");
            }
        }
    }
    Ok(())
}

pub(super) fn driver(look: &Snapshot) -> Result<()> {
    let live = match look.module("onload") {
        Reading::Known(module) => module.state == ModuleState::Live,
        Reading::Absent => false,
        Reading::Unreadable(_) => return Ok(()),
    };
    let driver = &look.driver;
    let absent = [
        driver.version.is_absent(),
        driver.interface.is_absent(),
        driver.stacks.is_absent(),
        driver.control_plane.is_absent(),
    ];
    ensure!(absent.iter().all(|absent| *absent != live), "onload live: {live}, {driver:?}");
    Ok(())
}

pub(super) fn device_nodes(look: &Snapshot) -> Result<()> {
    let answered: BTreeSet<&str> = look.device_nodes.keys().map(String::as_str).collect();
    ensure!(answered == BTreeSet::from(DEVICE_NODES), "{answered:?}");
    for (path, node) in &look.device_nodes {
        if let Some(node) = node.known() {
            ensure!(node.mode <= 0o7777, "{path}: mode {:o} is more than permissions", node.mode);
        }
    }
    Ok(())
}

pub(super) fn releases(look: &Snapshot) -> Result<()> {
    for (name, release) in look.releases.known().into_iter().flatten() {
        ensure!(release.root.starts_with('/'), "{name}: root {}", release.root);
        let directory = &release.library_directory;
        ensure!(!directory.is_empty() && !directory.starts_with('/'), "{name}: {directory}");
        let modules = release.modules.known().is_some_and(|modules| !modules.is_empty());
        ensure!(modules || !release.libraries.is_empty(), "{name} is empty and no release");
        let ours = |library: &String| {
            library.starts_with("libonload.so") || library.starts_with("libonload_ext.so")
        };
        ensure!(release.libraries.iter().all(ours), "{name}: {:?}", release.libraries);
    }
    Ok(())
}

pub(super) fn module_files(look: &Snapshot) -> Result<()> {
    for (name, release) in look.releases.known().into_iter().flatten() {
        for (kernel, files) in release.modules.known().into_iter().flatten() {
            for (module, file) in files {
                ensure!(file.path.starts_with('/'), "{name}, {module}: {}", file.path);
                ensure!(!file.vermagic.is_empty(), "{name}, {module} for {kernel}: no vermagic");
                ensure!(!file.depends.contains(module), "{name}: {module} needs itself");
            }
        }
        let server = release.server.as_ref();
        ensure!(server.is_none_or(|path| !path.starts_with('/')), "{name}: server {server:?}");
    }
    Ok(())
}

pub(super) fn routes(look: &Snapshot) -> Result<()> {
    for (name, interface) in interfaces(look) {
        let none = interface.routes.known().is_none_or(|all| all.count > 0 || !all.default);
        ensure!(none, "{name} has no route and a default one");
        let itself = interface.uppers.known().is_some_and(|uppers| uppers.contains(name));
        ensure!(!itself, "{name} lies on itself");
    }
    Ok(())
}

pub(super) fn users(look: &Snapshot) -> Result<()> {
    for (pid, user) in look.users.known().into_iter().flatten() {
        ensure!(!user.uses.is_empty(), "{pid} uses nothing: {user:?}");
        ensure!(user.unit.is_none() || user.container.is_none(), "{pid} is in two places");
    }
    Ok(())
}

pub(super) fn serialization(look: &Snapshot) -> Result<()> {
    // Not all of it is written: signatures, checksums and trust are long.
    let text = serde_json::to_string(look)?;
    let again = serde_json::to_string(&serde_json::from_str::<Snapshot>(&text)?)?;
    ensure!(again == text, "it reads back as another: {text}");
    Ok(())
}

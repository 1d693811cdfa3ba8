//! What every host promises, by name. Each case runs on the simulated host, on the real root and,
//! where a guest has modules to load, there: none may ask for more than [`Host`] says.
//!
//! No case changes the machine. Where a real machine may change by itself between two looks, a case
//! looks again a few times before it complains.

use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use onload_core::inventory::{
    COMPANIONS, DEVICE_NODES, Depth, Interface, Module, ModuleState, STACK, Snapshot,
};
use onload_core::names::{InterfaceName, ModuleName};
use onload_core::reading::Reading;
use onload_core::step::{Outcome, Step, StepError};
use onloadd::host::Host;
use tokio::time::timeout;

/// Looks that are tried before a machine counts as one that never stands still.
const LOOKS: usize = 5;

/// How long anything that must end may take; a real machine answers a look in milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long `changed` has to stay quiet to count as pending.
const QUIET: Duration = Duration::from_millis(50);

/// Hints for nothing that a host may give in a row before it counts as one that spins.
const IDLE_HINTS: usize = 16;

/// A module that no release has: loading it can do no harm.
const NO_SUCH_MODULE: &str = "onload_conformance_no_such_module";

/// How a promise is looked after.
#[derive(Clone, Copy, Debug)]
pub enum Case {
    /// True of any one look.
    Look(fn(&Snapshot) -> Result<()>),
    /// Seen in how the host behaves.
    Behaviour(Behaviour),
}

/// Promises about calls rather than about what they return.
#[derive(Clone, Copy, Debug)]
pub enum Behaviour {
    /// Two looks with nothing changed between agree.
    LooksAgree,
    /// Looks may overlap.
    LooksOverlap,
    /// A look may be dropped at any point.
    LookDropped,
    /// A step that holds is `Unchanged`.
    HoldingStep,
    /// A step on an absent module fails and changes nothing.
    AbsentStep,
    /// Each other kind of step, where it holds, is `Unchanged`.
    HoldingSteps,
    /// A step may be dropped at any point.
    StepDropped,
    /// A look that searches for users shows the same machine.
    DeepLook,
    /// `changed` is pending while nothing happens.
    Quiet,
    /// A dropped `changed` leaves the host usable.
    ChangedDropped,
}

/// All cases.
pub const CASES: [(&str, Case); 27] = [
    ("two looks with nothing changed between agree", Case::Behaviour(Behaviour::LooksAgree)),
    ("looks that overlap agree", Case::Behaviour(Behaviour::LooksOverlap)),
    ("a dropped look leaves the host usable", Case::Behaviour(Behaviour::LookDropped)),
    ("a step that holds is unchanged", Case::Behaviour(Behaviour::HoldingStep)),
    ("a step on an absent module changes nothing", Case::Behaviour(Behaviour::AbsentStep)),
    ("whatever else holds is unchanged", Case::Behaviour(Behaviour::HoldingSteps)),
    ("a dropped step leaves the host usable", Case::Behaviour(Behaviour::StepDropped)),
    ("a look for users shows the same machine", Case::Behaviour(Behaviour::DeepLook)),
    ("no hint comes while nothing happens", Case::Behaviour(Behaviour::Quiet)),
    ("a dropped wait leaves the host usable", Case::Behaviour(Behaviour::ChangedDropped)),
    ("kernel and boot are known", Case::Look(kernel_and_boot)),
    ("every index belongs to one interface", Case::Look(indices)),
    ("no name belongs to two interfaces", Case::Look(interface_names)),
    ("a port's interface points back to a port that is there", Case::Look(ports_of_interfaces)),
    ("no port has more virtual functions than it can have", Case::Look(virtual_functions)),
    ("speed is absent while a link is down", Case::Look(speeds)),
    ("only the modules of the stack and its companions are told", Case::Look(module_names)),
    ("holders of a loaded module are loaded", Case::Look(holders)),
    ("what onload and sfc_char need holds them", Case::Look(parents)),
    ("references are at least as many as holders, and absent in flight", Case::Look(references)),
    ("what the driver says is absent exactly when onload is", Case::Look(driver)),
    ("each device node is answered for, and no other", Case::Look(device_nodes)),
    ("releases lie below an absolute root and hold something", Case::Look(releases)),
    ("module files are absolute and of a kernel", Case::Look(module_files)),
    ("routes add up", Case::Look(routes)),
    ("users use something", Case::Look(users)),
    ("a look survives writing and reading", Case::Look(serialization)),
];

/// Runs all cases: the name of each and how it went.
pub async fn run<H: Host>(host: &H) -> Vec<(&'static str, Result<()>)> {
    let mut verdicts = Vec::new();
    for (name, case) in CASES {
        let verdict = match case {
            Case::Look(promise) => match settled(host).await {
                Ok(snapshot) => promise(&snapshot),
                Err(error) => Err(error),
            },
            Case::Behaviour(behaviour) => behaves(host, behaviour).await,
        };
        verdicts.push((name, verdict));
    }
    verdicts
}

async fn behaves<H: Host>(host: &H, behaviour: Behaviour) -> Result<()> {
    match behaviour {
        Behaviour::LooksAgree => settled(host).await.map(drop),
        Behaviour::LooksOverlap => overlap(host).await,
        Behaviour::LookDropped => {
            let before = settled(host).await?;
            poll_and_drop(host.observe(Depth::Usual)).await;
            same_machine(&before, &settled(host).await?)
        }
        Behaviour::HoldingStep => holding_step(host).await,
        Behaviour::AbsentStep => absent_step(host).await,
        Behaviour::HoldingSteps => holding_steps(host).await,
        Behaviour::DeepLook => deep_look(host).await,
        Behaviour::StepDropped => {
            let before = settled(host).await?;
            poll_and_drop(host.apply(&no_such_step()?)).await;
            same_machine(&before, &settled(host).await?)
        }
        Behaviour::Quiet => quiet(host).await,
        Behaviour::ChangedDropped => {
            let before = settled(host).await?;
            poll_and_drop(host.changed()).await;
            same_machine(&before, &settled(host).await?)
        }
    }
}

async fn look<H: Host>(host: &H) -> Result<Snapshot> {
    timeout(PATIENCE, host.observe(Depth::Usual)).await.context("a look did not end")
}

/// A look that the next one confirms.
async fn settled<H: Host>(host: &H) -> Result<Snapshot> {
    let mut before = look(host).await?;
    for _ in 0..LOOKS {
        let after = look(host).await?;
        if after == before {
            return Ok(after);
        }
        before = after;
    }
    bail!("no two of {LOOKS} looks in a row agree")
}

async fn overlap<H: Host>(host: &H) -> Result<()> {
    for _ in 0..LOOKS {
        let together = async {
            tokio::join!(
                host.observe(Depth::Usual),
                host.observe(Depth::Usual),
                host.observe(Depth::Usual)
            )
        };
        let (a, b, c) =
            timeout(PATIENCE, together).await.context("overlapping looks did not end")?;
        if a == b && b == c {
            return Ok(());
        }
    }
    bail!("three looks at once never agreed in {LOOKS} tries")
}

/// Lets a future begin, then drops it.
async fn poll_and_drop<F: Future>(future: F) {
    let mut future = pin!(future);
    poll_fn(|context| {
        // Ended or not, either way it has begun.
        let _ = future.as_mut().poll(context);
        Poll::Ready(())
    })
    .await;
}

fn no_such_step() -> Result<Step> {
    Ok(Step::LoadModule { module: NO_SUCH_MODULE.parse()?, release: "host".parse()? })
}

async fn holding_step<H: Host>(host: &H) -> Result<()> {
    let before = settled(host).await?;
    for name in STACK {
        let step = Step::LoadModule { module: name.parse()?, release: "host".parse()? };
        if !step.holds_in(&before) {
            continue;
        }
        match timeout(PATIENCE, host.apply(&step)).await.context("the step did not end")? {
            // A host that cannot be changed may say so before it looks.
            Ok(Outcome::Unchanged) | Err(StepError::Unsupported(_)) => {}
            other => bail!("`{step}` holds, and yet: {other:?}"),
        }
    }
    same_machine(&before, &settled(host).await?)
}

/// Steps that hold on most machines; none that does not hold is asked for.
async fn holding_steps<H: Host>(host: &H) -> Result<()> {
    let before = timeout(PATIENCE, host.observe(Depth::Users)).await?;
    let steps = [
        Step::UnloadModule { module: NO_SUCH_MODULE.parse()? },
        Step::StopUnit { unit: "onload-conformance-no-such-unit.service".to_owned() },
        Step::StopControlPlane,
        Step::WriteLoader(before.loader.known().cloned().unwrap_or_default()),
    ];
    for step in steps {
        // Without a word on who has which unit nobody knows whether the second holds.
        if !step.holds_in(&before) {
            continue;
        }
        match timeout(PATIENCE, host.apply(&step)).await.context("the step did not end")? {
            Ok(Outcome::Unchanged) | Err(StepError::Unsupported(_)) => {}
            other => bail!("`{step}` holds, and yet: {other:?}"),
        }
    }
    let after = timeout(PATIENCE, host.observe(Depth::Users)).await?;
    ensure!(before.loader == after.loader, "what modprobe is told changed");
    same_machine(&before, &after)
}

async fn deep_look<H: Host>(host: &H) -> Result<()> {
    for _ in 0..LOOKS {
        let usual = settled(host).await?;
        let mut deep = timeout(PATIENCE, host.observe(Depth::Users)).await?;
        users(&deep)?;
        deep.users = usual.users.clone();
        if deep == usual {
            return Ok(());
        }
    }
    bail!("a look for users shows another machine in each of {LOOKS} tries")
}

async fn absent_step<H: Host>(host: &H) -> Result<()> {
    let before = settled(host).await?;
    let step = no_such_step()?;
    match timeout(PATIENCE, host.apply(&step)).await.context("the step did not end")? {
        Err(StepError::NotFound { module }) => ensure!(module.as_str() == NO_SUCH_MODULE),
        // A real machine asks modprobe, which fails alike for what is absent and what is refused.
        Err(StepError::Unsupported(why) | StepError::Failed(why)) => {
            ensure!(!why.is_empty(), "it must say why");
        }
        other => bail!("`{step}` must fail: {other:?}"),
    }
    same_machine(&before, &settled(host).await?)
}

/// The parts a step could have changed.
fn same_machine(before: &Snapshot, after: &Snapshot) -> Result<()> {
    ensure!(before.boot_id == after.boot_id, "the boot id changed");
    let names = |snapshot: &Snapshot| {
        snapshot.modules.known().map(|modules| modules.keys().cloned().collect::<BTreeSet<_>>())
    };
    ensure!(names(before) == names(after), "modules changed");
    ensure!(before.device_nodes == after.device_nodes, "device nodes changed");
    Ok(())
}

async fn quiet<H: Host>(host: &H) -> Result<()> {
    for _ in 0..IDLE_HINTS {
        if timeout(QUIET, host.changed()).await.is_err() {
            return Ok(());
        }
    }
    bail!("{IDLE_HINTS} hints in a row for nothing")
}

fn modules(look: &Snapshot) -> impl Iterator<Item = (&ModuleName, &Module)> {
    look.modules.known().into_iter().flatten()
}

fn interfaces(look: &Snapshot) -> impl Iterator<Item = (&InterfaceName, &Interface)> {
    look.interfaces.known().into_iter().flatten()
}

fn kernel_and_boot(look: &Snapshot) -> Result<()> {
    ensure!(look.kernel.known().is_some(), "kernel: {:?}", look.kernel);
    ensure!(look.boot_id.known().is_some(), "boot id: {:?}", look.boot_id);
    Ok(())
}

fn indices(look: &Snapshot) -> Result<()> {
    let mut seen = BTreeMap::new();
    for (name, interface) in interfaces(look) {
        ensure!(interface.index > 0, "{name} has no index");
        if let Some(other) = seen.insert(interface.index, name) {
            bail!("{name} and {other} share index {}", interface.index);
        }
    }
    Ok(())
}

fn interface_names(look: &Snapshot) -> Result<()> {
    let mut seen: BTreeSet<&str> = interfaces(look).map(|(name, _)| name.as_str()).collect();
    for (name, interface) in interfaces(look) {
        for altname in &interface.altnames {
            ensure!(seen.insert(altname), "{altname}, another name of {name}, is taken");
        }
    }
    Ok(())
}

fn ports_of_interfaces(look: &Snapshot) -> Result<()> {
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

fn virtual_functions(look: &Snapshot) -> Result<()> {
    for (address, port) in look.ports.known().into_iter().flatten() {
        if let Some(sriov) = port.sriov.known() {
            ensure!(sriov.enabled <= sriov.total, "{address}: {sriov:?}");
        }
    }
    Ok(())
}

fn speeds(look: &Snapshot) -> Result<()> {
    use onload_core::inventory::Link;
    for (name, interface) in interfaces(look) {
        let down = interface.link == Reading::Known(Link::Down);
        ensure!(!down || interface.speed_mbps.known().is_none(), "{name} is down and has a speed");
    }
    Ok(())
}

fn module_names(look: &Snapshot) -> Result<()> {
    for (name, _) in modules(look) {
        let known = STACK.contains(&name.as_str()) || COMPANIONS.contains(&name.as_str());
        ensure!(known, "{name} is told");
    }
    Ok(())
}

fn holders(look: &Snapshot) -> Result<()> {
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

fn parents(look: &Snapshot) -> Result<()> {
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

fn references(look: &Snapshot) -> Result<()> {
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

fn driver(look: &Snapshot) -> Result<()> {
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

fn device_nodes(look: &Snapshot) -> Result<()> {
    let answered: BTreeSet<&str> = look.device_nodes.keys().map(String::as_str).collect();
    ensure!(answered == BTreeSet::from(DEVICE_NODES), "{answered:?}");
    for (path, node) in &look.device_nodes {
        if let Some(node) = node.known() {
            ensure!(node.mode <= 0o7777, "{path}: mode {:o} is more than permissions", node.mode);
        }
    }
    Ok(())
}

fn releases(look: &Snapshot) -> Result<()> {
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

fn module_files(look: &Snapshot) -> Result<()> {
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

fn routes(look: &Snapshot) -> Result<()> {
    for (name, interface) in interfaces(look) {
        let none = interface.routes.known().is_none_or(|all| all.count > 0 || !all.default);
        ensure!(none, "{name} has no route and a default one");
        let itself = interface.uppers.known().is_some_and(|uppers| uppers.contains(name));
        ensure!(!itself, "{name} lies on itself");
    }
    Ok(())
}

fn users(look: &Snapshot) -> Result<()> {
    for (pid, user) in look.users.known().into_iter().flatten() {
        ensure!(!user.uses.is_empty(), "{pid} uses nothing: {user:?}");
        ensure!(user.unit.is_none() || user.container.is_none(), "{pid} is in two places");
    }
    Ok(())
}

fn serialization(look: &Snapshot) -> Result<()> {
    let text = serde_json::to_string(look)?;
    ensure!(serde_json::from_str::<Snapshot>(&text)? == *look, "it reads back as another: {text}");
    Ok(())
}

//! What every host promises, by name. Each case runs on the simulated host, on the real root and,
//! where a guest has modules to load, there: none may ask for more than [`Host`] says.
//!
//! No case changes the machine. Where a real machine may change by itself between two looks, a case
//! looks again a few times before it complains.

use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use onload_core::inventory::{Depth, STACK, Snapshot};
use onload_core::step::{Outcome, Step, StepError};
use onloadd::host::Host;
use tokio::time::timeout;

mod clocks;
mod looks;
mod trust;

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
    /// A look at clocks finds what it was asked for, and fits together.
    ClockLook,
    /// `changed` is pending while nothing happens.
    Quiet,
    /// A dropped `changed` leaves the host usable.
    ChangedDropped,
}

/// All cases.
pub const CASES: [(&str, Case); 33] = [
    ("two looks with nothing changed between agree", Case::Behaviour(Behaviour::LooksAgree)),
    ("looks that overlap agree", Case::Behaviour(Behaviour::LooksOverlap)),
    ("a dropped look leaves the host usable", Case::Behaviour(Behaviour::LookDropped)),
    ("a step that holds is unchanged", Case::Behaviour(Behaviour::HoldingStep)),
    ("a step on an absent module changes nothing", Case::Behaviour(Behaviour::AbsentStep)),
    ("whatever else holds is unchanged", Case::Behaviour(Behaviour::HoldingSteps)),
    ("a dropped step leaves the host usable", Case::Behaviour(Behaviour::StepDropped)),
    ("a look for users shows the same machine", Case::Behaviour(Behaviour::DeepLook)),
    ("a look at clocks finds what it was asked for", Case::Behaviour(Behaviour::ClockLook)),
    ("no hint comes while nothing happens", Case::Behaviour(Behaviour::Quiet)),
    ("a dropped wait leaves the host usable", Case::Behaviour(Behaviour::ChangedDropped)),
    ("kernel and boot are known", Case::Look(looks::kernel_and_boot)),
    ("every index belongs to one interface", Case::Look(looks::indices)),
    ("no name belongs to two interfaces", Case::Look(looks::interface_names)),
    (
        "a port's interface points back to a port that is there",
        Case::Look(looks::ports_of_interfaces),
    ),
    ("no port has more virtual functions than it can have", Case::Look(looks::virtual_functions)),
    ("speed is absent while a link is down", Case::Look(looks::speeds)),
    ("only the modules of the stack and its companions are told", Case::Look(looks::module_names)),
    ("holders of a loaded module are loaded", Case::Look(looks::holders)),
    ("what onload and sfc_char need holds them", Case::Look(looks::parents)),
    (
        "references are at least as many as holders, and absent in flight",
        Case::Look(looks::references),
    ),
    ("what the driver says is absent exactly when onload is", Case::Look(looks::driver)),
    ("each device node is answered for, and no other", Case::Look(looks::device_nodes)),
    ("releases lie below an absolute root and hold something", Case::Look(looks::releases)),
    ("module files are absolute and of a kernel", Case::Look(looks::module_files)),
    ("routes add up", Case::Look(looks::routes)),
    ("users use something", Case::Look(looks::users)),
    ("clocks are found only by a look for them", Case::Look(clocks::unasked)),
    ("trust is of the kernel that runs", Case::Look(trust::kernels)),
    ("rings hold what such rings hold", Case::Look(trust::rings)),
    ("what the kernel enforces is what it was built for", Case::Look(trust::enforcement)),
    ("nothing is read of shim where there is no EFI", Case::Look(trust::without_efi)),
    ("a look survives writing and reading", Case::Look(looks::serialization)),
];

/// Runs all cases: the name of each and how it went.
pub async fn run<H: Host>(host: &H) -> Vec<(&'static str, Result<()>)> {
    let mut verdicts = Vec::new();
    for (name, case) in CASES {
        let verdict = match case {
            Case::Look(promise) => match Box::pin(settled(host)).await {
                Ok(snapshot) => promise(&snapshot),
                Err(error) => Err(error),
            },
            // A look holds much on its way; on the heap it does not fill a small stack.
            Case::Behaviour(behaviour) => Box::pin(behaves(host, behaviour)).await,
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
        Behaviour::ClockLook => Box::pin(clocks::asked(host)).await,
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
    let registered = before.af_xdp.known().into_iter().flat_map(|seen| seen.known.iter().cloned());
    let registered = registered.map(|interface| Step::RegisterAfXdp { interface });
    for step in steps.into_iter().chain(registered) {
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
        looks::users(&deep)?;
        deep.users = usual.users.clone();
        deep.attached = usual.attached.clone();
        deep.network = usual.network.clone();
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

//! `verify`: step by step, whether Onload works on this node, and what to do where it does not. What
//! onloadd has a condition for is judged by that; device nodes, processes and a program's own stack are
//! looked at here. `onload-core` judges.

mod child;
mod host;
mod node;
mod page;
mod patience;
mod pods;

use std::path::{Path, PathBuf};

use clap::Args as Group;
use onload_core::verify::{Check, Summary, Verdict};
use onload_dbus::error::{Kind, exit};

use crate::args::Bus as Choice;
use crate::bus::Bus;
use crate::ended::{Complaint, Ended};
use crate::render::Output;
use host::Host;
use node::Seen;
use page::Report;

/// What the verdicts mean to a script. Codes: one table in `onload-dbus`.
const EXIT_CODES: &str = "Verdicts, and how it ends by the worst of them:
  pass, skip, warn  0  it works; a warning is worth reading
  fail              1  something does not work
  blocked           4  nothing is broken; something is in the way
  -                 5  onloadd cannot be reached; what can be seen without it is shown

Root sees more: processes of others, and with them whether containers are accelerated.";

/// How.
#[derive(Clone, Debug, Group)]
#[command(after_help = EXIT_CODES)]
pub struct VerifyArgs {
    /// Look into the containers of this pod, from outside, in place of the node
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = pod)]
    pub pod: Option<Pod>,
    /// The pool of which a device is lent to a program, to see whether it gets a stack
    #[arg(long, value_name = "POOL", default_value = "onload")]
    pub pool: String,
    /// Start no program and borrow no device
    #[arg(long)]
    pub no_program: bool,
    /// Read the machine below this directory
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    pub root: PathBuf,
    /// Be the program
    #[arg(long, hide = true)]
    pub hold_sockets: bool,
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    namespace: String,
    name: String,
}

fn pod(text: &str) -> Result<Pod, String> {
    match text.split_once('/') {
        Some((namespace, name))
            if !namespace.is_empty() && !name.is_empty() && !name.contains('/') =>
        {
            Ok(Pod { namespace: namespace.to_owned(), name: name.to_owned() })
        }
        _ => Err("a namespace and a name, such as default/web".into()),
    }
}

/// Does it.
pub async fn run(choice: &Choice, output: Output, how: VerifyArgs) -> Result<u8, Ended> {
    if how.hold_sockets {
        return child::hold_sockets();
    }
    let host = open(&how.root)?;
    let report = match (&how.pod, connected(choice).await) {
        (None, Ok((bus, seen))) => of_node(&bus, &seen, &host, &how).await?,
        (Some(pod), Ok((_, seen))) => of_pod(pod, &seen, &host)?,
        // What can be seen without onloadd is shown; a pod's devices cannot.
        (None, Err(Ended::Complaint(complaint))) if complaint.exit == exit::UNREACHABLE => {
            alone(&complaint, &host)
        }
        (_, Err(ended)) => return Err(ended),
    };
    output.page(&report)?;
    Ok(report.exit)
}

fn open(root: &Path) -> Result<Host, Complaint> {
    Host::open(root).map_err(|error| {
        let what = "nothing was looked at";
        let why = format!("{}: {error}", root.display());
        Complaint::of(Kind::InvalidArgument, what, why, "name the root of a machine")
    })
}

async fn connected(choice: &Choice) -> Result<(Bus, Seen), Ended> {
    let bus = Bus::connect(choice).await?;
    let seen = node::read(&bus).await?;
    Ok((bus, seen))
}

/// The machine, where it is the one that onloadd speaks of: one of a simulation is not.
fn here<'a>(seen: &Seen, host: &'a Host) -> Result<&'a Host, String> {
    match (&seen.status.boot_id, host.boot_id()) {
        (Some(told), Some(own)) if *told == own => Ok(host),
        (Some(told), Some(own)) => {
            Err(format!("onloadd speaks of another machine or boot ({told}) than this one ({own})"))
        }
        (_, _) => Err("whether onloadd speaks of this machine cannot be told".to_owned()),
    }
}

async fn of_node(bus: &Bus, seen: &Seen, host: &Host, how: &VerifyArgs) -> Result<Report, Ended> {
    let here = here(seen, host);
    let here = here.as_deref().map_err(String::as_str);
    let stack = Check::new("stack", "a program gets a stack", "");
    let stack = match here {
        _ if how.no_program => stack.skip("--no-program"),
        Err(why) => stack.skip(why),
        Ok(host) => child::look(bus, host, &how.pool).await?,
    };
    Ok(report(seen.checks(here, stack), true))
}

fn of_pod(pod: &Pod, seen: &Seen, host: &Host) -> Result<Report, Ended> {
    let here = here(seen, host);
    let here = here.as_deref().map_err(String::as_str);
    let wanted = Some((pod.namespace.as_str(), pod.name.as_str()));
    let containers = seen.containers(wanted, here);
    if containers.is_empty() {
        let what = format!("the pod {}/{} was not looked into", pod.namespace, pod.name);
        let why = "no container of that name holds a device of this node";
        let fix = "`onloadctl allocations` names those that do; a new pod is named by the kubelet within seconds";
        return Err(Complaint::of(Kind::NotFound, what, why, fix).into());
    }
    let nodes = here.map(Host::device_nodes).unwrap_or_default();
    let checks = containers.iter().flat_map(|one| {
        [one.devices(), one.preload(), one.library(), one.nodes(&nodes), one.variables()]
    });
    Ok(report(checks.collect(), true))
}

/// What the machine shows by itself.
fn alone(complaint: &Complaint, host: &Host) -> Report {
    use onload_core::verify::host as judge;
    let modules = host.modules();
    let loaded = modules.known().map(|all| all.iter().any(|name| name == "onload"));
    let checks = vec![
        Check::new("bus", "onloadd answers", complaint.why.clone())
            .fail(complaint.what.clone(), complaint.fix.clone()),
        judge::modules(&modules),
        judge::ports(&host.functions(), &host.own_driver()),
        judge::nodes(&host.device_nodes(), loaded),
        judge::control_plane(&host.servers()),
    ];
    report(checks, false)
}

fn report(checks: Vec<Check>, reached: bool) -> Report {
    let summary = Summary::of(&checks, reached);
    let exit = match summary.verdict {
        _ if !reached => exit::UNREACHABLE,
        Some(Verdict::Fail) => Kind::Internal.row().exit,
        Some(Verdict::Blocked) => Kind::Blocked.row().exit,
        Some(Verdict::Warn | Verdict::Skip | Verdict::Pass) | None => exit::AS_WANTED,
    };
    Report { checks, summary, exit }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_a_namespace_and_a_name() {
        let web = Pod { namespace: "default".to_owned(), name: "web-1".to_owned() };
        assert_eq!(pod("default/web-1"), Ok(web));
        for wrong in ["web-1", "/web", "default/", "a/b/c", ""] {
            assert!(pod(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_worst_verdict_ends_it() {
        let check = Check::new("a", "A", "");
        let cases = [
            (vec![check.clone()], true, 0),
            (vec![check.clone().warn("w", "f"), check.clone().skip("s")], true, 0),
            (vec![check.clone().blocked("w", "f"), check.clone().warn("w", "f")], true, 4),
            (vec![check.clone().blocked("w", "f"), check.clone().fail("w", "f")], true, 1),
            (vec![check.clone().fail("w", "f")], false, 5),
            (vec![check], false, 5),
        ];
        for (checks, reached, code) in cases {
            assert_eq!(report(checks, reached).exit, code);
        }
    }
}

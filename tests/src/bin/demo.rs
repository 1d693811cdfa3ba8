//! `make demo`: the whole product on a simulated two-socket node, as a transcript to follow.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use onload_tests::background::Background;
use onload_tests::kubelet::{Devices, Holding, Kubelet, healthy};
use onload_tests::node::{Node, PATIENCE};

/// The resource of the demo's pool.
const RESOURCE: &str = "amd.com/onload";

fn main() -> ExitCode {
    match demo() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!(
                "\nerror: the demo did not end well\n  why: {error:#}\n  fix: the log above tells more; `make test` shows which part is broken"
            );
            ExitCode::FAILURE
        }
    }
}

fn demo() -> anyhow::Result<()> {
    let background = Background::start()?;
    let mut node = Node::simulated("two-x2522")?;

    say("1", "A node with two X2522 cards, one on each socket, and onloadd on a private bus");
    show(&node, &["status"])?;
    show(&node, &["ports"])?;

    say("2", "A kubelet starts; onloadd offers it the pool");
    let kubelet = background.run(Kubelet::start(node.kubelet_directory()))?;
    let devices = wait(&background, &kubelet, |devices| healthy(devices) == 100)?;
    tell(&format!("the kubelet has {} devices of {RESOURCE}", healthy(&devices)));
    for numa in [0, 1] {
        let near = devices.values().filter(|device| device.numa == [numa]).count();
        tell(&format!("  {near} of them on NUMA node {numa}"));
    }
    show(&node, &["pools"])?;

    say("3", "A pod asks for amd.com/onload: 1; the kubelet calls Allocate");
    let pod = background
        .run(kubelet.allocate(RESOURCE, 1))
        .map_err(|refused| anyhow::anyhow!("{refused:?}"))?;
    print_answer(&pod);
    node.until("the container among the allocations", |node| {
        Ok(node.ctl_ok(["allocations"])?.contains("a1"))
    })?;
    show(&node, &["allocations"])?;

    say("4", "A local program borrows a device; its slot is withdrawn from the kubelet first");
    show(&node, &["allocate", "onload", "--lease", "1h"])?;
    let devices = wait(&background, &kubelet, |devices| healthy(devices) == 99)?;
    let withdrawn: Vec<_> =
        devices.iter().filter(|(_, device)| !device.is_healthy()).map(|(id, _)| id).collect();
    tell(&format!("the kubelet now sees as not to be had: {withdrawn:?}"));
    show(&node, &["allocations"])?;

    say("5", "The kubelet restarts: it forgets us and deletes our socket");
    let ready = background.run(kubelet.restart())?;
    wait(&background, &kubelet, |devices| healthy(devices) == 99)?;
    tell(&format!(
        "registered again, with every device known, {} ms after its socket was back",
        since(ready)
    ));

    say(
        "6",
        "The onload driver goes away while modprobe is broken; devices say why they cannot work",
    );
    node.act("fault load onload error times 2")?;
    node.act("driver gone onload")?;
    wait(&background, &kubelet, |devices| healthy(devices) == 0)?;
    tell("the kubelet sees no healthy device any more");
    show(&node, &["status"])?;
    show(&node, &["why", "onload-7"])?;

    say("7", "onloadd tries again by itself, and the node recovers");
    node.until_state("ready")?;
    wait(&background, &kubelet, |devices| healthy(devices) == 99)?;
    tell("the kubelet sees 99 healthy devices again; the pod and the local program kept theirs");
    show(&node, &["allocations"])?;

    say("8", "The daemon is killed (kill -9) and started again: nothing is lost");
    node.kill()?;
    node.start()?;
    wait(&background, &kubelet, |devices| healthy(devices) == 99)?;
    let allocations = node.ctl_ok(["allocations"])?;
    ensure!(allocations.contains("onload-99"), "the local allocation is gone:\n{allocations}");
    print!("{}", indented(&allocations));
    node.stop()?;
    println!("\nThat was all of it. `make test` proves it, README.md says how to install it.");
    Ok(())
}

fn say(number: &str, what: &str) {
    println!("\n== {number}. {what}");
}

fn tell(what: &str) {
    println!("   {what}");
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("   {line}\n")).collect()
}

/// Runs onloadctl as a person would and shows both. Its exit status may tell a state.
fn show(node: &Node, arguments: &[&str]) -> anyhow::Result<()> {
    println!("\n   $ onloadctl {}", arguments.join(" "));
    let output = node.ctl(arguments)?;
    print!("{}", indented(&String::from_utf8_lossy(&output.stdout)));
    eprint!("{}", indented(&String::from_utf8_lossy(&output.stderr)));
    let blocked = arguments == ["status"] && output.status.code() == Some(4);
    ensure!(
        output.status.success() || blocked,
        "onloadctl ended with {}\n{}",
        output.status,
        node.log()
    );
    Ok(())
}

fn print_answer(pod: &Holding) {
    tell(&format!("device {}; its container gets", pod.ids.join(", ")));
    for (name, value) in &pod.response.envs {
        tell(&format!("  environment  {name}={value}"));
    }
    for mount in &pod.response.mounts {
        tell(&format!(
            "  mount        {} on {} (read-only)",
            mount.host_path, mount.container_path
        ));
    }
    for device in &pod.response.devices {
        tell(&format!("  device node  {} ({})", device.host_path, device.permissions));
    }
}

fn wait(
    background: &Background,
    kubelet: &Kubelet,
    holds: impl Fn(&Devices) -> bool,
) -> anyhow::Result<Devices> {
    background
        .run(kubelet.wait_for(RESOURCE, PATIENCE, holds))
        .context("the kubelet did not get the list it should")
}

fn since(start: Instant) -> u128 {
    Instant::now().saturating_duration_since(start).max(Duration::from_millis(1)).as_millis()
}

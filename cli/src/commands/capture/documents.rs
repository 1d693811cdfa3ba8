//! What onloadd says: one document for each verb that reads, as its `--json` has it.

use serde::Serialize;

use super::gather::Gathered;
use crate::args;
use crate::bus::Bus;
use crate::commands::{
    allocations, clock, config, devices, history, jobs, keys, modules, naming, plan, pools, ports,
    release, status,
};
use crate::ended::Ended;
use crate::render;

/// Asks for all of them. The first that shows that nobody answers ends it.
pub(super) async fn add(all: &mut Gathered, below: &str, choice: &args::Bus) {
    let bus = match Bus::connect(choice).await {
        Ok(bus) => bus,
        Err(why) => return all.missing("what onloadd says", reason(&why)),
    };
    if let Err(why) = bus.node().await {
        return all.missing("what onloadd says", reason(&why));
    }
    let mut put = |name: &str, document: Result<Vec<u8>, String>| match document {
        Ok(text) => all.tree.file(&format!("{below}/{name}.json"), text),
        Err(why) => all.missing(name, why),
    };
    put("status", text(status::read(&bus).await));
    put("ports", text(ports::read(&bus).await));
    put("modules", text(modules::read(&bus).await));
    put("allocations", text(allocations::read(&bus).await));
    put("plan", text(plan::read(&bus).await));
    put("naming-plan", text(naming::read(&bus).await));
    put("releases", text(release::read(&bus).await));
    put("clock-status", text(clock::read_status(&bus).await));
    put("clock-conflicts", text(clock::read_conflicts(&bus).await));
    put("keys-status", text(keys::read_status(&bus).await));
    put("keys", text(keys::read_list(&bus).await));
    put("jobs", text(jobs::read(&bus).await));
    put("history", text(history::read(&bus).await));
    put("config", text(config::read(&bus).await));
    let pools = pools::read(&bus).await;
    let names: Vec<String> =
        pools.iter().flat_map(|all| &all.pools).map(|pool| pool.name.clone()).collect();
    put("pools", text(pools));
    for name in names {
        put(&format!("pool-{name}"), text(devices::read(&bus, &name).await));
    }
}

fn text<T: Serialize>(read: Result<T, Ended>) -> Result<Vec<u8>, String> {
    let value = read.map_err(|ended| reason(&ended))?;
    render::json(&value).map_err(|error| error.to_string())
}

fn reason(ended: &Ended) -> String {
    match ended {
        Ended::Complaint(complaint) => format!("{}: {}", complaint.what, complaint.why),
        Ended::Output(error) => error.to_string(),
    }
}

//! What changes is seen without asking again.

use std::process::Stdio;
use std::sync::Arc;

use onload_core::picture::NodeState;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

use crate::rig::{PATIENCE, Rig, allocation, node};
use crate::run::command;

pub struct Live {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Live {
    pub fn start(rig: &Rig, words: &[&str]) -> Self {
        let mut child = command(&rig.bus.address(), words).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    pub async fn line(&mut self) -> String {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await;
        line.expect("nothing came").unwrap().expect("onloadctl ended")
    }

    pub async fn json(&mut self) -> Value {
        serde_json::from_str(&self.line().await).unwrap()
    }

    /// Ctrl-C is how people end it, and no failure.
    pub async fn interrupt(mut self) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        let pid = nix::unistd::Pid::from_raw(pid);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap();
        assert_eq!(ended.code(), Some(0));
    }
}

#[tokio::test]
async fn a_page_is_shown_again_when_it_changes() {
    let rig = Rig::new(node()).await;
    let mut live = Live::start(&rig, &["allocations", "--watch", "--json"]);
    assert_eq!(live.json().await["allocations"].as_array().unwrap().len(), 1);
    rig.alter(|picture| {
        Arc::make_mut(&mut picture.allocations).insert(allocation(2).id, Arc::new(allocation(2)));
    });
    let page = live.json().await;
    assert_eq!(page["allocations"][1]["id"], "a2", "{page}");
    // A change of something else shows nothing anew: the next line is the one after it.
    rig.alter(|picture| picture.state = NodeState::Blocked);
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    rig.alter(|picture| {
        Arc::make_mut(&mut picture.allocations).clear();
    });
    assert_eq!(live.json().await["allocations"], json!([]));
    live.interrupt().await;
}

#[tokio::test]
async fn text_pages_come_one_after_the_other() {
    let rig = Rig::new(node()).await;
    let mut live = Live::start(&rig, &["status", "--watch"]);
    assert!(live.line().await.starts_with("● ready"));
    rig.alter(|picture| picture.state = NodeState::Degraded);
    let mut line = String::new();
    while !line.starts_with("● degraded") {
        line = live.line().await;
    }
    live.interrupt().await;
}

#[tokio::test]
async fn watch_prints_a_line_per_change() {
    let rig = Rig::new(node()).await;
    let mut live = Live::start(&rig, &["watch", "--json"]);
    // It says nothing before the first change, so changes are made until one is seen.
    let mut pulse = tokio::time::interval(std::time::Duration::from_millis(100));
    let first = loop {
        tokio::select! {
            line = live.lines.next_line() => break line.unwrap().expect("onloadctl ended"),
            _ = pulse.tick() => rig.alter(|picture| {
                picture.summary = format!("{}.", picture.summary);
            }),
        }
    };
    let first: Value = serde_json::from_str(&first).unwrap();
    assert_eq!((&first["kind"], &first["property"]), (&json!("node"), &json!("summary")));
    assert_eq!(first["to"], json!(format!("{}.", first["from"].as_str().unwrap())));

    rig.alter(|picture| {
        Arc::make_mut(&mut picture.allocations).insert(allocation(2).id, Arc::new(allocation(2)));
    });
    let mut line = first;
    while line["kind"] == "node" {
        line = live.json().await;
    }
    assert_eq!(
        (&line["kind"], &line["name"], &line["change"], &line["to"]["device"]),
        (&json!("allocation"), &json!("a2"), &json!("appeared"), &json!("onload-2"))
    );
    rig.alter(|picture| Arc::make_mut(&mut picture.allocations).clear());
    let mut gone = [live.json().await, live.json().await];
    gone.sort_by_key(|line| line["name"].to_string());
    assert_eq!(gone[1]["change"], "gone");
    assert_eq!(gone[1]["from"]["device"], "onload-2");

    rig.edge.abort();
    let gone = live.json().await;
    assert_eq!((&gone["kind"], &gone["change"]), (&json!("daemon"), &json!("gone")));
    live.interrupt().await;
}

#[tokio::test]
async fn a_restart_of_the_daemon_is_waited_for() {
    let rig = Rig::new(node()).await;
    let mut live = Live::start(&rig, &["status", "--watch", "--json"]);
    assert_eq!(live.json().await["state"], "ready");
    rig.edge.abort();
    let mut picture = node();
    picture.state = NodeState::Held;
    let mut second = Rig::on(rig.bus, picture);
    second.served().await;
    assert_eq!(live.json().await["state"], "held");
    live.interrupt().await;
}

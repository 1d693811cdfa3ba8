//! The bus goes and comes; what is served does not change by it.

use std::collections::HashMap;

use onload_dbus::error::{self, exit};
use onload_dbus::path::{self, Kind};
use onload_dbus::proxies::{AllocationProxy, ManagerProxy};
use onload_tests::bus::Bus;
use onloadd::bus::{Address, ServeError, serve};
use onloadd::letterbox::{Letterbox, Notice};

use crate::rig::{PATIENCE, Rig, node};

#[tokio::test]
async fn a_bus_that_restarts_finds_everything_again() {
    let mut rig = Rig::new(node()).await;
    let before = rig.client().await;
    let manager = ManagerProxy::new(&before).await.unwrap();
    let lent = manager.allocate("onload", 1, HashMap::new()).await.unwrap();
    for _ in 0..3 {
        rig.bus.stop().unwrap();
        tokio::time::timeout(PATIENCE, rig.serving.wait_for(|serving| !*serving))
            .await
            .expect("the loss is noticed")
            .unwrap();
        rig.bus.start().unwrap();
        rig.served().await;
        let client = rig.client().await;
        let object = AllocationProxy::builder(&client).path(&lent[0].0).build().await.unwrap();
        assert_eq!(object.device().await.unwrap(), lent[0].1, "still lent");
        let manager = ManagerProxy::new(&client).await.unwrap();
        manager.unhold().await.unwrap();
    }
    rig.noticed(&Notice::BusLost).await;
    let notices = rig.posted.lock().unwrap().notices.clone();
    assert_eq!(notices, [Notice::BusLost, Notice::BusLost, Notice::BusLost], "no client went");
}

#[tokio::test]
async fn changes_made_without_a_bus_are_there_with_it() {
    let mut rig = Rig::on(Bus::prepare().unwrap(), node());
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    rig.alter(|picture| picture.summary = "while nobody listened".to_owned());
    rig.bus.start().unwrap();
    rig.served().await;
    let client = rig.client().await;
    let manager = ManagerProxy::new(&client).await.unwrap();
    assert_eq!(manager.summary().await.unwrap(), "while nobody listened");
    let first = path::of(Kind::Allocation, "a1");
    let object = AllocationProxy::builder(&client).path(first).build().await.unwrap();
    assert_eq!(object.device().await.unwrap(), "onload-1");
}

#[tokio::test]
async fn a_second_daemon_is_refused_and_the_first_serves_on() {
    let rig = Rig::new(node()).await;
    let (letterbox, _pictures, _posts) = Letterbox::new();
    let second = serve(letterbox, Address::Other(rig.bus.address()));
    let refused = tokio::time::timeout(PATIENCE, second).await.unwrap().unwrap_err();
    assert!(matches!(refused, ServeError::AnotherRuns(_)));
    assert!(refused.to_string().contains("another onloadd runs"), "{refused}");
    let client = rig.client().await;
    assert_eq!(ManagerProxy::new(&client).await.unwrap().state().await.unwrap(), "ready");
}

#[tokio::test]
async fn the_edge_ends_with_the_loop_and_clients_are_told_so() {
    let mut rig = Rig::new(node()).await;
    let client = rig.client().await;
    let manager = ManagerProxy::new(&client).await.unwrap();
    // The loop's ends are the sender here and the one its stand-in holds.
    let (pictures, _) = tokio::sync::watch::channel(Default::default());
    drop(std::mem::replace(&mut rig.pictures, std::sync::Arc::new(pictures)));
    rig.end_loop();
    tokio::time::timeout(PATIENCE, &mut rig.edge).await.unwrap().unwrap().unwrap();
    let error = manager.unhold().await.unwrap_err();
    assert_eq!(error::exit_code(&error), exit::UNREACHABLE, "{error}");
}

#[test]
fn an_address_is_one_of_three() {
    for (text, address) in [
        ("system", Address::System),
        ("session", Address::Session),
        ("unix:path=/run/x", Address::Other("unix:path=/run/x".to_owned())),
    ] {
        assert_eq!(text.parse::<Address>(), Ok(address.clone()));
        assert_eq!(address.to_string(), text);
    }
}

//! What configurations of container networks and their caches mean for a port.

use super::*;
use crate::reading::Reading;

fn port() -> Interface {
    Interface {
        altnames: BTreeSet::from(["enp0s5".to_owned()]),
        port: Reading::Known("0000:00:05.0".parse().unwrap()),
        mac: Reading::Known("52:54:00:00:00:05".parse().unwrap()),
        ..Interface::default()
    }
}

fn meant(text: &str) -> Vec<(String, Fate)> {
    let all = parse(text.as_bytes()).unwrap();
    let name = "ens5".parse().unwrap();
    let means = all.into_iter().filter(|one| one.means(&name, &port()));
    means.map(|one| (one.plugin, one.fate)).collect()
}

#[test]
fn a_port_is_meant_by_each_of_its_names() {
    let moved = |plugin: &str| vec![(plugin.to_owned(), Fate::Moved)];
    let carries = |plugin: &str| vec![(plugin.to_owned(), Fate::Carries)];
    for (text, expected) in [
        (r#"{"type":"host-device","device":"ens5"}"#, moved("host-device")),
        (r#"{"type":"host-device","device":"enp0s5"}"#, moved("host-device")),
        (r#"{"type":"host-device","hwaddr":"52:54:00:00:00:05"}"#, moved("host-device")),
        (r#"{"type":"host-device","pciBusID":"0000:00:05.0"}"#, moved("host-device")),
        (
            r#"{"type":"host-device","kernelpath":"/sys/devices/pci0000:00/0000:00:05.0/virtio2"}"#,
            moved("host-device"),
        ),
        (r#"{"type":"host-device","deviceID":"0000:00:05.0"}"#, moved("host-device")),
        (r#"{"type":"afxdp","deviceID":"ens5"}"#, moved("afxdp")),
        (r#"{"type":"bond","links":[{"name":"ens6"},{"name":"ens5"}]}"#, moved("bond")),
        (r#"{"type":"ipvlan","master":"ens5"}"#, carries("ipvlan")),
        (r#"{"type":"macvlan","master":"ens5","mode":"bridge"}"#, carries("macvlan")),
        (
            r#"{"name":"a","plugins":[{"type":"ipvlan","master":"ens5"},{"type":"tuning"}]}"#,
            carries("ipvlan"),
        ),
        (
            r#"{"type":"multus","delegates":[{"type":"host-device","device":"ens5"}]}"#,
            moved("host-device"),
        ),
    ] {
        assert_eq!(meant(text), expected, "{text}");
    }
}

#[test]
fn what_names_another_interface_or_a_containers_own_means_none() {
    for text in [
        r#"{"type":"host-device","device":"ens6"}"#,
        r#"{"type":"host-device"}"#,
        r#"{"type":"host-device","kernelpath":"/sys/devices/pci0000:00/0000:00:05.0/0000:01:00.0"}"#,
        r#"{"type":"bond","linksInContainer":true,"links":[{"name":"ens5"}]}"#,
        r#"{"type":"ipvlan","linkInContainer":true,"master":"ens5"}"#,
        r#"{"type":"ipvlan","master":""}"#,
        r#"{"type":"bridge","bridge":"cni0"}"#,
        r#"{"type":"sriov","deviceID":"0000:00:05.0"}"#,
        r#"{"master":"ens5"}"#,
        r#"{"type":7,"master":["ens5"],"plugins":"ipvlan"}"#,
        "[]",
        "null",
    ] {
        assert_eq!(meant(text), [], "{text}");
    }
    assert!(parse(b"").is_err() && parse(b"{").is_err());
    assert!(meant(&format!("{}1{}", "[".repeat(100), "]".repeat(100))).is_empty());
}

#[test]
fn a_cache_has_the_container_and_the_configuration_in_use() {
    let text = r#"{"kind":"cniCacheV1","containerId":"0123456789abcdef","ifName":"net1",
        "networkName":"fast",
        "config":"eyJ0eXBlIjoiaXB2bGFuIiwibWFzdGVyIjoiZW5zNSJ9",
        "netns":"/var/run/netns/a",
        "result":{"interfaces":[{"name":"net1","sandbox":"/var/run/netns/a"}]}}"#;
    let seen = parse_cached(text.as_bytes()).unwrap().unwrap();
    assert_eq!(seen.namespaces, BTreeSet::from(["/var/run/netns/a".to_owned()]));
    assert_eq!(seen.attached.place(), "container 0123456789ab, net1");
    let [by] = &seen.attached.by[..] else { panic!("{seen:?}") };
    assert!(by.fate == Fate::Carries && by.means(&"ens5".parse().unwrap(), &port()));
    // What came before that format has a result and no configuration.
    assert_eq!(parse_cached(br#"{"cniVersion":"0.3.1","interfaces":[]}"#).unwrap(), None);
    assert!(parse_cached(b"").is_err());
}

#[test]
fn multus_keeps_delegates_as_they_were_given() {
    let text = r#"[{"Conf":{"type":"ipvlan"},"Name":"fast","ifnameRequest":"net1",
        "Bytes":"eyJ0eXBlIjoiaXB2bGFuIiwibWFzdGVyIjoiZW5zNSJ9"}]"#;
    assert_eq!(meant(text), [("ipvlan".to_owned(), Fate::Carries)]);
    // One inside another for ever is given up.
    let mut nested = text.to_owned();
    for _ in 0..6 {
        nested = format!(r#"{{"delegates":[{nested}]}}"#);
    }
    assert_eq!(meant(&nested), []);
}

//! Clients of the plugin's socket that are wrong, hostile or dying: each gets an error or nothing,
//! and the daemon serves the kubelet as before, with not one descriptor more.

use std::fs;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use onload_tests::kubelet::Fault;
use onload_tests::node::{Node, PATIENCE};
use onloadd::kubelet::api::device_plugin_client::DevicePluginClient;
use onloadd::kubelet::api::registration_client::RegistrationClient;
use onloadd::kubelet::api::{
    AllocateRequest, ContainerAllocateRequest, ContainerPreferredAllocationRequest, Empty,
    PreStartContainerRequest, PreferredAllocationRequest, RegisterRequest,
};
use onloadd::kubelet::pods_api::ListPodResourcesRequest;
use onloadd::kubelet::pods_api::pod_resources_lister_client::PodResourcesListerClient;
use tonic::Code;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::rig::{ALL, RESOURCE, Rig, condition, in_three_parts};

/// What every HTTP/2 client says first (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

async fn channel(socket: &std::path::Path) -> Channel {
    let endpoint = Endpoint::try_from(format!("unix://{}", socket.display())).unwrap();
    endpoint.origin(Uri::from_static("http://localhost")).connect().await.unwrap()
}

fn descriptors(rig: &Rig) -> usize {
    fs::read_dir(format!("/proc/{}/fd", rig.node.pid().unwrap())).unwrap().count()
}

/// A node, abused; then a kubelet must have all devices, a pod one of them, and nothing be left.
fn unharmed(abuse: impl FnOnce(&Rig)) {
    let mut rig = Rig::new();
    // What is opened once and kept, is open from here on.
    let warm = rig.try_pod(1).unwrap();
    rig.kubelet.release(RESOURCE, &warm.ids);
    rig.held_by(&[]);
    let (pid, before) = (rig.node.pid(), descriptors(&rig));
    abuse(&rig);
    rig.served();
    let pod = rig.pod();
    rig.held_by(&[&pod]);
    rig.kubelet.release(RESOURCE, &pod.ids);
    rig.held_by(&[]);
    let begun = Instant::now();
    while descriptors(&rig) > before {
        assert!(begun.elapsed() < PATIENCE, "{before} descriptors, now {}", descriptors(&rig));
        std::thread::sleep(Duration::from_millis(20));
    }
    let alive = fs::metadata(format!("/proc/{}", pid.unwrap())).is_ok();
    assert!(alive && rig.node.pid() == pid, "{}", rig.node.log());
    assert!(!rig.node.log().contains("panicked"), "{}", rig.node.log());
}

fn asked(containers: &[Vec<String>]) -> AllocateRequest {
    let container = |ids: &Vec<String>| ContainerAllocateRequest { devices_ids: ids.clone() };
    AllocateRequest { container_requests: containers.iter().map(container).collect() }
}

#[test]
fn wrong_requests_get_clean_errors() {
    let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    let many: Vec<_> = (0..10_001).map(|slot| format!("onload-{slot}")).collect();
    let cases = [
        ("an unknown id", vec![ids(&["onload-100"])], Code::NotFound),
        ("one unknown among known", vec![ids(&["onload-1", "onload-777"])], Code::NotFound),
        ("of another pool", vec![ids(&["fast-0"])], Code::NotFound),
        ("an id twice", vec![ids(&["onload-1", "onload-1"])], Code::InvalidArgument),
        ("an id in two containers", vec![ids(&["onload-1"]); 2], Code::InvalidArgument),
        ("no container", vec![], Code::InvalidArgument),
        ("no id", vec![vec![]], Code::InvalidArgument),
        ("ten thousand and one", vec![many], Code::InvalidArgument),
        ("no text of ours", vec![ids(&["../../etc/passwd\u{1b}[2J"])], Code::InvalidArgument),
    ];
    unharmed(|rig| {
        let calls = async {
            let mut client = DevicePluginClient::new(channel(&rig.socket()).await);
            for (why, containers, code) in cases {
                let status = client.allocate(asked(&containers)).await.unwrap_err();
                assert_eq!(status.code(), code, "{why}: {status}");
                assert!(in_three_parts(status.message()), "{why}: {status}");
                let plain = status.message().chars().all(|c| c == '\n' || !c.is_control());
                assert!(plain && status.message().len() < 1000, "{why}: {:?}", status.message());
            }
            let oversize = asked(&[ids(&[&"x".repeat(4 * 1024 * 1024 + 1)])]);
            let status = client.allocate(oversize).await.unwrap_err();
            assert_eq!(status.code(), Code::OutOfRange, "{status}");
            // The same connection still serves.
            client.get_device_plugin_options(Empty {}).await.unwrap();
        };
        rig.background.run(calls);
        assert_eq!(crate::rig::lent(&rig.node), [], "nothing of a refused request is lent");
    });
}

#[test]
fn wrong_questions_are_answered_short_or_refused() {
    let container = |available: &[&str], must: &[&str], size| ContainerPreferredAllocationRequest {
        available_device_ids: available.iter().map(|id| (*id).to_owned()).collect(),
        must_include_device_ids: must.iter().map(|id| (*id).to_owned()).collect(),
        allocation_size: size,
    };
    let cases = [
        ("unknown ones", container(&["onload-100", "x"], &[], 2), 0),
        ("fewer than nothing", container(&["onload-0"], &[], -7), 0),
        ("more than there are", container(&["onload-0", "onload-1"], &[], i32::MAX), 2),
        ("the same twice", container(&["onload-0", "onload-0"], &[], 2), 1),
        ("must twice", container(&["onload-0"], &["onload-0", "onload-0"], 2), 1),
    ];
    unharmed(|rig| {
        let calls = async {
            let mut client = DevicePluginClient::new(channel(&rig.socket()).await);
            for (why, container, count) in cases {
                let request = PreferredAllocationRequest { container_requests: vec![container] };
                let answer = client.get_preferred_allocation(request).await.unwrap().into_inner();
                assert_eq!(answer.container_responses[0].device_ids.len(), count, "{why}");
            }
            let none = PreferredAllocationRequest::default();
            let none = client.get_preferred_allocation(none).await.unwrap().into_inner();
            assert!(none.container_responses.is_empty());
            // What is said to it of a device that is not there; the daemon need only survive it.
            let strange = PreStartContainerRequest { devices_ids: vec!["nowhere".to_owned()] };
            let _ = client.pre_start_container(strange).await;
            client.get_device_plugin_options(Empty {}).await.unwrap();
        };
        rig.background.run(calls);
    });
}

#[test]
fn other_services_are_not_there() {
    unharmed(|rig| {
        let calls = async {
            let channel = channel(&rig.socket()).await;
            let mut kubelet = RegistrationClient::new(channel.clone());
            let status = kubelet.register(RegisterRequest::default()).await.unwrap_err();
            assert_eq!(status.code(), Code::Unimplemented, "{status}");
            let mut pods = PodResourcesListerClient::new(channel.clone());
            let status = pods.list(ListPodResourcesRequest {}).await.unwrap_err();
            assert_eq!(status.code(), Code::Unimplemented, "{status}");
            DevicePluginClient::new(channel).get_device_plugin_options(Empty {}).await.unwrap();
        };
        rig.background.run(calls);
    });
}

#[test]
fn a_pool_that_has_gone_is_refused_to_who_still_holds_on() {
    let mut rig = Rig::stopped("[pools.fast]\nslots = 2\n");
    rig.node.start().unwrap();
    rig.served();
    let two = |devices: &onload_tests::kubelet::Devices| devices.len() == 2;
    rig.background.run(rig.kubelet.wait_for("amd.com/fast", PATIENCE, two)).unwrap();
    let socket = rig.kubelet.dir().join("onloadd-fast.sock");
    let mut client = DevicePluginClient::new(rig.background.run(channel(&socket)));
    rig.background.run(client.get_device_plugin_options(Empty {})).unwrap();
    rig.node.configure("20-case.toml", "").unwrap();
    rig.node.ctl_ok(["reload"]).unwrap();
    rig.node.until("the socket to go", |_| Ok(!socket.exists())).unwrap();
    let call = client.allocate(asked(&[vec!["fast-0".to_owned()]]));
    let status = rig.background.run(call).unwrap_err();
    assert!(!matches!(status.code(), Code::Ok | Code::Internal), "{status}");
    assert_eq!(crate::rig::lent(&rig.node), []);
    rig.served();
}

#[test]
fn who_hangs_up_in_the_middle_takes_nothing_along() {
    unharmed(|rig| {
        let calls = async {
            for read in [true, false] {
                let mut client = DevicePluginClient::new(channel(&rig.socket()).await);
                let mut lists = client.list_and_watch(Empty {}).await.unwrap().into_inner();
                if read {
                    let list = lists.message().await.unwrap().unwrap();
                    assert_eq!(list.devices.len(), ALL);
                }
            }
        };
        rig.background.run(calls);
        rig.served();
        // A kubelet that dies while it waits for the answer: what was lent to nobody is freed.
        let calls = async {
            for slot in 40..60 {
                let mut client = DevicePluginClient::new(channel(&rig.socket()).await);
                let call = client.allocate(asked(&[vec![format!("onload-{slot}")]]));
                let _ = tokio::time::timeout(Duration::from_micros(40 * (slot - 40)), call).await;
            }
        };
        rig.background.run(calls);
    });
}

#[test]
fn what_is_no_http_2_is_let_go() {
    let endless = [&[0x10; 3][..], &[0; 6], &[b'x'; 4096]].concat();
    let headers = [PREFACE, &[0, 0, 0, 4, 0, 0, 0, 0, 0], &[0xff; 512]].concat();
    let words: [(&str, &[u8]); 7] = [
        ("nothing", b""),
        ("half a preface", &PREFACE[..11]),
        ("a preface and no more", PREFACE),
        ("an older protocol", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("a secret one", &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]),
        ("a frame without end", &endless),
        ("frames of no kind", &headers),
    ];
    for keep in [true, false] {
        unharmed(|rig| {
            let mut kept = Vec::new();
            for (what, bytes) in words {
                let mut stream = UnixStream::connect(rig.socket()).unwrap();
                // Refused before it has said all: as good.
                let _ = stream.write_all(bytes);
                if keep {
                    kept.push((what, stream));
                }
            }
            // While they hold on in silence.
            rig.served();
            let pod = rig.try_pod(1).unwrap();
            rig.kubelet.release(RESOURCE, &pod.ids);
        });
    }
}

#[test]
fn two_hundred_who_say_nothing_keep_nobody_out() {
    unharmed(|rig| {
        let idle: Vec<_> = (0..200).map(|_| UnixStream::connect(rig.socket()).unwrap()).collect();
        let pod = rig.try_pod(1).unwrap();
        rig.kubelet.release(RESOURCE, &pod.ids);
        rig.restart_kubelet();
        rig.served();
        drop(idle);
    });
}

#[test]
fn a_kubelet_of_another_version_is_heard_and_outlasted() {
    let mut rig = Rig::new();
    let text = "requested API version \"v1beta1\" is not supported by kubelet, only v2";
    rig.kubelet.set_fault(Some(Fault::RefuseRegister(text.to_owned())));
    rig.restart_kubelet();
    rig.condition("KubeletRegistered", "False");
    let said = |node: &Node| condition(node, "KubeletRegistered")["message"].to_string();
    rig.node.until("the kubelet's words", |node| Ok(said(node).contains("only v2"))).unwrap();
    assert!(rig.node.log().contains("only v2"));
    rig.node.ctl_ok(["allocate", "onload", "--lease", "1s"]).unwrap();
    rig.kubelet.set_fault(None);
    rig.restart_kubelet();
    rig.served();
    assert_eq!(condition(&rig.node, "KubeletRegistered")["status"], "True");
}

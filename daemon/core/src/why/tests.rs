//! What is said of each kind of subject.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::allocation::Holder;
use crate::blocker::Blocker;
use crate::config::PoolKind;
use crate::picture::ModulePicture;
use crate::picture::ReleasePicture;
use crate::pool::Cause;
use crate::release::preflight::{Fault, Objection};
use crate::sample::{PORTS, module, port};
use crate::secure_boot::certificate::Certificate;
use crate::secure_boot::enrolment::{Enrolment, Fingerprint};
use crate::secure_boot::kernel::Enforcement;
use crate::secure_boot::picture::{self as trusted, KeyPicture, SecureBootPicture};
use crate::secure_boot::signature::signed_data::SignerId;
use crate::secure_boot::trust::Trust;
use crate::secure_boot::verdict::reason::{Reason, called};
use crate::secure_boot::verdict::rule::Rule;
use crate::secure_boot::verdict::{Outcome, Verdict};
use crate::time::Timestamp;

/// A node with a port, a broken and a lent device, a wanted module that waits for another, and a
/// blocker.
fn picture() -> Picture {
    let port_shown = PortPicture {
        port: port(0),
        family: "X2".to_owned(),
        netdev: Some("ens1f0".parse().unwrap()),
        obstacle: Some(Cause::NoCarrier { port: PORTS[0].parse().unwrap() }),
        ..PortPicture::default()
    };
    let mut port_shown = port_shown;
    port_shown.interface.altnames.insert("enp59s0f0".to_owned());
    let shown = |module, wanted| ModulePicture { module, wanted, differing: Vec::new() };
    let device = |slot: usize, cause, lent| Device {
        id: format!("p-{slot}").parse().unwrap(),
        numa_node: Some(0),
        cause,
        local_only: slot == 2,
        lent,
    };
    let id = AllocationId(1);
    let allocation = Allocation {
        id,
        pool: "p".parse().unwrap(),
        device: "p-1".parse().unwrap(),
        holder: Holder::User { uid: 1000 },
        tenure: Tenure::Persistent,
        since: Timestamp(1),
    };
    let pool = PoolPicture {
        kind: PoolKind::Onload,
        resource: "amd.com/p".to_owned(),
        devices: Arc::new(vec![
            device(0, Some(Cause::LibrariesMissing), Lent::No),
            device(1, None, Lent::Local(id)),
            device(2, None, Lent::No),
            device(3, None, Lent::Withdrawn),
        ]),
        answer: None,
        registered: true,
        ..PoolPicture::default()
    };
    let unread = Blocker::Unreadable { part: "the list".to_owned(), why: "EIO".to_owned() };
    let modules = [
        ("sfc", shown(Reading::Known(module()), true)),
        ("mtd", shown(Reading::Known(module()), false)),
        ("onload", shown(Reading::Absent, true)),
        ("sfc_char", shown(Reading::Absent, true)),
        ("sfc_resource", shown(Reading::Unreadable("EIO".to_owned()), true)),
        ("ptp", shown(Reading::Absent, false)),
    ];
    Picture {
        wanted_release: Some("host".parse().unwrap()),
        plan: Arc::new(vec!["load module onload from host".to_owned()]),
        blockers: Arc::new(vec![Blocked { subject: "sfc".to_owned(), blocker: unread }]),
        ports: Arc::new(BTreeMap::from([(PORTS[0].parse().unwrap(), port_shown)])),
        modules: Arc::new(modules.map(|(name, one)| (name.parse().unwrap(), one)).into()),
        pools: Arc::new(BTreeMap::from([("p".parse().unwrap(), pool)])),
        allocations: Arc::new(BTreeMap::from([(id, Arc::new(allocation))])),
        ..Picture::default()
    }
}

#[test]
fn every_kind_of_subject_has_its_answer() {
    let no_carrier = "Onload cannot use it: port 0000:3b:00.0 has no carrier";
    let cases = [
        ("a port by address", PORTS[0], no_carrier),
        ("a port by its interface", "ens1f0", no_carrier),
        ("a port by another name of its interface", "enp59s0f0", no_carrier),
        ("loaded as wanted", "sfc", "wanted and loaded: it is left as it is"),
        (
            "loaded and not asked for",
            "mtd",
            "loaded, and the configuration does not ask for it: it is left alone",
        ),
        (
            "planned behind a blocker",
            "onload",
            "wanted and not loaded: its load waits for what is in the way of the node",
        ),
        ("another brings it", "sfc_char", "wanted and not loaded; another module brings it"),
        ("cannot be read", "sfc_resource", "nothing is decided about what cannot be read"),
        ("nobody wants it", "ptp", "not wanted and not loaded"),
        ("a pool with a broken device", "p", "1 of its 4 devices cannot be had"),
        ("a pool by its resource", "amd.com/p", "1 of its 4 devices cannot be had"),
        ("a broken device", "p-0", "it cannot be had: no Onload user libraries are installed"),
        ("a lent device", "p-1", "lent to user 1000 (a1)"),
        ("a free device", "p-2", "it can be had"),
        ("a device on its way to a program", "p-3", "about to be lent to a local program"),
        ("an allocation", "a1", "user 1000 has p-1"),
        ("what is well", "ledger", "the ledger is as it should be"),
    ];
    let picture = picture();
    for (why, subject, expected) in cases {
        let found = explain(&picture, subject).unwrap_or_else(|| panic!("{why}: no answer"));
        assert_eq!(found.decision, expected, "{why}");
    }
    for subject in ["", "p-9", "a2", "ens9", "0000:ff:00.0", "9.9"] {
        assert_eq!(explain(&picture, subject), None, "{subject}");
    }
}

#[test]
fn a_blocker_is_told_with_its_remedy_wherever_it_stands_in_the_way() {
    let picture = picture();
    let remedy = picture.blockers[0].blocker.fix();
    for (why, subject) in [
        ("of the subject itself", "sfc"),
        ("of the whole node", "node"),
        ("before a module that is planned", "onload"),
        ("before a module that another brings", "sfc_char"),
    ] {
        let found = explain(&picture, subject).unwrap();
        assert!(found.would_change.contains(&remedy), "{why}: {found:?}");
        assert!(found.inputs.iter().any(|(_, text)| text.contains("EIO")), "{why}: {found:?}");
    }
    let aside = explain(&picture, "mtd").unwrap();
    assert!(!aside.would_change.contains(&remedy), "nothing is in its way: {aside:?}");
}

const SIGNER: &[u8] = include_bytes!("../../../../tests/secure-boot/module.der");
const NAME: &str = "CN=Modules: first key, O=Example";

/// The same, where the kernel refuses `onload` for its signer, whose certificate the configuration
/// names if `path` is given, and for whom shim was asked once if `asked` is.
fn distrusted(path: Option<&str>, asked: bool) -> Picture {
    let certificate = Certificate::parse(SIGNER).unwrap();
    let (issuer, serial) = (certificate.issuer.clone(), certificate.serial.clone());
    let signer = SignerId::Issued { issuer, serial };
    let unknown = Reason::UnknownSigner { signer: signer.clone(), authority_trusted: false };
    let verdict = Verdict {
        outcome: Outcome::Refused { why: vec![unknown] },
        rules: vec![Rule::SigEnforce],
        remarks: Vec::new(),
        answer: None,
    };
    let fault = Fault::of(&verdict, &Trust::default()).unwrap();
    let module = trusted::ModulePicture {
        module: "onload".parse().unwrap(),
        signer: called(&signer),
        certificate: path.map(str::to_owned),
        verdict,
    };
    let lost = Enrolment::Lost { asked: Timestamp(1_700_000_000_000) };
    let key = KeyPicture {
        name: certificate.subject.to_string(),
        fingerprint: Some(Fingerprint(certificate.fingerprint)),
        certificate: path.is_some().then_some(certificate),
        path: path.map(str::to_owned),
        places: [].into(),
        revoked: [].into(),
        enrolment: Ok(if asked { lost } else { Enrolment::NotAsked }),
        asked: asked.then_some(Timestamp(1_700_000_000_000)),
    };
    let seen = SecureBootPicture {
        state: trusted::State::Enabled,
        enforcement: Reading::Known(Enforcement::Refused),
        keys: if asked || path.is_some() { vec![key] } else { Vec::new() },
        releases: [("host".parse().unwrap(), vec![module])].into(),
        ..SecureBootPicture::default()
    };
    let objections =
        vec![Objection::Untrusted { modules: ["onload".parse().unwrap()].into(), fault }];
    let (release, kernel) = ("host".parse().unwrap(), "6.12.0".parse().unwrap());
    let blocker = Blocker::Preflight { release, kernel, objections };
    let blocked = Blocked { subject: "host".to_owned(), blocker };
    let kernels = [("6.12.0".parse().unwrap(), blocked_objections(&blocked))].into();
    let release = ReleasePicture { kernels, ..ReleasePicture::default() };
    Picture {
        plan: Arc::default(),
        kernel: Reading::Known("6.12.0".parse().unwrap()),
        releases: Arc::new([("host".parse().unwrap(), release)].into()),
        blockers: Arc::new(vec![blocked]),
        secure_boot: Arc::new(seen),
        ..picture()
    }
}

fn blocked_objections(blocked: &Blocked) -> Vec<Objection> {
    let Blocker::Preflight { objections, .. } = &blocked.blocker else { panic!("{blocked:?}") };
    objections.clone()
}

fn said<'a>(explanation: &'a Explanation, name: &str) -> &'a str {
    let found = explanation.inputs.iter().find(|(input, _)| input == name);
    &found.unwrap_or_else(|| panic!("no {name}: {explanation:?}")).1
}

#[test]
fn a_module_that_the_kernel_would_refuse_says_by_whom_it_is_signed_and_the_three_steps() {
    let found = explain(&distrusted(None, false), "onload").unwrap();
    assert_eq!(
        found.decision,
        format!(
            "not loaded: this kernel would refuse it, because nobody here knows the signer's key ({NAME})"
        )
    );
    assert!(said(&found, "signed by").starts_with(&format!("{NAME}, number ")), "{found:?}");
    assert_eq!(said(&found, "Secure Boot"), "on");
    assert_eq!(said(&found, "rule"), Rule::SigEnforce.sentence());
    assert_eq!(said(&found, "the signer's key"), "not enrolled, and not asked for");
    let steps: Vec<_> = found.would_change.iter().map(|step| &step[..step.len().min(21)]).collect();
    assert_eq!(
        steps,
        [
            "1. `onloadctl keys im",
            "2. reboot with somebo",
            "3. nothing more: onlo",
            "or `onloadctl keys si"
        ]
    );
    assert!(!found.inputs.iter().any(|(name, _)| name == "host"), "said twice: {found:?}");

    let named = explain(&distrusted(Some("/etc/onloadd/site.der"), false), "onload").unwrap();
    assert_eq!(named.would_change[0], "1. `onloadctl keys import /etc/onloadd/site.der`");
    for path in [None, Some("/etc/onloadd/site.der")] {
        let asked = explain(&distrusted(path, true), "onload").unwrap();
        let said = said(&asked, "the signer's key");
        assert!(said.starts_with("asked on 2023-11-14"), "{said}");
    }

    let other = explain(&distrusted(None, false), "sfc_char").unwrap();
    assert_eq!(
        other.decision,
        "wanted and not loaded: it waits for what is in the way of its release"
    );
}

#[test]
fn a_release_that_the_kernel_would_refuse_says_the_same_once() {
    let found = explain(&distrusted(None, false), "host").unwrap();
    assert!(found.decision.starts_with("this kernel would refuse its modules, because nobody"));
    assert_eq!(said(&found, "Secure Boot"), "on");
    assert_eq!(found.would_change.len(), 4, "{found:?}");
    assert!(!found.inputs.iter().any(|(name, _)| name == "in the way"), "{found:?}");
}

#[test]
fn keys_are_told_together_and_one_by_one() {
    let path = "/etc/onloadd/site.der";
    let picture = distrusted(Some(path), false);
    for subject in ["keys", "secure-boot"] {
        let all = explain(&picture, subject).unwrap();
        assert_eq!(all.subject, subject);
        assert_eq!(
            all.decision,
            "Secure Boot: on; this kernel refuses modules that nobody it trusts has signed"
        );
        let key = format!("key {NAME} ({path})");
        assert_eq!(said(&all, &key), "not enrolled, and not asked for");
        assert!(all.would_change[0].contains("onloadctl keys import"), "{all:?}");
    }
    let fingerprint = picture.secure_boot.keys[0].fingerprint.unwrap().to_string();
    for subject in [&fingerprint, &fingerprint[..8], &fingerprint.to_uppercase(), path, NAME] {
        let one = explain(&picture, subject).unwrap_or_else(|| panic!("{subject}"));
        assert_eq!(one.subject, fingerprint);
        assert_eq!(one.decision, "not enrolled, and not asked for");
        assert_eq!(said(&one, "signed of release host"), "onload");
    }
    assert_eq!(explain(&picture, &fingerprint[..7]), None, "too few digits to mean a key");
}

#[test]
fn a_device_says_what_the_kubelet_is_told_of_it() {
    let cases = [
        ("broken", "p-0", "as unhealthy"),
        ("lent here", "p-1", "as unhealthy: a local program has it"),
        ("of the local share", "p-2", "no: local share"),
        ("withdrawn", "p-3", "as unhealthy: a local program has it"),
    ];
    for (why, subject, expected) in cases {
        let found = explain(&picture(), subject).unwrap();
        let offered = found.inputs.iter().find(|(name, _)| name == "offered to the kubelet");
        assert_eq!(offered.unwrap().1, expected, "{why}");
    }
}

#[test]
fn a_module_with_the_name_of_a_pool_says_how_to_ask_about_the_pool() {
    let mut picture = picture();
    let pools = Arc::make_mut(&mut picture.pools);
    let mut pool = pools.values().next().unwrap().clone();
    pool.resource = "amd.com/onload".to_owned();
    pools.insert("onload".parse().unwrap(), pool);
    let found = explain(&picture, "onload").unwrap();
    let said = ("pool of this name".to_owned(), "`onloadctl why amd.com/onload`".to_owned());
    assert!(found.inputs.contains(&said), "{found:?}");
    assert_eq!(explain(&picture, "amd.com/onload").unwrap().subject, "onload");
}

#[test]
fn a_gap_says_which_kind_it_is_and_nothing_is_left_blank() {
    let cases = [
        (Reading::Known("9.2".to_owned()), "9.2"),
        (Reading::Known(String::new()), "none"),
        (Reading::Absent, "none"),
        (Reading::Unreadable("EIO".to_owned()), "cannot be read: EIO"),
    ];
    for (reading, expected) in cases {
        assert_eq!(shown(&reading), expected);
    }
    let picture = picture();
    for subject in ["sfc", "onload", "p", "p-1", "a1", PORTS[0], "node"] {
        for (name, value) in explain(&picture, subject).unwrap().inputs {
            assert!(!name.is_empty() && !value.is_empty(), "{subject}: {name} is blank");
        }
    }
}

//! What is only told: parameters that are not as asked, an initramfs with another driver.

use super::lab::Lab;
use super::*;
use crate::change::Manner;
use crate::condition::{ConditionKind, Status};
use crate::job::JobState;
use crate::naming::Pin;
use crate::parameters::Asked;
use crate::picture::NodeState;
use crate::reading::Reading::{self, Known};
use crate::release::Kernel;
use crate::release::initramfs::{Carried, Initramfs};
use crate::sample::{KERNEL, module_of};

const ON_9_1: &str = "[modules]\nrelease = \"9.1.2\"\n[pools.onload]\nslots = 4\n";

fn condition(lab: &Lab, kind: ConditionKind) -> (Status, &str, &str) {
    let found = lab.picture.conditions.iter().find(|one| one.kind == kind).unwrap();
    (found.status, &found.reason, &found.message)
}

#[test]
fn a_parameter_that_is_not_as_asked_is_told_and_nothing_is_done_about_it() {
    let kind = ConditionKind::ParametersAsAsked;
    let mut lab = Lab::new(ON_9_1, "9.1.2");
    let (value, by) = (Some("0x400".to_owned()), "/etc/modprobe.d/sfc.conf".to_owned());
    let asked = [("rx_ring".to_owned(), Asked { value, by })];
    lab.node.options = Known([("sfc".parse().unwrap(), asked.into())].into());
    let show = |lab: &mut Lab, value: &str| {
        let parameters = &mut module_of(&mut lab.node, "sfc").parameters;
        parameters.insert("rx_ring".to_owned(), Known(value.to_owned()));
        lab.touch();
        lab.run(2_000);
    };
    show(&mut lab, "1024");
    assert_eq!(condition(&lab, kind), (Status::True, "AsAsked", ""));
    show(&mut lab, "512");
    let said = "sfc has rx_ring=512, and /etc/modprobe.d/sfc.conf asks for 0x400";
    let (status, reason, message) = condition(&lab, kind);
    assert_eq!((status, reason), (Status::False, "Differ"));
    assert!(message.starts_with(&format!("{said}: load sfc anew")), "{message}");
    assert_eq!((lab.picture.state, lab.done.len()), (NodeState::Ready, 0));
    for subject in ["node", "sfc"] {
        let why = crate::why::explain(&lab.picture, subject).unwrap();
        assert!(why.inputs.iter().any(|(_, value)| value.contains(said)), "{why:?}");
    }
    // An order that finds it so says it.
    lab.ask(Command::Apply { retry: false, manner: Manner::default() });
    lab.run(5_000);
    let job = lab.picture.jobs.values().last().unwrap();
    assert_eq!(job.state, JobState::Done);
    assert!(job.message.contains(&format!("as ordered, but {said}")), "{job:?}");
    lab.node.options = Reading::Unreadable("EIO".to_owned());
    lab.touch();
    lab.run(2_000);
    assert_eq!(condition(&lab, kind), (Status::Unknown, "Unreadable", "EIO"));
}

#[test]
fn an_initramfs_is_told_as_what_it_is() {
    let kind = ConditionKind::InitramfsMatches;
    let mut lab = Lab::new(ON_9_1, "9.1.2");
    let show = |lab: &mut Lab, initramfs| {
        let kernel = Kernel { initramfs, ..Kernel::default() };
        lab.node.kernels = Known([(KERNEL.parse().unwrap(), kernel)].into());
        lab.touch();
        lab.run(2_000);
    };
    let path = || "/boot/initrd".to_owned();
    let with = |modules| Known(Initramfs { path: path(), modules, ..Initramfs::default() });
    show(&mut lab, Reading::Absent);
    assert_eq!(condition(&lab, kind).1, "NotSeen");
    show(&mut lab, with([].into()));
    assert_eq!(condition(&lab, kind).0, Status::True);
    show(&mut lab, Reading::Unreadable("/boot/initrd: EIO".to_owned()));
    let (status, reason, message) = condition(&lab, kind);
    assert_eq!((status, reason), (Status::Unknown, "InitramfsUnreadable"));
    assert!(message.contains("/boot/initrd: EIO"), "{message}");
    let own = Carried { in_tree: true, ..Carried::default() };
    show(&mut lab, with([("sfc".parse().unwrap(), own)].into()));
    let (status, reason, message) = condition(&lab, kind);
    assert_eq!((status, reason), (Status::False, "InitramfsDiffers"));
    assert!(message.contains("What to do: build the initramfs without sfc"), "{message}");
    assert_eq!((lab.picture.state, lab.done.len()), (NodeState::Ready, 0), "only told");
}

#[test]
fn names_of_before_in_the_initramfs_are_told_and_bar_nothing() {
    let mut lab = Lab::new(ON_9_1, "9.1.2");
    let files = lab.node.releases.known().unwrap()[&"9.1.2".parse().unwrap()].clone();
    let own = &files.modules.known().unwrap()[&KERNEL.parse().unwrap()][&"sfc".parse().unwrap()];
    let carried = Carried {
        version: own.version.clone(),
        srcversion: own.srcversion.clone(),
        in_tree: own.in_tree,
    };
    let pin = Pin { name: "fast0".parse().unwrap(), altnames: [].into() };
    let initramfs = Known(Initramfs {
        path: "/boot/initrd".to_owned(),
        modules: [("sfc".parse().unwrap(), carried)].into(),
        pins: [("pci 0000:3b:00.0".parse().unwrap(), pin)].into(),
    });
    let kernel = Kernel { initramfs, ..Kernel::default() };
    lab.node.kernels = Known([(KERNEL.parse().unwrap(), kernel)].into());
    lab.touch();
    lab.run(2_000);
    let (status, reason, message) = condition(&lab, ConditionKind::InitramfsMatches);
    assert_eq!((status, reason), (Status::False, "InitramfsKeepsNames"));
    assert!(message.contains("still pins fast0"), "{message}");
    assert!(message.contains("What to do: build the initramfs anew"), "{message}");
    assert_eq!((lab.picture.state, lab.done.len()), (NodeState::Ready, 0), "only told");
}

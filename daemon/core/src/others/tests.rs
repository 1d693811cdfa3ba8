//! What counts as somebody else, and what taking over is.

use super::*;
use crate::reading::Reading::Known;
use crate::sample::{inner, module_of, node, spoilt};

fn trace(evidence: &str, units: &[(&str, bool)]) -> Reading<Trace> {
    let units = units.iter().map(|(unit, runs)| ((*unit).to_owned(), *runs)).collect();
    Known(Trace { evidence: evidence.to_owned(), units })
}

fn adopted(managers: &[Manager]) -> Adoptions {
    let adoption = |manager: &Manager| {
        (*manager, Adoption { evidence: "x".to_owned(), uid: 0, at: Timestamp(1) })
    };
    managers.iter().map(adoption).collect()
}

#[test]
fn a_server_that_runs_elsewhere_or_is_not_there_is_somebody_elses() {
    let own = Some("/var/lib/onloadd/releases/9.2.1/sbin/onload_cp_server");
    let cases = [
        ("/usr/bin/crictl", true, true),
        ("/usr/bin/podman", true, true),
        ("/usr/bin/nsenter", false, true),
        ("/mnt/onload/sbin/onload_cp_server", false, true),
        ("/opt/onload/sbin/onload_cp_server", true, false),
        (BUILT_IN_SERVER, false, false),
        ("", false, false),
        ("/var/lib/onloadd/releases/9.2.1/sbin/onload_cp_server", false, false),
    ];
    for (path, exists, foreign) in cases {
        let trace = control_plane(path, "exec 0123 /mnt/x\n", exists, own);
        assert_eq!(trace.is_some(), foreign, "{path}");
        if let Some(trace) = trace {
            assert!(trace.evidence.contains(path), "{trace:?}");
            assert!(trace.evidence.contains("(exec 0123 /mnt/x)"), "{trace:?}");
        }
    }
}

#[test]
fn only_what_runs_is_stopped_and_only_of_those_that_were_adopted() {
    let units = [("sfc-pull-image.service", true), ("sfc-replace-kernel-module.service", false)];
    let node = spoilt(|node| {
        node.others.insert(Manager::MachineConfig, trace("/etc/x", &units));
        node.others.insert(Manager::Kmm, trace("/etc/y", &[("z.service", true)]));
        node.others.insert(Manager::OnloadOperator, Reading::Unreadable("no".to_owned()));
    });
    let stop = |unit: &str| Step::StopUnit { unit: unit.to_owned() };
    let steps = steps(&adopted(&[Manager::MachineConfig, Manager::OnloadOperator]), &node, None);
    assert_eq!(steps, [stop("sfc-pull-image.service")]);
    assert!(!stop("sfc-pull-image.service").holds_in(&node));
    // The look was not for users, and it is still known that this one does not run.
    assert!(stop("sfc-replace-kernel-module.service").holds_in(&node));
    assert!(!stop("other.service").holds_in(&node), "of another nothing is known");
}

#[test]
fn the_control_plane_is_put_back_to_the_release_in_use() {
    let told = |path: &str, parameters: &str| {
        spoilt(|node| {
            let module = &mut module_of(node, "onload").parameters;
            module.insert(SERVER_PATH.to_owned(), Known(path.to_owned()));
            module.insert(SERVER_PARAMETERS.to_owned(), Known(parameters.to_owned()));
            node.others.insert(Manager::ControlPlane, trace("parameters", &[]));
            let host = "host".parse().unwrap();
            inner(&mut node.releases).get_mut(&host).unwrap().server =
                Some("sbin/onload_cp_server".to_owned());
        })
    };
    let host = "host".parse().unwrap();
    let planned = |node: &Snapshot| steps(&adopted(&[Manager::ControlPlane]), node, Some(&host));
    let restore = |clear| Step::RestoreServer { server: BUILT_IN_SERVER.to_owned(), clear };
    let wrapped = told("/usr/bin/crictl", "exec 0123 /mnt/x");
    assert_eq!(planned(&wrapped), [restore(true)]);
    let elsewhere = told("/mnt/onload/sbin/onload_cp_server", "-K");
    assert_eq!(planned(&elsewhere), [restore(false)], "the host's own arguments stay");
    assert!(!restore(true).holds_in(&told(BUILT_IN_SERVER, "exec 0123")));
    assert!(restore(true).holds_in(&told(BUILT_IN_SERVER, "")));
    assert!(restore(false).holds_in(&told(BUILT_IN_SERVER, "-K")));
    let none = adopted(&[Manager::ControlPlane]);
    assert_eq!(steps(&none, &wrapped, None), [], "nobody knows whose server would be right");
}

#[test]
fn everybody_who_fights_bars_changes_too_and_is_told_where_to_end_it() {
    for manager in Manager::ALL {
        assert!(!manager.fights() || manager.bars_changes(), "{manager}");
        assert_eq!(manager.fights(), manager.leave().is_some(), "{manager}");
    }
    let node = spoilt(|node| {
        node.others.insert(Manager::Dkms, trace("/var/lib/dkms/onload", &[]));
        node.others.insert(Manager::OnloadOperator, trace("a socket", &[]));
    });
    let shown = picture(&adopted(&[Manager::OnloadOperator]), &node, None);
    assert_eq!(
        shown[&Manager::Dkms],
        OtherPicture { evidence: "/var/lib/dkms/onload".to_owned(), ..OtherPicture::default() }
    );
    let operator = &shown[&Manager::OnloadOperator];
    assert_eq!(operator.adopted, Some((0, Timestamp(1))));
    assert!(operator.left[0].contains("kubectl delete onload"), "{operator:?}");
    assert_eq!(picture(&Adoptions::new(), &self::node(), None), BTreeMap::new());
}

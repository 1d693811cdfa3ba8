//! The table: every issue of reference/kubelet-api.md section 13, and what stands for it here.

use crate::row::{Row, Theme, Verdict, case};

/// A test of another file of this package.
macro_rules! proven {
    ($file:literal, $name:literal) => {
        Verdict::Proven { elsewhere: concat!("tests/tests/", $file, "::", $name) }
    };
}

pub const ROWS: &[Row] = &[
    Row {
        theme: Theme::KubeletRestart,
        references: &["k8s#118559", "k8s#118635"],
        means: "A kubelet that admits its running pods anew finds their devices listed and healthy, and no pod is killed for want of one.",
        verdict: case!(restart::running_pods_are_admitted_anew),
    },
    Row {
        theme: Theme::KubeletRestart,
        references: &["k8s#124345", "k8s#138446"],
        means: "A device is handed on from an init container to the next of its pod, as one holding, and both are admitted anew.",
        verdict: case!(restart::a_device_that_an_init_container_had_goes_on_to_the_next),
    },
    Row {
        theme: Theme::KubeletRestart,
        references: &["k8s#133382", "k8s#119248"],
        means: "A pod that comes before the registration is lost, so registration has no back-off in it and the lost pod leaves nothing behind.",
        verdict: case!(restart::a_pod_that_comes_too_early_costs_only_itself),
    },
    Row {
        theme: Theme::KubeletRestart,
        references: &["k8s#109595", "k8s#114640", "k8s#116376"],
        means: "What cannot work is listed unhealthy and refused even to a kubelet that insists, so no container starts with a device that is not there.",
        verdict: case!(restart::what_is_not_there_is_neither_lent_nor_started_with),
    },
    Row {
        theme: Theme::KubeletRestart,
        references: &[
            "Mellanox/k8s-rdma-shared-dev-plugin#48",
            "Mellanox/k8s-rdma-shared-dev-plugin#74",
            "Mellanox/k8s-rdma-shared-dev-plugin#79",
            "kubevirt/device-plugin-manager#32",
        ],
        means: "A stream that has died swallows no change: the new kubelet has the devices as they are, whenever they changed.",
        verdict: case!(restart::what_changed_meanwhile_reaches_the_new_kubelet),
    },
    Row {
        theme: Theme::KubeletRestart,
        references: &["k8s#125501", "DP#411"],
        means: "A kubelet never dials again, so whoever loses the stream registers anew by itself.",
        verdict: proven!("plugin/registration.rs", "a_list_that_the_kubelet_gives_up_is_offered_again"),
    },
    Row {
        theme: Theme::Races,
        references: &[
            "k8s#112395",
            "kubevirt/device-plugin-manager#18",
            "kubevirt/kubevirt#8451",
            "NVIDIA/kubevirt-gpu-device-plugin#55",
        ],
        means: "The socket is served before Register is called, so the kubelet's call back from inside it succeeds at the first attempt.",
        verdict: case!(registration::one_attempt_is_enough),
    },
    Row {
        theme: Theme::Races,
        references: &["k8s#127457"],
        means: "The directory is the way by default, and a resource that goes it shows no socket to the watcher, whose second and back-off then do not matter.",
        verdict: case!(registration::a_resource_uses_one_way_only),
    },
    Row {
        theme: Theme::Races,
        references: &["k8s#64638"],
        means: "A socket that is there before any kubelet is deleted by the first that comes, and then bound and registered again.",
        verdict: proven!("plugin/place.rs", "the_edge_may_start_first_and_the_directory_appear_later"),
    },
    Row {
        theme: Theme::Races,
        references: &["k8s#138170"],
        means: "A Register whose answer is lost with its connection counts as not done and is done again.",
        verdict: proven!("end_to_end.rs", "a_kubelet_that_hangs_or_talks_nonsense_is_outlasted"),
    },
    Row {
        theme: Theme::Races,
        references: &["k8s#128167", "k8s#128432"],
        means: "A registration server that is dead behind its file is said in a condition, costs local programs nothing, and is outlasted.",
        verdict: case!(registration::a_registration_server_that_is_dead_is_said_and_outlasted),
    },
    Row {
        theme: Theme::Races,
        references: &["smarter-project/smarter-device-manager#16"],
        means: "The socket that a killed daemon leaves is recognised as nobody's and replaced.",
        verdict: case!(registration::a_socket_that_a_kill_left_is_no_obstacle),
    },
    Row {
        theme: Theme::Races,
        references: &["bottlerocket-os/bottlerocket#4250"],
        means: "A kubelet that comes while the watch is being set up is seen, since the directory is looked at after the watch began.",
        verdict: case!(registration::whoever_comes_first_they_meet),
    },
    Row {
        theme: Theme::SeveralRegistrations,
        references: &["k8s#52190"],
        means: "Since the newest registration wins, a second daemon by mistake must not get as far as registering.",
        verdict: case!(instances::another_state_on_the_same_kubelet_waits_for_the_socket),
    },
    Row {
        theme: Theme::SeveralRegistrations,
        references: &["k8s#55179"],
        means: "A daemon that comes back with fewer devices leaves none of the former ones with the kubelet.",
        verdict: case!(registration::no_id_of_before_lingers),
    },
    Row {
        theme: Theme::SeveralRegistrations,
        references: &["k8s#62773", "k8s#63118"],
        means: "The old stream has ended before the new one begins, so allocatable comes back after each restart and stays.",
        verdict: case!(registration::a_predecessor_takes_nothing_with_it),
    },
    Row {
        theme: Theme::SeveralRegistrations,
        references: &["k8s#121994", "k8s#135437"],
        means: "Two generations never overlap: the second does not start while the first holds the state directory, and disturbs nothing.",
        verdict: case!(instances::the_same_state_is_refused_and_the_first_undisturbed),
    },
    Row {
        theme: Theme::Reboot,
        references: &["k8s#125579", "k8s#128043", "squat/generic-device-plugin#33"],
        means: "The unit is ordered before the kubelet, so that pods are admitted anew in whatever order they come.",
        verdict: case!(reboot::pods_come_back_in_any_order),
    },
    Row {
        theme: Theme::Reboot,
        references: &["k8s#67107"],
        means: "After a boot devices are unhealthy until they have been seen to work, whatever was known of them before.",
        verdict: case!(reboot::nothing_starts_from_memory_alone),
    },
    Row {
        theme: Theme::Reboot,
        references: &["k8s#107928", "k8s#104581"],
        means: "A device's id is its slot and no address, so cards that moved take no pod's device away.",
        verdict: case!(reboot::cards_may_come_back_at_other_addresses),
    },
    Row {
        theme: Theme::Reboot,
        references: &["DP#451"],
        means: "An answer has no number in it that the next boot could deal differently.",
        verdict: case!(reboot::no_number_stands_in_an_answer),
    },
    Row {
        theme: Theme::Reboot,
        references: &["NVIDIA/cloud-native-stack#145", "openshift/instaslice-operator#920"],
        means: "Deleting failed pods is not a node daemon's business, but those it had to refuse leave nothing with it that somebody would have to clear.",
        verdict: case!(reboot::a_pod_refused_after_a_boot_leaves_nothing_to_tidy_up),
    },
    Row {
        theme: Theme::Reboot,
        references: &[
            "kubernetes-sigs/dra-driver-nvidia-gpu#951",
            "kubernetes-sigs/dra-driver-nvidia-gpu#1066",
        ],
        means: "The ledger knows which boot it speaks of: what a process of the former one had is free, even if a process of the same number is there.",
        verdict: case!(reboot::what_the_former_boot_lent_is_not_taken_for_present),
    },
    Row {
        theme: Theme::Reboot,
        references: &["ROCm/k8s-gpu-dra-driver#86", "ROCm/k8s-gpu-dra-driver#75"],
        means: "Another boot id alone frees no pod's device, since only the kubelet knows which pods come back; and files on a tmpfs are written again at the start.",
        verdict: case!(reboot::a_pod_of_the_former_boot_is_kept_until_the_kubelet_speaks_and_its_files_are_back),
    },
    Row {
        theme: Theme::Checkpoint,
        references: &["k8s#102880", "k8s#102882"],
        means: "A ledger of a format that this version does not know means hands off, said by name, and not silently no state.",
        verdict: case!(checkpoint::a_ledger_of_another_version_is_left_alone_and_said),
    },
    Row {
        theme: Theme::Checkpoint,
        references: &["k8s#116125"],
        means: "Where the kubelet lost its memory the resource is registered as ever, what its pods had is freed, and a program that uses the stack without a grant is shown.",
        verdict: case!(checkpoint::a_kubelet_without_memory_finds_the_resource_and_strays_are_shown),
    },
    Row {
        theme: Theme::Checkpoint,
        references: &["k8s#137010"],
        means: "What the kubelet still names is held and what it names no more is freed; nothing is read from its file.",
        verdict: case!(checkpoint::a_pod_that_is_still_listed_still_has_its_device),
    },
    Row {
        theme: Theme::Checkpoint,
        references: &[
            "kubernetes-sigs/dra-driver-nvidia-gpu#1100",
            "kubernetes-sigs/dra-driver-nvidia-gpu#1080",
            "kubernetes-sigs/dra-driver-nvidia-gpu#1259",
        ],
        means: "A corrupt ledger is a state with file and line in it, served and shown, and not a daemon that dies at each start.",
        verdict: proven!("end_to_end.rs", "a_ledger_that_does_not_read_means_hands_off_and_is_left_alone"),
    },
    Row {
        theme: Theme::Checkpoint,
        references: &["kubernetes-sigs/dra-example-driver#253"],
        means: "A damaged ledger is never taken for an empty one, which would lend a second time what pods have.",
        verdict: case!(checkpoint::a_damaged_ledger_is_not_an_empty_one),
    },
    Row {
        theme: Theme::Checkpoint,
        references: &["k8s#127653"],
        means: "A kubelet that refuses to start costs the node nothing: local programs are served and it is waited for.",
        verdict: proven!("restarts.rs", "a_kubelet_that_never_comes_costs_nothing_and_a_second_daemon_is_refused"),
    },
    Row {
        theme: Theme::Leaks,
        references: &["k8s#59110", "k8s#86539", "kubernetes/enhancements#3080"],
        means: "There is no deallocate, so what pod-resources name no more is free after a grace.",
        verdict: proven!("restarts.rs", "a_pod_that_ends_gives_its_device_back_after_the_grace"),
    },
    Row {
        theme: Theme::Leaks,
        references: &["k8s#71312"],
        means: "What only an init container needed is not held any more in our books, though the kubelet blocks it till the pod ends.",
        verdict: case!(leaks::what_only_an_init_container_needed_is_free_again),
    },
    Row {
        theme: Theme::Leaks,
        references: &["k8s#141471"],
        means: "A slot is a right and no thing, so the next pod after a forced deletion has it at once, and the books have one holder all the while.",
        verdict: proven!("restarts.rs", "a_device_of_a_pod_deleted_by_force_is_its_next_pods_at_once"),
    },
    Row {
        theme: Theme::Leaks,
        references: &["k8s#132020"],
        means: "Of a finished pod and a running one that pod-resources both name, the one that the device was allocated for last has it.",
        verdict: case!(leaks::of_two_pods_that_are_listed_the_newer_has_the_device),
    },
    Row {
        theme: Theme::Leaks,
        references: &["DP#714"],
        means: "A slot carries nothing over: its next pod is told what the first pod of a fresh slot is told.",
        verdict: case!(leaks::a_device_has_no_memory_of_who_had_it),
    },
    Row {
        theme: Theme::Leaks,
        references: &["CNI#219", "CNI#313"],
        means: "The end of a grant is bound to the grant and not to the device, so neither a grace nor a late order hits the next holder.",
        verdict: case!(leaks::a_late_end_does_not_reach_the_next_holder),
    },
    Row {
        theme: Theme::Counting,
        references: &[
            "NVIDIA/k8s-device-plugin#213",
            "k3s-io/k3s#11377",
            "kubevirt/kubevirt#11328",
        ],
        means: "Allocatable does not go down when pods take devices, so the node itself shows who has which.",
        verdict: case!(counting::allocatable_stays_and_who_has_what_is_shown),
    },
    Row {
        theme: Theme::Counting,
        references: &["k8s#92396", "k8s#52510", "k8s#64632", "project-akri/akri#181"],
        means: "A name once registered stays on the node object for ever, so a node without a card registers none.",
        verdict: proven!("end_to_end.rs", "a_node_without_a_card_offers_the_kubelet_nothing"),
    },
    Row {
        theme: Theme::Health,
        references: &["k8s#60388", "k8s#79228"],
        means: "A pod keeps a device that turned unhealthy, which is said with its reason, and has it healthy again when the reason is gone.",
        verdict: case!(health::a_pod_keeps_a_device_that_turns_unhealthy),
    },
    Row {
        theme: Theme::Health,
        references: &["squat/generic-device-plugin#74"],
        means: "Devices of a card that was pulled stay listed as unhealthy under the pods that have them, and come back with the card under the same ids.",
        verdict: case!(health::a_card_that_is_pulled_takes_its_devices_and_brings_them_back),
    },
    Row {
        theme: Theme::Health,
        references: &["NVIDIA/k8s-device-plugin#189", "NVIDIA/k8s-device-plugin#111"],
        means: "Health is what each look shows: what is cured is healthy without a restart, and a restart makes nothing healthy that was not looked at.",
        verdict: case!(health::a_restart_is_no_cure_and_none_is_needed),
    },
    Row {
        theme: Theme::Health,
        references: &["DP#40"],
        means: "A device in use looks no different from a free one to whoever judges its health, after a restart of the daemon too.",
        verdict: case!(health::a_device_in_use_is_not_taken_for_a_broken_one),
    },
    Row {
        theme: Theme::Health,
        references: &["ovn-kubernetes/ovn-kubernetes#6786"],
        means: "After a reset of the driver the same pods have the same devices, and what they were told leads to what works now.",
        verdict: case!(health::a_driver_that_was_reset_serves_the_same_pods_again),
    },
];

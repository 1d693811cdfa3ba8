//! Examples for the manual pages. A test runs each of them on a simulated node.

/// What it is for, and the line.
pub type Example = (&'static str, &'static str);

/// Those of a page.
pub fn examples(page: &str) -> &'static [Example] {
    ALL.iter().find(|(name, _)| *name == page).map_or(&[], |(_, lines)| lines)
}

/// By page, without its section.
pub const ALL: &[(&str, &[Example])] = &[
    (
        "onloadctl",
        &[
            ("The node on one page:", "onloadctl"),
            ("The same for a program:", "onloadctl --json status"),
            ("What is in the way of a port:", "onloadctl why 0000:3b:00.0"),
        ],
    ),
    ("onloadctl-ports", &[("Ports, as a table:", "onloadctl ports")]),
    ("onloadctl-modules", &[("Modules of the stack:", "onloadctl modules")]),
    (
        "onloadctl-pools",
        &[
            ("All pools:", "onloadctl pools"),
            ("The devices of one, and who has them:", "onloadctl pools onload"),
        ],
    ),
    ("onloadctl-allocate", &[("A device for an hour:", "onloadctl allocate onload --lease 1h")]),
    ("onloadctl-allocations", &[("What is lent:", "onloadctl allocations")]),
    (
        "onloadctl-hold",
        &[("Freeze the node over two days:", "onloadctl hold maintenance --for 2d")],
    ),
    ("onloadctl-unhold", &[("End it:", "onloadctl unhold")]),
    ("onloadctl-plan", &[("What would be done:", "onloadctl plan")]),
    ("onloadctl-apply", &[("Only show what would be done:", "onloadctl apply --dry-run")]),
    ("onloadctl-why", &[("Why the node is as it is:", "onloadctl why node")]),
    ("onloadctl-release-list", &[("Releases on this node:", "onloadctl release list")]),
    ("onloadctl-history", &[("Changes of driver:", "onloadctl history")]),
    ("onloadctl-config", &[("Settings in force:", "onloadctl config")]),
    ("onloadctl-keys-status", &[("Secure Boot, and what it takes:", "onloadctl keys status")]),
    ("onloadctl-naming-plan", &[("Names with every driver:", "onloadctl naming plan")]),
    ("onloadctl-clock-status", &[("Who keeps time:", "onloadctl clock status")]),
    (
        "onloadctl-clock-render",
        &[
            ("PTP on the first port:", "onloadctl clock render --interface port:0 --domain 0"),
            (
                "The same for sfptpd in a pod:",
                "onloadctl clock render --interface bond0 --configmap --namespace sfptpd",
            ),
        ],
    ),
    (
        "onloadctl-nad-render",
        &[
            (
                "A network on a port of this node, by its PCI address:",
                "onloadctl nad render --kind ipvlan --master 0000:3b:00.0 --ipam whereabouts:198.19.0.0/16",
            ),
            (
                "One on a bond, on the desk:",
                "onloadctl nad render --kind macvlan --master bond0 --ipam whereabouts:198.18.0.0/16 --offline",
            ),
        ],
    ),
    ("onloadctl-nfd-render", &[("The node's features:", "onloadctl nfd render")]),
    (
        "onloadctl-pod-render",
        &[
            (
                "A pod with Onload:",
                "onloadctl pod render app --image registry.example.com/app:1 --network ipvlan-bond0",
            ),
            (
                "Two that measure latency:",
                "onloadctl pod render --sfnettest --server-node compute-0 --client-node compute-1 --network ipvlan-bond0",
            ),
        ],
    ),
    ("onloadctl-completion", &[("For bash:", "onloadctl completion bash")]),
];

//! What a pod specifies, as far as it is rendered here.

use std::collections::BTreeMap;

use onload_core::names::ResourceName;
use serde::Serialize;

use crate::image::Image;

/// The label by which a node is chosen: a pod that is bound to it by name would pass by the scheduler,
/// and fail for good where all devices are lent.
const NODE: &str = "kubernetes.io/hostname";

/// What becomes of a container that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Restart {
    /// It is started again.
    Always,
    /// Nothing.
    Never,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodSpec {
    security_context: PodSecurity,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    node_selector: BTreeMap<&'static str, String>,
    restart_policy: Restart,
    containers: [Container; 1],
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct PodSecurity {
    run_as_non_root: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_as_user: Option<u32>,
    seccomp_profile: Seccomp,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Seccomp {
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    name: String,
    image: Image,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    command: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    env_from: Vec<EnvFrom>,
    resources: Resources,
    security_context: ContainerSecurity,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct EnvFrom {
    config_map_ref: Named,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Named {
    name: String,
}

/// Limits alone: what is asked for of an extended resource is the same.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Resources {
    limits: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct ContainerSecurity {
    allow_privilege_escalation: bool,
    capabilities: Capabilities,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Capabilities {
    drop: [&'static str; 1],
}

impl PodSpec {
    /// Of one container without privilege.
    pub fn new(container: Container, restart_policy: Restart, user: Option<u32>) -> Self {
        let seccomp_profile = Seccomp { kind: "RuntimeDefault" };
        Self {
            security_context: PodSecurity {
                run_as_non_root: true,
                run_as_user: user,
                seccomp_profile,
            },
            node_selector: BTreeMap::new(),
            restart_policy,
            containers: [container],
        }
    }

    /// On this node.
    pub fn on(mut self, node: Option<&str>) -> Self {
        self.node_selector = node.map(|node| (NODE, node.to_owned())).into_iter().collect();
        self
    }
}

impl Container {
    /// With one device of the pool's, and the profile's variables.
    pub fn new(name: &str, image: Image, pool: &ResourceName, profile: Option<&str>) -> Self {
        let variables = |name: &str| EnvFrom { config_map_ref: Named { name: name.to_owned() } };
        Self {
            name: name.to_owned(),
            image,
            command: Vec::new(),
            env_from: profile.map(variables).into_iter().collect(),
            resources: Resources { limits: [(pool.to_string(), "1".to_owned())].into() },
            security_context: ContainerSecurity {
                allow_privilege_escalation: false,
                capabilities: Capabilities { drop: ["ALL"] },
            },
        }
    }

    /// Running this, in place of what the image would.
    pub fn running(mut self, command: Vec<String>) -> Self {
        self.command = command;
        self
    }
}

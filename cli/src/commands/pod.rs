//! `pod render`: a pod that uses Onload, to begin with, and the pair of pods by which latency is measured.
//!
//! They need no privilege (reference/kubernetes-onload.md section 4.2): not root, no capability, the
//! runtime's seccomp profile. It speaks to no onloadd.

mod spec;

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use onload_core::names::ResourceName;
use onload_dbus::error::{Kind, exit};

use crate::ended::{Complaint, Ended};
use crate::image::Image;
use crate::kubernetes::{self, Metadata, Object, RULE, Spec, is_label, is_subdomain};
use crate::render::Output;
use crate::render::paint::plain;

use spec::{Container, PodSpec, Restart};

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum PodVerb {
    /// Print a pod, or with --sfnettest the two of a measurement, as YAML
    Render(Box<Wanted>),
}

/// What is wanted.
#[derive(Clone, Debug, Args)]
pub struct Wanted {
    /// Its name
    #[arg(default_value = "onload-example", conflicts_with = "sfnettest")]
    pub name: String,
    /// The image to run
    #[arg(long, required_unless_present = "sfnettest")]
    pub image: Option<Image>,
    /// What it asks for: a pool, or its resource
    #[arg(long, value_name = "POOL|RESOURCE", default_value = "amd.com/onload", value_parser = resource)]
    pub pool: ResourceName,
    /// Its network beside the cluster's, such as `onloadctl nad render` prints; with NAMESPACE/ where it
    /// is another's. May be given several times
    #[arg(long, value_name = "NAME", value_parser = network)]
    pub network: Vec<String>,
    /// A ConfigMap with an Onload profile, such as `onloadctl profile configmap` prints
    #[arg(long, value_name = "CONFIGMAP", value_parser = configmap)]
    pub profile: Option<String>,
    /// Its namespace
    #[arg(long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// The user it runs as, for an image whose user is root or has no number
    #[arg(long, value_name = "UID", value_parser = clap::value_parser!(u32).range(1..))]
    pub user: Option<u32>,
    /// What it runs; the image's own otherwise
    #[arg(last = true, value_name = "COMMAND", conflicts_with = "sfnettest")]
    pub command: Vec<String>,
    /// The server and the client of sfnettest, on two nodes
    #[arg(long, requires = "server_node", requires = "client_node")]
    pub sfnettest: bool,
    /// The node of the server
    #[arg(long, value_name = "NODE", requires = "sfnettest", value_parser = node)]
    pub server_node: Option<String>,
    /// The node of the client
    #[arg(long, value_name = "NODE", requires = "sfnettest", value_parser = node)]
    pub client_node: Option<String>,
}

/// What does not happen.
const WHAT: &str = "no pod is rendered";
/// The annotation that asks Multus for networks.
const NETWORKS: &str = "k8s.v1.cni.cncf.io/networks";
/// The image that the existing samples use.
const SFNETTEST: &str = "docker.io/onload/sfnettest:1.6.0-rc2";

/// A pool's resource, unless it is set otherwise, is of this domain (DESIGN section 2).
fn resource(text: &str) -> Result<ResourceName, String> {
    let whole = if text.contains('/') { text.to_owned() } else { format!("amd.com/{text}") };
    whole.parse::<ResourceName>().map_err(|error| error.to_string())
}

fn network(text: &str) -> Result<String, String> {
    let parts: Vec<_> = text.split('/').collect();
    match parts.len() <= 2 && parts.iter().all(|part| is_label(part)) {
        true => Ok(text.to_owned()),
        false => Err(format!("NAME or NAMESPACE/NAME: {RULE}")),
    }
}

fn configmap(text: &str) -> Result<String, String> {
    is_subdomain(text).then(|| text.to_owned()).ok_or_else(|| RULE.to_owned())
}

/// Labels of nodes are shorter than their names may be; a longer one could not be chosen by it.
fn node(text: &str) -> Result<String, String> {
    let fits = is_subdomain(text) && text.len() <= 63;
    fits.then(|| text.to_owned()).ok_or_else(|| format!("at most 63 characters; {RULE}"))
}

/// Does it.
pub fn run(output: Output, verb: PodVerb) -> Result<u8, Ended> {
    let PodVerb::Render(wanted) = verb;
    kubernetes::namespace(WHAT, wanted.namespace.as_deref())?;
    let pods = if wanted.sfnettest { pair(&wanted)? } else { vec![one(&wanted)?] };
    kubernetes::print(output, &pods)?;
    if wanted.network.is_empty() {
        let note = "without --network a pod has only the cluster's own network, which Onload does not accelerate";
        output.note(note)?;
    }
    Ok(exit::AS_WANTED)
}

type Pod = Object<Spec<PodSpec>>;

fn refuse(why: impl Into<String>, fix: impl Into<String>) -> Complaint {
    Complaint::of(Kind::InvalidArgument, WHAT, why, fix)
}

fn one(wanted: &Wanted) -> Result<Pod, Complaint> {
    // A container's name has to be a label, and there is one.
    if !is_label(&wanted.name) {
        return Err(refuse(format!("{} is no name of a pod: {RULE}", plain(&wanted.name)), RULE));
    }
    // clap asks for it.
    let image = wanted.image.clone().ok_or_else(|| refuse("there is no image", "--image IMAGE"))?;
    let container = Container::new(&wanted.name, image, &wanted.pool, wanted.profile.as_deref());
    let container = container.running(wanted.command.clone());
    Ok(pod(wanted, &wanted.name, PodSpec::new(container, Restart::Always, wanted.user)))
}

/// The client does nothing until somebody runs `sfnt-pingpong` in it.
fn pair(wanted: &Wanted) -> Result<Vec<Pod>, Complaint> {
    let image = match &wanted.image {
        Some(image) => image.clone(),
        None => SFNETTEST.parse().map_err(|why: String| refuse(why, "--image IMAGE"))?,
    };
    if wanted.server_node == wanted.client_node {
        let why = "pods of one node do not reach each other through Onload";
        return Err(refuse(why, "name two nodes"));
    }
    let sides = [
        ("onload-sfnettest-server", &wanted.server_node, Restart::Always, Vec::new()),
        (
            "onload-sfnettest-client",
            &wanted.client_node,
            Restart::Never,
            ["sleep", "infinity"].map(str::to_owned).to_vec(),
        ),
    ];
    let side = |(name, node, restart, command): (&str, &Option<String>, Restart, Vec<String>)| {
        let container =
            Container::new(name, image.clone(), &wanted.pool, wanted.profile.as_deref());
        let spec = PodSpec::new(container.running(command), restart, wanted.user);
        pod(wanted, name, spec.on(node.as_deref()))
    };
    Ok(sides.into_iter().map(side).collect())
}

fn pod(wanted: &Wanted, name: &str, spec: PodSpec) -> Pod {
    let mut metadata = Metadata::new(name, wanted.namespace.as_deref());
    if !wanted.network.is_empty() {
        metadata.annotations = BTreeMap::from([(NETWORKS, wanted.network.join(","))]);
    }
    Object::specified("v1", "Pod", metadata, spec)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed test is what a panic is for.

    use super::*;

    #[test]
    fn words_are_what_kubernetes_takes() {
        assert_eq!(resource("onload").unwrap().as_str(), "amd.com/onload");
        assert_eq!(resource("example.com/fast").unwrap().as_str(), "example.com/fast");
        for wrong in ["", "a/b/c", "kubernetes.io/x", "On Load"] {
            assert!(resource(wrong).is_err(), "{wrong}");
        }
        assert!(network("ipvlan-bond0").is_ok() && network("fast/ipvlan-bond0").is_ok());
        for wrong in ["", "a/b/c", "/a", "a_b", "a,b"] {
            assert!(network(wrong).is_err(), "{wrong}");
        }
        assert!(node("compute-0.example.com").is_ok() && node(&"a".repeat(64)).is_err());
        assert!(configmap("onload-latency-profile").is_ok() && configmap("a_b").is_err());
        assert!(SFNETTEST.parse::<Image>().is_ok());
    }
}

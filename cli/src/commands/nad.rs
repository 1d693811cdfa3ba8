//! `nad render`: a NetworkAttachmentDefinition for a port or bond of this node, for Multus.
//!
//! It names the master by its interface's name, so that a rename breaks pods without a word
//! (reference/kubernetes-onload.md section 4.3): a port may be named by what does not change, and a
//! name that another driver would change is told.

mod config;
mod ipam;
mod master;

use clap::{Args, Subcommand};
use onload_core::names::ResourceName;
use onload_dbus::error::{Kind as Failure, exit};
use serde::Serialize;

use crate::args::Bus;
use crate::ended::{Complaint, Ended};
use crate::kubernetes::{self, Metadata, Object, RULE, Spec, is_label, sane};
use crate::render::Output;
use crate::render::paint::plain;

use config::{CniVersion, Config, Kind, Mode, word};
use ipam::Ipam;

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum NadVerb {
    /// Print one for a port or bond, as YAML
    Render(Wanted),
}

/// What is wanted.
#[derive(Clone, Debug, Args)]
pub struct Wanted {
    /// The plugin that makes the pod's interface
    #[arg(long)]
    pub kind: Kind,
    /// What it is made of: a port by PCI address, hardware address or interface name; or a bond
    #[arg(long, value_name = "PORT|INTERFACE")]
    pub master: String,
    /// Who gives addresses: whereabouts:RANGE, host-local:RANGE (RANGE such as 198.19.0.0/16 or
    /// 198.19.0.10-198.19.0.99/16), dhcp, none, or a file with the JSON object of another plugin
    #[arg(long, value_name = "IPAM|FILE")]
    pub ipam: Ipam,
    /// Its name; KIND-INTERFACE otherwise
    #[arg(long)]
    pub name: Option<String>,
    /// Its namespace: that of the pods, where Multus isolates namespaces
    #[arg(long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// How the interface works: of ipvlan l2, l3 or l3s, of macvlan bridge, private, vepa or passthru
    #[arg(long)]
    pub mode: Option<Mode>,
    /// Largest packet; the master's otherwise
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(68..=65535))]
    pub mtu: Option<u32>,
    /// A resource that pods of this network ask for as well, such as amd.com/onload
    #[arg(long, value_name = "RESOURCE")]
    pub resource: Option<ResourceName>,
    /// Version of CNI that the configuration is written for
    #[arg(long, value_name = "VERSION", default_value = "0.3.1")]
    pub cni_version: CniVersion,
    /// Take the interface's name as it is; onloadd is not asked
    #[arg(long)]
    pub offline: bool,
}

/// What does not happen.
const WHAT: &str = "no NetworkAttachmentDefinition is rendered";
/// The annotation by which a network goes with a resource.
const RESOURCE: &str = "k8s.v1.cni.cncf.io/resourceName";

/// What the definition specifies: the plugin's configuration as text.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct NetworkSpec {
    config: String,
}

fn refuse(why: impl Into<String>, fix: impl Into<String>) -> Complaint {
    Complaint::of(Failure::InvalidArgument, WHAT, why, fix)
}

/// Does it.
pub async fn run(bus: &Bus, output: Output, verb: NadVerb) -> Result<u8, Ended> {
    let NadVerb::Render(wanted) = verb;
    kubernetes::namespace(WHAT, wanted.namespace.as_deref())?;
    // Before anybody is asked: what cannot hold with any master.
    config::check(&wanted)?;
    let ipam = wanted.ipam.read()?;
    let master = master::find(bus, output, &wanted.master, wanted.offline).await?;
    let name = name(&wanted, &master.interface)?;
    let config = Config::of(&wanted, &name, &master, ipam);
    let text = serde_json::to_string_pretty(&config)
        .map_err(|error| Complaint::of(Failure::Internal, WHAT, error.to_string(), "report it"))?;
    let mut metadata = Metadata::new(name, wanted.namespace.as_deref());
    if let Some(resource) = &wanted.resource {
        metadata.annotations.insert(RESOURCE, resource.to_string());
    }
    // With its end of line: so it stands as lines of its own, which a person can read.
    let spec = NetworkSpec { config: text + "\n" };
    let definition: Object<Spec<NetworkSpec>> =
        Object::specified("k8s.cni.cncf.io/v1", "NetworkAttachmentDefinition", metadata, spec);
    kubernetes::print(output, &[definition])?;
    Ok(exit::AS_WANTED)
}

/// Its name: pods ask for it in an annotation, in which only labels can be written.
fn name(wanted: &Wanted, interface: &str) -> Result<String, Complaint> {
    let name = match &wanted.name {
        Some(name) => name.clone(),
        None => format!("{}-{interface}", word(wanted.kind)),
    };
    if is_label(&name) {
        return Ok(name);
    }
    let fix = match sane(&name) {
        Some(sane) => format!("give it one: --name {sane}"),
        None => "give it one with --name".to_owned(),
    };
    Err(refuse(format!("{} is no name of a network: {RULE}", plain(&name)), fix))
}

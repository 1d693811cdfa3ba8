//! What a node finds before its first boot: firmware that has the key of its fleet, an OS image that was layered,
//! and what Ignition lays into it.

use std::fs;
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, bail, ensure};
use ignition_config::Config;
use onload_tests::binaries::binary;
use onload_tests::guest::image::{Extra, Image};
use onload_tests::guest::variables::Variable;
use serde_json::Value;

use crate::applier::{Laid, Tree};
use crate::firmware::Signer;
use crate::keys::STACK;
use crate::secure_boot::MODULE;

/// The release in the image, and its driver's own version.
pub const VERSION: &str = "9.2.1";
pub const DRIVER: &str = "6.4.0.1003";
pub const MACS: [&str; 2] = ["00:0f:53:0a:0b:10", "00:0f:53:0a:0b:11"];
pub const NAMES: [&str; 2] = ["fast0", "fast1"];
pub const SLOTS: usize = 64;
/// How long MokManager is to wait for somebody; other than shim's own 10.
pub const PROMPT_SECS: i32 = 12;
/// Who signs the modules, and who will sign the next ones.
pub const FLEET: &str = "Fleet now";
pub const NEXT: &str = "Fleet next";

/// The part of an image's build that is done in the guest, before udev looks for hardware: tools where packages
/// put them, and a list of modules. A Solarflare card cannot be in an image, so it is plugged in here.
pub const BUILD: [&str; 2] = [
    "/etc/systemd/system/systemd-udev-trigger.service.d/image.conf",
    "[Service]\n\
     ExecStartPre=/bin/sh -c 'cp -r /opt/releases/9.2.1/usr/. /usr/ && depmod -a'\n\
     ExecStartPre=/sbin/insmod /opt/card/onloadd_card.ko\n",
];

/// The keys of a fleet, and what a MachineConfig for it brings.
pub struct Site {
    /// Signs the modules of the image; its certificate is enrolled.
    fleet: Signer,
    /// Takes its place one day.
    pub next: Signer,
    /// What Ignition lays.
    pub tree: Tree,
    /// What is to be typed at the console, which only its hash leaves.
    pub password: String,
}

/// The site of this run: its keys and its password are made when they are first needed.
pub fn site() -> anyhow::Result<&'static Site> {
    static SITE: OnceLock<Site> = OnceLock::new();
    if let Some(site) = SITE.get() {
        return Ok(site);
    }
    let (fleet, next) = (Signer::generate(FLEET)?, Signer::generate(NEXT)?);
    let (tree, password) = rendered(&fleet, &next)?;
    Ok(SITE.get_or_init(|| Site { fleet, next, tree, password }))
}

/// What is rendered from the files of a site, with a password that is made.
fn rendered(fleet: &Signer, next: &Signer) -> anyhow::Result<(Tree, String)> {
    let place = tempfile::tempdir()?;
    let ports = MACS.iter().zip(NAMES);
    let ports =
        ports.map(|(mac, name)| format!("[[naming.ports]]\nmac = \"{mac}\"\nname = \"{name}\"\n"));
    let names = format!("[naming]\npolicy = \"explicit\"\n{}", ports.collect::<String>());
    let own = format!(
        "[[modules.kernels]]\nregexp = \"^6\\\\.\"\nrelease = \"host\"\n\
         [pools.onload]\nslots = {SLOTS}\n[secure-boot]\nprompt-timeout = \"{PROMPT_SECS}s\"\n"
    );
    let mut render = Command::new(binary("onloadctl"));
    render.args(["machineconfig", "render", "--json", "--generate-password"]);
    for (word, name, content) in [
        ("--config", "50-site.toml", own.as_bytes()),
        ("--naming", "20-names.toml", names.as_bytes()),
        ("--cert", "fleet.der", &fleet.der),
        ("--cert", "next.der", &next.der),
    ] {
        fs::write(place.path().join(name), content)?;
        render.arg(word).arg(place.path().join(name));
    }
    let out = render.output()?;
    let said = String::from_utf8(out.stderr)?;
    ensure!(out.status.success(), "{said}");
    let password = said.lines().find_map(|line| line.strip_prefix("password: "));
    let object: Value = serde_json::from_slice(&out.stdout)?;
    let config = Config::parse_str(&object["spec"]["config"].to_string())?.0;
    Ok((Tree::of(&config)?, password.with_context(|| said.clone())?.to_owned()))
}

/// What the firmware has been told before.
pub fn enrolled() -> anyhow::Result<Vec<Variable>> {
    Ok(vec![Variable::mok_list(&[&site()?.fleet.der])])
}

/// The modules of the image, signed where images are built, and what Ignition lays.
pub fn laid(image: &Image) -> anyhow::Result<Vec<Extra>> {
    let (site, kernel) = (site()?, image.kernel_version()?);
    let signed = |from: &str, path: String| -> anyhow::Result<Extra> {
        let content = site.fleet.sign(&image.overlaid(from)?)?;
        Ok(Extra { path, content, mode: 0o644 })
    };
    let mut all = vec![signed(MODULE, MODULE.to_owned())?];
    for module in STACK {
        let from = format!("/opt/releases/{VERSION}/lib/modules/{kernel}/extra/{module}.ko");
        all.push(signed(&from, format!("/usr/lib/modules/{kernel}/updates/{module}.ko"))?);
    }
    for (path, laid) in &site.tree.0 {
        // A layered image enables its own units: nothing of it is a link.
        let Laid::File { content, mode, .. } = laid else { bail!("{path} is a link") };
        all.push(Extra { path: path.clone(), content: content.clone(), mode: *mode });
    }
    Ok(all)
}

/// What Ignition lays, as it must be found.
pub fn files() -> anyhow::Result<impl Iterator<Item = (&'static str, &'static [u8], u32)>> {
    Ok(site()?.tree.0.iter().filter_map(|(path, laid)| match laid {
        Laid::File { content, mode, .. } => Some((path.as_str(), content.as_slice(), *mode)),
        Laid::Link { .. } => None,
    }))
}

//! `machineconfig render`: what a node of OpenShift is given at its first boot, from files alone. It
//! speaks to no onloadd and looks at no machine: it is for the desk where MachineConfigs are made.
//!
//! The software comes in one of two ways, and only the configuration comes in both:
//!
//! - *layered*: onloadd and Onload's modules are packages of the OS image (`packaging/rhcos`). The
//!   image enables the units, since a unit that is not there yet cannot be enabled by a MachineConfig on
//!   a node that runs. The driver is the right one from the first boot into the image.
//! - *pull*: a unit fetches an image, takes the two programs out of it and starts onloadd. `/usr` cannot
//!   be written on these nodes, so programs lie in `/usr/local`, which is `/var/usrlocal` there: SELinux
//!   labels programs in it as such (`bin_t`), which it would not below `/var/lib`, and systemd could
//!   not run them. Units, bus policy, udev rules and the like come with the MachineConfig, below
//!   `/etc`. polkit of RHEL 9 looks for actions in `/usr/share` only: orders are root's there. The
//!   driver is the right one from the second boot on, or earlier where nobody loses anything by that, and
//!   nothing of ours reboots.
//!
//! A release that is no package of the OS image is taken in by a unit, once onloadd runs. It is asked for
//! by name and never overwritten, so nothing is done twice. Units that fail are failed units, after a few
//! tries; and onloadd shows what it misses as a condition.
//!
//! Only files, units and kernel arguments are used of Ignition: nodes that run already take nothing else
//! (the machine-config daemon refuses changes of directories and links).

mod archive;
mod butane;
mod content;
mod delivery;
mod document;
mod drop_in;
mod ignition;
mod inputs;
mod keys;
mod mode;
mod names;
mod parts;
mod words;

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use onload_core::config::Config;
use onload_dbus::error::{Kind, exit};

use self::document::Form;
use self::drop_in::DropIn;
use self::ignition::Version;
use self::parts::Parts;
pub use self::words::MachineconfigVerb;
use self::words::{Delivery, Wanted};
use crate::ended::{Complaint, Ended};
use crate::render::Output;
use crate::render::paint::plain;

/// What does not happen.
const WHAT: &str = "no MachineConfig was rendered";
/// Of a file that has the hash of a password, and of one that has not.
const OWN: u32 = 0o600;
const COMMON: u32 = 0o644;

/// Does it.
pub async fn run(output: Output, verb: MachineconfigVerb) -> Result<u8, Ended> {
    let MachineconfigVerb::Render(wanted) = verb;
    render(output, &wanted).await?;
    Ok(exit::AS_WANTED)
}

/// Something that was asked for cannot be.
fn refuse(why: impl Into<String>, fix: impl Into<String>) -> Complaint {
    Complaint::of(Kind::InvalidArgument, WHAT, why, fix)
}

async fn render(output: Output, wanted: &Wanted) -> Result<(), Ended> {
    // What words and files have wrong is found before anybody is asked for a password.
    let version = Version::parse(&wanted.ignition)?;
    let form = Form::of(wanted.butane, output.json(), version)?;
    let name = wanted.name.clone().unwrap_or_else(|| format!("99-{}-onloadd", wanted.role));
    names::check_role(&wanted.role)?;
    names::check_object(&name)?;
    names::check_arguments(&wanted.kernel_argument)?;
    let mut parts = Parts::default();
    let configured = inputs::take(wanted, &mut parts)?;
    let mut drop_in = DropIn::default();
    inputs::clock(wanted, &configured, &mut parts, &mut drop_in)?;
    let certificates = keys::take(&wanted.cert, &configured, &mut parts, &mut drop_in)?;
    delivery::take(wanted, &configured, &mut parts, &mut drop_in)?;
    let whole = configured.with(&drop_in)?;
    drop_in.put(&mut parts)?;
    let described = document::Described {
        name,
        role: wanted.role.clone(),
        os_image: wanted.os_image.clone(),
        arguments: wanted.kernel_argument.clone(),
    };
    let text = |parts: &Parts| document::text(form, version, &described, parts);
    if !certificates.is_empty() {
        text(&keys::foreseen(&parts)?)?;
    }
    let made = keys::password(output, wanted, &certificates, &mut parts).await?;
    let text = text(&parts)?;
    match &wanted.output {
        Some(path) => write(output, path, &text, !certificates.is_empty())?,
        None => output.text(&text)?,
    }
    if let Some(password) = made {
        output.note(&format!("password: {}", password.text()))?;
        output.note("  it is shown only now, and only its hash is in the MachineConfig")?;
    }
    notes(wanted, &whole, !certificates.is_empty())
        .iter()
        .try_for_each(|note| output.note(&format!("note: {note}")))?;
    Ok(())
}

/// What whoever rolls it out has to know, and no file can say.
fn notes(wanted: &Wanted, config: &Config, keys: bool) -> Vec<String> {
    let mut notes = Vec::new();
    let boot = match (wanted.deliver, &wanted.release) {
        (Delivery::Layered, None) => {
            "the right driver is there from the first boot into the OS image on"
        }
        (Delivery::Layered | Delivery::Pull, Some(_)) | (Delivery::Pull, None) => {
            "the right driver is there from the second boot on: the first one fetches, and replaces the driver only where nobody loses anything by that; nothing of onloadd reboots a node"
        }
    };
    notes.push(boot.to_owned());
    if keys {
        let within = config.settings.secure_boot.prompt().secs();
        notes.push(format!(
            "keys are asked for, not enrolled: at the boot after onloadd has asked, somebody types the password at each node's console, within {within} s; a request that nobody answers is gone, and `onloadctl keys status` says so"
        ));
        notes.push(
            "it has the hash of the password, and whoever reads MachineConfigs can guess at that, as can local users of a node, where machine-config-daemon keeps a copy that all may read: use the password for nothing else".to_owned(),
        );
    }
    if wanted.os_image.is_some() {
        notes.push(format!(
            "with --os-image updates of the cluster no longer change the OS of pool {}: build the image anew from the new release's, and render it with that one's name",
            wanted.role
        ));
    }
    if wanted.os_image.as_ref().is_some_and(|image| !image.contains('@')) {
        notes.push(
            "--os-image names a tag: nodes are not updated when it is moved; name a digest (image@sha256:…)".to_owned(),
        );
    }
    notes.push(
        "an initramfs, and kdump's, keep the sfc that they were built with until they are built anew; the condition InitramfsMatches tells".to_owned(),
    );
    notes
}

/// Writes the file, unless it is as it should be already.
fn write(output: Output, path: &Path, text: &str, secret: bool) -> Result<(), Ended> {
    let shown = plain(&path.to_string_lossy());
    let hidden =
        |path: &Path| fs::metadata(path).is_ok_and(|file| file.mode() & !OWN & 0o7777 == 0);
    if fs::read(path).is_ok_and(|there| there == text.as_bytes()) && (!secret || hidden(path)) {
        return Ok(output.note(&format!("{shown} is as it should be"))?);
    }
    // Beside it, then in its place: who reads it meanwhile reads the old one whole.
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let written = || -> io::Result<()> {
        let mode = if secret { OWN } else { COMMON };
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    written().map_err(|error| {
        drop(fs::remove_file(&beside));
        refuse(
            format!("{shown} cannot be written: {error}"),
            "name a file in a directory that can be written: --output FILE",
        )
    })?;
    Ok(output.note(&format!("written: {shown}"))?)
}

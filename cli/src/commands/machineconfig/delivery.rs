//! How the software and a release come to a node.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use onload_core::names::ReleaseName;
use onload_core::release::{HOST, is_imported};

use crate::ended::Complaint;
use crate::render::paint::plain;

use super::drop_in::DropIn;
use super::inputs::Configured;
use super::mode::Mode;
use super::parts::{Parts, Unit};
use super::words::{Delivery, Wanted};
use super::{archive, names, refuse};

/// Where the programs are in the OS image, and where they lie once they were fetched.
const IN_IMAGE: (&str, &str) = ("/usr/sbin/", "/usr/bin/");
const FETCHED: (&str, &str) = ("/usr/local/sbin/", "/usr/local/bin/");
/// What fetches them.
const FETCH: &str = "onloadd-fetch.service";
const FETCH_PROGRAM: &str = "/usr/local/bin/onloadd-fetch";
/// What takes a release in, and the one that travels in the MachineConfig.
const RELEASE: &str = "onloadd-release.service";
const ARCHIVE: &str = "/usr/local/share/onloadd/release.tar.gz";
/// The units that are enabled; the third is started by onloadd.
const DAEMON: &str = "onloadd.service";
const BOOT: &str = "onloadd-boot.service";

/// What else a package would install, below `/etc` in place of `/usr/lib`.
const FILES: [(&str, &str); 4] = [
    (
        "/etc/dbus-1/system.d/com.amd.Onload1.conf",
        include_str!("../../../../dbus/policy/com.amd.Onload1.conf"),
    ),
    ("/etc/sysusers.d/onloadd.conf", include_str!("../../../../units/onloadd.sysusers.conf")),
    ("/etc/tmpfiles.d/onloadd.conf", include_str!("../../../../units/onloadd.tmpfiles.conf")),
    ("/etc/udev/rules.d/60-onloadd.rules", include_str!("../../../../udev-rules/60-onloadd.rules")),
];

/// Before the programs were fetched their units are left out, not failed: what fails is the fetching.
const FETCHED_ONLY: &str = "\
    [Unit]\n\
    # The programs come by onloadd-fetch.service. Until they are there, this is left out.\n\
    ConditionFileIsExecutable=/usr/local/sbin/onloadd\n\
    # /usr/local is a link to it.\n\
    RequiresMountsFor=/var/usrlocal\n";

/// Where a release comes from.
enum Source<'a> {
    Image(&'a str),
    Directory(&'a Path),
}

/// Adds what the delivery needs.
///
/// # Errors
/// What is asked for cannot be delivered so.
pub fn take(
    wanted: &Wanted,
    configured: &Configured,
    parts: &mut Parts,
    drop_in: &mut DropIn,
) -> Result<(), Complaint> {
    if let Some(image) = &wanted.os_image {
        names::check_image(image)?;
        if wanted.deliver == Delivery::Pull {
            let why = "an OS image is booted by --deliver layered, and pull is asked for";
            return Err(refuse(why, "leave out one of the two"));
        }
    }
    let source = wanted.release.as_deref().map(find).transpose()?;
    if wanted.deliver == Delivery::Pull {
        let Some(Source::Image(image)) = source else {
            let why = "--deliver pull takes onloadd out of an image, and none is named";
            return Err(refuse(why, "name one that has onloadd: --release IMAGE"));
        };
        pull(image, parts)?;
    }
    match source {
        Some(source) => release(wanted, configured, &source, parts),
        None => {
            let says = ["modules.release", "modules.kernels"];
            if !says.into_iter().any(|key| configured.says(key)) {
                drop_in.release = Some(HOST);
            }
            Ok(())
        }
    }
}

fn find(release: &str) -> Result<Source<'_>, Complaint> {
    let path = Path::new(release);
    if path.is_dir() {
        return Ok(Source::Directory(path));
    }
    if path.exists() {
        let why = format!("{} is a file, and a release is an image or a directory", plain(release));
        return Err(refuse(why, "unpack it, and name the directory: --release DIR"));
    }
    names::check_image(release).map_err(|refused| {
        let why = format!("there is no directory {}, and {}", plain(release), refused.why);
        refuse(why, "name a directory, or an image such as registry.example/onload:9.1.0")
    })?;
    Ok(Source::Image(release))
}

/// The unit that fetches, and what a package would have brought.
fn pull(image: &str, parts: &mut Parts) -> Result<(), Complaint> {
    let program = include_str!("../../../../packaging/rhcos/onloadd-fetch");
    parts.file(FETCH_PROGRAM, program, Mode::PROGRAM)?;
    FILES.iter().try_for_each(|(path, text)| parts.file(path, *text, Mode::COMMON))?;
    let fetch = include_str!("../../../../packaging/rhcos/onloadd-fetch.service");
    parts.unit(FETCH, whole(&fetch.replace("@IMAGE@", image)))?;
    let ours = [
        (DAEMON, include_str!("../../../../units/onloadd.service")),
        (BOOT, include_str!("../../../../units/onloadd-boot.service")),
    ];
    for (name, text) in ours {
        let text =
            text.replace(&format!("ExecStart={}", IN_IMAGE.0), &format!("ExecStart={}", FETCHED.0));
        parts.unit(name, Unit { drop_ins: fetched_only(), ..whole(&text) })?;
    }
    let sfptpd = include_str!("../../../../units/onloadd-sfptpd.service");
    parts.unit("onloadd-sfptpd.service", Unit { enabled: false, ..whole(sfptpd) })
}

fn fetched_only() -> BTreeMap<String, String> {
    BTreeMap::from([("10-fetched.conf".to_owned(), FETCHED_ONLY.to_owned())])
}

fn whole(text: &str) -> Unit {
    Unit { enabled: true, text: Some(text.to_owned()), ..Unit::default() }
}

/// The unit that takes a release in.
fn release(
    wanted: &Wanted,
    configured: &Configured,
    source: &Source<'_>,
    parts: &mut Parts,
) -> Result<(), Complaint> {
    let name = release_name(wanted, configured)?;
    let (source, network) = match source {
        Source::Image(image) => ((*image).to_owned(), true),
        Source::Directory(directory) => {
            parts.file(ARCHIVE, archive::pack(directory)?, Mode::COMMON)?;
            (ARCHIVE.to_owned(), false)
        }
    };
    let (bin, needs, after, drop_ins) = match wanted.deliver {
        Delivery::Layered => (IN_IMAGE.1, DAEMON, DAEMON.to_owned(), BTreeMap::new()),
        // What fetches starts the daemon, and this once more where it was left out for want of programs:
        // its tries are not used up while those are on their way.
        Delivery::Pull => (FETCHED.1, FETCH, format!("{FETCH} {DAEMON}"), fetched_only()),
    };
    let text = include_str!("../../../../packaging/rhcos/onloadd-release.service");
    let network = if network {
        "Wants=network-online.target\nAfter=network-online.target\nRequiresMountsFor=/var/lib/containers\n"
    } else {
        ""
    };
    let text = text
        .replace("@NETWORK@\n", network)
        .replace("@NEEDS@", needs)
        .replace("@AFTER@", &after)
        .replace("@BIN@", bin)
        .replace("@NAME@", name.as_str())
        .replace("@SOURCE@", &source);
    parts.unit(RELEASE, Unit { drop_ins, ..whole(&text) })
}

/// The name that the release is taken in by: the configuration has to ask for it, or it lies there unused.
fn release_name(wanted: &Wanted, configured: &Configured) -> Result<ReleaseName, Complaint> {
    let modules = &configured.config.settings.modules;
    let mapped = modules.kernels.iter().map(|mapping| &mapping.release);
    let named: BTreeSet<_> =
        modules.release.iter().chain(mapped).filter(|name| is_imported(name)).collect();
    if let Some(name) = &wanted.release_name {
        let parsed = name.parse::<ReleaseName>();
        let parsed =
            parsed.map_err(|error| refuse(error.to_string(), "--release-name 9.1.0, say"))?;
        if !named.contains(&parsed) {
            let why = format!("no line of the configuration asks for release {parsed}");
            return Err(refuse(why, unnamed(&parsed.to_string())));
        }
        return Ok(parsed);
    }
    let mut all = named.into_iter();
    match (all.next(), all.next()) {
        (Some(name), None) => Ok(name.clone()),
        (Some(one), Some(other)) => {
            let why = format!(
                "the configuration asks for {one}, {other} and perhaps more, and --release is one of them"
            );
            Err(refuse(why, format!("say which: --release-name {one}")))
        }
        (None, _) => {
            let why = "the configuration asks for no release that is taken in, so that of --release would lie there unused";
            Err(refuse(why, unnamed("9.1.0")))
        }
    }
}

fn unnamed(name: &str) -> String {
    format!(
        "write `[modules]` and `release = \"{name}\"`, or [[modules.kernels]] with a regexp, into a file and give it: --config FILE"
    )
}

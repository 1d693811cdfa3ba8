//! Contradictions in a world file, each named with its line and what would be right.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;

use onload_core::names::{InterfaceName, MacAddress, PciAddress, ReleaseName};
use toml::Spanned;

use super::action::{Action, ClockName, prefix};
use super::faults::{Fault, Part};
use super::file::{ClockProgram, KeyName, OtherInterface, ReleaseOnDisk, WorldFile};
use super::kernel::{IN_TREE, dependencies};

mod clocks;
mod secure_boot;
mod uppers;

/// Why a text is no world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorldError {
    /// Line, from 1; none where the whole is meant.
    pub line: Option<usize>,
    /// The key, such as `card.port.numa`; empty where the syntax ends before one.
    pub key: String,
    /// What is wrong with it.
    pub why: String,
    /// What would be right; empty where `why` says it.
    pub allowed: String,
}

impl std::error::Error for WorldError {}

impl fmt::Display for WorldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}, ")?;
        }
        write!(f, "`{}`: {}", self.key, self.why)?;
        if self.allowed.is_empty() { Ok(()) } else { write!(f, "; allowed: {}", self.allowed) }
    }
}

/// Reads the text; only its shape is judged.
pub(super) fn parse(text: &str) -> Result<WorldFile, WorldError> {
    toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| line_at(text, &span));
        let key = line
            .and_then(|line| text.lines().nth(line - 1))
            .map(|line| line.split('=').next().unwrap_or_default().trim().to_owned());
        WorldError {
            line,
            key: key.unwrap_or_default(),
            why: error.message().replace('\n', "; "),
            allowed: String::new(),
        }
    })
}

fn line_at(text: &str, span: &Range<usize>) -> usize {
    text.bytes().take(span.start).filter(|byte| *byte == b'\n').count() + 1
}

/// Judges what the shape cannot: that the parts fit each other.
pub(super) fn check(text: &str, file: &WorldFile) -> Result<(), WorldError> {
    let check = Check { text, file };
    check.node_and_keys()?;
    check.clocks()?;
    check.clock_programs()?;
    check.addresses()?;
    check.interface_names()?;
    check.uppers()?;
    check.networks()?;
    check.unique("kernel.release", "kernel", file.kernels.iter().map(|one| &one.release))?;
    let carried = file.kernels.iter().filter_map(|kernel| kernel.initramfs_sfc.as_ref());
    carried.into_iter().try_for_each(|release| {
        check.release_is_known(release, "kernel.initramfs-sfc".to_owned())
    })?;
    file.interfaces.iter().try_for_each(|interface| check.other(interface))?;
    check.unique("release.name", "release", file.releases.iter().map(|release| &release.name))?;
    file.releases.iter().try_for_each(|release| check.release(release))?;
    let managers = file.others.iter().map(|other| &other.manager);
    check.unique("other.manager", "manager", managers)?;
    check.loaded()?;
    file.events.iter().try_for_each(|event| match unknown(file, event.action.get_ref()) {
        Some((why, allowed)) => check.fail(Some(event.action.span()), "event.do", why, allowed),
        None => Ok(()),
    })
}

/// What an action names that this world does not have, and what it has.
pub(super) fn unknown(file: &WorldFile, action: &Action) -> Option<(String, String)> {
    let port = |address: &PciAddress| {
        let known: Vec<String> = addresses(file).map(|known| known.get_ref().to_string()).collect();
        (!known.contains(&address.to_string()))
            .then(|| (format!("there is no PCI function {address}"), known.join(", ")))
    };
    match action {
        Action::Link { port: address, .. }
        | Action::Unplug(address)
        | Action::Plug(address)
        | Action::Unbind(address)
        | Action::Bind(address)
        | Action::Fault(Fault::Unreadable(Part::Port(address))) => port(address),
        Action::Libraries { release, .. } => {
            let known: Vec<&str> =
                file.releases.iter().map(|known| known.name.get_ref().as_str()).collect();
            (!known.contains(&release.as_str()))
                .then(|| (format!("there is no release {release}"), known.join(", ")))
        }
        Action::Fault(Fault::Load { release: Some(release), .. }) => {
            let known = file.releases.iter().map(|known| known.name.get_ref().as_str());
            let known: Vec<&str> = known.chain([IN_TREE]).collect();
            (!known.contains(&release.as_str()))
                .then(|| (format!("there is no release {release}"), known.join(", ")))
        }
        Action::Enrol(key) | Action::Revoke(key) => {
            let known: Vec<String> =
                file.keys.iter().map(|key| key.name.get_ref().to_string()).collect();
            (!known.contains(&key.to_string()))
                .then(|| (format!("there is no key {key}"), known.join(", ")))
        }
        Action::ClockProgram { name, .. } => {
            let known: Vec<&str> = file.clock_programs.iter().map(ClockProgram::name).collect();
            (!known.contains(&name.as_str())).then(|| {
                (format!("there is no program {name} that steers clocks"), known.join(", "))
            })
        }
        Action::ClockOffset { clock: ClockName::Hardware(index), .. }
        | Action::ClockDrift { clock: ClockName::Hardware(index), .. } => {
            let known: Vec<u32> = file.clocks.iter().map(|clock| *clock.index.get_ref()).collect();
            let names: Vec<String> = known.iter().map(|index| format!("ptp{index}")).collect();
            (!known.contains(index)).then(|| (format!("there is no ptp{index}"), names.join(", ")))
        }
        // Whatever may not be there yet: the kernel answers these itself.
        Action::Load { .. }
        | Action::Unload(_)
        | Action::DriverGone(_)
        | Action::Coldplug
        | Action::Rename { .. }
        | Action::Address { .. }
        | Action::Route { .. }
        | Action::Mtu { .. }
        | Action::Set { .. }
        | Action::OwnersAct
        | Action::Upper { .. }
        | Action::Contain { .. }
        | Action::Claim { .. }
        | Action::Register(_)
        | Action::Open { .. }
        | Action::Close { .. }
        | Action::Run(_)
        | Action::Clock { .. }
        | Action::Unit { .. }
        | Action::Exit(_)
        | Action::ControlPlaneDies
        | Action::ControlPlaneStarts
        | Action::Other { .. }
        | Action::Server(_)
        | Action::Attend
        | Action::Reboot
        | Action::ClockOffset { clock: ClockName::System, .. }
        | Action::ClockDrift { clock: ClockName::System, .. }
        | Action::Alarm(_)
        | Action::TimeStep(_)
        | Action::Leap(_)
        | Action::Template(_)
        | Action::Fault(_)
        | Action::ClearFaults
        | Action::Nothing => None,
    }
}

fn addresses(file: &WorldFile) -> impl Iterator<Item = &Spanned<PciAddress>> {
    let cards = file.cards.iter().flat_map(|card| card.ports.iter().map(|port| &port.pci));
    cards.chain(file.interfaces.iter().filter_map(|interface| interface.pci.as_ref()))
}

struct Check<'a> {
    text: &'a str,
    file: &'a WorldFile,
}

impl Check<'_> {
    fn fail(
        &self,
        span: Option<Range<usize>>,
        key: &str,
        why: String,
        allowed: impl Into<String>,
    ) -> Result<(), WorldError> {
        let line = span.map(|span| line_at(self.text, &span));
        Err(WorldError { line, key: key.to_owned(), why, allowed: allowed.into() })
    }

    fn unique<'b, T: Ord + fmt::Display + 'b>(
        &self,
        key: &str,
        kind: &str,
        items: impl Iterator<Item = &'b Spanned<T>>,
    ) -> Result<(), WorldError> {
        let mut seen = BTreeMap::new();
        for item in items {
            if let Some(first) = seen.insert(item.get_ref(), item.span()) {
                let why = format!("{kind} {} is there twice", item.get_ref());
                let allowed = format!("another one; line {} has it", line_at(self.text, &first));
                return self.fail(Some(item.span()), key, why, allowed);
            }
        }
        Ok(())
    }

    fn node_and_keys(&self) -> Result<(), WorldError> {
        if self.file.node.numa_nodes == 0 {
            let why = "a machine has at least one NUMA node".to_owned();
            return self.fail(None, "node.numa-nodes", why, "1 and up");
        }
        let cards = self.file.cards.iter().flat_map(|card| &card.ports);
        let others = self.file.interfaces.iter().filter_map(|other| other.numa.as_ref());
        for numa in cards.filter_map(|port| port.numa.as_ref()).chain(others) {
            if *numa.get_ref() >= self.file.node.numa_nodes {
                let why = format!("there is no NUMA node {}", numa.get_ref());
                let last = self.file.node.numa_nodes - 1;
                let allowed = format!("0 to {last}, as `node.numa-nodes` says");
                return self.fail(Some(numa.span()), "numa", why, allowed);
            }
        }
        self.unique("key.name", "key", self.file.keys.iter().map(|key| &key.name))?;
        self.keys()?;
        self.trusts()
    }

    fn addresses(&self) -> Result<(), WorldError> {
        self.unique("pci", "PCI function", addresses(self.file))?;
        let ports = self.file.cards.iter().flat_map(|card| card.ports.iter().map(|port| &port.mac));
        let others = self.file.interfaces.iter().map(|interface| &interface.mac);
        self.unique::<MacAddress>("mac", "address", ports.chain(others))
    }

    fn interface_names(&self) -> Result<(), WorldError> {
        let ports = self.file.cards.iter().flat_map(|card| &card.ports);
        let others = self.file.interfaces.iter();
        let names = ports.clone().map(|port| &port.netdev).chain(others.clone().map(|i| &i.name));
        self.unique::<InterfaceName>("netdev", "interface", names.clone())?;
        if let Some(name) = names.clone().find(|name| name.get_ref().as_str() == "lo") {
            let why = "interface lo is there without being written".to_owned();
            return self.fail(Some(name.span()), "interface.name", why, "another name");
        }
        let mut taken: BTreeSet<&str> = names.map(|name| name.get_ref().as_str()).collect();
        let altnames = ports
            .map(|port| (&port.altnames, port.netdev.span()))
            .chain(others.map(|other| (&other.altnames, other.name.span())));
        for (altnames, span) in altnames {
            for altname in altnames {
                if !taken.insert(altname) {
                    let why = format!("`{altname}` names two interfaces");
                    return self.fail(Some(span), "altnames", why, "a name nobody else has");
                }
            }
        }
        Ok(())
    }

    fn networks(&self) -> Result<(), WorldError> {
        let ports = self.file.cards.iter().flat_map(|card| &card.ports).map(|port| &port.addresses);
        let others = self.file.interfaces.iter().map(|other| &other.addresses);
        for address in ports.chain(others).flatten() {
            if let Err(why) = prefix(address.get_ref()) {
                let allowed = "an address and its prefix length";
                return self.fail(Some(address.span()), "addresses", why, allowed);
            }
        }
        Ok(())
    }

    fn other(&self, interface: &OtherInterface) -> Result<(), WorldError> {
        let here = Some(interface.name.span());
        let name = interface.name.get_ref();
        match (&interface.pci, &interface.id) {
            (Some(_), None) => {
                let why = format!("interface {name} has `pci` but no `id`");
                self.fail(here, "interface.id", why, "vendor and device, such as 8086:1521")
            }
            (None, id)
                if id.is_some() || interface.driver.is_some() || interface.numa.is_some() =>
            {
                let why = format!("interface {name} has `id`, `driver` or `numa` but no `pci`");
                self.fail(here, "interface.pci", why, "a PCI address, or none of the others")
            }
            (Some(_), Some(_)) | (None, _) => Ok(()),
        }
    }

    fn release(&self, release: &ReleaseOnDisk) -> Result<(), WorldError> {
        let name = release.name.get_ref().as_str();
        if name == IN_TREE {
            let why = "`in-tree` is what the kernel brings, not a release on disk".to_owned();
            let allowed = "another name; `node.in-tree-sfc` says whether it is there";
            return self.fail(Some(release.name.span()), "release.name", why, allowed);
        }
        let root = release.root.get_ref();
        if !root.starts_with('/') || (name == "host") != (root == "/") {
            let why = format!("`{root}` is not the root of release {name}");
            let allowed = "`/` for `host`, another absolute path for every other";
            return self.fail(Some(release.root.span()), "release.root", why, allowed);
        }
        let directory = &release.library_directory;
        if directory.get_ref().is_empty() || directory.get_ref().starts_with('/') {
            let why = format!("`{}` is not below the root", directory.get_ref());
            let allowed = "a relative path such as usr/lib64";
            return self.fail(Some(directory.span()), "release.library-directory", why, allowed);
        }
        if release.server.get_ref().starts_with('/') {
            let why = format!("`{}` is not below the root", release.server.get_ref());
            let allowed = "a relative path such as sbin/onload_cp_server, or nothing";
            return self.fail(Some(release.server.span()), "release.server", why, allowed);
        }
        let ours = |file: &&String| {
            !(file.starts_with("libonload.so") || file.starts_with("libonload_ext.so"))
        };
        if let Some(library) = release.libraries.get_ref().iter().find(ours) {
            let why = format!("`{library}` is not a library that a look reports");
            let allowed = "names that begin with libonload.so or libonload_ext.so";
            return self.fail(Some(release.libraries.span()), "release.libraries", why, allowed);
        }
        self.modules(release)
    }

    fn modules(&self, release: &ReleaseOnDisk) -> Result<(), WorldError> {
        let names = || release.modules.iter().map(|module| &module.name);
        self.unique("release.module.name", "module", names())?;
        for module in &release.modules {
            let known = |key: &Spanned<KeyName>| {
                self.file.keys.iter().any(|k| k.name.get_ref() == key.get_ref())
            };
            if let Some(key) = module.signed_by.as_ref().filter(|key| !known(key)) {
                let why = format!("there is no key {}", key.get_ref());
                let allowed = "the name of a `[[key]]`";
                return self.fail(Some(key.span()), "release.module.signed-by", why, allowed);
            }
            let needed = dependencies(module.name.get_ref().as_str());
            let there = |needed: &&&str| {
                **needed != "mtd" && !names().any(|name| name.get_ref().as_str() == **needed)
            };
            if let Some(missing) = needed.iter().find(there) {
                let why =
                    format!("{} needs {missing}, which the release lacks", module.name.get_ref());
                let allowed = format!("a `[[release.module]]` named {missing} beside it");
                return self.fail(Some(module.name.span()), "release.module.name", why, allowed);
            }
        }
        Ok(())
    }

    fn loaded(&self) -> Result<(), WorldError> {
        self.file.loaded.iter().try_for_each(|(module, release)| {
            self.release_is_known(release, format!("loaded.{module}"))
        })
    }

    /// One that is written, or the kernel's own.
    fn release_is_known(
        &self,
        release: &Spanned<ReleaseName>,
        key: String,
    ) -> Result<(), WorldError> {
        let name = release.get_ref().as_str();
        let known = self.file.releases.iter().map(|known| known.name.get_ref().as_str());
        let known: Vec<&str> = known.chain([IN_TREE]).collect();
        if known.contains(&name) {
            return Ok(());
        }
        let why = format!("there is no release {name}");
        self.fail(Some(release.span()), &key, why, known.join(", "))
    }
}

impl WorldError {
    /// A module that `[loaded]` names and the kernel would not load.
    pub(super) fn not_loadable(text: &str, span: Range<usize>, module: &str, why: String) -> Self {
        Self {
            line: Some(line_at(text, &span)),
            key: format!("loaded.{module}"),
            why,
            allowed: "what this kernel would load".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;

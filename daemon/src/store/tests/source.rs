//! Archives and directories made by hand.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use onload_core::release::ModuleFile;
use onload_core::release::signing::Signing;
use tar::{EntryType, Header};

use crate::module_file::{hashes, stand_in};

pub(super) const KERNEL: &str = "5.14.0-427.el9.x86_64";
pub(super) const HASH: &str = "0123456789abcdef0123456789abcdef";
pub(super) const VERSION: &str = "9.2.1.10";

/// Members in order.
#[derive(Clone, Default)]
pub(crate) struct Source(pub(super) Vec<(String, Item)>);

#[derive(Clone)]
pub(super) enum Item {
    File(u32, Vec<u8>),
    Other(EntryType, String),
}

impl Source {
    /// A release of `onload_install`, whole.
    pub(super) fn release() -> Self {
        Self::modules("lib/modules/", KERNEL, VERSION).and(Self::user("usr/lib64/"))
    }

    /// Modules of one kernel below a directory.
    pub(super) fn modules(below: &str, kernel: &str, version: &str) -> Self {
        let names = ["sfc", "sfc_resource", "sfc_char", "onload"];
        names.into_iter().fold(Self::default(), |source, name| {
            let path = format!("{below}{kernel}/extra/{name}.ko");
            source.file(&path, 0o644, &module(name, kernel, version))
        })
    }

    /// Libraries in a directory, and programs.
    pub(super) fn user(libraries: &str) -> Self {
        let ext = format!("{libraries}libonload_ext.so");
        Self::default()
            .file(&format!("{libraries}libonload.so"), 0o755, &library(HASH))
            .file(&format!("{ext}.2.0.0"), 0o755, b"ext")
            .link(&format!("{ext}.2"), "libonload_ext.so.2.0.0")
            .link(&ext, "libonload_ext.so.2")
            .file("usr/bin/onload", 0o755, b"#!/bin/sh\n")
            .file("sbin/onload_cp_server", 0o755, b"server")
            .file("sbin/onload_tool", 0o755, b"tool")
            .file("usr/libexec/onload/profiles/latency.opf", 0o644, b"onload_set EF_POLL_USEC 1\n")
            .file("etc/modprobe.d/onload.conf", 0o644, b"install onload")
    }

    pub(crate) fn file(mut self, path: &str, mode: u32, bytes: &[u8]) -> Self {
        self.0.push((path.to_owned(), Item::File(mode, bytes.to_vec())));
        self
    }

    pub(crate) fn link(self, path: &str, target: &str) -> Self {
        self.other(path, EntryType::Symlink, target)
    }

    pub(crate) fn other(mut self, path: &str, kind: EntryType, target: &str) -> Self {
        self.0.push((path.to_owned(), Item::Other(kind, target.to_owned())));
        self
    }

    pub(super) fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    pub(super) fn without(mut self, part: &str) -> Self {
        let before = self.0.len();
        self.0.retain(|(path, _)| !path.contains(part));
        assert!(self.0.len() < before, "nothing is called {part}");
        self
    }

    pub(crate) fn below(mut self, top: &str) -> Self {
        self.0.iter_mut().for_each(|(path, _)| *path = format!("{top}{path}"));
        self
    }

    pub(crate) fn tar(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (path, item) in &self.0 {
            match item {
                Item::File(mode, content) => {
                    member(&mut bytes, path, EntryType::Regular, *mode, "", content);
                }
                Item::Other(kind, target) => member(&mut bytes, path, *kind, 0o777, target, b""),
            }
        }
        bytes.extend([0; 1024]);
        bytes
    }

    /// As files of a directory.
    pub(super) fn unpack(&self, into: &Path) {
        for (path, item) in &self.0 {
            let at = into.join(path);
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            match item {
                Item::File(mode, content) => {
                    fs::write(&at, content).unwrap();
                    fs::set_permissions(&at, fs::Permissions::from_mode(*mode)).unwrap();
                }
                Item::Other(EntryType::Symlink, target) => symlink(target, &at).unwrap(),
                Item::Other(kind, _) => panic!("{kind:?} in a directory"),
            }
        }
    }
}

/// One member, with the name as it is: the library's own builder refuses what tests need.
pub(super) fn member(
    bytes: &mut Vec<u8>,
    path: &str,
    kind: EntryType,
    mode: u32,
    target: &str,
    content: &[u8],
) {
    let mut header = Header::new_gnu();
    let old = header.as_old_mut();
    for (name, field, long) in [(path, &mut old.name, b'L'), (target, &mut old.linkname, b'K')] {
        let name = name.as_bytes();
        if name.len() > field.len() {
            member(bytes, "././@LongLink", EntryType::new(long), 0o644, "", name);
        }
        let length = name.len().min(field.len());
        field[..length].copy_from_slice(&name[..length]);
    }
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(content.len() as u64);
    header.set_cksum();
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
}

pub(super) fn described(kernel: &str, version: &str) -> ModuleFile {
    ModuleFile {
        machine: 62,
        vermagic: format!("{kernel} SMP preempt mod_unload modversions "),
        version: (!version.is_empty()).then(|| version.to_owned()),
        ..ModuleFile::default()
    }
}

pub(super) fn module(name: &str, kernel: &str, version: &str) -> Vec<u8> {
    let mut module = described(kernel, version);
    if name == "onload" {
        module.interfaces = BTreeSet::from([HASH.parse().unwrap()]);
        module.depends = ["sfc_resource", "sfc_char"].map(|name| name.parse().unwrap()).into();
        module.signed = Signing::of(include_bytes!("../../../../tests/secure-boot/rsa.ko"));
    }
    stand_in::write(&module)
}

pub(super) fn library(hash: &str) -> Vec<u8> {
    hashes::stand_in(&BTreeSet::from([hash.parse().unwrap()]))
}

pub(super) fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

pub(super) fn zst(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

pub(super) fn xz(bytes: &[u8]) -> Vec<u8> {
    let options = lzma_rust2::XzOptions::with_preset(1);
    let mut packer = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

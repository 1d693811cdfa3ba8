//! Modules made by hand, whole and damaged.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that meets what it does not expect ends there"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::sync::Arc;

use super::*;

/// A module with a signature of sign-file behind it.
const SIGNED: &[u8] = include_bytes!("../../../tests/secure-boot/rsa.ko");

const PATH: &str = "/lib/modules/6.1.0/extra/onload.ko";

fn onload() -> ModuleFile {
    ModuleFile {
        path: PATH.to_owned(),
        machine: 62,
        vermagic: "6.1.0 SMP mod_unload modversions ".to_owned(),
        depends: ["sfc_char", "sfc_resource"].map(|name| name.parse().unwrap()).into(),
        version: Some("9.2.1\nof two lines".to_owned()),
        srcversion: Some("9F4E2D1C0B3A59687F6E5D4".to_owned()),
        in_tree: true,
        signed: Signing::of(SIGNED),
        interfaces: BTreeSet::from(["0123456789abcdef0123456789abcdef".parse().unwrap()]),
        symbols: Arc::new(BTreeMap::from([
            ("module_layout".to_owned(), 0xfeed_beef),
            ("a_symbol_with_a_name_that_does_not_fit_an_entry_of_the_old_table".to_owned(), 7),
        ])),
    }
}

/// A 32-bit big-endian module: header, one `.modinfo`, one `__versions`.
fn narrow() -> Vec<u8> {
    let modinfo = b"vermagic=5.1 SMP\0depends=i2c-algo-bit\0".to_vec();
    let mut versions = 0x0102_0304u32.to_be_bytes().to_vec();
    versions.extend(b"module_layout");
    versions.resize(64, 0);
    let names = b"\0.modinfo\0__versions\0".to_vec();
    let mut bytes = b"\x7fELF\x01\x02\x01".to_vec();
    bytes.resize(16, 0);
    bytes.extend([0, 1, 0, 20]);
    bytes.resize(32, 0);
    let table = 52 + modinfo.len() + versions.len() + names.len();
    bytes.extend(u32::try_from(table).unwrap().to_be_bytes());
    bytes.resize(46, 0);
    bytes.extend([0, 40, 0, 4, 0, 3]);
    let mut table = vec![0; 40];
    for (name, kind, content) in [(1u32, 1u32, modinfo), (10, 1, versions), (0, 3, names)] {
        let offset = u32::try_from(bytes.len()).unwrap();
        let size = u32::try_from(content.len()).unwrap();
        bytes.extend(content);
        for number in [name, kind, 0, 0, offset, size, 0, 0, 1, 0] {
            table.extend(number.to_be_bytes());
        }
    }
    bytes.extend(table);
    bytes
}

#[test]
fn a_module_reads_back_as_it_was_written() {
    let module = onload();
    assert_eq!(parse(&stand_in::write(&module), PATH).unwrap(), module);
    let bare = ModuleFile {
        path: PATH.to_owned(),
        machine: 183,
        vermagic: "6.12 SMP".to_owned(),
        // An unstamped build.
        version: Some(String::new()),
        ..ModuleFile::default()
    };
    assert_eq!(parse(&stand_in::write(&bare), PATH).unwrap(), bare);
}

#[test]
fn a_module_of_another_width_and_order_is_read() {
    let module = parse(&narrow(), PATH).unwrap();
    assert_eq!((module.machine, module.vermagic.as_str()), (20, "5.1 SMP"));
    assert_eq!(module.depends, BTreeSet::from(["i2c_algo_bit".parse().unwrap()]));
    assert_eq!(module.symbols.get("module_layout"), Some(&0x0102_0304));
}

#[test]
fn compression_is_told_by_the_first_bytes_and_is_bounded() {
    let module = onload();
    let plain = stand_in::write(&module);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let options = lzma_rust2::XzOptions::with_preset(1);
    let mut xz = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
    xz.write_all(&plain).unwrap();
    let level = ruzstd::encoding::CompressionLevel::Fastest;
    let zstd = ruzstd::encoding::compress_to_vec(plain.as_slice(), level);
    for packed in [gzip.finish().unwrap(), xz.finish().unwrap(), zstd] {
        assert_eq!(parse(&packed, PATH).unwrap(), module);
        let cut = &packed[..packed.len() / 2];
        let error = parse(cut, PATH).unwrap_err();
        assert!(matches!(error, ModuleFileError::Compression { .. }), "{error}");
        let most = plain.len() as u64 - 1;
        let error = read(&mut Cursor::new(&packed), PATH, most).unwrap_err();
        assert!(matches!(error, ModuleFileError::TooLarge(_)), "{error}");
    }
    let error = read(&mut Cursor::new(&plain), PATH, 100).unwrap_err();
    assert_eq!(error.to_string(), "it is larger than 100 bytes");
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let plain = stand_in::write(&onload());
    let at = |offset: usize, byte: u8| {
        let mut bytes = plain.clone();
        bytes[offset] = byte;
        bytes
    };
    for (bytes, said) in [
        (Vec::new(), "does not begin as an ELF file does (byte 0)"),
        (b"#!/bin/sh\n".to_vec(), "does not begin"),
        (plain[..40].to_vec(), "it ends in its header (byte 58)"),
        (at(4, 3), "neither 32 nor 64 bits"),
        (at(5, 0), "no byte order"),
        (at(16, 2), "not relocatable (byte 16)"),
        (at(58, 40), "odd size"),
        (at(47, 0xff), "the section table lies outside"),
        (at(62, 0xff), "section names"),
        (plain[..plain.len() / 2].to_vec(), "outside"),
        (stand_in::write(&onload()).replacen(b".modinfo", b".modinf0"), "no section .modinfo"),
        (plain.replacen(b"vermagic=", b"vermagyc="), "no vermagic"),
        (plain.replacen(b"sfc_char", b"sfc/char"), "impossible name"),
    ] {
        let error = parse(&bytes, PATH).unwrap_err().to_string();
        assert!(error.contains(said), "{error} does not say: {said}");
    }
}

#[test]
fn sums_and_names_that_do_not_pair_are_refused() {
    let plain = stand_in::write(&onload());
    let names = plain.replacen(b"table\0", b"t\0ble\0");
    // One name more than there are sums says nothing new.
    assert!(parse(&names, PATH).is_ok());
    let at = plain.windows(8).position(|bytes| bytes == b"a_symbol").unwrap();
    let mut empty = plain;
    empty[at] = 0;
    let error = parse(&empty, PATH).unwrap_err().to_string();
    assert!(error.contains("fewer names"), "{error}");
}

#[test]
fn cut_anywhere_it_is_refused_or_read_and_never_more() {
    let plain = stand_in::write(&onload());
    let unsigned = ModuleFile { signed: Signing::Unsigned, ..onload() };
    let tail = plain.len() - stand_in::write(&unsigned).len();
    for end in 0..plain.len() {
        match parse(&plain[..end], PATH) {
            // Only the signature was cut.
            Ok(module) => assert!(!module.signed.is_there() && end >= plain.len() - tail),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

/// Replaces the first occurrence by as many bytes.
trait Replace {
    fn replacen(&self, from: &[u8], to: &[u8]) -> Vec<u8>;
}

impl Replace for Vec<u8> {
    fn replacen(&self, from: &[u8], to: &[u8]) -> Vec<u8> {
        let at = self.windows(from.len()).position(|bytes| bytes == from).unwrap();
        let mut bytes = self.clone();
        bytes[at..at + to.len()].copy_from_slice(to);
        bytes
    }
}

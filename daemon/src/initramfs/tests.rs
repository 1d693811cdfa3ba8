//! Archives as they come: plain, packed, one after another, cut, and changed at random.
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect ends there")]

use std::io::Write as _;

use super::*;

/// Changed archives; a second's worth.
const CASES: u32 = 4000;
/// Fixed, so that a failure can be had again.
const SEED: u64 = 0x0a11_0adb;
const DIRECTORY: &str = "usr/lib/modules/6.1";

fn module(version: &str, in_tree: bool) -> ModuleFile {
    ModuleFile { version: Some(version.to_owned()), in_tree, ..ModuleFile::default() }
}

fn archive(directory: &str, modules: &[(&str, ModuleFile)]) -> Vec<u8> {
    let names: Vec<ModuleName> = modules.iter().map(|(name, _)| name.parse().unwrap()).collect();
    stand_in(names.iter().zip(modules.iter().map(|(_, file)| file)), directory, &BTreeMap::new())
}

fn sfc(version: &str) -> Vec<u8> {
    archive(DIRECTORY, &[("sfc", module(version, false))])
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let options = lzma_rust2::XzOptions::with_preset(1);
    let mut writer = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn zst(bytes: &[u8]) -> Vec<u8> {
    let level = ruzstd::encoding::CompressionLevel::Fastest;
    ruzstd::encoding::compress_to_vec(bytes, level)
}

fn bounds() -> Bounds {
    Bounds { bytes: 64 << 20, time: Duration::from_secs(10) }
}

fn found(bytes: &[u8]) -> Result<Vec<(String, String)>, InitramfsError> {
    let wanted = |path: &str| {
        let name = path.strip_prefix(DIRECTORY)?.rsplit('/').next()?;
        name.strip_suffix(".ko")?.parse().ok().map(Wanted::Module)
    };
    let found = search(bytes, &wanted, bounds())?;
    let version = |file: ModuleFile| file.version.unwrap_or_default();
    Ok(found.modules.into_iter().map(|(name, file)| (name.to_string(), version(file))).collect())
}

fn versions(bytes: &[u8]) -> Vec<String> {
    found(bytes).unwrap().into_iter().map(|(_, version)| version).collect()
}

fn said(bytes: &[u8]) -> String {
    found(bytes).unwrap_err().to_string()
}

#[test]
fn every_packing_is_read_behind_an_early_archive() {
    // Microcode in an archive of its own, and zeros up to where the next begins.
    let mut early = archive("kernel/x86/microcode", &[("sfc", module("none of ours", false))]);
    early.resize(early.len().next_multiple_of(512), 0);
    for packed in [sfc("1"), gz(&sfc("1")), xz(&sfc("1")), zst(&sfc("1"))] {
        assert_eq!(versions(&[early.as_slice(), &packed].concat()), ["1"]);
    }
}

#[test]
fn archives_follow_one_another_in_every_packing() {
    let other = |name, version| archive(DIRECTORY, &[(name, module(version, false))]);
    let all = [
        gz(&[sfc("1"), vec![0; 16], other("onload", "2")].concat()),
        zst(&other("sfc_char", "3")),
        vec![0; 7],
        xz(&other("sfc_resource", "4")),
        other("mtd", "5"),
    ];
    let names: Vec<_> = found(&all.concat()).unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["mtd", "onload", "sfc", "sfc_char", "sfc_resource"]);
}

#[test]
fn of_two_what_was_built_apart_from_the_kernel_counts() {
    let own = archive(&format!("{DIRECTORY}/kernel"), &[("sfc", module("kernel's", true))]);
    let extra = archive(&format!("{DIRECTORY}/extra"), &[("sfc", module("extra", false))]);
    assert_eq!(versions(&[own.clone(), extra.clone()].concat()), ["extra"]);
    assert_eq!(versions(&[extra, own].concat()), ["extra"]);
}

#[test]
fn what_is_packed_otherwise_is_named_and_not_guessed() {
    for (magic, name) in [
        (&b"\x02\x21\x4c\x18rest"[..], "lz4"),
        (b"\x89LZO\0\r\n", "lzo"),
        (b"BZh91AY", "bzip2"),
        (b"\x5d\0\0\x80\0", "lzma"),
    ] {
        let expected = format!("it cannot be read: it is compressed with {name} (from byte 8 on)");
        assert_eq!(said(&[&[0; 8], magic].concat()), expected);
    }
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let damaged = "it is damaged, or no initramfs: ";
    assert_eq!(
        said(b"MZ\0\0"),
        format!("{damaged}neither a cpio archive nor a compressed one (byte 0)")
    );
    let whole = sfc("1");
    let cut = said(&whole[..whole.len() - 130]);
    assert!(cut.starts_with(&format!("{damaged}it ends inside `{DIRECTORY}/sfc.ko`")), "{cut}");
    let inside = said(&gz(b"junk"));
    let place = "no cpio archive (byte 0 of what is compressed from byte 0 on)";
    assert_eq!(inside, format!("{damaged}{place}"));
    let mut number = sfc("1");
    number[20] = b'x';
    let packed = [vec![0; 4], xz(&number)].concat();
    assert!(said(&packed).ends_with("(byte 0 of what is compressed from byte 4 on)"));
    let short = gz(&whole);
    let short = said(&short[..short.len() - 20]);
    assert!(short.contains("what is compressed here does not unpack"), "{short}");
    let junk = said(&[archive(DIRECTORY, &[]), b"tail".to_vec()].concat());
    assert!(junk.contains("neither a cpio archive"), "{junk}");
    assert_eq!(versions(b""), [""; 0], "nothing is carried by nothing");
}

#[test]
fn a_module_that_does_not_read_is_named() {
    let mut bytes = sfc("1");
    let at = bytes.windows(4).position(|four| four == b"\x7fELF").unwrap();
    bytes[at] = 0;
    assert!(said(&bytes).starts_with(&format!("its {DIRECTORY}/sfc.ko cannot be used: ")));
}

#[test]
fn a_bomb_is_given_up() {
    let mut zeros = archive(DIRECTORY, &[]);
    zeros.resize(65 << 20, 0);
    assert_eq!(said(&gz(&zeros)), "it holds more than 67108864 bytes");
    let wanted = |_: &str| None;
    let no_time = Bounds { time: Duration::ZERO, ..bounds() };
    let late = search(sfc("1").as_slice(), &wanted, no_time).unwrap_err();
    assert_eq!(late.to_string(), "it was not read to its end within 0 seconds");
}

#[test]
fn a_trickle_reads_as_a_flood_does() {
    struct Trickle(Vec<u8>);
    impl Read for Trickle {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match (self.0.is_empty(), buffer.first_mut()) {
                (false, Some(byte)) => *byte = self.0.remove(0),
                _ => return Ok(0),
            }
            Ok(1)
        }
    }
    let bytes = [sfc("1"), gz(&archive(DIRECTORY, &[("onload", module("2", false))]))].concat();
    let name = |path: &str| path.rsplit('/').next()?.strip_suffix(".ko")?.parse().ok();
    let wanted = |path: &str| name(path).map(Wanted::Module);
    let found = search(Trickle(bytes), &wanted, bounds()).unwrap();
    assert_eq!(found.modules.len(), 2);
}

#[test]
fn texts_are_kept_as_they_are_and_the_last_of_a_path_counts() {
    let with = |texts: &[(&str, &[u8])]| {
        let texts = texts.iter().map(|(path, text)| ((*path).to_owned(), text.to_vec())).collect();
        stand_in([], DIRECTORY, &texts)
    };
    let large = vec![b'x'; usize::try_from(TEXT_BYTES).unwrap() + 1];
    let first = with(&[("etc/a.link", b"one"), ("etc/b.link", &large), ("etc/c.link", b"")]);
    let second = with(&[("etc/a.link", b"other"), ("etc/d.conf", b"no")]);
    let wanted = |path: &str| path.ends_with(".link").then_some(Wanted::Text);
    let found = search([first, gz(&second)].concat().as_slice(), &wanted, bounds()).unwrap();
    assert_eq!(found.texts, [("etc/a.link".to_owned(), b"other".to_vec())].into());
    let many: Vec<_> = (0..MOST_TEXTS + 9).map(|n| format!("etc/{n}.link")).collect();
    let many: Vec<_> = many.iter().map(|path| (path.as_str(), &b"x"[..])).collect();
    let found = search(with(&many).as_slice(), &wanted, bounds()).unwrap();
    assert_eq!(found.texts.len(), MOST_TEXTS);
}

#[test]
fn no_bytes_are_worse_than_an_error() {
    let plain = [sfc("1"), archive("etc", &[("x", module("2", true))])].concat();
    let seeds =
        [gz(&plain), xz(&plain), zst(&plain), plain.clone(), [plain, gz(&sfc("3"))].concat()];
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut read = 0;
    for _ in 0..CASES {
        let mut bytes = seeds[random.usize(..seeds.len())].clone();
        for _ in 0..random.usize(1..5) {
            change(&mut bytes, &mut random);
        }
        match found(&bytes) {
            Ok(_) => read += 1,
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    assert!(read > 0 && read < CASES, "{read} of {CASES} were read: changes reach nothing");
}

fn change(bytes: &mut Vec<u8>, random: &mut fastrand::Rng) {
    if bytes.is_empty() {
        return;
    }
    let at = random.usize(..bytes.len());
    let end = (at + random.usize(..300)).min(bytes.len());
    match random.u8(..5) {
        0 => bytes[at] = random.u8(..),
        1 => bytes[at] ^= 1 << random.u8(..8),
        2 => bytes.truncate(at),
        3 => {
            let piece = bytes[at..end].to_vec();
            let into = random.usize(..bytes.len());
            bytes.splice(into..into, piece);
        }
        _ => drop(bytes.drain(at..end)),
    }
}

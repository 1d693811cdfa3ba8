//! Initramfs images as the distributions' own tools make them (`cpio`, and what packs it), looked
//! into by the Linux host below a root of a kernel.

// Test code: a broken assumption here must stop the test at once, where it broke.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use onload_core::inventory::Depth;
use onload_core::reading::Reading;
use onload_core::release::ModuleFile;
use onload_core::release::initramfs::Initramfs;
use onload_tests::skip::skip;
use onloadd::host::Host as _;
use onloadd::host::linux::{Linux, Places};
use onloadd::module_file::stand_in;

const KERNEL: &str = "5.14.0-427.el9.x86_64";
/// Microcode comes first, in an archive of its own; dracut fills up to a block.
const BLOCK: usize = 512;

/// Every program that is missing here, said so.
fn lacks(programs: &[&str]) -> bool {
    let has = |program: &str| {
        let null = Stdio::null;
        let ended = Command::new(program).arg("--version").stdout(null()).stderr(null()).status();
        ended.is_ok_and(|status| status.success())
    };
    let missing: Vec<_> = programs.iter().filter(|program| !has(program)).collect();
    if !missing.is_empty() {
        skip("initramfs", &format!("there is no {missing:?} on this machine"));
    }
    !missing.is_empty()
}

fn pipe(program: &[&str], directory: &Path, input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program[0])
        .args(&program[1..])
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{program:?}");
    output.stdout
}

/// A directory as `cpio` archives it.
fn archived(directory: &Path) -> Vec<u8> {
    let mut names = Vec::new();
    below(directory, directory, &mut names);
    pipe(&["cpio", "-o", "-H", "newc", "--quiet"], directory, names.join("\n").as_bytes())
}

fn below(root: &Path, directory: &Path, names: &mut Vec<String>) {
    let mut entries: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap()).collect();
    entries.sort_by_key(|entry| entry.file_name());
    for entry in entries {
        names.push(entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned());
        if entry.file_type().unwrap().is_dir() {
            below(root, &entry.path(), names);
        }
    }
}

fn put(root: &Path, path: &str, bytes: &[u8]) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// An image with microcode, a few megabytes of other files, and two modules, one of them packed.
fn image(pack: &[&str]) -> Vec<u8> {
    let place = tempfile::tempdir().unwrap();
    let early = place.path().join("early");
    put(&early, "kernel/x86/microcode/GenuineIntel.bin", &[7; 4711]);
    let main = place.path().join("main");
    let module = ModuleFile {
        version: Some("4.1".to_owned()),
        srcversion: Some("ABCDEF".to_owned()),
        in_tree: true,
        ..ModuleFile::default()
    };
    let tree = format!("usr/lib/modules/{KERNEL}");
    let sfc = pipe(&["xz", "-c", "--check=crc32"], place.path(), &stand_in::write(&module));
    put(&main, &format!("{tree}/kernel/drivers/net/ethernet/sfc/sfc.ko.xz"), &sfc);
    put(&main, &format!("{tree}/extra/onload.ko"), &stand_in::write(&ModuleFile::default()));
    let pin = "[Match]\nPermanentMACAddress=00:0f:53:a1:00:00\nType=ether\nKind=!*\n[Link]\nName=ens1f0np0\n\
               AlternativeNamesPolicy=database onboard slot path\nMACAddressPolicy=persistent\n";
    put(&main, "etc/systemd/network/10-onloadd-000f53a10000.link", pin.as_bytes());
    put(&main, "etc/systemd/network/10-lan.link", b"[Link]\nName=lan0\n");
    let noise: Vec<u8> =
        (0..3_u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 20) as u8).collect();
    put(&main, "usr/lib/firmware/noise.bin", &noise);
    std::os::unix::fs::symlink("usr/lib", main.join("lib")).unwrap();
    let mut image = archived(&early);
    image.resize(image.len().next_multiple_of(BLOCK), 0);
    let main = archived(&main);
    image.extend(if pack.is_empty() { main } else { pipe(pack, place.path(), &main) });
    image
}

fn look(path: &str, image: &[u8]) -> Reading<Initramfs> {
    let root = tempfile::tempdir().unwrap();
    put(root.path(), &format!("lib/modules/{KERNEL}/modules.dep"), b"");
    put(root.path(), path, image);
    let places = Places {
        root: root.path().to_owned(),
        kubelet_directory: "/var/lib/kubelet/device-plugins".into(),
        state_directory: "/var/lib/onloadd".into(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let seen = runtime.block_on(Linux::open(places).unwrap().observe(Depth::Usual));
    seen.kernels.into_known().unwrap().into_values().next().unwrap().initramfs
}

#[test]
fn images_of_every_common_packing_are_read() {
    // As initramfs-tools and dracut pack, or did.
    let packings: [&[&str]; 7] = [
        &[],
        &["gzip", "-n", "-6"],
        &["xz", "--check=crc32", "--lzma2=dict=1MiB"],
        &["xz", "-9", "-T2"],
        &["zstd", "-q", "-1", "-T0"],
        &["zstd", "-q", "-15", "-T0"],
        &["zstd", "-q", "-19"],
    ];
    if lacks(&["cpio", "gzip", "xz", "zstd"]) {
        return;
    }
    for pack in packings {
        let path = format!("boot/initramfs-{KERNEL}.img");
        let seen = look(&path, &image(pack));
        let Reading::Known(initramfs) = seen else { panic!("{pack:?}: {seen:?}") };
        assert_eq!(initramfs.path, format!("/{path}"));
        let sfc = &initramfs.modules[&"sfc".parse().unwrap()];
        assert_eq!(sfc.srcversion.as_deref(), Some("ABCDEF"), "{pack:?}");
        assert!(sfc.in_tree && initramfs.modules.len() == 2, "{pack:?}: {initramfs:?}");
        let pinned: Vec<_> = initramfs.pins.iter().map(|(key, pin)| (key, &pin.name)).collect();
        let expected = ("mac 00:0f:53:a1:00:00".parse().unwrap(), "ens1f0np0".parse().unwrap());
        assert_eq!(pinned, [(&expected.0, &expected.1)], "{pack:?}");
    }
}

#[test]
fn an_image_in_another_packing_is_named_for_it() {
    if lacks(&["cpio", "xz", "lz4", "bzip2"]) {
        return;
    }
    for (name, pack) in [("lz4", &["lz4", "-l", "-c"][..]), ("bzip2", &["bzip2", "-c"])] {
        let seen = look(&format!("boot/initrd.img-{KERNEL}"), &image(pack));
        let Reading::Unreadable(why) = seen else { panic!("{seen:?}") };
        assert!(why.contains(&format!("it is compressed with {name} (from byte ")), "{why}");
    }
}

#[test]
fn a_cut_image_is_damaged_and_not_empty() {
    if lacks(&["cpio", "xz", "zstd"]) {
        return;
    }
    let whole = image(&["zstd", "-q", "-1"]);
    let seen = look(&format!("boot/initrd.img-{KERNEL}"), &whole[..whole.len() / 2]);
    let Reading::Unreadable(why) = seen else { panic!("{seen:?}") };
    assert!(why.contains("it is damaged, or no initramfs: "), "{why}");
}

//! Whether the root file system comes over the network: what is mounted there, and on what that lies.

use onload_core::reading::Reading;

use super::super::attribute;
use super::super::root::Dir;

/// The table of mounts outside of every sandbox (proc_pid_mountinfo(5)).
const MOUNTS: &str = "proc/1/mountinfo";
/// A node with some thousands of containers has a hundred thousand mounts.
const TABLE_BYTES: usize = 32 << 20;
/// Where the root file system may be: an image-based system has an overlay at `/` and the file system
/// that it is made of at the other.
const POINTS: [&str; 2] = ["/", "/sysroot"];
/// Kinds that are there without a network, and on no device.
const OF_NOTHING: [&str; 7] =
    ["overlay", "tmpfs", "ramfs", "rootfs", "virtiofs", "devtmpfs", "composefs"];
/// Kinds of which every one comes over the network; of NFS there are several.
const OF_NETWORK: [&str; 8] =
    ["cifs", "smb3", "ceph", "afs", "lustre", "fuse.glusterfs", "fuse.sshfs", "beegfs"];
/// How 9P comes from the host of a virtual machine.
const FROM_HOST: [&str; 2] = ["trans=virtio", "trans=xen"];
/// Disks that are made by the driver of a network protocol, by the beginning of their names.
const NETWORK_DISKS: [&str; 3] = ["nbd", "rbd", "drbd"];
/// How a controller of NVMe is reached without an Ethernet port.
const LOCAL_TRANSPORTS: [&str; 4] = ["pcie", "apple-nvme", "loop", "fc"];
/// Disks of disks: a partition on a volume on an encrypted disk on a mirror has four storeys.
const STOREYS: usize = 16;

/// Whether it does.
pub(in super::super) fn root(root: &Dir) -> Reading<bool> {
    root.read(MOUNTS, TABLE_BYTES).and_then(attribute::text).and_then(|table| {
        let mounts: Vec<Mount<'_>> = table.lines().filter_map(Mount::parse).collect();
        // What is mounted later at the same point hides what was there.
        let last = |point| mounts.iter().rev().find(|mount| mount.point == point);
        if last("/").is_none() {
            return Reading::Unreadable(format!("/{MOUNTS} does not show the root"));
        }
        any(POINTS.into_iter().filter_map(last), |mount| over_network(root, mount))
    })
}

/// Whether it is so for any of them; a gap is less than that, and more than that it is not so.
fn any<T>(
    all: impl IntoIterator<Item = T>,
    mut so: impl FnMut(T) -> Reading<bool>,
) -> Reading<bool> {
    let mut answer = Reading::Known(false);
    for one in all {
        match so(one) {
            Reading::Known(true) => return Reading::Known(true),
            Reading::Known(false) => {}
            gap @ (Reading::Absent | Reading::Unreadable(_)) => answer = gap,
        }
    }
    answer
}

/// One line of the table.
struct Mount<'a> {
    /// Number of the device, `8:1`; `0:N` where the file system is on none, or on several.
    device: &'a str,
    point: &'a str,
    kind: &'a str,
    source: &'a str,
    options: &'a str,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(2);
        let (device, point) = (mount.next()?, mount.nth(1)?);
        let mut file_system = file_system.split(' ');
        let (kind, source) = (file_system.next()?, file_system.next()?);
        Some(Self { device, point, kind, source, options: file_system.next().unwrap_or_default() })
    }
}

fn over_network(root: &Dir, mount: &Mount<'_>) -> Reading<bool> {
    let kind = mount.kind;
    if kind.starts_with("nfs") || OF_NETWORK.contains(&kind) {
        return Reading::Known(true);
    }
    if kind == "9p" {
        let local = mount.options.split(',').any(|option| FROM_HOST.contains(&option));
        return Reading::Known(!local);
    }
    if OF_NOTHING.contains(&kind) {
        return Reading::Known(false);
    }
    if !mount.device.starts_with("0:") {
        return disk(root, &format!("sys/dev/block/{}", mount.device), 0);
    }
    let Some(device) = mount.source.strip_prefix("/dev/") else {
        return Reading::Unreadable(format!(
            "what {} of kind {kind} lies on is not shown",
            mount.point
        ));
    };
    // A volume's name is a link to the name of its disk.
    let name = match root.link(&format!("dev/{device}")).and_then(attribute::last_component) {
        Reading::Known(name) => name,
        Reading::Absent => device.to_owned(),
        Reading::Unreadable(why) => return Reading::Unreadable(why),
    };
    any(members(root, &name), |name| disk(root, &format!("sys/class/block/{name}"), 0))
}

/// The disks of a Btrfs that has one of that name, or that one alone.
fn members(root: &Dir, name: &str) -> Vec<String> {
    const ALL: &str = "sys/fs/btrfs";
    let systems = root.list(ALL).into_known().unwrap_or_default();
    let devices = systems.keys().map(|system| {
        root.names(&format!("{ALL}/{system}/devices"), |_| true).into_known().unwrap_or_default()
    });
    let all = devices.into_iter().find(|devices| devices.contains(name));
    all.map_or_else(|| vec![name.to_owned()], |devices| devices.into_iter().collect())
}

/// Whether a disk, or one that it is made of, is reached over the network. `path` is a link to its
/// directory.
fn disk(root: &Dir, path: &str, storey: usize) -> Reading<bool> {
    let target = match root.link(path) {
        Reading::Known(target) => target,
        Reading::Absent => return Reading::Unreadable(format!("/{path} is not there")),
        Reading::Unreadable(why) => return Reading::Unreadable(format!("/{path}: {why}")),
    };
    let mut device = format!("sys/{}", target.trim_start_matches("../"));
    if root.line(&format!("{device}/partition")).known().is_some()
        && let Some((whole, _)) = device.rsplit_once('/')
    {
        device = whole.to_owned();
    }
    let way: Vec<&str> = device.split('/').collect();
    let name = way.last().copied().unwrap_or_default();
    if numbered(name, "loop") {
        let why = format!("what the file of the loop device {name} lies on is not looked for");
        return Reading::Unreadable(why);
    }
    // An iSCSI disk lies below its session, one of FCoE below its controller.
    let by_network = |step: &&str| numbered(step, "session") || step.starts_with("ctlr_");
    if NETWORK_DISKS.iter().any(|kind| numbered(name, kind)) || way.iter().any(by_network) {
        return Reading::Known(true);
    }
    if name.starts_with("nvme") {
        return any(controllers(root, &way), |controller| nvme(root, &controller));
    }
    let below = match root.names(&format!("{device}/slaves"), |_| true) {
        Reading::Known(below) => below,
        Reading::Absent => return Reading::Known(false),
        Reading::Unreadable(why) => return Reading::Unreadable(format!("/{device}/slaves: {why}")),
    };
    if storey == STOREYS {
        return Reading::Unreadable(format!("/{path} is made of too many disks on disks"));
    }
    any(below, |name| disk(root, &format!("sys/class/block/{name}"), storey + 1))
}

/// Whether a name is a number after a word.
fn numbered(name: &str, word: &str) -> bool {
    let number = name.strip_prefix(word).unwrap_or_default();
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// The controllers of an NVMe disk: the one it lies below, or all of the subsystem that it lies below.
fn controllers(root: &Dir, way: &[&str]) -> Vec<String> {
    if let Some(controller) = way.iter().find(|step| numbered(step, "nvme")) {
        return vec![(*controller).to_owned()];
    }
    let subsystem = way.iter().position(|step| numbered(step, "nvme-subsys"));
    let path = subsystem.and_then(|at| way.get(..=at)).unwrap_or_default().join("/");
    let controllers = root.names(&path, |name| numbered(name, "nvme")).into_known();
    let controllers: Vec<String> = controllers.unwrap_or_default().into_iter().collect();
    // With none, the empty name leads to a gap.
    if controllers.is_empty() { vec![String::new()] } else { controllers }
}

fn nvme(root: &Dir, controller: &str) -> Reading<bool> {
    let path = format!("sys/class/nvme/{controller}/transport");
    match root.line(&path) {
        Reading::Known(transport) => {
            Reading::Known(!LOCAL_TRANSPORTS.contains(&transport.as_str()))
        }
        Reading::Absent => Reading::Unreadable(format!("/{path} is not there")),
        Reading::Unreadable(why) => Reading::Unreadable(format!("/{path}: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::super::super::root::tests::root_with;
    use super::*;

    fn mounted(root: &str) -> String {
        format!("21 1 0:5 / /proc rw - proc proc rw\n1 0 8:9 / / rw - ext4 /dev/old rw\n{root}\n")
    }

    /// A root with a table of mounts and disks: the number or name of each and where it is.
    fn machine(
        mount: &str,
        disks: &[(&str, &str)],
        files: &[(&str, &str)],
    ) -> (tempfile::TempDir, Dir) {
        let table = mounted(mount);
        let all: Vec<_> = files.iter().copied().chain([(MOUNTS, table.as_str())]).collect();
        let (place, root) = root_with(&all);
        for (link, device) in disks {
            let link = place.path().join(link);
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            fs::create_dir_all(place.path().join("sys/devices").join(device)).unwrap();
            symlink(format!("../../devices/{device}"), link).unwrap();
        }
        (place, root)
    }

    const ON_SDA1: &str = "1 0 8:1 / / rw shared:1 - xfs /dev/sda1 rw";

    #[test]
    fn some_kinds_tell_by_themselves() {
        for (mount, expected) in [
            ("1 0 0:30 / / rw shared:1 - nfs4 10.0.0.1:/root rw,vers=4.2", true),
            ("1 0 0:30 / / rw - cifs //server/root rw", true),
            ("1 0 0:30 / / rw - 9p root rw,trans=tcp,port=564", true),
            ("1 0 0:30 / / rw - 9p root rw,trans=virtio", false),
            ("1 0 0:30 / / rw - overlay overlay rw,lowerdir=/a", false),
            ("1 0 0:30 / / rw - tmpfs tmpfs rw", false),
            (
                "1 0 0:30 / / ro - overlay composefs ro\n2 1 0:31 / /sysroot rw - nfs 10.0.0.1:/ rw",
                true,
            ),
        ] {
            let (_place, root) = machine(mount, &[], &[]);
            assert_eq!(super::root(&root), Reading::Known(expected), "{mount}");
        }
    }

    #[test]
    fn a_disk_tells_by_the_way_to_it() {
        let scsi = "platform/host2/session1/target2:0:0/2:0:0:0/block/sda";
        let plain = "pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0/block/sda";
        let fcoe = "pci0000:3b/net/ens1f0/ctlr_0/host3/rport-3:0-0/block/sda";
        for (device, expected) in [
            (scsi, true),
            (plain, false),
            (fcoe, true),
            ("virtual/block/nbd0", true),
            ("rbd/0/block/rbd0", true),
            ("virtual/block/drbd1", true),
            ("pci0000:00/virtio1/block/vda", false),
        ] {
            let (_place, root) = machine(ON_SDA1, &[("sys/dev/block/8:1", device)], &[]);
            assert_eq!(super::root(&root), Reading::Known(expected), "{device}");
        }
    }

    #[test]
    fn an_nvme_disk_is_as_its_controllers_are() {
        let own = "pci0000:00/nvme/nvme0/nvme0n1";
        let shared = "virtual/nvme-subsystem/nvme-subsys0/nvme0n1";
        let one = "sys/class/nvme/nvme0/transport";
        let two = "sys/class/nvme/nvme1/transport";
        let of_subsystem =
            |number| format!("sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme{number}/link");
        let (first, second) = (of_subsystem(0), of_subsystem(1));
        for (device, files, expected) in [
            (own, vec![(one, "pcie\n")], Some(false)),
            (own, vec![(one, "tcp\n")], Some(true)),
            (own, vec![], None),
            (shared, vec![(one, "pcie\n"), (&first, "")], Some(false)),
            (shared, vec![(one, "fc\n"), (two, "rdma\n"), (&first, ""), (&second, "")], Some(true)),
            (shared, vec![(one, "pcie\n")], None),
        ] {
            let (_place, root) = machine(ON_SDA1, &[("sys/dev/block/8:1", device)], &files);
            assert_eq!(super::root(&root).into_known(), expected, "{device} {files:?}");
        }
    }

    #[test]
    fn volumes_and_partitions_lead_to_what_they_are_made_of() {
        let volume = "1 0 253:0 / / rw - xfs /dev/mapper/root rw";
        let dm = "virtual/block/dm-0";
        let disks = |below| {
            [
                ("sys/dev/block/253:0", dm),
                ("sys/class/block/sda2", below),
                ("sys/devices/virtual/block/dm-0/slaves/sda2", below),
            ]
        };
        let remote = "platform/host2/session1/block/sda/sda2";
        let local = "pci0000:00/ata1/block/sda/sda2";
        for (below, expected) in [(remote, true), (local, false)] {
            let partition = format!("sys/devices/{below}/partition");
            let (_place, root) = machine(volume, &disks(below), &[(&partition, "2\n")]);
            assert_eq!(super::root(&root), Reading::Known(expected), "{below}");
        }
        let on_itself = [
            ("sys/dev/block/253:0", dm),
            ("sys/class/block/dm-0", dm),
            ("sys/devices/virtual/block/dm-0/slaves/dm-0", dm),
        ];
        assert!(super::root(&machine(volume, &on_itself, &[]).1).is_unreadable());
    }

    #[test]
    fn a_file_system_of_several_disks_is_as_they_are() {
        let mount = "1 0 0:35 /root / rw - btrfs /dev/mapper/a rw";
        let near = "pci0000:00/ata1/block/sda";
        let disks = [
            ("dev/mapper/a", "x/dm-0"),
            ("sys/class/block/dm-0", near),
            ("sys/class/block/nbd0", "virtual/block/nbd0"),
        ];
        let alone = [("sys/fs/btrfs/features/x", "")];
        assert_eq!(super::root(&machine(mount, &disks, &alone).1), Reading::Known(false));
        let both = [("sys/fs/btrfs/a-b/devices/dm-0", ""), ("sys/fs/btrfs/a-b/devices/nbd0", "")];
        assert_eq!(super::root(&machine(mount, &disks, &both).1), Reading::Known(true));
    }

    #[test]
    fn what_is_not_shown_is_a_gap() {
        for mount in
            [ON_SDA1, "1 0 0:30 / / rw - zfs pool/root rw", "1 0 0:30 / / rw - btrfs /dev/sda rw"]
        {
            let (_place, root) = machine(mount, &[], &[]);
            assert!(super::root(&root).is_unreadable(), "{mount}");
        }
        let (_place, root) = machine(
            "1 0 7:0 / / ro - squashfs /dev/loop0 ro",
            &[("sys/dev/block/7:0", "virtual/block/loop0")],
            &[],
        );
        assert!(super::root(&root).why_not().unwrap().contains("loop0"));
        let (_place, root) = root_with(&[(MOUNTS, "odd\n")]);
        assert!(super::root(&root).is_unreadable());
        assert!(super::root(&root_with(&[]).1).is_absent(), "a capture without the table");
    }
}

//! The root of a machine as far as `verify` looks: what the kernel shows of Onload, and processes.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, SFlag, makedev, mknod};

/// The hash that driver and libraries of the worlds share.
pub const HASH: &str = "b1f7c0de4a5d2e90813c6f27d94ab065";
/// A container's id.
pub const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
/// Where containers have the library.
pub const LIBRARY: &str = "/opt/onload/usr/lib64/libonload.so";

const NODES: [&str; 3] = ["dev/onload", "dev/onload_epoll", "dev/sfc_char"];

/// A machine.
pub struct Root {
    place: tempfile::TempDir,
}

impl Root {
    /// One with Onload loaded and a control-plane server, in the boot of that id.
    pub fn loaded(boot: &str) -> Self {
        let root = Self { place: tempfile::tempdir().unwrap() };
        root.write("proc/sys/kernel/random/boot_id", &format!("{boot}\n"));
        root.write("proc/modules", "onload 1 0 - Live 0x0\nsfc_char 1 1 onload, Live 0x0\nsfc_resource 1 2 onload,sfc_char, Live 0x0\nsfc 1 0 - Live 0x0\n");
        root.write("sys/module/sfc/taint", "OE\n");
        root.write("sys/bus/pci/devices/0000:3b:00.0/vendor", "0x1924\n");
        root.write("sys/bus/pci/devices/0000:01:00.0/vendor", "0x8086\n");
        let driver = "sys/bus/pci/devices/0000:3b:00.0/driver";
        std::os::unix::fs::symlink("../../../../bus/pci/drivers/sfc", root.at(driver)).unwrap();
        root.write(
            "proc/driver/onload/version",
            &format!("onload_version: 9.2.1\nuk_intf_ver: {HASH}\n"),
        );
        root.write("proc/driver/onload/stacks", "0: 7 0 1 2\n");
        root.write("proc/driver/onload/cp_server_pids", "812\n");
        root.write("proc/812/comm", "onload_cp_serve\n");
        root.nodes("", 0o666);
        root
    }

    pub fn path(&self) -> &Path {
        self.place.path()
    }

    pub fn at(&self, path: &str) -> PathBuf {
        self.path().join(path)
    }

    pub fn write(&self, path: &str, text: &str) {
        fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        fs::write(self.at(path), text).unwrap();
    }

    pub fn remove(&self, path: &str) {
        fs::remove_file(self.at(path)).unwrap();
    }

    /// Onload's device nodes below a directory. Number 0:0 is the one that anybody may make.
    pub fn nodes(&self, below: &str, mode: u32) {
        let none = nix::sys::stat::umask(Mode::empty());
        for path in NODES {
            let path = self.at(below).join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            make(&path, SFlag::S_IFCHR, mode);
        }
        nix::sys::stat::umask(none);
    }

    /// A pipe in place of a file.
    pub fn pipe(&self, path: &str) {
        make(&self.at(path), SFlag::S_IFIFO, 0o666);
    }

    /// A device in place of a file.
    pub fn device(&self, path: &str) {
        make(&self.at(path), SFlag::S_IFCHR, 0o666);
    }

    /// A container's first process, and the log by which the kubelet knows it.
    pub fn container(&self, pod: &str, pid: u32, preload: &str, mapped: bool) {
        let own = |name: &str| format!("proc/{pid}/{name}");
        self.write(&format!("var/log/containers/{pod}_default_app-{ID}.log"), "");
        self.write(&own("cgroup"), &format!("0::/kubepods.slice/crio-{ID}.scope\n"));
        self.write(&own("comm"), "app\n");
        self.write(&own("status"), &format!("Name:\tapp\nNSpid:\t{pid}\t1\n"));
        self.write(
            &own("environ"),
            &format!("PATH=/bin\0LD_PRELOAD={preload}\0EF_POLL_USEC=100\0SECRET=x\0"),
        );
        let line = |path: &str| format!("7f00-7f01 r-xp 00000000 fd:01 77    {path}\n");
        let libraries = if mapped { line(LIBRARY) } else { String::new() };
        self.write(&own("maps"), &(line("/usr/bin/app") + &libraries));
        self.write(&own(&format!("root{LIBRARY}")), &format!("\0ELF\0{HASH}\0"));
        self.nodes(&own("root"), 0o666);
    }
}

/// Makes what is no file, in place of what is there.
fn make(path: &Path, kind: SFlag, mode: u32) {
    let _ = fs::remove_file(path);
    mknod(path, kind, Mode::from_bits_truncate(mode), makedev(0, 0)).unwrap();
}

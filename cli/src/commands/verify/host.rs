//! What the machine itself shows, below an opened root: what comes from a container's own files never
//! leads out of it. Reads; judges nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;

use onload_core::inventory::{DEVICE_NODES, DeviceNode};
use onload_core::reading::Reading;
use onload_core::verify::host::Function;
use onload_core::verify::stack;
use rustix::fs::{
    CWD, Dir, FileType, Mode, OFlags, ResolveFlags, fstat, open, openat, openat2, readlinkat,
};
use rustix::io::Errno;

/// A program with a hundred thousand mappings has some 10 MiB of lines; nothing else here has more.
const TEXT_BYTES: u64 = 64 << 20;
/// A library with all its symbols; the real one has a few MiB.
const LIBRARY_BYTES: u64 = 64 << 20;
/// PCI vendor of Solarflare, as sysfs writes it.
const SOLARFLARE: &str = "0x1924";
/// Where the kubelet's registration socket is (`reference/kubernetes-onload.md` section 1.4).
const KUBELET: &str = "var/lib/kubelet/device-plugins/kubelet.sock";
/// `openat2` answers EAGAIN when a rename anywhere on the system crosses a `..` it walks.
const ATTEMPTS: usize = 16;

/// A root to read below: the machine's, or a process's own.
#[derive(Debug)]
pub struct Host {
    fd: OwnedFd,
}

impl Host {
    /// Opens one.
    ///
    /// # Errors
    /// It is no directory, or may not be opened.
    pub fn open(root: &Path) -> io::Result<Self> {
        let fd =
            openat(CWD, root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { fd })
    }

    /// The same root, for another thread.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn again(&self) -> io::Result<Self> {
        Ok(Self { fd: self.fd.try_clone()? })
    }

    /// The root that a process sees.
    pub fn of_process(&self, pid: u32) -> Reading<Self> {
        let opened = self.at(&format!("proc/{pid}"), OFlags::PATH | OFlags::DIRECTORY);
        // The last part only leads where the kernel says, which openat2 does not follow below a root.
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = opened.and_then(|process| openat(&process, "root", flags, Mode::empty()));
        opened.map_or_else(gap, |fd| Reading::Known(Self { fd }))
    }

    fn at(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = path.trim_start_matches('/');
        let path = if path.is_empty() { "." } else { path };
        let mut last = Errno::AGAIN;
        for _ in 0..ATTEMPTS {
            let flags = flags | OFlags::CLOEXEC;
            match openat2(&self.fd, path, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
                Err(Errno::AGAIN) => last = Errno::AGAIN,
                other => return other,
            }
        }
        Err(last)
    }

    fn file(&self, path: &str, limit: u64) -> Reading<Vec<u8>> {
        self.regular(path).and_then(|file| {
            let mut bytes = Vec::new();
            match file.take(limit + 1).read_to_end(&mut bytes) {
                Ok(read) if read as u64 > limit => {
                    Reading::Unreadable(format!("it is larger than {limit} bytes"))
                }
                Ok(_) => Reading::Known(bytes),
                Err(error) => error.raw_os_error().map_or_else(
                    || Reading::Unreadable(error.to_string()),
                    |raw| gap(Errno::from_raw_os_error(raw)),
                ),
            }
        })
    }

    /// Opens a regular file. Any of a container's may be something else by now: a pipe that nobody writes to, or
    /// a device, which may act on the mere opening. So what lies there is held first, which opens nothing, and
    /// opened once it is known: the same one, whatever has the name by then.
    fn regular(&self, path: &str) -> Reading<File> {
        let opened = self.at(path, OFlags::PATH | OFlags::NOFOLLOW).and_then(|held| {
            if !FileType::from_raw_mode(fstat(&held)?.st_mode).is_file() {
                return Ok(None);
            }
            let same = format!("/proc/self/fd/{}", held.as_raw_fd());
            open(same, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map(Some)
        });
        match opened {
            Ok(Some(fd)) => Reading::Known(File::from(fd)),
            Ok(None) => Reading::Unreadable("it is not a regular file".to_owned()),
            Err(errno) => gap(errno),
        }
    }

    /// A file's bytes.
    pub fn bytes(&self, path: &str) -> Reading<Vec<u8>> {
        self.file(path, TEXT_BYTES)
    }

    /// A file's text; what is no UTF-8 in it is replaced.
    pub fn text(&self, path: &str) -> Reading<String> {
        self.bytes(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Names in a directory, in order.
    pub fn names(&self, path: &str) -> Reading<Vec<String>> {
        let opened = self.at(path, OFlags::RDONLY | OFlags::DIRECTORY);
        let listed = opened.and_then(|fd| Dir::read_from(fd)?.collect::<Result<Vec<_>, _>>());
        listed.map_or_else(gap, |entries| {
            let names = entries.iter().map(|one| one.file_name().to_string_lossy().into_owned());
            let mut names: Vec<_> = names.filter(|name| name != "." && name != "..").collect();
            names.sort();
            Reading::Known(names)
        })
    }

    /// Where a link leads.
    pub fn link(&self, path: &str) -> Reading<String> {
        let opened = self.at(path, OFlags::PATH | OFlags::NOFOLLOW);
        let target = opened.and_then(|fd| readlinkat(&fd, "", Vec::new()));
        target.map_or_else(gap, |target| Reading::Known(target.to_string_lossy().into_owned()))
    }

    /// Whether something is there at all.
    pub fn has(&self, path: &str) -> bool {
        self.at(path, OFlags::PATH | OFlags::NOFOLLOW).is_ok()
    }

    /// Which device a node is.
    fn node(&self, path: &str) -> Reading<DeviceNode> {
        let stat = self.at(path, OFlags::PATH | OFlags::NOFOLLOW).and_then(fstat);
        stat.map_or_else(gap, |stat| match FileType::from_raw_mode(stat.st_mode) {
            FileType::CharacterDevice => Reading::Known(DeviceNode {
                major: rustix::fs::major(stat.st_rdev),
                minor: rustix::fs::minor(stat.st_rdev),
                mode: stat.st_mode & 0o7777,
            }),
            _ => Reading::Unreadable("it is not a character device".to_owned()),
        })
    }

    /// Onload's device nodes, by path.
    pub fn device_nodes(&self) -> BTreeMap<String, Reading<DeviceNode>> {
        self.device_nodes_unless(&|_| None)
    }

    /// The same; those that there is a reason for are not looked at.
    pub fn device_nodes_unless(
        &self,
        reason: &dyn Fn(&str) -> Option<String>,
    ) -> BTreeMap<String, Reading<DeviceNode>> {
        let node = |path: &str| reason(path).map_or_else(|| self.node(path), Reading::Unreadable);
        DEVICE_NODES.iter().map(|path| ((*path).to_owned(), node(path))).collect()
    }

    /// The random id of this boot.
    pub fn boot_id(&self) -> Option<String> {
        let text = self.text("proc/sys/kernel/random/boot_id").into_known()?;
        Some(text.trim().to_owned())
    }

    /// Names of loaded modules.
    pub fn modules(&self) -> Reading<Vec<String>> {
        let name = |line: &str| line.split_whitespace().next().unwrap_or_default().to_owned();
        self.text("proc/modules").map(|text| text.lines().map(name).collect())
    }

    /// Solarflare functions on the PCI bus.
    pub fn functions(&self) -> Reading<Vec<Function>> {
        const DEVICES: &str = "sys/bus/pci/devices";
        let vendor = |address: &str| self.text(&format!("{DEVICES}/{address}/vendor")).into_known();
        self.names(DEVICES).map(|names| {
            let ours = names.into_iter().filter(|address| {
                vendor(address).is_some_and(|vendor| vendor.trim() == SOLARFLARE)
            });
            let function = |address: String| {
                let driver = self.link(&format!("{DEVICES}/{address}/driver")).into_known();
                let name = |path: String| path.rsplit('/').next().unwrap_or_default().to_owned();
                Function { address, driver: driver.map(name) }
            };
            ours.map(function).collect()
        })
    }

    /// Whether the loaded `sfc` was built apart from the kernel.
    pub fn own_driver(&self) -> Reading<bool> {
        self.text("sys/module/sfc/taint").map(|taint| taint.contains('O'))
    }

    /// Control-plane servers, and their names where they live.
    pub fn servers(&self) -> Reading<BTreeMap<u32, Option<String>>> {
        self.text("proc/driver/onload/cp_server_pids").map(|text| {
            let pids = text.split_whitespace().filter_map(|pid| pid.parse().ok());
            pids.map(|pid| (pid, self.comm(pid))).collect()
        })
    }

    /// What a process is called; none for one that is gone.
    pub fn comm(&self, pid: u32) -> Option<String> {
        let comm = self.text(&format!("proc/{pid}/comm")).into_known()?;
        Some(comm.trim_end().to_owned())
    }

    /// Process ids by stack.
    pub fn stacks(&self) -> Reading<BTreeMap<u32, u32>> {
        self.text("proc/driver/onload/stacks").and_then(|text| match stack::parse(&text) {
            Some(stacks) => Reading::Known(stacks),
            None => Reading::Unreadable("/proc/driver/onload/stacks reads otherwise".to_owned()),
        })
    }

    /// The hash by which driver and library know each other.
    pub fn interface(&self) -> Option<String> {
        let version = self.text("proc/driver/onload/version").into_known()?;
        let hash = version.lines().find_map(|line| line.strip_prefix("uk_intf_ver:"))?.trim();
        (!hash.is_empty()).then(|| hash.to_owned())
    }

    /// Whether a library has a hash in it.
    pub fn has_hash(&self, library: &str, hash: &str) -> Reading<bool> {
        self.file(library, LIBRARY_BYTES)
            .map(|bytes| bytes.windows(hash.len()).any(|part| part == hash.as_bytes()))
    }

    /// Whether a kubelet has made its socket.
    pub fn has_kubelet(&self) -> bool {
        self.has(KUBELET)
    }

    /// Onload's library in a process.
    pub fn mapped(&self, pid: u32) -> Reading<stack::Mapped> {
        let maps = self.text(&format!("proc/{pid}/maps"));
        maps.and_then(|maps| Reading::from(stack::mapped(&maps)))
    }

    /// What the descriptors of a process are.
    pub fn descriptors(&self, pid: u32) -> Reading<Vec<String>> {
        let directory = format!("proc/{pid}/fd");
        self.names(&directory).map(|names| {
            let target = |name: &String| self.link(&format!("{directory}/{name}")).into_known();
            names.iter().filter_map(target).collect()
        })
    }
}

/// Why something was not read.
fn gap<T>(errno: Errno) -> Reading<T> {
    match errno {
        // The last two are how processes say that they have ended.
        Errno::NOENT | Errno::NOTDIR | Errno::SRCH | Errno::NXIO => Reading::Absent,
        Errno::ACCESS | Errno::PERM => {
            Reading::Unreadable("only root can see it: run it by sudo".to_owned())
        }
        other => Reading::Unreadable(other.to_string()),
    }
}

//! Word that something may have changed: uevents, rtnetlink's link group, and the kubelet's
//! directory. No timers and no polling: without an event nothing here wakes up. Events are hints,
//! so only their coming counts; which changed is for the next look.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeSet;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::task::{Context, Poll};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use rtnetlink::MulticastGroup;
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{Socket, SocketAddr};
use tokio::io::unix::AsyncFd;

use super::kubelet::Watch;
use super::servers::Servers;
use crate::descriptor;

/// Subsystems whose uevents matter. `rmmod` is heard as the removal of a `module` and of what it
/// registered with `drivers`, `unbind` as an event of the device, on `pci` or `auxiliary`. Interfaces
/// are heard through rtnetlink. The last four are those of the device nodes and of hardware clocks.
const SUBSYSTEMS: [&str; 8] =
    ["pci", "module", "auxiliary", "drivers", "onload", "onload_epoll", "sfc_char", "ptp"];
/// There while udevd runs; without it only the kernel sends uevents.
const UDEVD_SOCKET: &str = "/run/udev/control";
/// Most messages taken off a socket at a time, so that a storm of events does not hold the thread.
const TAKEN_AT_ONCE: usize = 1024;

/// What can be heard here. A source that cannot be opened is done without, for the tick is the net.
#[derive(Debug)]
pub(super) struct Events {
    /// Opened with the host, so that nothing between opening and the first wait is missed.
    opened: RefCell<Option<Opened>>,
    registered: OnceCell<Registered>,
    servers: RefCell<Servers>,
}

#[derive(Debug, Default)]
struct Opened {
    sockets: Vec<OwnedFd>,
    kubelet: Option<Watch>,
}

/// The same, known to the runtime.
#[derive(Debug, Default)]
struct Registered {
    sockets: Vec<AsyncFd<OwnedFd>>,
    kubelet: Option<(AsyncFd<OwnedFd>, RefCell<Watch>)>,
}

impl Events {
    pub(super) fn open(kubelet_directory: &Path) -> Self {
        let sockets = [or_without("rtnetlink events", links()), or_without("uevents", uevents())];
        let opened = Opened {
            sockets: sockets.into_iter().flatten().collect(),
            kubelet: or_without(
                "events of the kubelet's directory",
                Watch::open(kubelet_directory),
            ),
        };
        Self::of(opened)
    }

    fn of(opened: Opened) -> Self {
        Self {
            opened: RefCell::new(Some(opened)),
            registered: OnceCell::new(),
            servers: RefCell::default(),
        }
    }

    /// From now on the end of these control-plane servers is heard: the kernel started them and
    /// tells nobody. None where it is not known which there are.
    pub(super) fn watch(&self, servers: Option<&BTreeSet<u32>>) {
        if let Some(servers) = servers {
            self.servers.borrow_mut().watch(servers);
        }
    }

    /// Resolves at the next event. Dropping the future loses none.
    pub(super) async fn next(&self) {
        let registered = self
            .registered
            .get_or_init(|| self.opened.take().map(Registered::from_opened).unwrap_or_default());
        poll_fn(|context| {
            let ended = self.servers.borrow_mut().poll(context);
            match registered.poll(context) {
                Poll::Pending if ended => Poll::Ready(()),
                polled => polled,
            }
        })
        .await;
    }
}

impl Registered {
    fn from_opened(opened: Opened) -> Self {
        let sockets = opened.sockets.into_iter();
        Self {
            sockets: sockets
                .filter_map(|fd| or_without("events", descriptor::readable(fd)))
                .collect(),
            kubelet: opened.kubelet.and_then(|watch| {
                let fd =
                    watch.inotify().as_fd().try_clone_to_owned().and_then(descriptor::readable);
                Some((or_without("events of the kubelet's directory", fd)?, RefCell::new(watch)))
            }),
        }
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut heard = false;
        for socket in &self.sockets {
            heard |= drain(socket, context, || drain_socket(socket.get_ref()));
        }
        if let Some((fd, watch)) = &self.kubelet {
            heard |= drain(fd, context, || {
                let heard = watch.borrow_mut().heard().unwrap_or_else(|error| {
                    tracing::debug!(%error, "the kubelet's directory is not watched any more");
                    true
                });
                (heard, Left::Nothing)
            });
        }
        if heard { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// Whether a source may still hold events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Nothing,
    Some,
}

/// Empties a source while it is ready; true when something was heard. When it returns, the task is
/// woken by the next event.
fn drain(
    fd: &AsyncFd<OwnedFd>,
    context: &mut Context<'_>,
    take: impl Fn() -> (bool, Left),
) -> bool {
    let mut heard = false;
    while let Poll::Ready(Ok(mut ready)) = fd.poll_read_ready(context) {
        let (now, left) = take();
        heard |= now;
        match left {
            Left::Nothing => ready.clear_ready(),
            Left::Some => return true,
        }
    }
    heard
}

fn drain_socket(socket: &OwnedFd) -> (bool, Left) {
    // What it says does not matter, so one byte of each message is enough.
    let mut byte = [0];
    let mut heard = false;
    for _ in 0..TAKEN_AT_ONCE {
        match recv(socket.as_raw_fd(), &mut byte, MsgFlags::MSG_DONTWAIT) {
            Err(Errno::EAGAIN) => return (heard, Left::Nothing),
            Err(Errno::EINTR) => {}
            // ENOBUFS: so many events that some were lost. That they came was heard.
            Ok(_) | Err(Errno::ENOBUFS) => heard = true,
            Err(errno) => {
                tracing::debug!(%errno, "a source of events failed");
                return (true, Left::Nothing);
            }
        }
    }
    (heard, Left::Some)
}

/// A socket of rtnetlink's link group. No event is looked into here either: a connection of the
/// library would drop those that it cannot decode.
fn links() -> io::Result<OwnedFd> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    // Group 1 is bit 0.
    socket.bind(&SocketAddr::new(0, 1 << (MulticastGroup::Link as u32 - 1)))?;
    socket.as_fd().try_clone_to_owned()
}

/// The socket of a udev monitor, which leaves the choice of subsystems to a filter in the kernel.
/// The monitor itself is not kept: its socket carries the filter, and no event is looked into.
fn uevents() -> io::Result<OwnedFd> {
    let monitor = if Path::new(UDEVD_SOCKET).exists() {
        udev::MonitorBuilder::new()?
    } else {
        udev::MonitorBuilder::new_kernel()?
    };
    let monitor = SUBSYSTEMS
        .into_iter()
        .try_fold(monitor, udev::MonitorBuilder::match_subsystem)?
        .listen()?;
    monitor.as_fd().try_clone_to_owned()
}

fn or_without<T>(what: &'static str, source: io::Result<T>) -> Option<T> {
    source
        .inspect_err(|error| tracing::debug!(what, %error, "doing without a source of events"))
        .ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;
    use std::time::Duration;

    use super::*;

    /// Long enough for the kernel to deliver, short enough for a test that expects silence.
    const SOON: Duration = Duration::from_millis(200);

    async fn heard(events: &Events) -> bool {
        tokio::time::timeout(SOON, events.next()).await.is_ok()
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[test]
    fn the_kubelets_socket_is_heard_also_when_it_came_before_the_first_wait() {
        let place = tempfile::tempdir().unwrap();
        let kubelet = place.path().join("device-plugins");
        let watch = Watch::open(&kubelet).unwrap();
        let opened = Opened { sockets: Vec::new(), kubelet: Some(watch) };
        let events = Events::of(opened);
        fs::create_dir(&kubelet).unwrap();
        runtime().block_on(async {
            assert!(heard(&events).await);
            assert!(!heard(&events).await, "silence once it was heard");
            fs::write(kubelet.join("kubelet.sock"), "").unwrap();
            assert!(heard(&events).await);
        });
    }

    #[test]
    fn a_socket_is_emptied_and_waited_on_again() {
        let (ours, theirs) = std::os::unix::net::UnixDatagram::pair().unwrap();
        runtime().block_on(async {
            let opened = Opened { sockets: vec![ours.into()], kubelet: None };
            let events = Events::of(opened);
            assert!(!heard(&events).await);
            for _ in 0..2 {
                for _ in 0..5 {
                    theirs.send(b"x").unwrap();
                }
                assert!(heard(&events).await);
                assert!(!heard(&events).await, "five messages are one hint");
            }
        });
    }

    #[test]
    fn the_end_of_a_server_is_heard_once_whenever_it_was_first_seen() {
        let sleep = || Command::new("sleep").arg("60").spawn().unwrap();
        let ids = |children: &[&std::process::Child]| -> BTreeSet<u32> {
            children.iter().map(|child| child.id()).collect()
        };
        let (mut one, mut other) = (sleep(), sleep());
        runtime().block_on(async {
            let events = Events::of(Opened::default());
            events.watch(Some(&ids(&[&one])));
            assert!(!heard(&events).await);
            // The next one comes while somebody waits already.
            let waiting = tokio::time::timeout(SOON, events.next());
            let act = async {
                events.watch(Some(&ids(&[&one, &other])));
                other.kill().unwrap();
            };
            let (ended, ()) = tokio::join!(waiting, act);
            assert!(ended.is_ok());
            // Not reaped yet, and listed still: it ends once.
            events.watch(Some(&ids(&[&one, &other])));
            assert!(!heard(&events).await);
            one.kill().unwrap();
            one.wait().unwrap();
            assert!(heard(&events).await);
            events.watch(Some(&ids(&[&one])));
            events.watch(None);
            assert!(!heard(&events).await, "one that is gone is not waited for");
        });
        other.wait().unwrap();
    }

    /// Makes the kernel send an event as it does when a driver registers.
    fn driver_event() -> Option<()> {
        let bus = fs::read_dir("/sys/bus").ok()?.flatten();
        let drivers = bus.filter_map(|bus| fs::read_dir(bus.path().join("drivers")).ok()).flatten();
        let files = drivers.flatten().map(|driver| driver.path().join("uevent"));
        files.into_iter().find_map(|file| fs::write(file, "change").ok())
    }

    #[test]
    fn what_the_kernel_says_of_a_driver_is_heard_at_once() {
        let place = tempfile::tempdir().unwrap();
        runtime().block_on(async {
            let events = Events::open(place.path());
            // Whatever else happens on this machine must not pass for it.
            while heard(&events).await {}
            match driver_event() {
                Some(()) => assert!(heard(&events).await, "a driver's event"),
                None => println!("skipped: /sys cannot be written here"),
            }
        });
    }

    #[test]
    fn the_sources_of_this_machine_open_or_are_done_without() {
        let place = tempfile::tempdir().unwrap();
        runtime().block_on(async {
            let events = Events::open(place.path());
            // Nothing is asserted of the machine: only that waiting neither fails nor hangs.
            let _ = heard(&events).await;
            assert!(events.registered.get().is_some_and(|sources| sources.kubelet.is_some()));
        });
    }
}

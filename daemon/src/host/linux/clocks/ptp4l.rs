//! What each ptp4l says on its management socket: one question at a time, so that no answer of its has to wait
//! for us (reference/sfptpd.md section 10).

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use onload_core::clock::linuxptp::{
    Answer, MOST_PORTS, ManagementId, Ptp4l, Question, Said, parse, request,
};
use onload_core::reading::Reading;
use tokio::net::UnixDatagram;

use super::daemons::Process;
use super::{Machine, hardware};
use crate::host::linux::root::{Dir, Kind};

/// Where one listens that was not told where: the first of these that is there. Those before version 4
/// have no socket that takes questions only.
const USUAL: [&str; 4] =
    ["/var/run/ptp/ptp4lro", "/var/run/ptp4lro", "/var/run/ptp/ptp4l", "/var/run/ptp4l"];
/// For everything that one ptp4l is asked. It answers between two packets, within a millisecond.
const LIMIT: Duration = Duration::from_millis(300);
/// Longer messages than these it does not send.
const MESSAGE_BYTES: usize = 1500;
/// Where our end of the conversation lies: in the daemon's own directory, or where that is not.
const OWN_DIRECTORIES: [&str; 2] = ["/run/onloadd", "/run"];
/// One that has given up root must answer too. The socket is connected, so it hears nobody else.
const OWN_MODE: u32 = 0o666;

/// Asks each of them.
pub(super) async fn read<'a>(
    machine: &Machine<'_>,
    running: impl Iterator<Item = &'a Process>,
) -> BTreeMap<String, Reading<Ptp4l>> {
    let mut said = BTreeMap::new();
    for process in running {
        let told = &process.daemon.told;
        let socket = told.socket.clone().or_else(|| {
            let found = USUAL.into_iter().find(|path| is_socket(machine.root, path));
            found.map(str::to_owned)
        });
        let Some(socket) = socket else {
            let why =
                "it has no socket where ptp4l has them; say `uds_address` on its command line";
            said.insert(USUAL[1].to_owned(), Reading::Unreadable(why.to_owned()));
            continue;
        };
        if said.contains_key(&socket) {
            continue;
        }
        let asked = async {
            match converse(&socket, told.domain, told.transport_specific).await {
                Ok(frames) => Reading::Known(frames),
                Err(error) => Reading::Unreadable(error.to_string()),
            }
        };
        let file = format!("ptp4l{}.bin", socket.replace('/', "-"));
        let frames = machine.ask(&file, asked).await;
        let mut answer = frames.and_then(|frames| from_frames(&frames));
        if let Reading::Known(ptp4l) = &mut answer {
            add_hardware_clocks(machine.root, ptp4l);
        }
        said.insert(socket, answer);
    }
    said
}

fn is_socket(root: &Dir, path: &str) -> bool {
    root.node(path).known().is_some_and(|node| node.kind == Kind::Socket)
}

/// Messages one after the other, each with its length in it.
fn from_frames(mut frames: &[u8]) -> Reading<Ptp4l> {
    let mut ptp4l = Ptp4l::default();
    while let Some([high, low]) = frames.get(2..4).and_then(<[u8]>::first_chunk) {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let Some((frame, rest)) = frames.split_at_checked(length.max(4)) else { break };
        match parse(frame) {
            Ok(answer) => ptp4l.take(answer),
            Err(damaged) => {
                return Reading::Unreadable(format!("its answer is not understood: {damaged}"));
            }
        }
        frames = rest;
    }
    Reading::Known(ptp4l)
}

/// Versions before 4 do not tell which clock stamps the packets of a port: the kernel does.
fn add_hardware_clocks(root: &Dir, ptp4l: &mut Ptp4l) {
    for port in &mut ptp4l.ports {
        if port.hardware_stamps != Some(true) || port.hardware_clock.is_some() {
            continue;
        }
        // The name came over a socket: nothing but a name is looked for.
        let Some(name) = port.interface.as_deref().filter(|name| is_name(name)) else {
            continue;
        };
        let clocks = root.names(&format!("sys/class/net/{name}/device/ptp"), |_| true);
        let mut clocks = clocks.into_known().into_iter().flatten();
        port.hardware_clock = clocks.find_map(|name| hardware::index(&name));
    }
}

/// The name of an interface and no other way through a file system.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains('/') && name != "." && name != ".."
}

/// Everything that it answers, as it came.
async fn converse(socket: &str, domain: u8, transport_specific: u8) -> io::Result<Vec<u8>> {
    let own = Own::bind()?;
    own.socket.connect(socket)?;
    let conversation = async {
        let (mut frames, mut ports, mut sequence) = (Vec::new(), 0, 0);
        for id in ManagementId::ALL {
            let asked = if id.is_of_ports() { 1..=ports } else { 0..=0 };
            for port in asked {
                sequence += 1;
                let port = (port != 0).then_some(port);
                let question = Question { id, sequence, domain, transport_specific, port };
                let (frame, answer) = own.ask(&question).await?;
                if let Said::Default { ports: told, .. } = answer.said {
                    ports = told.min(MOST_PORTS);
                }
                frames.extend(frame);
            }
        }
        Ok(frames)
    };
    tokio::time::timeout(LIMIT, conversation).await.unwrap_or_else(|_| {
        let why =
            "it did not answer everything: it hangs, or its domain is not the one it was told";
        Err(io::Error::new(io::ErrorKind::TimedOut, why))
    })
}

/// Our end.
struct Own {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Own {
    fn bind() -> io::Result<Self> {
        let directory = OWN_DIRECTORIES.into_iter().map(Path::new).find(|path| path.is_dir());
        let directory = directory.unwrap_or(Path::new("/run"));
        // Of a process that was killed it may still be there.
        let path = directory.join(format!("ptp4l.{}.sock", std::process::id()));
        let _ = fs::remove_file(&path);
        let own = Self { socket: UnixDatagram::bind(&path)?, path };
        fs::set_permissions(&own.path, fs::Permissions::from_mode(OWN_MODE))?;
        Ok(own)
    }

    /// The answer, as bytes and understood.
    async fn ask(&self, question: &Question) -> io::Result<(Vec<u8>, Answer)> {
        self.socket.send(&request(question)).await?;
        let mut room = [0; MESSAGE_BYTES];
        loop {
            let length = self.socket.recv(&mut room).await?;
            let frame = room.get(..length).unwrap_or_default();
            let answer = parse(frame).map_err(|damaged| {
                let why = format!("its answer is not understood: {damaged}");
                io::Error::new(io::ErrorKind::InvalidData, why)
            })?;
            if answer.sequence == question.sequence {
                return Ok((frame.to_vec(), answer));
            }
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

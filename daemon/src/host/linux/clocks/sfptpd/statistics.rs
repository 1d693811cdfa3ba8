//! The newest statistics of each servo, remembered from look to look: others may have taken what the
//! metrics socket had, and a file is only read on.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::Duration;

use onload_core::clock::sfptpd::{Sample, sample};
use onload_core::reading::Reading;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::super::super::attribute;
use super::super::super::root::Dir;
use super::paths::Paths;
use super::tail::Tail;

/// How long it may take to answer. One that hangs keeps the look waiting so long, and is told by that.
const ANSWER: Duration = Duration::from_millis(500);
/// Never without `/peek/`: that would take the samples from whoever collects them (reference/sfptpd.md
/// section 6.3).
const REQUEST: &[u8] =
    b"GET /peek/rt-stats.jsonl HTTP/1.1\r\nHost: sfptpd\r\nConnection: close\r\n\r\n";
/// Most of a head, and of a body: `openmetrics_rt_stats_buf` lines of half a KiB.
const HEAD_BYTES: usize = 8 << 10;
const BODY_BYTES: usize = 4 << 20;
/// The file of a capture that holds what the socket said.
const RECORDED: &str = ".clocks/sfptpd-statistics.jsonl";
/// Most servos that are kept: one for each clock and instance.
const SERVOS: usize = 256;
/// How many looks that found others a servo may miss before it counts as gone.
const MISSED: u8 = 3;

/// What is remembered.
#[derive(Debug, Default)]
pub(in super::super::super) struct Followed {
    memory: RefCell<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    newest: BTreeMap<String, (Sample, u8)>,
    json: Tail,
    text: Tail,
    /// The mark of what was said last.
    pulse: u64,
    /// The file that each start writes anew: whose lines these are.
    start: Option<(u64, (i64, i64))>,
}

/// What a look found.
#[derive(Debug)]
pub(super) struct Statistics {
    pub(super) samples: Reading<BTreeMap<String, Sample>>,
    pub(super) metrics: bool,
    /// Changes when a line came that had not been there before.
    pub(super) pulse: u64,
}

/// Lines, and what they are written as.
type Lines = (String, fn(&str) -> Result<Sample, sample::Damaged>);

impl Followed {
    /// Remembers nothing any more: the next look reads all anew.
    pub(in super::super::super) fn forget(&self) {
        self.memory.take();
    }

    /// Looks once.
    pub(super) async fn read(&self, root: &Dir, paths: &Paths) -> Statistics {
        let mut answer = Reading::Absent;
        for path in &paths.metrics {
            answer = peek(root, path).await;
            if !answer.is_absent() {
                break;
            }
        }
        let mut memory = self.memory.borrow_mut();
        let start = root.node(&paths.effective).into_known();
        let start = start.map(|node| (node.inode, node.modified));
        if memory.start != start {
            memory.start = start;
            memory.newest.clear();
        }
        let (lines, metrics): (Reading<Lines>, bool) = match answer {
            Reading::Known(text) => (Reading::Known((text, sample::json)), true),
            Reading::Absent => (memory.follow(root, paths), false),
            // It may be that its socket is not for us; else its file has nothing new either.
            Reading::Unreadable(why) => match memory.follow(root, paths) {
                Reading::Absent => (Reading::Unreadable(why), false),
                followed => (followed, false),
            },
        };
        let samples = match lines {
            Reading::Known((text, parse)) => {
                memory.take(text.lines().filter_map(|line| parse(line).ok()));
                let newest = memory.newest.iter();
                let newest = newest.map(|(key, (sample, _))| (key.clone(), sample.clone()));
                Reading::Known(newest.collect())
            }
            Reading::Absent => Reading::Absent,
            Reading::Unreadable(why) => Reading::Unreadable(why),
        };
        Statistics { samples, metrics, pulse: memory.pulse }
    }
}

impl Memory {
    /// What has been written into its files since the last look, `json_stats` before `stats_log`.
    fn follow(&mut self, root: &Dir, paths: &Paths) -> Reading<Lines> {
        let followed = |path: &Option<String>, tail: &mut Tail| -> Reading<String> {
            let Some(path) = path else { return Reading::Absent };
            let text = root.file(path).and_then(|file| match tail.follow(&file) {
                Ok(text) => Reading::Known(text),
                Err(error) => Reading::Unreadable(format!("{path}: {error}")),
            });
            root.keep(path, &text.as_ref().map(|text| text.as_bytes().to_vec()));
            text
        };
        let json: fn(&str) -> _ = sample::json;
        match followed(&paths.json, &mut self.json) {
            Reading::Absent => followed(&paths.text, &mut self.text)
                .map(|text| (text, sample::text as fn(&str) -> _)),
            found => found.map(|text| (text, json)),
        }
    }

    /// Takes lines in the order they were written in.
    fn take(&mut self, samples: impl Iterator<Item = Sample>) {
        let mut seen = BTreeMap::new();
        for sample in samples {
            let key = sample::key(&sample);
            if seen.len() < SERVOS || seen.contains_key(&key) {
                seen.insert(key, sample);
            }
        }
        if seen.is_empty() {
            return;
        }
        for (_, missed) in self.newest.values_mut() {
            *missed = missed.saturating_add(1);
        }
        self.newest.extend(seen.into_iter().map(|(key, sample)| (key, (sample, 0))));
        self.newest.retain(|_, (_, missed)| *missed <= MISSED);
        let mut said = DefaultHasher::new();
        // Its time is told: nothing else changes in what stands still.
        for (key, (sample, _)) in &self.newest {
            (key, &sample.time, sample.offset_ns).hash(&mut said);
        }
        self.pulse = said.finish();
    }
}

/// What the socket has. Absent where it is not there or knows of no statistics.
async fn peek(root: &Dir, path: &str) -> Reading<String> {
    let body = match root.socket(path) {
        Reading::Known(socket) => match tokio::time::timeout(ANSWER, ask(&socket)).await {
            Ok(Ok(Some(body))) => Reading::Known(body),
            Ok(Ok(None)) => Reading::Absent,
            // Left behind by one that was killed.
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Reading::Absent,
            Ok(Err(error)) => Reading::Unreadable(format!("{path}: {error}")),
            Err(_) => {
                let limit = ANSWER.as_millis();
                Reading::Unreadable(format!("{path}: there was no answer within {limit} ms"))
            }
        },
        // A capture has no sockets that would answer, but perhaps what one said.
        Reading::Absent if root.node(path).is_absent() => return Reading::Absent,
        Reading::Absent => return root.read(RECORDED, BODY_BYTES).and_then(attribute::text),
        Reading::Unreadable(why) => Reading::Unreadable(why),
    };
    root.keep(RECORDED, &body);
    // Recorded as a socket, so that the answer is looked for.
    let _ = root.node(path);
    body.and_then(attribute::text)
}

/// Asks; none where the answer is that there is no such thing.
async fn ask(socket: &OwnedFd) -> io::Result<Option<Vec<u8>>> {
    // Through the descriptor: what it leads to was found below the root.
    let path = format!("/proc/self/fd/{}", socket.as_raw_fd());
    let mut stream = UnixStream::connect(path).await?;
    stream.write_all(REQUEST).await?;
    let mut bytes = Vec::new();
    let (head, rest) = loop {
        let mut piece = [0; 4 << 10];
        let length = stream.read(&mut piece).await?;
        bytes.extend_from_slice(piece.get(..length).unwrap_or_default());
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            break (Head::parse(&bytes)?, rest);
        }
        if length == 0 || bytes.len() > HEAD_BYTES {
            return Err(damaged("its answer has no head"));
        }
    };
    let Head::Found(wanted) = head else { return Ok(None) };
    let mut body = rest;
    while body.len() < wanted {
        let mut piece = [0; 16 << 10];
        let length = stream.read(&mut piece).await?;
        if length == 0 {
            return Err(damaged("its answer was cut off"));
        }
        body.extend_from_slice(piece.get(..length).unwrap_or_default());
    }
    body.truncate(wanted);
    Ok(Some(body))
}

/// The head of an answer.
#[derive(Debug, PartialEq, Eq)]
enum Head {
    /// So many bytes follow.
    Found(usize),
    /// There is no such thing.
    NotFound,
}

impl Head {
    fn parse(bytes: &[u8]) -> io::Result<Self> {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.lines();
        let status = lines.next().and_then(|line| line.split_whitespace().nth(1));
        match status {
            Some("200") => {}
            Some("404") => return Ok(Self::NotFound),
            Some(_) | None => return Err(damaged("it refused to answer")),
        }
        let length = lines.filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())
        });
        match length {
            Some(Ok(length)) if length <= BODY_BYTES => Ok(Self::Found(length)),
            Some(_) => Err(damaged("its answer has no length that can be")),
            None => Err(damaged("its answer has no length")),
        }
    }
}

fn damaged(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_of_every_kind_end_in_an_answer() {
        let huge = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", u64::MAX);
        let cases: [(&[u8], Result<Head, &str>); 8] = [
            (b"HTTP/1.1 200 OK\r\nCONTENT-LENGTH: 7 \r\n\r\n", Ok(Head::Found(7))),
            (b"HTTP/1.1 404 Not Found\r\n\r\n", Ok(Head::NotFound)),
            (b"HTTP/1.1 200 OK\r\n\r\n", Err("its answer has no length")),
            (b"HTTP/1.1 200 OK\nContent-Length: -1\n", Err("its answer has no length that can be")),
            (huge.as_bytes(), Err("its answer has no length that can be")),
            (b"HTTP/1.1 500 Internal Server Error\r\n\r\n", Err("it refused to answer")),
            (b"", Err("it refused to answer")),
            (b"\xff\xfe\r\n\r\n", Err("it refused to answer")),
        ];
        for (head, expected) in cases {
            let found = Head::parse(head).map_err(|error| error.to_string());
            assert_eq!(found, expected.map_err(str::to_owned));
        }
    }
}

//! Bytes as they come: a pipe that may fall silent, and what they are packed with.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::time::{Duration, Instant};

use flate2::read::MultiGzDecoder;
use lzma_rust2::XzReader;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::budget::{Budget, Counted};
use super::fault;
use crate::contained::Contained;

/// How soon a thread that waits for a pipe sees that nobody waits for it.
const CANCEL_WITHIN: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
/// A pipe that stays silent so long is given up: `podman save` copies every layer, some
/// gigabytes, to the disk before it writes the first byte.
const PATIENCE: Duration = Duration::from_secs(600);
/// Memory one decompressor may ask for. `zstd --ultra -22` needs 128 MiB, `xz -9` 65 MiB.
const MOST_WINDOW: u64 = 128 << 20;
const MOST_WINDOW_KIB: u32 = 128 << 10;
/// A tar header, and more than any magic.
const HEAD: usize = 512;
/// Skippable frames of zstd: sixteen magics from this one on, then the length, four bytes each
/// (RFC 8878 section 3.1.2).
const SKIPPABLE: u32 = 0x184d_2a50;

/// A descriptor that is read without waiting for ever.
struct Patient<'b> {
    file: File,
    budget: &'b Budget,
}

impl Read for Patient<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let begun = Instant::now();
        loop {
            let mut wait = [PollFd::new(&self.file, PollFlags::IN)];
            match poll(&mut wait, Some(&CANCEL_WITHIN)) {
                // A descriptor that does not block is no surprise: it is the caller's.
                Ok(1..) => match self.file.read(buffer) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    answer => return answer,
                },
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            self.budget.must_go_on().map_err(|why| self.budget.stop(why))?;
            if begun.elapsed() > PATIENCE {
                let why = format!("nothing came through it for {} seconds", PATIENCE.as_secs());
                return Err(self.budget.stop(fault::broken("the source", &why)));
            }
        }
    }
}

/// What the bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Tar,
    Other,
}

/// An unpacked stream.
pub(super) struct Stream<'b> {
    pub(super) content: Content,
    pub(super) reader: Box<dyn Read + 'b>,
}

/// Opens a descriptor, whatever it is packed with.
pub(super) fn open(file: File, budget: &Budget) -> io::Result<Stream<'_>> {
    let reader = Patient { file, budget };
    unpack(Box::new(Counted { reader, budget }), budget)
}

/// Unpacks by what the bytes begin with, and says what they are then.
pub(super) fn unpack<'b>(reader: Box<dyn Read + 'b>, budget: &'b Budget) -> io::Result<Stream<'b>> {
    let (head, reader) = peek(reader)?;
    let reader: Box<dyn Read + 'b> = match head.get(..6).unwrap_or(&head) {
        [0x1f, 0x8b, ..] => Box::new(Contained::new(MultiGzDecoder::new(reader))),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => {
            Box::new(Contained::new(XzReader::new_mem_limit(reader, true, MOST_WINDOW_KIB)))
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
            Box::new(Contained::new(Zstd { reader: BufReader::new(reader), frame: None }))
        }
        _ => {
            let content = if is_tar(&head) { Content::Tar } else { Content::Other };
            return Ok(Stream { content, reader });
        }
    };
    let (head, reader) = peek(Box::new(Counted { reader, budget }))?;
    let content = if is_tar(&head) { Content::Tar } else { Content::Other };
    Ok(Stream { content, reader })
}

/// The first bytes, and a reader that gives them again.
fn peek<'b>(mut reader: Box<dyn Read + 'b>) -> io::Result<(Vec<u8>, Box<dyn Read + 'b>)> {
    let mut head = Vec::with_capacity(HEAD);
    reader.by_ref().take(HEAD as u64).read_to_end(&mut head)?;
    Ok((head.clone(), Box::new(Cursor::new(head).chain(reader))))
}

/// Whether it begins with a tar header: `ustar` in its place, or for those of old the checksum.
fn is_tar(head: &[u8]) -> bool {
    let Some(head) = head.first_chunk::<HEAD>() else { return false };
    let header = tar::Header::from_byte_slice(head);
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    // The eight bytes of the checksum count as blanks.
    let expected = sum(&head[..148]) + 8 * 32 + sum(&head[156..]);
    head[0] != 0 && header.cksum().is_ok_and(|found| found == expected)
}

/// Frames of zstd one after another; the decoder knows but one.
struct Zstd<R> {
    reader: BufReader<R>,
    frame: Option<Box<FrameDecoder>>,
}

impl<R: Read> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !buffer.is_empty() {
            let Some(frame) = &mut self.frame else {
                if self.reader.fill_buf()?.is_empty() {
                    return Ok(0);
                }
                self.frame = begin(&mut self.reader)?;
                continue;
            };
            while frame.can_collect() == 0 && !frame.is_finished() {
                frame
                    .decode_blocks(&mut self.reader, BlockDecodingStrategy::UptoBlocks(1))
                    .map_err(io::Error::other)?;
            }
            let read = frame.read(buffer)?;
            if read > 0 {
                return Ok(read);
            }
            let promised = frame.get_checksum_from_data();
            if promised.is_some() && promised != frame.get_calculated_checksum() {
                return Err(io::Error::other("checksum of a zstd frame does not match"));
            }
            self.frame = None;
        }
        Ok(0)
    }
}

/// The frame that begins here; none where one was to be skipped.
fn begin<R: Read>(reader: &mut BufReader<R>) -> io::Result<Option<Box<FrameDecoder>>> {
    let mut magic = [0; 4];
    reader.read_exact(&mut magic)?;
    if u32::from_le_bytes(magic) & !0xf == SKIPPABLE {
        let mut length = [0; 4];
        reader.read_exact(&mut length)?;
        let length = u64::from(u32::from_le_bytes(length));
        if io::copy(&mut reader.take(length), &mut io::sink())? < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        return Ok(None);
    }
    let mut frame = Box::new(FrameDecoder::new());
    frame.set_max_window_size(MOST_WINDOW);
    frame.init(magic.as_slice().chain(reader)).map_err(io::Error::other)?;
    Ok(Some(frame))
}

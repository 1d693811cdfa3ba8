//! Compressed parts, told by their first bytes as the kernel tells them (`lib/decompress.c`). Each
//! is read to its own end and no further: another archive may follow.

use std::io::{self, Read};

use flate2::bufread::GzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::window::Window;
use crate::contained::{Contained, contain};

/// Memory a decoder may ask for: `xz -9` needs 65 MiB, and those who build an initramfs take far
/// less (dracut `--lzma2=dict=1MiB` and `zstd -15`, initramfs-tools `zstd -9`).
const DECODER_BYTES: u64 = 72 << 20;

/// What a part begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Readable(Readable),
    /// One that the kernel knows and is not read here.
    Other(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readable {
    Gzip,
    Xz,
    Zstd,
}

impl Format {
    pub(super) const MAGIC_BYTES: usize = 6;

    pub(super) fn of(magic: &[u8]) -> Option<Self> {
        Some(match magic {
            [0x1f, 0x8b, ..] => Self::Readable(Readable::Gzip),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Readable(Readable::Xz),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Readable(Readable::Zstd),
            [0x02, 0x21, 0x4c, 0x18, ..] => Self::Other("lz4"),
            [0x89, b'L', b'Z', b'O', ..] => Self::Other("lzo"),
            [b'B', b'Z', b'h', ..] => Self::Other("bzip2"),
            [0x5d, 0, 0, ..] => Self::Other("lzma"),
            _ => return None,
        })
    }
}

impl Readable {
    pub(super) fn unpack<'w>(self, input: &'w mut Window<'_>) -> io::Result<Box<dyn Read + 'w>> {
        Ok(match self {
            Self::Gzip => Box::new(Contained::new(GzDecoder::new(input))),
            Self::Xz => {
                let limit_kib = u32::try_from(DECODER_BYTES >> 10).unwrap_or(u32::MAX);
                Box::new(Contained::new(XzReader::new_mem_limit(input, false, limit_kib)))
            }
            Self::Zstd => {
                let mut frame = Box::new(FrameDecoder::new());
                frame.set_max_window_size(DECODER_BYTES);
                contain(|| frame.init(&mut *input).map_err(io::Error::other))?;
                Box::new(Contained::new(Frame { input, frame }))
            }
        })
    }
}

/// One frame of zstd.
struct Frame<'w, 'r> {
    input: &'w mut Window<'r>,
    frame: Box<FrameDecoder>,
}

impl Read for Frame<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.frame.can_collect() == 0 && !self.frame.is_finished() {
            let blocks = BlockDecodingStrategy::UptoBlocks(1);
            self.frame.decode_blocks(&mut *self.input, blocks).map_err(io::Error::other)?;
        }
        let read = self.frame.read(buffer)?;
        if read == 0 && !buffer.is_empty() {
            let promised = self.frame.get_checksum_from_data();
            if promised.is_some() && promised != self.frame.get_calculated_checksum() {
                return Err(io::Error::other("the checksum of a zstd frame does not match"));
            }
        }
        Ok(read)
    }
}

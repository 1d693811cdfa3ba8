//! Compressed modules, told by their first bytes.

use std::io::{BufReader, Read, Seek, SeekFrom};

use flate2::read::MultiGzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::StreamingDecoder;

use super::ModuleFileError;
use crate::contained::{Contained, contain};

/// Memory a decoder may ask for itself. The kernel's build uses 1 MiB for xz (`--lzma2=dict=1MiB`)
/// and no more than the file has for zstd.
const DECODER_BYTES: u64 = 64 << 20;
const MAGIC_BYTES: u64 = 6;

/// The uncompressed content; none where the file is not compressed.
pub(super) fn unpacked(
    file: &mut (impl Read + Seek),
    most_bytes: u64,
) -> Result<Option<Vec<u8>>, ModuleFileError> {
    let mut magic = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.by_ref().take(MAGIC_BYTES).read_to_end(&mut magic)?;
    file.seek(SeekFrom::Start(0))?;
    let file = BufReader::new(file);
    let damaged = |format, why: &dyn std::fmt::Display| ModuleFileError::Compression {
        format,
        why: why.to_string(),
    };
    let bytes = if magic.starts_with(b"\xfd7zXZ\0") {
        let limit_kib = u32::try_from(DECODER_BYTES >> 10).unwrap_or(u32::MAX);
        all(XzReader::new_mem_limit(file, true, limit_kib), most_bytes)
            .map_err(|error| damaged("xz", &error))
    } else if magic.starts_with(b"\x28\xb5\x2f\xfd") {
        let begin = || StreamingDecoder::new_with_max_window_size(file, DECODER_BYTES);
        contain(|| begin().map_err(std::io::Error::other))
            .and_then(|decoder| all(decoder, most_bytes))
            .map_err(|error| damaged("zstd", &error))
    } else if magic.starts_with(b"\x1f\x8b") {
        all(MultiGzDecoder::new(file), most_bytes).map_err(|error| damaged("gzip", &error))
    } else {
        return Ok(None);
    }?;
    if bytes.len() as u64 > most_bytes {
        return Err(ModuleFileError::TooLarge(most_bytes));
    }
    Ok(Some(bytes))
}

/// Everything, but no more than one byte above the limit.
fn all(decoder: impl Read, most_bytes: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    Contained::new(decoder).take(most_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

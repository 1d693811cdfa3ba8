//! A stream that can be looked ahead in by a few bytes, and knows where it is.

use std::io::{self, BufRead, Read};

use super::Meter;
use crate::contained;

/// Bytes read at once.
const BUFFER: usize = 32 << 10;

pub(super) struct Window<'r> {
    reader: Box<dyn Read + 'r>,
    meter: &'r Meter,
    buffer: Vec<u8>,
    /// What of the buffer is not consumed.
    start: usize,
    end: usize,
    offset: u64,
}

impl<'r> Window<'r> {
    pub(super) fn new(reader: Box<dyn Read + 'r>, meter: &'r Meter) -> Self {
        Self { reader, meter, buffer: vec![0; BUFFER], start: 0, end: 0, offset: 0 }
    }

    /// Bytes consumed so far.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next bytes without consuming them; fewer only at the end.
    pub(super) fn peek(&mut self, bytes: usize) -> io::Result<&[u8]> {
        let bytes = bytes.min(BUFFER);
        if self.start + bytes > BUFFER {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        while self.end - self.start < bytes && self.fill()? {}
        let end = self.end.min(self.start + bytes);
        Ok(self.buffer.get(self.start..end).unwrap_or_default())
    }

    /// Reads once more behind what is there; false at the end.
    fn fill(&mut self) -> io::Result<bool> {
        loop {
            let room = self.buffer.get_mut(self.end..).unwrap_or_default();
            match contained::ours(|| self.reader.read(room)) {
                Ok(read) => {
                    self.meter.count(read)?;
                    self.end += read;
                    return Ok(read > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Passes zeros, which stand between archives.
    pub(super) fn skip_zeros(&mut self) -> io::Result<()> {
        loop {
            let bytes = self.fill_buf()?;
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            let over = zeros < bytes.len() || bytes.is_empty();
            self.consume(zeros);
            if over {
                return Ok(());
            }
        }
    }

    /// Passes bytes; false where it ends before.
    pub(super) fn skip(&mut self, mut bytes: u64) -> io::Result<bool> {
        while bytes > 0 {
            let there = self.fill_buf()?.len();
            if there == 0 {
                return Ok(false);
            }
            let passed = usize::try_from(bytes).unwrap_or(usize::MAX).min(there);
            self.consume(passed);
            bytes -= passed as u64;
        }
        Ok(true)
    }
}

impl BufRead for Window<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            self.fill()?;
        }
        Ok(self.buffer.get(self.start..self.end).unwrap_or_default())
    }

    fn consume(&mut self, bytes: usize) {
        let bytes = bytes.min(self.end - self.start);
        self.start += bytes;
        self.offset += bytes as u64;
    }
}

impl Read for Window<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let there = self.fill_buf()?;
        let read = there.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(there) {
            *to = *from;
        }
        self.consume(read);
        Ok(read)
    }
}

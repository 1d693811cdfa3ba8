//! Bytes read from the front, with the place of what is missing.

use super::Damaged;

/// What is left to read, and where it begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Bytes<'a> {
    /// The whole of `bytes`.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, offset: 0 }
    }

    /// Bytes that begin at `offset` of something larger.
    pub(super) fn at(bytes: &'a [u8], offset: usize) -> Self {
        Self { rest: bytes, offset }
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    /// That something else should stand here.
    pub(super) fn damaged(&self, expected: &'static str) -> Damaged {
        Damaged { offset: self.offset, expected }
    }

    /// The next `count` bytes.
    pub(super) fn take(
        &mut self,
        count: usize,
        expected: &'static str,
    ) -> Result<&'a [u8], Damaged> {
        let (front, rest) =
            self.rest.split_at_checked(count).ok_or_else(|| self.damaged(expected))?;
        self.rest = rest;
        self.offset = self.offset.saturating_add(count);
        Ok(front)
    }

    /// The next `N` bytes.
    pub(super) fn array<const N: usize>(
        &mut self,
        expected: &'static str,
    ) -> Result<[u8; N], Damaged> {
        let here = self.damaged(expected);
        self.take(N, expected)?.try_into().map_err(|_| here)
    }

    /// A number of four bytes, the lowest first.
    pub(super) fn le_u32(&mut self, expected: &'static str) -> Result<u32, Damaged> {
        self.array(expected).map(u32::from_le_bytes)
    }

    /// That nothing is left.
    pub(super) fn end(&self, expected: &'static str) -> Result<(), Damaged> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.damaged(expected)) }
    }
}

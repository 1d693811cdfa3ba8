//! A file that grows at its end, of which each look reads what is new.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

/// Most that is read at a time, from the end: the lines of some minutes.
const TAIL_BYTES: u64 = 256 << 10;

/// How far a file has been read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tail {
    inode: u64,
    device: u64,
    offset: u64,
}

impl Tail {
    /// Whole lines that have come since, or the last where too many have. Another file in its place, as
    /// after a rotation of logs, or one that was cut off begins anew.
    pub(super) fn follow(&mut self, file: &File) -> io::Result<String> {
        let now = file.metadata()?;
        let same = (self.inode, self.device) == (now.ino(), now.dev()) && self.offset <= now.len();
        let start = if same { self.offset } else { 0 };
        *self = Self { inode: now.ino(), device: now.dev(), offset: start };
        let from = start.max(now.len().saturating_sub(TAIL_BYTES));
        let mut bytes = vec![0; usize::try_from(now.len() - from).unwrap_or_default()];
        let length = read_at(file, &mut bytes, from)?;
        bytes.truncate(length);
        // What is after the last line feed is still being written.
        let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') else {
            return Ok(String::new());
        };
        bytes.truncate(end + 1);
        self.offset = from + bytes.len() as u64;
        let mut text = String::from_utf8_lossy(&bytes).into_owned();
        if from > start {
            // It began in the middle of a line.
            let first = text.find('\n').map_or(text.len(), |end| end + 1);
            text.drain(..first);
        }
        Ok(text)
    }
}

/// Fills what there is.
fn read_at(file: &File, bytes: &mut [u8], from: u64) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, from + filled as u64) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write as _;

    use super::*;

    #[test]
    fn every_whole_line_is_read_once_through_rotation_and_cutting() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("stats");
        let append = |text: &str| {
            let mut file = OpenOptions::new().append(true).create(true).open(&path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        };
        let mut tail = Tail::default();
        let mut follow = || tail.follow(&File::open(&path).unwrap()).unwrap();
        append("one\ntw");
        assert_eq!(follow(), "one\n");
        assert_eq!(follow(), "");
        append("o\nthree\n");
        assert_eq!(follow(), "two\nthree\n");
        // Moved away, while the other still exists.
        fs::rename(&path, place.path().join("stats.1")).unwrap();
        append("four\n");
        assert_eq!(follow(), "four\n");
        fs::write(&path, "").unwrap();
        assert_eq!(follow(), "");
        append("five\n");
        assert_eq!(follow(), "five\n");
        // More than is read: whole lines of the end.
        append(&format!("{}\n", "x".repeat(99)).repeat(5000));
        let read = follow();
        assert!(read.len() > 200_000 && read.len() <= 256 << 10, "{}", read.len());
        assert!(read.lines().all(|line| line.len() == 99));
        assert_eq!(follow(), "");
    }
}

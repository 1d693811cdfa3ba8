//! A list of writes carried out in order, each read back; when one fails, what stood there before is
//! put back, last first. Knows nothing of files.

use std::io;

use onload_core::refusal::Refusal;
use onload_core::secure_boot::request::write::Write;
use onload_core::secure_boot::variable::{ATTRIBUTES_BYTES, Attributes};

use super::fault;

/// A place with shim's variables. What a variable holds stands behind its attributes, as in a file of
/// efivarfs.
pub(super) trait Variables {
    /// What a variable holds; none where there is no such variable.
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>>;
    /// Gives it what it holds from then on, in one go.
    fn write(&self, name: &str, file: &[u8]) -> io::Result<()>;
    /// Deletes it. One that is not there is fine.
    fn delete(&self, name: &str) -> io::Result<()>;
}

/// Why one variable is not as wanted.
#[derive(Debug)]
pub(super) enum Fault {
    /// It could not be read.
    Read(io::Error),
    /// It was not written.
    Write(io::Error),
    /// It was not deleted.
    Delete(io::Error),
    /// It was written and holds something else.
    Differs,
}

/// Carries the writes out.
///
/// # Errors
/// Which of them failed and why; what came before it has been put back, or the refusal says what
/// has not.
pub(super) fn all_or_nothing(place: &impl Variables, writes: &[Write]) -> Result<(), Refusal> {
    let mut before: Vec<(&str, Option<Vec<u8>>)> = Vec::new();
    for Write { name, data } in writes {
        let file = data.as_ref().map(|data| {
            let Attributes(attributes) = Attributes::REQUEST;
            [&attributes.to_le_bytes(), data.as_slice()].concat()
        });
        let written = place.read(name).map_err(Fault::Read).and_then(|former| {
            before.push((name, former));
            put(place, name, file.as_deref())
        });
        if let Err(fault) = written {
            let left = put_back(place, &before);
            return Err(fault::unwritten(name, &fault, &left));
        }
    }
    Ok(())
}

/// Makes a variable what it shall be, and looks whether it is.
fn put(place: &impl Variables, name: &str, wanted: Option<&[u8]>) -> Result<(), Fault> {
    match wanted {
        Some(file) => {
            let there = place.read(name).map_err(Fault::Read)?;
            // The firmware takes no other attributes for a variable that is there.
            if there.is_some_and(|there| attributes(&there) != attributes(file)) {
                place.delete(name).map_err(Fault::Delete)?;
            }
            place.write(name, file).map_err(Fault::Write)?;
        }
        None => place.delete(name).map_err(Fault::Delete)?,
    }
    let there = place.read(name).map_err(Fault::Read)?;
    if there.as_deref() == wanted { Ok(()) } else { Err(Fault::Differs) }
}

fn attributes(file: &[u8]) -> Option<&[u8]> {
    file.get(..ATTRIBUTES_BYTES)
}

/// Puts back what stood there before, last first; what could not be.
fn put_back<'a>(
    place: &impl Variables,
    before: &[(&'a str, Option<Vec<u8>>)],
) -> Vec<(&'a str, Fault)> {
    let back = before.iter().rev().filter_map(|(name, former)| {
        // What was refused as a whole need not be written again to a firmware in trouble. But what
        // was not there may have left a file without a variable.
        if former.is_some() && place.read(name).is_ok_and(|there| there == *former) {
            return None;
        }
        put(place, name, former.as_deref()).err().map(|fault| (*name, fault))
    });
    back.collect()
}
